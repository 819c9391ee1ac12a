package videoroom

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"
)

const (
	// meshTime bounds each wait for other nodes. A mesh that is well answers within a second, from what it knows if need be.
	meshTime = 3 * time.Second
	// idleTime is how long a room is kept without anybody here who has to do with it, at least; at most it is twice that.
	// Long enough that a client which comes back finds the room still there, short enough that rosters are not sent to nodes
	// where nobody is.
	idleTime = 15 * time.Second
)

// held is what ties a room to the mesh.
type held struct {
	plugin  *Plugin       // set once
	mesh    MeshRoom      // set before anybody finds the room
	inbox   inbox         // of what the watcher is told
	done    chan struct{} // closed when the room is let go of, and may be opened again
	editing chan struct{} // holds a token while the record is being changed
	wronged atomic.Bool   // the log has been told that something from another node makes no sense

	// The room's mutex guards what follows.
	record []byte        // as it was adopted
	closed bool          // let go of; whoever finds the room has to look again
	idle   bool          // nobody had to do with the room when it was last looked at
	users  int           // requests under way that let go of the mutex
	claims map[ID]*claim // ids of participants who are about to join
	timer  *time.Timer   // of the next look
}

// opening is a room on its way. Those who come later wait for the first.
type opening struct {
	done chan struct{}
	room *room // set before done is closed; nil if there is none
	err  error // likewise
}

// lookup returns the room of an id. One that is not held here is opened, which may wait for other nodes.
func (p *Plugin) lookup(ctx context.Context, id ID) (*room, error) {
	if p.cfg.Mesh == nil {
		if r := p.find(id); r != nil {
			return r, nil
		}
		return nil, noSuchRoom(id)
	}
	if r := p.find(id); r != nil {
		return r, nil
	}
	if !id.shareable() {
		return nil, noSuchRoom(id)
	}
	ctx, cancel := context.WithTimeout(ctx, meshTime)
	defer cancel()
	for {
		p.mu.Lock()
		r, o := p.rooms[id], p.opening[id]
		full := len(p.rooms)+len(p.opening) >= p.cfg.MaxRooms
		if r == nil && o == nil && !full {
			p.made++
			r = newRoom(id, p.made, RoomConfig{})
			o = &opening{done: make(chan struct{})}
			p.opening[id] = o
			p.mu.Unlock()
			if p.open(ctx, r, o); o.err != nil {
				return nil, meshError(o.err, id)
			}
			return r, nil
		}
		p.mu.Unlock()
		switch {
		case r != nil:
			return r, nil
		case full && o == nil:
			return nil, refuse(codeUnknown, "Too many rooms")
		}
		select {
		case <-o.done:
		case <-ctx.Done():
			return nil, meshError(ctx.Err(), id)
		}
		if o.room != nil {
			return o.room, nil
		}
		hurried := errors.Is(o.err, context.DeadlineExceeded) || errors.Is(o.err, context.Canceled)
		if !hurried || ctx.Err() != nil {
			return nil, meshError(o.err, id)
		}
	}
}

// open has the mesh hold a room and puts it into the directory.
func (p *Plugin) open(ctx context.Context, r *room, o *opening) {
	o.err = errors.New("panic") // unless hold returns
	defer func() {
		p.mu.Lock()
		delete(p.opening, r.id)
		if o.err == nil {
			p.rooms[r.id] = r
			o.room = r
		}
		p.mu.Unlock()
		close(o.done)
	}()
	if o.err = r.hold(ctx, p); o.err == nil {
		defer r.held.inbox.begin()
	}
}

