package room

import (
	"container/heap"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"cardea/mesh/rendezvous"
	"cardea/relay/link"
)

// sim runs the cores of many nodes in simulated time: links with delay that have to be dialled and break, calls, membership that
// learns late, clocks that differ, disks that survive. It is the same for the same seed.
type sim struct {
	t       testing.TB
	rand    *rand.Rand
	now     time.Time
	seq     int
	events  simEvents
	nodes   map[link.NodeID]*simNode
	links   map[[2]link.NodeID]*simLink
	part    map[link.NodeID]int // side of the partition
	cut     map[[2]link.NodeID]bool
	lossy   bool                            // notices are not kept while a link is dialled
	drop    func(from, to link.NodeID) bool // of notices on a link that lives
	bytes   int
	notices int
	calls   map[link.Kind]int
}

type simEvent struct {
	at  time.Time
	seq int
	do  func()
}

type simEvents []*simEvent

func (e simEvents) Len() int { return len(e) }
func (e simEvents) Less(i, j int) bool {
	return e[i].at.Before(e[j].at) || e[i].at.Equal(e[j].at) && e[i].seq < e[j].seq
}
func (e simEvents) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *simEvents) Push(x any)   { *e = append(*e, x.(*simEvent)) }
func (e *simEvents) Pop() any {
	old := *e
	x := old[len(old)-1]
	*e = old[:len(old)-1]
	return x
}

// simLink is the connection of two nodes.
type simLink struct {
	delay   time.Duration
	up      bool
	dialing bool
	gen     int
	queue   []func()                    // notices until it is up
	flight  map[link.NodeID][]simNotice // under way, in order, by sender
}

// simNotice is a notice under way. It arrives in its turn, or never if the link breaks before.
type simNotice struct {
	at      time.Time
	gen     int
	deliver func()
}

type simNode struct {
	s        *sim
	id       link.NodeID
	skew     time.Duration
	core     *core
	up       bool
	gen      int
	disk     map[string][]byte
	live     map[link.NodeID]bool
	retiring []link.NodeID
	views    map[string]*simView
	woken    []*view
	tick     *simEvent
	metrics  *Metrics
}

// simView is a user, with what it was told.
type simView struct {
	*view
	node      *simNode
	room      string
	there     map[string]string
	gone      int
	destroyed bool
	lost      []string
	edited    string
	log       []string
}

func newSim(t testing.TB, seed uint64) *sim {
	return &sim{
		t: t, rand: rand.New(rand.NewPCG(seed, 1)), now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), nodes: map[link.NodeID]*simNode{},
		links: map[[2]link.NodeID]*simLink{}, part: map[link.NodeID]int{}, cut: map[[2]link.NodeID]bool{}, calls: map[link.Kind]int{},
		lossy: seed%2 == 0,
	}
}

func (s *sim) between(a, b time.Duration) time.Duration {
	return a + time.Duration(s.rand.Int64N(int64(b-a)+1))
}

func (s *sim) after(d time.Duration, f func()) *simEvent {
	s.seq++
	e := &simEvent{s.now.Add(d), s.seq, f}
	heap.Push(&s.events, e)
	return e
}

// run lets time pass.
func (s *sim) run(d time.Duration) {
	end := s.now.Add(d)
	for len(s.events) > 0 && !s.events[0].at.After(end) {
		e := heap.Pop(&s.events).(*simEvent)
		s.now = e.at
		if e.do != nil {
			e.do()
		}
	}
	s.now = end
}

func pair(a, b link.NodeID) [2]link.NodeID { return [2]link.NodeID{min(a, b), max(a, b)} }

func (s *sim) link(a, b link.NodeID) *simLink {
	k := pair(a, b)
	l := s.links[k]
	if l == nil {
		l = &simLink{delay: s.between(time.Millisecond, 110*time.Millisecond), flight: map[link.NodeID][]simNotice{}}
		s.links[k] = l
	}
	return l
}

// reach says whether packets get from a to b.
func (s *sim) reach(a, b link.NodeID) bool {
	return s.nodes[a].up && s.nodes[b].up && s.part[a] == s.part[b] && !s.cut[pair(a, b)]
}

