package videoroom

import (
	"context"
	"errors"
	"fmt"
	"time"

	"cardea/relay/plane"
	"cardea/signaling/janus"
)

// settleTime bounds the wait for a participant's former node to be known to be gone: that takes 5 s, unless it gave the
// participant up.
const settleTime = 6 * time.Second

// errReplaced says that somebody else has a participant's id now.
var errReplaced = errors.New("the participant's id is another's")

// Snapshot implements [janus.Portable].
func (s *session) Snapshot() ([]byte, error) {
	st := state{Peer: s.h.PeerID(), HungUp: s.hungUp}
	if p := s.publisher.Load(); p != nil {
		p.room.mu.Lock()
		st.Publisher = p.state()
		p.room.mu.Unlock()
	} else if sub := s.subscriber.Load(); sub != nil {
		sub.room.mu.Lock()
		st.Subscriber = sub.state()
		sub.room.mu.Unlock()
	}
	return st.encode()
}

// Release implements [janus.Portable].
func (s *session) Release(context.Context) {
	if p := s.publisher.Load(); p != nil {
		p.room.mu.Lock()
		p.handOver()
		p.room.mu.Unlock()
	} else if sub := s.subscriber.Load(); sub != nil {
		sub.end()
		sub.forget()
	}
}

// handOver leaves the participant to another node. Until that one tells of it, it stays here as it does at all other nodes: as
// one of another node that is awaited. Its forwarders run on.
func (p *participant) handOver() {
	r := p.room
	if p.dummy || p.shared.lost || r.stay(p.id) != p {
		return
	}
	if r.held == nil {
		r.remove(p)
		delete(r.departed, p.id)
		return
	}
	e := p.entry()
	m := newMirror(p.id, &e)
	m.shared = p.shared
	m.shared.privateTag, m.shared.reported = e.PrivateTag, nil
	m.started, m.e2ee, m.negotiating = p.started, p.e2ee, p.shared.seat != 0
	present := p.present
	r.replace(p, m, present)
	m.copyStreams(e.Streams)
	m.copyForwarders(e.Forwarders)
	r.passOn(p, m)
	p.shared.lost, p.shown = true, false
	clear(p.forwarders)
	r.held.mesh.Remove(m.id.String(), m.farewell(partMoved))
	m.await(reclaimTime)
}

// Restore implements [janus.Heir].
func (p *Plugin) Restore(ctx context.Context, h *janus.Handle, b []byte) (janus.Instance, error) {
	st, err := readState(b)
	if err != nil {
		return nil, err
	}
	s := p.session(h)
	s.hungUp = st.HungUp
	live := st.Peer != "" && st.Peer == h.PeerID()
	switch {
	case st.Publisher != nil:
		err = s.restorePublisher(ctx, st.Publisher, live)
	case st.Subscriber != nil:
		err = s.restoreSubscriber(ctx, st.Subscriber, live)
	}
	if err != nil {
		return nil, fmt.Errorf("restore: %w", err)
	}
	return s, nil
}

// restorePublisher makes the handle's participant anew. If it cannot be in its room any more, the client is told what it missed.
func (s *session) restorePublisher(ctx context.Context, ps *publisherState, live bool) error {
	k := s.plugin.ids
	roomID, ok := k.read(ps.Room)
	id, ok2 := k.read(ps.ID)
	if !ok || !ok2 {
		return fmt.Errorf("participant %q of room %q", ps.ID, ps.Room)
	}
	if ps.Absent && (!live || len(ps.Entry.Streams) == 0) {
		s.strand(ps, roomID, id, nil)
		return nil
	}
	c, err := s.reclaim(ctx, roomID, id, ps)
	var out *regained
	if err == nil {
		out, err = s.regain(c, ps, live)
		c.settle()
	}
	switch {
	case err == nil:
		s.resume(ctx, out, live)
	case errors.Is(err, errReplaced):
		e := object{"videoroom": "event", "room": roomID, "leaving": "ok", "reason": "kicked"}
		s.strand(ps, roomID, id, e)
	case missing(err):
		s.strand(ps, roomID, id, object{"videoroom": "destroyed", "room": roomID})
	default:
		return err
	}
	return nil
}

// missing tells whether there is no such room.
func missing(err error) bool {
	var e *requestError
	return errors.As(err, &e) && e.code == codeNoSuchRoom || errors.Is(err, ErrMeshNoRoom)
}

// nowhere is the room of those whose own is gone.
func nowhere(id ID) *room {
	r := newRoom(id, 0, RoomConfig{})
	r.destroyed = true
	return r
}

