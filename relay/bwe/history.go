package bwe

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"cardea/relay/rtcp"
)

const (
	// minHistory and maxHistory bound the packets remembered, powers of two. Full size takes 24 KiB and lasts for
	// half a second of 40 Mbit/s.
	minHistory = 256
	maxHistory = 2048
	// keepSent is how long packets should be remembered: feedback comes within a round trip and an interval.
	keepSent = time.Second
	// maxAge is the age at which what is found is taken for the packet of an earlier round of sequence numbers.
	maxAge = 10 * time.Second
	// maxStatuses bounds what is looked at in one message, since a message may claim 65,535 packets in two bytes.
	maxStatuses = 4 * maxHistory
	// maxResults bounds what one message yields.
	maxResults = 512
)

// Result is what feedback says of one packet.
type Result struct {
	Sent     int64 // ns, our clock
	Arrival  int64 // ns, a clock of the client's; meaningless unless Received
	Size     int32 // bytes
	Received bool
	Late     bool   // received, but an earlier message said that it was lost
	Cluster  uint8  // the probe it was sent in, 0 for none
	Tag      uint32 // what the sender knows it by, 0 for none
}

// History remembers the packets sent to one client by their transport sequence numbers, until feedback comes in.
// The zero value is ready to use.
//
// Add may be called from several goroutines, also beside the other methods; those must not run at the same time.
type History struct {
	ring    atomic.Pointer[ring]
	last    atomic.Int64  // time of the last Add, to some milliseconds
	cluster atomic.Uint32 // the probe that packets belong to now, 0 for none
	bytes   atomic.Int64  // sent in that probe
	growing sync.Mutex

	// The client's clock, kept by Resolve.
	reference  int32 // of the last message, 24 bits in units of 64 ms
	arrival    int64 // the same without wrapping, ns
	referenced bool
}

// ring is indexed by the low bits of the sequence number.
type ring struct {
	slots []atomic.Uint64 // see pack; 0 for an empty one
	tags  []atomic.Uint32 // of what is in the slots
}

func newRing(size int) *ring {
	return &ring{slots: make([]atomic.Uint64, size), tags: make([]atomic.Uint32, size)}
}

// at returns the place of a packet.
func (r *ring) at(seq uint16) (*atomic.Uint64, *atomic.Uint32) {
	i := int(seq) & (len(r.slots) - 1)
	return &r.slots[i], &r.tags[i]
}

// A packet in 64 bits: time sent in us (32), size (16), high byte of the sequence number (8), probe (7), lost (1).
// The size is never 0 and the low byte of the sequence number follows from the place in the ring.
const (
	lostBit     = 1
	maxClusters = 1<<7 - 1
)

func pack(seq uint16, now int64, size int, cluster uint32) uint64 {
	size = min(max(size, 1), 1<<16-1)
	return uint64(uint32(now/1000))<<32 | uint64(size)<<16 | uint64(seq>>8)<<8 | uint64(cluster&maxClusters)<<1
}

// age returns how long ago the packet in the slot was sent; at most some 35 minutes can be told apart.
func age(v uint64, now int64) time.Duration {
	return time.Duration(int32(uint32(now/1000)-uint32(v>>32))) * time.Microsecond
}

// Add remembers a packet of size bytes that is sent now. What feedback says of it comes with the tag.
func (h *History) Add(seq uint16, now int64, size int, tag uint32) {
	r := h.ring.Load()
	if r == nil {
		r = h.grow(nil)
	}
	cluster := h.cluster.Load()
	if cluster != 0 {
		h.bytes.Add(int64(size))
	}
	if now-h.last.Load() > int64(5*time.Millisecond) {
		h.last.Store(now)
	}
	slot, tagged := r.at(seq)
	old := slot.Load()
	tagged.Store(tag)
	slot.Store(pack(seq, now, size, cluster))
	if old != 0 && len(r.slots) < maxHistory && age(old, now) < keepSent {
		h.grow(r)
	}
}

// grow replaces ring r by a larger one, unless somebody else is at it or has done so. What is added to the old one
// meanwhile may be forgotten, which feedback tolerates.
func (h *History) grow(r *ring) *ring {
	if r == nil {
		h.growing.Lock()
	} else if !h.growing.TryLock() {
		return r
	}
	defer h.growing.Unlock()
	if now := h.ring.Load(); now != r {
		return now
	}
	if r == nil {
		r = newRing(minHistory)
		h.ring.Store(r)
		return r
	}
	larger := newRing(2 * len(r.slots))
	for i := range r.slots {
		if v := r.slots[i].Load(); v != 0 {
			slot, tagged := larger.at(uint16(v>>8&0xFF)<<8 | uint16(i&0xFF))
			tagged.Store(r.tags[i].Load())
			slot.Store(v)
		}
	}
	h.ring.Store(larger)
	return larger
}

// Resolve finds the packets that a message of feedback speaks of and appends what it says to dst, at most maxResults,
// those received in the order of their arrival and behind those lost. Packets that were not sent, or were resolved
// before, are left out.
func (h *History) Resolve(f *rtcp.TransportFeedback, now int64, dst []Result) []Result {
	if h.referenced {
		h.arrival += int64((f.Reference-h.reference)<<8>>8) * int64(rtcp.ReferenceUnit)
	}
	h.reference, h.referenced = f.Reference, true
	start, arrival, sorted := len(dst), h.arrival, true
	for range maxStatuses {
		s, ok := f.Next()
		if !ok || len(dst)-start == maxResults {
			break
		}
		if s.Received {
			arrival += int64(s.Delta) * int64(rtcp.DeltaUnit)
		}
		r, ok := h.take(s, now)
		if !ok {
			continue
		}
		r.Arrival = arrival
		if n := len(dst); n > start && compareResults(dst[n-1], r) > 0 {
			sorted = false
		}
		dst = append(dst, r)
	}
	if !sorted {
		slices.SortFunc(dst[start:], compareResults)
	}
	return dst
}

// take resolves one packet.
func (h *History) take(s rtcp.Status, now int64) (r Result, ok bool) {
	ring := h.ring.Load()
	if ring == nil {
		return r, false
	}
	slot, tagged := ring.at(s.Sequence)
	v, tag := slot.Load(), tagged.Load()
	old := age(v, now)
	if v == 0 || uint8(v>>8) != uint8(s.Sequence>>8) || old > maxAge || old < -maxAge {
		return r, false
	}
	r = Result{
		Sent:     now - int64(max(old, 0)),
		Size:     int32(v >> 16 & 0xFFFF),
		Received: s.Received,
		Late:     s.Received && v&lostBit != 0,
		Cluster:  uint8(v >> 1 & maxClusters),
		Tag:      tag,
	}
	if s.Received {
		return r, slot.CompareAndSwap(v, 0)
	}
	return r, v&lostBit == 0 && slot.CompareAndSwap(v, v|lostBit)
}

// compareResults orders the lost first, then the received by arrival and time sent.
func compareResults(a, b Result) int {
	switch {
	case a.Received != b.Received:
		if b.Received {
			return -1
		}
		return 1
	case !a.Received:
		return 0
	case a.Arrival != b.Arrival:
		if a.Arrival < b.Arrival {
			return -1
		}
		return 1
	case a.Sent != b.Sent:
		if a.Sent < b.Sent {
			return -1
		}
		return 1
	}
	return 0
}

// begin marks the packets added from now on as those of a probe; 0 ends it.
func (h *History) begin(cluster uint8) {
	h.cluster.Store(uint32(cluster))
	if cluster != 0 {
		h.bytes.Store(0)
	}
}
