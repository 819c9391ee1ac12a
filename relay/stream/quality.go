package stream

import (
	"cardea/relay/codec"
	"cardea/relay/plane"
)

// Quality is one thing that a stream offers: everything of a simulcast encoding up to a spatial and a temporal layer.
type Quality struct {
	Substream int8   // simulcast encoding, 0 the lowest
	Spatial   int8   // highest spatial layer, 0 when the stream has none
	Temporal  int8   // highest temporal layer, 0 when the stream has none
	Bitrate   uint32 // bits/s on the wire of all that the quality holds, measured over about a second
}

// Highest is the limit that limits nothing.
var Highest = Quality{Substream: MaxLayers - 1, Spatial: codec.MaxSpatial - 1, Temporal: codec.MaxTemporal - 1}

// appendQualities appends what flows now or would if it were wanted, the lowest first. Of what does not flow only the whole
// is known: it counts as one quality, of the spatial and temporal layers of whole. The stream is locked.
func (s *Stream) appendQualities(dst []Quality, now, fallback int64, whole Quality) []Quality {
	for i := range s.layers {
		l := &s.layers[i]
		hinted := l.hint.offers(now)
		flows := l.alive(now, fallback) && now-l.lastArrival <= goneTime
		switch {
		case hinted && (!flows || now-l.lastArrival > 2*rateWindow):
			whole.Substream, whole.Bitrate = int8(i), uint32(min(l.hint.bits, 4e9)) //nolint:gosec // below MaxLayers, bounded
			dst = append(dst, whole)
		case flows:
			dst = l.appendQualities(dst, int8(i), now) //nolint:gosec // below MaxLayers
		}
	}
	return dst
}

func (l *layer) appendQualities(dst []Quality, substream int8, now int64) []Quality {
	var lower [codec.MaxTemporal]uint32 // of the spatial layers below, by temporal layer
	for s := range int8(codec.MaxSpatial) {
		var sum uint32
		flows := false
		for t := range int8(codec.MaxTemporal) {
			rate := l.rates.bitrate(now, int(s), int(t))
			lower[t] += rate
			sum += lower[t]
			if rate == 0 {
				continue
			}
			flows = true
			dst = append(dst, Quality{Substream: substream, Spatial: s, Temporal: t, Bitrate: sum})
		}
		if !flows && s > 0 {
			break
		}
	}
	return dst
}

// Stats is what flowed through a stream since it was made.
type Stats struct {
	Packets   uint64
	Bytes     uint64 // payload
	Keyframes uint64
	Refused   uint64 // packets that were too late, or for which the cache had no room
	Codec     string // lower case, of the last packet
	Width     int    // of the last keyframe of the highest layer, 0 when unknown
	Height    int
	Layers    []plane.LayerStats // those that flow; RID is left to the caller
}

// Stats returns the stream's counters and rates.
func (s *Stream) Stats(now int64) Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := Stats{Refused: s.refused}
	for i := range s.layers {
		l := &s.layers[i]
		st.Packets += l.packets
		st.Bytes += l.bytes
		st.Keyframes += l.keyframes
		if l.packets > 0 {
			st.Codec = l.format.String()
		}
		if l.width > 0 {
			st.Width, st.Height = int(l.width), int(l.height)
		}
		if l.lastArrival == 0 || now-l.lastArrival > goneTime {
			continue
		}
		st.Layers = append(st.Layers, s.layerStats(i, now))
	}
	return st
}

// layerStats returns what flows of one layer. The stream is locked.
func (s *Stream) layerStats(i int, now int64) plane.LayerStats {
	l := &s.layers[i]
	st := plane.LayerStats{
		Substream: -1, Spatial: l.topSpatial(now, goneTime), Temporal: -1,
		SSRC: l.ssrc, Bitrate: l.rates.total(now), Rate: l.rates.frameRate(now),
	}
	if len(s.layers) > 1 {
		st.Substream = int8(i) //nolint:gosec // below MaxLayers
	}
	return st
}
