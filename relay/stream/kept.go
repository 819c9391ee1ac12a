package stream

// What follows is for a sink that passes packets on as they are, to another node. The stream is locked.

// Kept returns the number of the first packet of a layer's last keyframe, if that and all that followed it is there to be sent to
// somebody new.
func (s *Stream) Kept(layer int, now int64) (seq int64, ok bool) {
	l := &s.layers[layer]
	return l.keySeq, !s.muted && l.replayable(now, keptTime)
}

// Cached returns the packet of a layer that has the number or, where that is missing, the next one that is there; nil when there
// is none.
func (s *Stream) Cached(layer int, seq int64) *Packet {
	r := &s.layers[layer].ring
	if !r.started {
		return nil
	}
	for seq = max(seq, r.highest-int64(len(r.index))+1); seq <= r.highest; seq++ {
		if p := r.get(seq); p != nil {
			return p
		}
	}
	return nil
}

// Reported returns what SenderReport told of a layer last: the pair of clocks, and when it came; ok is false if it never did.
func (s *Stream) Reported(layer int) (ntp uint64, rtp uint32, arrival int64, ok bool) {
	r := &s.layers[layer].report
	return r.ntp, r.rtp, r.arrival, r.known
}
