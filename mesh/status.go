package mesh

import (
	"time"

	"cardea/mesh/member"
	"cardea/relay/link"
)

// Status is what is known of a node, and of the way there from this one.
type Status struct {
	member.Node
	Self   bool
	Linked bool          // there is a link
	RTT    time.Duration // by the link, else by gossip; 0 while unknown
	Loss   float64       // on the way there, before repair, 0 to 1; of a link only
}

// Nodes returns all live nodes, sorted by id.
func (m *Mesh) Nodes() []Status {
	self := m.cluster.Self().ID
	rows := make(map[link.NodeID]link.Row)
	for _, l := range m.links.Links() {
		rows[l.Peer()] = l.Row()
	}
	nodes := m.cluster.Nodes()
	all := make([]Status, 0, len(nodes))
	for _, n := range nodes {
		s := Status{Node: n, Self: n.ID == self}
		row, linked := rows[n.ID]
		if s.Linked = linked; linked {
			s.RTT, s.Loss = row.RTT, row.Loss
		}
		if s.RTT == 0 && !s.Self {
			s.RTT, _ = m.cluster.RTT(n.ID)
		}
		all = append(all, s)
	}
	return all
}
