package mesh

import (
	"context"
	"time"

	"cardea/mesh/detour"
	"cardea/mesh/member"
	"cardea/mesh/post"
	"cardea/mesh/pull"
	"cardea/mesh/room"
	"cardea/relay/link"
)

// Status is what is known of a node, and of the way there from this one.
type Status struct {
	member.Node
	Self   bool
	Linked bool          // there is a link; what follows is known of a link only, but for the RTT
	RTT    time.Duration // by the link, else by gossip; 0 while unknown
	Loss   float64       // on the way there, before repair, 0 to 1
	Late   float64       // share of packets that parity did not repair in time, of late
	Queue  time.Duration // how long packets wait on the way there, of late
	Budget int           // what may be sent there, bit/s
	// Stalled says that the other side is silent.
	Stalled bool
	// Sent and Received are what the link carried since it came up, in bytes: packets of streams and of data channels, without what
	// QUIC and the shield add.
	Sent, Received uint64
}

// Nodes returns all live nodes, sorted by id.
func (m *Mesh) Nodes() []Status {
	self := m.cluster.Self().ID
	links := make(map[link.NodeID]*link.Link)
	for _, l := range m.links.Links() {
		links[l.Peer()] = l
	}
	nodes := m.cluster.Nodes()
	all := make([]Status, 0, len(nodes))
	for _, n := range nodes {
		s := Status{Node: n, Self: n.ID == self}
		if l := links[n.ID]; l != nil {
			row, stats := l.Row(), l.Stats()
			s.Linked, s.RTT, s.Loss, s.Late, s.Queue, s.Budget = true, row.RTT, row.Loss, row.Late, row.Queue, row.Budget
			s.Stalled, s.Sent, s.Received = row.Heard > link.StallTime, stats.BytesOut, stats.BytesIn
		}
		if s.RTT == 0 && !s.Self {
			s.RTT, _ = m.cluster.RTT(n.ID)
		}
		all = append(all, s)
	}
	return all
}

// Pulled returns the streams that come to this node from others.
func (m *Mesh) Pulled(ctx context.Context) []pull.Pulled {
	if m.puller == nil {
		return nil
	}
	return m.puller.Pulled(ctx)
}

// Stats is what was counted.
type Stats struct {
	Members  member.Stats
	Links    link.Stats
	Rooms    *room.Metrics
	Streams  *pull.Metrics
	Messages post.Stats
	Detours  detour.Stats
}

// Stats returns what was counted so far.
func (m *Mesh) Stats() Stats {
	s := Stats{Members: m.cluster.Stats(), Links: m.links.Stats(), Rooms: m.rooms.Metrics(), Detours: m.detours.Stats(), Streams: new(pull.Metrics)}
	if m.puller != nil {
		s.Streams, s.Messages = m.puller.Metrics(), m.post.Stats()
	}
	return s
}

// Flow says how many streams pass between this node and others.
type Flow struct {
	Wanted   int // streams of any node that somebody here wants, subscribers and other nodes alike
	Pulled   int // those among them that come from another node
	Waiting  int // those that should come from another node, and do not
	Parents  int // nodes that they come from
	Exports  int // streams sent to other nodes, one for each node
	Children int // nodes that they are sent to
}

// Flow counts the streams. There are none unless the mesh runs.
func (m *Mesh) Flow() Flow {
	m.mu.RLock()
	running := m.serving != nil
	m.mu.RUnlock()
	if !running || m.puller == nil {
		return Flow{} // nobody would answer
	}
	return flow(m.puller.Rows())
}

func flow(rows []pull.Row) Flow {
	f := Flow{Wanted: len(rows)}
	parents, children := make(map[link.NodeID]struct{}), make(map[link.NodeID]struct{})
	for _, r := range rows {
		switch {
		case r.Here:
		case !r.Open:
			f.Waiting++
		default:
			f.Pulled++
			if n := len(r.Path); n > 1 {
				parents[r.Path[n-2]] = struct{}{}
			}
		}
		f.Exports += len(r.Children)
		for _, id := range r.Children {
			children[id] = struct{}{}
		}
	}
	f.Parents, f.Children = len(parents), len(children)
	return f
}