// strand makes the handle one whose participant is in no room any more; event is what its client missed, nil for nothing.
func (s *session) strand(ps *publisherState, roomID, id ID, event any) {
	p := ps.participant(id, false)
	p.session, p.room = s, nowhere(roomID)
	s.publisher.Store(p)
	if event != nil && !ps.Absent {
		s.h.Push("", event, nil)
	}
	if event != nil {
		p.closePeer()
	}
}

// former returns the participant that was kept as the room knows it, nil if it does not; it fails if the id is another's.
func (r *room) former(id ID, ps *publisherState) (*participant, error) {
	p := r.stay(id)
	switch {
	case p == nil:
		return nil, nil
	case p.shared.joined == ps.Entry.Joined && (p.remote || p.privateID == ps.PrivateID):
		return p, nil
	case p.present:
		return nil, errReplaced
	}
	return nil, nil
}

// reclaim finds the room of a participant that was kept and claims its id, once the former node has given it up or is known to be
// gone.
func (s *session) reclaim(ctx context.Context, roomID, id ID, ps *publisherState) (*claim, error) {
	ctx, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	c := &claim{id: id}
	ours := false // the mesh has it as this node's
	for {
		_, err := s.plugin.visitRoom(ctx, roomID, func(r *room) (object, error) {
			p, err := r.former(id, ps)
			if err != nil || r.claimed(id, nil) {
				return nil, errReplaced
			}
			ours = p != nil && !p.remote && !p.shared.lost
			c.room = r
			if r.held != nil {
				r.held.claims[id] = c
			}
			return nil, nil
		})
		if err == nil {
			break
		}
		if errors.Is(err, errReplaced) || missing(err) || !pause(ctx, retryTime) {
			return nil, err
		}
	}
	if ours || c.room.held == nil {
		return c, nil
	}
	for {
		err := c.room.held.mesh.Claim(ctx, id.String())
		if err == nil {
			return c, nil
		}
		replaced := c.lostTo(ps)
		if errors.Is(err, ErrMeshTaken) && !replaced && pause(ctx, retryTime) {
			continue
		}
		c.settle()
		if replaced {
			err = errReplaced
		}
		return nil, err
	}
}

// lostTo tells whether somebody else than the participant that was kept has the id.
func (c *claim) lostTo(ps *publisherState) bool {
	c.room.mu.Lock()
	defer c.room.mu.Unlock()
	_, err := c.room.former(c.id, ps)
	return c.lost || err != nil
}

// regained is what is to be done for a participant that was made anew.
type regained struct {
	forwarders []*forwarder
	lost       []*subscriber // that a stream ended for
}

// regain puts the participant into its room.
func (s *session) regain(c *claim, ps *publisherState, live bool) (*regained, error) {
	r := c.room
	r.mu.Lock()
	defer r.mu.Unlock()
	old, err := r.former(c.id, ps)
	switch {
	case r.destroyed:
		return nil, noSuchRoom(r.id)
	case err != nil || c.lost:
		return nil, errReplaced
	}
	p := ps.participant(c.id, live)
	p.session, p.moved = s, true
	p.shared.catchUp(old)
	out := &regained{}
	shown := old != nil && !old.unseen
	if old == nil {
		r.makeWay(p.id)
		r.enter(p, !ps.Absent)
	} else {
		r.replace(old, p, !ps.Absent)
	}
	out.forwarders = ps.restoreForwarders(p)
	if old != nil {
		p.inheritForwarders(old)
		out.lost = r.passOn(old, p)
		old.shared.lost = true // if it was this node's, its handle has nothing to say any more
		clear(old.forwarders)
	}
	p.adopt()
	s.enterRoom(r)
	p.rebind()
	r.enforce() // the record may have changed meanwhile
	if !shown {
		p.announceReturn()
	}
	p.report()
	s.publisher.Store(p)
	return out, nil
}

// catchUp takes over what is known of the participant as its former node had it: the snapshot may be older. Versions go on from
// the time in any case, which is beyond whatever another node has counted to.
func (s *shared) catchUp(old *participant) {
	s.version = max(s.version, uint64(time.Now().UnixMicro()))
	if old == nil {
		return
	}
	s.version = max(s.version, old.shared.version+1)
	s.announced = max(s.announced, old.shared.announced)
	s.unpublished = max(s.unpublished, old.shared.unpublished)
	s.renamed = max(s.renamed, old.shared.renamed)
}

// inheritForwarders takes over the forwarders of the participant that this node runs while another had it.
func (p *participant) inheritForwarders(old *participant) {
	for id, f := range old.forwarders {
		st := p.stream(f.stream.mid)
		if f.elsewhere || st == nil {
			continue
		}
		g := *f
		g.stream = st
		p.forwarders[id] = &g
	}
}

// announceReturn tells those here of the participant as of a new one: they saw it leave. Other nodes know whether they did.
func (p *participant) announceReturn() {
	if p.present && p.room.cfg.NotifyJoining {
		p.announceJoining()
	}
	if p.started && len(p.streams) > 0 {
		n := p.shared.announced
		p.announce()
		p.shared.announced = n
	}
}

