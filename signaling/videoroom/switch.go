package videoroom

import (
	"context"

	"cardea/relay/plane"
	"cardea/signaling/janus"
)

var switchStreamParams = []janus.Param{
	{Name: "mid", Type: janus.String, Required: true},
	{Name: "sub_mid", Type: janus.String, Required: true},
	{Name: "substream", Type: janus.PosInt},
	{Name: "temporal", Type: janus.PosInt},
	{Name: "fallback", Type: janus.PosInt},
	{Name: "spatial_layer", Type: janus.PosInt},
	{Name: "temporal_layer", Type: janus.PosInt},
}

// switchStreams gives lines other sources, without negotiation unless a line was inactive.
func (s *session) switchStreams(ctx context.Context, m *janus.Message) error {
	sub, body := s.subscriber.Load(), m.Body
	if err := check(body, janus.Param{Name: "streams", Type: janus.Array}); err != nil {
		return err
	}
	r := sub.room
	r.mu.Lock()
	result, err := sub.switchTo(s.plugin.ids, body)
	negotiate := err == nil && result.negotiate
	if negotiate && !sub.answered {
		sub.pending, negotiate = true, false
	}
	if err == nil {
		s.plugin.tell(r, s, "switched", nil)
	}
	event := object{"videoroom": "event", "room": r.id, "switched": "ok", "changes": result.changes, "streams": sub.summary()}
	r.mu.Unlock()
	if err != nil {
		return err
	}
	s.syncSubscriptions(ctx)
	for _, id := range result.keyframes {
		s.requestKeyframe(ctx, id)
	}
	if negotiate {
		s.renegotiate(ctx, sub, m.Transaction)
	}
	s.h.Push(m.Transaction, event, nil)
	return nil
}

// switched is what a switch came to.
type switched struct {
	changes   int
	negotiate bool // a line that was inactive carries something now
	keyframes []plane.StreamID
}

// switchTo gives lines other sources as a request says.
func (s *subscriber) switchTo(k ids, body janus.Object) (result switched, err error) {
	r := s.room
	wanted := body.Objects("streams")
	if len(wanted) == 0 {
		return result, s.legacySwitch(k, body)
	}
	sources := make([]*stream, len(wanted))
	for i, w := range wanted {
		if err := check(w, switchStreamParams...); err != nil {
			return result, err
		}
		p, err := r.feedOf(k, w)
		if err != nil {
			return result, err
		}
		if p.e2ee != s.e2ee {
			return result, refuse(codeInvalidFeed, "Can't switch between encrypted and other media (%s)", p.id)
		}
		if sources[i] = p.stream(w.String("mid")); sources[i] == nil {
			return result, refuse(codeNoSuchFeed, "No such mid '%s' in feed (%s)", w.String("mid"), p.id)
		}
		if err := checkLayers(w); err != nil {
			return result, err
		}
	}
	for i, st := range sources {
		l := s.line(wanted[i].String("sub_mid"))
		if l == nil || l.kind != st.kind || l.codec != st.codec || l.has(st) {
			continue
		}
		result.changes++
		result.negotiate = l.replace(st) || result.negotiate
		l.retarget(wanted[i])
		if l.kind == plane.Video && !st.owner.dummy {
			result.keyframes = append(result.keyframes, st.id())
		}
	}
	return result, nil
}

// legacySwitch answers a request that names only a feed. Janus 1.1.2 looks for the lines to switch in the wrong list, so
// that it never finds one; this is the same answer.
func (s *subscriber) legacySwitch(k ids, body janus.Object) error {
	id := k.get(body, "feed")
	if k.strings && !body.Has("feed") {
		return refuse(codeMissingElement, "At least one between 'streams' and 'feed' must be specified")
	}
	if s.room.feed(id) == nil {
		return refuse(codeNoSuchFeed, "No such feed (%s)", id)
	}
	return refuse(codeInvalidElement, "Empty switch list")
}

// has tells whether a stream is among the line's sources.
func (l *line) has(st *stream) bool {
	_, ok := st.lines[l]
	return ok
}

// replace gives the line another source in place of its first; it tells whether it was inactive. What was agreed with the
// client stays as it is.
func (l *line) replace(st *stream) (wasInactive bool) {
	old := l.source()
	l.join(st)
	if old != nil {
		l.drop(old)
	}
	l.send = true
	l.reset()
	return old == nil
}

// retarget applies the layers that a switch asks for.
func (l *line) retarget(w janus.Object) {
	for name, want := range map[string]*int{
		"substream": &l.want.substream, "temporal": &l.want.temporal,
		"spatial_layer": &l.want.spatial, "temporal_layer": &l.want.temporalSVC,
	} {
		if n, ok := number(w, name, 2); ok {
			*want = n
		}
	}
}