// add starts a node, new or known.
func (s *sim) add(id link.NodeID) *simNode {
	n := s.nodes[id]
	if n == nil {
		n = &simNode{s: s, id: id, disk: map[string][]byte{}, skew: s.between(-2*time.Second, 2*time.Second)}
		s.nodes[id] = n
	}
	n.up, n.gen, n.views, n.live = true, n.gen+1, map[string]*simView{}, map[link.NodeID]bool{}
	n.tick = nil
	n.metrics = &Metrics{}
	n.core = newCore(id, n.clock(), rand.New(rand.NewPCG(uint64(s.rand.Int64()), 2)), n.metrics, slog.New(slog.DiscardHandler))
	for _, room := range sorted(n.disk) {
		if err := n.core.load(n.disk[room]); err != nil {
			s.t.Fatal(err)
		}
	}
	n.settle()
	s.members()
	return n
}

func (n *simNode) clock() time.Time { return n.s.now.Add(n.skew) }

// kill ends a node without a word.
func (s *sim) kill(id link.NodeID) {
	n := s.nodes[id]
	n.up = false
	n.gen++
	for _, k := range sortedPairs(s.links) {
		if k[0] == id || k[1] == id {
			s.breakLink(k, s.links[k], s.between(0, 3*time.Second))
		}
	}
	s.members()
}

// breakLink has both ends notice that the link is dead, some time later.
func (s *sim) breakLink(k [2]link.NodeID, l *simLink, d time.Duration) {
	if !l.up {
		return
	}
	gen := l.gen
	s.after(d, func() {
		if l.gen != gen || s.reach(k[0], k[1]) && s.rand.IntN(2) == 0 {
			return
		}
		l.gen++
		l.up = false
		s.nodes[k[0]].input(func(c *core, now time.Time) { c.linkChanged(now, k[1], false) })
		s.nodes[k[1]].input(func(c *core, now time.Time) { c.linkChanged(now, k[0], false) })
	})
}

// split puts nodes on sides.
func (s *sim) split(side func(link.NodeID) int) {
	for id := range s.nodes {
		s.part[id] = side(id)
	}
	for _, k := range sortedPairs(s.links) {
		if s.part[k[0]] != s.part[k[1]] {
			s.breakLink(k, s.links[k], s.between(200*time.Millisecond, 3*time.Second))
		}
	}
	s.members()
}

func sortedPairs[V any](m map[[2]link.NodeID]V) [][2]link.NodeID {
	keys := make([][2]link.NodeID, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b [2]link.NodeID) int { return slices.Compare(a[:], b[:]) })
	return keys
}

// heal makes everything reachable.
func (s *sim) heal() {
	clear(s.part)
	clear(s.cut)
	s.members()
}

// members has every node learn of every other, late.
func (s *sim) members() {
	for _, a := range sorted(s.nodes) {
		n, gen := s.nodes[a], s.nodes[a].gen
		for _, b := range sorted(s.nodes) {
			if a == b {
				continue
			}
			d := s.between(100*time.Millisecond, 1200*time.Millisecond)
			if !s.nodes[b].up || s.part[a] != s.part[b] {
				d = s.between(time.Second, 4500*time.Millisecond)
			}
			s.after(d, func() {
				there := s.nodes[b].up && s.part[a] == s.part[b]
				if n.up && n.gen == gen && n.live[b] != there {
					n.live[b] = there
					n.tellMembers()
				}
			})
		}
	}
}

func (n *simNode) tellMembers() {
	var live []link.NodeID
	for _, id := range sorted(n.live) {
		if n.live[id] {
			live = append(live, id)
		}
	}
	n.input(func(c *core, now time.Time) { c.setNodes(now, live, n.retiring) })
}

// input runs the core and does what it wants done.
func (n *simNode) input(f func(c *core, now time.Time)) {
	if !n.up {
		return
	}
	f(n.core, n.clock())
	n.settle()
}