// insist claims the id again of a participant that came from another node, since that one still had it: it was thought to be gone,
// and has to learn first that the session moved. Meanwhile the participant is in the room as ever; others see it as that node
// has it.
func (p *participant) insist() {
	ctx, cancel := context.WithTimeout(context.Background(), settleTime)
	defer cancel()
	r := p.room
	for p.isContested() {
		err := r.held.mesh.Claim(ctx, p.id.String())
		if err != nil && pause(ctx, retryTime) {
			continue
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		switch {
		case !p.contested || !p.present:
		case err != nil:
			p.yieldID()
		default:
			p.contested, p.shared.lost, p.shared.reported = false, false, nil
			p.shared.catchUp(nil)
			p.report()
		}
		return
	}
}

func (p *participant) isContested() bool {
	p.room.mu.Lock()
	defer p.room.mu.Unlock()
	p.contested = p.contested && p.present && !p.room.held.closed
	return p.contested
}

// yieldID ends the stay of a participant whose id is another's.
func (p *participant) yieldID() {
	p.contested = false
	p.expel()
}

// resume has the media plane do what it did for the participant's former node.
func (s *session) resume(ctx context.Context, out *regained, live bool) {
	if live {
		s.syncPublications(ctx)
		startForwarders(ctx, s.h.Plane(), s.h.Log(), out.forwarders)
	}
	renegotiateAll(ctx, out.lost)
}

// restoreSubscriber makes the handle's subscriber anew.
func (s *session) restoreSubscriber(ctx context.Context, ss *subscriberState, live bool) error {
	roomID, ok := s.plugin.ids.read(ss.Room)
	if !ok {
		return fmt.Errorf("subscriber of room %q", ss.Room)
	}
	if !live {
		c := *ss
		c.ended()
		ss = &c
	}
	var sub *subscriber
	lost := false
	err := error(noSuchRoom(roomID))
	for !ss.Over {
		_, err = s.plugin.visitRoom(ctx, roomID, func(r *room) (object, error) {
			sub, lost = r.resubscribe(s, ss)
			return nil, nil
		})
		if err == nil || missing(err) || !pause(ctx, retryTime) {
			break
		}
	}
	switch {
	case missing(err):
		gone := *ss
		gone.ended()
		sub, _ = nowhere(roomID).resubscribe(s, &gone)
		s.subscriber.Store(sub)
		sub.closePeer()
		return nil
	case err != nil:
		return err
	}
	s.subscriber.Store(sub)
	sub.room.mu.Lock()
	s.enterRoom(sub.room)
	sub.room.mu.Unlock()
	s.syncSubscriptions(ctx)
	if lost {
		s.renegotiate(ctx, sub, "")
	}
	return nil
}

// ended is the state after the end of the PeerConnection.
func (s *subscriberState) ended() {
	s.Lines, s.Paused, s.E2EE, s.Answered, s.Pending, s.Restart = nil, true, false, false, false, false
}

// resubscribe takes a subscriber in that was kept. It tells whether lines ended that it has to be told of.
func (r *room) resubscribe(s *session, ss *subscriberState) (sub *subscriber, lost bool) {
	sub = newSubscriber(r, s)
	sub.privateID, sub.useMsid, sub.autoupdate, sub.e2ee, sub.kicked = ss.PrivateID, ss.UseMsid, !ss.Unasked, ss.E2EE, ss.Kicked
	sub.paused, sub.answered, sub.pending, sub.restart, sub.skipped = ss.Paused, ss.Answered, ss.Pending, ss.Restart, ss.Skipped
	for i := range ss.Lines {
		ls := &ss.Lines[i]
		l := ls.line(sub)
		sub.lines = append(sub.lines, l)
		for j := range ls.Sources {
			if st := r.source(s.plugin.ids, &ls.Sources[j], l.codec); st != nil {
				l.join(st)
			}
		}
		if len(l.sources) == 0 {
			l.ready = false
			lost = lost || len(ls.Sources) > 0 && l.kind != plane.Data
		}
	}
	if lost && !sub.autoupdate {
		sub.skipped, lost = true, false
	}
	r.subscribers[sub] = struct{}{}
	if r.cfg.RequirePrivateID {
		if sub.owner = r.owner(sub.privateID); sub.owner != nil {
			sub.owner.subscriptions[sub] = struct{}{}
		}
	}
	return sub, lost
}

// source is a stream that fed a line, nil if it ended since.
func (r *room) source(k ids, s *sourceState, codec string) *stream {
	id, ok := k.read(s.Feed)
	if !ok {
		return nil
	}
	return r.expect(id, s, codec)
}
