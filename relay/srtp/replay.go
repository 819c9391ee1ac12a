package srtp

// replayWindow is how many packets, counted back from the newest, are told apart from replays. RFC 3711 section 3.3.2
// asks for 64 at least; a burst at 100 Mbit/s that is reordered by 100 ms needs a thousand.
const replayWindow = 1024

// replay remembers which of the newest packets came (RFC 3711 section 3.3.2). The zero value has seen nothing.
type replay struct {
	started bool
	highest uint64
	bits    [replayWindow / 64]uint64 // a ring: the bit of index i is i mod replayWindow
}

// estimate returns the index of an RTP packet from its sequence number: the one nearest to the highest so far (RFC 3711
// section 3.3.1 and appendix A).
func (r *replay) estimate(seq uint16) uint64 {
	if !r.started {
		return uint64(seq)
	}
	ahead := int64(int16(seq - uint16(r.highest)))
	if index := int64(r.highest) + ahead; index >= 0 {
		return uint64(index)
	}
	return uint64(seq) // before the first rollover there is nothing behind zero
}

// fresh tells whether a packet may be new.
func (r *replay) fresh(index uint64) bool {
	switch {
	case !r.started || index > r.highest:
		return true
	case r.highest-index >= replayWindow:
		return false
	}
	return r.bits[index%replayWindow/64]&(1<<(index%64)) == 0
}

// add remembers an authenticated packet for which fresh was true.
func (r *replay) add(index uint64) {
	if !r.started {
		r.started, r.highest = true, index
	}
	if index > r.highest {
		if index-r.highest >= replayWindow {
			clear(r.bits[:])
		} else {
			for i := r.highest + 1; i < index; i++ {
				r.bits[i%replayWindow/64] &^= 1 << (i % 64)
			}
		}
		r.highest = index
	}
	r.bits[index%replayWindow/64] |= 1 << (index % 64)
}
