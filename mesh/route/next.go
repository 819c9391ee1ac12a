package route

import (
	"cmp"
	"slices"
	"time"

	"cardea/relay/link"
)

// hop is a neighbour to whom datagrams for a node may be given.
type hop struct {
	node  link.NodeID
	via   []link.NodeID // where they go from there
	cost  time.Duration
	proof proof
}

// maxNext bounds how many neighbours are remembered for a destination, in each order.
const maxNext = 8

// hops are the neighbours that lead to a destination.
type hops struct {
	cheap []hop // by cost, for what begins here
	// short is by the number of nodes on the way, for what is passed on. Figures of others are up to seconds old, and after a change each of several
	// may take the next one's way for the cheapest, in a circle. Who has a link with whom is told at once, and each step of a shortest way is shorter.
	short []hop
}

// Next returns the node to which a datagram for another is to be given. That is the other itself if there is a link; else the
// best neighbour that says how it gets there; else, if nobody knows, the other itself, so that the caller opens a link,
// unless that has failed; else the neighbour that has the best chance. Nobody in avoid is chosen, nor one that would send it on to them: name
// those from whom the datagram comes, if it is another's. False means that there is no way.
func (t *Table) Next(to link.NodeID, now time.Time, avoid ...link.NodeID) (link.NodeID, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sweep(now)
	p := t.plan(to)
	if p == nil {
		return "", false
	}
	direct := broken
	if !slices.Contains(avoid, to) {
		_, direct = t.mine(p.origin)
	}
	if direct == proven {
		return to, true
	}
	var best *hop
	all := t.hops(p)
	list := all.cheap
	if len(avoid) > 0 {
		list = all.short
	}
	for i, h := range list {
		if !slices.Contains(avoid, h.node) && !slices.ContainsFunc(avoid, func(id link.NodeID) bool { return slices.Contains(h.via, id) }) {
			best = &list[i]
			break
		}
	}
	if direct == guessed && (best == nil || best.proof != proven) {
		return to, true
	}
	if best == nil {
		return "", false
	}
	return best.node, true
}

// Heard tells whether something comes from a node: over an own link, or over the link of a neighbour that says so. A node that dies is heard
// until its neighbours' links have noticed and they have told.
func (t *Table) Heard(id link.NodeID, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sweep(now)
	n := t.nodes[id]
	return n != nil && (n.own.works() || slices.ContainsFunc(t.linked, func(x *node) bool { return x.told(n).Up }))
}

// hops returns the neighbours that lead to a plan's node, best first, without that node itself.
func (t *Table) hops(p *plan) *hops {
	if p.hops != nil {
		return p.hops
	}
	var all []hop
	for _, n := range t.linked {
		if n == p.origin {
			continue
		}
		edge, _ := t.mine(n)
		if onward, q := t.onward(n, p.origin); q != broken {
			all = append(all, hop{n.ID, onward.via, edge.Cost() + HopPrice + onward.cost(), q})
		}
	}
	p.hops = &hops{cheap: first(all, func(hop) int { return 0 }), short: first(all, func(h hop) int { return len(h.via) })}
	return p.hops
}

// first returns the best of the hops: the proven, then by rank, then by cost.
func first(all []hop, rank func(hop) int) []hop {
	slices.SortFunc(all, func(a, b hop) int {
		return cmp.Or(-cmp.Compare(a.proof, b.proof), cmp.Compare(rank(a), rank(b)), cmp.Compare(a.cost, b.cost), cmp.Compare(a.node, b.node))
	})
	return slices.Clone(all[:min(len(all), maxNext)])
}
