package pull

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"cardea/mesh/route"
	"cardea/relay"
	"cardea/relay/link"
	"cardea/relay/plane"
	"cardea/relay/stream"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a mesh of nodes with true pullers, tables and streams, and links that are only delays. It lives in a synctest bubble.
type world struct {
	t     *testing.T
	began time.Time
	ctx   context.Context
	wg    sync.WaitGroup

	mu    sync.Mutex
	nodes map[link.NodeID]*node
	order []*node
	homes map[plane.StreamID]link.NodeID
	cut   map[[2]link.NodeID]time.Time // pairs that do not hear each other, since when
	links map[[2]link.NodeID]*wireLink
	bytes map[[2]link.NodeID]int // of payload that crossed, by direction
	rtt   func(a, b *node) time.Duration
}

// node is one of the world's.
type node struct {
	w      *world
	id     link.NodeID
	region string
	p      *Puller
	table  *route.Table
	stop   context.CancelFunc
	hops   map[link.NodeID]*wireHop // guarded by world.mu
	dead   bool                     // the same
}

// inWorld runs f in a world of nodes named region/name, with links of the given round trips between regions.
func inWorld(t *testing.T, rtt func(a, b *node) time.Duration, names []string, f func(w *world)) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		w := &world{
			t: t, began: time.Now(), ctx: ctx, nodes: map[link.NodeID]*node{}, homes: map[plane.StreamID]link.NodeID{},
			cut: map[[2]link.NodeID]time.Time{}, links: map[[2]link.NodeID]*wireLink{}, bytes: map[[2]link.NodeID]int{}, rtt: rtt,
		}
		for _, name := range names {
			w.add(name)
		}
		w.wg.Go(func() {
			for ctx.Err() == nil {
				w.measure()
				w.sleep(250 * time.Millisecond)
			}
		})
		w.sleep(2 * time.Second) // the tables fill
		f(w)
		cancel()
		w.wg.Wait()
	})
}

func (w *world) now() int64 { return int64(time.Since(w.began)) + 1 }

// sleep passes time, unless the world ends.
func (w *world) sleep(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-w.ctx.Done():
	}
}

// start runs a puller with a fresh directory.
func (n *node) start() {
	w := n.w
	ctx, stop := context.WithCancel(w.ctx)
	n.stop = stop
	n.p = newPuller(Config{
		Self: n.id, Table: n.table,
		Far: relay.Far{Streams: stream.NewDirectory[*stream.Stream](), Now: w.now},
		Home: func(id plane.StreamID) (link.NodeID, bool) {
			w.mu.Lock()
			defer w.mu.Unlock()
			home, ok := w.homes[id]
			return home, ok
		},
	}, n.dial)
	w.wg.Go(func() { _ = n.p.Run(ctx) })
}

func (w *world) add(name string) {
	n := &node{w: w, id: link.NodeID(name), region: name[:1], hops: map[link.NodeID]*wireHop{}, table: route.New(link.NodeID(name))}
	n.start()
	w.nodes[n.id] = n
	w.order = append(w.order, n)
}

// measure fills the tables with what all nodes measure.
func (w *world) measure() {
	var nodes []route.Node
	w.mu.Lock()
	for _, n := range w.order {
		nodes = append(nodes, route.Node{ID: n.id, Region: n.region})
	}
	rows := map[link.NodeID][]route.Edge{}
	for _, a := range w.order {
		for _, b := range w.order {
			if a != b && !a.dead {
				rows[a.id] = append(rows[a.id], route.Edge{To: b.id, RTT: w.rtt(a, b), Up: !w.silent(a, b)})
			}
		}
	}
	w.mu.Unlock()
	for _, n := range w.order {
		n.table.SetNodes(nodes)
		for from, row := range rows {
			n.table.SetRow(from, row, time.Now())
		}
	}
}

func pair(a, b link.NodeID) [2]link.NodeID {
	if a > b {
		a, b = b, a
	}
	return [2]link.NodeID{a, b}
}

