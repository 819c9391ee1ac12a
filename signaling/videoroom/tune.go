package videoroom

import (
	"context"
	"math"
	"time"

	"cardea/relay/plane"
	"cardea/signaling/janus"
)

var (
	configureParams = []janus.Param{
		{Name: "streams", Type: janus.Array},
		{Name: "update", Type: janus.Bool},
		{Name: "restart", Type: janus.Bool},
		{Name: "audio", Type: janus.Bool},
		{Name: "video", Type: janus.Bool},
		{Name: "data", Type: janus.Bool},
	}
	configureStreamParams = []janus.Param{
		{Name: "mid", Type: janus.String},
		{Name: "send", Type: janus.Bool},
		{Name: "audio_level_average", Type: janus.PosInt},
		{Name: "audio_active_packets", Type: janus.PosInt},
		{Name: "substream", Type: janus.PosInt},
		{Name: "temporal", Type: janus.PosInt},
		{Name: "fallback", Type: janus.PosInt},
		{Name: "spatial_layer", Type: janus.PosInt},
		{Name: "temporal_layer", Type: janus.PosInt},
		{Name: "min_delay", Type: janus.Int},
		{Name: "max_delay", Type: janus.Int},
	}
)

// configureSubscriber changes what a subscriber gets of its lines.
func (s *session) configureSubscriber(ctx context.Context, m *janus.Message) error {
	sub, body := s.subscriber.Load(), m.Body
	if err := check(body, configureParams...); err != nil {
		return err
	}
	keyframes, err := sub.configure(body)
	if err != nil {
		return err
	}
	s.syncSubscriptions(ctx)
	for _, id := range keyframes {
		s.requestKeyframe(ctx, id)
	}
	event := object{"videoroom": "event", "room": sub.room.id, "configured": "ok"}
	restart := body.Bool("restart", false)
	if !restart && !body.Bool("update", false) {
		s.h.Push(m.Transaction, event, nil)
		return nil
	}
	r := sub.room
	r.mu.Lock()
	if !sub.answered {
		sub.pending, sub.restart = true, true
		r.mu.Unlock()
		return nil // as Janus: the offer that follows the awaited answer is all that comes
	}
	sub.answered = false
	lines := sub.offer()
	r.mu.Unlock()
	if !s.offer(ctx, sub, m.Transaction, event, lines, restart) {
		r.mu.Lock()
		sub.answered = true
		r.mu.Unlock()
		return refuse(codeUnknown, "Error creating offer")
	}
	return nil
}

// configure applies a configure request that was checked; it returns the streams of which a keyframe is wanted.
func (s *subscriber) configure(body janus.Object) ([]plane.StreamID, error) {
	s.room.mu.Lock()
	defer s.room.mu.Unlock()
	if s.kicked {
		return nil, refuse(codeUnauthorized, "Unauthorized, you have been kicked")
	}
	changes := body.Objects("streams")
	if !body.Has("streams") {
		changes = []janus.Object{legacyStream(body, "mid", "send", "spatial_layer", "substream", "temporal_layer", "temporal",
			"fallback", "min_delay", "max_delay")}
	}
	byKind := map[plane.Kind]bool{}
	for name, kind := range map[string]plane.Kind{"audio": plane.Audio, "video": plane.Video, "data": plane.Data} {
		if body.Has(name) {
			byKind[kind] = body.Bool(name, false)
		}
	}
	for _, c := range changes {
		if err := check(c, configureStreamParams...); err != nil {
			return nil, err
		}
		mid, named := c["mid"].(string)
		switch {
		case !named && len(changes) > 1:
			return nil, refuse(codeInvalidElement, "Invalid value (mid can't be null in a streams array)")
		case named && s.line(mid) == nil:
			return nil, refuse(codeNoSuchFeed, "No such mid '%s' in subscription", mid)
		case named:
			clear(byKind)
		}
		if err := checkLayers(c); err != nil {
			return nil, err
		}
	}
	var keyframes []plane.StreamID
	for _, l := range s.lines {
		wanted := false
		if send, ok := byKind[l.kind]; ok {
			l.send, wanted = send, send
		}
		for _, c := range changes {
			if mid, named := c["mid"].(string); !named || mid == l.mid() {
				wanted = l.configure(c) || wanted
			}
		}
		if st := l.source(); wanted && st != nil && l.kind == plane.Video {
			keyframes = append(keyframes, st.id())
		}
	}
	return keyframes, nil
}

// configure applies what a request says of the line; it tells whether a keyframe is wanted.
func (l *line) configure(c janus.Object) (keyframe bool) {
	if c.Has("send") {
		l.send = c.Bool("send", true)
		keyframe = l.send
	}
	if l.kind != plane.Video {
		return keyframe
	}
	st := l.source()
	switch {
	case st != nil && st.simulcast:
		keyframe = l.aim(c, "substream", &l.want.substream, l.now.substream) || keyframe
		keyframe = l.aim(c, "temporal", &l.want.temporal, l.now.temporal) || keyframe
		if n, ok := number(c, "fallback", math.MaxInt32); ok {
			l.fallback = time.Duration(n) * time.Microsecond
		}
	case st != nil && st.svc:
		keyframe = l.aim(c, "spatial_layer", &l.want.spatial, l.now.spatial) || keyframe
		l.aim(c, "temporal_layer", &l.want.temporalSVC, l.now.temporalSVC)
	}
	delays(c, &l.minDelay, &l.maxDelay)
	return keyframe
}

// aim changes a wanted layer as a request says. If the layer flows already the subscriber is told so at once, else a
// keyframe is wanted.
func (l *line) aim(c janus.Object, name string, want *int, now int) (keyframe bool) {
	n, ok := number(c, name, 2)
	if !ok {
		return false
	}
	*want = n
	if n == now {
		l.tellLayer(name, n)
		return false
	}
	return true
}
