package session

import (
	"context"
	"errors"
	"fmt"
	"time"

	"cardea/relay/link"
	"cardea/relay/link/wire"
)

// ErrUnreachable says that a session's owner is known and does not answer.
var ErrUnreachable = errors.New("the session's node does not answer")

// errLink says that the link ended while something was waited for.
var errLink = errors.New("the link is down")

// Bounds and times of requests that are passed as calls.
const (
	maxCalls        = 96              // at one owner, of all clients: a link answers some hundreds at a time
	maxSessionCalls = 8               // for one session
	passTime        = 4 * time.Second // an owner that has not answered by then is asked whether it lives
	connectTime     = 3 * time.Second // for a link to a session's owner
)

// Call passes a request of a client that polls to its session's owner and returns the reply, nil if there is none in time.
// Nobody owns the session if found is false. An error says that the owner cannot be reached; whether it did what was asked is
// not known.
func (s *Sessions) Call(ctx context.Context, session uint64, transport, address string, request []byte) (reply []byte, found bool, err error) {
	q := wire.Marshal(callMessage{session, transport, address, request})
	for _, fresh := range [...]bool{false, true} {
		r := s.find(ctx, session, fresh)
		if r.Owner == "" || r.Owner == s.cfg.Self {
			return nil, false, nil
		}
		answer, err := s.callAt(ctx, r.Owner, session, q)
		switch {
		case err != nil && s.connect(ctx, r.Owner) == nil:
			s.cfg.Log.Warn("a session's node does not answer a request", "owner", r.Owner, "error", err)
			return nil, true, nil
		case err != nil:
			s.unlearn(session)
			return nil, true, fmt.Errorf("%w: %s: %w", ErrUnreachable, r.Owner, err)
		case !answer.Unknown:
			return answer.Reply, true, nil
		}
		s.unlearn(session) // it is not believed to be the owner a second time
	}
	return nil, false, nil
}

// callAt passes a request to one node.
func (s *Sessions) callAt(ctx context.Context, owner link.NodeID, session uint64, q []byte) (r callReply, err error) {
	s.mu.Lock()
	full := s.calls[owner] >= maxCalls || s.sessionCalls[session] >= maxSessionCalls
	if !full {
		s.calls[owner]++
		s.sessionCalls[session]++
	}
	s.mu.Unlock()
	if full {
		return r, errFull
	}
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.calls[owner]--; s.calls[owner] == 0 {
			delete(s.calls, owner)
		}
		if s.sessionCalls[session]--; s.sessionCalls[session] == 0 {
			delete(s.sessionCalls, session)
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, passTime)
	defer cancel()
	b, err := s.cfg.Call(ctx, owner, KindCall, q)
	if err != nil {
		return r, err
	}
	return r, wire.Unmarshal(b, &r)
}

// errFull says that too many requests wait for the owner already.
var errFull = errors.New("too many requests")

// connect makes sure that there is a link to a node: a node that is gone has none.
func (s *Sessions) connect(ctx context.Context, to link.NodeID) error {
	ctx, cancel := context.WithTimeout(ctx, connectTime)
	defer cancel()
	return s.cfg.Connect(ctx, to)
}

// handle registers what other nodes ask.
func (s *Sessions) handle() {
	answer(s, KindAnnounce, func(_ context.Context, from link.NodeID, m *announceMessage) any {
		return announceReply{s.announced(from, m.Entries[:min(len(m.Entries), maxEntries)])}
	})
	answer(s, KindFind, func(_ context.Context, _ link.NodeID, m *findMessage) any {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.keeper.find(m.Session)
	})
	answer(s, KindTake, func(_ context.Context, from link.NodeID, m *takeMessage) any {
		s.mu.Lock()
		defer s.mu.Unlock()
		return takeReply{s.keeper.take(from, *m, time.Now())}
	})
	answer(s, KindCall, func(ctx context.Context, _ link.NodeID, m *callMessage) any {
		ctx, cancel := context.WithTimeout(ctx, passTime)
		defer cancel()
		reply, found := s.local.Call(ctx, m.Session, m.Transport, m.Address, m.Request)
		return callReply{!found, reply}
	})
	answer(s, KindPolled, s.polled)
	notice(s, KindPoll, s.pollFor)
	notice(s, KindUnpoll, s.unpoll)
	notice(s, KindRequest, s.requested)
	notice(s, KindMessage, s.messaged)
	notice(s, KindTaken, s.taken)
	notice(s, KindHang, s.hungUp)
	notice(s, KindCut, s.cutOff)
}

// answer registers what answers a kind of call.
func answer[M any](s *Sessions, k link.Kind, f func(ctx context.Context, from link.NodeID, m *M) any) {
	s.cfg.Handle(k, func(ctx context.Context, from link.NodeID, b []byte) ([]byte, error) {
		var m M
		if err := wire.Unmarshal(b, &m); err != nil {
			return nil, err
		}
		return wire.Marshal(f(ctx, from, &m)), nil
	})
}

// notice registers what takes a kind of notice. Malformed ones are dropped: the gap is noticed.
func notice[M any](s *Sessions, k link.Kind, f func(from link.NodeID, m *M)) {
	s.cfg.HandleNotice(k, func(from link.NodeID, b []byte) {
		var m M
		if err := wire.Unmarshal(b, &m); err != nil {
			s.cfg.Log.Warn("malformed notice", "from", from, "kind", k, "error", err)
			return
		}
		f(from, &m)
	})
}
