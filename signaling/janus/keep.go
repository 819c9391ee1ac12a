package janus

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"cardea/relay/plane"
	"cardea/signaling/sdp"
)

// Times of snapshots.
const (
	keepPause = 200 * time.Millisecond // changes of a handle are gathered so long
	keepTime  = 5 * time.Second        // for the media plane to take a snapshot
)

// A snapshot beside a peer holds the handle that opened the peer. Handles without a peer have no place of their own: they are
// kept with the session's first handle that has one, the anchor. A session without peers is not kept; there is no
// media to go on.

// snapshot is what is kept beside a peer. It is JSON: other versions of the program read it.
type snapshot struct {
	Session keptSession  `json:"session"`
	Handles []keptHandle `json:"handles"`
}

// keptSession is what is kept of a session.
type keptSession struct {
	ID      uint64        `json:"id"`
	Created time.Time     `json:"created"`
	Timeout time.Duration `json:"timeout"` // of its own; negative: that of all sessions
}

// keptHandle is what is kept of a handle.
type keptHandle struct {
	ID      uint64          `json:"id"`
	Plugin  string          `json:"plugin"`
	Opaque  string          `json:"opaque,omitempty"`
	Token   string          `json:"token,omitempty"`
	Created time.Time       `json:"created"`
	State   []byte          `json:"state"` // the plugin's
	Peer    *keptConnection `json:"peer,omitempty"`
}

// keptConnection is what is kept of a PeerConnection.
type keptConnection struct {
	ID         plane.PeerID    `json:"id"`
	Local      plane.Transport `json:"local"`
	Remote     plane.Transport `json:"remote"`
	Setup      plane.Setup     `json:"setup"`
	Version    uint64          `json:"version"`
	Generation uint32          `json:"generation,omitempty"`
	Settled    []sdp.Media     `json:"settled,omitempty"`
	Pending    []sdp.Media     `json:"pending,omitempty"`
	Offered    bool            `json:"offered,omitempty"` // Pending is an offer, perhaps without lines
	Origin     uint64          `json:"origin"`
	Described  uint64          `json:"described"`
	E2EE       bool            `json:"e2ee,omitempty"`
	Trickle    bool            `json:"trickle,omitempty"`
	Name       string          `json:"name,omitempty"`
	Opened     time.Time       `json:"opened"`
	Started    time.Time       `json:"started"`
	UpAt       int64           `json:"up_at,omitempty"` // nanoseconds of the Unix clock
}

// keeper gathers the handles that changed.
type keeper struct {
	mu    sync.Mutex
	dirty map[*Handle]struct{}
	wake  chan struct{} // closed when there are some; nil when nobody waits
}

// keeping is the state of a session's snapshots.
type keeping struct {
	mu      sync.Mutex
	running bool              // a goroutine gives snapshots to the media plane
	again   bool              // something changed since it began
	version uint64            // of the last snapshot
	anchor  plane.PeerID      // beside which handles without a peer are kept
	loose   []json.RawMessage // these, as the anchor has them
}

// lastSnapshot is a handle as it was when it was last looked at. Guarded by the session's keeping.mu.
type lastSnapshot struct {
	data    json.RawMessage
	peer    plane.PeerID
	pending bool // the media plane does not have it yet
}

// changed notes that the handle may have changed. It is called once there is an instance.
func (h *Handle) changed() {
	if _, ok := h.instance.(Portable); !ok || h.session.server.cfg.Mesh == nil {
		return
	}
	k := &h.session.server.keeper
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.dirty == nil {
		k.dirty = map[*Handle]struct{}{}
	}
	k.dirty[h] = struct{}{}
	if k.wake != nil {
		close(k.wake)
		k.wake = nil
	}
}

// take returns the handles that changed, or a channel that is closed when there are some.
func (k *keeper) take() (map[*Handle]struct{}, <-chan struct{}) {
	k.mu.Lock()
	defer k.mu.Unlock()
	dirty := k.dirty
	k.dirty = nil
	if len(dirty) == 0 && k.wake == nil {
		k.wake = make(chan struct{})
	}
	return dirty, k.wake
}

