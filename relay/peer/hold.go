package peer

import (
	"slices"
	"time"

	"cardea/relay/plane"
	"cardea/relay/stream"
)

// A client sends all simulcast layers that its estimate of the path allows, whether anybody wants them or not, and no RTCP names
// a layer to stop. But encoders give the lower layers their due first: asked by REMB to stay below what the wanted layers take,
// the client stops those above, and it begins with a keyframe when it may send them again. Sound is not limited by it unless it
// carries transport-wide numbers, which the node does not agree to.
//
// That is done for clients that send one video only, in several encodings: what others would stop is theirs to choose. A single
// encoding is not limited, though nobody may be looking: the client would scale the picture down, and needs many seconds to
// scale it up again; spatial layers of one encoding come back as slowly.

const (
	// spareTime is how long nobody, on any node, must have wanted a layer before the client is limited to those below.
	spareTime = int64(5 * time.Second)
	// settleTime is how long layers may take to be back in full when the limit is lifted, and returnTime until when they must then
	// have stayed so. A client that does not manage, since its estimate climbs step by step or its path has hardly room for the
	// keyframes, is not limited again. rehearsalTime is how long the first limit lasts: so that is seen while nobody waits.
	settleTime    = int64(1500 * time.Millisecond)
	returnTime    = int64(4 * time.Second)
	rehearsalTime = int64(10 * time.Second)
	// rampTime is how long a client may take until it sends its highest layer for once: while its estimate still grows it is not
	// limited, for that would end the growth. Who takes longer has no more to send.
	rampTime = int64(time.Minute)
	// unfairTime is how long a client may take to give the wanted layers what they took before, while it sends others. One that gives less to all
	// alike is not limited again.
	unfairTime = int64(3 * time.Second)
	// flowTime is the silence after which a layer is taken not to flow.
	flowTime = int64(500 * time.Millisecond)
	// holdInterval is how often wishes are looked at that no request for a keyframe tells of, ns.
	holdInterval = int64(200 * time.Millisecond)
	// worthwhile is what must be saved at least, bits/s.
	worthwhile = 100_000
)

// layerFlow is what the client sends of one layer.
type layerFlow struct {
	bits uint64  // a second
	rate float64 // frames/s
	last int64   // ns, arrival of the last packet; 0 for none
}

// hold decides to how little a client that sends one simulcast line can be limited. It is pure.
type hold struct {
	stream   *stream.Stream // whose layers these are
	begun    int64          // ns
	full     int64          // ns, since when the highest layer flows; 0 while it does not
	wanted   [maxLayers]int64
	known    [maxLayers]layerFlow // what flowed while nothing kept it from doing so; bits are the most of late
	top      int                  // the highest layer the limit has room for
	limit    uint64               // bits/s; 0 for none
	ceiling  uint64               // where layers came that the limit was to hold back; 0 while none did
	tuned    int64                // ns, when the limit was set last
	reviewed int64                // ns
	limited  int64                // ns, when it began
	raised   int64                // ns, when the last limit was lifted; 0 when it was seen what came of that
	held     int                  // the first layer that had been held
	proven   bool                 // all came back as it was
	slow     bool                 // it did not
}

// begin begins with another stream: all of it counts as wanted just now.
func (h *hold) begin(s *stream.Stream, now int64) {
	*h = hold{stream: s, begun: now}
	for i := range h.wanted {
		h.wanted[i] = now
	}
}

// holds tells whether a layer that came last at a time is silent because the client was asked not to send it, and has not come
// back to it yet.
func (h *hold) holds(layer int, last, now int64) bool {
	switch {
	case now-last <= flowTime: // it does not obey, or not yet
		return false
	case h.limit > 0:
		return layer > h.top
	}
	return h.raised != 0 && layer >= h.held && last < h.raised && now-h.raised < settleTime
}

// want takes which layers are wanted, and lifts the limit at once if it has no room for them.
func (h *hold) want(layers uint8, now int64) (lifted bool) {
	for i := range h.wanted {
		if layers&(1<<i) == 0 {
			continue
		}
		h.wanted[i] = now
		if h.limit > 0 && i > h.top {
			h.lift(now)
			lifted = true
		}
	}
	return lifted
}

// lift ends the limit.
func (h *hold) lift(now int64) {
	if h.limit == 0 {
		return
	}
	h.limit, h.ceiling = 0, 0
	h.raised, h.held = now, h.top+1
}

// review takes what flows of each layer, and limits the client to what is wanted.
func (h *hold) review(flows []layerFlow, now int64) {
	h.reviewed = now
	if h.limit > 0 {
		if need := h.need(len(flows), now); need < h.top {
			h.set(need, len(flows), now)
		}
		if h.tune(flows, now); !h.proven && now-h.limited >= rehearsalTime {
			h.lift(now)
		}
		return
	}
	switch since := now - h.raised; {
	case h.raised == 0 || since < settleTime:
	case !h.returned(flows, now):
		h.slow, h.raised = true, 0
	case since >= returnTime:
		h.proven, h.raised = true, 0
	}
	for i, f := range flows {
		k := &h.known[i]
		switch {
		case h.raised != 0 && i >= h.held: // it is on its way
		case now-f.last > flowTime:
			*k = layerFlow{}
		default:
			f.bits = max(f.bits, k.bits-k.bits/256) // a quiet second says little of the next
			*k = f
		}
	}
	switch last := flows[len(flows)-1].last; {
	case last == 0 || now-last > flowTime:
		h.full = 0
	case h.full == 0:
		h.full = now
	}
	if now-h.begun < rampTime && (h.full == 0 || now-h.full < spareTime) {
		return
	}
	need, saved := h.need(len(flows), now), uint64(0)
	for _, k := range h.known[need+1:] {
		saved += k.bits
	}
	if !h.slow && h.raised == 0 && saved >= worthwhile {
		h.limited = now
		h.set(need, len(flows), now)
	}
}

