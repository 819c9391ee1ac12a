package session

import (
	"context"
	"slices"
	"sync"
	"time"

	"cardea/relay/link"
	"cardea/relay/link/wire"
)

// maxEntries bounds the entries of one announcement.
const maxEntries = 4096

// owned is a session of this node's.
type owned struct {
	epoch  uint64
	places []string
}

// teller tells one keeper of this node's sessions. Guarded by Sessions.mu.
type teller struct {
	pending map[uint64]entry // not told yet, by session
	running bool             // a goroutine tells them
}

// Own says that this node owns a new session from now on. A chosen id may be another session's: then Own waits for the
// keepers, as long as ctx allows, and false says that it is taken.
func (s *Sessions) Own(ctx context.Context, session uint64, chosen bool) bool {
	epoch := nextEpoch(0, s.cfg.Self)
	if chosen && !s.reserve(ctx, entry{Session: session, Epoch: epoch, New: true}) {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hold(session, &owned{epoch: epoch})
	return true
}

// hold makes a session this node's. Called with mu held.
func (s *Sessions) hold(session uint64, o *owned) {
	s.own[session] = o
	delete(s.cache, session)
	s.mark(entry{Session: session, Epoch: o.epoch, Places: o.places})
}

// reserve asks the keepers to take a session in unless it is another's. A keeper that does not answer does not object.
func (s *Sessions) reserve(ctx context.Context, e entry) bool {
	s.mu.Lock()
	to := s.nodes.keepers(e.Session)
	s.mu.Unlock()
	free := make([]bool, len(to))
	var asked sync.WaitGroup
	for i, id := range to {
		asked.Go(func() {
			lost, err := s.tell(ctx, id, []entry{e})
			free[i] = err != nil || len(lost) == 0
		})
	}
	asked.Wait()
	if !slices.Contains(free, false) {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	e.New, e.Over = false, true
	s.mark(e) // one of them may have taken it in
	return false
}

// Disown says that a session of this node's is over.
func (s *Sessions) Disown(session uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if o := s.own[session]; o != nil {
		delete(s.own, session)
		s.mark(entry{Session: session, Epoch: o.epoch, Over: true})
	}
}

// Release says that a session of this node's is about to be another's: its keepers know it as this node's until that one takes it.
func (s *Sessions) Release(session uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.own, session)
	delete(s.cache, session)
}

// Placed says at which nodes the media of a session of this node's is. It never waits.
func (s *Sessions) Placed(session uint64, at []link.NodeID) {
	places := make([]string, len(at))
	for i, id := range at {
		places[i] = string(id)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if o := s.own[session]; o != nil {
		o.places = places
		s.mark(entry{Session: session, Epoch: o.epoch, Places: o.places})
	}
}

// markAll has the keepers told of all sessions. Called with mu held.
func (s *Sessions) markAll() {
	for session, o := range s.own {
		s.mark(entry{Session: session, Epoch: o.epoch, Places: o.places})
	}
}

// mark has a session's keepers told of it. Called with mu held.
func (s *Sessions) mark(e entry) {
	for _, id := range s.nodes.keepers(e.Session) {
		t := s.tellers[id]
		if t == nil {
			t = &teller{pending: make(map[uint64]entry)}
			s.tellers[id] = t
		}
		t.pending[e.Session] = e
		if !t.running && s.base.Err() == nil {
			t.running = true
			s.work.Go(func() { s.tellAll(id, t) })
		}
	}
}

// tellAll tells a keeper what is pending until that is nothing, or the keeper is gone.
func (s *Sessions) tellAll(id link.NodeID, t *teller) {
	for {
		entries := s.batch(id, t)
		if len(entries) == 0 {
			return
		}
		lost, err := s.tell(s.base, id, entries)
		if err == nil {
			s.lose(entries, lost)
			continue
		}
		s.cfg.Log.Debug("sessions not announced", "keeper", id, "error", err)
		s.mu.Lock()
		for _, e := range entries {
			if _, newer := t.pending[e.Session]; !newer {
				t.pending[e.Session] = e
			}
		}
		s.mu.Unlock()
		pause(s.base, retryTime)
	}
}

// batch takes some of what is pending; nothing when the goroutine is to end.
func (s *Sessions) batch(id link.NodeID, t *teller) []entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(t.pending) == 0 || s.tellers[id] != t || s.base.Err() != nil {
		t.running = false
		if s.tellers[id] == t && len(t.pending) == 0 {
			delete(s.tellers, id)
		}
		return nil
	}
	entries := make([]entry, 0, min(len(t.pending), maxEntries))
	for session, e := range t.pending {
		if len(entries) == maxEntries {
			break
		}
		entries = append(entries, e)
		delete(t.pending, session)
	}
	return entries
}

// tell announces entries to one keeper, which may be this node, and returns the sessions that are another's.
func (s *Sessions) tell(ctx context.Context, id link.NodeID, entries []entry) ([]uint64, error) {
	if id == s.cfg.Self {
		return s.announced(id, entries), nil
	}
	var r announceReply
	err := s.ask(ctx, id, KindAnnounce, announceMessage{entries}, &r)
	return r.Lost, err
}

// announced takes in what an owner announces.
func (s *Sessions) announced(from link.NodeID, entries []entry) (lost []uint64) {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range entries {
		if s.keeper.announce(from, e, now) {
			lost = append(lost, e.Session)
		}
	}
	return lost
}

// lose gives up those of the sessions told that are another's, unless they became this node's again meanwhile.
func (s *Sessions) lose(told []entry, lost []uint64) {
	if len(lost) == 0 {
		return
	}
	others := make(map[uint64]struct{}, len(lost))
	for _, session := range lost {
		others[session] = struct{}{}
	}
	for _, e := range told {
		if _, other := others[e.Session]; !other {
			continue
		}
		s.mu.Lock()
		o := s.own[e.Session]
		mine := o != nil && o.epoch <= e.Epoch
		if mine {
			delete(s.own, e.Session)
		}
		s.mu.Unlock()
		if mine {
			s.cfg.Log.Warn("another node owns a session of ours", "session", e.Session)
			s.local.Lost(e.Session)
		}
	}
}

// ask makes a call and reads the answer.
func (s *Sessions) ask(ctx context.Context, to link.NodeID, k link.Kind, message, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	b, err := s.cfg.Call(ctx, to, k, wire.Marshal(message))
	if err != nil {
		return err
	}
	return wire.Unmarshal(b, answer)
}

// pause waits, unless ctx is done before.
func pause(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
