package session

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"log/slog"
	"slices"
	"sync"
	"time"

	"cardea/relay/link"
)

// Times.
const (
	announceTime = time.Minute            // sessions are announced again
	retryTime    = 500 * time.Millisecond // after an announcement that failed
	askTime      = 2 * time.Second        // for a keeper's answer
	cacheTime    = 10 * time.Second       // an owner that was found is not asked for again so soon
)

// Config is what [Sessions] are made of.
type Config struct {
	Self link.NodeID
	// Call asks another node, as link.Endpoint.Call does.
	Call func(ctx context.Context, to link.NodeID, k link.Kind, request []byte) ([]byte, error)
	// Connect makes sure that there is a link to a node.
	Connect func(ctx context.Context, to link.NodeID) error
	// Notify sends a notice over the link that there is; it never waits, and fails when there is none.
	Notify func(to link.NodeID, k link.Kind, payload []byte) error
	// Handle and HandleNotice register what takes calls and notices, as those of link.Endpoint do. Notices of one node come
	// in order and one at a time.
	Handle       func(k link.Kind, h func(ctx context.Context, from link.NodeID, request []byte) ([]byte, error))
	HandleNotice func(k link.Kind, h func(from link.NodeID, payload []byte))
	Log          *slog.Logger // nil means slog.Default
}

// Local is what serves this node's sessions. All functions must be set.
type Local struct {
	// Call handles a request of a client that polls, whose requests come one by one to any node; found is false when there is
	// no such session here.
	Call func(ctx context.Context, session uint64, transport, address string, request []byte) (reply []byte, found bool)
	// Poll waits for up to n events of a session until ctx is done.
	Poll func(ctx context.Context, session uint64, n int) (events [][]byte, found bool)
	// Connect begins a connection that a client has to another node. Events go to deliver, which never blocks. Gone says that
	// the connection is closed.
	Connect func(transport string, deliver func(event []byte)) (handle Handler, gone func())
	// Lost says that another node owns a session now.
	Lost func(session uint64)
}

// Handler handles a request of a connection. It may wait; reply is called once, unless found is false: then there is no such
// session here.
type Handler = func(ctx context.Context, session uint64, address string, request []byte, reply func([]byte)) (found bool)

// Sessions knows and reaches the sessions of all nodes. Its methods are safe for concurrent use.
type Sessions struct {
	cfg   Config
	local Local // set once by Serve, before Run
	wake  chan struct{}
	asks  chan struct{}  // one token an owner that is looked for
	work  sync.WaitGroup // goroutines that serve connections
	base  context.Context
	stop  context.CancelFunc

	mu           sync.Mutex
	nodes        nodes                           // guarded by mu
	keeper       *keeper                         // guarded by mu
	own          map[uint64]*owned               // guarded by mu
	tellers      map[link.NodeID]*teller         // guarded by mu
	cache        map[uint64]cached               // guarded by mu
	conns        map[uint64]*conn                // guarded by mu: of this node's clients
	serial       uint64                          // guarded by mu: of conns and waits
	outlets      map[outletName]*outlet          // guarded by mu: connections of other nodes' clients
	perNode      map[link.NodeID]int             // guarded by mu: outlets
	waits        map[uint64]*wait                // guarded by mu: polls of this node's clients
	polls        map[pollName]context.CancelFunc // guarded by mu: of other nodes' clients
	pollsOf      map[link.NodeID]int             // guarded by mu: of each
	calls        map[link.NodeID]int             // guarded by mu: requests at each owner
	sessionCalls map[uint64]int                  // guarded by mu: for each session
	dead         []*outlet                       // guarded by mu: their connections are to be ended
}

// New makes the sessions and registers what other nodes ask. [Sessions.Serve] comes next, then [Sessions.Run].
func New(cfg Config) *Sessions {
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	s := &Sessions{
		cfg: cfg, wake: make(chan struct{}, 1), asks: make(chan struct{}, maxAsks), nodes: nodes{cfg.Self}, keeper: newKeeper(),
		own: make(map[uint64]*owned), tellers: make(map[link.NodeID]*teller), cache: make(map[uint64]cached), conns: make(map[uint64]*conn),
		outlets: make(map[outletName]*outlet), perNode: make(map[link.NodeID]int), polls: make(map[pollName]context.CancelFunc),
		pollsOf: make(map[link.NodeID]int), waits: make(map[uint64]*wait), calls: make(map[link.NodeID]int), sessionCalls: make(map[uint64]int),
	}
	var b [8]byte
	_, _ = rand.Read(b[:])                        // it never fails
	s.serial = binary.BigEndian.Uint64(b[:]) >> 1 // connections of a former life of this node are not taken for ours
	s.base, s.stop = context.WithCancel(context.Background())
	s.handle()
	return s
}

// Serve says what serves this node's sessions. It is called once, before Run.
func (s *Sessions) Serve(l Local) { s.local = l }

// SetNodes says which nodes there are, this one included. Nothing happens when they are the same as before.
func (s *Sessions) SetNodes(live []link.NodeID) {
	now := slices.Clone(live)
	if !slices.Contains(now, s.cfg.Self) {
		now = append(now, s.cfg.Self)
	}
	slices.Sort(now)
	now = slices.Compact(now)
	s.mu.Lock()
	if slices.Equal(now, s.nodes) {
		s.mu.Unlock()
		return
	}
	var gone []link.NodeID
	for _, id := range s.nodes {
		if !slices.Contains(now, id) {
			gone = append(gone, id)
		}
	}
	s.nodes = now
	clear(s.cache)
	for _, id := range gone {
		delete(s.tellers, id)
	}
	s.markAll()
	s.mu.Unlock()
	for _, id := range gone {
		s.LinkChanged(id, false)
	}
}

// LinkChanged says that a link to a node is up or down: with it go the connections that it carried.
func (s *Sessions) LinkChanged(id link.NodeID, up bool) {
	if up {
		return
	}
	s.mu.Lock()
	var cut []*conn
	for _, c := range s.conns {
		if c.routes[id] != nil {
			cut = append(cut, c)
		}
	}
	for name, o := range s.outlets {
		if name.node == id {
			s.bury(o)
		}
	}
	s.dropPolls(id)
	for session, c := range s.cache {
		if c.Owner == id {
			delete(s.cache, session)
		}
	}
	s.mu.Unlock()
	for _, c := range cut {
		c.cut()
	}
	s.signal()
}

// Run announces this node's sessions and ends what is over, until ctx is done.
func (s *Sessions) Run(ctx context.Context) error {
	defer s.work.Wait()
	defer s.buryAll()
	defer s.stop()
	tick := time.NewTicker(announceTime)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.wake:
		case now := <-tick.C:
			s.mu.Lock()
			s.keeper.sweep(now)
			s.sweepCache(now)
			s.markAll()
			s.mu.Unlock()
		}
		s.endDead()
	}
}

// signal wakes Run.
func (s *Sessions) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}
