package route

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/serf/coordinate"

	"cardea/mesh/rendezvous"
	"cardea/relay/link"
)

const (
	// RowLife is how long a row is believed after the last message of its teller. Whether the teller lives is known sooner from
	// the link.
	RowLife = 100 * time.Second

	// memory is how long a node remembers the round trip to another after their link was closed for being idle. Measured is
	// better than guessed, and a guess that is contradicted by each new link would make streams go back and forth.
	memory = 10 * time.Minute

	// grace is how long a link that was lost counts as broken after nobody speaks of it any more. By then gossip has noticed
	// if the node is dead.
	grace = 10 * time.Second

	// interest is for how long a node tells others by which detour it gets streams that were asked for.
	interest = time.Minute
)

// Node is what gossip says of a node.
type Node struct {
	ID         link.NodeID
	Region     string                 // may be empty
	Coordinate *coordinate.Coordinate // may be nil; not to be changed afterwards
	Draining   bool                   // it must not take on others' streams: it is about to go, or has no media plane
}

// Table knows the mesh as one node sees it. Its methods may be called by several goroutines.
type Table struct {
	mu     sync.Mutex
	self   *node
	nodes  map[link.NodeID]*node
	areas  map[string][]*node // sorted by id
	linked []*node            // those to which the own edge is up, sorted by id
	expire time.Time          // no row and no memory of an edge is too old before

	// What follows from the above. Any change of it clears both.
	plans map[link.NodeID]*plan
	ways  map[link.NodeID]entry // nil: to be computed
	kept  map[link.NodeID]entry // ways as they were before the change

	rivals map[link.NodeID]rival // by origin
}

// node is a live member.
type node struct {
	Node
	hash uint64
	area string // the region it counts to
	known
}

// known is what measurements say of a node, and how the exchange with it stands.
type known struct {
	own    *measured // the edge with it
	row    *row      // what it told
	missed bool      // some of what it told was not heard: it must tell all again
	again  bool      // it says that it missed something
	asked  time.Time // when somebody here last wanted to know whom to ask for its streams
}

// measured is an own edge.
type measured struct {
	Edge             // smoothed
	at     time.Time // of the last measurement
	unsure bool      // the link is up, and its round trip is not known yet but guessed
	closed bool      // the link is no more, and only the round trip is remembered
}

// works tells whether there is a link, and it is up.
func (m *measured) works() bool { return m != nil && m.Up && !m.closed }

// fails tells whether a link was tried in vain, or lost, or stalls.
func (m *measured) fails() bool { return m != nil && !m.Up }

// row is what another node told.
type row struct {
	entries map[link.NodeID]entry
	heard   time.Time
}

// New returns the table of the node self, which knows nobody else yet.
func New(self link.NodeID) *Table {
	t := &Table{self: &node{Node: Node{ID: self}}}
	t.SetNodes(nil)
	return t
}

// SetNodes says which nodes are there. It takes the place of what was said before. The node itself may be among them. What
// was known of others is forgotten. It costs up to some milliseconds for 1,000 nodes: call it at most once a second or so.
func (t *Table) SetNodes(nodes []Node) {
	t.mu.Lock()
	defer t.mu.Unlock()
	before := t.nodes
	t.nodes = make(map[link.NodeID]*node, len(nodes)+1)
	for _, n := range append([]Node{{ID: t.self.ID}}, nodes...) {
		n.Coordinate = usable(n.Coordinate)
		fresh := &node{Node: n, hash: rendezvous.Hash(string(n.ID))}
		if old := before[n.ID]; old != nil {
			fresh.known = old.known
		}
		t.nodes[n.ID] = fresh
	}
	t.self = t.nodes[t.self.ID]
	t.areas = areas(slices.SortedFunc(maps.Values(t.nodes), byID))
	maps.DeleteFunc(t.rivals, func(id link.NodeID, _ rival) bool { return t.nodes[id] == nil })
	t.relink()
}

func byID(a, b *node) int {
	if a.ID < b.ID {
		return -1
	} else if a.ID > b.ID {
		return 1
	}
	return 0
}

// relink is called after a change of nodes or own edges.
func (t *Table) relink() {
	t.linked = nil
	for _, n := range t.nodes {
		if n.own.works() {
			t.linked = append(t.linked, n)
		}
	}
	slices.SortFunc(t.linked, byID)
	t.changed()
}

// changed forgets what was concluded.
func (t *Table) changed() {
	t.plans = nil
	if t.ways != nil {
		t.ways, t.kept = nil, t.ways
	}
}

// SetRow says what a node measured, all of its edges. For the node itself it is to be called about once a second, and at once when
// a link goes up, goes down or stalls. An edge that is not up any more, or that cannot be opened, belongs into the row as long as
// somebody wants it: only then others are asked for a way. An edge that is missing is a link that was closed because nobody needed it. The rows of
// others come by [Table.Hear] as a rule; they are taken as they are, without being smoothed.
func (t *Table) SetRow(from link.NodeID, edges []Edge, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sweep(now)
	n := t.nodes[from]
	if n == nil {
		return
	}
	if n == t.self {
		t.setOwn(edges, now)
		return
	}
	n.row = &row{entries: make(map[link.NodeID]entry, len(edges)), heard: now}
	for _, e := range edges[:min(len(edges), maxEntries)] {
		if e = e.bounded(); e.Up {
			n.row.entries[e.To] = entry{Edge: e}
		} else {
			n.row.entries[e.To] = entry{Edge: Edge{To: e.To}, seek: 1}
		}
	}
	t.believe(now.Add(RowLife))
	t.changed()
}

func (t *Table) setOwn(edges []Edge, now time.Time) {
	present := make(map[*node]bool, len(edges))
	for _, e := range edges {
		if n := t.nodes[e.To]; n != nil && n != t.self {
			present[n] = true
			t.measure(n, e.bounded(), now)
		}
	}
	for _, n := range t.nodes {
		switch {
		case n.own == nil || n.own.closed || present[n]:
		case n.own.Up:
			n.own.closed = true
			t.believe(n.own.at.Add(memory))
		case now.Sub(n.own.at) >= grace:
			n.own = nil // nobody tries any more
		}
	}
	t.relink()
}

// measure takes in a new measurement of the edge with a node.
func (t *Table) measure(n *node, e Edge, now time.Time) {
	unsure := e.Up && e.RTT == 0
	if unsure {
		e.RTT = guess(t.self, n).RTT
	}
	if before := n.own; before.works() && e.Up && !before.unsure && !unsure {
		e = before.toward(e, now.Sub(before.at))
	}
	n.own = &measured{Edge: e, at: now, unsure: unsure}
}

// believe notes that something is to be forgotten then.
func (t *Table) believe(until time.Time) {
	if t.expire.IsZero() || until.Before(t.expire) {
		t.expire = until
	}
}

// sweep forgets what is too old.
func (t *Table) sweep(now time.Time) {
	if t.expire.IsZero() || now.Before(t.expire) {
		return
	}
	t.expire = time.Time{}
	for _, n := range t.nodes {
		if n.row != nil {
			if until := n.row.heard.Add(RowLife); now.Before(until) {
				t.believe(until)
			} else {
				n.row = nil
				t.changed()
			}
		}
		if n.own != nil && n.own.closed {
			if until := n.own.at.Add(memory); now.Before(until) {
				t.believe(until)
			} else {
				n.own = nil
				t.changed()
			}
		}
	}
}
