package pull

import (
	"time"

	"cardea/relay/link"
)

// judged is the parent of which the routes are asked whether to keep it. They judge one parent for each of the publishers' nodes at a
// time; so while several streams of one node have different parents, of those that are not the best one is judged until
// all streams have left it or it is the best.
type judged struct {
	parent link.NodeID
	at     int64 // ns, when it was asked about last
}

// judgedTime is after how long a parent that nobody asks about any more makes room for another.
const judgedTime = 3 * keepTime

// parents returns whom to ask for streams of a node, best first.
func (p *Puller) parents(home link.NodeID) []link.NodeID {
	candidates := p.table.Parents(home, time.Now())
	nodes := make([]link.NodeID, len(candidates))
	for i, c := range candidates {
		nodes[i] = c.Node
	}
	return nodes
}

// keep returns whom to ask instead of a parent.
func (p *Puller) keep(home, parent link.NodeID) (better link.NodeID, move bool) {
	now := p.now()
	j, busy := p.judged[home]
	best := p.parents(home)
	if busy && j.parent != parent && now-j.at < judgedTime || len(best) == 0 {
		return parent, false
	}
	if best[0] == parent {
		if busy { // the routes forget what spoke against it
			delete(p.judged, home)
			return p.table.Keep(home, parent, time.Now())
		}
		return parent, false
	}
	if busy && j.parent != parent || !busy {
		_, _ = p.table.Keep(home, best[0], time.Now()) // nothing of what was before counts
	}
	p.judged[home] = judged{parent: parent, at: now}
	return p.table.Keep(home, parent, time.Now())
}
