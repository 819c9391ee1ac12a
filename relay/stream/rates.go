package stream

import "cardea/relay/codec"

// rates measures what flows of a layer, by spatial and temporal layer, over the last two windows: about a second.
type rates struct {
	began   int64 // ns, of the present window
	length  int64 // ns, of the last one; 0 before there was one
	windows uint8 // that are over, at most 2
	frames  [2]uint32
	present [codec.MaxSpatial][codec.MaxTemporal]uint32 // bytes
	last    [codec.MaxSpatial][codec.MaxTemporal]uint32
}

// add counts a packet.
func (r *rates) add(p *Packet, newFrame bool) {
	if r.began == 0 {
		r.began = p.Arrival
	}
	r.roll(p.Arrival)
	s := min(max(p.Info.Spatial, 0), codec.MaxSpatial-1)
	t := min(max(p.Info.Temporal, 0), codec.MaxTemporal-1)
	r.present[s][t] += uint32(len(p.Payload)) + overhead //nolint:gosec // a packet
	if newFrame {
		r.frames[0]++
	}
}

// overhead is what a packet costs on the wire beside its payload: IP, UDP, RTP with extensions, and the SRTP tag.
const overhead = 20 + 8 + 24 + 16

// roll begins a new window when the present one is over.
func (r *rates) roll(now int64) {
	length := now - r.began
	if length < rateWindow {
		return
	}
	if length > 4*rateWindow { // what was before a silence says nothing of now
		*r = rates{began: now}
		return
	}
	r.last, r.present = r.present, [codec.MaxSpatial][codec.MaxTemporal]uint32{}
	r.frames[1], r.frames[0] = r.frames[0], 0
	r.began, r.length = now, length
	r.windows = min(r.windows+1, 2)
}

// span returns the time the counters stand for, ns.
func (r *rates) span(now int64) int64 { return max(now-r.began, 0) + r.length }

// settled is span for rates that decisions rest on. A layer begins with a keyframe, several times as large as what follows, so
// until two windows are over what came is taken for no less than a second's worth.
func (r *rates) settled(now int64) int64 {
	if r.windows < 2 {
		return max(r.span(now), 2*rateWindow)
	}
	return r.span(now)
}

// bitrate returns bits/s of one spatial and temporal layer.
func (r *rates) bitrate(now int64, s, t int) uint32 {
	return perSecond(8*int64(r.present[s][t]+r.last[s][t]), r.settled(now))
}

// total returns bits/s of all of them.
func (r *rates) total(now int64) uint32 {
	var n int64
	for s := range r.present {
		for t := range r.present[s] {
			n += int64(r.present[s][t] + r.last[s][t])
		}
	}
	return perSecond(8*n, r.settled(now))
}

// topTemporal returns the highest temporal layer that flows.
func (r *rates) topTemporal() int8 {
	for t := int8(codec.MaxTemporal - 1); t >= 0; t-- {
		for s := range r.present {
			if r.present[s][t]+r.last[s][t] > 0 {
				return t
			}
		}
	}
	return -1
}

// frameRate returns frames/s.
func (r *rates) frameRate(now int64) float64 {
	span := r.span(now)
	if span < rateWindow/2 {
		return 0
	}
	return float64(r.frames[0]+r.frames[1]) * 1e9 / float64(span)
}

// perSecond scales a count over a span to a second.
func perSecond(n, span int64) uint32 {
	return uint32(min(float64(n)*1e9/float64(max(span, 1)), 4e9))
}
