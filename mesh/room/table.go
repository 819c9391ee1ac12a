package room

import (
	"fmt"
	"maps"
	"slices"

	"cardea/mesh/rendezvous"
	"cardea/relay/link"
)

// buckets is how many parts the table has, by the first byte of the hash. Two nodes that differ find out in which part, and
// compare that one. Every version of the program must have as many.
const buckets = 256

// table is the records that a node has, and for each other node the sums of those that both are to keep, bucket by bucket.
// Sums are exclusive ors, so that a change costs the same whatever the size of the table, and comparing with another node costs nothing.
type table struct {
	records [buckets]map[string]*record
	n       int
	bytes   int
	graves  int
	sums    map[link.NodeID]*sums
}

type sums [buckets]uint64

// root is the sum of all buckets.
func (s *sums) root() (root uint64) {
	if s == nil {
		return 0
	}
	for _, v := range s {
		root ^= v
	}
	return root
}

func bucketOf(hash uint64) int { return int(hash >> 56) }

func (t *table) init() {
	for i := range t.records {
		t.records[i] = map[string]*record{}
	}
	t.sums = map[link.NodeID]*sums{}
}

func (t *table) get(id string) *record { return t.records[bucketOf(rendezvous.Hash(id))][id] }

// live returns the record of a room that exists.
func (t *table) live(id string) *record {
	if r := t.get(id); r != nil && !r.dead {
		return r
	}
	return nil
}

// keepers returns who is to keep a record, the room's keeper first.
func (c *core) keepers(r *record) (o order) {
	o = c.ranking.first(r.hash, replicas)
	if r.permanent && r.origin != "" && o.index(r.origin) < 0 && c.alive(r.origin) {
		o.nodes[o.n] = r.origin
		o.n++
	}
	return o
}

// count adds a record to the sums that it belongs to, or takes it out again: it is its own inverse.
func (c *core) count(r *record) { c.countAt(r, c.keepers(r)) }

// countAt is count for known keepers.
func (c *core) countAt(r *record, o order) {
	if o.index(c.self) < 0 {
		return
	}
	for _, id := range o.list() {
		if id == c.self {
			continue
		}
		s := c.table.sums[id]
		if s == nil {
			s = &sums{}
			c.table.sums[id] = s
		}
		s[bucketOf(r.hash)] ^= r.sum
	}
}

// put replaces the version of a record that the table has; nil for old or r is none.
func (c *core) put(old, r *record) {
	t := &c.table
	if old != nil {
		c.count(old)
		t.n--
		t.bytes -= len(old.value)
		t.graves -= int(flag(old.dead))
		delete(t.records[bucketOf(old.hash)], old.id)
	}
	if r != nil {
		c.count(r)
		t.n++
		t.bytes += len(r.value)
		t.graves += int(flag(r.dead))
		t.records[bucketOf(r.hash)][r.id] = r
	}
	c.m.Records.Store(int64(t.n))
	c.m.Graves.Store(int64(t.graves))
}

// apply takes in a version of a record. It is refused if it is none of this node's business, or if there is no room for it.
func (c *core) apply(r *record) error {
	old := c.table.get(r.id)
	if old == nil && r.forgotten(c.now) {
		return nil
	}
	r = merge(old, r)
	if r == old {
		return nil
	}
	mine := c.mine(r)
	switch {
	case old != nil || mine || c.rosters[r.id] != nil:
	case c.near(r): // by another's view of who is there it may be this node's
		c.orphan(r.id)
	default:
		c.m.Refused.Add(1)
		return fmt.Errorf("record of room %q: %w: not kept here", r.id, errRefused)
	}
	if old == nil && !r.dead && (c.table.n >= c.limits.records || c.table.bytes+len(r.value) > c.limits.recordBytes) {
		c.m.Refused.Add(1)
		return fmt.Errorf("record of room %q: %w", r.id, ErrFull)
	}
	c.intern(r)
	c.put(old, r)
	if _, orphan := c.orphans[r.id]; r.permanent && (mine || orphan) {
		c.saves[r.id] = struct{}{}
	}
	if mine {
		c.verify(r)
	}
	c.changed(old, r)
	return nil
}

