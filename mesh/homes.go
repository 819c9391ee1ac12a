package mesh

import (
	"context"
	"sync"
	"time"

	"cardea/mesh/room"
	"cardea/relay/link"
	"cardea/relay/link/wire"
	"cardea/relay/plane"
)

// entry is what the mesh keeps of a participant: what the user of the room says, and where the media is.
type entry struct {
	Body  []byte `pb:"1"`
	Media string `pb:"2"` // the node that the participant's streams come from, if it is not the one that wrote the entry
}

// entryOverhead is what an entry may add to what the user says, bytes.
const entryOverhead = 96

// MaxEntry is the longest that a user may say of a participant, bytes.
const MaxEntry = room.MaxEntry - entryOverhead

// homes knows where participants' streams come from.
type homes struct {
	mu    sync.Mutex
	media map[string]map[string]link.NodeID // by open room, of participants whose media is not where their session is
	peeks map[string]*peek                  // rooms that are followed only for this
	over  bool                              // no room is followed any more
	work  sync.WaitGroup                    // peeks being opened
	life  context.Context                   //nolint:containedctx // of what opens them; ends with the mesh
	end   context.CancelFunc
	open  map[string]int // rooms by how often they are open for somebody
}

// peek is a room that this node follows because somebody wants its streams here while the room's users are elsewhere.
type peek struct {
	room  *Room // nil while it is being opened
	asked time.Time
}

// peekTime is how long a room is followed after its streams were last asked for.
const peekTime = time.Minute

func (h *homes) init() {
	h.media, h.peeks, h.open = make(map[string]map[string]link.NodeID), make(map[string]*peek), make(map[string]int)
	h.life, h.end = context.WithCancel(context.Background())
}

// set notes where a participant's streams come from; "" says that it is where its session is, or not known. It tells whether
// that is news. Of a room that was closed meanwhile nothing is noted: nobody would take it back.
func (h *homes) set(room, participant string, at link.NodeID) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	of := h.media[room]
	if of[participant] == at || h.open[room] == 0 {
		return false
	}
	if at == "" {
		delete(of, participant)
		return true
	}
	if of == nil {
		of = make(map[string]link.NodeID)
		h.media[room] = of
	}
	of[participant] = at
	return true
}

// home returns the node where a stream is published, or will be. It is asked often: it begins to follow a room that nobody here
// has open, since media can be on a node where nobody uses the room.
func (m *Mesh) home(id plane.StreamID) (link.NodeID, bool) {
	writer, ok := m.rooms.Home(id.Room, id.Publisher)
	if open := m.look(id.Room); !ok || !open {
		return "", false
	}
	if writer == m.self && m.planes != nil {
		if at, ok := m.planes.Publisher(id.Room, id.Publisher); ok {
			return at, true
		}
		return writer, true
	}
	m.homes.mu.Lock()
	defer m.homes.mu.Unlock()
	if at := m.homes.media[id.Room][id.Publisher]; at != "" {
		return at, true
	}
	return writer, true
}

// look tells whether the room is open here, so that who publishes is known, and opens it if not. That a node keeps the room's roster
// does not make it open.
func (m *Mesh) look(name string) (open bool) {
	h := &m.homes
	h.mu.Lock()
	defer h.mu.Unlock()
	if p := h.peeks[name]; p != nil {
		p.asked = time.Now()
		return p.room != nil
	}
	if h.over || h.open[name] > 0 {
		return h.open[name] > 0
	}
	p := &peek{asked: time.Now()}
	h.peeks[name] = p
	h.work.Go(func() {
		r, err := m.Open(h.life, name, room.Watcher{}) // it waits a second at most, while rooms keep time
		h.mu.Lock()
		defer h.mu.Unlock()
		if err == nil && !h.over {
			p.room = r
			m.homesChanged(name)
			return
		}
		delete(h.peeks, name)
		if err == nil {
			r.close(h)
		}
	})
	return false
}

