package videoroom

import (
	"context"
	"time"

	"cardea/signaling/janus"
)

// kick throws a participant out, and where subscribers need a private id those that showed the participant's.
func (p *Plugin) kick(ctx context.Context, body janus.Object) (object, error) {
	if err := check(body, p.ids.param("id", true), janus.Param{Name: "secret", Type: janus.String}); err != nil {
		return nil, err
	}
	return p.direct(ctx, "kick", p.ids.get(body, "id"), body)
}

// expel throws the participant out.
func (p *participant) expel() {
	e := p.room.event()
	e["leaving"], e["reason"] = "ok", "kicked"
	p.push(e)
	p.part(partKicked)
	p.endPrivate()
	p.closePeer()
}

// endPrivate ends the subscriptions that showed the participant's private id, where one is needed.
func (p *participant) endPrivate() {
	if !p.room.cfg.RequirePrivateID {
		return
	}
	for sub := range p.subscriptions {
		sub.kicked = true
		sub.sync()
		sub.closePeer()
	}
}

// participant finds somebody who can be kicked or moderated: anybody but the dummy publisher.
func (r *room) participant(id ID) (*participant, error) {
	p := r.byID[id]
	if p == nil || p.dummy {
		return nil, refuse(codeNoSuchFeed, "No such user %s in room %s", id, r.id)
	}
	return p, nil
}

var moderateParams = []janus.Param{
	{Name: "secret", Type: janus.String},
	{Name: "mid", Type: janus.String, Required: true},
	{Name: "mute", Type: janus.Bool, Required: true},
}

// moderate mutes one stream of a participant for everybody, or lets it through again.
func (p *Plugin) moderate(ctx context.Context, body janus.Object) (object, error) {
	if err := check(body, p.ids.param("id", true)); err != nil {
		return nil, err
	}
	if lasts(body) {
		return p.moderateLasting(ctx, body)
	}
	if err := check(body, moderateParams...); err != nil {
		return nil, err
	}
	id := p.ids.get(body, "id")
	reply, err := p.direct(ctx, "moderate", id, body)
	if err != nil || body.Bool("mute", true) || !p.bound(id, body) {
		return reply, err
	}
	return p.moderateLasting(ctx, body) // who is let through is let through, also if that was to take longer
}

// bound tells whether the stream of a request to moderate is muted for longer than a stay.
func (p *Plugin) bound(id ID, body janus.Object) bool {
	r := p.find(p.ids.get(body, "room"))
	if r == nil {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	t := r.byID[id]
	if t == nil {
		return false
	}
	st := t.stream(body.String("mid"))
	return st != nil && r.mute(t, st.kind, time.Now()) != nil
}

// moderate mutes one of the participant's streams as a request says.
func (p *participant) moderate(body janus.Object) error {
	mid := body.String("mid")
	st := p.stream(mid)
	if st == nil {
		return refuse(codeNoSuchFeed, "No such stream %s", mid)
	}
	st.silenced = body.Bool("mute", false)
	st.bound = st.bound && st.silenced // whoever lets it through is about to change the record, too
	st.settleMute()
	p.sync()
	st.moderated++
	st.announceModeration()
	return nil
}

// announceModeration tells everybody whether the stream is muted by a moderator.
func (st *stream) announceModeration() {
	st.owner.room.broadcast(st.moderation(), nil)
	st.tellMuted(st.muted, byModerator)
}

// moderation is the event that tells whether the stream is muted by a moderator, and until when if that ends by itself.
func (st *stream) moderation() object {
	e := st.owner.room.event()
	e["id"], e["mid"], e["moderation"] = st.owner.id, st.mid, "unmuted"
	if st.muted {
		e["moderation"] = "muted"
		if until := st.mutedUntil(); until != 0 {
			e["until"] = until
		}
	}
	return e
}

// enableRecording says whether a room is recorded. Recordings are not made yet, so that is all that comes of it.
func (p *Plugin) enableRecording(ctx context.Context, body janus.Object) (object, error) {
	if err := check(body, janus.Param{Name: "record", Type: janus.Bool, Required: true}); err != nil {
		return nil, err
	}
	record := body.Bool("record", false)
	return p.change(ctx, body, false, func(r *room, c *RoomConfig) (object, error) {
		c.Record = record
		if record {
			p.log.Warn("recording is not available", "room", r.id.String())
		}
		return object{"videoroom": "success", "record": record}, nil
	})
}
