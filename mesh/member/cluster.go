package member

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/hashicorp/serf/coordinate"

	"cardea/relay/link"
)

// Cluster is this node's view of all nodes, and its own entry. Make it with [Open]. It is safe for concurrent use.
type Cluster struct {
	cfg      Config
	log      *slog.Logger
	now      func() time.Time
	key      ed25519.PrivateKey
	id       link.NodeID
	instance uint64 // random
	started  time.Time
	storage  *storage
	first    string // invitation

	table       *table
	coordinates *coordinate.Client
	list        *memberlist.Memberlist // nil when alone
	keyring     *memberlist.Keyring
	transport   *transport
	admission   *admission // nil when alone
	finder      *finder
	counters    counters
	expulsions  expulsions
	news        *memberlist.TransmitLimitedQueue // nil when alone
	keeping     sync.Mutex                       // of those who write the expulsions

	membership atomic.Pointer[membership]
	memberMu   sync.Mutex // of those who replace membership

	mu       sync.Mutex // guards what follows
	self     Node
	sequence uint64 // of the last metadata
	metadata []byte // signed
	pace     pace
	peers    *peers
	kept     time.Time // when peers were last written
	changed  bool      // peers, since then
	rtt      map[link.NodeID]time.Duration
	watchers []func()
	doubts   map[link.NodeID]time.Time // nodes that gossip calls dead and that are heard, since when
	strayed  time.Time                 // when gossip last called a node dead

	vouch       func(link.NodeID) bool // set before Run
	nextRenewal time.Time              // owned by the loop
	expelledAt  time.Time              // when an expulsion last came up; owned by the loop
	nextOwed    time.Time              // when the loop may begin a rotation because of one; owned by it
	greeted     map[link.NodeID]bool   // owned by the loop
	nextRecount time.Time              // likewise

	wake   chan struct{} // something to publish
	notify chan struct{} // watchers
	jobs   jobs
	fatal  chan error // of capacity 1
	closed sync.Once
}

// Errors of [Open] and [Cluster.Run].
var (
	// ErrOtherCluster says that the invitation is to another cluster than the one that this node belongs to.
	ErrOtherCluster = errors.New("this node belongs to another cluster than the invitation")
	// ErrTwin says that another process has the same identity and is older, as happens when a data directory is copied.
	ErrTwin = errors.New("another node runs with a copy of this node's identity (node.key in the mesh directory)")
	// ErrJoin says that the configuration's mesh.join cannot be used.
	ErrJoin = errors.New("cannot join")
)

