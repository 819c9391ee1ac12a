package session

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"cardea/relay/link"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// network joins nodes in one process by links that may be slow or cut.
type network struct {
	t *testing.T

	mu      sync.Mutex
	calls   map[link.NodeID]map[link.Kind]func(context.Context, link.NodeID, []byte) ([]byte, error)
	notices map[link.NodeID]map[link.Kind]func(link.NodeID, []byte)
	pipes   map[[2]link.NodeID]chan func() // notices under way, from and to
	cut     map[link.NodeID]bool
	delay   time.Duration
	drop    map[link.Kind]int // notices still to be lost
	count   map[link.Kind]int
	pumps   sync.WaitGroup
	nodes   []*node
}

// node is one of the network, with sessions that a test serves.
type node struct {
	*Sessions
	id   link.NodeID
	stop func()

	mu       sync.Mutex
	sessions map[uint64]bool
	lost     []uint64
	events   chan []byte // what polls get
	conns    []*farConn
	hold     chan struct{} // requests wait for it, if set
}

// farConn is a connection as the node that serves its sessions sees it.
type farConn struct {
	deliver func([]byte)
	gone    bool
}

var errCut = errors.New("no link")

func build(t *testing.T, ids ...link.NodeID) *network {
	n := &network{
		t: t, calls: map[link.NodeID]map[link.Kind]func(context.Context, link.NodeID, []byte) ([]byte, error){},
		notices: map[link.NodeID]map[link.Kind]func(link.NodeID, []byte){}, pipes: map[[2]link.NodeID]chan func(){},
		cut: map[link.NodeID]bool{}, drop: map[link.Kind]int{}, count: map[link.Kind]int{},
	}
	t.Cleanup(func() {
		for _, x := range n.nodes {
			x.stop()
		}
		n.mu.Lock()
		for _, p := range n.pipes {
			close(p)
		}
		n.pipes = nil
		n.mu.Unlock()
		n.pumps.Wait()
	})
	for _, id := range ids {
		n.start(id, (*node).local)
	}
	for _, x := range n.nodes {
		x.SetNodes(ids)
	}
	return n
}

// start starts a node, or a new process at one, whose sessions are served by what serve returns.
func (n *network) start(id link.NodeID, serve func(x *node) Local) *node {
	calls := map[link.Kind]func(context.Context, link.NodeID, []byte) ([]byte, error){}
	notices := map[link.Kind]func(link.NodeID, []byte){}
	x := &node{id: id, sessions: map[uint64]bool{}, events: make(chan []byte, 100)}
	x.Sessions = New(Config{
		Self: id, Log: slog.New(slog.DiscardHandler),
		Call: func(ctx context.Context, to link.NodeID, k link.Kind, q []byte) ([]byte, error) {
			return n.call(ctx, id, to, k, q)
		},
		Connect: func(ctx context.Context, to link.NodeID) error {
			pause(ctx, n.delay)
			return n.reachable(id, to)
		},
		Notify:       func(to link.NodeID, k link.Kind, b []byte) error { return n.notify(id, to, k, b) },
		Handle:       func(k link.Kind, h func(context.Context, link.NodeID, []byte) ([]byte, error)) { calls[k] = h },
		HandleNotice: func(k link.Kind, h func(link.NodeID, []byte)) { notices[k] = h },
	})
	x.Serve(serve(x))
	n.mu.Lock()
	n.calls[id], n.notices[id] = calls, notices
	n.nodes = append(n.nodes, x)
	n.mu.Unlock()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = x.Run(ctx)
	}()
	x.stop = func() {
		cancel()
		<-done
	}
	return x
}

func (n *network) reachable(from, to link.NodeID) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.cut[from] || n.cut[to] || n.calls[to] == nil {
		return errCut
	}
	return nil
}

