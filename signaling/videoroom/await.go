package videoroom

import (
	"context"
	"slices"
	"time"
)

const (
	// reclaimTime is how long a participant is awaited whose node gave it up to another: as long as a client has by default to
	// claim its session at another node (reclaim_session_timeout).
	reclaimTime = 10 * time.Second
	// swapTime is how long one is awaited whose node is gone. If another node puts the same participant, the mesh says of it in one
	// breath that it is gone and that it is present, and need not say why: that is no leaving. It is so short that everybody
	// still sees within 5 s that a node is dead, with all that it had.
	swapTime = 100 * time.Millisecond
)

// await keeps a participant of another node for a while, although the mesh does not know of it any more.
func (p *participant) await(d time.Duration) {
	p.until = time.Now().Add(d)
	b, n := &p.room.held.inbox, &notice{what: overdue, participant: p.id.String()}
	time.AfterFunc(d, func() { b.put(n) })
}

func (p *participant) isAwaited() bool {
	p.room.mu.Lock()
	defer p.room.mu.Unlock()
	return !p.until.IsZero()
}

// giveUp ends the stay of a participant if it was awaited for long enough. Its node did not say how often it had announced its
// end: it is as when all handles there ended without a word.
func (r *room) giveUp(ctx context.Context, id ID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if m := r.mirror(id); m != nil && !m.until.IsZero() && !time.Now().Before(m.until) {
		r.bury(ctx, m, partLeaving, m.shared.unpublished+doubled)
	}
}

// stay returns the participant of an id, in the room or one who left but may feed subscribers; nil for none.
func (r *room) stay(id ID) *participant {
	if p := r.byID[id]; p != nil {
		return p
	}
	return r.departed[id]
}

// expect returns the stream that fed a line when its subscriber was on another node, nil if it ended since. One whose publisher is
// not known here is held for it: the mesh may tell of the publisher in a moment, or its session moves as well. Meanwhile
// media flows as it did.
func (r *room) expect(id ID, s *sourceState, codec string) *stream {
	kind, _ := kindOf(s.Stream.Kind) // checked
	p := r.stay(id)
	switch {
	case p == nil && r.held == nil:
		return nil
	case p == nil:
		p = newParticipant(id)
		p.room, p.remote, p.unseen, p.e2ee = r, true, true, s.E2EE
		p.shared.joined, p.shared.seat = s.Joined, s.Seat
		r.departed[id] = p
		p.await(reclaimTime)
	case p.shared.joined != s.Joined || p.shared.seat != s.Seat:
		return nil // it came again, or published again
	}
	st := p.stream(s.Stream.Mid)
	if st == nil && p.unseen && len(p.streams) < maxStreams {
		st = newStream(p, kind, len(p.streams), s.Stream.Mid)
		st.negotiated = s.Stream.negotiated()
		if d := s.Stream.Delay; d != nil {
			st.minDelay, st.maxDelay = d.Min, d.Max
		}
		p.streams = append(p.streams, st)
	}
	if st == nil || st.kind != kind || st.codec != codec {
		return nil
	}
	return st
}

// recognise takes in a participant of another node that subscribers here waited for. The mutex is let go of while subscribers get
// offers.
func (r *room) recognise(ctx context.Context, old *participant, e *entry) {
	m := newMirror(old.id, e)
	r.replace(old, m, e.Left == "")
	if m.present && r.cfg.NotifyJoining {
		m.announceJoining()
	}
	r.update(ctx, m, e)
	if lost := r.passOn(old, m); len(lost) > 0 {
		r.mu.Unlock()
		defer r.mu.Lock()
		renegotiateAll(ctx, lost)
	}
}

// replace puts p in the place of old, which is the same participant's of another node, or was this node's. Nobody is told.
func (r *room) replace(old, p *participant, present bool) {
	if i := slices.Index(r.members, old); i >= 0 {
		r.members = slices.Delete(r.members, i, i+1)
		delete(r.byID, old.id)
		delete(r.byPrivateID, old.privateID)
	}
	if r.departed[old.id] == old {
		delete(r.departed, old.id)
	}
	old.present = false
	r.enter(p, present)
}

// enter takes a participant in: into the room, or among those who left it but feed subscribers.
func (r *room) enter(p *participant, present bool) {
	if present {
		r.add(p)
		return
	}
	p.room = r
	r.departed[p.id] = p
}

// passOn has the streams of p feed what those of old did. It returns the subscribers that have to be told that some did not pass.
func (r *room) passOn(old, p *participant) (lost []*subscriber) {
	for _, was := range old.streams {
		st := p.stream(was.mid)
		if st != nil && st.kind == was.kind && st.codec == was.codec && p.shared.seat == old.shared.seat {
			st.takeOver(was)
		}
	}
	for sub := range old.subscriptions {
		sub.owner = p
		p.subscriptions[sub] = struct{}{}
	}
	clear(old.subscriptions)
	return old.dropLines()
}

// takeOver makes the stream the source of all lines that another one feeds.
func (st *stream) takeOver(was *stream) {
	for l := range was.lines {
		if l.has(st) {
			l.drop(was)
			continue
		}
		l.sources[slices.Index(l.sources, was)] = st
		st.lines[l] = struct{}{}
	}
	clear(was.lines)
}

// adopt makes the participant whose private id a subscriber showed its owner, if nobody is: the two may come from another node in any
// order.
func (p *participant) adopt() {
	r := p.room
	if !r.cfg.RequirePrivateID || !p.present {
		return
	}
	for sub := range r.subscribers {
		if sub.owner == nil && r.owner(sub.privateID) == p {
			sub.owner = p
			p.subscriptions[sub] = struct{}{}
		}
	}
}
