package mesh

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"cardea/mesh/member"
	"cardea/relay/link"
	"cardea/relay/link/wire"
)

// KindDrain asks a node to drain, or to take that back.
const KindDrain link.Kind = 128

// DrainOrder is what a node is asked for.
type DrainOrder struct {
	Undo   bool          `pb:"1"`
	Within time.Duration `pb:"2"` // 0: as long as the node is configured to
}

// Drained is what the node answers.
type Drained struct {
	Within time.Duration `pb:"1"` // until it ends at the latest; 0 when it does not drain
	// What it waits for until then: clients with media, TURN relays that carry something, streams that others get from it, one for
	// each of them, and records of rooms that it has not handed over.
	Clients uint64 `pb:"2"`
	Relays  uint64 `pb:"3"`
	Streams uint64 `pb:"4"`
	Records uint64 `pb:"5"`
}

// handleDrain has this node obey.
func (m *Mesh) handleDrain(obey func(ctx context.Context, from link.NodeID, o DrainOrder) (Drained, error)) {
	if obey == nil {
		return
	}
	m.links.Handle(KindDrain, func(ctx context.Context, from link.NodeID, request []byte) ([]byte, error) {
		var o DrainOrder
		if err := wire.Unmarshal(request, &o); err != nil {
			return nil, err
		}
		d, err := obey(ctx, from, o)
		if err != nil {
			return nil, err
		}
		return wire.Marshal(&d), nil
	})
}

// Drain asks a node, which may be this one, to drain. Any member may: it could as well claim everything that the node has.
func (m *Mesh) Drain(ctx context.Context, id link.NodeID, o DrainOrder) (d Drained, err error) {
	b, err := m.links.Call(ctx, id, KindDrain, wire.Marshal(&o))
	if err == nil {
		err = wire.Unmarshal(b, &d)
	}
	if err != nil {
		return d, fmt.Errorf("ask %s to drain: %w", id, err)
	}
	return d, nil
}

// Others tells whether there is another node that takes clients of these planes.
func (m *Mesh) Others(planes member.Planes) bool {
	return slices.ContainsFunc(m.cluster.Nodes(), func(n member.Node) bool {
		return n.ID != m.self && n.State == member.Ready && n.Planes&planes == planes
	})
}

// Leaving counts what other nodes still have of this one that they will find elsewhere, once they know that it drains.
type Leaving struct {
	Streams int // that others get by way of this node or from its clients, one for each node
	Records int // of rooms, which those who are to keep them may not have
}

// Leaving returns that.
func (m *Mesh) Leaving() Leaving {
	return Leaving{Streams: m.Flow().Exports, Records: m.rooms.Orphans()}
}

// Places returns the nodes where a session of this node's has media.
func (m *Mesh) Places(session uint64) []link.NodeID {
	if m.planes == nil {
		return nil
	}
	return m.planes.Session(strconv.FormatUint(session, 10))
}
