package measure

// windowSize is how far back a [Window] remembers, packets: tens of seconds of a video.
const windowSize = 4096

// Window tells packets that come for the first time from those that came before. The zero value is ready. Not safe for
// concurrent use.
type Window struct {
	seen    [windowSize / 64]uint64
	highest uint32
	started bool
}

// Add takes the counter of a packet and tells whether it is new. What is older than the window counts as not new.
func (w *Window) Add(counter uint32) bool {
	if !w.started {
		w.started, w.highest = true, counter
	}
	switch ahead := int32(counter - w.highest); {
	case ahead >= windowSize:
		clear(w.seen[:])
		w.highest = counter
	case ahead > 0:
		for i := w.highest + 1; i != counter+1; i++ {
			w.seen[i%windowSize/64] &^= 1 << (i % 64)
		}
		w.highest = counter
	case ahead <= -windowSize:
		return false
	}
	word, bit := &w.seen[counter%windowSize/64], uint64(1)<<(counter%64)
	if *word&bit != 0 {
		return false
	}
	*word |= bit
	return true
}

// Run counts how many packets a receiver should have got of one layer of a stream whose layers take turns: the numbers between
// the first and the last of each stay on the layer. The zero value is ready. Not safe for concurrent use.
type Run struct {
	open        bool
	known       bool
	first, last uint32
	closed      uint64
}

// Newer tells whether the counter lies behind everything taken so far; others belong to a stay that is counted already.
func (r *Run) Newer(counter uint32) bool { return !r.known || int32(counter-r.last) > 0 }

// Extend takes a packet, beginning a stay if none is open.
func (r *Run) Extend(counter uint32) {
	if !r.open {
		r.open, r.first = true, counter
	}
	r.known, r.last = true, counter
}

// Open tells whether the receiver is on the layer.
func (r *Run) Open() bool { return r.open }

// Close says that the receiver has left for another layer.
func (r *Run) Close() {
	r.closed = r.Expected()
	r.open = false
}

// Expected returns how many packets should have come.
func (r *Run) Expected() uint64 {
	if !r.open {
		return r.closed
	}
	return r.closed + uint64(r.last-r.first) + 1
}
