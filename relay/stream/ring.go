package stream

import "time"

// What a layer's cache may grow to. It doubles while one round through it lasts less than cacheTime.
const (
	cacheTime = int64(time.Second)

	videoBytesMin, videoBytesMax     = 64 << 10, 1 << 20
	audioBytesMin, audioBytesMax     = 8 << 10, 64 << 10
	videoPacketsMin, videoPacketsMax = 64, 2048
	audioPacketsMin, audioPacketsMax = 64, 256
)

// ring caches the packets of one layer: payloads one behind the other in a byte ring, none of them cut in two at its end,
// and an index by sequence number. A packet is there until its bytes or its place in the index are needed again.
type ring struct {
	buf       []byte
	maxBytes  int
	lap       uint32 // rounds through buf
	pos       int    // where the next payload begins
	reach     int    // what lies below has been overwritten in this lap, if only by a reservation that was given up
	lapBegan  int64  // ns
	room      int    // bytes kept behind every payload for extension values
	index     []Packet
	maxIndex  int
	highest   int64 // highest number taken
	floor     int64 // numbers below are too old: it is not known whether they were here
	started   bool
	pending   bool   // a packet since the last flush lies at pendingAt
	pendingAt int    // position of the first such
	pendLap   uint32 // and its lap
	lastTaken int64  // ns, arrival of the last packet
}

func newRing(video bool) ring {
	if video {
		return ring{
			maxBytes: videoBytesMax, maxIndex: videoPacketsMax, room: descriptorMax + captureTimeMax,
		}
	}
	return ring{maxBytes: audioBytesMax, maxIndex: audioPacketsMax, room: captureTimeMax}
}

// reserve returns n bytes with the ring's room behind them, or nil when that would overwrite packets that have not been
// handed to the sinks yet, or never fits.
func (r *ring) reserve(n int) []byte {
	total := n + r.room
	if r.buf == nil {
		r.allocate(total)
	}
	if r.pos+total > len(r.buf) && !r.turn(total) {
		return nil
	}
	if r.pending && r.pendLap != r.lap && r.pos+total > r.pendingAt {
		return nil
	}
	r.reach = max(r.reach, r.pos+total)
	return r.buf[r.pos : r.pos+n : r.pos+total]
}

func (r *ring) allocate(total int) {
	size, packets := videoBytesMin, videoPacketsMin
	if r.maxBytes == audioBytesMax {
		size, packets = audioBytesMin, audioPacketsMin
	}
	for size < 2*total && size < r.maxBytes {
		size *= 2
	}
	r.buf = make([]byte, size)
	r.index = make([]Packet, packets)
}

// turn makes room at the end of the ring: by growing while a round takes less than cacheTime, else by going round.
func (r *ring) turn(total int) bool {
	if r.pending && r.pendLap != r.lap {
		return false
	}
	size := len(r.buf)
	for size < r.maxBytes && (r.lastTaken-r.lapBegan < cacheTime || size < 2*total) && r.pos+total > size {
		size *= 2
	}
	if size > len(r.buf) {
		r.grow(size)
		return r.pos+total <= size
	}
	if total > len(r.buf) {
		return false
	}
	r.lap++
	r.pos, r.reach = 0, 0
	r.lapBegan = r.lastTaken
	return true
}

// grow moves the ring to a larger buffer. It happens only at the end of a lap, when nearly all of the content is that
// lap's; what is left of the one before is given up.
func (r *ring) grow(size int) {
	buf := make([]byte, size)
	copy(buf, r.buf[:r.pos])
	for i := range r.index {
		e := &r.index[i]
		if !e.used {
			continue
		}
		if e.lap != r.lap {
			e.lap = r.lap - 2 // of no lap that is still there
			continue
		}
		e.Payload = buf[e.start : e.start+len(e.Payload) : e.end]
	}
	r.buf = buf
	r.reach = r.pos
}

// there tells whether a packet's bytes have not been overwritten.
func (r *ring) there(e *Packet) bool {
	return e.lap == r.lap || e.lap == r.lap-1 && e.start >= r.reach
}

// get returns the packet of a number, or nil.
func (r *ring) get(seq int64) *Packet {
	if !r.started || len(r.index) == 0 {
		return nil
	}
	e := &r.index[seq&int64(len(r.index)-1)]
	if !e.used || e.Seq != seq || !r.there(e) {
		return nil
	}
	return e
}

// expired tells of a number without a packet whether there was one: it has been overwritten, and so has all before it.
func (r *ring) expired(seq int64) bool {
	if !r.started || seq <= r.highest-int64(len(r.index)) || seq < r.floor {
		return true
	}
	e := &r.index[seq&int64(len(r.index)-1)]
	return e.used && e.Seq == seq && !r.there(e)
}

// What place returns instead of a place.
type refusal uint8

const (
	taken     refusal = iota
	duplicate         // the packet is there or was
	tooLate           // it is older than what the index spans
	noRoom            // its place is held by a packet not yet handed to the sinks
)

// place returns the index entry for a new packet.
func (r *ring) place(seq, arrival int64, batch uint32) (*Packet, refusal) {
	if !r.started {
		r.started, r.highest, r.floor = true, seq, seq-int64(len(r.index))/2
	}
	if seq <= r.highest-int64(len(r.index)) || seq < r.floor {
		return nil, tooLate
	}
	e := &r.index[seq&int64(len(r.index)-1)]
	if e.used && e.Seq == seq {
		return nil, duplicate
	}
	if e.used && r.there(e) && len(r.index) < r.maxIndex && arrival-e.Arrival < cacheTime {
		r.widen()
		e = &r.index[seq&int64(len(r.index)-1)]
	}
	if e.used && r.pending && e.batch == batch {
		return nil, noRoom
	}
	r.highest = max(r.highest, seq)
	return e, taken
}

// widen doubles the index. Packets of a burst under way stay where they are too: the burst points at the old entries.
func (r *ring) widen() {
	old := r.index
	r.index = make([]Packet, 2*len(old))
	r.floor = max(r.floor, r.highest-int64(len(old))+1)
	for i := range old {
		if e := &old[i]; e.used && e.Seq >= r.floor {
			r.index[e.Seq&int64(len(r.index)-1)] = *e
		}
	}
}

// take makes the first n bytes of the last reservation, and extra of the room behind them, the payload of e.
func (r *ring) take(e *Packet, n, extra int, batch uint32) {
	e.used, e.lap, e.start, e.end, e.batch = true, r.lap, r.pos, r.pos+n+extra, batch
	e.Payload = r.buf[r.pos : r.pos+n : r.pos+n+extra]
	if !r.pending {
		r.pending, r.pendingAt, r.pendLap = true, r.pos, r.lap
	}
	r.pos += n + extra
	if r.lastTaken == 0 {
		r.lapBegan = e.Arrival
	}
	r.lastTaken = e.Arrival
}

// flushed tells that the packets so far have been handed to the sinks.
func (r *ring) flushed() { r.pending = false }