func (n *network) call(ctx context.Context, from, to link.NodeID, k link.Kind, q []byte) ([]byte, error) {
	n.mu.Lock()
	h := n.calls[to][k]
	n.count[k]++
	n.mu.Unlock()
	if err := n.reachable(from, to); err != nil {
		return nil, err
	}
	type answer struct {
		b   []byte
		err error
	}
	answers := make(chan answer, 1)
	go func() {
		pause(ctx, n.delay)
		b, err := h(ctx, from, q)
		pause(ctx, n.delay)
		answers <- answer{b, err}
	}()
	select {
	case a := <-answers:
		return a.b, errors.Join(a.err, n.reachable(from, to))
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// notify sends a notice: in order, never waiting.
func (n *network) notify(from, to link.NodeID, k link.Kind, b []byte) error {
	if err := n.reachable(from, to); err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.count[k]++
	if n.drop[k] > 0 {
		n.drop[k]--
		return nil
	}
	if n.pipes == nil {
		return errCut
	}
	key := [2]link.NodeID{from, to}
	p := n.pipes[key]
	if p == nil {
		p = make(chan func(), 10000)
		n.pipes[key] = p
		n.pumps.Go(func() {
			for f := range p {
				f()
			}
		})
	}
	at := time.Now().Add(n.delay)
	p <- func() {
		time.Sleep(time.Until(at))
		n.mu.Lock()
		h := n.notices[to][k]
		n.mu.Unlock()
		h(from, b)
	}
	return nil
}

func (n *network) set(f func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	f()
}

// down cuts a node off and tells the others.
func (n *network) down(id link.NodeID) {
	n.set(func() { n.cut[id] = true })
	for _, x := range n.nodes {
		if x.id != id {
			x.LinkChanged(id, false)
		}
	}
}

// local serves sessions: a request "x" is answered with "re x", and "event x" makes an event of "x" before.
func (x *node) local() Local {
	return Local{
		Call: func(_ context.Context, session uint64, transport, address string, q []byte) ([]byte, bool) {
			return fmt.Appendf(nil, "%s %s re %s", transport, address, q), x.has(session)
		},
		Poll: func(ctx context.Context, session uint64, most int) ([][]byte, bool) {
			if !x.has(session) {
				return nil, false
			}
			select {
			case e := <-x.events:
				return [][]byte{e}, true
			case <-ctx.Done():
				return nil, true
			}
		},
		Connect: func(_ string, deliver func([]byte)) (Handler, func()) {
			c := &farConn{deliver: deliver}
			x.mu.Lock()
			x.conns = append(x.conns, c)
			x.mu.Unlock()
			handle := func(ctx context.Context, session uint64, _ string, q []byte, reply func([]byte)) bool {
				x.mu.Lock()
				hold := x.hold
				x.mu.Unlock()
				if hold != nil {
					select {
					case <-hold:
					case <-ctx.Done():
					}
				}
				if !x.has(session) {
					return false
				}
				if len(q) > 6 && string(q[:6]) == "event " {
					deliver(q[6:])
				}
				reply(append([]byte("re "), q...))
				return true
			}
			return handle, func() {
				x.mu.Lock()
				defer x.mu.Unlock()
				c.gone = true
			}
		},
		Lost: func(session uint64) {
			x.mu.Lock()
			defer x.mu.Unlock()
			x.lost = append(x.lost, session)
			delete(x.sessions, session)
		},
	}
}

func (x *node) has(session uint64) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.sessions[session]
}

// gone tells whether the node's first connection of another node's client is closed.
func (x *node) gone() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.conns[0].gone
}

// kept is what the node keeps of a session, records how many it keeps, outletCount how many connections it serves.
func (x *node) kept(session uint64) record {
	x.Sessions.mu.Lock()
	defer x.Sessions.mu.Unlock()
	return x.keeper.find(session)
}

func (x *node) records() int {
	x.Sessions.mu.Lock()
	defer x.Sessions.mu.Unlock()
	return len(x.keeper.records) + len(x.keeper.owned)
}

func (x *node) outletCount() int {
	x.Sessions.mu.Lock()
	defer x.Sessions.mu.Unlock()
	return len(x.outlets) + len(x.perNode)
}

// open makes a session at the node.
func (x *node) open(session uint64) {
	x.mu.Lock()
	x.sessions[session] = true
	x.mu.Unlock()
	x.Own(context.Background(), session, false)
}

// client is a connection of a client to a node.
type client struct {
	x    *node
	conn uint64

	mu  sync.Mutex
	got []string // replies and events in the order in which they came
	cut bool
}

func (x *node) client() *client {
	c := &client{x: x}
	c.conn = x.Connect("ws", "192.0.2.1", func(m []byte) { c.add("event " + string(m)) }, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.cut = true
	})
	return c
}

func (c *client) add(s string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.got = append(c.got, s)
}

func (c *client) send(session uint64, q string) (bool, error) {
	return c.x.Send(context.Background(), c.conn, session, []byte(q), func(b []byte) {
		if b == nil {
			c.add("unknown " + q)
			return
		}
		c.add(string(b))
	})
}

func (c *client) take() ([]string, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	got := c.got
	c.got = nil
	return got, c.cut
}
