package wan

import (
	"math/bits"
	"time"
)

// Stats counts what happened to the packets of one direction since the network started. Sizes are those of IP packets.
// Every packet is in exactly one place:
//
//	Packets + Duplicated = Delivered + Lost + QueueDropped + TooLarge + Cut + Refused + Queued + Flying
type Stats struct {
	Packets uint64 // that the sending site gave to the link
	Bytes   uint64

	Delivered      uint64 // that the receiving site got
	DeliveredBytes uint64

	Lost         uint64 // at random, as Conditions.Loss wants
	QueueDropped uint64 // found the queue of the bottleneck full
	TooLarge     uint64 // for Conditions.MTU
	Cut          uint64 // by a partition or Conditions.Down
	Refused      uint64 // by the receiving site's device
	Duplicated   uint64 // copies made
	Reordered    uint64 // held back to arrive late

	Queued      int           // packets in the bottleneck's queue now
	QueuedBytes int           //
	QueueDelay  time.Duration // that a packet arriving now would wait at the bottleneck
	Waited      time.Duration // total of what packets have waited there
	LongestWait time.Duration // since the conditions were last set
	Flying      int           // packets on their way behind the bottleneck
}

// Sub returns what was added to the counters since earlier; what is not a counter stays as in s.
func (s Stats) Sub(earlier Stats) Stats {
	s.Packets -= earlier.Packets
	s.Bytes -= earlier.Bytes
	s.Delivered -= earlier.Delivered
	s.DeliveredBytes -= earlier.DeliveredBytes
	s.Lost -= earlier.Lost
	s.QueueDropped -= earlier.QueueDropped
	s.TooLarge -= earlier.TooLarge
	s.Cut -= earlier.Cut
	s.Refused -= earlier.Refused
	s.Duplicated -= earlier.Duplicated
	s.Reordered -= earlier.Reordered
	s.Waited -= earlier.Waited
	return s
}

// Health says how well this machine keeps up with the network it pretends to be. Late packets and lost ones that no condition asked
// for are the machine's doing, not the system's under test.
type Health struct {
	// How much later than due packets were delivered, since the network started: half of them at most Median, and so on
	// (to 1/8 above 8 µs).
	Median, P99, Max time.Duration

	DeviceDropped uint64 // packets that a device lost because the link did not read them in time
	Exhausted     uint64 // packets dropped because maxPackets were under way
	Unroutable    uint64 // packets to an address of no site; their senders were told by ICMP, except for multicast
}

// lateness is a histogram of microseconds with eight buckets an octave.
type lateness struct {
	buckets [8 * 32]uint64
	total   uint64
	max     time.Duration
}

func (l *lateness) add(d time.Duration) {
	l.buckets[bucket(uint32(min(d.Microseconds(), 1<<32-1)))]++
	l.total++
	l.max = max(l.max, d)
}

// quantile returns the upper bound of the bucket in which the share q of all values ends.
func (l *lateness) quantile(q float64) time.Duration {
	rest := uint64(float64(l.total) * q)
	for i, n := range l.buckets {
		if rest < n {
			return min(time.Duration(bucketEnd(i))*time.Microsecond, l.max)
		}
		rest -= n
	}
	return l.max
}

// bucket numbers 0 to 7 hold one microsecond each, the next eight 8 to 15, the next eight 16 to 31, and so on.
func bucket(us uint32) int {
	if us < 8 {
		return int(us)
	}
	octave := bits.Len32(us) - 4 // 0 for 8 to 15
	return 8 + 8*octave + int(us>>octave) - 8
}

// bucketEnd is the first microsecond that is past bucket i.
func bucketEnd(i int) int64 {
	if i < 8 {
		return int64(i) + 1
	}
	octave := (i - 8) / 8
	return int64(i%8+8+1) << octave
}
