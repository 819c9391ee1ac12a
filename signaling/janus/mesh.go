package janus

import (
	"context"
	"encoding/json"
	"net/netip"
	"strconv"
)

// Mesh reaches the sessions of other nodes, so that a client may talk to any node. Its types are plain, since what fulfils it
// does not know this package. All methods are safe for concurrent use; those without a context never wait.
//
// Sessions at other nodes reach this server by [Server.FarCall], [Server.FarPoll], [Server.FarConnect] and [Server.Lost].
type Mesh interface {
	// Own says that this node owns a new session. A chosen id may be that of a session elsewhere: then Own waits to know, and
	// false says so.
	Own(ctx context.Context, session uint64, chosen bool) bool
	// Disown says that a session of this node's is over.
	Disown(session uint64)
	// Release says that a session of this node's is about to be another's, who takes it.
	Release(session uint64)
	// Call passes a request of a client that polls for events to the session's owner; reply is nil if there is none in time.
	// Nobody owns the session if found is false; the owner cannot be reached, and may be gone, if there is an error.
	Call(ctx context.Context, session uint64, transport, address string, request []byte) (reply []byte, found bool, err error)
	// Poll waits for up to n events of a session at another node until ctx is done.
	Poll(ctx context.Context, session uint64, n int) (events [][]byte, found bool, err error)
	// Connect names a connection of a client: receive gets the events of the sessions that it claims at other nodes, cut closes
	// it when what it has there is lost.
	Connect(transport, address string, receive func(message []byte), cut func()) (conn uint64)
	// Send passes a request of a connection to the session's owner, in order; reply is called once, with nil if there turns
	// out to be no such session, or never when the connection is cut.
	Send(ctx context.Context, conn, session uint64, request []byte, reply func(reply []byte)) (found bool, err error)
	// Hang says that a connection is closed.
	Hang(conn uint64)
	// Take makes this node the owner of a session that another had, and returns the epoch of its ownership, 0 if it cannot be
	// had: there is no such session, or somebody else takes it.
	Take(ctx context.Context, session uint64) (epoch uint64)
}

// polled is what the transport of a session is called that was adopted for a poll, until its client claims it.
const polled = "poll"

// connection returns the mesh's name of the connection that the source is; the first request that is passed makes it.
func (s *Source) connection(m Mesh, address netip.Addr) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn == 0 && !s.gone {
		s.conn = m.Connect(s.transport, text(address), s.deliver, s.cutOff)
	}
	return s.conn
}

// cutOff closes the connection that the source is, if it can be closed.
func (s *Source) cutOff() {
	if s.cut != nil {
		s.cut()
	}
}

