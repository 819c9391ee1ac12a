package videoroom

import (
	"encoding/json"
	"slices"
	"sync"
	"time"

	"cardea/signaling/janus"
)

// room is one room. Its mutex guards everything below it here, and all participants, streams, subscribers and lines
// that belong to it.
type room struct {
	id    ID     // set once
	order uint64 // rooms are listed in the order of their making; set once

	held *held // ties it to other nodes; nil when there are none. Set once

	mu        sync.Mutex
	cfg       RoomConfig
	destroyed bool
	allowed   map[string]struct{} // tokens of publishers, when cfg.CheckAllowed
	muting    bool                // the record had mutes when it was last looked at
	muteTimer *time.Timer         // of the next end of a mute; nil for none

	members     []*participant // in the order of joining, as far as the clocks of nodes agree
	byID        map[ID]*participant
	byPrivateID map[uint32]*participant
	departed    map[ID]*participant // left, but their PeerConnection still feeds subscribers
	subscribers map[*subscriber]struct{}
}

func newRoom(id ID, order uint64, cfg RoomConfig) *room {
	r := &room{
		id: id, order: order, cfg: cfg,
		allowed: make(map[string]struct{}), byID: make(map[ID]*participant), byPrivateID: make(map[uint32]*participant),
		departed: make(map[ID]*participant), subscribers: make(map[*subscriber]struct{}),
	}
	for _, t := range cfg.Allowed {
		r.allowed[t] = struct{}{}
	}
	return r
}

// name is the room in the names of streams.
func (r *room) name() string { return roomName(r.id) }

func roomName(id ID) string { return "videoroom/" + id.String() }

// sessionName is the s= line of the descriptions that are made for the room.
func (r *room) sessionName() string { return "VideoRoom " + r.id.String() }

// record is what a store keeps of the room.
func (r *room) record() Record {
	rec := r.cfg
	rec.Allowed = r.allowedTokens()
	return rec
}

// add takes a participant in.
func (r *room) add(p *participant) {
	p.room, p.present = r, true
	r.members = slices.Insert(r.members, r.place(p), p)
	r.byID[p.id] = p
	if p.privateID != 0 {
		r.byPrivateID[p.privateID] = p
	}
}

// remove lets a participant go. Its streams stay as long as its PeerConnection does.
func (r *room) remove(p *participant) {
	if !p.present {
		return
	}
	p.present = false
	if i := slices.Index(r.members, p); i >= 0 {
		r.members = slices.Delete(r.members, i, i+1)
	}
	delete(r.byID, p.id)
	delete(r.byPrivateID, p.privateID)
	if len(p.streams) > 0 || p.remote { // those of other nodes until these say that they are gone
		r.departed[p.id] = p
	}
}

// feed returns the participant of an id if it can be subscribed to.
func (r *room) feed(id ID) *participant {
	if p := r.byID[id]; p != nil && p.started {
		return p
	}
	return nil
}

// broadcast sends an event to every participant but one.
func (r *room) broadcast(event any, but *participant) {
	text, err := json.Marshal(event) // once for all of them
	if err != nil {
		return // events are made of what can be encoded
	}
	for _, p := range r.members {
		if p != but {
			p.push(json.RawMessage(text))
		}
	}
}

// event is the start of an event of the room.
func (r *room) event() object { return object{"videoroom": "event", "room": r.id} }

// noSuchRoom is the refusal of a request for a room that is not there.
func noSuchRoom(id ID) error { return refuse(codeNoSuchRoom, "No such room (%s)", id) }

// admit checks what a request to join shows: a signed token where the room asks for one, then the pin.
func (r *room) admit(h *janus.Handle, body janus.Object) error {
	if r.cfg.SignedTokens && h.TokensSigned() && !h.SignedToken(body.String("token"), "room="+r.id.String()) {
		return refuse(codeUnauthorized, "Unauthorized (wrong token)")
	}
	return checkSecret(r.cfg.Pin, body, "pin")
}

// tagged adds what a reply says of the room's community, if it has one.
func (c *RoomConfig) tagged(o object) object {
	if len(c.CommunityID) > 0 {
		o["community_id"] = c.CommunityID
	}
	return o
}
