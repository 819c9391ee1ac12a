package bwe

import (
	"slices"
	"time"

	"cardea/relay/rtcp"
)

const (
	// feedbackInterval is the usual time between messages of feedback, feedbackShort that on busy streams, and
	// feedbackLeast that while more waits than fits a message, which numbers out of a hat can bring about too.
	feedbackInterval = int64(100 * time.Millisecond)
	feedbackShort    = int64(50 * time.Millisecond)
	feedbackLeast    = int64(10 * time.Millisecond)
	// feedbackBusy and feedbackFull are the packets after which the shorter intervals hold.
	feedbackBusy = 64
	feedbackFull = 400
	// keepReported is how long arrivals are kept after they were reported, to be reported again along with an
	// earlier packet that comes late.
	keepReported = int64(500 * time.Millisecond)
	// maxArrivals bounds what is kept in all, and forgetAtOnce makes room when it is reached.
	maxArrivals  = 2 * feedbackFull
	forgetAtOnce = 100
)

// Recorder notes when a publisher's packets arrive and writes the transport-wide feedback that it estimates its
// bandwidth by. The zero value is ready to use. It is not safe for concurrent use.
type Recorder struct {
	arrivals []rtcp.Arrival // ascending by sequence number, each once; below base they are reported already
	base     int64          // the next to report, unwrapped
	floor    int64          // what is below was forgotten; reporting it again would report it lost
	highest  int64
	last     int64 // time of the last message
	number   uint8
	begun    bool
}

// Record notes that the packet with transport sequence number seq came now. A packet that was reported lost is reported
// received after all; duplicates are ignored.
func (r *Recorder) Record(seq uint16, now int64) {
	if !r.begun {
		*r = Recorder{begun: true, highest: int64(seq), base: int64(seq), floor: int64(seq) - feedbackFull, last: now}
	}
	n := r.highest + int64(int16(seq-uint16(r.highest)))
	r.highest = max(r.highest, n)
	i := len(r.arrivals)
	for i > 0 && r.arrivals[i-1].Sequence > n {
		i--
	}
	if i > 0 && r.arrivals[i-1].Sequence == n {
		return
	}
	if n < r.floor {
		return
	}
	r.base = min(r.base, n)
	if len(r.arrivals) == maxArrivals {
		if i < forgetAtOnce {
			return
		}
		r.forget(forgetAtOnce)
		i -= forgetAtOnce
	}
	r.arrivals = slices.Insert(r.arrivals, i, rtcp.Arrival{Sequence: n, Time: now})
}

// Due tells whether it is time for [Recorder.Append].
func (r *Recorder) Due(now int64) bool {
	pending := len(r.arrivals) - r.reported()
	since := now - r.last
	switch {
	case pending >= feedbackFull:
		return since >= feedbackLeast
	case pending >= feedbackBusy:
		return since >= feedbackShort
	}
	return pending > 0 && since >= feedbackInterval
}

// Append appends one message of feedback about what came since the one before to dst, if it is due. sender is our SSRC,
// media any one of the publisher's. The message is at most 1200 bytes long; what does not fit follows with the next.
func (r *Recorder) Append(dst []byte, sender, media uint32, now int64) []byte {
	if !r.Due(now) {
		return dst
	}
	from := r.reported()
	dst, used := rtcp.AppendTWCC(dst, sender, media, r.number, r.base, r.arrivals[from:])
	r.number++
	r.base = r.arrivals[from+used-1].Sequence + 1
	r.last = now
	expired := 0
	for expired < from+used && now-r.arrivals[expired].Time > keepReported {
		expired++
	}
	r.forget(expired)
	return dst
}

// forget drops the n oldest arrivals.
func (r *Recorder) forget(n int) {
	if n > 0 {
		r.floor = r.arrivals[n-1].Sequence + 1
		r.base = max(r.base, r.floor)
		r.arrivals = slices.Delete(r.arrivals, 0, n)
	}
}

// reported returns how many of the arrivals are reported already.
func (r *Recorder) reported() int {
	i, _ := slices.BinarySearchFunc(r.arrivals, r.base, func(a rtcp.Arrival, base int64) int {
		switch {
		case a.Sequence < base:
			return -1
		case a.Sequence > base:
			return 1
		}
		return 0
	})
	return i
}
