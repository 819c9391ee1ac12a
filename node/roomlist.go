package node

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"sync"
	"time"

	"cardea/signaling/events"
	"cardea/signaling/events/spool"
)

// roomList keeps on disk which rooms the node has: those that somebody here is in, and those that were made here and are not
// destroyed. After a restart, however the process ended, the first event tells of them.
//
// It is a file of lines, each a JSON object that says how a room is now, the last line of a room counting. Lines are written as
// rooms change, so a kill -9 costs the changes that are just being written, and at most a line that is cut off, which is passed over. The
// file is written anew when most of it is out of date. A clean stop freezes the list before clients are hung up: the rooms are
// those that they were in.
type roomList struct {
	path    string
	log     *slog.Logger
	numbers bool          // ids of rooms are numbers
	work    chan struct{} // has a token when there is something to write

	mu      sync.Mutex // guards below
	rooms   map[string]*listedRoom
	changed map[string]bool // rooms to be written
	prior   []roomLine      // rooms of earlier processes, of which not every sink has told yet
	ended   string          // how the earlier process ended
	frozen  bool
	anew    bool // the file is to be written as a whole
}

// listedRoom is a room of this process.
type listedRoom struct {
	community json.RawMessage
	made      bool // here
	open      bool // somebody here has to do with it
	here      map[string]struct{}
}

const (
	roomListFile = "rooms.list"
	// roomsPerEvent and roomBytesPerEvent bound the rooms in one event; of more, several events tell. Longer ones are refused by many
	// who take events.
	roomsPerEvent     = 2000
	roomBytesPerEvent = 256 << 10
)

// How an earlier process ended.
const (
	endedNever   = "first start"
	endedStopped = "stopped"
	endedCrashed = "crashed"
	endedUnknown = "unknown"
)

// toldRoom is a room in the event.
type toldRoom struct {
	Plugin       string          `json:"plugin"`
	Room         json.RawMessage `json:"room"`
	Community    json.RawMessage `json:"community_id,omitempty"`
	Participants int             `json:"participants"`
}

// first returns the events that tell of the rooms of the process before, to be delivered before all others: user events "room_list".
func (l *roomList) first(bus *events.Bus, s *spool.Spool, now time.Time) []spool.Entry {
	parts := [][]json.RawMessage{{}} // one at least, perhaps of no rooms
	size := 0
	for _, r := range l.prior {
		plugin, id, _ := strings.Cut(r.Room, "/")
		text, err := json.Marshal(toldRoom{plugin, roomID(id, l.numbers), r.Community, r.Participants})
		if err != nil {
			l.log.Error("a room cannot be told", "room", r.Room, "error", err)
			continue
		}
		if last := len(parts) - 1; len(parts[last]) > 0 && (len(parts[last]) >= roomsPerEvent || size+len(text) > roomBytesPerEvent) {
			parts, size = append(parts, nil), 0
		}
		parts[len(parts)-1] = append(parts[len(parts)-1], text)
		size += len(text)
	}
	all := make([]spool.Entry, 0, len(parts))
	for i, rooms := range parts {
		body, err := json.Marshal(struct {
			Event string            `json:"event"`
			Ended string            `json:"ended"`
			Part  int               `json:"part"`
			Parts int               `json:"parts"`
			Rooms []json.RawMessage `json:"rooms"`
		}{"room_list", l.ended, i + 1, len(parts), rooms})
		if err != nil {
			l.log.Error("the list of rooms cannot be told", "error", err)
			continue
		}
		e := events.Event{Type: events.User, Time: now, Body: body}
		all = append(all, s.First(uint16(e.Type), now, bus.Emitter(), e.AppendJSON(nil, bus.Emitter(), bus.Label())))
	}
	return all
}

// change changes what is known of a room, and has it written. A nil list knows nothing.
func (l *roomList) change(id string, f func(r *listedRoom)) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.frozen {
		return
	}
	r := l.rooms[id]
	if r == nil {
		r = &listedRoom{here: map[string]struct{}{}}
	}
	was, known := r.line(id), l.rooms[id] != nil
	f(r)
	if r.made || r.open {
		l.rooms[id] = r
		if now := r.line(id); known && now.Participants == was.Participants && bytes.Equal(now.Community, was.Community) {
			return
		}
	} else {
		if !known {
			return
		}
		delete(l.rooms, id)
	}
	l.changed[id] = true
	select {
	case l.work <- struct{}{}:
	default:
	}
}

func (r *listedRoom) line(id string) roomLine {
	return roomLine{Room: id, Community: r.community, Participants: len(r.here)}
}

// community returns the community in a room's record, which is the plugin's; nil if it has none.
func community(record []byte) json.RawMessage {
	var r struct {
		Community json.RawMessage `json:"community_id"`
	}
	if json.Unmarshal(record, &r) != nil {
		return nil
	}
	return r.Community
}

func (l *roomList) made(id string, record []byte) {
	l.change(id, func(r *listedRoom) { r.made, r.community = true, community(record) })
}

func (l *roomList) opened(id string, record []byte) {
	l.change(id, func(r *listedRoom) { r.open, r.community = true, community(record) })
}

func (l *roomList) edited(id string, record []byte) {
	l.change(id, func(r *listedRoom) { r.community = community(record) })
}

func (l *roomList) closed(id string) {
	l.change(id, func(r *listedRoom) { r.open = false; clear(r.here) })
}

func (l *roomList) destroyed(id string) {
	l.change(id, func(r *listedRoom) { r.open, r.made = false, false })
}

// lapsed takes off a room that is no more, unless somebody here has come to it since.
func (l *roomList) lapsed(id string) { l.change(id, func(r *listedRoom) { r.made = false }) }

func (l *roomList) entered(id, participant string) {
	l.change(id, func(r *listedRoom) { r.here[participant] = struct{}{} })
}

func (l *roomList) left(id, participant string) {
	l.change(id, func(r *listedRoom) { delete(r.here, participant) })
}

// unheld returns the rooms made here that nobody here has to do with: somebody else may have destroyed them since.
func (l *roomList) unheld() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []string
	for id, r := range l.rooms {
		if !r.open {
			all = append(all, id)
		}
	}
	return all
}

// freeze keeps the list as it is: what happens to rooms from now on happens because the node stops.
func (l *roomList) freeze() {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.frozen = true
}

// forgetPrior lets go of the rooms of earlier processes.
func (l *roomList) forgetPrior() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.prior, l.anew = nil, true
	select {
	case l.work <- struct{}{}:
	default:
	}
}

// roomsHad returns the list of the node's rooms, nil if nobody is told of them.
func (n *Node) roomsHad() *roomList {
	if n.eventPath == nil {
		return nil
	}
	return n.eventPath.list
}

// destroyedInterval is how often the mesh is asked whether rooms made here, in which nobody here is, are still there.
const destroyedInterval = 10 * time.Minute

// lookForDestroyed takes rooms off the list that were made here and destroyed elsewhere, until ctx ends.
func (n *Node) lookForDestroyed(ctx context.Context) {
	clock := time.NewTicker(destroyedInterval)
	defer clock.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-clock.C:
		}
		unheld := n.roomsHad().unheld()
		if len(unheld) == 0 {
			continue
		}
		all, err := n.mesh.Rooms().List(ctx, "")
		if err != nil {
			continue // a room that is not listed may be there
		}
		there := make(map[string]bool, len(all))
		for _, r := range all {
			there[r.ID] = true
		}
		for _, id := range unheld {
			if !there[id] {
				n.roomsHad().lapsed(id)
			}
		}
	}
}
