package member

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/hashicorp/serf/coordinate"

	"cardea/relay/link"
	"cardea/relay/link/wire"
)

// How gossip is tuned; the package's documentation has the reckoning.
const (
	probeInterval = 500 * time.Millisecond
	probeTimeout  = 350 * time.Millisecond // then others are asked to try, while the answer may still come
	suspicionMult = 3
	suspicionMax  = 3 // times the least, while nobody confirms it
	retransmits   = 5 // times log10(n+1), rounded up
	// helpers is how many others are asked to try: some should be on this side of whatever is cut between here and there.
	helpers = 8
	// gossipInterval costs nothing while there is nothing to tell.
	gossipInterval = 100 * time.Millisecond
	gossipNodes    = 3
	pushPull       = 30 * time.Second
	// degraded bounds how much more time than probeInterval a node gives others while it suspects itself to be slow.
	degraded = 3
	// afterlife is how long the dead are told what is going on, so that they can object.
	afterlife = 30 * time.Second
	// reclaim is how long after its death a node may come back from another address; one that has left may at once.
	reclaim = time.Second
	// gossipPacket fits any path that carries IPv6, with room for tunnels.
	gossipPacket = 1200
	// streamTime bounds a gossip session over TCP.
	streamTime = 5 * time.Second
)

// gossip binds the gossip port and starts memberlist, which knows no node but this one yet.
func (c *Cluster) gossip(ctx context.Context, host string) error {
	if err := free(ctx, net.JoinHostPort(host, strconv.Itoa(int(c.cfg.GossipPort)))); err != nil {
		return fmt.Errorf("gossip port: %w", err)
	}
	m := c.member()
	var err error
	if c.keyring, err = memberlist.NewKeyring(m.ring.Keys, m.ring.Keys[0]); err != nil {
		return fmt.Errorf("gossip keys: %w", err)
	}
	cfg := memberlist.DefaultWANConfig()
	cfg.Name = string(c.id)
	cfg.Label = m.authority.cluster()
	cfg.Keyring = c.keyring
	cfg.BindAddr, cfg.BindPort = host, int(c.cfg.GossipPort)
	cfg.AdvertiseAddr, cfg.AdvertisePort = c.self.Gossip[0].Addr().String(), int(c.self.Gossip[0].Port())
	cfg.ProbeInterval, cfg.ProbeTimeout = probeInterval, probeTimeout
	cfg.SuspicionMult, cfg.SuspicionMaxTimeoutMult = suspicionMult, suspicionMax
	cfg.RetransmitMult = retransmits
	cfg.IndirectChecks = helpers
	cfg.GossipInterval, cfg.GossipNodes = gossipInterval, gossipNodes
	cfg.PushPullInterval = pushPull
	cfg.AwarenessMaxMultiplier = degraded
	cfg.GossipToTheDeadTime, cfg.DeadNodeReclaimTime = afterlife, reclaim
	cfg.UDPBufferSize = gossipPacket
	cfg.TCPTimeout = streamTime
	cfg.EnableCompression = false // metadata is mostly keys and signatures
	log := newGossipLog(c.log, &c.counters.rubbish)
	cfg.Logger = slog.NewLogLogger(log, slog.LevelInfo)
	c.news = &memberlist.TransmitLimitedQueue{NumNodes: func() int { return len(c.table.live()) + 1 }, RetransmitMult: retransmits}
	d := &delegate{c}
	cfg.Delegate, cfg.Events, cfg.Alive, cfg.Conflict, cfg.Ping = d, d, d, d, d
	if c.transport, err = newTransport(c, host, log); err != nil {
		return err
	}
	cfg.Transport = c.transport
	if c.list, err = memberlist.Create(cfg); err != nil {
		_ = c.transport.Shutdown()
		return fmt.Errorf("gossip: %w", err)
	}
	return nil
}

// free tells what is wrong with an address as the system says it, which memberlist does not pass on.
func free(ctx context.Context, address string) error {
	var l net.ListenConfig
	tcp, err := l.Listen(ctx, "tcp", address)
	if err != nil {
		return err
	}
	_ = tcp.Close()
	udp, err := l.ListenPacket(ctx, "udp", address)
	if err != nil {
		return err
	}
	return udp.Close()
}

// delegate is what memberlist calls, often with its lock held: nothing here waits or calls it back.
type delegate struct{ c *Cluster }

var (
	_ memberlist.Delegate         = (*delegate)(nil)
	_ memberlist.EventDelegate    = (*delegate)(nil)
	_ memberlist.AliveDelegate    = (*delegate)(nil)
	_ memberlist.ConflictDelegate = (*delegate)(nil)
	_ memberlist.PingDelegate     = (*delegate)(nil)
)

// NodeMeta returns this node's metadata.
func (d *delegate) NodeMeta(int) []byte {
	d.c.mu.Lock()
	defer d.c.mu.Unlock()
	return bytes.Clone(d.c.metadata)
}

