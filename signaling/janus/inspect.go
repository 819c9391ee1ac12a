package janus

import (
	"context"
	"slices"
	"time"
)

// Sessions returns the ids of all sessions in ascending order.
func (s *Server) Sessions() []uint64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	l := make([]uint64, 0, len(s.sessions))
	for id := range s.sessions {
		l = append(l, id)
	}
	slices.Sort(l)
	return l
}

// Session returns a session; nil if there is none of that id.
func (s *Server) Session(id uint64) *Session { return s.find(id) }

// Destroy ends a session as an operator does: its client is told nothing about it.
func (s *Server) Destroy(x *Session) { s.end(x, endDestroyed) }

// SetSessionTimeout changes [Config.SessionTimeout] for all sessions; 0 means never.
func (s *Server) SetSessionTimeout(d time.Duration) { s.tune.session.Store(int64(d)) }

// SetNoMediaTimer changes [Config.NoMediaTimer] for peers opened from now on.
func (s *Server) SetNoMediaTimer(d time.Duration) { s.tune.noMedia.Store(int64(d)) }

// SetSlowLinkThreshold changes [Config.SlowLinkThreshold] for peers opened from now on.
func (s *Server) SetSlowLinkThreshold(packets int) { s.tune.slowLink.Store(int64(packets)) }

// LastActivity returns when the client last asked something.
func (x *Session) LastActivity() time.Time { return time.Unix(0, x.lastUsed.Load()) }

// Transport returns the package name of the transport that owns the session, "" while it waits to be claimed.
func (x *Session) Transport() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.owner == nil {
		return ""
	}
	return x.owner.transport
}

// Handles returns the session's handles in ascending order of their ids.
func (x *Session) Handles() []*Handle {
	x.mu.Lock()
	defer x.mu.Unlock()
	l := make([]*Handle, 0, len(x.handles))
	for _, h := range x.handles {
		l = append(l, h)
	}
	slices.SortFunc(l, func(a, b *Handle) int {
		if a.id < b.id {
			return -1
		}
		return 1
	})
	return l
}

// Plugin returns the package name of the handle's plugin.
func (h *Handle) Plugin() string { return h.plugin.info.Package }

// Query returns what the plugin has to say about the handle.
func (h *Handle) Query() any { return h.instance.Query() }

// Detach takes the handle away as an operator does; its plugin and its client are told in its turn.
func (h *Handle) Detach() { h.session.detach(h) }

// HangUp closes the handle's PeerConnection as its client could; reason goes to the client. It returns at once.
func (h *Handle) HangUp(reason string) {
	h.enqueue(func(ctx context.Context) { h.hangup(ctx, reason, true) })
}
