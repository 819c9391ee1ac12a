package videoroom

import (
	"context"
	"strings"

	"cardea/relay/plane"
	"cardea/signaling/janus"
)

// start lets media flow, for the first time with the answer to our offer.
func (s *session) start(ctx context.Context, m *janus.Message) error {
	sub := s.subscriber.Load()
	if m.JSEP != nil && !strings.EqualFold(m.JSEP.Type, "answer") {
		return refuse(codeInvalidSDPType, "Only publishers send offers")
	}
	if m.JSEP != nil {
		if err := s.h.Accept(ctx, m.JSEP); err != nil {
			s.h.Log().Info("answer not accepted", "error", err)
			return refuse(codeInvalidSDP, "Error processing answer")
		}
	}
	r := sub.room
	r.mu.Lock()
	resumed := sub.paused && m.JSEP == nil
	sub.paused = false
	again := false
	if m.JSEP != nil {
		sub.accept(m.JSEP)
		again = sub.pending
	}
	r.mu.Unlock()
	s.h.Push(m.Transaction, object{"videoroom": "event", "room": r.id, "started": "ok"}, nil)
	s.syncSubscriptions(ctx)
	if resumed {
		s.requestKeyframes(ctx, sub)
	}
	if again {
		s.renegotiate(ctx, sub, "")
	}
	return nil
}

// accept takes note of the lines that an answer accepts.
func (s *subscriber) accept(answer *janus.JSEP) {
	s.answered = true
	for i, m := range answer.SDP.Medias {
		if i >= len(s.lines) {
			break
		}
		l := s.lines[i]
		taken := !m.Rejected && (m.Direction != plane.Inactive || l.kind == plane.Data)
		if taken && len(l.sources) > 0 {
			l.ready = true
		}
	}
}

// pause stops everything from flowing until the next start.
func (s *session) pause(ctx context.Context, m *janus.Message) error {
	sub := s.subscriber.Load()
	sub.room.mu.Lock()
	sub.paused = true
	sub.room.mu.Unlock()
	s.syncSubscriptions(ctx)
	s.h.Push(m.Transaction, object{"videoroom": "event", "room": sub.room.id, "paused": "ok"}, nil)
	return nil
}

// leaveSubscription ends the subscription. The handle cannot be used for another.
func (s *session) leaveSubscription(ctx context.Context, m *janus.Message) error {
	sub := s.subscriber.Load()
	sub.end()
	s.plugin.tell(sub.room, s, "unsubscribed", nil)
	s.h.ClosePeer(ctx, "Close PC")
	s.h.Push(m.Transaction, object{"videoroom": "event", "room": sub.room.id, "left": "ok"}, nil)
	return nil
}
