package peer

import "time"

const (
	// nackReorder is how long a missing packet may merely be late: loopback and Wi-Fi both reorder within this.
	nackReorder = int64(5 * time.Millisecond)
	// nackRetryFloor is the shortest time between two requests for one packet, for paths whose RTT is below it.
	nackRetryFloor = int64(20 * time.Millisecond)
	// nackFirstRTT is the round-trip time assumed before one is known, as in libwebrtc.
	nackFirstRTT = int64(100 * time.Millisecond)
	// nackTries and nackAge bound how often and how long one packet is asked for; later it is of no use to a decoder.
	nackTries = 10
	nackAge   = int64(time.Second)
	// nackWindow is the largest number of packets a source may be missing; a larger jump is a new start, not loss.
	nackWindow = 256
)

// missing is a packet that a later one overtook.
type missing struct {
	seq   int64
	since int64 // ns
	asked int64 // ns of the last request, 0 before the first
	tries uint8
}

// nackList keeps track of what one received source is missing (RFC 4585 section 6.2.1). It is not safe for concurrent use.
type nackList struct {
	started bool
	highest int64
	missing []missing // ascending by sequence number
}

// received notes packet seq. It reports whether new packets turned out to be missing, and whether so many are that only
// a keyframe helps.
func (l *nackList) received(seq, now int64) (gap, hopeless bool) {
	if !l.started {
		l.started, l.highest = true, seq
		return false, false
	}
	if seq <= l.highest {
		l.remove(seq)
		return false, false
	}
	n := seq - l.highest - 1
	if n > nackWindow {
		l.missing = l.missing[:0]
		l.highest = seq
		return false, true
	}
	for s := l.highest + 1; s < seq; s++ {
		l.missing = append(l.missing, missing{seq: s, since: now})
	}
	l.highest = seq
	if over := len(l.missing) - nackWindow; over > 0 {
		l.missing = append(l.missing[:0], l.missing[over:]...)
		hopeless = true
	}
	return n > 0, hopeless
}

func (l *nackList) remove(seq int64) {
	for i := range l.missing {
		if l.missing[i].seq == seq {
			l.missing = append(l.missing[:i], l.missing[i+1:]...)
			return
		}
	}
}

// repaired notes that packet seq came as a retransmission. It reports whether it was missing, and the time since it was
// asked for, if that was once: of several requests it is not known which was answered (Karn).
func (l *nackList) repaired(seq, now int64) (missing bool, rtt int64) {
	for i := range l.missing {
		m := &l.missing[i]
		if m.seq != seq {
			continue
		}
		if m.tries == 1 {
			rtt = max(now-m.asked, 1)
		}
		l.missing = append(l.missing[:i], l.missing[i+1:]...)
		return true, rtt
	}
	return false, 0
}

// pending tells whether a later call of due may find something.
func (l *nackList) pending() bool { return len(l.missing) > 0 }

// due appends the sequence numbers to ask for now, and forgets those that are too old.
func (l *nackList) due(dst []uint16, now, rtt int64) []uint16 {
	if rtt == 0 {
		rtt = nackFirstRTT
	}
	retry := max(nackRetryFloor, rtt+rtt/4)
	kept := l.missing[:0]
	for _, m := range l.missing {
		if now-m.since > nackAge || m.tries >= nackTries {
			continue
		}
		if now-m.since >= nackReorder && (m.asked == 0 || now-m.asked >= retry) {
			dst = append(dst, uint16(m.seq))
			m.asked = now
			m.tries++
		}
		kept = append(kept, m)
	}
	l.missing = kept
	return dst
}
