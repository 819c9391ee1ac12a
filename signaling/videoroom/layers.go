package videoroom

import "cardea/relay/plane"

// layers tells the subscriber which layers of a line flow now.
func (s *subscriber) layers(e plane.Event) {
	s.room.mu.Lock()
	defer s.room.mu.Unlock()
	l := s.line(e.Mid)
	if l == nil || l.source() == nil {
		return
	}
	for _, c := range []struct {
		name string
		now  *int
		is   int8
	}{
		{"substream", &l.now.substream, e.Substream},
		{"temporal", &l.now.temporal, e.Temporal},
		{"spatial_layer", &l.now.spatial, e.SpatialLayer},
		{"temporal_layer", &l.now.temporalSVC, e.TemporalSVC},
	} {
		if c.is >= 0 {
			*c.now = int(c.is)
			l.tellLayer(c.name, *c.now)
		}
	}
}

// tellLayer sends an event about one layer of the line.
func (l *line) tellLayer(name string, layer int) {
	if l.sub.session == nil {
		return
	}
	e := l.sub.room.event()
	e["mid"], e[name] = l.mid(), layer
	l.sub.session.h.Push("", e, nil)
}
