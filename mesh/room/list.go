package room

import (
	"strings"
	"time"

	"cardea/relay/link"
	"cardea/relay/link/wire"
)

// listWithin is the longest that a list waits for nodes.
const listWithin = 2 * time.Second

// onList answers with a page of the rooms that this node is keeper of.
func (c *core) onList(payload []byte) ([]byte, error) {
	var m listMessage
	if err := wire.Unmarshal(payload, &m); err != nil {
		return nil, err
	}
	var reply listReply
	size := 0
	for b := m.Bucket; b < buckets; b++ {
		for _, id := range sorted(c.table.records[b]) {
			if b == m.Bucket && id <= m.After || !strings.HasPrefix(id, m.Prefix) {
				continue
			}
			r := c.table.records[b][id]
			o := c.ranking.first(r.hash, 1)
			if r.dead || o.n == 0 || o.nodes[0] != c.self {
				continue
			}
			if size >= replyMost {
				reply.More = true
				return wire.Marshal(&reply), nil
			}
			reply.Rooms = append(reply.Rooms, listRoom{
				ID: id, Value: r.value, Stamp: r.stamp, Participants: uint64(c.rosters[id].count()), Permanent: r.permanent,
			})
			reply.Bucket, reply.After = b, id
			size += len(id) + len(r.value) + 32
		}
	}
	return wire.Marshal(&reply), nil
}

// count returns how many participants are in a room.
func (r *roster) count() (n int) {
	if r == nil {
		return 0
	}
	for _, s := range r.seats {
		if s.all.entry != nil {
			n++
		}
	}
	return n
}

// list is the input of a user that wants to know what rooms there are. It gets what came until then, and whether that is all.
func (c *core) list(now time.Time, prefix string, done func(rooms []Listing, whole bool)) {
	c.enter(now)
	defer c.settle()
	found := map[string]Listing{}
	stamps := map[string]stamp{}
	waiting, whole, finished := 1, true, false
	var timer *timer
	finish := func() {
		if finished {
			return
		}
		finished = true
		c.stop(timer)
		rooms := make([]Listing, 0, len(found))
		for _, id := range sorted(found) {
			rooms = append(rooms, found[id])
		}
		done(rooms, whole)
	}
	timer = c.after(listWithin, func() {
		whole = false
		finish()
	})
	answered := func() {
		if waiting--; waiting == 0 {
			finish()
		}
	}
	for _, id := range sorted(c.peers) {
		if !c.alive(id) {
			continue
		}
		waiting++
		c.page(id, listMessage{Prefix: prefix}, func(rooms []listRoom, more bool, err error) bool {
			if finished {
				return false
			}
			for _, r := range rooms {
				if len(found) >= c.limits.listed {
					whole, more = false, false
					break
				}
				// Two nodes may both think that they are the keeper, until both know who is there.
				old, ok := found[r.ID]
				l := Listing{ID: r.ID, Record: r.Value, Participants: int(min(r.Participants, 1<<30)), Permanent: r.Permanent}
				if ok && stamps[r.ID] >= r.Stamp {
					l.Record, l.Permanent = old.Record, old.Permanent
				}
				l.Participants = max(l.Participants, old.Participants)
				found[r.ID], stamps[r.ID] = l, max(stamps[r.ID], r.Stamp)
			}
			if err != nil {
				whole = false
			}
			if !more {
				answered()
			}
			return more
		})
	}
	answered()
}

// page asks a node for its rooms, page by page, as long as f wants more.
func (c *core) page(from link.NodeID, m listMessage, f func(rooms []listRoom, more bool, err error) bool) {
	c.call(from, KindList, &m, listWithin, func(b []byte, err error) {
		var reply listReply
		if err == nil {
			err = wire.Unmarshal(b, &reply)
		}
		forward := reply.Bucket > m.Bucket || reply.Bucket == m.Bucket && reply.After > m.After
		if f(reply.Rooms, err == nil && reply.More && forward, err) {
			c.page(from, listMessage{Prefix: m.Prefix, Bucket: reply.Bucket, After: reply.After}, f)
		}
	})
}
