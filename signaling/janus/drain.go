package janus

import (
	"context"
	"strings"
	"time"
)

// yieldTime bounds how long a session may take to be ready for another node.
const yieldTime = 3 * time.Second

// Drain says whether this node is about to go. While it is, a session with media that its client claims at another node becomes
// that node's: signaling moves, and media stays where it is.
func (s *Server) Drain(on bool) { s.draining.Store(on) }

// Has tells whether a session is this node's.
func (s *Server) Has(session uint64) bool { return s.find(session) != nil }

// Departing returns how many connections with sessions were there before a time, as far as they can be closed.
func (s *Server) Departing(before time.Time) int { return len(s.departing(before)) }

// Depart closes up to n of the connections that [Server.Departing] counts, in good order: their clients get what was sent to them,
// and what comes later when they claim their sessions, at whichever node.
func (s *Server) Depart(before time.Time, n int) {
	for _, src := range s.departing(before) {
		if n--; n < 0 {
			return
		}
		s.Gone(src) // from now on events wait for the claim
		src.bye()
	}
}

// departing returns the connections of before that own sessions and can be closed: none if sessions end with their connections, since
// nobody could claim them.
func (s *Server) departing(before time.Time) []*Source {
	if s.reclaimTimeout() == 0 {
		return nil
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	seen := map[*Source]struct{}{}
	var l []*Source
	for _, x := range s.sessions {
		x.mu.Lock()
		src := x.owner
		x.mu.Unlock()
		if src == nil || src.bye == nil || !src.since.Before(before) {
			continue
		}
		if _, again := seen[src]; !again {
			seen[src] = struct{}{}
			l = append(l, src)
		}
	}
	return l
}

// yield gives a session up to the node that a client's claim of it came to, if this node drains and the session can go on there.
// It returns when the media plane has the last snapshot; src gets the events until then. The other node is to be told that there is no such
// session here.
func (s *Server) yield(ctx context.Context, x *Session, src *Source, request []byte) bool {
	if !s.draining.Load() || !x.portable(src.deliver == nil) {
		return false
	}
	if o, fault := ParseOne(request); fault != nil || !strings.EqualFold(o.String("janus"), "claim") {
		return false
	}
	if !x.claim(src, func() {}) {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, yieldTime)
	defer cancel()
	x.log.Info("session yielded")
	s.end(x, endYielded)
	select {
	case <-x.ctx.Done():
	case <-ctx.Done():
	}
	s.metrics.SessionsYielded.Add(1)
	return true
}

// portable tells whether the session can be adopted: what is kept of it is kept beside its media. Events that wait for a client
// that polls cannot be given to it on the way.
func (x *Session) portable(polls bool) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if polls && len(x.kept) > 0 {
		return false
	}
	for _, h := range x.handles {
		if _, ok := h.instance.(Portable); ok && h.PeerID() != "" {
			return true
		}
	}
	return false
}