// Open makes the node a member: of the cluster that it belongs to, of the one it is invited to, or of a new one of its own. It
// binds both ports. The context bounds how long it tries to redeem an invitation. What Open returns must be run or closed.
func Open(ctx context.Context, cfg Config) (*Cluster, error) {
	c := &Cluster{
		cfg: cfg, log: cfg.Log, now: time.Now, instance: rand.Uint64(), started: time.Now(), greeted: map[link.NodeID]bool{},
		rtt: map[link.NodeID]time.Duration{}, doubts: map[link.NodeID]time.Time{}, wake: make(chan struct{}, 1), notify: make(chan struct{}, 1), fatal: make(chan error, 1),
	}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	if c.cfg.JoinTimeout <= 0 {
		c.cfg.JoinTimeout = defaultJoinTimeout
	}
	if c.cfg.Alone {
		c.cfg.Dir, c.cfg.Join, c.cfg.DNS, c.cfg.Redis = "", nil, "", ""
	}
	inv, seeds, err := splitJoin(c.cfg.Join)
	if err != nil {
		return nil, err
	}
	if err := c.openStorage(inv != nil); err != nil {
		return nil, err
	}
	if err := c.open(ctx, inv, seeds); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// openStorage opens the directory. Without one the node lives in memory, unless that would not be what was asked for.
func (c *Cluster) openStorage(invited bool) error {
	c.storage = &storage{}
	if c.cfg.Dir == "" {
		return nil
	}
	s, err := openStorage(c.cfg.Dir)
	switch {
	case err == nil:
		c.storage = s
	case c.cfg.Durable, errors.Is(err, ErrInUse) && invited, !errors.Is(err, ErrInUse) && holdsIdentity(c.cfg.Dir):
		return err
	default:
		c.log.Warn("no directory for the mesh: this node's identity and cluster last as long as the process", "error", err)
	}
	return nil
}

func (c *Cluster) open(ctx context.Context, inv *invitation, seeds []string) error {
	var err error
	if c.key, err = c.storage.key(); err != nil {
		return err
	}
	if inv != nil {
		if err := c.disown(); err != nil {
			return err
		}
	}
	c.id = idOf(c.public())
	c.table = newTable(c.id, func() *authority { return c.member().authority }, c.now)
	c.table.refuses = c.refuses
	if c.coordinates, err = coordinate.NewClient(coordinate.DefaultConfig()); err != nil {
		return fmt.Errorf("coordinates: %w", err)
	}
	var kept []peer
	if err := c.storage.readJSON(peersFile, &kept); err != nil {
		c.log.Warn("the remembered peers cannot be read", "error", err) // others may find this node
	}
	c.peers = newPeers(kept)
	made, err := c.enter(ctx, inv, len(kept) > 0)
	if err != nil {
		return err
	}
	c.recall()
	if c.finder, err = newFinder(c, seeds); err != nil {
		return err
	}
	if err := c.describe(); err != nil {
		return err
	}
	if c.cfg.Alone {
		return nil
	}
	if err := c.listen(ctx); err != nil {
		return err
	}
	first, err := c.invitesFirst(made)
	if err != nil {
		return err
	}
	if first {
		if c.first, err = c.invite(Invitation{TTL: firstTTL, Uses: firstUses}); err != nil {
			return err
		}
		if len(seeds) > 0 || c.cfg.DNS != "" || c.cfg.Redis != "" {
			c.log.Warn("addresses of other nodes are configured, but no invitation: this node begins a cluster of its own")
		}
	}
	return nil
}

// disown gives a node that was expelled, and is invited again, another identity: nobody takes the old one any more.
func (c *Cluster) disown() error {
	m, ok, err := c.storage.membership()
	if err != nil || !ok || !c.storage.outcast(m.authority, idOf(c.public()), c.now()) {
		return nil //nolint:nilerr // enter says so
	}
	c.key, err = c.storage.newKey()
	return err
}

// invitesFirst tells whether this is the first start of a lasting cluster that came so far: one that made the cluster may have failed.
func (c *Cluster) invitesFirst(made bool) (bool, error) {
	if !c.storage.durable() || c.member().authority.key == nil || len(c.peers.byID) > 0 {
		return false, nil
	}
	invited, err := c.storage.read(invitationsFile)
	return made || invited == nil, err
}

func (c *Cluster) public() ed25519.PublicKey {
	return c.key.Public().(ed25519.PublicKey) //nolint:forcetypeassert // of an Ed25519 key
}

func (c *Cluster) member() *membership { return c.membership.Load() }

// enter makes the node a member. made says that the cluster is new.
func (c *Cluster) enter(ctx context.Context, inv *invitation, known bool) (made bool, err error) {
	m, renewed, err := c.storage.standing(c.public(), inv, known, c.now())
	switch {
	case err != nil:
		return false, err
	case m != nil:
		if renewed {
			err = c.storage.saveMembership(*m)
		}
		c.membership.Store(m)
		return false, err
	case inv != nil:
		return false, c.redeem(ctx, *inv)
	}
	return true, c.found()
}

// found makes a cluster.
func (c *Cluster) found() error {
	a, err := newAuthority(c.now())
	if err != nil {
		return err
	}
	m := membership{authority: a}
	if m.credentials, err = a.issue(c.public(), c.now()); err != nil {
		return err
	}
	if m.ring, err = newRing(c.now()); err != nil {
		return err
	}
	if m.rawRing, err = m.ring.sign(a); err != nil {
		return err
	}
	c.membership.Store(&m)
	return c.storage.saveMembership(m)
}

// redeem joins by an invitation.
func (c *Cluster) redeem(ctx context.Context, inv invitation) error {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.JoinTimeout)
	defer cancel()
	c.log.Info("joining", "at", inv.Addresses, "within", c.cfg.JoinTimeout)
	j := joiner{inv: inv, key: c.key, local: c.cfg.Bind, now: c.now}
	m, peers, err := j.join(ctx)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrJoin, err)
	}
	if err := c.storage.saveMembership(m); err != nil {
		return err
	}
	c.membership.Store(&m)
	c.learn(j.expulsions)
	c.peers = newPeers(peers)
	return c.storage.writeJSON(peersFile, c.peers.kept())
}

// describe fills in this node's own entry.
func (c *Cluster) describe() error {
	c.self = Node{
		ID: c.id, Name: c.cfg.Name, Region: c.cfg.Region, Version: c.cfg.Version, Planes: c.cfg.Planes,
		Authority: c.member().authority.key != nil, Started: c.started, Coordinate: c.coordinates.GetCoordinate(),
	}
	if c.cfg.Alone {
		return nil
	}
	addresses, err := advertised(c.cfg)
	if err != nil {
		return err
	}
	for _, a := range addresses {
		c.self.Links = append(c.self.Links, netip.AddrPortFrom(a, c.cfg.LinkPort))
		c.self.Gossip = append(c.self.Gossip, netip.AddrPortFrom(a, c.cfg.GossipPort))
	}
	c.renewMetadata(0)
	return nil
}

