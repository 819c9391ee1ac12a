package janus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"cardea/relay/plane"
)

// Bounds of adoptions.
const (
	adoptTime   = 8 * time.Second // for all of one; an HTTP request waits no longer than 10 s
	maxRestores = 16              // handles of a session restored at once
)

// adoptions are the sessions that are being adopted: many requests may ask for the same one.
type adoptions struct {
	mu      sync.Mutex
	running map[uint64]chan struct{}
}

// begin makes the caller the one to adopt a session; else wait is closed when another has tried.
func (a *adoptions) begin(session uint64) (wait <-chan struct{}, end func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if c := a.running[session]; c != nil {
		return c, nil
	}
	if a.running == nil {
		a.running = map[uint64]chan struct{}{}
	}
	c := make(chan struct{})
	a.running[session] = c
	return nil, func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		delete(a.running, session)
		close(c)
	}
}

// adopt makes a session of another node, which is gone, this node's: from what is kept beside its media. It returns nil when
// that cannot be done.
func (s *Server) adopt(ctx context.Context, id uint64) *Session {
	if s.accepting() != nil && !s.draining.Load() { // while draining, better for a while than nowhere
		return nil
	}
	wait, end := s.adopts.begin(id)
	if end == nil {
		select {
		case <-wait:
		case <-ctx.Done():
		}
		return s.find(id)
	}
	defer end()
	if x := s.find(id); x != nil {
		return x
	}
	ctx, cancel := context.WithTimeout(ctx, adoptTime)
	defer cancel()
	epoch := s.cfg.Mesh.Take(ctx, id)
	if epoch == 0 {
		return nil
	}
	x, err := s.restore(ctx, id, epoch)
	if err != nil {
		s.log.Info("session not adopted", "session", id, "error", err)
		s.cfg.Mesh.Disown(id)
		return nil
	}
	s.metrics.SessionsAdopted.Add(1)
	x.log.Info("session adopted", "handles", len(x.all()))
	return x
}

// restore makes a session from what is kept of it.
func (s *Server) restore(ctx context.Context, id, epoch uint64) (*Session, error) {
	x := newSession(s, id)
	all, err := s.cfg.Plane.Kept(ctx, x.name())
	if err != nil {
		return nil, fmt.Errorf("find what is kept: %w", err)
	}
	whole, version, err := assemble(id, all)
	if err != nil {
		return nil, err
	}
	x.created = whole.Session.Created
	x.SetTimeout(whole.Session.Timeout)
	x.keeping.version = version
	x.lost = time.Now()
	handles := s.restoreHandles(ctx, x, whole.Handles, epoch)
	if err := s.enter(x, handles); err != nil {
		for _, h := range handles {
			h.close(true, func() {})
		}
		x.cancel()
		return nil, err
	}
	for _, h := range handles {
		h.changed()
		h.enqueue(h.reconcile)
	}
	return x, nil
}

// enter makes a session known.
func (s *Server) enter(x *Session, handles []*Handle) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || len(s.sessions) >= s.cfg.MaxSessions || s.sessions[x.id] != nil {
		return errors.New("no room for it")
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.state != alive {
		return errors.New("it ended")
	}
	x.handles = make(map[uint64]*Handle, len(handles))
	for _, h := range handles {
		x.handles[h.id] = h
	}
	s.sessions[x.id] = x
	s.metrics.Sessions.Add(1)
	s.metrics.Handles.Add(int64(len(handles)))
	return nil
}

// assemble puts together what is kept beside the peers of a session: of each handle the newest. The version is the highest.
func assemble(id uint64, all []plane.Kept) (whole snapshot, version uint64, err error) {
	newest := map[uint64]uint64{} // version of each handle
	handles := map[uint64]keptHandle{}
	for _, k := range all {
		var part snapshot
		if e := json.Unmarshal(k.Snapshot, &part); e != nil || part.Session.ID != id {
			err = errors.Join(err, fmt.Errorf("snapshot beside %s: of session %d: %w", k.Peer, part.Session.ID, e))
			continue
		}
		if k.Version >= version {
			version, whole.Session = k.Version, part.Session
		}
		for _, h := range part.Handles {
			if _, there := handles[h.ID]; h.ID != 0 && (!there || k.Version > newest[h.ID]) {
				newest[h.ID], handles[h.ID] = k.Version, h
			}
		}
	}
	if len(handles) == 0 {
		return whole, 0, errors.Join(err, errors.New("nothing is kept of it"))
	}
	for _, h := range handles {
		whole.Handles = append(whole.Handles, h)
	}
	return whole, version, nil
}

