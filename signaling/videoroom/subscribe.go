package videoroom

import (
	"context"
	"math"
	"slices"
	"strings"
	"time"

	"cardea/relay/plane"
	"cardea/signaling/janus"
)

var (
	subscriberParams = []janus.Param{
		{Name: "streams", Type: janus.Array},
		{Name: "private_id", Type: janus.PosInt},
		{Name: "autoupdate", Type: janus.Bool},
		{Name: "audio", Type: janus.Bool},
		{Name: "video", Type: janus.Bool},
		{Name: "data", Type: janus.Bool},
		{Name: "offer_audio", Type: janus.Bool},
		{Name: "offer_video", Type: janus.Bool},
		{Name: "offer_data", Type: janus.Bool},
		{Name: "substream", Type: janus.PosInt},
		{Name: "temporal", Type: janus.PosInt},
		{Name: "fallback", Type: janus.PosInt},
		{Name: "spatial_layer", Type: janus.PosInt},
		{Name: "temporal_layer", Type: janus.PosInt},
	}
	subscriberStreamParams = []janus.Param{
		{Name: "mid", Type: janus.String},
		{Name: "crossrefid", Type: janus.String},
		{Name: "send", Type: janus.Bool},
		{Name: "substream", Type: janus.PosInt},
		{Name: "temporal", Type: janus.PosInt},
		{Name: "fallback", Type: janus.PosInt},
		{Name: "spatial_layer", Type: janus.PosInt},
		{Name: "temporal_layer", Type: janus.PosInt},
		{Name: "min_delay", Type: janus.Int},
		{Name: "max_delay", Type: janus.Int},
	}
	unsubscribeParams = []janus.Param{{Name: "mid", Type: janus.String}, {Name: "sub_mid", Type: janus.String}}
)

// joinSubscriber makes a subscriber of the handle and offers it what it asks for.
func (s *session) joinSubscriber(ctx context.Context, m *janus.Message) error {
	body := m.Body
	if m.JSEP != nil {
		return refuse(codeInvalidRequest, "Can't send an offer to create subscribers")
	}
	if err := check(body, subscriberParams...); err != nil {
		return err
	}
	wanted, legacy := body.Objects("streams"), false
	if len(wanted) == 0 {
		if err := check(body, s.plugin.ids.param("feed", true)); err != nil {
			return err
		}
		wanted, legacy = []janus.Object{{"feed": body["feed"]}}, true
	}
	var sub *subscriber
	event, err := s.plugin.visit(ctx, body, func(r *room) (object, error) {
		var err error
		if sub, err = r.subscribe(s, body, wanted, legacy); err != nil {
			return nil, err
		}
		event := object{"videoroom": "attached", "room": r.id, "streams": sub.summary()}
		if legacy {
			event["warning"] = "deprecated_api"
			feed := r.byID[s.plugin.ids.get(body, "feed")]
			event["id"] = feed.id
			if feed.display != nil {
				event["display"] = *feed.display
			}
		}
		return event, nil
	})
	if err != nil {
		return err
	}
	s.subscriber.Store(sub)
	sub.room.mu.Lock()
	s.enterRoom(sub.room)
	sub.tellSubscription("subscribing")
	lines := sub.offer()
	sub.room.mu.Unlock()
	if !s.offer(ctx, sub, m.Transaction, event, lines, false) {
		sub.end()
		sub.forget()
		s.subscriber.Store(nil)
		return refuse(codeUnknown, "Error creating offer")
	}
	return nil
}

// subscribe makes a subscriber of a join request, in the room already.
func (r *room) subscribe(s *session, body janus.Object, wanted []janus.Object, legacy bool) (*subscriber, error) {
	e2ee := e2eeUnknown
	if r.cfg.RequireE2EE {
		e2ee = e2eeYes
	}
	feeds, err := r.feeds(s.plugin.ids, wanted, &e2ee)
	if err != nil {
		return nil, err
	}
	sub := newSubscriber(r, s)
	if n, ok := number(body, "private_id", math.MaxUint32); ok {
		sub.privateID = uint32(n)
	}
	if r.cfg.RequirePrivateID {
		if sub.owner = r.owner(sub.privateID); sub.owner == nil {
			return nil, refuse(codeUnauthorized, "Unauthorized (this room requires a valid private_id)")
		}
	}
	sub.useMsid, sub.autoupdate = body.Bool("use_msid", false), body.Bool("autoupdate", true)
	sub.e2ee = e2ee == e2eeYes
	for _, f := range feeds {
		for _, st := range f.streams {
			if legacy && !body.Bool("offer_"+st.kind.String(), true) {
				continue
			}
			if len(sub.lines) >= maxLines {
				sub.unlink()
				return nil, refuse(codeUnknown, "Too many streams")
			}
			if l := sub.attach(st); l != nil {
				l.tune(f.request)
			}
		}
	}
	if len(sub.lines) == 0 {
		return nil, refuse(codeInvalidSDP, "Can't offer an SDP with no stream")
	}
	r.subscribers[sub] = struct{}{}
	if sub.owner != nil {
		sub.owner.subscriptions[sub] = struct{}{}
	}
	return sub, nil
}

