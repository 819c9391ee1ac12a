package videoroom

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"cardea/signaling/janus"
	"cardea/signaling/janus/janustest"
)

// cluster joins nodes in one process: a mesh that is as late as the test wants, and falls apart and together when it says so.
type cluster struct {
	t     testing.TB
	nodes []*node

	mu       sync.Mutex
	delay    time.Duration // of everything between nodes, one way
	maxRooms int
	clock    int
	rooms    map[string]*clusterRoom
	opens    int         // calls of Open
	apart    map[int]int // parts by node, when there are several
}

// node is one of them. It is the plugin's Mesh.
type node struct {
	cluster *cluster
	number  int
	plugin  *Plugin
	server  *janus.Server
	plane   *janustest.Plane

	// The cluster's mutex guards what follows.
	dead    bool
	held    map[string]*nodeRoom
	queue   []delivery
	running bool
}

type delivery struct {
	due time.Time
	f   func()
}

type clusterRoom struct {
	id        string
	made      int
	record    []byte
	permanent bool
	roster    []*rosterEntry // in the order of claims
}

// rosterEntry is a participant, or a claim to its id while entry is nil.
type rosterEntry struct {
	participant string
	node        *node
	entry       []byte
}

// nodeRoom is a room that a node holds.
type nodeRoom struct {
	node    *node
	room    *clusterRoom
	watcher MeshWatcher
	closed  bool
}

var (
	_ Mesh     = (*node)(nil)
	_ MeshRoom = (*nodeRoom)(nil)
)

// newCluster makes nodes that all have the same configuration.
func newCluster(t *testing.T, n int, cfg Config) *cluster {
	t.Helper()
	return newClusterOf(t, n, cfg, nil)
}

// newClusterOf does so; configure, which may be nil, changes the configuration of a node's server.
func newClusterOf(t *testing.T, n int, cfg Config, configure func(n *node, c *janus.Config)) *cluster {
	t.Helper()
	c := &cluster{t: t, rooms: map[string]*clusterRoom{}, maxRooms: 1000, apart: map[int]int{}}
	if cfg.MaxRooms > 0 {
		c.maxRooms = cfg.MaxRooms
	}
	t.Cleanup(c.settle)
	for i := range n {
		nd := &node{cluster: c, number: i, held: map[string]*nodeRoom{}}
		cfg.Mesh, cfg.MaxRooms = nd, 0
		var err error
		if nd.plugin, err = New(cfg); err != nil {
			t.Fatal(err)
		}
		for _, r := range nd.plugin.Records() {
			if err := nd.Create(t.Context(), r.Room, r.Record, true); err != nil && i == 0 {
				t.Fatal(err)
			}
		}
		t.Cleanup(nd.plugin.Close)
		var media *janustest.Plane
		nd.server, nd.plane = janustest.NewServer(t, func(c *janus.Config) {
			if configure != nil {
				configure(nd, c)
				media, _ = c.Plane.(*janustest.Plane)
			}
		}, nd.plugin)
		if media != nil {
			nd.plane = media
		}
		c.nodes = append(c.nodes, nd)
	}
	return c
}

// settle waits until everybody knows everything.
func (c *cluster) settle() {
	deadline := time.Now().Add(10 * time.Second)
	for c.busy() {
		if time.Now().After(deadline) {
			c.t.Fatal("the cluster does not come to rest")
		}
		time.Sleep(100 * time.Microsecond)
	}
}

func (c *cluster) busy() bool {
	c.mu.Lock()
	for _, n := range c.nodes {
		if n.running {
			c.mu.Unlock()
			return true
		}
	}
	c.mu.Unlock()
	for _, n := range c.nodes {
		for _, r := range n.plugin.all() {
			b := &r.held.inbox
			b.mu.Lock()
			busy := b.running || len(b.waiting) > 0
			b.mu.Unlock()
			if busy || r.swapping() {
				return true
			}
		}
	}
	return false
}

// swapping tells whether it is about to be known if a participant is gone.
func (r *room) swapping() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.awaited() {
		if time.Until(p.until) < 2*swapTime {
			return true
		}
	}
	return false
}

// awaited are the participants whose node is gone or gave them up.
func (r *room) awaited() (list []*participant) {
	for _, l := range [][]*participant{r.members, slices.Collect(maps.Values(r.departed))} {
		for _, p := range l {
			if !p.until.IsZero() {
				list = append(list, p)
			}
		}
	}
	return list
}

// expire lets the time be over for which they are awaited.
func (r *room) expire(ctx context.Context) {
	r.mu.Lock()
	list := r.awaited()
	for _, p := range list {
		p.until = time.Now()
	}
	r.mu.Unlock()
	for _, p := range list {
		r.giveUp(ctx, p.id)
	}
}

// unreachable is a delay with which nothing gets through.
const unreachable = time.Duration(-1)

// slow makes everything between nodes late.
func (c *cluster) slow(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.delay = d
}