// text is an address as others read it, "" for none.
func text(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

// elsewhere passes a request for a session that is not here to the session's owner, and tells whether it is dealt with. A
// session whose owner is gone may be adopted by this: then it is the call's, and to be served here.
func (c *call) elsewhere(verb string) (done bool) {
	m := c.server.cfg.Mesh
	if m == nil || c.far {
		return false
	}
	request, err := encode(c.Object)
	if err != nil {
		return false
	}
	var found bool
	polls := c.Source.deliver == nil
	if polls {
		var reply []byte
		reply, found, err = m.Call(c.ctx, c.sessionID, c.Source.transport, text(c.Address), request)
		if found && err == nil {
			c.server.metrics.Passed.Add(1)
			if reply == nil {
				c.answer(fail(CodeUnknown, "The session's node did not answer in time"))
				return true
			}
			c.respond(reply)
			return true
		}
	} else {
		conn := c.Source.connection(m, c.Address)
		found, err = m.Send(c.ctx, conn, c.sessionID, request, func(reply []byte) { c.passed(verb, reply) })
		if found && err == nil {
			c.server.metrics.Passed.Add(1)
			return true
		}
	}
	if err != nil {
		c.server.log.Debug("session's node does not answer", "session", c.sessionID, "error", err)
	}
	switch {
	case verb == "claim", found && polls: // who polls has no connection whose end would tell it to claim
		c.session = c.server.adopt(c.ctx, c.sessionID)
		if c.session != nil && verb != "claim" {
			c.session.claim(c.Source, func() {})
		}
	case found && c.Source.cut != nil:
		c.answered.Store(true)
		c.Source.cutOff() // the client connects again and claims its session
		return true
	}
	return false
}

// passed answers a request that was passed to another node. A claim that the session's owner knows nothing of may be one that
// it has left behind. It must not wait.
func (c *call) passed(verb string, reply []byte) {
	if reply != nil {
		c.respond(reply)
		return
	}
	if verb != "claim" || !c.server.begin(func() {
		if c.session = c.server.adopt(c.ctx, c.sessionID); c.session == nil {
			c.unknownSession()
			return
		}
		c.claim()
	}) {
		c.unknownSession()
	}
}

func (c *call) unknownSession() { c.answer(fail(CodeNoSession, "No such session %d", c.sessionID)) }

// begin runs f in a goroutine that the server waits for when it closes; false says that it is closed.
func (s *Server) begin(f func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.work.Go(f)
	return true
}

// FarCall handles a request that a client which polls sent to another node; found is false when there is no such session.
func (s *Server) FarCall(ctx context.Context, session uint64, transport, address string, request []byte) (reply []byte, found bool) {
	x, src := s.find(session), NewSource(transport, nil)
	if x == nil || s.yield(ctx, x, src, request) {
		return nil, false
	}
	replies := make(chan []byte, 1)
	s.far(ctx, src, address, request, func(b []byte) { replies <- b })
	select {
	case reply = <-replies:
	case <-ctx.Done():
	}
	return reply, true
}

// FarPoll is [Server.Poll] for a client of another node.
func (s *Server) FarPoll(ctx context.Context, session uint64, n int) (events [][]byte, found bool) {
	if s.find(session) == nil {
		return nil, false
	}
	l, err := s.poll(ctx, session, n)
	for _, e := range l {
		events = append(events, e)
	}
	return events, err == nil
}

// FarConnect begins a connection that a client has to another node. Handle handles its requests, one at a time; found is
// false when there is no such session, and then there is no reply. Gone says that the connection is closed.
func (s *Server) FarConnect(transport string, deliver func(event []byte)) (
	handle func(ctx context.Context, session uint64, address string, request []byte, reply func([]byte)) (found bool), gone func(),
) {
	src := NewSource(transport, deliver)
	handle = func(ctx context.Context, session uint64, address string, request []byte, reply func([]byte)) bool {
		if x := s.find(session); x == nil || s.yield(ctx, x, src, request) {
			return false
		}
		s.far(ctx, src, address, request, reply)
		return true
	}
	return handle, func() { s.Gone(src) }
}

// far handles a request that came to another node.
func (s *Server) far(ctx context.Context, src *Source, address string, request []byte, reply func([]byte)) {
	o, fault := ParseOne(request)
	if fault != nil {
		b, _ := failure(fault).encode() // nothing in it can fail
		reply(b)
		return
	}
	from, _ := netip.ParseAddr(address)
	s.Handle(ctx, Request{Object: o, Source: src, Address: from, far: true}, reply)
}

// pollElsewhere polls at the node that owns a session; adopted says that the session is here now.
func (s *Server) pollElsewhere(ctx context.Context, session uint64, n int) (events []json.RawMessage, adopted bool, err error) {
	if s.cfg.Mesh == nil {
		return nil, false, ErrNoSession
	}
	l, found, err := s.cfg.Mesh.Poll(ctx, session, n)
	if err != nil {
		if x := s.adopt(ctx, session); x != nil {
			return nil, x.claim(NewSource(polled, nil), func() {}), nil
		}
	}
	if err != nil || !found {
		return nil, false, ErrNoSession
	}
	for _, e := range l {
		events = append(events, e)
	}
	return events, false, nil
}

// Lost says that another node owns a session now. What the session has at media nodes is the other's too.
func (s *Server) Lost(session uint64) {
	if x := s.find(session); x != nil {
		x.log.Warn("session went to another node")
		s.end(x, endMoved)
	}
}

// name is the session's name in the media plane.
func (x *Session) name() string { return strconv.FormatUint(x.id, 10) }