func (n *simNode) settle() {
	s := n.s
	out, woken, saves := n.core.take()
	for _, id := range sorted(saves) {
		if b, change := n.core.stored(id); change && b == nil {
			delete(n.disk, id)
		} else if change {
			n.disk[id] = b
		}
	}
	for i := range out {
		n.send(&out[i])
	}
	n.woken = append(n.woken, woken...)
	for len(n.woken) > 0 {
		v := n.woken[0]
		n.woken = n.woken[1:]
		n.deliver(v)
	}
	wake, gen := n.core.wake().Add(-n.skew), n.gen
	if n.tick != nil {
		if !n.tick.at.After(wake) {
			return
		}
		n.tick.do = nil
	}
	n.tick = s.after(max(0, wake.Sub(s.now)), func() {
		if n.gen == gen && n.up {
			n.tick = nil
			n.input(func(c *core, now time.Time) { c.tick(now) })
		}
	})
}

func (n *simNode) deliver(v *view) {
	for {
		e, ok := v.next()
		if !ok {
			return
		}
		var u *simView
		for _, x := range n.views {
			if x.view == v {
				u = x
			}
		}
		if u != nil {
			u.tell(&e)
		}
	}
}

func (u *simView) tell(e *event) {
	if u.destroyed {
		u.node.s.t.Fatalf("%s: told %v after the end", u.room, e)
	}
	u.log = append(u.log, fmt.Sprintf("%d %s %s", e.kind, e.participant, e.payload))
	switch e.kind {
	case eventPresent:
		if was, ok := u.there[e.participant]; ok && was == string(e.payload) {
			u.node.s.t.Fatalf("%s: told twice of %s", u.room, e.participant)
		}
		u.there[e.participant] = string(e.payload)
	case eventGone:
		if _, ok := u.there[e.participant]; !ok {
			u.node.s.t.Fatalf("%s: %s is gone who was not there", u.room, e.participant)
		}
		delete(u.there, e.participant)
		u.gone++
	case eventLost:
		u.lost = append(u.lost, e.participant)
	case eventEdited:
		u.edited = string(e.payload)
	case eventDestroyed:
		u.destroyed = true
	case eventRun:
		e.run()
	}
}

func (n *simNode) send(o *output) {
	s, out := n.s, *o
	s.bytes += len(out.payload)
	if out.call == 0 {
		s.notices++
		n.notify(&out)
		return
	}
	s.calls[out.kind]++
	gen := n.gen
	answer := func(reply []byte, err error) {
		if n.gen == gen {
			n.input(func(c *core, now time.Time) { c.result(now, out.call, reply, err) })
		}
	}
	if out.to == n.id {
		s.after(0, func() {
			var reply []byte
			var err error
			if n.gen != gen {
				return
			}
			n.input(func(c *core, now time.Time) { reply, err = c.handleCall(now, n.id, out.kind, out.payload) })
			answer(reply, err)
		})
		return
	}
	if s.nodes[out.to] == nil {
		return
	}
	l := s.link(n.id, out.to)
	d := l.delay
	if !l.up {
		d *= 3
	}
	s.after(d, func() {
		if !s.reach(n.id, out.to) {
			return // the core has its own patience
		}
		to, toGen := s.nodes[out.to], s.nodes[out.to].gen
		var reply []byte
		var err error
		to.input(func(c *core, now time.Time) { reply, err = c.handleCall(now, n.id, out.kind, out.payload) })
		s.bytes += len(reply)
		s.after(l.delay, func() {
			if to.gen == toGen && s.reach(n.id, out.to) {
				answer(reply, err)
			}
		})
	})
}

// arrive delivers what is due. What cannot get through is sent again, as a link does until it is given up.
func (s *sim) arrive(from, to link.NodeID) {
	l := s.link(from, to)
	for len(l.flight[from]) > 0 {
		first := l.flight[from][0]
		if first.gen == l.gen {
			if first.at.After(s.now) {
				return
			}
			if !s.reach(from, to) {
				s.after(100*time.Millisecond, func() { s.arrive(from, to) })
				return
			}
		}
		l.flight[from] = l.flight[from][1:]
		if first.gen == l.gen {
			first.deliver()
		}
	}
}

