package videoroom

import (
	"context"
	"time"

	"cardea/relay/plane"
	"cardea/signaling/janus"
)

// offerTime bounds how long the end of a publisher is announced later for the sake of order: the subscribers' new offers
// go out before it.
const offerTime = 500 * time.Millisecond

// unpublish ends publishing but not the stay in the room.
func (s *session) unpublish(ctx context.Context, m *janus.Message) error {
	p := s.publisher.Load()
	if !p.isStarted() {
		return refuse(codeNotPublished, "Can't unpublish, not published")
	}
	s.endPublishing(ctx, p)
	s.h.ClosePeer(ctx, "Close PC")
	s.h.Push(m.Transaction, object{"videoroom": "event", "room": p.room.id, "unpublished": "ok"}, nil)
	return nil
}

// leave ends the stay in the room. The PeerConnection stays until the client ends it, and so do subscriptions.
func (s *session) leave(_ context.Context, m *janus.Message) error {
	p := s.publisher.Load()
	p.room.mu.Lock()
	p.part(partLeaving)
	p.room.mu.Unlock()
	s.h.Push(m.Transaction, object{"videoroom": "event", "room": p.room.id, "leaving": "ok"}, nil)
	return nil
}

// part takes the participant out of the room and tells the others how it went ([partLeaving] or [partKicked]).
func (p *participant) part(how string) {
	r := p.room
	if !p.present {
		return
	}
	e := r.event()
	e[how] = p.id
	r.broadcast(e, p)
	p.tellLeft(how)
	p.started = false
	p.shared.left = how
	r.remove(p)
	if r.departed[p.id] == p {
		p.report() // its streams are still there
	} else {
		p.withdraw()
	}
}

// endPublishing ends the participant's streams, tells the subscribers and then the others.
func (s *session) endPublishing(ctx context.Context, p *participant) {
	r := p.room
	r.mu.Lock()
	subs, forwarders := p.endStreams()
	p.report()
	r.mu.Unlock()
	s.plugin.stopForwarders(ctx, forwarders)
	renegotiateAll(ctx, subs)

	r.mu.Lock()
	defer r.mu.Unlock()
	p.announceEnd(1)
	p.tellUnpublished()
	p.report()
}

// announceEnd tells the others that the participant publishes no more, so many times within reason.
func (p *participant) announceEnd(times uint64) {
	if !p.present {
		return
	}
	for range min(times, doubled) {
		e := p.room.event()
		e["unpublished"] = p.id
		p.room.broadcast(e, p)
	}
	p.shared.unpublished += times
}

// endStreams ends the participant's streams. It returns the subscribers that lost one (other than data, for which
// nothing has to be negotiated) and the forwarders that end.
func (p *participant) endStreams() (subs []*subscriber, ended []string) {
	p.started, p.e2ee = false, false
	p.shared.seat, p.yielding = 0, false
	p.audioCodec, p.videoCodec = "", ""
	p.recordingBase = ""
	subs = p.dropLines()
	for id, f := range p.forwarders {
		if !f.elsewhere {
			ended = append(ended, f.name)
		}
		delete(p.forwarders, id)
	}
	p.streams = nil
	if p.room.departed[p.id] == p && !p.remote {
		delete(p.room.departed, p.id)
		p.withdraw()
	}
	return subs, ended
}

// dropLines takes the participant's streams from all lines; it returns the subscribers that have to be told.
func (p *participant) dropLines() (subs []*subscriber) {
	lost := map[*subscriber]bool{}
	for _, st := range p.streams {
		for l := range st.lines {
			l.drop(st)
			l.sub.sync()
			if l.kind != plane.Data {
				lost[l.sub] = true
			}
		}
	}
	for sub := range lost {
		if sub.autoupdate && !p.room.destroyed {
			subs = append(subs, sub)
		} else {
			sub.skipped = true
		}
	}
	return subs
}

// renegotiateAll sends subscribers new offers, in their handles' turns, and waits a moment for that.
func renegotiateAll(ctx context.Context, subs []*subscriber) {
	if len(subs) == 0 {
		return
	}
	offered := make(chan struct{}, len(subs))
	waiting := 0
	for _, sub := range subs {
		if sub.session.h.Do(func(ctx context.Context) {
			defer func() { offered <- struct{}{} }()
			sub.session.renegotiate(ctx, sub, "")
		}) {
			waiting++
		}
	}
	timer := time.NewTimer(offerTime)
	defer timer.Stop()
	for ; waiting > 0; waiting-- {
		select {
		case <-offered:
		case <-timer.C:
			return
		case <-ctx.Done():
			return
		}
	}
}
