package stream

import "time"

// A stream that comes from another node brings only the layers that somebody here wants. What is known of the others is
// what that node says of them, so that layers can be chosen before they flow: choosing one makes demand, demand makes it
// flow a round trip later, and until its keyframe is there a track goes on with what it has.

// hintTime is how long a hint holds. Whoever gives hints repeats them before that.
const hintTime = int64(5 * time.Second)

// hint is what an upstream node said of a layer.
type hint struct {
	bits  uint64 // a second on the wire
	rate  float64
	at    int64 // ns
	known bool
}

func (h *hint) fresh(now int64) bool { return h.known && now-h.at <= hintTime }

// offers tells whether the layer flows upstream.
func (h *hint) offers(now int64) bool { return h.bits > 0 && h.fresh(now) }

// ended tells whether the layer was said not to flow upstream after the last packet of it came.
func (h *hint) ended(now, lastArrival int64) bool {
	return h.bits == 0 && h.at > lastArrival && h.fresh(now)
}

// Hint tells of a layer what flows of it at the node it comes from, in bits/s on the wire and frames/s, whether or not it
// flows here. 0 bits/s stand for a layer that does not flow there either. A hint holds for 5 s.
func (s *Stream) Hint(layer int, bits uint64, rate float64, now int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if layer >= 0 && layer < len(s.layers) {
		s.layers[layer].hint = hint{bits: bits, rate: rate, at: now, known: true}
		s.clock = max(s.clock, now)
	}
}

// Demanded returns the layers, as a bit set, that the sinks use or want.
func (s *Stream) Demanded(now int64) uint8 {
	s.mu.Lock()
	defer s.mu.Unlock()
	var layers uint8
	for _, k := range s.sinks {
		layers |= k.Layers(now)
	}
	return layers & (1<<len(s.layers) - 1)
}

// Best returns the highest layer that flows or would if it were wanted; the highest there is while nothing does. The stream is
// locked: it is for [Sink.Layers].
func (s *Stream) Best(now int64) int {
	for i := len(s.layers) - 1; i >= 0; i-- {
		if l := &s.layers[i]; l.alive(now, int64(DefaultFallback)) || l.hint.offers(now) {
			return i
		}
	}
	return len(s.layers) - 1
}

// Wanted returns the substreams, as a bit set, that the track relays or wants: none while it is paused or detached.
func (t *Track) Wanted(now int64) uint8 {
	if t.stream == nil || t.paused {
		return 0
	}
	if !t.keyed {
		return 1 << uint8(max(t.layer, 0)) //nolint:gosec // not negative
	}
	want := t.desired(now)
	if want < 0 {
		want = t.hoped()
	}
	layers := uint8(1) << uint8(want) //nolint:gosec // not negative
	if t.layer >= 0 {
		layers |= 1 << uint8(t.layer)
	}
	return layers
}

// invite asks for a keyframe of the wanted substream if that does not flow here yet: no packet of it will be a reason to.
func (t *Track) invite() {
	if t.stream == nil || !t.keyed || t.paused || t.layer < 0 {
		return
	}
	now := t.stream.clock
	if want := t.desired(now); want != t.layer && !t.stream.layers[want].alive(now, t.fallback) {
		t.ask(want, now)
	}
}

// Flow is what is known of one layer of a stream.
type Flow struct {
	Bits uint64  // a second on the wire, about; 0 when it flows neither here nor at the node it comes from
	Rate float64 // frames/s
}

// Flows appends to dst what flows of each layer now, the lowest first.
func (s *Stream) Flows(dst []Flow, now int64) []Flow {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.layers {
		l := &s.layers[i]
		var f Flow
		idle := now - l.lastArrival
		flows := l.alive(now, int64(DefaultFallback)) && idle <= goneTime
		switch {
		case l.hint.offers(now) && (!flows || idle > 2*rateWindow):
			f.Bits, f.Rate = l.hint.bits, l.hint.rate
		case flows:
			f.Bits, f.Rate = uint64(max(l.rates.total(now), 1)), l.rates.frameRate(now)
		}
		dst = append(dst, f)
	}
	return dst
}
