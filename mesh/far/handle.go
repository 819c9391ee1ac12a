package far

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"

	"cardea/relay/link"
	"cardea/relay/link/wire"
	"cardea/relay/plane"
)

// handle registers what answers the calls of other nodes.
func (s *Server) handle() {
	on(s, KindOpen, func(ctx context.Context, v *view, m *openMessage) (any, error) {
		t, err := v.Open(ctx, m.Peer, m.Options)
		return transportReply{t}, err
	})
	on(s, KindRestart, func(ctx context.Context, v *view, m *restartMessage) (any, error) {
		t, err := v.Restart(ctx, m.Peer, m.Generation)
		return transportReply{t}, err
	})
	on(s, KindNegotiate, func(ctx context.Context, v *view, m *negotiateMessage) (any, error) {
		return nothing{}, v.Negotiate(ctx, m.Peer, m.Session)
	})
	on(s, KindAddCandidates, func(ctx context.Context, v *view, m *candidatesMessage) (any, error) {
		return nothing{}, v.AddCandidates(ctx, m.Peer, m.Candidates, m.Complete)
	})
	on(s, KindPublish, func(ctx context.Context, v *view, m *publishMessage) (any, error) {
		return nothing{}, v.Publish(ctx, m.Peer, m.Publications)
	})
	on(s, KindSubscribe, func(ctx context.Context, v *view, m *subscribeMessage) (any, error) {
		return nothing{}, v.Subscribe(ctx, m.Peer, m.Subscriptions)
	})
	on(s, KindKeyframe, func(ctx context.Context, v *view, m *streamMessage) (any, error) {
		return nothing{}, v.Keyframe(ctx, m.Stream)
	})
	on(s, KindForward, func(ctx context.Context, v *view, m *forwardMessage) (any, error) {
		port, err := v.Forward(ctx, m.Forwarder)
		return forwardReply{port}, err
	})
	on(s, KindStopForward, func(ctx context.Context, v *view, m *forwarderMessage) (any, error) {
		return nothing{}, v.StopForward(ctx, m.ID)
	})
	on(s, KindStats, func(ctx context.Context, v *view, m *peerMessage) (any, error) {
		st, err := v.Stats(ctx, m.Peer)
		return statsReply{st}, err
	})
	on(s, KindClose, func(ctx context.Context, v *view, m *peerMessage) (any, error) {
		return nothing{}, v.Close(ctx, m.Peer)
	})
	on(s, KindKeep, func(ctx context.Context, v *view, m *keepMessage) (any, error) {
		return nothing{}, v.Keep(ctx, m.Peer, m.Version, m.Snapshot)
	})
	on(s, KindKept, func(ctx context.Context, v *view, m *sessionMessage) (any, error) {
		l, err := v.Kept(ctx, m.Session)
		return keptReply{l}, err
	})
	on(s, KindAdopt, func(ctx context.Context, v *view, m *adoptMessage) (any, error) {
		return nothing{}, v.Adopt(ctx, m.Peer, m.Epoch)
	})
	on(s, KindEvents, func(ctx context.Context, v *view, m *eventsMessage) (any, error) {
		ctx, cancel := context.WithTimeout(ctx, pollTime)
		defer cancel()
		l, log, err := v.poll(ctx, m.Log, m.After)
		if errors.Is(err, context.DeadlineExceeded) {
			err = nil // nothing happened
		}
		return eventsReply{log, l}, err
	})
}

// on registers what answers one kind of call: f is given the caller's view and the message, and returns what is answered.
// What it returns with an error travels along.
func on[M any](s *Server, k link.Kind, f func(ctx context.Context, v *view, m *M) (any, error)) {
	s.cfg.Handle(k, func(ctx context.Context, from link.NodeID, b []byte) (answer []byte, _ error) {
		ctx, cancel := context.WithTimeout(ctx, serveTime)
		defer cancel()
		defer func() {
			if p := recover(); p != nil {
				s.cfg.Log.Error("panic in a call", "from", from, "kind", k, "panic", p, "stack", string(debug.Stack()))
				answer = wire.Marshal(reply{Fault: faultOther, Text: "internal error"})
			}
		}()
		body, err := dispatch(ctx, s, from, b, f)
		r := reply{Fault: faultOf(err)}
		if err != nil {
			r.Text = strings.ToValidUTF8(err.Error(), "?")
		}
		if body != nil {
			r.Body = wire.Marshal(body)
		}
		return wire.Marshal(r), nil
	})
}

func dispatch[M any](ctx context.Context, s *Server, from link.NodeID, b []byte, f func(context.Context, *view, *M) (any, error)) (any, error) {
	var q request
	var m M
	if err := wire.Unmarshal(b, &q); err != nil {
		return nil, fmt.Errorf("%w: %w", plane.ErrInvalid, err)
	}
	if err := wire.Unmarshal(q.Body, &m); err != nil {
		return nil, fmt.Errorf("%w: %w", plane.ErrInvalid, err)
	}
	if from == "" || q.Lease == 0 || q.Number == 0 {
		return nil, fmt.Errorf("%w: a call without a caller", plane.ErrInvalid)
	}
	return f(ctx, &view{server: s, lease: leaseName{from, q.Lease}, number: q.Number}, &m)
}