// keepAll has the handles that changed looked at until ctx is done.
func (s *Server) keepAll(ctx context.Context) {
	for ctx.Err() == nil {
		dirty, wake := s.keeper.take()
		for h := range dirty {
			h.enqueue(func(context.Context) {
				if h.look() {
					h.session.changed()
				}
			})
		}
		if len(dirty) == 0 {
			select {
			case <-wake:
			case <-ctx.Done():
			}
		}
		select {
		case <-time.After(keepPause):
		case <-ctx.Done():
		}
	}
}

// look takes a snapshot of the handle and tells whether it differs from the last. It runs in the handle's turn.
func (h *Handle) look() bool {
	data, peer, err := h.snapshot()
	if err != nil {
		h.log.Debug("handle not kept", "error", err)
	}
	k := &h.session.keeping
	k.mu.Lock()
	defer k.mu.Unlock()
	if h.kept.peer == peer && bytes.Equal(h.kept.data, data) {
		return h.kept.pending
	}
	h.kept = lastSnapshot{data: data, peer: peer, pending: true}
	return true
}

// snapshot is the handle as it is kept, and its peer.
func (h *Handle) snapshot() (json.RawMessage, plane.PeerID, error) {
	p, ok := h.instance.(Portable)
	if !ok {
		return nil, "", nil
	}
	state, err := p.Snapshot()
	if err != nil {
		return nil, "", fmt.Errorf("snapshot: %w", err)
	}
	k := keptHandle{ID: h.id, Plugin: h.plugin.info.Package, Opaque: h.opaque, Token: h.token, Created: h.created, State: state}
	h.peer.mu.Lock()
	defer h.peer.mu.Unlock()
	peer := plane.PeerID("")
	if c := h.peer.conn; c != nil {
		peer, k.Peer = c.id, c.kept()
	}
	data, err := json.Marshal(k)
	return data, peer, err
}

// kept is the connection as it is kept. Called with peer.mu held.
func (c *connection) kept() *keptConnection {
	return &keptConnection{
		ID: c.id, Local: c.local, Remote: c.remote, Setup: c.setup, Version: c.version, Generation: c.generation, Settled: c.settled,
		Pending: c.pending, Offered: c.pending != nil, Origin: c.origin, Described: c.described, E2EE: c.e2ee, Trickle: c.trickle,
		Name: c.name, Opened: c.opened, Started: c.started, UpAt: c.upAt.Load(),
	}
}

// connection is the connection that was kept.
func (k *keptConnection) connection() *connection {
	c := &connection{
		id: k.ID, local: k.Local, remote: k.Remote, setup: k.Setup, version: k.Version, generation: k.Generation, settled: k.Settled,
		pending: k.Pending, origin: k.Origin, described: k.Described, e2ee: k.E2EE, trickle: k.Trickle, name: k.Name,
		opened: k.Opened, started: k.Started,
	}
	if k.Offered && c.pending == nil {
		c.pending = []sdp.Media{}
	}
	c.upAt.Store(k.UpAt)
	c.gathered, c.told, c.connected = c.generation+1, c.remote.Ufrag, k.UpAt != 0 // as events of the other node have told
	return c
}

// changed has the media plane given what it does not have of the session.
func (x *Session) changed() {
	if x.server.cfg.Mesh == nil {
		return
	}
	k := &x.keeping
	k.mu.Lock()
	defer k.mu.Unlock()
	k.again = true
	if !k.running {
		k.running = x.server.begin(x.keep)
	}
}

// kept is one snapshot for the media plane.
type kept struct {
	peer     plane.PeerID
	version  uint64
	snapshot []byte
}

