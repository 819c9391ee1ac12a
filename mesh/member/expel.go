package member

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hashicorp/memberlist"
	"golang.org/x/time/rate"

	"cardea/relay/link"
	"cardea/relay/link/wire"
)

const (
	// hurriedKeyLife takes the place of oldKeyLife while an expulsion is young: who was expelled still has the old key.
	hurriedKeyLife = 3 * time.Second
	// holderTime is how long the node that ordered an expulsion has to begin with new gossip keys, until another one does.
	holderTime = 10 * time.Second
	// owedPause lies between rotations that one node begins because of expulsions that the keys do not know of.
	owedPause = 10 * time.Minute
	// Expulsions ordered by members that could not do it themselves: one that has gone wrong must not be able to expel everybody.
	orderEvery, orderBurst = 10 * time.Minute, 3
	// maxOrdered leaves room for those of an operator at a node that holds the authority's key.
	maxOrdered = maxExpulsions / 4
)

// Why an expulsion is refused.
var (
	ErrExpelSelf     = errors.New("this node does not expel itself: ask another one")
	ErrLastAuthority = errors.New("it is the only node there that holds the authority's key, which expulsions are signed with")

	errHolder = errors.New("it holds the authority's key: ask another node that holds it, too (* in the list of nodes)")
)

// Expel ends a node's membership for good: nobody talks to it any more, it gets no new certificate, all open invitations are void, and the
// gossip keys are replaced by ones that it is not given. It need not be there. A node without the authority's key hands the order
// to one that has it; one that has it can be expelled only by such nodes. Expel returns once all live nodes use the new keys, or,
// when the context ends after the order was taken, with those that do not yet: they get them as soon as they can be reached. Expelling
// a node again is no error.
func (c *Cluster) Expel(ctx context.Context, id link.NodeID) (behind []link.NodeID, err error) {
	if c.admission == nil {
		return nil, errAlone
	}
	if c.Expelled() {
		return nil, fmt.Errorf("this node was itself %w", ErrExpelled)
	}
	err = c.expel(id)
	if errors.Is(err, errNoAuthority) {
		err = c.orderExpulsion(ctx, id)
	}
	if err != nil {
		return nil, err
	}
	t := time.NewTicker(tick)
	defer t.Stop()
	for {
		r := c.member().ring
		behind = c.older(r.Serial)
		if len(behind) == 0 && r.Phase != spreading && r.withheld(c.expulsions.ids()) {
			return nil, nil
		}
		select {
		case <-t.C:
		case <-ctx.Done():
			if len(behind) == 0 {
				behind = []link.NodeID{c.id}
			}
			return behind, nil
		}
	}
}

// Expelled tells whether this node was expelled itself. It is alone then, and stays so.
func (c *Cluster) Expelled() bool { return c.expulsions.has(c.id) }

// expel expels a node by the authority's key.
func (c *Cluster) expel(id link.NodeID) error {
	a := c.member().authority
	switch {
	case id == c.id:
		return ErrExpelSelf
	case c.expulsions.has(id):
		return nil
	case len(c.expulsions.all()) >= maxExpulsions/2:
		return errManyExpulsions
	}
	raw, err := newExpulsion(a, id, c.now())
	if err != nil {
		return err
	}
	// From here on it is in force. Whoever is asked for a ring looks here afterwards, so the new one never goes to the expelled.
	if _, err := c.expulsions.take(raw, a, false, c.now()); err != nil {
		return err
	}
	c.voidInvitations()
	c.keepExpulsions()
	c.wakeUp()
	if err := c.withhold(); err != nil {
		return fmt.Errorf("%s is expelled, but can gossip until the keys are rotated: %w", id, err)
	}
	return nil
}

// orderExpulsion hands the order to a node with the authority's key.
func (c *Cluster) orderExpulsion(ctx context.Context, id link.NodeID) error {
	if id == c.id {
		return ErrExpelSelf
	}
	if c.holds(id) {
		if !slices.ContainsFunc(c.table.live(), func(d described) bool { return d.Authority && d.ID != id }) {
			return ErrLastAuthority
		}
		return errHolder
	}
	if _, err := c.askHolder(ctx, &request{Expel: &expelRequest{string(id)}}); err != nil {
		return err
	}
	if !c.expulsions.has(id) { // ask has taken what the answer brought
		return errors.New("an answer to something else")
	}
	return nil
}

