package session

import (
	"context"
	"fmt"
	"sync"
	"time"

	"cardea/relay/link"
	"cardea/relay/link/wire"
)

// Bounds of connections.
const (
	maxRequests = 32              // of a connection, at one node and not answered
	againTime   = 5 * time.Second // for a request to be passed on to another owner
	ackBytes    = 64 << 10        // taken of a connection's messages before their node is told
	maxBacklog  = 1 << 20         // bytes of a connection's messages that were not taken
	maxOutlets  = 1 << 17         // connections of one other node's clients
)

// conn is a connection of a client of this node, as far as it talks to sessions of others.
type conn struct {
	id        uint64
	transport string
	address   string
	receive   func(message []byte)
	cut       func()
	ctx       context.Context // ends with the connection
	end       context.CancelFunc

	sending sync.Mutex // held while a request goes out: their order is that of their numbers

	routes map[link.NodeID]*route // guarded by Sessions.mu
}

// route is what a connection has with one node. Guarded by Sessions.mu.
type route struct {
	sent    uint64              // serial of the last request
	got     uint64              // serial of the last message
	taken   uint64              // bytes of messages
	told    uint64              // of these, what the node knows
	waiting map[uint64]*pending // requests that are not answered, by serial
	used    map[uint64]struct{} // sessions that the node has answered for
	window  chan struct{}       // one token each; not guarded
}

// pending is a request that was passed.
type pending struct {
	session uint64
	request []byte
	reply   func(reply []byte)
	again   bool // another node said already that it has no such session
}

// Connect begins a connection of a client of this node and returns its name. Receive is given the events of sessions at other
// nodes, in order; cut closes the client's connection. Neither may block.
func (s *Sessions) Connect(transport, address string, receive func(message []byte), cut func()) uint64 {
	c := &conn{transport: transport, address: address, receive: receive, cut: cut, routes: make(map[link.NodeID]*route)}
	c.ctx, c.end = context.WithCancel(s.base)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.serial++
	c.id = s.serial
	s.conns[c.id] = c
	return c.id
}

// Hang says that a connection is closed.
func (s *Sessions) Hang(id uint64) {
	s.mu.Lock()
	c := s.conns[id]
	delete(s.conns, id)
	var at []link.NodeID
	if c != nil {
		for node := range c.routes {
			at = append(at, node)
		}
	}
	s.mu.Unlock()
	if c == nil {
		return
	}
	c.end()
	for _, node := range at {
		s.send(node, KindHang, connNotice{id})
	}
}

// Send passes a request of a connection to its session's owner; reply is called once, with nil if it turns out that there is
// no such session, or never when the connection is cut. Replies and events come in the order in which the owner made them.
// Nobody owns the session if found is false; an error says that the owner cannot be reached. Send waits while too many
// requests of the connection are not answered, at most until ctx is done.
func (s *Sessions) Send(ctx context.Context, id, session uint64, request []byte, reply func(reply []byte)) (found bool, err error) {
	s.mu.Lock()
	c := s.conns[id]
	s.mu.Unlock()
	if c == nil {
		return false, nil
	}
	r := s.find(ctx, session, false)
	if r.Owner == "" || r.Owner == s.cfg.Self {
		return false, nil
	}
	if err := s.sendTo(ctx, c, r.Owner, &pending{session: session, request: request, reply: reply}); err != nil {
		s.unlearn(session)
		return true, fmt.Errorf("%w: %s: %w", ErrUnreachable, r.Owner, err)
	}
	return true, nil
}

