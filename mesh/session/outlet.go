package session

import (
	"context"
	"sync"

	"cardea/relay/link"
	"cardea/relay/link/wire"
)

// outletName names a connection of another node's client.
type outletName struct {
	node link.NodeID
	conn uint64
}

// outlet is the end here of a connection that a client has to another node.
type outlet struct {
	outletName
	sessions *Sessions
	handle   func(ctx context.Context, session uint64, address string, request []byte, reply func([]byte)) (found bool)
	gone     func()
	ctx      context.Context // ends with the connection
	end      context.CancelFunc

	// Guarded by Sessions.mu.
	got     uint64           // serial of the last request
	queue   []*requestNotice // waiting to be served
	running bool             // a goroutine serves them
	buried  bool

	mu     sync.Mutex
	serial uint64 // of the last message, guarded by mu
	sent   uint64 // bytes of messages, guarded by mu
	taken  uint64 // of these, what the other node has passed on, guarded by mu
	dead   bool   // nothing more is sent, guarded by mu
}

// requested takes a request of another node's connection.
func (s *Sessions) requested(from link.NodeID, m *requestNotice) {
	name := outletName{from, m.Conn}
	s.mu.Lock()
	o := s.outlets[name]
	if o == nil && m.Serial == 1 && s.perNode[from] < maxOutlets && s.base.Err() == nil {
		s.mu.Unlock()
		o = s.newOutlet(name, m.Transport)
		s.mu.Lock()
		s.outlets[name] = o
		s.perNode[from]++
	}
	if o == nil || m.Serial != o.got+1 || len(o.queue) >= 2*maxRequests {
		if o != nil {
			s.bury(o)
		}
		s.mu.Unlock()
		s.send(from, KindCut, connNotice{m.Conn})
		return
	}
	defer s.mu.Unlock()
	o.got++
	o.queue = append(o.queue, m)
	if !o.running && s.base.Err() == nil {
		o.running = true
		s.work.Go(o.serve)
	}
}

func (s *Sessions) newOutlet(name outletName, transport string) *outlet {
	o := &outlet{outletName: name, sessions: s}
	o.ctx, o.end = context.WithCancel(s.base)
	o.handle, o.gone = s.local.Connect(transport, func(event []byte) { o.send(messageNotice{Body: event}) })
	return o
}

// serve serves requests until there are none.
func (o *outlet) serve() {
	s := o.sessions
	for {
		s.mu.Lock()
		if len(o.queue) == 0 || o.buried {
			o.queue, o.running = nil, false
			s.mu.Unlock()
			return
		}
		m := o.queue[0]
		o.queue[0] = nil
		o.queue = o.queue[1:]
		s.mu.Unlock()
		found := o.handle(o.ctx, m.Session, m.Address, m.Request, func(b []byte) {
			o.send(messageNotice{Reply: m.Serial, Body: b})
		})
		if !found {
			o.send(messageNotice{Reply: m.Serial, Unknown: true})
		}
	}
}

// send sends a message to the connection's node. It never blocks: a connection too far behind is given up.
func (o *outlet) send(m messageNotice) {
	o.mu.Lock()
	if o.dead {
		o.mu.Unlock()
		return
	}
	size := uint64(len(m.Body))
	behind := o.sent - o.taken
	failed := behind > 0 && behind+size > maxBacklog
	if !failed {
		o.serial++
		o.sent += size
		m.Conn, m.Serial = o.conn, o.serial
		failed = o.sessions.cfg.Notify(o.node, KindMessage, wire.Marshal(m)) != nil
	}
	o.dead = failed
	o.mu.Unlock()
	if failed {
		o.sessions.mu.Lock()
		defer o.sessions.mu.Unlock()
		o.sessions.bury(o)
	}
}

// taken notes what a connection's node has passed on.
func (s *Sessions) taken(from link.NodeID, m *takenNotice) {
	s.mu.Lock()
	o := s.outlets[outletName{from, m.Conn}]
	s.mu.Unlock()
	if o == nil {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if m.Bytes > o.taken {
		o.taken = min(m.Bytes, o.sent)
	}
}

// hungUp ends a connection that is closed.
func (s *Sessions) hungUp(from link.NodeID, m *connNotice) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if o := s.outlets[outletName{from, m.Conn}]; o != nil {
		s.bury(o)
	}
}

// bury has a connection ended by Run: who calls may hold locks of what serves it. Called with mu held.
func (s *Sessions) bury(o *outlet) {
	if o.buried {
		return
	}
	o.buried = true
	o.end()
	delete(s.outlets, o.outletName)
	if s.perNode[o.node]--; s.perNode[o.node] == 0 {
		delete(s.perNode, o.node)
	}
	s.dead = append(s.dead, o)
	s.signal()
}

// endDead ends the connections that were buried.
func (s *Sessions) endDead() {
	s.mu.Lock()
	dead := s.dead
	s.dead = nil
	s.mu.Unlock()
	for _, o := range dead {
		o.mu.Lock()
		o.dead = true
		o.mu.Unlock()
		o.gone()
		s.send(o.node, KindCut, connNotice{o.conn})
	}
}

// buryAll ends all connections.
func (s *Sessions) buryAll() {
	s.mu.Lock()
	for _, o := range s.outlets {
		s.bury(o)
	}
	s.mu.Unlock()
	s.endDead()
}
