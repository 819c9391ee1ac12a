package janus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// ErrNoSession says that there is no such session, or that its events go to a connection.
var ErrNoSession = errors.New("no such session")

// ending says how a session ends.
type ending uint8

const (
	endDestroyed ending = iota // by its client; nothing is sent about it any more, as Janus does
	endTimeout                 // its client is told
	endGone                    // with its connection or the server
	endMoved                   // it goes on at another node
	endYielded                 // as endMoved, and its connection gets its events to the last
)

// state is where a session is in its life.
type state uint8

const (
	alive   state = iota
	closing       // its handles go away; events still go out
	over
)

// Session is one client's session.
type Session struct {
	id       uint64
	server   *Server
	created  time.Time
	log      *slog.Logger
	ctx      context.Context // ends with the session: what plugins do for it stops
	cancel   context.CancelFunc
	lastUsed atomic.Int64 // nanoseconds of the Unix clock
	timeout  atomic.Int64 // of its own, nanoseconds; negative: that of all sessions
	client   atomic.Pointer[netip.Addr]
	keeping  keeping

	mu      sync.Mutex
	state   state
	owner   *Source            // nil while it waits to be claimed
	lost    time.Time          // since when it waits
	handles map[uint64]*Handle // nil until the first
	kept    [][]byte           // events that nobody was there to be sent
	bytes   int                // of kept
	wake    chan struct{}      // closed when there is something for those who poll; nil when nobody waits
}

func newSession(s *Server, id uint64) *Session {
	x := &Session{id: id, server: s, created: time.Now(), log: s.log.With("session", id)}
	x.ctx, x.cancel = context.WithCancel(s.base)
	x.timeout.Store(-1)
	x.client.Store(new(netip.Addr))
	x.touch()
	return x
}

// ID returns the session's id. It is a secret of its client.
func (x *Session) ID() uint64 { return x.id }

// Created returns when the session was created.
func (x *Session) Created() time.Time { return x.created }

// touch notes that the client is alive.
func (x *Session) touch() { x.lastUsed.Store(time.Now().UnixNano()) }

// SetTimeout gives the session a timeout of its own; 0 means never, a negative one that of all sessions again.
func (x *Session) SetTimeout(d time.Duration) { x.timeout.Store(int64(d)) }

// timeoutIn is the time without a request after which the session ends, 0 for never.
func (x *Session) timeoutIn(s *Server) time.Duration {
	if own := x.timeout.Load(); own >= 0 {
		return time.Duration(own)
	}
	return s.sessionTimeout()
}

// expired tells whether the session's time has come.
func (x *Session) expired(now time.Time, reclaim time.Duration) bool {
	used, timeout := time.Unix(0, x.lastUsed.Load()), x.timeoutIn(x.server)
	if timeout > 0 && now.Sub(used) > timeout {
		return true
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.owner != nil {
		return false
	}
	if x.lost.After(used) {
		used = x.lost
	}
	return now.Sub(used) >= reclaim
}

// own makes src the owner. Called with mu held, or before anybody else knows the session.
func (x *Session) own(src *Source) {
	if x.owner == src {
		return
	}
	if x.owner != nil {
		x.owner.remove(x)
	}
	x.owner = nil
	if src.add(x) {
		x.owner = src
	} else {
		x.lost = time.Now()
	}
}

// claim makes src the owner, answers the request and then delivers what was kept meanwhile.
func (x *Session) claim(src *Source, answer func()) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.state != alive {
		return false
	}
	x.own(src)
	x.signal()
	answer()
	if x.owner != nil && x.owner.deliver != nil {
		for _, e := range x.kept {
			x.owner.deliver(e)
		}
		x.server.metrics.EventsSent.Add(uint64(len(x.kept)))
		x.kept, x.bytes = nil, 0
	}
	return true
}

// abandon notes that src delivers nothing any more; false if the session is not its.
func (x *Session) abandon(src *Source) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.owner != src {
		return false
	}
	x.owner = nil
	x.lost = time.Now()
	return true
}

