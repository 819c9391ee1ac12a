package route

import (
	"cmp"
	"slices"
	"time"

	"cardea/relay/link"
)

// maxCandidates bounds how many nodes [Table.Parents] names.
const maxCandidates = 8

// Candidate is a node that can be asked for an origin's streams.
type Candidate struct {
	Node link.NodeID
	Cost time.Duration // of the whole route, from the origin to the node itself
	// Path is the route as it is known, against the stream: it begins with Node and ends with the origin. The node itself is not on
	// it, and nobody twice. Those on the way decide for themselves, so the stream may take another one.
	Path []link.NodeID

	rank  time.Duration // cost and what else speaks against it
	proof proof
}

// plan is what has been concluded about one origin or destination.
type plan struct {
	origin     *node
	orders     map[string]*order
	candidates []Candidate // best first; nil until asked for
	hops       *hops       // likewise
}

// plan returns what is concluded about the node so far; nil if it is not there.
func (t *Table) plan(id link.NodeID) *plan {
	if p := t.plans[id]; p != nil {
		return p
	}
	origin := t.nodes[id]
	if origin == nil || id == t.self.ID {
		return nil
	}
	if t.plans == nil {
		t.plans = map[link.NodeID]*plan{}
	}
	p := &plan{origin: origin, orders: map[string]*order{}}
	t.plans[id] = p
	return p
}

// order returns who of a region is to carry the origin's streams into it.
func (t *Table) order(p *plan, area string) *order {
	if o := p.orders[area]; o != nil {
		return o
	}
	o := &order{}
	for _, n := range t.areas[area] {
		o.add(n, p.origin.hash, func(n *node) bool { return !n.Draining && t.serves(n, p.origin) })
	}
	if o.n == 0 { // better by nodes that drain than without any order
		for _, n := range t.areas[area] {
			o.add(n, p.origin.hash, func(n *node) bool { return t.serves(n, p.origin) })
		}
	}
	p.orders[area] = o
	return o
}

// serves tells whether a node may have streams of the origin to give, as far as one knows.
func (t *Table) serves(n, origin *node) bool {
	switch {
	case n == t.self:
		return true
	case n.own.fails():
		return false
	case !severed(n, origin):
		return true
	}
	_, p := t.onward(n, origin)
	return p != broken
}

// burden returns what share of a crossing's price is due if the node carries the stream into its region.
func (t *Table) burden(p *plan, n *node) float64 {
	if n.area == p.origin.area {
		return 0
	}
	return t.order(p, n.area).burden(n)
}

// candidate returns the node x as somebody to be asked for the plan's origin, which it may be itself. Of the path it has only what is
// between them.
func (t *Table) candidate(p *plan, x *node) (Candidate, bool) {
	edge, known := t.mine(x)
	onward, ok := t.onward(x, p.origin)
	if known == broken || ok == broken {
		return Candidate{}, false
	}
	c := Candidate{Node: x.ID, Cost: edge.Cost(), proof: min(known, ok), Path: onward.via}
	if x == p.origin {
		c.rank = c.Cost + price(c.Cost, t.burden(p, t.self))
		return c, true
	}
	c.Cost += HopPrice + onward.cost()
	burden := t.burden(p, x)
	if shares := x.area == t.self.area && x.area != p.origin.area; !shares {
		burden += t.burden(p, t.self)
		c.rank += DetourPrice
	}
	if o := t.order(p, x.area); x.Draining && (o.n == 0 || !o.nodes[0].Draining) {
		c.rank += drainPrice
	}
	c.rank += c.Cost + price(c.Cost, burden)
	return c, true
}

func price(cost time.Duration, burden float64) time.Duration {
	return time.Duration(burden * float64(sharePrice(cost)))
}

// askable returns whom one might ask at all, without repetition: the origin, those who have a place in the order of the region, and
// everybody with whom there is a link. If the origin is out of reach, also nodes near it and in other regions.
func (t *Table) askable(p *plan) []*node {
	list := append([]*node{p.origin}, t.linked...)
	add := func(o *order, n int) { list = append(list, o.nodes[:min(o.n, n)]...) }
	if t.self.area != p.origin.area {
		add(t.order(p, t.self.area), places)
	}
	if p.origin.own.fails() {
		for area := range t.areas {
			add(t.order(p, area), 2)
		}
	}
	slices.SortFunc(list, byID)
	list = slices.Compact(list)
	return slices.DeleteFunc(list, func(n *node) bool { return n == t.self })
}

// ask returns the candidates of a plan.
func (t *Table) ask(p *plan) []Candidate {
	if p.candidates != nil {
		return p.candidates
	}
	for _, n := range t.askable(p) {
		if c, ok := t.candidate(p, n); ok {
			p.candidates = append(p.candidates, c)
		}
	}
	slices.SortFunc(p.candidates, func(a, b Candidate) int {
		return cmp.Or(cmp.Compare(a.rank, b.rank), cmp.Compare(a.Node, b.Node))
	})
	p.candidates = slices.Clone(p.candidates[:min(len(p.candidates), maxCandidates)])
	if !slices.ContainsFunc(p.candidates, func(c Candidate) bool { return c.Node == p.origin.ID }) {
		// It may work again before anybody has noticed.
		edge, _ := t.mine(p.origin)
		p.candidates = append(p.candidates, Candidate{Node: p.origin.ID, Cost: edge.Cost() + unknownRTT, rank: maxCost, proof: broken})
	}
	for i := range p.candidates {
		c := &p.candidates[i]
		if between := c.Path; c.Node != p.origin.ID {
			c.Path = append(append([]link.NodeID{c.Node}, between...), p.origin.ID)
		} else {
			c.Path = []link.NodeID{c.Node}
		}
	}
	return p.candidates
}

// Parents returns whom to ask for the streams of an origin, best first, at most nine. The list is empty if the origin is not there or the node itself,
// and has the origin itself at least if it is there, even if no link with it could be opened so far. The caller must not
// change it.
func (t *Table) Parents(origin link.NodeID, now time.Time) []Candidate {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sweep(now)
	p := t.plan(origin)
	if p == nil {
		return nil
	}
	p.origin.asked = now
	return slices.Clip(t.ask(p))
}