// owner returns whose private id a subscriber showed, nil if it is nobody's.
func (r *room) owner(privateID uint32) *participant {
	if p := r.byPrivateID[privateID]; p != nil || privateID == 0 {
		return p
	}
	i := slices.IndexFunc(r.members, func(p *participant) bool {
		return p.remote && p.shared.privateTag == privateTag(r.id, p.id, privateID)
	})
	if i < 0 {
		return nil
	}
	return r.members[i]
}

// unlink takes all sources from all lines.
func (s *subscriber) unlink() {
	for _, l := range s.lines {
		l.clear()
	}
}

// wantedFeed is one element of a request to subscribe: the streams it comes to.
type wantedFeed struct {
	request janus.Object
	streams []*stream
}

// encryption says what is known of the media of a subscription: all of it is encrypted end to end, or none.
type encryption uint8

const (
	e2eeUnknown encryption = iota
	e2eeNo
	e2eeYes
)

// feeds finds the streams of requests to subscribe. All must be encrypted end to end, or none.
func (r *room) feeds(k ids, wanted []janus.Object, e2ee *encryption) ([]wantedFeed, error) {
	var found []wantedFeed
	for _, w := range wanted {
		if err := check(w, subscriberStreamParams...); err != nil {
			return nil, err
		}
		p, err := r.feedOf(k, w)
		if err != nil {
			return nil, err
		}
		switch {
		case *e2ee == e2eeYes && !p.e2ee:
			return nil, refuse(codeInvalidFeed, "Can't have not end-to-end encrypted feed in this subscription (%s)", p.id)
		case *e2ee == e2eeNo && p.e2ee:
			return nil, refuse(codeInvalidFeed, "Can't have end-to-end encrypted feed in this subscription (%s)", p.id)
		case p.e2ee:
			*e2ee = e2eeYes
		default:
			*e2ee = e2eeNo
		}
		f := wantedFeed{request: w, streams: p.streams}
		if mid, ok := w["mid"].(string); ok {
			st := p.stream(mid)
			if st == nil {
				return nil, refuse(codeNoSuchFeed, "No such mid '%s' in feed (%s)", mid, p.id)
			}
			f.streams = []*stream{st}
		}
		if err := checkLayers(w); err != nil {
			return nil, err
		}
		found = append(found, f)
	}
	return found, nil
}

// feedOf finds the publisher that a request names.
func (r *room) feedOf(k ids, request janus.Object) (*participant, error) {
	if err := check(request, k.param("feed", true)); err != nil {
		return nil, err
	}
	id := k.get(request, "feed")
	p := r.feed(id)
	if p == nil {
		return nil, refuse(codeNoSuchFeed, "No such feed (%s)", id)
	}
	return p, nil
}

// checkLayers checks the layers that a request asks for.
func checkLayers(o janus.Object) error {
	for _, c := range [][2]string{{"spatial_layer", "substream"}, {"temporal_layer", "temporal"}} {
		for _, name := range c {
			if n, ok := number(o, name, math.MaxInt16); ok && (n < 0 || n > 2) {
				if c[1] == "substream" {
					return refuse(codeInvalidElement, "Invalid value (substream/spatial_layer should be 0, 1 or 2)")
				}
				return refuse(codeInvalidElement, "Invalid value (temporal/temporal_layer should be 0, 1 or 2)")
			}
		}
	}
	return nil
}

// tune applies what a request to subscribe says of a new line.
func (l *line) tune(request janus.Object) {
	l.crossref = optional(request, "crossrefid")
	l.send = request.Bool("send", true)
	if l.kind != plane.Video {
		return
	}
	for name, want := range map[string]*int{
		"substream": &l.want.substream, "temporal": &l.want.temporal,
		"spatial_layer": &l.want.spatial, "temporal_layer": &l.want.temporalSVC,
	} {
		if n, ok := number(request, name, 2); ok {
			*want = n
		}
	}
	if n, ok := number(request, "fallback", math.MaxInt32); ok {
		l.fallback = time.Duration(n) * time.Microsecond
	}
	delays(request, &l.minDelay, &l.maxDelay)
}