// push sends an event to the client, or keeps it until somebody asks. It never blocks.
func (x *Session) push(event []byte) {
	if event == nil {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.state == over {
		return
	}
	if x.owner != nil && x.owner.deliver != nil {
		x.server.metrics.EventsSent.Add(1)
		x.owner.deliver(event)
		return
	}
	x.kept = append(x.kept, event)
	x.bytes += len(event)
	for len(x.kept) > x.server.cfg.MaxEvents || x.bytes > x.server.cfg.MaxEventBytes && len(x.kept) > 1 {
		x.bytes -= len(x.kept[0])
		x.kept = slices.Delete(x.kept, 0, 1)
		x.server.metrics.EventsDropped.Add(1)
	}
	x.signal()
}

// signal wakes those who poll. Called with mu held.
func (x *Session) signal() {
	if x.wake != nil {
		close(x.wake)
		x.wake = nil
	}
}

// take returns up to n kept events, or a channel that is closed when there may be some.
func (x *Session) take(n int) ([]json.RawMessage, <-chan struct{}, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.owner != nil && x.owner.deliver != nil {
		return nil, nil, ErrNoSession
	}
	n = min(n, len(x.kept))
	if n == 0 {
		if x.state == over {
			return nil, nil, ErrNoSession
		}
		if x.wake == nil {
			x.wake = make(chan struct{})
		}
		return nil, x.wake, nil
	}
	events := make([]json.RawMessage, n)
	for i, e := range x.kept[:n] {
		x.bytes -= len(e)
		events[i] = e
	}
	x.kept = slices.Delete(x.kept, 0, n)
	if len(x.kept) == 0 {
		x.kept = nil // an idle session keeps no queue
	}
	x.server.metrics.EventsSent.Add(uint64(n))
	return events, nil, nil
}

// Poll returns up to n events of a session whose client polls, waiting for the first until ctx is done. Several may
// poll at once: what comes first wakes all of them and goes to one, and no events and no error is what the others get,
// as does who waits when the session ends. The session counts as used.
func (s *Server) Poll(ctx context.Context, session uint64, n int) ([]json.RawMessage, error) {
	if s.find(session) == nil {
		events, adopted, err := s.pollElsewhere(ctx, session, n)
		if !adopted {
			return events, err
		}
	}
	return s.poll(ctx, session, n)
}

// poll is Poll for a session of this node.
func (s *Server) poll(ctx context.Context, session uint64, n int) ([]json.RawMessage, error) {
	x := s.find(session)
	if x == nil {
		return nil, ErrNoSession
	}
	x.touch()
	events, wake, err := x.take(n)
	if err != nil || events != nil {
		return events, err
	}
	s.metrics.Polls.Add(1)
	defer s.metrics.Polls.Add(-1)
	select {
	case <-wake:
	case <-ctx.Done():
		return nil, nil
	}
	x.touch()
	events, _, err = x.take(n)
	if errors.Is(err, ErrNoSession) {
		err = nil // it was there when the poll came
	}
	return events, err
}

// attach makes a handle to a plugin.
func (x *Session) attach(p *installed, opaque, token string) (*Handle, *Error) {
	x.mu.Lock()
	full := len(x.handles) >= x.server.cfg.MaxHandles
	id := randomID()
	for x.handles[id] != nil {
		id = randomID()
	}
	x.mu.Unlock()
	if full {
		return nil, errorf(CodePluginAttach, "Couldn't attach to plugin '%s': too many handles in this session", p.info.Package)
	}
	h := &Handle{
		id: id, session: x, plugin: p, opaque: opaque, token: token, created: time.Now(),
		log: x.log.With("handle", id), requests: make(chan struct{}, maxRequests),
	}
	instance, err := p.Attach(h)
	if err != nil {
		h.log.Warn("handle not attached", "plugin", p.info.Package, "error", err)
		return nil, errorf(CodePluginAttach, "Couldn't attach to plugin '%s', error '%d'", p.info.Package, -1)
	}
	h.instance = instance
	if !x.add(h) {
		h.abandon()
		return nil, errorf(CodeNoSession, "No such session %d", x.id)
	}
	h.reportHandle("attached")
	h.changed()
	return h, nil
}

// add takes a new handle in; false if the session ended meanwhile.
func (x *Session) add(h *Handle) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.state != alive {
		return false
	}
	if x.handles == nil {
		x.handles = map[uint64]*Handle{}
	}
	x.handles[h.id] = h
	x.server.metrics.Handles.Add(1)
	return true
}

// handle returns a handle, nil if there is none of that id.
func (x *Session) handle(id uint64) *Handle {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.handles[id]
}

// detach takes a handle away; its plugin and its client are told in its turn.
func (x *Session) detach(h *Handle) {
	x.mu.Lock()
	_, mine := x.handles[h.id]
	delete(x.handles, h.id)
	x.mu.Unlock()
	if mine {
		h.close(false, func() { x.server.metrics.Handles.Add(-1) })
		x.changed()
	}
}

// end ends a session: no request finds it any more, its handles are detached in their turns, and then, if it timed
// out, its client is told.
func (s *Server) end(x *Session, how ending) {
	x.mu.Lock()
	if x.state != alive {
		x.mu.Unlock()
		return
	}
	x.state = over
	if how == endTimeout {
		s.metrics.SessionsTimedOut.Add(1)
	}
	handles := x.handles
	x.handles = nil
	if how == endTimeout || how == endYielded {
		x.state = closing
	} else {
		x.leave()
	}
	x.mu.Unlock()
	moved := how == endMoved || how == endYielded

	s.mu.Lock()
	if s.sessions[x.id] == x {
		delete(s.sessions, x.id)
	}
	s.mu.Unlock()
	s.metrics.Sessions.Add(-1)
	switch {
	case how == endYielded:
		s.cfg.Mesh.Release(x.id)
	case s.cfg.Mesh != nil && !moved:
		s.cfg.Mesh.Disown(x.id)
	}
	if !moved {
		x.cancel()
	}

	left := int64(len(handles))
	if left == 0 {
		x.finish(how)
		return
	}
	var remaining atomic.Int64
	remaining.Store(left)
	for _, h := range handles {
		h.close(moved, func() {
			s.metrics.Handles.Add(-1)
			if remaining.Add(-1) == 0 {
				x.finish(how)
			}
		})
	}
}

// finish is the end of a session that has no handles any more.
func (x *Session) finish(how ending) {
	x.reportEnd(how)
	if how == endTimeout {
		x.push(fmt.Appendf(nil, `{"janus":"timeout","session_id":%d}`, x.id))
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.state = over
	x.leave()
	x.cancel()
}

// leave lets go of the owner and of those who poll. Called with mu held.
func (x *Session) leave() {
	if x.owner != nil {
		x.owner.remove(x)
	}
	x.owner = nil
	x.signal()
}
