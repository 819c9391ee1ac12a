package geo

import (
	"sync"
	"time"
)

// Chooser chooses like [Choose], with the clients counted in that were sent to nodes since these last said how busy they are. It is
// safe for concurrent use. The zero Chooser is ready.
type Chooser struct {
	mu    sync.Mutex
	sent  map[string]*sent
	swept time.Time
}

const (
	// sentLasts is for how many seconds a client that was sent to a node counts if that node says nothing: after that it has come, and
	// does not change the node's load noticeably, or has not come.
	sentLasts = 30
	// sentRecently is for how many seconds it counts even though the node has said something: what it says is an average.
	sentRecently = 5
)

// sent counts the clients that were sent to one node, by the second.
type sent struct {
	load   float64 // as the node last said
	counts [sentLasts]int
	second int64 // the last one that counts holds, Unix time
}

// at moves on to a second; those of which nothing is known by then are empty.
func (s *sent) at(second int64) {
	if second-s.second >= sentLasts || s.second > second+sentLasts { // or the clock was set back
		s.counts, s.second = [sentLasts]int{}, second
		return
	}
	for s.second < second {
		s.second++
		s.counts[s.second%sentLasts] = 0
	}
}

// report takes what the node says of its load: what was sent before is in it, unless that was just now.
func (s *sent) report(load float64) {
	if load == s.load {
		return
	}
	s.load = load
	for age := int64(sentRecently); age < sentLasts; age++ {
		s.counts[(s.second-age+sentLasts)%sentLasts] = 0
	}
}

func (s *sent) total() (n int) {
	for _, c := range s.counts {
		n += c
	}
	return n
}

// Choose orders the nodes that take clients, the best for this one first. Whoever sends the client to one of them says so by
// [Chooser.Sent].
func (c *Chooser) Choose(now time.Time, q Query, nodes []Node) []Ranked {
	return choose(q, nodes, c.added(now, nodes))
}

// added returns what clients that were sent add to the load of nodes.
func (c *Chooser) added(now time.Time, nodes []Node) map[string]float64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sweep(now)
	added := make(map[string]float64, len(c.sent))
	for i := range nodes {
		n := &nodes[i]
		if s := c.sent[n.ID]; s != nil {
			s.at(now.Unix())
			s.report(n.Load)
			added[n.ID] = float64(s.total()) / n.capacity()
		}
	}
	return added
}

// Sent counts a client that was sent to a node, which said that its load is so much.
func (c *Chooser) Sent(now time.Time, n *Node) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.sent[n.ID]
	if s == nil {
		if c.sent == nil {
			c.sent = make(map[string]*sent)
		}
		s = &sent{load: n.Load, second: now.Unix()}
		c.sent[n.ID] = s
	}
	s.at(now.Unix())
	s.counts[s.second%sentLasts]++
}

// sweep forgets nodes that nobody was sent to for a while; mu is held.
func (c *Chooser) sweep(now time.Time) {
	if now.Sub(c.swept) < sentLasts*time.Second && !now.Before(c.swept) {
		return
	}
	c.swept = now
	for id, s := range c.sent {
		if s.at(now.Unix()); s.total() == 0 {
			delete(c.sent, id)
		}
	}
}
