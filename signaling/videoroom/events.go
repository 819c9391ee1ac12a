package videoroom

import (
	"encoding/json"
	"maps"
	"strings"

	"cardea/signaling/events"
	"cardea/signaling/janus"
)

// What happens in a room is told on the bus twice: in Janus's words as plugin events, and as user events. The node that a
// participant is on tells of it, so that of all nodes one does. All of it is told with the room's mutex held, in the order in which it
// happened.

// origin is where events in the room come from; of nobody's handle if s is nil.
func (r *room) origin(s *session) events.Origin {
	o := events.Origin{}
	if s != nil {
		o = s.h.Origin()
	}
	o.Room, o.Community = r.name(), r.cfg.community()
	return o
}

// community is the community's id as text, "" for none.
func (c *RoomConfig) community() string {
	var text string
	if json.Unmarshal(c.CommunityID, &text) == nil {
		return text
	}
	return string(c.CommunityID) // a number
}

// enterRoom says which room events about the handle are of.
func (s *session) enterRoom(r *room) { s.h.Enter(r.name(), r.cfg.community()) }

// wants tells whether anybody takes events of one of the types.
func (p *Plugin) wants(t events.Type) bool { return p.cfg.Events.Wants(t) }

// tell tells what happened to a handle in a room; s is nil where Janus names no handle.
func (p *Plugin) tell(r *room, s *session, event string, fields object) {
	if !p.wants(events.Plugin) {
		return
	}
	data := object{"room": r.id}
	if event != "" {
		data["event"] = event
	}
	maps.Copy(data, fields)
	p.cfg.Events.EmitPlugin(r.origin(s), Package, data)
}

// told tells whether events of the participant are this node's to tell.
func (p *participant) told() bool { return p.session != nil && !p.dummy }

// userEvent tells of the participant as a user event; fill adds what is particular to the event.
func (p *participant) userEvent(name string, fill func(e *events.UserEvent)) {
	if !p.told() || !p.session.plugin.wants(events.User) {
		return
	}
	e := events.UserEvent{Event: name}
	e.Room, _ = json.Marshal(p.room.id) // ids always can be
	e.ID, _ = json.Marshal(p.id)
	if p.display != nil {
		e.Display = *p.display
	}
	if p.metadata != nil {
		e.Metadata, _ = json.Marshal(p.metadata) // it came as JSON
	}
	if fill != nil {
		fill(&e)
	}
	p.session.plugin.cfg.Events.EmitUser(p.room.origin(p.session), e)
}

// tellJoined tells that the participant is in the room.
func (p *participant) tellJoined(body janus.Object) {
	s := p.session
	s.enterRoom(p.room)
	if s.plugin.wants(events.Plugin) {
		fields := object{"id": p.id, "private_id": p.privateID}
		if token := body.String("token"); token != "" {
			fields["token"] = token
		}
		p.describe(fields)
		s.plugin.tell(p.room, s, "joined", fields)
	}
	p.userEvent(events.Joined, nil)
}

// describe adds the participant's name and metadata, if it has any.
func (p *participant) describe(fields object) {
	if p.display != nil {
		fields["display"] = *p.display
	}
	if p.metadata != nil {
		fields["metadata"] = p.metadata
	}
}

// tellConfigured tells that the participant was configured.
func (p *participant) tellConfigured() {
	if s := p.session; s.plugin.wants(events.Plugin) {
		s.plugin.tell(p.room, s, "configured", object{"id": p.id, "bitrate": p.limit()})
	}
}

// streamSummary is a published stream in events.
type streamSummary struct {
	Type   string `json:"type"`
	MIndex int    `json:"mindex"`
	Mid    string `json:"mid"`
	Codec  string `json:"codec,omitempty"`
}

