package session

import (
	"context"
	"fmt"
	"time"

	"cardea/relay/link"
	"cardea/relay/link/wire"
)

// Bounds and times of polls.
const (
	maxPolls    = 1 << 14          // that wait here for clients of one other node
	maxEvents   = 256              // of one poll
	busyTime    = time.Second      // a client whose poll is one too many asks again after that
	pollTime    = 30 * time.Second // a poll is answered by then
	spareTime   = time.Second      // taken off a poll's time, for its answer to come back in time
	deliverTime = 5 * time.Second  // for a poll's answer to be taken
)

// wait is a poll of a client of this node at another.
type wait struct {
	owner  link.NodeID
	answer chan *pollMessage // has room for one; nil: the link is down
}

// pollName names a poll of another node's client.
type pollName struct {
	node link.NodeID
	id   uint64
}

// Poll waits at a session's owner for up to n events until ctx is done. Found and the error are Call's.
func (s *Sessions) Poll(ctx context.Context, session uint64, n int) (events [][]byte, found bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, pollTime)
	defer cancel()
	for _, fresh := range [...]bool{false, true} {
		r := s.find(ctx, session, fresh)
		if r.Owner == "" || r.Owner == s.cfg.Self {
			return nil, false, nil
		}
		answer, err := s.pollAt(ctx, r.Owner, session, n)
		switch {
		case ctx.Err() != nil:
			return nil, true, nil
		case err != nil:
			s.unlearn(session)
			return nil, true, fmt.Errorf("%w: %s: %w", ErrUnreachable, r.Owner, err)
		case answer.Busy:
			pause(ctx, busyTime)
			return nil, true, nil
		case !answer.Unknown:
			return answer.Events, true, nil
		}
		s.unlearn(session)
	}
	return nil, false, nil
}

// pollAt polls at one node.
func (s *Sessions) pollAt(ctx context.Context, owner link.NodeID, session uint64, n int) (*pollMessage, error) {
	if err := s.connect(ctx, owner); err != nil {
		return nil, err
	}
	w := &wait{owner, make(chan *pollMessage, 1)}
	s.mu.Lock()
	s.serial++
	id := s.serial
	s.waits[id] = w
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.waits, id)
	}()
	deadline, _ := ctx.Deadline()
	m := pollNotice{ID: id, Session: session, Most: uint32(max(n, 1)), Within: time.Until(deadline) - spareTime} //nolint:gosec // small
	if err := s.cfg.Notify(owner, KindPoll, wire.Marshal(m)); err != nil {
		return nil, err
	}
	select {
	case r := <-w.answer:
		if r == nil {
			return nil, errLink
		}
		return r, nil
	case <-ctx.Done():
		s.send(owner, KindUnpoll, connNotice{id})
		return nil, ctx.Err()
	}
}

// polled takes the answer to a poll of this node's.
func (s *Sessions) polled(_ context.Context, from link.NodeID, m *pollMessage) any {
	s.mu.Lock()
	defer s.mu.Unlock()
	if w := s.waits[m.ID]; w != nil && w.owner == from {
		delete(s.waits, m.ID)
		w.answer <- m
	}
	return nothing{}
}

// pollFor begins a poll for a client of another node.
func (s *Sessions) pollFor(from link.NodeID, m *pollNotice) {
	name := pollName{from, m.ID}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.base.Err() != nil || s.polls[name] != nil {
		return
	}
	if s.pollsOf[from] >= maxPolls+maxPolls/8 {
		return // even refusals are too many; the client is answered when its time is over
	}
	busy := s.pollsOf[from] >= maxPolls
	ctx, cancel := context.WithTimeout(s.base, min(max(m.Within, 0), pollTime))
	s.polls[name] = cancel
	s.pollsOf[from]++
	s.work.Go(func() {
		defer s.endPoll(name)
		r := pollMessage{ID: m.ID, Busy: busy}
		if !busy {
			var found bool
			r.Events, found = s.local.Poll(ctx, m.Session, int(min(max(m.Most, 1), maxEvents)))
			r.Unknown = !found
		}
		if ctx.Err() != nil && len(r.Events) == 0 {
			return // the client was answered by its node, or is about to be
		}
		ctx, cancel := context.WithTimeout(s.base, deliverTime)
		defer cancel()
		if _, err := s.cfg.Call(ctx, from, KindPolled, wire.Marshal(r)); err != nil {
			s.cfg.Log.Debug("answer to a poll not delivered", "to", from, "events", len(r.Events), "error", err)
		}
	})
}

// endPoll forgets a poll of another node's client.
func (s *Sessions) endPoll(name pollName) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if cancel := s.polls[name]; cancel != nil {
		cancel()
	}
	delete(s.polls, name)
	if s.pollsOf[name.node]--; s.pollsOf[name.node] == 0 {
		delete(s.pollsOf, name.node)
	}
}

// unpoll ends a poll whose client is gone.
func (s *Sessions) unpoll(from link.NodeID, m *connNotice) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if cancel := s.polls[pollName{from, m.Conn}]; cancel != nil {
		cancel()
	}
}

// dropPolls ends the polls in both directions that a link carried. Called with mu held.
func (s *Sessions) dropPolls(id link.NodeID) {
	for name, cancel := range s.polls {
		if name.node == id {
			cancel()
		}
	}
	for n, w := range s.waits {
		if w.owner == id {
			delete(s.waits, n)
			w.answer <- nil
		}
	}
}
