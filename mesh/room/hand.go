package room

import (
	"time"

	"cardea/relay/link"
	"cardea/relay/link/wire"
)

const (
	// handBatch is how many records are handed over at a time.
	handBatch = 1000
	// handAfter gathers what is to be handed over, so that those who join see a few long messages.
	handAfter = 100 * time.Millisecond
)

// handSoon has orphans brought to where they belong.
func (c *core) handSoon() {
	if !c.handing {
		c.handing = true
		c.after(handAfter, c.hand)
	}
}

// hand offers a batch of orphans to those who are to keep them: records that others keep now because nodes came or went, that
// the disk brought back after a restart, or of which it was not certain that enough had them. Only when all have answered, a record
// is let go of here.
func (c *core) hand() {
	ids := sorted(c.orphans)
	ids = ids[:min(len(ids), handBatch)]
	batches := map[link.NodeID]*offerMessage{}
	missing := map[string]int{} // nodes that have not confirmed yet
	sums := map[string]uint64{}
	for _, id := range ids {
		r := c.table.get(id)
		if r == nil {
			delete(c.orphans, id)
			continue
		}
		sums[id] = r.sum
		missing[id] = 0
		o := c.keepers(r)
		for _, to := range o.list() {
			if to == c.self {
				continue
			}
			m := batches[to]
			if m == nil {
				m = &offerMessage{}
				batches[to] = m
			}
			m.Records = append(m.Records, offerRecord{id, r.sum})
			missing[id]++
		}
	}
	waiting, failed := 1, false
	finish := func(err error) {
		failed = failed || err != nil
		if waiting--; waiting > 0 {
			return
		}
		for _, id := range ids {
			if r := c.table.get(id); missing[id] == 0 && r != nil && r.sum == sums[id] {
				c.handed(r)
			}
		}
		c.handing = false
		if len(c.orphans) > 0 {
			c.handing = true
			again := handAfter
			if failed {
				again = compareRetry
			}
			c.after(again, c.hand)
		}
	}
	for _, to := range sorted(batches) {
		waiting++
		c.give(to, batches[to], missing, finish)
	}
	finish(nil)
}

// give offers orphans to one node.
func (c *core) give(to link.NodeID, m *offerMessage, missing map[string]int, done func(error)) {
	c.call(to, KindOffer, m, compareTimeout, func(b []byte, err error) {
		var reply offerReply
		if err == nil {
			err = wire.Unmarshal(b, &reply)
		}
		if err != nil {
			done(err)
			return
		}
		c.exchange(to, &reply, func(err error) {
			if err == nil && !reply.More {
				for _, r := range m.Records {
					missing[r.ID]--
				}
			}
			done(err)
		})
	})
}

// handed lets go of a record that all have who are to keep it.
func (c *core) handed(r *record) {
	delete(c.orphans, r.id)
	if c.mine(r) || c.rosters[r.id] != nil {
		return
	}
	c.drop(r.id)
	c.m.Handed.Add(1)
}
