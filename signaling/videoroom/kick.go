package videoroom

import (
	"context"

	"cardea/signaling/janus"
)

// kick throws a participant out, and where subscribers need a private id those that showed the participant's.
func (p *Plugin) kick(_ context.Context, body janus.Object) (object, error) {
	if err := check(body, p.ids.param("id", true), janus.Param{Name: "secret", Type: janus.String}); err != nil {
		return nil, err
	}
	return p.manage(body, func(r *room) (object, error) {
		victim, err := r.participant(p.ids.get(body, "id"))
		if err != nil {
			return nil, err
		}
		e := r.event()
		e["leaving"], e["reason"] = "ok", "kicked"
		victim.push(e)
		victim.part("kicked")
		if r.cfg.RequirePrivateID {
			for sub := range victim.subscriptions {
				sub.kicked = true
				sub.sync()
				sub.closePeer()
			}
		}
		victim.closePeer()
		return object{"videoroom": "success"}, nil
	})
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
func (p *Plugin) moderate(_ context.Context, body janus.Object) (object, error) {
	if err := check(body, p.ids.param("id", true)); err != nil {
		return nil, err
	}
	if err := check(body, moderateParams...); err != nil {
		return nil, err
	}
	return p.manage(body, func(r *room) (object, error) {
		target, err := r.participant(p.ids.get(body, "id"))
		if err != nil {
			return nil, err
		}
		mid := body.String("mid")
		st := target.stream(mid)
		if st == nil {
			return nil, refuse(codeNoSuchFeed, "No such stream %s", mid)
		}
		st.muted = body.Bool("mute", false)
		target.sync()
		e := r.event()
		e["id"], e["mid"], e["moderation"] = target.id, mid, "unmuted"
		if st.muted {
			e["moderation"] = "muted"
		}
		r.broadcast(e, nil)
		return object{"videoroom": "success"}, nil
	})
}

// enableRecording says whether a room is recorded. Recordings are not made yet, so that is all that comes of it.
func (p *Plugin) enableRecording(_ context.Context, body janus.Object) (object, error) {
	if err := check(body, janus.Param{Name: "record", Type: janus.Bool, Required: true}); err != nil {
		return nil, err
	}
	return p.manage(body, func(r *room) (object, error) {
		record := body.Bool("record", false)
		if record != r.cfg.Record {
			r.cfg.Record = record
			for _, m := range r.members {
				m.recording = record
			}
		}
		if record {
			p.log.Warn("recording is not available", "room", r.id.String())
		}
		return object{"videoroom": "success", "record": record}, nil
	})
}
