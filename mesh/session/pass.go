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

// Bounds and times of what is passed.
const (
	maxPolls  = 1 << 15          // that wait here for clients of one other node
	busyTime  = time.Second      // a client whose poll is one too many asks again after that
	pollTime  = 30 * time.Second // a poll of another node is answered by then
	passTime  = 4 * time.Second  // an owner that has not answered a request by then is taken for gone
	callTime  = 10 * time.Second // a request of another node is answered by then
	spareTime = time.Second      // taken off a poll's time
)

// Call passes a request of a client that polls to its session's owner and returns the reply. Nobody owns the session if
// found is false. An error says that the owner does not answer; whether it did what was asked is not known.
func (s *Sessions) Call(ctx context.Context, session uint64, transport, address string, request []byte) (reply []byte, found bool, err error) {
	q := wire.Marshal(callMessage{session, transport, address, request})
	var r callReply
	found, err = s.pass(ctx, session, KindCall, q, func(b []byte) (bool, error) {
		err := wire.Unmarshal(b, &r)
		return !r.Unknown, err
	})
	return r.Reply, found, err
}

// Poll waits at a session's owner for up to n events until ctx is done. Found and the error are Call's.
func (s *Sessions) Poll(ctx context.Context, session uint64, n int) (events [][]byte, found bool, err error) {
	var r pollReply
	m := pollMessage{Session: session, Most: uint32(max(n, 1)), Within: pollTime} //nolint:gosec // small
	if deadline, ok := ctx.Deadline(); ok {
		m.Within = time.Until(deadline) - spareTime // for the answer to come back in time
	}
	q := wire.Marshal(m)
	found, err = s.pass(ctx, session, KindPoll, q, func(b []byte) (bool, error) {
		err := wire.Unmarshal(b, &r)
		return !r.Unknown, err
	})
	if r.Busy {
		pause(ctx, busyTime)
	}
	return r.Events, found, err
}

// pass asks a session's owner. An owner that does not know the session is not believed to be it a second time.
func (s *Sessions) pass(ctx context.Context, session uint64, k link.Kind, q []byte, read func([]byte) (known bool, err error)) (found bool, err error) {
	for _, fresh := range [...]bool{false, true} {
		r := s.find(ctx, session, fresh)
		if r.Owner == "" || r.Owner == s.cfg.Self {
			return false, nil
		}
		within := passTime
		if k == KindPoll {
			within = pollTime + spareTime
		}
		b, err := s.callWithin(ctx, within, r.Owner, k, q)
		known := true
		if err == nil {
			known, err = read(b)
		}
		if err != nil {
			if ctx.Err() != nil && k == KindPoll {
				return true, nil // nothing came in time
			}
			s.unlearn(session)
			return true, fmt.Errorf("%w: %s: %w", ErrUnreachable, r.Owner, err)
		}
		if known {
			return true, nil
		}
		s.unlearn(session)
	}
	return false, nil
}

// callWithin is Config.Call with a bound of its own.
func (s *Sessions) callWithin(ctx context.Context, within time.Duration, to link.NodeID, k link.Kind, q []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	return s.cfg.Call(ctx, to, k, q)
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
		ctx, cancel := context.WithTimeout(ctx, callTime)
		defer cancel()
		reply, found := s.local.Call(ctx, m.Session, m.Transport, m.Address, m.Request)
		return callReply{!found, reply}
	})
	answer(s, KindPoll, s.servePoll)
	notice(s, KindRequest, s.requested)
	notice(s, KindMessage, s.messaged)
	notice(s, KindTaken, s.taken)
	notice(s, KindHang, s.hungUp)
	notice(s, KindCut, s.cutOff)
}

// servePoll waits for events for a client of another node.
func (s *Sessions) servePoll(ctx context.Context, from link.NodeID, m *pollMessage) any {
	s.mu.Lock()
	busy := s.polls[from] >= maxPolls
	if !busy {
		s.polls[from]++
	}
	s.mu.Unlock()
	if busy {
		return pollReply{Busy: true}
	}
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.polls[from]--; s.polls[from] == 0 {
			delete(s.polls, from)
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, min(m.Within, pollTime))
	defer cancel()
	stop := context.AfterFunc(s.base, cancel)
	defer stop()
	events, found := s.local.Poll(ctx, m.Session, int(min(max(m.Most, 1), maxEvents)))
	return pollReply{Unknown: !found, Events: events}
}

// maxEvents bounds the events of one poll.
const maxEvents = 256

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