// broken tells whether nothing passes between two nodes, and silent whether both must have noticed. The world is locked.
func (w *world) broken(a, b *node) bool {
	_, cut := w.cut[pair(a.id, b.id)]
	return cut || a.dead || b.dead
}

func (w *world) silent(a, b *node) bool {
	since, cut := w.cut[pair(a.id, b.id)]
	return cut && time.Since(since) > link.StallTime
}

// sever cuts what is between two nodes; links notice as true ones do.
func (w *world) sever(a, b link.NodeID) {
	w.mu.Lock()
	at := time.Now()
	w.cut[pair(a, b)] = at
	l := w.links[pair(a, b)]
	w.mu.Unlock()
	if l == nil {
		return
	}
	w.wg.Go(func() {
		w.sleep(1800 * time.Millisecond)
		w.mu.Lock()
		gone := w.cut[pair(a, b)] == at
		w.mu.Unlock()
		if gone {
			l.close()
		}
	})
}

// mend ends sever.
func (w *world) mend(a, b link.NodeID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.cut, pair(a, b))
}

// kill stops a node as kill -9 does: nobody hears it any more.
func (w *world) kill(id link.NodeID) {
	for _, n := range w.order {
		if n.id != id {
			w.sever(id, n.id)
		}
	}
	w.mu.Lock()
	n := w.nodes[id]
	n.dead = true
	w.mu.Unlock()
	n.stop()
}

// crossed returns the payload that went from nodes of one region to those of another, in copies of rate bytes.
func (w *world) crossed(from, to string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for k, b := range w.bytes {
		if w.nodes[k[0]].region == from && w.nodes[k[1]].region == to {
			n += b
		}
	}
	return n
}

func (w *world) forgetBytes() {
	w.mu.Lock()
	defer w.mu.Unlock()
	clear(w.bytes)
}

// settle says where a stream is published.
func (w *world) settle(id plane.StreamID, home link.NodeID) {
	w.mu.Lock()
	w.homes[id] = home
	w.mu.Unlock()
	for _, n := range w.order {
		n.p.HomesChanged(id.Room)
	}
}

// wireLink is a link between two nodes.
type wireLink struct {
	w     *world
	ends  [2]*wireHop
	done  chan struct{}
	close func()
}

// wireHop is one end of it.
type wireHop struct {
	l     *wireLink
	n, to *node
	other *wireHop
	pipe  [2]chan parcel // notices and packets, towards the other end

	mu       sync.Mutex
	flows    map[uint64]*wireIntake
	next     uint64
	retained int
}

type parcel struct {
	at      time.Time
	deliver func()
}

var errDead = errors.New("no answer")

// dial makes a link, or finds it, after a round trip.
func (n *node) dial(ctx context.Context, to link.NodeID) (hop, error) {
	w := n.w
	w.mu.Lock()
	other := w.nodes[to]
	w.mu.Unlock()
	if other == nil {
		return nil, errDead
	}
	timer := time.NewTimer(w.rtt(n, other))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	w.mu.Lock()
	if w.broken(n, other) {
		w.mu.Unlock()
		<-ctx.Done()
		return nil, errDead
	}
	defer w.mu.Unlock()
	if h := n.hops[to]; h != nil {
		return h, nil
	}
	l := &wireLink{w: w, done: make(chan struct{})}
	a, b := newHop(l, n, other), newHop(l, other, n)
	a.other, b.other = b, a
	l.ends = [2]*wireHop{a, b}
	l.close = sync.OnceFunc(func() {
		w.mu.Lock()
		delete(n.hops, other.id)
		delete(other.hops, n.id)
		delete(w.links, pair(n.id, other.id))
		w.mu.Unlock()
		close(l.done)
		n.p.changed(a, false)
		other.p.changed(b, false)
	})
	n.hops[to], other.hops[n.id] = a, b
	w.links[pair(n.id, other.id)] = l
	n.p.changed(a, true)
	other.p.changed(b, true)
	a.run()
	b.run()
	return a, nil
}

