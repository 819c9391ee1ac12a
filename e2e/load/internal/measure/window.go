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

// Run counts how many packets a receiver should have got of a stream whose layers take turns: the numbers between the first
// and the last of each stay on a layer. The zero value is ready. Not safe for concurrent use.
type Run struct {
	started     bool
	first, last uint32
	closed      uint64
}

// Extend takes a packet. fresh says that the receiver has just come (back) to the layer.
func (r *Run) Extend(counter uint32, fresh bool) {
	if fresh && r.started {
		r.closed += uint64(r.last-r.first) + 1
		r.started = false
	}
	switch {
	case !r.started:
		r.started, r.first, r.last = true, counter, counter
	case int32(counter-r.last) > 0:
		r.last = counter
	}
}

// Newer tells whether the counter lies behind everything taken so far.
func (r *Run) Newer(counter uint32) bool { return !r.started || int32(counter-r.last) > 0 }

// Expected returns how many packets should have come.
func (r *Run) Expected() uint64 {
	if !r.started {
		return r.closed
	}
	return r.closed + uint64(r.last-r.first) + 1
}
