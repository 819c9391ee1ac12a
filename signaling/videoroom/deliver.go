package videoroom

import (
	"context"
	"time"

	"cardea/relay/plane"
)

// subscriptions are what the media plane has to know of the subscriber's lines: those that the client accepted.
func (s *subscriber) subscriptions() []plane.Subscription {
	var subs []plane.Subscription
	for _, l := range s.lines {
		if !l.ready {
			continue
		}
		for _, st := range l.sources {
			subs = append(subs, l.subscription(st))
		}
	}
	return subs
}

func (l *line) subscription(st *stream) plane.Subscription {
	sub := plane.Subscription{
		Mid: l.mid(), Stream: st.id(), Paused: !l.send || l.sub.paused || l.sub.kicked,
		Substream: int8(l.want.substream), Temporal: int8(l.want.temporal), SpatialLayer: int8(l.want.spatial),
		TemporalSVC: int8(l.want.temporalSVC), Fallback: l.fallback,
	}
	least, most := l.minDelay, l.maxDelay
	if least < 0 || most < 0 {
		least, most = st.minDelay, st.maxDelay
	}
	if least >= 0 && most >= 0 {
		const step = 10 * time.Millisecond
		sub.PlayoutDelay = &plane.PlayoutDelay{Min: time.Duration(least) * step, Max: time.Duration(most) * step}
	}
	if l.kind == plane.Data {
		sub.Label = st.owner.id.String()
	}
	return sub
}

// sync tells the media plane of the subscriber's lines, in its handle's turn; changes at one time are told at once.
func (s *subscriber) sync() {
	if s.syncing || s.session == nil {
		return
	}
	s.syncing = s.session.h.Do(s.session.syncSubscriptions)
}

// closePeer closes the subscriber's PeerConnection in its handle's turn.
func (s *subscriber) closePeer() {
	if s.session != nil {
		s.session.h.ClosePeer(context.Background(), "Close PC") // does not wait
	}
}

// syncSubscriptions tells the media plane what feeds the subscriber's lines.
func (s *session) syncSubscriptions(ctx context.Context) {
	sub := s.subscriber.Load()
	if sub == nil {
		return
	}
	sub.room.mu.Lock()
	sub.syncing = false
	subs := sub.subscriptions()
	sub.room.mu.Unlock()
	if s.h.PeerID() == "" {
		return
	}
	if err := s.h.Subscribe(ctx, subs); err != nil {
		s.h.Log().Warn("subscriptions not applied", "error", err)
	}
}

// requestKeyframes asks for keyframes of everything the subscriber sees.
func (s *session) requestKeyframes(ctx context.Context, sub *subscriber) {
	sub.room.mu.Lock()
	var ids []plane.StreamID
	for _, l := range sub.lines {
		if st := l.source(); st != nil && l.kind == plane.Video && !st.owner.dummy {
			ids = append(ids, st.id())
		}
	}
	sub.room.mu.Unlock()
	for _, id := range ids {
		s.requestKeyframe(ctx, id)
	}
}

func (s *session) requestKeyframe(ctx context.Context, id plane.StreamID) {
	if err := s.h.Keyframe(ctx, id); err != nil {
		s.h.Log().Debug("keyframe not requested", "stream", id.Mid, "error", err)
	}
}