// updateSubscription answers subscribe, unsubscribe and update.
func (s *session) updateSubscription(ctx context.Context, m *janus.Message) error {
	sub, body := s.subscriber.Load(), m.Body
	add, remove, err := s.wantedUpdate(body)
	if err != nil {
		return err
	}
	r := sub.room
	r.mu.Lock()
	changed, err := sub.update(s.plugin.ids, add, remove)
	awaiting := !sub.answered
	if err == nil && changed && awaiting {
		sub.pending = true
	}
	if err == nil && changed {
		sub.tellSubscription("updated")
	}
	r.mu.Unlock()
	if err != nil {
		return err
	}
	switch {
	case !changed:
		s.h.Push(m.Transaction, object{"videoroom": "updated", "room": r.id}, nil)
		s.syncSubscriptions(ctx) // another source of a data line needs no negotiation
	case awaiting:
		s.h.Push(m.Transaction, object{"videoroom": "updating", "room": r.id}, nil)
		s.syncSubscriptions(ctx)
	default:
		s.renegotiate(ctx, sub, m.Transaction)
	}
	return nil
}

// wantedUpdate checks a request to change a subscription and returns what it wants added and removed.
func (s *session) wantedUpdate(body janus.Object) (add, remove []janus.Object, err error) {
	addName, removeName := "streams", "streams"
	switch strings.ToLower(body.String("request")) {
	case "update":
		addName, removeName = "subscribe", "unsubscribe"
		err = check(body, janus.Param{Name: addName, Type: janus.Array}, janus.Param{Name: removeName, Type: janus.Array})
	case "subscribe":
		removeName = ""
		err = check(body, janus.Param{Name: "streams", Type: janus.Array, Required: true})
	default:
		addName = ""
		err = check(body, janus.Param{Name: "streams", Type: janus.Array, Required: true})
	}
	if err != nil {
		return nil, nil, err
	}
	add, remove = body.Objects(addName), body.Objects(removeName)
	if add != nil && len(add) == 0 {
		return nil, nil, refuse(codeInvalidElement, "Empty subscription list")
	}
	if remove != nil && len(remove) == 0 {
		return nil, nil, refuse(codeInvalidElement, "Empty unsubscription list")
	}
	for _, o := range remove {
		if err := check(o, unsubscribeParams...); err != nil {
			return nil, nil, err
		}
		if err := check(o, s.plugin.ids.param("feed", false)); err != nil {
			return nil, nil, err
		}
	}
	if add == nil && remove == nil {
		return nil, nil, refuse(codeMissingElement, "At least one of either 'subscribe' or 'unsubscribe' must be present")
	}
	return add, remove, nil
}

// update changes the subscription: what is removed goes first. It tells whether anything has to be negotiated.
func (s *subscriber) update(k ids, add, remove []janus.Object) (changed bool, err error) {
	r := s.room
	e2ee := e2eeNo
	if s.e2ee {
		e2ee = e2eeYes
	}
	feeds, err := r.feeds(k, add, &e2ee)
	if err != nil {
		return false, err
	}
	for _, o := range remove {
		changed = s.remove(k, o) || changed
	}
	for _, f := range feeds {
		for _, st := range f.streams {
			if st.disabled {
				continue
			}
			if len(s.lines) >= maxLines {
				return changed, refuse(codeUnknown, "Too many streams")
			}
			if l := s.attach(st); l != nil {
				l.tune(f.request)
				changed = true
			}
		}
	}
	if s.skipped {
		s.skipped, changed = false, true
	}
	return changed, nil
}

// remove takes away the sources that one element of a request names: those of a line, or those of a feed. It tells whether
// anything has to be negotiated; a data line stays as it is.
func (s *subscriber) remove(k ids, o janus.Object) (changed bool) {
	if mid, ok := o["sub_mid"].(string); ok {
		l := s.line(mid)
		if l == nil {
			return false
		}
		l.clear()
		return true
	}
	if !o.Has("feed") {
		return false
	}
	feed := s.room.feed(k.get(o, "feed"))
	mid, named := o["mid"].(string)
	for _, l := range s.lines {
		for _, st := range slices.Backward(l.sources) {
			if st.owner == feed && (!named || st.mid == mid) {
				l.drop(st)
				changed = changed || l.kind != plane.Data
			}
		}
	}
	return changed
}
