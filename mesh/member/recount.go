package member

import (
	"context"
	"maps"
	"math/rand/v2"
	"time"
)

// Whoever hears news of a node tells them to [retransmits] others at random while there are fewer than ten nodes, and to more from
// there on. One time in a hundred a node of few is left out, and more often while a part of the others is cut off from it: of a newcomer, or of
// one that was called dead and objected. It would hear of that when all that is known is exchanged with somebody, up to half a
// minute later. So few nodes exchange it when there are such news.
const (
	// greetTime is for how long a node that has started exchanges it with each of up to greetMost nodes.
	greetTime = 30 * time.Second
	greetMost = 9
	// recountTime is for how long after gossip called a node dead others exchange it every recountEvery, while there are up to recountMost nodes.
	recountTime  = 20 * time.Second
	recountEvery = 2 * time.Second
	recountMost  = 32
)

// greet exchanges all that is known with each of a few nodes when this one is new among them.
func (c *Cluster) greet() {
	if time.Since(c.started) > greetTime {
		return
	}
	all := c.table.live()
	if len(all) >= greetMost {
		return
	}
	for _, d := range all {
		if !c.greeted[d.ID] {
			c.greeted[d.ID] = c.exchange(d.Node)
		}
	}
}

// recount calls on those that gossip calls dead and that are heard, so that they learn of it and object: by the admission port first, for it may be
// that they have other gossip keys. And it exchanges all that is known with one of a few nodes after another: one that is taken to be gone may be
// there. Nodes that are heard are better for that than others.
func (c *Cluster) recount() {
	now := c.now()
	c.mu.Lock()
	past := now.Sub(c.strayed)
	doubts := maps.Clone(c.doubts)
	c.mu.Unlock()
	if now.Before(c.nextRecount) || len(doubts) == 0 && past > recountTime {
		return
	}
	c.nextRecount = now.Add(recountEvery)
	all := c.table.live()
	rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	called := 0
	var heard []described
	for _, d := range all {
		if _, doubted := doubts[d.ID]; doubted {
			if called < callAtOnce { // half of a large mesh may call the other half dead
				called++
				c.clearUp(d.Node)
			}
		} else if c.vouch != nil && c.vouch(d.ID) {
			heard = append(heard, d)
		}
	}
	if len(heard) == 0 {
		heard = all
	}
	if len(heard) > 0 && len(all) < recountMost && past <= recountTime {
		c.exchange(heard[rand.IntN(len(heard))].Node) //nolint:gosec // any will do
	}
}

// clearUp calls on a node that gossip calls dead.
func (c *Cluster) clearUp(n Node) {
	c.jobs.start("clear up with "+string(n.ID), func(ctx context.Context) {
		if err := c.meet(ctx, peer{ID: n.ID, Links: n.Links, Gossip: n.Gossip}); err != nil {
			c.log.Debug("a node that gossip calls dead is heard, and cannot be called on", "id", n.ID, "error", err)
		}
	})
}

// exchange has gossip exchange all that is known with a node, and tells whether that was begun.
func (c *Cluster) exchange(n Node) bool {
	return c.jobs.start("exchange with "+string(n.ID), func(context.Context) {
		if _, err := c.list.Join([]string{n.Gossip[0].String()}); err != nil { // it takes streamTime at most
			c.log.Debug("no exchange with a node", "id", n.ID, "error", err)
		}
	})
}
