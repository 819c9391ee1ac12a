package videoroom

import (
	"encoding/json"
	"fmt"
)

// RoomInfo is a room as an operator sees it; secrets and pins are not in it.
type RoomInfo struct {
	ID            string
	Description   string
	CommunityID   string // "" for none
	Private       bool
	Participants  int // who joined, dummies left out
	Publishers    int // of them, who publish
	MaxPublishers int
	// What of it is on this node: all that there is without a mesh. Of others' subscribers a node does not know.
	PublishersHere int
	Subscribers    int
}

// Overview returns all rooms in the order of their making, private ones too; with a mesh, those that this node has to do with,
// with the participants of all nodes. No room waits for it longer than the count of its
// members takes: it may be called for every scrape of the metrics, with thousands of rooms.
func (p *Plugin) Overview() []RoomInfo {
	rooms := p.all()
	infos := make([]RoomInfo, 0, len(rooms))
	for _, r := range rooms {
		if i, ok := r.overview(); ok {
			infos = append(infos, i)
		}
	}
	return infos
}

// Known returns one of the rooms of [Plugin.Overview]; false for one that this node has nothing to do with.
func (p *Plugin) Known(name string) (RoomInfo, bool) {
	id, ok := p.ids.read(name)
	if !ok {
		return RoomInfo{}, false
	}
	r := p.find(id)
	if r == nil {
		return RoomInfo{}, false
	}
	return r.overview()
}

// Describe returns what is known of a room that this node has nothing to do with: its options, and how many are there.
func Describe(l MeshListing) (RoomInfo, error) {
	i := RoomInfo{ID: l.Room, Participants: l.Participants}
	c := DefaultRoom(l.Room)
	if err := json.Unmarshal(l.Record, &c); err != nil {
		return i, fmt.Errorf("room %s: %w", l.Room, err)
	}
	i.Description, i.CommunityID, i.Private, i.MaxPublishers = c.Description, plainText(c.CommunityID), c.Private, c.Publishers
	return i, nil
}

// overview is what an operator is told of the room; ok is false for one that is gone.
func (r *room) overview() (i RoomInfo, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.destroyed {
		return RoomInfo{}, false
	}
	return r.summary(), true
}

// summary is the same of a room that is locked.
func (r *room) summary() RoomInfo {
	i := RoomInfo{
		ID: r.id.String(), Description: r.cfg.Description, CommunityID: plainText(r.cfg.CommunityID), Private: r.cfg.Private,
		MaxPublishers: r.cfg.Publishers, Subscribers: len(r.subscribers),
	}
	for _, p := range r.members {
		if p.dummy {
			continue
		}
		i.Participants++
		if p.started {
			i.Publishers++
			if !p.remote {
				i.PublishersHere++
			}
		}
	}
	return i
}

// plainText is a JSON string's text, or any other value as it is written.
func plainText(v json.RawMessage) string {
	var s string
	if len(v) > 0 && json.Unmarshal(v, &s) == nil {
		return s
	}
	return string(v)
}
