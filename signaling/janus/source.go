package janus

import (
	"strconv"
	"sync"
	"time"
)

// Source is where requests come from and where the events of a session go: one WebSocket connection, or HTTP as a
// whole, whose clients poll. Sessions are owned by the source that created or last claimed them.
type Source struct {
	transport string
	id        string             // of the connection, in events
	deliver   func(event []byte) // nil: clients poll
	since     time.Time
	cut       func() // closes the connection; nil if it cannot be closed from here
	bye       func() // closes it when what was sent to it is written; nil likewise

	mu       sync.Mutex
	gone     bool
	conn     uint64 // the mesh's name of it, 0 until it has one
	sessions map[*Session]struct{}
}

// NewSource makes a source. Transport is Janus's package name ("janus.transport.websockets"). Deliver is given the
// events of the sessions that the source owns, in order; it must not block. nil means that clients ask with
// [Server.Poll].
func NewSource(transport string, deliver func(event []byte)) *Source {
	return &Source{transport: transport, id: strconv.FormatUint(randomID(), 10), deliver: deliver, since: time.Now()}
}

// OnCut sets what closes the connection that the source is, so that its client connects again and claims its sessions; it must
// not block. It is called before the source's first request.
func (s *Source) OnCut(cut func()) *Source {
	s.cut = cut
	return s
}

// OnBye sets what closes the connection in good order, when what was sent to it is written; it must not block. It is called before
// the source's first request.
func (s *Source) OnBye(bye func()) *Source {
	s.bye = bye
	return s
}

// ID names the source in events.
func (s *Source) ID() string { return s.id }

// Transport returns the package name of the transport.
func (s *Source) Transport() string { return s.transport }

// add takes a session; false if the source is gone already.
func (s *Source) add(x *Session) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone {
		return false
	}
	if s.sessions == nil {
		s.sessions = map[*Session]struct{}{}
	}
	s.sessions[x] = struct{}{}
	return true
}

func (s *Source) remove(x *Session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.sessions, x)
}

// leave marks the source as gone and returns the sessions it owned and the mesh's name of it.
func (s *Source) leave() ([]*Session, uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gone = true
	l := make([]*Session, 0, len(s.sessions))
	for x := range s.sessions {
		l = append(l, x)
	}
	s.sessions = nil
	return l, s.conn
}
