package post

import (
	"context"
	"crypto/sha256"
	"errors"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"cardea/relay/data"
	"cardea/relay/link"
	"cardea/relay/peer"
	"cardea/relay/plane"
	"cardea/relay/stream"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// nodeID makes the id of a node of that name.
func nodeID(name string) link.NodeID {
	sum := sha256.Sum256([]byte(name))
	return address(sum[:addressSize]).id()
}

// network joins nodes by links that lose and reorder. Nodes are known by their names.
type network struct {
	t      *testing.T
	mu     sync.Mutex // guards below
	random *rand.Rand
	nodes  map[link.NodeID]*simNode
	homes  map[plane.StreamID]link.NodeID
	delay  time.Duration // one way, and up to half as much again
	loss   float64
	cut    map[[2]link.NodeID]bool // links that carry nothing, in this direction
	via    map[[2]link.NodeID]link.NodeID
	spy    func() // told of each datagram
}

func newNetwork(t *testing.T) *network {
	return &network{
		t: t, random: rand.New(rand.NewPCG(1, 2)), nodes: make(map[link.NodeID]*simNode),
		homes: make(map[plane.StreamID]link.NodeID), delay: 40 * time.Millisecond,
		cut: make(map[[2]link.NodeID]bool), via: make(map[[2]link.NodeID]link.NodeID),
	}
}

// simNode is a node's process.
type simNode struct {
	*Post
	net      *network
	id       link.NodeID
	channels *stream.Directory[*peer.Channel]
	stop     func()
}

var errNoLink = errors.New("no link")

// start starts a process of a node, in place of an earlier one.
func (n *network) start(name string, change ...func(*Config)) *simNode {
	n.t.Helper()
	s := &simNode{net: n, id: nodeID(name), channels: stream.NewDirectory[*peer.Channel]()}
	cfg := Config{
		Self: s.id, Channels: s.channels, Log: slog.New(slog.DiscardHandler),
		Send: func(to link.NodeID, d []byte) error { return n.carry(s, to, d) },
		Next: func(to, avoid link.NodeID) (link.NodeID, bool) { return n.next(s.id, to), true },
		Member: func(id link.NodeID) bool {
			n.mu.Lock()
			defer n.mu.Unlock()
			return n.nodes[id] != nil
		},
		Home: func(id plane.StreamID) (link.NodeID, bool) {
			n.mu.Lock()
			defer n.mu.Unlock()
			home, ok := n.homes[id]
			return home, ok
		},
	}
	for _, f := range change {
		f(&cfg)
	}
	var err error
	if s.Post, err = New(cfg); err != nil {
		n.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = s.Run(ctx)
	}()
	s.stop = func() { cancel(); <-ended }
	n.mu.Lock()
	n.nodes[s.id] = s
	n.mu.Unlock()
	return s
}

// kill ends a process without a word.
func (n *network) kill(s *simNode) {
	n.mu.Lock()
	if n.nodes[s.id] == s {
		n.nodes[s.id] = &simNode{id: s.id} // a member for a while yet
	}
	n.mu.Unlock()
	s.stop()
}

func (n *network) next(from, to link.NodeID) link.NodeID {
	n.mu.Lock()
	defer n.mu.Unlock()
	if via, ok := n.via[[2]link.NodeID{from, to}]; ok {
		return via
	}
	return to
}

// carry takes a datagram from a node to its neighbour.
func (n *network) carry(from *simNode, to link.NodeID, d []byte) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.nodes[to] == nil || len(d) > maxDatagram {
		return errNoLink
	}
	if n.spy != nil {
		n.spy()
	}
	if n.nodes[from.id] != from || n.cut[[2]link.NodeID{from.id, to}] || n.random.Float64() < n.loss {
		return nil
	}
	d = slices.Clone(d)
	time.AfterFunc(n.delay+time.Duration(n.random.Int64N(int64(n.delay)/2+1)), func() {
		n.mu.Lock()
		s := n.nodes[to]
		n.mu.Unlock()
		if s.Post != nil {
			s.Received(from.id, d)
		}
	})
	return nil
}

// change changes the network.
func (n *network) change(f func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	f()
}

// partition cuts or joins all links between two groups.
func (n *network) partition(cut bool, a, b []*simNode) {
	n.change(func() {
		for _, x := range a {
			for _, y := range b {
				n.cut[[2]link.NodeID{x.id, y.id}], n.cut[[2]link.NodeID{y.id, x.id}] = cut, cut
			}
		}
	})
}

// publish publishes a line on a node.
func (s *simNode) publish(id plane.StreamID) *peer.Channel {
	c := new(peer.Channel)
	s.net.change(func() { s.net.homes[id] = s.id })
	s.channels.Publish(id, c)
	return c
}

// ear listens to a line on a node.
type ear struct {
	mu    sync.Mutex
	stop  func()
	heard []data.Message
	times []time.Time
}

func (e *ear) Appeared(c *peer.Channel) {
	e.Vanished(c)
	e.stop = c.Listen(func(m data.Message) {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.heard = append(e.heard, m)
		e.times = append(e.times, time.Now())
	})
}

func (e *ear) Vanished(*peer.Channel) {
	if e.stop != nil {
		e.stop()
		e.stop = nil
	}
}

// record returns what was heard since it was last called, and when.
func (e *ear) record() ([]data.Message, []time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	heard, times := e.heard, e.times
	e.heard, e.times = nil, nil
	return heard, times
}

// take is record without the times.
func (e *ear) take() []data.Message {
	heard, _ := e.record()
	return heard
}

// texts is take without all but the data.
func (e *ear) texts() (out []string) {
	for _, m := range e.take() {
		out = append(out, string(m.Data))
	}
	return out
}

func (s *simNode) listen(id plane.StreamID) *ear {
	e := &ear{}
	s.channels.Watch(id, e)
	return e
}

func (s *simNode) unlisten(id plane.StreamID, e *ear) { s.channels.Unwatch(id, e) }

// simulate runs f in a bubble, in which time passes only while everybody waits, and ends all nodes after it.
func simulate(t *testing.T, f func(t *testing.T, n *network)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		defer func() {
			for _, s := range n.nodes {
				if s.Post != nil {
					s.stop()
				}
			}
			time.Sleep(time.Minute) // for datagrams on the way and timers of SCTP that end by themselves
		}()
		f(t, n)
	})
}

var chat = plane.StreamID{Room: "videoroom/1", Publisher: "7", Mid: "data"}

func line1(publisher string) plane.StreamID {
	return plane.StreamID{Room: "videoroom/1", Publisher: publisher, Mid: "data"}
}
