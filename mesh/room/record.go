package room

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"time"

	"cardea/mesh/rendezvous"
	"cardea/relay/link"
	"cardea/relay/link/wire"
)

// Sizes of what is kept. What is longer is refused, from users and from nodes alike.
const (
	// MaxID is the longest id of a room or a participant, in bytes.
	MaxID = 512
	// MaxRecord is the longest record of a room, in bytes.
	MaxRecord = 64 << 10
	// MaxEntry is the longest entry of a participant, in bytes.
	MaxEntry = 64 << 10
)

const (
	// graveAge is how long it is remembered that a room was destroyed that no disk keeps: longer than a partition.
	graveAge = 6 * time.Hour
	// permanentGraveAge is the same of a permanent room, which a node that was switched off may bring back from its disk.
	permanentGraveAge = 30 * 24 * time.Hour
)

var errRecord = errors.New("not a record")

// record is one version of a room's record, or the tombstone of one. Once made it does not change.
//
// Versions of one room form a semilattice ([merge]): in whatever order nodes learn of them, they end with the same one. A room
// may be made, destroyed and made again under the same id; born tells these lives apart, and a tombstone ends all that were born
// before it, whoever edits them meanwhile on the other side of a partition. Among the lives that are left the last born wins,
// among its versions the last written.
type record struct {
	id        string
	hash      uint64 // of the id
	sum       uint64 // of everything that matters to others
	value     []byte
	stamp     stamp // when this version was written
	born      stamp // when the room was made
	ended     stamp // when the last earlier room of this id was destroyed, or this one, if it is dead
	node      link.NodeID
	origin    link.NodeID // where a permanent room was made: that node keeps it, too
	permanent bool
	dead      bool
}

// recordMessage is how a record is sent and kept on disk.
type recordMessage struct {
	ID        string `pb:"1"`
	Value     []byte `pb:"2"`
	Stamp     uint64 `pb:"3"`
	Born      uint64 `pb:"4"`
	Ended     uint64 `pb:"5"`
	Node      string `pb:"6"`
	Origin    string `pb:"7"`
	Permanent bool   `pb:"8"`
	Dead      bool   `pb:"9"`
}

// seal computes what is derived.
func (r *record) seal() *record {
	r.hash = rendezvous.Hash(r.id)
	h := r.hash
	for _, b := range [...][]byte{r.value, []byte(r.node), []byte(r.origin)} {
		h = rendezvous.Mix(h ^ rendezvous.Hash(string(b)))
	}
	for _, n := range [...]uint64{r.stamp, r.born, r.ended, flag(r.permanent)<<1 | flag(r.dead)} {
		h = rendezvous.Mix(h ^ n)
	}
	r.sum = h
	return r
}

func flag(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

func (r *record) message() *recordMessage {
	return &recordMessage{
		ID: r.id, Value: r.value, Stamp: r.stamp, Born: r.born, Ended: r.ended, Node: string(r.node), Origin: string(r.origin),
		Permanent: r.permanent, Dead: r.dead,
	}
}

// encode returns the record as it is kept on disk.
func (r *record) encode() []byte { return wire.Marshal(r.message()) }

// record checks a message that came from elsewhere; now is the own time.
func (m *recordMessage) record(now time.Time) (*record, error) {
	latest := stampOf(now.Add(maxAhead))
	switch {
	case m.ID == "" || len(m.ID) > MaxID || len(m.Value) > MaxRecord || len(m.Node) > maxNodeID || len(m.Origin) > maxNodeID:
		return nil, fmt.Errorf("%w: its size", errRecord)
	case m.Stamp > latest || m.Born > latest || m.Ended > latest:
		return nil, fmt.Errorf("%w: more than %v ahead", errRecord, maxAhead)
	case m.Born == 0 || m.Stamp < m.Born || m.Dead != (m.Born <= m.Ended) || m.Dead && (len(m.Value) > 0 || m.Stamp != m.Ended):
		return nil, fmt.Errorf("%w: it contradicts itself", errRecord)
	}
	r := &record{
		id: m.ID, value: m.Value, stamp: m.Stamp, born: m.Born, ended: m.Ended, node: link.NodeID(m.Node), origin: link.NodeID(m.Origin),
		permanent: m.Permanent, dead: m.Dead,
	}
	return r.seal(), nil
}

// decodeRecord reads a record as it is kept on disk.
func decodeRecord(b []byte, now time.Time) (*record, error) {
	var m recordMessage
	if err := wire.Unmarshal(b, &m); err != nil {
		return nil, err
	}
	return m.record(now)
}

// grave returns the tombstone that ends r.
func (r *record) grave(at stamp, by link.NodeID, permanent bool) *record {
	g := &record{id: r.id, stamp: at, born: r.born, ended: at, node: by, origin: r.origin, permanent: permanent, dead: true}
	return g.seal()
}

// later says whether a comes after b by life, then by version. It is a total order of what differs.
func (r *record) later(b *record) bool {
	return cmp.Or(
		cmp.Compare(r.born, b.born), cmp.Compare(r.stamp, b.stamp), cmp.Compare(r.node, b.node), cmp.Compare(r.origin, b.origin),
		cmp.Compare(flag(r.permanent), flag(b.permanent)), bytes.Compare(r.value, b.value),
	) > 0
}

// merge returns what two versions of a room's record make together; either may be nil. It is a or b itself if that is the
// outcome.
func merge(a, b *record) *record {
	switch {
	case a == nil || b == nil:
		if a == nil {
			return b
		}
		return a
	case a.sum == b.sum:
		return a
	}
	ended := max(a.ended, b.ended)
	var best *record
	for _, r := range [...]*record{a, b} {
		if !r.dead && r.born > ended && (best == nil || r.later(best)) {
			best = r
		}
	}
	switch {
	case best != nil && best.ended == ended:
		return best
	case best != nil:
		joined := *best
		joined.ended = ended
		return joined.seal()
	}
	// Both are dead now. What remains is the tombstone, with all that either says.
	g := &record{id: a.id, stamp: ended, ended: ended, dead: true}
	for _, r := range [...]*record{a, b} {
		g.born = max(g.born, r.born)
		if r.dead && r.ended == ended {
			g.node, g.origin = max(g.node, r.node), max(g.origin, r.origin)
			g.permanent = g.permanent || r.permanent
		}
	}
	if g.seal(); g.sum == a.sum {
		return a
	}
	return g
}

// forgotten says whether a tombstone has served its time. Those of configured rooms never have: their configuration comes back
// with every start of a node.
func (r *record) forgotten(now time.Time) bool {
	if !r.dead || r.born == oldest {
		return false
	}
	age := graveAge
	if r.permanent {
		age = permanentGraveAge
	}
	return now.Sub(timeOf(r.ended)) > age
}