// need returns the highest layer that was wanted lately; the lowest that there is if none was.
func (h *hold) need(layers int, now int64) (need int) {
	for i := range layers {
		if now-h.wanted[i] < spareTime {
			need = i
		}
	}
	for need < layers-1 && !slices.ContainsFunc(h.known[:need+1], func(k layerFlow) bool { return k.bits > 0 }) {
		need++
	}
	return need
}

// returned tells whether all that was held back flows again as it did before.
func (h *hold) returned(flows []layerFlow, now int64) bool {
	for i, k := range h.known[:len(flows)] {
		if f := &flows[i]; i >= h.held && k.bits > 0 && (now-f.last > flowTime || f.rate < 0.75*k.rate) {
			return false
		}
	}
	return true
}

// set limits the client to what the layers up to one take, and some more, but less than the next one needs.
func (h *hold) set(top, layers int, now int64) {
	var sum, next uint64
	for i, k := range h.known[:layers] {
		switch {
		case i <= top:
			sum += k.bits
		case next == 0:
			next = k.bits
		}
	}
	h.top, h.tuned, h.ceiling = top, now, 0
	h.limit = sum + max(sum/5, next/8)
}

// tune gives the layers below the limit more room if they use it up, and less to those above it that come all the same.
func (h *hold) tune(flows []layerFlow, now int64) {
	if now-h.tuned < int64(time.Second) {
		return
	}
	h.tuned = now
	var used uint64
	for _, f := range flows[:h.top+1] {
		used += f.bits
	}
	var least uint64 // what the wanted layers took without a limit
	for _, k := range h.known[:h.top+1] {
		least += k.bits
	}
	for _, f := range flows[h.top+1:] {
		if now-f.last < flowTime {
			if used < least/2 && now-h.limited >= unfairTime {
				h.lift(now)
				h.slow, h.raised = true, 0
				return
			}
			h.limit = max(h.limit/5*4, min(max(used, least), h.limit))
			h.ceiling = h.limit
			return
		}
	}
	if h.limit < used+used/9 && (h.ceiling == 0 || h.limit < h.ceiling) {
		h.limit += h.limit / 4
		if h.ceiling != 0 {
			h.limit = min(h.limit, h.ceiling)
		}
	}
}

// heldLine returns the line whose layers may be held back, nil if there is none.
func (p *Peer) heldLine(now int64) (only *line) {
	for _, l := range p.lines {
		if l.Kind != plane.Video {
			continue
		}
		sends := l.stream != nil && layersOf(l) > 1
		for _, src := range l.layers {
			sends = sends || src != nil && now-src.lastMedia < 4*flowTime
		}
		if !sends {
			continue
		}
		if only != nil || l.stream == nil || layersOf(l) == 1 || len(l.Codecs) == 0 || !l.Codecs[0].REMB {
			return nil
		}
		only = l
	}
	return only
}

// reviewHold looks at what is wanted of the client's video, and at what it sends.
func (p *Peer) reviewHold(now int64) {
	h := &p.hold
	if p.env.SendAllLayers || now-h.reviewed < holdInterval {
		return
	}
	limited := h.limit > 0
	if l := p.heldLine(now); l == nil {
		h.lift(now)
		h.reviewed = now
	} else {
		p.reviewLine(l, now)
	}
	if limited && h.limit == 0 {
		p.lifted(now)
	}
}

// reviewLine does so with the line whose layers may be held back.
func (p *Peer) reviewLine(l *line, now int64) {
	h := &p.hold
	if h.stream != l.stream {
		h.begin(l.stream, now)
	}
	h.want(l.stream.Demanded(now), now)
	var room [maxLayers]stream.Flow
	var flows [maxLayers]layerFlow
	measured := l.stream.Flows(room[:0], now)
	for i := range measured {
		if src := l.layers[i]; src != nil {
			flows[i] = layerFlow{bits: measured[i].Bits, rate: measured[i].Rate, last: src.lastMedia}
		}
	}
	h.review(flows[:len(measured)], now)
	if h.limit == 0 {
		return
	}
	for i := h.top + 1; i < len(measured); i++ {
		l.stream.Hint(i, h.known[i].bits, h.known[i].rate, now) // it can be chosen, and then comes
	}
}

// wantHeld lifts the limit if somebody wants more. It reports whether it did.
func (p *Peer) wantHeld(now int64) bool {
	h := &p.hold
	if h.stream == nil || h.limit == 0 || !h.want(h.stream.Demanded(now), now) {
		return false
	}
	p.lifted(now)
	return true
}

// lifted makes nothing of the silence that the limit brought about.
func (p *Peer) lifted(now int64) {
	for _, l := range p.lines {
		for _, src := range l.layers {
			if src != nil && src.viewer != nil && p.isHeld(src, now) {
				src.viewer.Pause() // what was not sent did not freeze
			}
		}
	}
}

// isHeld tells whether a source is silent because it was asked to be.
func (p *Peer) isHeld(s *source, now int64) bool {
	return s.line.stream != nil && s.line.stream == p.hold.stream && p.hold.holds(s.layer, s.lastMedia, now)
}
