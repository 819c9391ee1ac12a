package caller

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Track is what a subscriber received of one stream. It is safe for concurrent use.
type Track struct {
	// SSRC is the node's, of the stream as it is sent to this subscriber.
	SSRC uint32

	sequence atomic.Uint32

	mu       sync.Mutex
	first    uint64
	next     uint64 // above the highest serial
	missing  map[uint64]struct{}
	received uint64
	doubled  uint64
	delays   []time.Duration
	last     time.Duration // since began, the latest arrival
	gap      time.Duration
}

func newTrack(ssrc uint32) *Track { return &Track{SSRC: ssrc, missing: make(map[uint64]struct{})} }

// take notes a packet that came at a time since began.
func (t *Track) take(m mark, at time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.last > 0 {
		t.gap = max(t.gap, at-t.last)
	}
	t.last = at
	switch _, late := t.missing[m.serial]; {
	case t.received == 0:
		t.first, t.next = m.serial, m.serial+1
	case m.serial >= t.next:
		for lost := t.next; lost < m.serial; lost++ {
			t.missing[lost] = struct{}{}
		}
		t.next = m.serial + 1
	case late:
		delete(t.missing, m.serial)
	default:
		t.doubled++
		return
	}
	t.received++
	t.delays = append(t.delays, at-m.sent)
}

// Sequence returns the RTP sequence number received last.
func (t *Track) Sequence() uint16 { return uint16(t.sequence.Load()) } //nolint:gosec // stored as such

// Figures is what a track counted.
type Figures struct {
	Received uint64
	Lost     uint64 // never came, though later ones did
	Doubled  uint64 // came again, or from before the first
	Median   time.Duration
	P95      time.Duration // of the time from the publisher to the subscriber
	Max      time.Duration
	Gap      time.Duration // the longest time between two packets
}

// Figures returns what was counted so far.
func (t *Track) Figures() Figures {
	t.mu.Lock()
	defer t.mu.Unlock()
	f := Figures{Received: t.received, Lost: uint64(len(t.missing)), Doubled: t.doubled, Gap: t.gap}
	if n := len(t.delays); n > 0 {
		sorted := slices.Sorted(slices.Values(t.delays))
		f.Median, f.P95, f.Max = sorted[n/2], sorted[n*95/100], sorted[n-1]
	}
	return f
}

// Restart begins to measure times anew; what is missing stays missing.
func (t *Track) Restart() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.delays, t.gap = nil, 0
}
