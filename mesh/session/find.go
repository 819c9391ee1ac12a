package session

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"cardea/relay/link"
)

// Bounds on looking for owners: anybody can make up session ids.
const (
	maxAsks   = 1024    // owners looked for at once
	maxCached = 1 << 16 // owners known, and sessions known to be none
)

// findPauses are the times between the attempts to find a session that no keeper knows: its owner may just be announcing it.
var findPauses = [...]time.Duration{50 * time.Millisecond, 150 * time.Millisecond, 300 * time.Millisecond}

// cached is what is known of a session without asking. Without an owner it was looked for and not found.
type cached struct {
	record
	until time.Time
}

// find returns the record of a session, one without an owner when there is none. Fresh asks the keepers even if the record
// is known, and takes the highest epoch of what they say.
func (s *Sessions) find(ctx context.Context, session uint64, fresh bool) record {
	s.mu.Lock()
	c, known := s.cache[session]
	_, mine := s.own[session]
	alone := len(s.nodes) == 1
	s.mu.Unlock()
	if mine || alone {
		return record{}
	}
	if known && time.Now().Before(c.until) && (!fresh || c.Owner == "") {
		return c.record
	}
	select {
	case s.asks <- struct{}{}:
		defer func() { <-s.asks }()
	default:
		return record{} // somebody makes up sessions
	}
	r := s.askKeepers(ctx, session)
	for _, d := range findPauses {
		if r.Owner != "" || ctx.Err() != nil || fresh {
			break
		}
		pause(ctx, d)
		r = s.askKeepers(ctx, session)
	}
	if ctx.Err() == nil {
		s.learn(session, r)
	}
	return r
}

// askKeepers asks the session's keepers for its record and returns the one with the highest epoch.
func (s *Sessions) askKeepers(ctx context.Context, session uint64) record {
	s.mu.Lock()
	to := s.nodes.keepers(session)
	s.mu.Unlock()
	found := make([]record, len(to))
	var asked sync.WaitGroup
	for i, id := range to {
		asked.Go(func() {
			if id == s.cfg.Self {
				s.mu.Lock()
				defer s.mu.Unlock()
				found[i] = s.keeper.find(session)
				return
			}
			if err := s.ask(ctx, id, KindFind, findMessage{session}, &found[i]); err != nil {
				found[i] = record{}
				s.cfg.Log.Debug("a keeper does not answer", "keeper", id, "error", err)
			}
		})
	}
	asked.Wait()
	return slices.MaxFunc(append(found, record{}), func(a, b record) int { return cmp.Compare(a.Epoch, b.Epoch) })
}

// learn keeps what was found.
func (s *Sessions) learn(session uint64, r record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.cache) >= maxCached {
		for old := range s.cache { // any will do
			if delete(s.cache, old); len(s.cache) < maxCached {
				break
			}
		}
	}
	s.cache[session] = cached{r, time.Now().Add(cacheTime)}
}

// unlearn forgets what was found.
func (s *Sessions) unlearn(session uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.cache, session)
}

// sweepCache forgets what was found long ago. Called with mu held.
func (s *Sessions) sweepCache(now time.Time) {
	for session, c := range s.cache {
		if now.After(c.until) {
			delete(s.cache, session)
		}
	}
}

// Places returns the nodes where the media of a session is, as its owner last announced it.
func (s *Sessions) Places(ctx context.Context, session uint64) []link.NodeID {
	s.mu.Lock()
	var places []string
	if o := s.own[session]; o != nil {
		places = o.places
	}
	s.mu.Unlock()
	if places == nil {
		places = s.find(ctx, session, false).Places
	}
	at := make([]link.NodeID, len(places))
	for i, p := range places {
		at[i] = link.NodeID(p)
	}
	return at
}

// Take makes this node the owner of a session that another had, and returns the epoch of its ownership: whatever adopts
// something for the session is fenced by it. It returns 0 if there is no such session, if somebody else takes it, or if its
// keepers do not answer. Whether the owner lives is for the caller to judge.
func (s *Sessions) Take(ctx context.Context, session uint64) (epoch uint64) {
	seen := s.find(ctx, session, true)
	if seen.Owner == "" {
		return 0
	}
	m := takeMessage{Session: session, Seen: seen.Epoch, Epoch: nextEpoch(seen.Epoch, s.cfg.Self)}
	s.mu.Lock()
	to := s.nodes.keepers(session)
	s.mu.Unlock()
	for _, id := range to { // the first that answers decides; the others are told below
		r, err := s.askTake(ctx, id, m)
		if err != nil || r.Owner == "" {
			continue
		}
		if r.Owner != s.cfg.Self || r.Epoch != m.Epoch {
			s.learn(session, r)
			return 0
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.hold(session, &owned{epoch: m.Epoch, places: seen.Places})
		return m.Epoch
	}
	return 0
}

func (s *Sessions) askTake(ctx context.Context, id link.NodeID, m takeMessage) (record, error) {
	if id == s.cfg.Self {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.keeper.take(id, m, time.Now()), nil
	}
	var r takeReply
	err := s.ask(ctx, id, KindTake, m, &r)
	return r.Record, err
}