func newHop(l *wireLink, n, to *node) *wireHop {
	return &wireHop{l: l, n: n, to: to, pipe: [2]chan parcel{make(chan parcel, 1<<15), make(chan parcel, 1<<15)}, flows: map[uint64]*wireIntake{}}
}

// run delivers what is sent, in order.
func (h *wireHop) run() {
	for _, pipe := range h.pipe {
		h.l.w.wg.Go(func() {
			for {
				select {
				case p := <-pipe:
					h.l.w.sleep(time.Until(p.at))
					p.deliver()
				case <-h.l.done:
					return
				case <-h.l.w.ctx.Done():
					return
				}
			}
		})
	}
}

func (h *wireHop) push(pipe int, deliver func()) {
	w := h.l.w
	w.mu.Lock()
	broken := w.broken(h.n, h.to)
	w.mu.Unlock()
	if broken {
		return
	}
	select {
	case h.pipe[pipe] <- parcel{time.Now().Add(w.rtt(h.n, h.to) / 2), deliver}:
	default:
		panic(fmt.Sprintf("%s to %s: too much at once", h.n.id, h.to.id))
	}
}

func (h *wireHop) Peer() link.NodeID  { return h.to.id }
func (h *wireHop) RTT() time.Duration { return h.l.w.rtt(h.n, h.to) }

func (h *wireHop) Stalled() bool {
	h.l.w.mu.Lock()
	defer h.l.w.mu.Unlock()
	return h.l.w.silent(h.n, h.to)
}

func (h *wireHop) Retain() func() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.retained++
	return sync.OnceFunc(func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.retained--
	})
}

func (h *wireHop) Notify(k link.Kind, payload []byte) error {
	h.push(0, func() { h.other.n.p.notice(h.other, k, payload) })
	return nil
}

// wireIntake is a flow towards a node.
type wireIntake struct {
	h       *wireHop
	flow    uint64
	s       *stream.Stream // nil while it is expected
	early   []func(s *stream.Stream)
	packets uint64
}

func (h *wireHop) NewFlow() uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.next++
	h.flows[h.next] = &wireIntake{h: h, flow: h.next}
	return h.next
}

func (h *wireHop) Cancel(flow uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.flows, flow)
}

func (h *wireHop) Import(flow uint64, s *stream.Stream) intake {
	h.mu.Lock()
	defer h.mu.Unlock()
	i := h.flows[flow]
	if i == nil {
		i = &wireIntake{h: h, flow: flow}
		h.flows[flow] = i
	}
	i.s = s
	for _, commit := range i.early {
		commit(s)
		i.packets++
	}
	s.Flush(h.l.w.now(), nil)
	i.early = nil
	return i
}

func (i *wireIntake) Stats() link.FlowStats {
	i.h.mu.Lock()
	defer i.h.mu.Unlock()
	return link.FlowStats{Packets: i.packets}
}

func (i *wireIntake) Close() { i.h.Cancel(i.flow) }

// take takes a packet of a flow.
func (h *wireHop) take(flow uint64, commit func(s *stream.Stream)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	i := h.flows[flow]
	switch {
	case i == nil:
	case i.s == nil:
		i.early = append(i.early, commit)
	default:
		i.packets++
		commit(i.s)
		i.s.Flush(h.l.w.now(), nil)
	}
}

// streamOf returns what a node has under an id.
func (n *node) streamOf(id plane.StreamID) *stream.Stream { return n.p.streams.Get(id) }

// row returns what a node's puller knows of a stream.
func (n *node) row(id plane.StreamID) Row {
	rows := n.p.Rows()
	i := slices.IndexFunc(rows, func(r Row) bool { return r.Publisher == id.Publisher && r.Mid == id.Mid })
	if i < 0 {
		return Row{}
	}
	return rows[i]
}