// listen binds both ports and begins to gossip.
func (c *Cluster) listen(ctx context.Context) error {
	bind := c.cfg.Bind
	host := ""
	if bind.IsValid() && !bind.IsUnspecified() {
		host = bind.String()
	}
	a := &admission{c: c, limits: newLimiter(c.table.has), orders: newOrders()}
	if err := c.storage.readJSON(invitationsFile, &a.ledger.ledger); err != nil {
		return err
	}
	c.admission = a
	var err error
	if a.listener, err = (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort(host, fmt.Sprint(c.cfg.LinkPort))); err != nil {
		return fmt.Errorf("admission port: %w", err)
	}
	return c.gossip(ctx, host)
}

// Close releases a cluster that was never run.
func (c *Cluster) Close() {
	c.closed.Do(func() {
		if c.admission != nil && c.admission.listener != nil {
			_ = c.admission.listener.Close() // nothing was accepted
		}
		if c.list != nil {
			_ = c.list.Shutdown()
		}
		if c.finder != nil {
			c.finder.close()
		}
		c.storage.close()
	})
}

// Self returns this node's entry.
func (c *Cluster) Self() Node {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.self
}

// ID returns the cluster's id.
func (c *Cluster) ID() string { return c.member().authority.cluster() }

// Nodes returns the live nodes, this one included, sorted by id. A node that gossip takes for dead, or that has left, is not
// among them.
func (c *Cluster) Nodes() []Node {
	self := c.Self()
	all := []Node{self}
	for _, d := range c.table.live() {
		all = append(all, d.Node)
	}
	slices.SortFunc(all, func(a, b Node) int { return compareID(a.ID, b.ID) })
	return all
}

// Node returns a live node.
func (c *Cluster) Node(id link.NodeID) (Node, bool) {
	if id == c.id {
		return c.Self(), true
	}
	return c.table.node(id)
}

// Resolve returns where links reach a live node, nil if it is none; for [link.Config]. It does not wait.
func (c *Cluster) Resolve(id link.NodeID) []netip.AddrPort {
	n, _ := c.table.node(id)
	return n.Links
}

// RTT returns the round trip to a node as gossip measures it, smoothed; ok is false while it is not known.
func (c *Cluster) RTT(id link.NodeID) (rtt time.Duration, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	rtt, ok = c.rtt[id]
	return rtt, ok
}

// Stats returns what was counted.
func (c *Cluster) Stats() Stats { return c.counters.stats() }

// Sign signs content with this node's key, and returns the public part of that as well. Content begins with what the signature is for, so
// that it is good for nothing else.
func (c *Cluster) Sign(content []byte) (public, signature []byte) {
	return c.public(), ed25519.Sign(c.key, content)
}

// Verify tells whether a node that lives, as far as is known here, has signed content, and public is its key.
func (c *Cluster) Verify(by link.NodeID, public, content, signature []byte) bool {
	if len(public) != ed25519.PublicKeySize || idOf(public) != by || !ed25519.Verify(public, content, signature) {
		return false
	}
	_, member := c.Node(by)
	return member
}

// Footprint returns how many bytes this node adds to gossip: its metadata, of at most 512, and what its answer to a probe carries.
func (c *Cluster) Footprint() (metadata, answer int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.metadata), len(packCoordinate(c.coordinates.GetCoordinate()))
}

// Lonely tells whether this node remembers others and has met none of them.
func (c *Cluster) Lonely() bool {
	if len(c.table.live()) > 0 {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.peers.byID) > 0
}

// FirstInvitation returns an invitation for several nodes if this start has made a lasting cluster, else "".
func (c *Cluster) FirstInvitation() string { return c.first }

// Watch has f called after something changed: nodes that come or go, or what they say of themselves. Calls come one at a time
// while the cluster runs; changes may be joined in one. f must not wait.
func (c *Cluster) Watch(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.watchers = append(c.watchers, f)
}

// tell has the watchers called.
func (c *Cluster) tell() {
	select {
	case c.notify <- struct{}{}:
	default: // they will be
	}
}

// Update changes this node's entry: its load, state, planes, and so on, but not its id and addresses. State and planes are told
// to others at once (at most five times a second), load and coordinate when they have changed noticeably, every 10 s plus 0.4 s
// a node at most.
func (c *Cluster) Update(f func(*Node)) {
	c.mu.Lock()
	id, links, gossip := c.self.ID, c.self.Links, c.self.Gossip
	f(&c.self)
	c.self.ID, c.self.Links, c.self.Gossip = id, links, gossip
	c.mu.Unlock()
	c.tell()
	c.wakeUp()
}

// wakeUp has the run loop look at what is to be done.
func (c *Cluster) wakeUp() {
	select {
	case c.wake <- struct{}{}:
	default: // it will
	}
}
