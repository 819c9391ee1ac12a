package node

import (
	"context"
	"sync"
	"time"

	"cardea/geo"
)

const (
	// roomAge is for how long an answer about a room is given again.
	roomAge = 2 * time.Second
	// maxRoomsAsked bounds the rooms whose answers are remembered, and roomAsks how many are asked about at a time: strangers may name
	// rooms as they like.
	maxRoomsAsked = 1024
	roomAsks      = 32
)

// whereabouts remembers for a moment where the participants of rooms are: when a meeting begins, all its clients ask.
type whereabouts struct {
	ask func(ctx context.Context, room string) ([]geo.Members, error)

	mu     sync.Mutex
	rooms  map[string]whereabout // at most maxRoomsAsked
	asking int
}

type whereabout struct {
	members []geo.Members
	at      time.Time
}

// get returns where the participants of a room are, as far as that can be told soon.
func (w *whereabouts) get(ctx context.Context, room string) []geo.Members {
	w.mu.Lock()
	known, ok := w.rooms[room]
	if ok && time.Since(known.at) < roomAge || w.asking >= roomAsks {
		w.mu.Unlock()
		return known.members
	}
	w.asking++
	w.mu.Unlock()
	members, err := w.ask(ctx, room)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asking--
	if err != nil {
		return known.members // of a while ago, or nothing
	}
	w.forget()
	w.rooms[room] = whereabout{members, time.Now()}
	return members
}

// remembered returns what get would if that needs nobody to be asked; false if it does.
func (w *whereabouts) remembered(room string) ([]geo.Members, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	known, ok := w.rooms[room]
	return known.members, ok && time.Since(known.at) < roomAge
}

// forget makes room for one more; mu is held.
func (w *whereabouts) forget() {
	if w.rooms == nil {
		w.rooms = make(map[string]whereabout)
	}
	if len(w.rooms) < maxRoomsAsked {
		return
	}
	for room, known := range w.rooms {
		if time.Since(known.at) >= roomAge {
			delete(w.rooms, room)
		}
	}
	if len(w.rooms) >= maxRoomsAsked {
		clear(w.rooms)
	}
}