// keep is apply for what another relies on this node to keep, also if it has the room only because it is open here. What is not
// this node's by its own view of who is there, it brings to those whose it is.
func (c *core) keep(r *record) error {
	if !c.mine(r) && c.near(r) {
		c.orphan(r.id)
	}
	return c.apply(r)
}

// mine says whether this node is to keep a record.
func (c *core) mine(r *record) bool {
	if _, pinned := c.pinned[r.id]; pinned {
		return true
	}
	o := c.keepers(r)
	return o.index(c.self) >= 0
}

// near says whether this node is so high in the room's order that it would be a keeper if it knew of a few nodes less.
func (c *core) near(r *record) bool {
	o := c.ranking.first(r.hash, 2*replicas)
	return o.index(c.self) >= 0
}

// intern lets records share the ids of nodes.
func (c *core) intern(r *record) {
	for _, id := range [...]*link.NodeID{&r.node, &r.origin} {
		if p := c.peers[*id]; p != nil {
			*id = p.id
		}
	}
}

// drop forgets a record.
func (c *core) drop(id string) {
	if old := c.table.get(id); old != nil {
		c.put(old, nil)
		if old.permanent {
			c.saves[id] = struct{}{}
		}
	}
	delete(c.orphans, id)
}

// stored returns what the disk is to keep of a room: nil, true if nothing; false if it is to stay as it is.
func (c *core) stored(id string) ([]byte, bool) {
	switch r := c.table.get(id); {
	case r == nil:
		return nil, true
	case r.permanent:
		return r.encode(), true
	default: // what is on disk comes back when all nodes have forgotten: that was asked for
		return nil, false
	}
}

// load is the input of a record that the disk kept.
func (c *core) load(b []byte) error {
	r, err := decodeRecord(b, c.now)
	if err != nil {
		return err
	}
	if r = merge(c.table.get(r.id), r); !r.forgotten(c.now) {
		c.put(c.table.get(r.id), r)
		if !c.mine(r) {
			c.orphan(r.id)
		}
	}
	return nil
}

// configure is the input of a room of the configuration.
func (c *core) configure(id string, value []byte) {
	c.pinned[id] = struct{}{}
	r := &record{id: id, value: value, stamp: oldest, born: oldest}
	if c.apply(r.seal()) == nil {
		c.orphan(id) // whoever is to keep it learns of it that way
	}
}

// orphan notes that a record may be missing where it belongs.
func (c *core) orphan(id string) {
	c.orphans[id] = struct{}{}
	c.handSoon()
}

// rerank is the consequence of a new ranking: other sums, and records that others are to keep now.
func (c *core) rerank() {
	clear(c.table.sums)
	for _, bucket := range c.table.records {
		for id, r := range bucket {
			o := c.keepers(r)
			c.countAt(r, o)
			if o.index(c.self) < 0 {
				c.orphans[id] = struct{}{}
			} else if _, pinned := c.pinned[id]; !pinned {
				delete(c.orphans, id)
			}
		}
	}
	for id := range c.pinned {
		c.orphans[id] = struct{}{}
	}
	if len(c.orphans) > 0 {
		c.handSoon()
	}
}

// sweep looks through one bucket for tombstones that have served their time, or that are too many.
func (c *core) sweep() {
	c.after(sweepEvery, c.sweep)
	bucket := c.table.records[c.sweeping]
	c.sweeping = (c.sweeping + 1) % buckets
	var graves []*record
	for id, r := range bucket {
		if _, pinned := c.pinned[id]; r.dead && !pinned && c.rosters[id] == nil {
			graves = append(graves, r)
		}
	}
	slices.SortFunc(graves, func(a, b *record) int {
		if a.later(b) {
			return 1
		}
		return -1
	})
	excess := (c.table.graves - c.limits.graves + buckets - 1) / buckets
	for i, r := range graves {
		if r.forgotten(c.now) || i < excess {
			c.drop(r.id)
		}
	}
}

// sorted returns the keys of a map in order: whatever is sent or decided in a loop over a map must not depend on its order.
func sorted[M ~map[K]V, K ~string, V any](m M) []K {
	if len(m) == 0 {
		return nil
	}
	keys := slices.AppendSeq(make([]K, 0, len(m)), maps.Keys(m))
	slices.Sort(keys)
	return keys
}
