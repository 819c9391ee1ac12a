package mesh

import (
	"context"
	"sync"

	"cardea/mesh/room"
)

// Room is a room that somebody on this node has to do with. Who publishes where is known to the rest of the mesh by it.
type Room struct {
	*room.Room
	homes func() // says that a participant may have another home than before

	mu  sync.Mutex
	own map[string]struct{} // participants of this node
}

// Open is [room.Rooms.Open].
func (m *Mesh) Open(ctx context.Context, id string, w room.Watcher) (*Room, error) {
	r := &Room{own: make(map[string]struct{})}
	r.homes = func() {
		m.puller.HomesChanged(id)
		m.post.HomesChanged(id)
	}
	present, gone, lost := w.Present, w.Gone, w.Lost
	known := make(map[string]struct{}) // by the watcher's calls alone, which come one at a time
	w.Present = func(participant string, entry []byte) {
		if _, ok := known[participant]; !ok {
			known[participant] = struct{}{}
			r.homes()
		}
		present(participant, entry)
	}
	w.Gone = func(participant, why string) {
		delete(known, participant)
		r.homes()
		gone(participant, why)
	}
	w.Lost = func(participant string) {
		r.forget(participant)
		lost(participant)
	}
	var err error
	if r.Room, err = m.rooms.Open(ctx, id, w); err != nil {
		return nil, err
	}
	return r, nil
}

// Put is [room.Room.Put].
func (r *Room) Put(participant string, entry []byte) {
	r.Room.Put(participant, entry)
	r.mu.Lock()
	_, had := r.own[participant]
	r.own[participant] = struct{}{}
	r.mu.Unlock()
	if !had {
		r.homes()
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
	r.homes()
}
