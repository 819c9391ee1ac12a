package route

import (
	"slices"
	"time"

	"cardea/relay/link"
)

// MaxHops is how many nodes a way may pass between its ends, and how far it is told that somebody is sought.
const MaxHops = 12

// entry is what a node tells of another: that it has a link with it (Up), or a way over third nodes (via, in which case the Edge
// sums up the whole way), or neither. It may also say that it seeks the other.
type entry struct {
	Edge
	via []link.NodeID // in order from the teller, neither end included; not to be changed
	// seek is 0 if the node is not sought; 1 if the teller itself has no link with it and cannot open one; n > 1 if somebody n-1 hops
	// behind the teller has none. It ends by growing: the one who does not seek any more leaves only those who believed
	// each other, one hop farther from him with every message.
	seek uint8
	// seeker is the neighbour from whom that word comes, if it is not the teller who seeks; it is not told.
	seeker link.NodeID
}

// cost returns the cost of the edge or way.
func (e entry) cost() time.Duration { return e.Cost() + time.Duration(len(e.via))*HopPrice }

// after returns the way over first, and from there as e says.
func (e entry) after(first Edge) entry {
	via := make([]link.NodeID, 0, 1+len(e.via))
	return entry{Edge: first.then(e.Edge), via: append(append(via, first.To), e.via...)}
}

// differs tells whether an entry says something else than what was told.
func (e entry) differs(told entry) bool {
	return e.Up != told.Up || e.seek != told.seek || !slices.Equal(e.via, told.via)
}

// moved tells whether its figures have moved so far since that they are worth being told, among other trifles or by themselves.
func (e entry) moved(told entry, trifles bool) bool {
	moved := (e.Cost() - told.Cost()).Abs()
	if !trifles {
		return moved > margin(told.Cost())
	}
	return moved > max(2*time.Millisecond, told.Cost()/20) || max(e.Loss-told.Loss, told.Loss-e.Loss) > 0.01
}

// proof is how well something is known.
type proof uint8

const (
	broken proof = iota // it does not work
	guessed
	proven // measured, and it works
)

// told returns what a node told of another. It does not count while the link to the teller is down.
func (n *node) told(of *node) entry {
	if n.row == nil || !n.own.works() {
		return entry{}
	}
	return n.row.entries[of.ID]
}

// mine returns the edge between the node itself and another.
func (t *Table) mine(x *node) (Edge, proof) {
	switch m := x.own; {
	case m == nil:
		return guess(t.self, x), guessed
	case m.closed:
		return Edge{To: x.ID, RTT: m.RTT}, guessed
	case !m.Up:
		return m.Edge, broken
	}
	if other := x.told(t.self); other.Up {
		other.RTT = x.own.RTT // one's own is fresher, and the same in both directions
		return worse(x.own.Edge, other.Edge), proven
	}
	return x.own.Edge, proven
}

// between returns the edge of two other nodes, if it is proven.
func between(x, y *node) (Edge, proof) {
	a, b := x.told(y), y.told(x)
	switch {
	case a.Up && b.Up:
		return worse(a.Edge, b.Edge), proven
	case a.seek == 1 || b.seek == 1:
		return Edge{}, broken
	case a.Up:
		return a.Edge, proven
	case b.Up:
		b.To = y.ID
		return b.Edge, proven
	}
	return Edge{}, guessed
}

// severed tells whether one of two nodes says that they have no link and cannot open one.
func severed(x, y *node) bool { return x.told(y).seek == 1 || y.told(x).seek == 1 }

// measured returns the way from another node x to y that x tells, or the edge if that works. What x prefers it knows itself.
func (t *Table) measured(x, y *node) (entry, bool) {
	if e := x.told(y); len(e.via) > 0 && t.alive(x, e) {
		return e, true
	}
	direct, p := between(x, y)
	return entry{Edge: direct}, p == proven
}

// alive tells whether the way of another node x can be taken: everybody on it is there, the node itself is not on it, and no
// edge of it is known to be broken. News from nearby overtakes what somebody else concluded from the news before.
func (t *Table) alive(x *node, e entry) bool {
	for _, id := range e.via {
		next := t.nodes[id]
		if next == nil || next == t.self || severed(x, next) {
			return false
		}
		x = next
	}
	last := t.nodes[e.To]
	return last != nil && !severed(x, last)
}

// onward returns the best that is known of how another node x reaches y, without coming through the node itself.
func (t *Table) onward(x, y *node) (entry, proof) {
	if x == y {
		return entry{}, proven
	}
	if e, ok := t.measured(x, y); ok {
		return e, proven
	}
	if !severed(x, y) {
		return entry{Edge: guess(x, y)}, guessed
	}
	return t.overOne(x, y)
}

// overOne returns the best way from x over one third node to y. It is for nodes whose link is known to be broken.
func (t *Table) overOne(x, y *node) (best entry, p proof) {
	if x.row == nil || !x.own.works() {
		return entry{}, broken
	}
	for id, first := range x.row.entries {
		z := t.nodes[id]
		if !first.Up || z == nil || z == y || z == t.self {
			continue
		}
		second, q := between(z, y)
		if q != proven {
			continue
		}
		way := entry{Edge: second}.after(first.Edge)
		if c, b := way.cost(), best.cost(); p == broken || c < b || c == b && id < best.via[0] {
			best, p = way, proven
		}
	}
	return best, p
}
