package mesh

import (
	"context"
	"time"

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
	Linked bool          // there is a link
	RTT    time.Duration // by the link, else by gossip; 0 while unknown
	Loss   float64       // on the way there, before repair, 0 to 1; of a link only
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
			s.Linked, s.RTT, s.Loss, s.Sent, s.Received = true, row.RTT, row.Loss, stats.BytesOut, stats.BytesIn
		}
		if s.RTT == 0 && !s.Self {
			s.RTT, _ = m.cluster.RTT(n.ID)
		}
		all = append(all, s)
	}
	return all
}

// Pulled returns the streams that come to this node from others.
func (m *Mesh) Pulled(ctx context.Context) []pull.Pulled { return m.puller.Pulled(ctx) }

// Stats is what was counted.
type Stats struct {
	Members  member.Stats
	Links    link.Stats
	Linked   int // links that are up
	Packets  PacketStats
	Rooms    *room.Metrics
	Streams  *pull.Metrics
	Messages post.Stats
}

// PacketStats counts what the present links did not take, since each came up.
type PacketStats struct {
	Replayed  uint64 // packets that were here already: overtaken by their repair, or played again
	Forged    uint64 // packets whose tag was wrong
	Malformed uint64 // packets with a right tag that make no sense
	Policed   uint64 // packets beyond what the other side may send
}

// Stats returns what was counted so far.
func (m *Mesh) Stats() Stats {
	s := Stats{
		Members: m.cluster.Stats(), Links: m.links.Stats(), Rooms: m.rooms.Metrics(), Streams: m.puller.Metrics(), Messages: m.post.Stats(),
	}
	for _, l := range m.links.Links() {
		r := l.Row()
		s.Linked++
		s.Packets.Replayed += r.Duplicates
		s.Packets.Forged += r.Forged
		s.Packets.Malformed += r.Malformed
		s.Packets.Policed += r.Policed
	}
	return s
}