// sweep lets go of rooms whose streams nobody has asked for lately; with all, of every one.
func (h *homes) sweep(now time.Time, all bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.over = h.over || all
	for name, p := range h.peeks {
		if p.room != nil && (all || now.Sub(p.asked) > peekTime) {
			delete(h.peeks, name)
			p.room.close(h)
		}
	}
}

// Room is a room that somebody on this node has to do with. Where its participants' streams come from is known to the rest of the
// mesh by it.
type Room struct {
	*room.Room
	mesh *Mesh
	once sync.Once

	mu  sync.Mutex
	own map[string]link.NodeID // participants of this node, and where their media is
}

// Open is [room.Rooms.Open].
func (m *Mesh) Open(ctx context.Context, id string, w room.Watcher) (*Room, error) {
	r := &Room{mesh: m, own: make(map[string]link.NodeID)}
	user := w
	known := make(map[string]struct{}) // by the watcher's calls alone, which come one at a time
	w.Present = func(participant string, b []byte) {
		var e entry
		if wire.Unmarshal(b, &e) != nil {
			return // of a version that we do not understand, or of a member gone wrong
		}
		moved := m.homes.set(id, participant, link.NodeID(e.Media))
		if _, old := known[participant]; !old || moved {
			known[participant] = struct{}{}
			m.homesChanged(id)
		}
		if user.Present != nil {
			user.Present(participant, e.Body)
		}
	}
	w.Gone = func(participant, why string) {
		delete(known, participant)
		m.homes.set(id, participant, "")
		m.homesChanged(id)
		if user.Gone != nil {
			user.Gone(participant, why)
		}
	}
	w.Lost = func(participant string) {
		r.forget(participant)
		if user.Lost != nil {
			user.Lost(participant)
		}
	}
	m.homes.mu.Lock()
	m.homes.open[id]++
	m.homes.mu.Unlock()
	var err error
	if r.Room, err = m.rooms.Open(ctx, id, w); err != nil {
		m.homes.mu.Lock()
		m.homes.closed(id)
		m.homes.mu.Unlock()
		return nil, err
	}
	return r, nil
}

// closed counts a room that was closed; mu is held.
func (h *homes) closed(id string) {
	if h.open[id]--; h.open[id] == 0 {
		delete(h.open, id)
		delete(h.media, id) // whoever leaves from now on, nobody is told here
	}
}

// Close is [room.Room.Close].
func (r *Room) Close() {
	r.mesh.homes.mu.Lock()
	defer r.mesh.homes.mu.Unlock()
	r.close(&r.mesh.homes)
}

// close closes the room; h.mu is held.
func (r *Room) close(h *homes) {
	r.once.Do(func() {
		h.closed(r.ID())
		r.Room.Close()
	})
}

// Put is [room.Room.Put].
func (r *Room) Put(participant string, body []byte) {
	e := entry{Body: body}
	at, ok := link.NodeID(""), false
	if r.mesh.planes != nil {
		at, ok = r.mesh.planes.Publisher(r.ID(), participant)
	}
	if !ok {
		at = r.mesh.self
	}
	if at != r.mesh.self {
		e.Media = string(at)
	}
	r.Room.Put(participant, wire.Marshal(&e))
	r.mu.Lock()
	was, had := r.own[participant]
	r.own[participant] = at
	r.mu.Unlock()
	if !had || was != at {
		r.mesh.homesChanged(r.ID())
	}
}

// Remove is [room.Room.Remove].
func (r *Room) Remove(participant, why string) {
	r.Room.Remove(participant, why)
	r.forget(participant)
}

func (r *Room) forget(participant string) {
	r.mu.Lock()
	delete(r.own, participant)
	r.mu.Unlock()
	r.mesh.homesChanged(r.ID())
}

// homesChanged says that participants of a room may have another home than before.
func (m *Mesh) homesChanged(id string) {
	if m.puller != nil {
		m.puller.HomesChanged(id)
		m.post.HomesChanged(id)
	}
}