// restoreHandles makes the handles of a session, those of which that can be done.
func (s *Server) restoreHandles(ctx context.Context, x *Session, all []keptHandle, epoch uint64) []*Handle {
	made := make([]*Handle, len(all))
	tokens := make(chan struct{}, maxRestores)
	var restored sync.WaitGroup
	for i, k := range all {
		if i >= s.cfg.MaxHandles {
			break
		}
		tokens <- struct{}{}
		restored.Go(func() {
			defer func() { <-tokens }()
			h, err := s.restoreHandle(ctx, x, k, epoch)
			if err != nil {
				x.log.Warn("handle not restored", "handle", k.ID, "plugin", k.Plugin, "error", err)
				x.push(h.event(&message{Janus: "detached"}))
				return
			}
			made[i] = h
		})
	}
	restored.Wait()
	var handles []*Handle
	for _, h := range made {
		if h != nil {
			handles = append(handles, h)
		}
	}
	return handles
}

// restoreHandle makes a handle from what is kept of it. The handle that comes with an error is good for its name only.
func (s *Server) restoreHandle(ctx context.Context, x *Session, k keptHandle, epoch uint64) (*Handle, error) {
	h := &Handle{
		id: k.ID, session: x, plugin: s.plugins[k.Plugin], opaque: k.Opaque, token: k.Token, created: k.Created,
		log: x.log.With("handle", k.ID), requests: make(chan struct{}, maxRequests),
	}
	adopted := false
	if k.Peer != nil {
		s.peers.Store(k.Peer.ID, h) // before there can be events of it
		err := s.cfg.Plane.Adopt(ctx, k.Peer.ID, epoch)
		if adopted = err == nil; !adopted && !errors.Is(err, plane.ErrNoPeer) { // of one that is gone the handle is told later
			s.peers.Delete(k.Peer.ID)
			return h, fmt.Errorf("adopt peer: %w", err)
		}
	}
	err := h.inherit(ctx, k)
	if err != nil && adopted {
		s.closePeer(ctx, k.Peer.ID)
	}
	return h, err
}

// inherit has the plugin make the instance in the handle's turn. What comes before, events of the peer, finds no
// PeerConnection, and what comes after finds the instance.
func (h *Handle) inherit(ctx context.Context, k keptHandle) error {
	if h.plugin == nil {
		return fmt.Errorf("no plugin %q here", k.Plugin)
	}
	heir, ok := h.plugin.Plugin.(Heir)
	if !ok {
		return fmt.Errorf("plugin %q cannot go on with it", k.Plugin)
	}
	result := make(chan error, 1)
	h.enqueue(func(turn context.Context) {
		turn, cancel := context.WithCancel(turn)
		defer cancel()
		defer context.AfterFunc(ctx, cancel)()
		var err error
		defer func() {
			if r := recover(); r != nil {
				h.session.server.metrics.Panics.Add(1)
				err = fmt.Errorf("panic: %v", r)
				h.log.Error("panic while a handle was restored", "panic", r, "stack", string(debug.Stack()))
			}
			if err != nil {
				h.forgo()
			}
			result <- err
		}()
		h.peer.restore(k.Peer)
		h.instance, err = heir.Restore(turn, h, k.State)
	})
	err := <-result
	if err == nil && k.Peer != nil {
		h.session.server.metrics.Peers.Add(1)
	}
	return err
}

// forgo makes a handle that could not be restored deaf.
func (h *Handle) forgo() {
	h.peer.restore(nil)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed, h.tasks = true, nil
}

// restore sets the PeerConnection to one that was kept, or to none.
func (p *peer) restore(k *keptConnection) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conn = nil
	p.open.Store(nil)
	p.trickles.reset()
	if k == nil {
		return
	}
	p.conn = k.connection()
	p.open.Store(p.conn)
	if p.conn.negotiated() {
		p.trickles.flush(p.conn.settled, 0)
	}
}