// sendTo passes a request of a connection to a node.
func (s *Sessions) sendTo(ctx context.Context, c *conn, to link.NodeID, p *pending) error {
	way, err := s.route(ctx, c, to)
	if err != nil {
		return err
	}
	select {
	case way.window <- struct{}{}:
	case <-c.ctx.Done():
		return c.ctx.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
	c.sending.Lock()
	defer c.sending.Unlock()
	s.mu.Lock()
	way.sent++
	serial := way.sent
	way.waiting[serial] = p
	s.mu.Unlock()
	m := requestNotice{c.id, serial, p.session, c.transport, c.address, p.request}
	err = s.cfg.Notify(to, KindRequest, wire.Marshal(m))
	if err == nil {
		return nil
	}
	s.mu.Lock()
	delete(way.waiting, serial)
	if serial == 1 {
		delete(c.routes, to)
	}
	s.mu.Unlock()
	<-way.window
	if serial > 1 {
		c.cut() // what it had there is lost
	}
	return err
}

// route finds or makes what a connection has with a node.
func (s *Sessions) route(ctx context.Context, c *conn, to link.NodeID) (*route, error) {
	s.mu.Lock()
	way := c.routes[to]
	s.mu.Unlock()
	if way != nil {
		return way, nil
	}
	if err := s.connect(ctx, to); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if way = c.routes[to]; way == nil {
		way = &route{waiting: make(map[uint64]*pending), used: make(map[uint64]struct{}), window: make(chan struct{}, maxRequests)}
		c.routes[to] = way
	}
	return way, nil
}

// messaged takes a reply or an event for a connection.
func (s *Sessions) messaged(from link.NodeID, m *messageNotice) {
	s.mu.Lock()
	c := s.conns[m.Conn]
	if c == nil || c.routes[from] == nil {
		s.mu.Unlock()
		s.send(from, KindHang, connNotice{m.Conn})
		return
	}
	way := c.routes[from]
	p, answered := way.waiting[m.Reply]
	if m.Serial != way.got+1 || m.Reply != 0 && !answered {
		s.mu.Unlock()
		s.cfg.Log.Warn("messages for a connection are missing, it is cut", "from", from)
		c.cut()
		return
	}
	way.got++
	way.taken += uint64(len(m.Body))
	delete(way.waiting, m.Reply)
	over := answered && c.answered(from, way, p.session, m.Unknown)
	ack := way.taken - way.told
	if ack >= ackBytes {
		way.told = way.taken
	}
	taken := way.taken
	s.mu.Unlock()
	switch {
	case !answered:
		c.receive(m.Body)
	case m.Unknown:
		s.unlearn(p.session)
		s.again(c, from, p)
	default:
		p.reply(m.Body)
	}
	if answered {
		<-way.window
	}
	if over {
		s.send(from, KindHang, connNotice{m.Conn})
		return
	}
	if ack >= ackBytes {
		s.send(from, KindTaken, takenNotice{c.id, taken})
	}
}

// answered notes that a node has answered for a session, or does not have it. True says that the connection has nothing with the node
// any more, whose end is not to be the connection's. Sessions.mu is held.
func (c *conn) answered(from link.NodeID, way *route, session uint64, unknown bool) (over bool) {
	if !unknown {
		way.used[session] = struct{}{}
		return false
	}
	delete(way.used, session)
	if len(way.used) > 0 || len(way.waiting) > 0 || len(way.window) > 1 {
		return false
	}
	delete(c.routes, from)
	return true
}

// again passes a request on to the owner that another node turned out not to be.
func (s *Sessions) again(c *conn, not link.NodeID, p *pending) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.base.Err() != nil {
		return
	}
	s.work.Go(func() {
		ctx, cancel := context.WithTimeout(c.ctx, againTime)
		defer cancel()
		if !p.again {
			p.again = true
			r := s.find(ctx, p.session, true)
			if r.Owner != "" && r.Owner != s.cfg.Self && r.Owner != not && s.sendTo(ctx, c, r.Owner, p) == nil {
				return
			}
		}
		p.reply(nil)
	})
}

// cutOff closes a connection that another node does not know any more.
func (s *Sessions) cutOff(from link.NodeID, m *connNotice) {
	s.mu.Lock()
	c := s.conns[m.Conn]
	known := c != nil && c.routes[from] != nil
	s.mu.Unlock()
	if known {
		c.cut()
	}
}

// send sends a notice whose loss is noticed otherwise.
func (s *Sessions) send(to link.NodeID, k link.Kind, m any) {
	if err := s.cfg.Notify(to, k, wire.Marshal(m)); err != nil {
		s.cfg.Log.Debug("notice not sent", "to", to, "kind", k, "error", err)
	}
}