// holds tells whether a node holds the authority's key, or did when it was last there: who has others take it for dead shall not have it expelled.
func (c *Cluster) holds(id link.NodeID) bool {
	if n, ok := c.table.node(id); ok {
		return n.Authority
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.peers.byID[id]
	return p != nil && p.Authority
}

// newOrders bounds what [admission.expel] obeys.
func newOrders() *rate.Limiter { return rate.NewLimiter(rate.Every(orderEvery), orderBurst) }

// expel obeys another member, within bounds.
func (a *admission) expel(from, id link.NodeID) error {
	known := a.c.expulsions.has(id)
	switch {
	case known:
	case a.c.holds(id):
		return errHolder
	case len(a.c.expulsions.all()) >= maxOrdered:
		return errManyExpulsions
	}
	if !known && !a.orders.AllowN(a.c.now(), 1) {
		return errors.New("too many nodes were expelled of late by order of others: ask a node that holds the authority's key")
	}
	a.c.log.Info("asked to expel a node", "id", id, "asked_by", from)
	return a.c.expel(id)
}

// withhold begins a rotation to a gossip key that the expelled do not get, whatever rotation is under way.
func (c *Cluster) withhold() error {
	key, err := newGossipKey()
	if err != nil {
		return err
	}
	c.memberMu.Lock()
	defer c.memberMu.Unlock()
	r := c.member().ring.withhold(key, c.expulsions.ids(), c.now())
	c.log.Info("gossip keys: spreading one that the expelled do not get", "serial", r.Serial)
	return c.install(r)
}

// learn takes in expulsions that somebody passes on. It does not wait.
func (c *Cluster) learn(raw [][]byte) {
	for _, r := range raw[:min(len(raw), maxExpulsions)] {
		fresh, err := c.expulsions.take(r, c.member().authority, false, c.now())
		if err != nil && !errors.Is(err, errExpulsionOver) {
			c.log.Debug("an expulsion that is none", "error", err)
		}
		if fresh {
			c.wakeUp()
		}
	}
}

// carryOut does what follows from expulsions that came up. It is the loop's.
func (c *Cluster) carryOut() {
	fresh, over := c.expulsions.news(), c.expulsions.expire(c.now())
	if len(fresh) > 0 {
		c.voidInvitations() // first: after a crash in between the expulsions are learned again, and void them again
	}
	if len(fresh) > 0 || over {
		c.keepExpulsions()
	}
	if len(fresh) == 0 {
		return
	}
	c.expelledAt, c.nextOwed = c.now(), c.now().Add(holderTime)
	if c.Expelled() {
		c.castOut()
		return
	}
	for _, id := range fresh {
		name := c.forsake(id)
		c.log.Warn("node is expelled", "id", id, "name", name)
		c.news.QueueBroadcast(tale(wire.Marshal(&news{Expulsions: [][]byte{c.expulsions.of(id)}})))
	}
	c.tell()
}

// voidInvitations ends those of this node that are open.
func (c *Cluster) voidInvitations() {
	if n, err := c.admission.void(); err != nil {
		c.log.Error("the end of open invitations cannot be kept", "error", err)
	} else if n > 0 {
		c.log.Warn("open invitations of this node are void: the expelled may know them", "invitations", n)
	}
}

// castOut is the end of this node's membership.
func (c *Cluster) castOut() {
	c.log.Error("this node was expelled from its cluster: it is alone and takes no new clients (to have it back, remove its identity and start it with a new invitation)",
		"cluster", c.ID(), "identity", c.cfg.Dir)
	for _, d := range c.table.live() {
		c.forsake(d.ID)
	}
	c.mu.Lock()
	c.peers.setSeeds(nil)
	c.peers.byID = map[link.NodeID]*peer{}
	c.changed = true
	c.mu.Unlock()
	c.tell()
}

// forsake lets go of a node that this one has nothing to do with any more, and returns its name if it was there.
func (c *Cluster) forsake(id link.NodeID) string {
	c.undoubted(id)
	n, _ := c.table.left(id)
	c.coordinates.ForgetNode(string(id))
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.rtt, id)
	delete(c.peers.byID, id)
	c.changed = true
	return n.Name
}

// refuses tells whether news of a node are none of this node's business. It does not wait.
func (c *Cluster) refuses(id link.NodeID) bool {
	return c.expulsions.has(id) || c.Expelled() && id != c.id
}

// void ends all invitations that are open, and returns how many there were.
func (a *admission) void() (int, error) {
	a.ledger.Lock()
	defer a.ledger.Unlock()
	n := len(a.ledger.Open)
	if n == 0 {
		return 0, nil
	}
	a.ledger.Open = nil
	return n, a.c.storage.writeJSON(invitationsFile, a.ledger.ledger)
}

// keepExpulsions writes them.
func (c *Cluster) keepExpulsions() {
	c.keeping.Lock()
	defer c.keeping.Unlock()
	if err := c.storage.writeJSON(expulsionsFile, c.expulsions.all()); err != nil {
		c.log.Error("the expulsions cannot be kept; they hold while this node runs, and others know them", "error", err)
	}
}

// recall reads the expulsions that were kept.
func (c *Cluster) recall() {
	var kept [][]byte
	if err := c.storage.readJSON(expulsionsFile, &kept); err != nil {
		c.log.Error("the expulsions that were kept cannot be read; others know them", "error", err)
	}
	for _, raw := range kept {
		_, _ = c.expulsions.take(raw, c.member().authority, true, c.now()) // those that are over, or another cluster's, stay behind
	}
	for _, x := range c.expulsions.sorted() {
		delete(c.peers.byID, x.id)
	}
}

// outcast tells whether the node with an id is known on disk to be expelled from its cluster.
func (s *storage) outcast(a *authority, id link.NodeID, now time.Time) bool {
	var kept [][]byte
	_ = s.readJSON(expulsionsFile, &kept) // others will say so
	return slices.ContainsFunc(kept, func(raw []byte) bool {
		x, err := parseExpulsion(raw, a, now)
		return err == nil && x.id == id
	})
}

// news is what members tell each other in gossip beside what memberlist does. Numbers are never reused; what is unknown is skipped.
type news struct {
	Expulsions [][]byte `pb:"1"`
}

// tale is a piece of news that goes around.
type tale []byte

var _ memberlist.Broadcast = tale{}

// Invalidates says that no piece of news replaces another.
func (tale) Invalidates(memberlist.Broadcast) bool { return false }

// Message returns it.
func (t tale) Message() []byte { return t }

// Finished has nothing to do.
func (tale) Finished() {}

// hear takes in news.
func (c *Cluster) hear(b []byte) {
	var n news
	if len(b) > 0 && wire.Unmarshal(b, &n) == nil {
		c.learn(n.Expulsions)
	}
}