// NotifyMsg hears news.
func (d *delegate) NotifyMsg(b []byte) { d.c.hear(b) }

// GetBroadcasts returns news to pass on.
func (d *delegate) GetBroadcasts(overhead, limit int) [][]byte {
	return d.c.news.GetBroadcasts(overhead, limit)
}

// LocalState returns all that news were about, for those who were away.
func (d *delegate) LocalState(bool) []byte {
	return wire.Marshal(&news{Expulsions: d.c.expulsions.all()})
}

// MergeRemoteState hears it.
func (d *delegate) MergeRemoteState(b []byte, _ bool) { d.c.hear(b) }

func place(n *memberlist.Node) netip.AddrPort {
	ip, _ := netip.AddrFromSlice(n.Addr)
	return netip.AddrPortFrom(ip.Unmap(), n.Port)
}

// NotifyAlive refuses news that its node has not signed.
func (d *delegate) NotifyAlive(n *memberlist.Node) error {
	err := d.c.table.admit(link.NodeID(n.Name), place(n), n.Meta)
	if err != nil && !errors.Is(err, ErrExpelled) {
		d.c.counters.forged.Add(1)
	}
	return err
}

// NotifyJoin and NotifyUpdate note what was admitted.
func (d *delegate) NotifyJoin(n *memberlist.Node) { d.c.arrived(link.NodeID(n.Name), n.Meta) }

// NotifyUpdate is as NotifyJoin.
func (d *delegate) NotifyUpdate(n *memberlist.Node) { d.c.arrived(link.NodeID(n.Name), n.Meta) }

// NotifyLeave notes that a node is dead or has left.
func (d *delegate) NotifyLeave(n *memberlist.Node) {
	if id := link.NodeID(n.Name); n.State == memberlist.StateLeft || !d.c.doubted(id) {
		d.c.undoubted(id)
		d.c.gone(id)
	}
}

// NotifyConflict hears of a live node's id at another address. If it is this node's, there may be two of it.
func (d *delegate) NotifyConflict(_, other *memberlist.Node) {
	if link.NodeID(other.Name) == d.c.id {
		d.c.suspectTwin(other.Meta)
	}
}

// AckPayload is the coordinate, which the one who asks measures itself by.
func (d *delegate) AckPayload() []byte { return packCoordinate(d.c.coordinates.GetCoordinate()) }

// NotifyPingComplete measures.
func (d *delegate) NotifyPingComplete(n *memberlist.Node, rtt time.Duration, payload []byte) {
	d.c.measured(link.NodeID(n.Name), rtt, parseCoordinate(payload))
}

// arrived notes that a node is there, or what is new of it.
func (c *Cluster) arrived(id link.NodeID, raw []byte) {
	if id == c.id {
		return
	}
	c.undoubted(id) // first: a doubt that is there lets the node go
	n, fresh, ok := c.table.arrived(id, raw)
	if !ok {
		return
	}
	if fresh {
		c.log.Info("node is there", "id", id, "name", n.Name, "region", n.Region, "addresses", n.Links)
	}
	c.mu.Lock()
	c.peers.saw(&n, c.now())
	c.changed = true
	c.mu.Unlock()
	c.tell()
	c.wakeUp()
}

// gone notes that a node is dead or has left.
func (c *Cluster) gone(id link.NodeID) {
	if n, ok := c.table.left(id); ok {
		c.buried(id, n)
	}
}

// buried has everybody know that a node is gone, which the table says.
func (c *Cluster) buried(id link.NodeID, n Node) {
	c.coordinates.ForgetNode(string(id))
	c.mu.Lock()
	delete(c.rtt, id)
	c.peers.saw(&n, c.now())
	c.changed, c.strayed = true, c.now()
	c.mu.Unlock()
	c.log.Info("node is gone", "id", id, "name", n.Name)
	c.tell()
}

// measured takes a round trip into account.
func (c *Cluster) measured(id link.NodeID, rtt time.Duration, other *coordinate.Coordinate) {
	if rtt <= 0 {
		return
	}
	c.mu.Lock()
	if old, ok := c.rtt[id]; ok {
		c.rtt[id] = old + (rtt-old)/4
	} else if _, live := c.table.node(id); live {
		c.rtt[id] = rtt
	}
	c.mu.Unlock()
	if other == nil {
		return
	}
	own, err := c.coordinates.Update(string(id), other, rtt)
	if err != nil {
		c.log.Debug("a coordinate is of no use", "from", id, "error", err)
		return
	}
	c.mu.Lock()
	c.self.Coordinate = own
	c.mu.Unlock()
}

// records returns where live nodes are, this one first, without one of them.
func (c *Cluster) records(except link.NodeID) []peerRecord {
	self := c.Self()
	all := []peerRecord{recordOf(self.ID, self.Links, self.Gossip)}
	for _, d := range c.table.live() {
		if d.ID != except && len(all) < maxReplyPeers {
			all = append(all, recordOf(d.ID, d.Links, d.Gossip))
		}
	}
	return all
}
