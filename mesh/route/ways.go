package route

import (
	"slices"
	"time"

	"cardea/relay/link"
)

// allWays returns what there is to say of nodes beside the links: the nodes that this node or others seek and with which it has no link,
// each with the best way there is; and of the nodes whose streams are of interest here those to which a way is better than the link.
func (t *Table) allWays(now time.Time) map[link.NodeID]entry {
	if t.ways != nil {
		return t.ways
	}
	t.ways = map[link.NodeID]entry{}
	for _, n := range t.nodes {
		if n.own.fails() {
			t.ways[n.ID] = entry{Edge: Edge{To: n.ID}, seek: 1}
		}
	}
	for _, x := range t.linked {
		if x.row != nil {
			t.seek(x)
		}
	}
	for id, w := range t.ways {
		if way, ok := t.way(t.nodes[id]); ok {
			way.seek, way.seeker = w.seek, w.seeker
			t.ways[id] = way
		}
	}
	for _, y := range t.linked {
		if now.Sub(y.asked) > interest {
			continue
		}
		direct, _ := t.mine(y)
		if way, ok := t.way(y); ok && t.detours(y, way.cost(), direct.Cost()) {
			t.ways[y.ID] = way
		}
	}
	t.kept = nil
	return t.ways
}

// seek passes on that a neighbour seeks others.
func (t *Table) seek(x *node) {
	for id, e := range x.row.entries {
		n := t.nodes[id]
		if e.seek == 0 || e.seek >= MaxHops || n == nil || n == t.self || n.own.works() {
			continue
		}
		if w, ok := t.ways[id]; !ok || e.seek+1 < w.seek {
			t.ways[id] = entry{Edge: Edge{To: id}, seek: e.seek + 1, seeker: x.ID}
		}
	}
}

// detours tells whether a way is so much better than the link that media takes it, as [Table.Keep] would decide before long.
func (t *Table) detours(y *node, way, direct time.Duration) bool {
	way += DetourPrice
	if len(t.kept[y.ID].via) > 0 {
		return way < direct+margin(way)
	}
	return way+margin(direct) < direct
}

// way returns the best way to a node with which there is no link. The one in use stays until another is better by the margin:
// each change is told to everybody.
func (t *Table) way(y *node) (best entry, found bool) {
	kept, least := t.kept[y.ID].via, maxCost
	for _, x := range t.linked {
		onward, ok := t.measured(x, y)
		if !ok || x == y || len(onward.via) >= MaxHops {
			continue
		}
		edge, _ := t.mine(x)
		w := onward.after(edge)
		cost := w.cost()
		if slices.Equal(kept, w.via) {
			cost -= margin(cost)
		}
		if cost < least {
			best, found, least = w, true, cost
		}
	}
	best.To, best.Up = y.ID, false
	return best, found
}