// hold opens the room in the mesh and takes over what is known of it.
func (r *room) hold(ctx context.Context, p *Plugin) error {
	h := &held{plugin: p, done: make(chan struct{}), editing: make(chan struct{}, 1), claims: make(map[ID]*claim)}
	h.inbox.room = r
	r.held = h
	m, err := p.cfg.Mesh.Open(ctx, r.id.String(), h.inbox.watcher())
	if err != nil {
		return fmt.Errorf("open room %s: %w", r.id, err)
	}
	r.mu.Lock()
	h.mesh = m
	record := m.Record()
	cfg, err := readRecord(r.id, record)
	if err == nil {
		h.record = record
		r.adopt(cfg)
		r.addDummy(p.ids)
	}
	r.mu.Unlock()
	switch {
	case record == nil:
		m.Close()
		return fmt.Errorf("open room %s: %w", r.id, ErrMeshNoRoom)
	case err != nil:
		m.Close()
		h.complain(err)
		return refuse(codeUnknown, "Room %s can't be used here", r.id)
	}
	h.inbox.work() // who is there; nobody looks on yet
	if r.isDestroyed() {
		return fmt.Errorf("open room %s: %w", r.id, ErrMeshNoRoom)
	}
	r.mu.Lock()
	h.timer = time.AfterFunc(idleTime, r.look)
	r.mu.Unlock()
	return nil
}

// complain tells the log of what makes no sense, once a room as a warning: other nodes can send any amount of it.
func (h *held) complain(err error) {
	level := slog.LevelDebug
	if h.wronged.CompareAndSwap(false, true) {
		level = slog.LevelWarn
	}
	h.plugin.log.Log(context.Background(), level, "another node was not understood", "room", h.inbox.room.id.String(), "error", err)
}

// busy tells whether anybody here has to do with the room.
func (r *room) busy() bool {
	if r.held.users > 0 || len(r.held.claims) > 0 || len(r.subscribers) > 0 {
		return true
	}
	for _, p := range r.members {
		if !p.remote && !p.dummy || p.forwardsHere() {
			return true
		}
	}
	for _, p := range r.departed {
		if !p.remote {
			return true
		}
	}
	return false
}

// look lets go of the room if nobody had to do with it at the last look and now.
func (r *room) look() {
	r.mu.Lock()
	h := r.held
	again, idle := h.idle, !r.busy()
	h.idle = idle
	leave := idle && again && !h.closed && !r.destroyed
	if leave {
		h.closed = true
	} else if !h.closed && !r.destroyed {
		h.timer.Reset(idleTime)
	}
	r.mu.Unlock()
	if leave {
		r.release()
	}
}

// release lets go of a room that was marked as closed or destroyed. It is called once.
func (r *room) release() {
	h := r.held
	h.inbox.close()
	h.mesh.Close()
	r.mu.Lock()
	for _, t := range []*time.Timer{h.timer, r.muteTimer} {
		if t != nil {
			t.Stop()
		}
	}
	r.mu.Unlock()
	h.plugin.forget(r)
	close(h.done)
}

// end ends the room here because it was destroyed, unless that has been done.
func (r *room) end(ctx context.Context) {
	var forwarders []string
	r.mu.Lock()
	first := !r.destroyed && !r.held.closed
	if first {
		forwarders = r.forwardersHere()
		r.close()
	}
	r.mu.Unlock()
	if first {
		r.release()
		r.held.plugin.stopForwarders(ctx, forwarders)
	}
}

// Close lets go of all rooms of the mesh and waits for what is under way. It is called when no client is left.
func (p *Plugin) Close() {
	for _, r := range p.all() {
		if r.held == nil {
			continue
		}
		r.mu.Lock()
		first := !r.destroyed && !r.held.closed
		r.held.closed = true
		r.mu.Unlock()
		if first {
			r.release()
		}
	}
	p.workers.Wait()
}

// Records are the configured rooms, for the mesh; empty without one.
func (p *Plugin) Records() []MeshRecord { return p.records }

// meshError is what a client is told when the mesh could not do what its request needs.
func meshError(err error, id ID) error {
	var refused *requestError
	switch {
	case errors.As(err, &refused):
		return err
	case errors.Is(err, ErrMeshNoRoom):
		return noSuchRoom(id)
	case errors.Is(err, ErrMeshExists):
		return refuse(codeRoomExists, "Room %s already exists", id)
	case errors.Is(err, ErrMeshFull):
		return refuse(codeUnknown, "Too many rooms")
	}
	return refuse(codeUnknown, "Room %s can't be reached at the moment", id)
}