// tellPublished tells what the participant publishes, for the first time or anew.
func (p *participant) tellPublished() {
	if !p.told() || !p.present || !p.started {
		return
	}
	event := "published"
	if p.shown {
		event = "updated"
	}
	p.shown = true
	s := p.session
	if s.plugin.wants(events.Plugin) {
		list := []streamSummary{}
		for _, st := range p.streams {
			list = append(list, streamSummary{st.kind.String(), st.mindex, st.mid, st.codec})
		}
		fields := object{"id": p.id, "streams": list}
		p.describe(fields)
		s.plugin.tell(p.room, s, event, fields)
	}
	p.userEvent(events.Published, func(e *events.UserEvent) {
		for _, st := range p.streams {
			if !st.disabled {
				e.Streams = append(e.Streams, events.UserStream{Mid: st.mid, Kind: st.kind.String(), Codec: st.codec})
			}
		}
	})
	if event == "published" {
		p.tellMutes()
	}
}

// tellUnpublished tells that the participant publishes no more, if it was told that it does.
func (p *participant) tellUnpublished() {
	if !p.shown {
		return
	}
	p.shown = false
	if p.told() {
		p.session.plugin.tell(p.room, nil, "unpublished", object{"id": p.id})
		p.userEvent(events.Unpublished, nil)
	}
}

// tellLeft tells how the participant went ([partLeaving] or [partKicked]), or, if how is "", that its room ended.
func (p *participant) tellLeft(how string) {
	if !p.told() {
		return
	}
	p.tellUnpublished()
	if how != "" {
		p.session.plugin.tell(p.room, nil, how, object{"id": p.id})
	}
	if how == partKicked {
		p.userEvent(events.Kicked, nil)
	}
	p.userEvent(events.Left, nil)
}

// tellTalking tells that the stream's publisher began or stopped talking.
func (st *stream) tellTalking(what string) {
	p := st.owner
	if !p.told() {
		return
	}
	if s := p.session; s.plugin.wants(events.Plugin) {
		s.plugin.tell(p.room, s, "", object{"videoroom": what, "id": p.id, "mid": st.mid, "audio-level-dBov-avg": real(st.level)})
	}
	p.userEvent(strings.ReplaceAll(what, "-", "_"), func(e *events.UserEvent) { e.Mid, e.Kind, e.Level = st.mid, st.kind.String(), st.level })
}

// tellMuted tells that the stream is not, or again, to be heard or seen; by says who wanted that, "moderator" or "self".
func (st *stream) tellMuted(muted bool, by string) {
	name := events.Unmuted
	if muted {
		name = events.Muted
	}
	st.owner.userEvent(name, func(e *events.UserEvent) {
		e.Mid, e.Kind, e.By = st.mid, st.kind.String(), by
		if muted && by == byModerator {
			e.Until = st.mutedUntil()
		}
	})
}

// Who mutes a stream, in user events.
const (
	byModerator = "moderator"
	bySelf      = "self"
)

// tellRequest tells what came of a request that was answered at once; s is nil when an operator asked.
func (p *Plugin) tellRequest(s *session, name string, body, reply object) {
	if !p.wants(events.Plugin) {
		return
	}
	id, ok := reply["room"].(ID)
	if !ok {
		id = p.ids.get(janus.Object(body), "room")
	}
	o := events.Origin{}
	if s != nil {
		o = s.h.Origin()
	}
	o.Room = roomName(id)
	data := object{"event": name + "ed", "room": id}
	switch name {
	case "create":
		data["event"] = "created"
	case "edit", "destroy":
	case "moderate":
		moderation := "unmuted"
		if body["mute"] == true {
			moderation = "muted"
		}
		data = object{"videoroom": "moderated", "room": id, "id": body["id"], "moderation": moderation}
		for _, k := range []string{"mid", "kind", "duration"} {
			if v, ok := body[k]; ok {
				data[k] = v
			}
		}
	case "rtp_forward":
		data = object{"event": name}
		for k, v := range reply {
			if k != "videoroom" {
				data[k] = v
			}
		}
	default:
		return
	}
	p.cfg.Events.EmitPlugin(o, Package, data)
}

// tellSubscription tells what the subscriber is sent: event is "subscribing" or "updated".
func (s *subscriber) tellSubscription(event string) {
	p := s.session.plugin
	if p.wants(events.Plugin) {
		p.tell(s.room, s.session, event, object{"streams": s.summary(), "private_id": s.privateID})
	}
}
