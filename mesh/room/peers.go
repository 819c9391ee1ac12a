package room

import (
	"slices"
	"time"

	"cardea/mesh/rendezvous"
	"cardea/relay/link"
)

// peer is another node: whether it lives, and the two lanes with it.
type peer struct {
	c      *core
	id     link.NodeID
	hash   uint64
	live   bool   // by membership
	synced bool   // its records were compared with this node's since it came
	agreed uint64 // the sum of the records that both keep, when it was the same
	failed int    // comparisons in a row
	sync   *comparison

	lane
}

// peer returns what is known of a node; nil if there are too many.
func (c *core) peer(id link.NodeID) *peer {
	p := c.peers[id]
	if p == nil && (len(c.peers) < c.limits.peers) && len(id) <= maxNodeID && id != "" {
		p = &peer{c: c, id: id, hash: rendezvous.Hash(string(id))}
		p.lane.init(c.now)
		c.peers[id] = p
	}
	return p
}

// alive says whether a node lives, by membership.
func (c *core) alive(id link.NodeID) bool {
	if id == c.self {
		return true
	}
	p := c.peers[id]
	return p != nil && p.live
}

// usable says whether a node is worth asking.
func (c *core) usable(id link.NodeID) bool {
	if id == c.self {
		return true
	}
	p := c.peers[id]
	return p != nil && p.live && !p.silent
}

// setNodes is the input of membership: who lives, and who of them is about to leave and is to hold nothing.
func (c *core) setNodes(now time.Time, live, retiring []link.NodeID) {
	c.enter(now)
	alive := map[link.NodeID]bool{c.self: true}
	for _, id := range live {
		alive[id] = true
	}
	changed := map[link.NodeID]bool{}
	for _, id := range sorted(alive) {
		p := c.peer(id)
		if p == nil {
			delete(alive, id)
			continue
		}
		if !p.live {
			p.live, p.synced, p.agreed, p.silent, p.heard = true, id == c.self, 0, false, now
			changed[id] = true
		}
	}
	for _, id := range sorted(c.peers) {
		p := c.peers[id]
		if p.live && !alive[id] {
			p.live, p.synced = false, false
			changed[id] = true
		}
	}
	ranking := make(ranking, 0, len(alive))
	for _, id := range sorted(alive) {
		if !slices.Contains(retiring, id) {
			ranking = append(ranking, member{id, c.peers[id].hash})
		}
	}
	if len(ranking) == 0 {
		for _, id := range sorted(alive) {
			ranking = append(ranking, member{id, c.peers[id].hash})
		}
	}
	if len(changed) == 0 && slices.Equal(ranking, c.ranking) {
		return
	}
	c.ranking = ranking
	c.rerank()
	for _, id := range sorted(c.rosters) {
		c.rosters[id].members(changed)
	}
	for _, id := range sorted(changed) {
		if p := c.peers[id]; !p.live {
			p.gone()
		}
	}
	c.reroute()
	for _, id := range sorted(alive) {
		p := c.peers[id]
		if id != c.self && (!p.synced || c.table.sums[id].root() != p.agreed) {
			c.compareSoon(p)
		}
	}
	c.settle()
}

// gone is what follows from the end of a node.
func (p *peer) gone() {
	p.dropFeeds()
	p.resetOut()
	for _, t := range []*timer{p.pulse, p.mended, p.acking, p.retry} {
		p.c.stop(t)
	}
	if p.sync != nil {
		p.sync.end()
	}
	delete(p.c.peers, p.id)
}

// linkChanged is the input of a link that came up or broke.
func (c *core) linkChanged(now time.Time, id link.NodeID, up bool) {
	c.enter(now)
	if p := c.peers[id]; p != nil && id != c.self {
		if up {
			if p.epoch == 0 {
				p.hold = c.now // what waited for the link need not wait any longer
				p.ready()
			}
			p.probe()
			c.compareAgain(p)
		} else {
			p.broken()
		}
	}
	c.settle()
}

// notifyFailed is the input of a notice that could not be sent.
func (c *core) notifyFailed(now time.Time, id link.NodeID) {
	c.enter(now)
	if p := c.peers[id]; p != nil {
		p.broken()
	}
	c.settle()
}
