package member

import (
	"maps"
	"time"

	"cardea/relay/link"
)

// doubtTime bounds how long a node stays for being heard, though gossip calls it dead: should its gossip be out of order for good, it is no member.
const doubtTime = 30 * time.Second

// Vouch has f asked whether something was heard from a node just now, here or by somebody who is heard, by other ways than gossip. Gossip can be
// wrong about it: a probe that was lost, and those asked to repeat it cannot reach it either, because they are beyond an ocean that is cut. Or all of
// a region call those beyond dead, and their objections get lost. A node that is heard stays; it will object to its death itself. It must be called before [Cluster.Run]; f must not wait.
func (c *Cluster) Vouch(f func(link.NodeID) bool) { c.vouch = f }

// doubted notes that gossip calls a node dead, and tells whether the node stays nevertheless.
func (c *Cluster) doubted(id link.NodeID) bool {
	if c.vouch == nil || !c.vouch(id) {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.doubts[id], c.strayed = c.now(), c.now()
	c.log.Debug("gossip calls a node dead that is heard", "id", id)
	return true
}

// undoubted notes that gossip knows better.
func (c *Cluster) undoubted(id link.NodeID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.doubts, id)
}

// resolve lets go of those that gossip called dead and that are not heard any more.
func (c *Cluster) resolve() {
	c.mu.Lock()
	doubts := maps.Clone(c.doubts)
	c.mu.Unlock()
	for id, since := range doubts {
		if c.now().Sub(since) <= doubtTime && c.vouch(id) {
			continue
		}
		c.mu.Lock()
		_, still := c.doubts[id]
		delete(c.doubts, id)
		var n Node
		if still { // gossip may know better any moment, and then it takes the doubt away first
			n, still = c.table.left(id)
		}
		c.mu.Unlock()
		if still {
			c.buried(id, n)
		}
	}
}
