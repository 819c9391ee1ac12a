package mesh

import (
	"context"
	"maps"
	"slices"
	"time"

	"cardea/mesh/member"
	"cardea/mesh/route"
	"cardea/relay/link"
)

const (
	// rowInterval is how often nodes with a link tell each other what they have measured.
	rowInterval = time.Second
	// stallCheck is how often links are looked at for a stall: streams move as soon as it is seen.
	stallCheck = 100 * time.Millisecond
	// followInterval is the least between two changes of membership that are worked through.
	followInterval = 200 * time.Millisecond
	// failedTime is for how long a node counts as out of reach after a link to it could not be made: ways around are looked for.
	failedTime = 10 * time.Second
)

// follow tells everybody which nodes there are.
func (m *Mesh) follow() {
	nodes := m.cluster.Nodes()
	live, ways := make([]link.NodeID, 0, len(nodes)), make([]route.Node, 0, len(nodes))
	var retiring []link.NodeID
	for _, n := range nodes {
		live = append(live, n.ID)
		if n.State != member.Ready {
			retiring = append(retiring, n.ID)
		}
		if n.Planes&member.Media != 0 || n.ID == m.self { // media goes by way of nodes that carry it
			ways = append(ways, route.Node{ID: n.ID, Region: n.Region, Coordinate: n.Coordinate, Draining: n.State != member.Ready})
		}
	}
	for _, id := range m.linkedTo() {
		if !slices.Contains(live, id) {
			m.links.Drop(id)
		}
	}
	m.table.SetNodes(ways)
	m.rooms.SetNodes(live, retiring...)
	m.sessions.SetNodes(live)
	if m.planes != nil {
		m.planes.SetNodes(live)
	}
}

// attend passes on who comes and goes, until ctx ends.
func (m *Mesh) attend(ctx context.Context) {
	met := false
	for {
		m.follow()
		if !met && !m.cluster.Lonely() {
			met = true
			close(m.met)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(followInterval):
		}
		select {
		case <-ctx.Done():
			return
		case <-m.changed:
		}
	}
}

// Meet waits until this node has met others, if it knows that there are some: until then it would say of their rooms that there are
// none.
func (m *Mesh) Meet(ctx context.Context) error {
	select {
	case <-m.met:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// tend passes on what links measure, until ctx ends.
func (m *Mesh) tend(ctx context.Context) {
	clock := time.NewTicker(stallCheck)
	defer clock.Stop()
	n := neighbours{self: m.self, table: m.table, tellings: make(map[*link.Link]*route.Telling)}
	var told time.Time
	for {
		urgent := false
		select {
		case <-ctx.Done():
			return
		case <-m.touched:
			urgent = true
		case <-clock.C:
		}
		now := time.Now()
		m.homes.sweep(now, false)
		if links := m.links.Links(); n.stalls(links) || urgent || now.Sub(told) >= rowInterval {
			told = now
			n.exchange(links, m.unreached(now), now)
		}
	}
}

// unreached returns the nodes to which a link could not be made a moment ago.
func (m *Mesh) unreached(now time.Time) (ids []link.NodeID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for id, at := range m.failed {
		if _, again := m.dialing[id]; now.Sub(at) > failedTime && !again {
			delete(m.failed, id)
			continue
		}
		ids = append(ids, id)
	}
	maps.DeleteFunc(m.around, func(_ link.NodeID, at time.Time) bool { return now.Sub(at) > failedTime })
	return ids
}

// neighbours are the nodes with a link, and what they have been told.
type neighbours struct {
	self     link.NodeID
	table    *route.Table
	tellings map[*link.Link]*route.Telling
	stalled  []link.NodeID
}

// stalls tells whether other links are stalled than the last time.
func (n *neighbours) stalls(links []*link.Link) bool {
	var now []link.NodeID
	for _, l := range links {
		if l.Stalled() {
			now = append(now, l.Peer())
		}
	}
	slices.Sort(now)
	changed := !slices.Equal(now, n.stalled)
	n.stalled = now
	return changed
}

// exchange takes over what links have measured, and which could not be made, and tells it to the neighbours.
func (n *neighbours) exchange(links []*link.Link, unreached []link.NodeID, now time.Time) {
	edges := make([]route.Edge, 0, len(links))
	for _, l := range links {
		r := l.Row()
		edges = append(edges, route.Edge{To: l.Peer(), RTT: r.RTT, Loss: r.Loss, Late: r.Late, Queue: r.Queue, Up: !l.Stalled()})
	}
	for _, id := range unreached {
		edges = append(edges, route.Edge{To: id})
	}
	n.table.SetRow(n.self, edges, now)
	for l := range n.tellings {
		if !slices.Contains(links, l) {
			delete(n.tellings, l)
		}
	}
	for _, l := range links {
		t := n.tellings[l]
		if t == nil {
			t = route.NewTelling(l.Peer())
			n.tellings[l] = t
		}
		for _, message := range n.table.Tell(t, now) {
			if l.Notify(route.KindRow, message) != nil {
				break // the link ends
			}
		}
	}
}