// travel is a message's way to another node and back.
func (n *node) travel(ctx context.Context) error {
	n.cluster.mu.Lock()
	d := 2 * n.cluster.delay
	if n.dead {
		d = time.Hour
	}
	n.cluster.mu.Unlock()
	if d < 0 {
		return context.DeadlineExceeded
	}
	if d > 0 && !pause(ctx, d) {
		return ctx.Err()
	}
	return nil
}

// later calls f on a node as soon as news gets there. Called with the cluster's mutex held.
func (n *node) later(d time.Duration, f func()) {
	n.queue = append(n.queue, delivery{time.Now().Add(d), f})
	if !n.running {
		n.running = true
		go n.deliver()
	}
}

func (n *node) deliver() {
	c := n.cluster
	for {
		c.mu.Lock()
		if len(n.queue) == 0 {
			n.running = false
			c.mu.Unlock()
			return
		}
		d := n.queue[0]
		n.queue = n.queue[1:]
		c.mu.Unlock()
		time.Sleep(time.Until(d.due))
		d.f()
	}
}

// tell tells the other nodes that hold a room. Called with the cluster's mutex held.
func (c *cluster) tell(r *clusterRoom, from *node, all bool, f func(w MeshWatcher)) {
	for _, n := range c.nodes {
		if n != from && c.apart[n.number] != c.apart[from.number] || n == from && !all {
			continue
		}
		n.hear(r, c.delay, f)
	}
}

// hear calls the node's watcher of a room. Called with the cluster's mutex held.
func (n *node) hear(r *clusterRoom, d time.Duration, f func(w MeshWatcher)) {
	nr := n.held[r.id]
	if nr == nil || nr.room != r {
		return
	}
	n.later(d, func() {
		n.cluster.mu.Lock()
		closed := nr.closed
		n.cluster.mu.Unlock()
		if !closed {
			f(nr.watcher)
		}
	})
}

func (n *node) Create(ctx context.Context, room string, record []byte, permanent bool) error {
	if err := n.travel(ctx); err != nil {
		return err
	}
	c := n.cluster
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.rooms[room] != nil:
		return fmt.Errorf("create: %w", ErrMeshExists)
	case len(c.rooms) >= c.maxRooms:
		return fmt.Errorf("create: %w", ErrMeshFull)
	}
	c.clock++
	c.rooms[room] = &clusterRoom{id: room, made: c.clock, record: record, permanent: permanent}
	return nil
}

func (n *node) Open(ctx context.Context, room string, w MeshWatcher) (MeshRoom, error) {
	c := n.cluster
	c.mu.Lock()
	c.opens++
	c.mu.Unlock()
	if err := n.travel(ctx); err != nil {
		return nil, err
	}
	c.mu.Lock()
	r := c.rooms[room]
	if r == nil {
		c.mu.Unlock()
		return nil, fmt.Errorf("open: %w", ErrMeshNoRoom)
	}
	if n.held[room] != nil {
		c.t.Errorf("room %s is opened twice", room)
	}
	nr := &nodeRoom{node: n, room: r, watcher: w}
	n.held[room] = nr
	for _, e := range r.roster {
		if e.node != n && e.entry != nil && c.apart[e.node.number] == c.apart[n.number] {
			entry := e.entry
			n.hear(r, 0, func(w MeshWatcher) { w.Present(e.participant, entry) })
		}
	}
	told := make(chan struct{})
	n.later(0, func() { close(told) })
	c.mu.Unlock()
	<-told
	return nr, nil
}

func (n *node) List(ctx context.Context) ([]MeshListing, error) {
	if err := n.travel(ctx); err != nil {
		return nil, err
	}
	c := n.cluster
	c.mu.Lock()
	defer c.mu.Unlock()
	var rooms []*clusterRoom
	for _, r := range c.rooms {
		rooms = append(rooms, r)
	}
	slices.SortFunc(rooms, func(a, b *clusterRoom) int { return a.made - b.made })
	var list []MeshListing
	for _, r := range rooms {
		list = append(list, MeshListing{Room: r.id, Record: r.record, Participants: len(r.roster)})
	}
	return list, nil
}

func (nr *nodeRoom) Record() []byte {
	nr.node.cluster.mu.Lock()
	defer nr.node.cluster.mu.Unlock()
	return nr.room.record
}

func (nr *nodeRoom) Edit(ctx context.Context, record []byte, permanent bool) error {
	if err := nr.node.travel(ctx); err != nil {
		return err
	}
	c := nr.node.cluster
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.rooms[nr.room.id] != nr.room {
		return fmt.Errorf("edit: %w", ErrMeshNoRoom)
	}
	nr.room.record, nr.room.permanent = record, nr.room.permanent || permanent
	c.tell(nr.room, nr.node, true, func(w MeshWatcher) { w.Edited(record) })
	return nil
}

func (nr *nodeRoom) Destroy(ctx context.Context, _ bool) error {
	if err := nr.node.travel(ctx); err != nil {
		return err
	}
	c := nr.node.cluster
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.rooms[nr.room.id] != nr.room {
		return fmt.Errorf("destroy: %w", ErrMeshNoRoom)
	}
	delete(c.rooms, nr.room.id)
	c.tell(nr.room, nr.node, true, func(w MeshWatcher) { w.Destroyed() })
	return nil
}