// keep gives snapshots to the media plane until it has all.
func (x *Session) keep() {
	for {
		handles := x.all()
		x.keeping.mu.Lock()
		if !x.keeping.again {
			x.keeping.running = false
			x.keeping.mu.Unlock()
			return
		}
		x.keeping.again = false
		jobs := x.gather(handles)
		x.keeping.mu.Unlock()
		for _, j := range jobs {
			x.give(context.WithoutCancel(x.ctx), j)
		}
	}
}

// all returns the session's handles, in the order of their ids.
func (x *Session) all() []*Handle {
	x.mu.Lock()
	defer x.mu.Unlock()
	l := make([]*Handle, 0, len(x.handles))
	for _, h := range x.handles {
		l = append(l, h)
	}
	slices.SortFunc(l, func(a, b *Handle) int { return cmp.Compare(a.id, b.id) })
	return l
}

// gather makes the snapshots that the media plane does not have. Called with keeping.mu held.
func (x *Session) gather(handles []*Handle) (jobs []kept) {
	k := &x.keeping
	anchor := (*Handle)(nil)
	var loose []json.RawMessage
	for _, h := range handles {
		switch {
		case h.kept.peer != "" && anchor == nil:
			anchor = h
		case h.kept.peer == "" && h.kept.data != nil:
			loose = append(loose, h.kept.data)
		}
	}
	if anchor == nil {
		k.anchor, k.loose = "", nil
		return nil
	}
	same := slices.EqualFunc(loose, k.loose, func(a, b json.RawMessage) bool { return bytes.Equal(a, b) })
	if anchor.kept.peer != k.anchor || !same {
		anchor.kept.pending = true
	}
	k.anchor, k.loose = anchor.kept.peer, loose
	for _, h := range handles {
		if h.kept.peer != "" && h.kept.pending {
			h.kept.pending = false
			jobs = append(jobs, x.compose(h))
		}
	}
	return jobs
}

// compose makes the snapshot that is kept beside a handle's peer. Called with keeping.mu held.
func (x *Session) compose(h *Handle) kept {
	k := &x.keeping
	k.version++
	s := struct {
		Session keptSession       `json:"session"`
		Handles []json.RawMessage `json:"handles"`
	}{
		keptSession{ID: x.id, Created: x.created, Timeout: time.Duration(x.timeout.Load())},
		[]json.RawMessage{h.kept.data},
	}
	if h.kept.peer == k.anchor {
		s.Handles = append(s.Handles, k.loose...)
	}
	b, err := json.Marshal(s)
	if err == nil && len(b) > plane.MaxSnapshot {
		s.Handles = s.Handles[:1]
		b, err = json.Marshal(s)
	}
	if err != nil {
		h.log.Error("snapshot not encodable", "error", err) // all of it was encoded before
	}
	return kept{h.kept.peer, k.version, b}
}

// give has the media plane keep a snapshot. One that fails is not tried again: the next change makes another.
func (x *Session) give(ctx context.Context, j kept) {
	ctx, cancel := context.WithTimeout(ctx, keepTime)
	defer cancel()
	err := x.server.cfg.Plane.Keep(ctx, j.peer, j.version, j.snapshot)
	if err != nil && !errors.Is(err, plane.ErrNoPeer) && !errors.Is(err, plane.ErrStale) {
		x.log.Warn("session not kept", "peer", j.peer, "bytes", len(j.snapshot), "error", err)
	}
}

// release leaves the handle to another node, after a last snapshot of it. It runs in the handle's turn, as the last.
func (h *Handle) release(ctx context.Context, p Portable) {
	x := h.session
	changed := h.look()
	x.keeping.mu.Lock()
	var last *kept
	if changed && h.kept.peer != "" {
		j := x.compose(h)
		last = &j
	}
	x.keeping.mu.Unlock()
	if last != nil {
		x.give(ctx, *last)
	}
	h.peer.mu.Lock()
	c := h.peer.conn
	h.peer.conn = nil
	h.peer.open.Store(nil)
	h.peer.mu.Unlock()
	if c != nil {
		x.server.peers.Delete(c.id)
		x.server.metrics.Peers.Add(-1)
	}
	p.Release(ctx)
}
