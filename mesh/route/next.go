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

// maxNext bounds how many neighbours are remembered for a destination.
const maxNext = 8

// Next returns the node to which a datagram for another is to be given. That is the other itself if there is a link; else the
// best neighbour that says how it gets there; else, if nobody knows, the other itself, so that the caller opens a link,
// unless that has failed; else the neighbour that has the best chance. Nobody in avoid is chosen, nor one that would send it on to them: name
// those from whom the datagram comes. False means that there is no way.
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
	for i, h := range t.hops(p) {
		if !slices.Contains(avoid, h.node) && !slices.ContainsFunc(avoid, func(id link.NodeID) bool { return slices.Contains(h.via, id) }) {
			best = &p.hops[i]
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

// hops returns the neighbours that lead to a plan's node, best first, without that node itself.
func (t *Table) hops(p *plan) []hop {
	if p.hops != nil {
		return p.hops
	}
	p.hops = []hop{}
	for _, n := range t.linked {
		if n == p.origin {
			continue
		}
		edge, _ := t.mine(n)
		if onward, q := t.onward(n, p.origin); q != broken {
			p.hops = append(p.hops, hop{n.ID, onward.via, edge.Cost() + HopPrice + onward.cost(), q})
		}
	}
	slices.SortFunc(p.hops, func(a, b hop) int {
		return cmp.Or(-cmp.Compare(a.proof, b.proof), cmp.Compare(a.cost, b.cost), cmp.Compare(a.node, b.node))
	})
	p.hops = p.hops[:min(len(p.hops), maxNext)]
	return p.hops
}