// find returns what is known on a node of a participant. Called with the cluster's mutex held.
func (r *clusterRoom) find(n *node, participant string) *rosterEntry {
	c := n.cluster
	for _, e := range r.roster {
		if e.participant == participant && c.apart[e.node.number] == c.apart[n.number] {
			return e
		}
	}
	return nil
}

func (nr *nodeRoom) Claim(ctx context.Context, participant string) error {
	if err := nr.node.travel(ctx); err != nil {
		return err
	}
	c := nr.node.cluster
	c.mu.Lock()
	defer c.mu.Unlock()
	if nr.room.find(nr.node, participant) != nil {
		return fmt.Errorf("claim: %w", ErrMeshTaken)
	}
	nr.room.roster = append(nr.room.roster, &rosterEntry{participant: participant, node: nr.node})
	return nil
}

func (nr *nodeRoom) Put(participant string, entry []byte) {
	c := nr.node.cluster
	c.mu.Lock()
	defer c.mu.Unlock()
	if nr.node.dead {
		return
	}
	e := nr.room.find(nr.node, participant)
	if e == nil {
		e = &rosterEntry{participant: participant, node: nr.node}
		nr.room.roster = append(nr.room.roster, e)
	}
	switch {
	case e.node != nr.node:
		c.t.Errorf("node %d writes the entry of participant %s of node %d", nr.node.number, participant, e.node.number)
		return
	case bytes.Equal(e.entry, entry):
		c.t.Errorf("entry of %s is put twice: %s", participant, entry)
	}
	entry = bytes.Clone(entry)
	e.entry = entry
	c.tell(nr.room, nr.node, false, func(w MeshWatcher) { w.Present(participant, entry) })
}

func (nr *nodeRoom) Remove(participant, why string) {
	c := nr.node.cluster
	c.mu.Lock()
	defer c.mu.Unlock()
	e := nr.room.find(nr.node, participant)
	if e == nil || e.node != nr.node || nr.node.dead {
		return
	}
	nr.room.roster = slices.DeleteFunc(nr.room.roster, func(o *rosterEntry) bool { return o == e })
	if e.entry != nil {
		c.tell(nr.room, nr.node, false, func(w MeshWatcher) { w.Gone(participant, why) })
	}
}

func (nr *nodeRoom) Ask(ctx context.Context, participant string, request []byte) ([]byte, error) {
	if err := nr.node.travel(ctx); err != nil {
		return nil, err
	}
	c := nr.node.cluster
	c.mu.Lock()
	e := nr.room.find(nr.node, participant)
	if e == nil || e.node.dead || e.node.held[nr.room.id] == nil {
		c.mu.Unlock()
		return nil, fmt.Errorf("ask: %w", ErrMeshGone)
	}
	w := e.node.held[nr.room.id].watcher
	c.mu.Unlock()
	return w.Asked(ctx, participant, request)
}

func (nr *nodeRoom) Close() {
	c := nr.node.cluster
	c.mu.Lock()
	defer c.mu.Unlock()
	nr.closed = true
	if nr.node.held[nr.room.id] == nr {
		delete(nr.node.held, nr.room.id)
	}
}

// kill makes a node vanish.
func (c *cluster) kill(n *node) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n.dead = true
	for _, r := range c.rooms {
		for _, e := range slices.Clone(r.roster) {
			if e.node == n {
				r.roster = slices.DeleteFunc(r.roster, func(o *rosterEntry) bool { return o == e })
				c.tell(r, n, false, func(w MeshWatcher) { w.Gone(e.participant, "") })
			}
		}
	}
	c.apart[n.number] = -1
}

// split takes a node away from the others.
func (c *cluster) split(n *node) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range c.rooms {
		for _, e := range r.roster {
			for _, o := range c.nodes {
				if e.entry != nil && e.node != o && (e.node == n || o == n) {
					o.hear(r, c.delay, func(w MeshWatcher) { w.Gone(e.participant, "") })
				}
			}
		}
	}
	c.apart[n.number] = n.number + 1
}

// join brings it back. Of two participants of one id the younger one is lost.
func (c *cluster) join(n *node) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.apart[n.number] = 0
	for _, r := range c.rooms {
		seen := map[string]bool{}
		for _, e := range slices.Clone(r.roster) {
			if seen[e.participant] {
				r.roster = slices.DeleteFunc(r.roster, func(o *rosterEntry) bool { return o == e })
				e.node.hear(r, c.delay, func(w MeshWatcher) { w.Lost(e.participant) })
			}
			seen[e.participant] = true
		}
		for _, e := range r.roster {
			for _, o := range c.nodes {
				if e.entry != nil && e.node != o && (e.node == n || o == n) {
					entry := e.entry
					o.hear(r, c.delay, func(w MeshWatcher) { w.Present(e.participant, entry) })
				}
			}
		}
	}
}