func (n *simNode) notify(o *output) {
	s := n.s
	if s.nodes[o.to] == nil {
		return
	}
	l, gen := s.link(n.id, o.to), n.gen
	deliver := func() {
		if s.drop != nil && s.drop(n.id, o.to) {
			return
		}
		toGen := s.nodes[o.to].gen
		l.flight[n.id] = append(l.flight[n.id], simNotice{s.now.Add(l.delay), l.gen, func() {
			if s.nodes[o.to].gen == toGen && n.gen == gen {
				s.nodes[o.to].input(func(c *core, now time.Time) { c.notice(now, n.id, o.payload) })
			}
		}})
		s.after(l.delay, func() { s.arrive(n.id, o.to) })
	}
	if l.up {
		deliver()
		return
	}
	if s.lossy {
		s.after(0, func() { n.input(func(c *core, now time.Time) { c.notifyFailed(now, o.to) }) })
	} else {
		l.queue = append(l.queue, deliver)
	}
	if l.dialing {
		return
	}
	l.dialing = true
	dial := 3 * l.delay
	if !s.reach(n.id, o.to) {
		dial = time.Second
	}
	s.after(dial, func() {
		l.dialing = false
		queue := l.queue
		l.queue = nil
		if !s.reach(n.id, o.to) {
			if !s.lossy {
				n.input(func(c *core, now time.Time) { c.notifyFailed(now, o.to) })
			}
			return
		}
		l.up = true
		l.gen++
		n.input(func(c *core, now time.Time) { c.linkChanged(now, o.to, true) })
		s.nodes[o.to].input(func(c *core, now time.Time) { c.linkChanged(now, n.id, true) })
		for _, f := range queue {
			f()
		}
	})
}

// What users do.

func (n *simNode) create(room, record string, permanent bool, done func(error)) {
	n.input(func(c *core, now time.Time) { c.create(now, room, []byte(record), permanent, done) })
}

func (n *simNode) open(room string) *simView {
	u := &simView{node: n, room: room, there: map[string]string{}}
	n.input(func(c *core, now time.Time) {
		u.view = c.newView()
		c.open(now, room, u.view, func(err error) {
			if err == nil {
				n.views[room] = u
			} else {
				u.log = append(u.log, err.Error())
			}
		})
	})
	return u
}

func (u *simView) set(participant, entry string) {
	u.node.input(func(c *core, now time.Time) { c.set(now, u.view, participant, []byte(entry)) })
}

func (u *simView) remove(participant string) {
	u.node.input(func(c *core, now time.Time) { c.remove(now, u.view, participant, "left") })
}

func (u *simView) close() {
	delete(u.node.views, u.room)
	u.node.input(func(c *core, now time.Time) { c.close(now, u.view) })
}

// must runs a request to its end.
func (s *sim) must(f func(done func(error))) {
	s.t.Helper()
	if err := s.try(f); err != nil {
		s.t.Fatal(err)
	}
}

func (s *sim) try(f func(done func(error))) error {
	s.t.Helper()
	answered := false
	var answer error
	begun := s.now
	f(func(err error) { answered, answer = true, err })
	for !answered && s.now.Sub(begun) < 2*time.Second {
		s.run(time.Millisecond)
	}
	if !answered || s.now.Sub(begun) > answerWithin+10*time.Millisecond {
		s.t.Fatalf("no answer after %v", s.now.Sub(begun))
	}
	return answer
}

// ids are nodes' ids.
func simIDs(n int) []link.NodeID {
	ids := make([]link.NodeID, n)
	for i := range ids {
		ids[i] = link.NodeID(fmt.Sprintf("node%012d", i))
	}
	return ids
}

// cluster starts nodes that know each other.
func cluster(t testing.TB, seed uint64, n int) (*sim, []link.NodeID) {
	s := newSim(t, seed)
	ids := simIDs(n)
	for _, id := range ids {
		s.add(id)
	}
	s.run(8 * time.Second)
	return s, ids
}

// keepers returns who is to keep a room, by the ranking of a node.
func (n *simNode) keepers(room string) []link.NodeID {
	o := n.core.ranking.first(rendezvous.Hash(room), replicas)
	return slices.Clone(o.list())
}
