package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"time"

	"cardea/mesh"
	"cardea/mesh/member"
	"cardea/mesh/pull"
	"cardea/node/config"
	"cardea/node/console"
)

// joinMesh makes the node a member of its mesh, or of one of its own, and opens the ports for other nodes.
func (n *Node) joinMesh(ctx context.Context) error {
	log := n.log.With("plane", "mesh")
	mc := memberConfig(n.cfg, n.name)
	mc.Log = log
	cluster, err := member.Open(ctx, mc)
	if err != nil {
		return meshPortError(n.cfg, err)
	}
	n.cluster = cluster
	listen, err := linkAddresses(n.cfg)
	if err != nil {
		cluster.Close()
		return err
	}
	if n.mesh, err = mesh.New(mesh.Config{
		Cluster: cluster, Listen: listen, Media: n.media, Signaling: n.cfg.Node.Has(config.PlaneSignaling), Nearest: n.nearMedia(),
		Grace: n.cfg.Janus.ReclaimSessionTimeout + claimMargin, Store: n.keeper.store(), Drain: n.orderDrain, Report: n.report, Log: log,
	}); err != nil {
		cluster.Close()
		return meshPortError(n.cfg, err)
	}
	n.heedExpulsion()
	n.exportMesh()
	n.services = append(n.services,
		service{"mesh", n.mesh.Run},
		service{"load to tell", n.tellLoad},
	)
	return nil
}

// memberConfig says who the node is among others.
func memberConfig(cfg *config.Config, name string) member.Config {
	c := cfg.Mesh
	mc := member.Config{
		Dir: meshDir(cfg), Alone: !c.Enabled,
		Durable: cfg.Node.DataDir != config.Default().Node.DataDir, // who names a directory wants it used
		Name:    name, Region: cfg.Node.Region, Version: Version(), Planes: planesOf(cfg),
		Bind: meshBind(cfg), GossipPort: c.GossipPort, LinkPort: c.LinkPort, Advertise: meshAdvertise(cfg),
		DNS: c.DNS, Redis: string(c.Redis),
	}
	for _, j := range c.Join {
		mc.Join = append(mc.Join, string(j))
	}
	return mc
}

// claimMargin is what clients need beside the time to claim their sessions: to notice, to find another node, and to ask.
const claimMargin = 10 * time.Second

func planesOf(cfg *config.Config) (p member.Planes) {
	if cfg.Node.Has(config.PlaneSignaling) {
		p |= member.Signaling
	}
	if cfg.Node.Has(config.PlaneMedia) {
		p |= member.Media
	}
	if cfg.ServesTURN() {
		p |= member.TURN
	}
	return p
}

// meshPortError says what to do about a port that is taken.
func meshPortError(cfg *config.Config, err error) error {
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("%w: mesh.gossip_port, mesh.link_port: %w%s", ErrPort, err, portHint(meshBind(cfg), err))
	}
	return err
}

// meshBind returns the address that is listened on for other nodes; not valid for all.
func meshBind(cfg *config.Config) netip.Addr {
	if cfg.Mesh.Address.IsValid() {
		return cfg.Mesh.Address
	}
	return cfg.Node.Bind
}

// meshAdvertise returns the addresses under which other nodes reach this one, when those it has are not.
func meshAdvertise(cfg *config.Config) []netip.Addr {
	if len(cfg.Mesh.Advertise) > 0 {
		return cfg.Mesh.Advertise
	}
	var public []netip.Addr
	for _, m := range cfg.Node.Advertise {
		public = append(public, m.Public)
	}
	return public
}

// linkAddresses returns where links are listened for: without a choice at all addresses, of both families as far as the host has
// them, so that its routes decide which is used.
func linkAddresses(cfg *config.Config) ([]netip.AddrPort, error) {
	if !cfg.Mesh.Enabled {
		return nil, nil
	}
	if a := meshBind(cfg); a.IsValid() && !a.IsUnspecified() {
		return []netip.AddrPort{netip.AddrPortFrom(a, cfg.Mesh.LinkPort)}, nil
	}
	found, err := net.InterfaceAddrs()
	if err != nil {
		return nil, fmt.Errorf("list the host's addresses: %w", err)
	}
	var all []netip.AddrPort
	for _, a := range []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()} {
		if b := meshBind(cfg); b.IsValid() && b.Is4() != a.Is4() {
			continue
		}
		for _, f := range found {
			if p, err := netip.ParsePrefix(f.String()); err == nil && p.Addr().Is4() == a.Is4() {
				all = append(all, netip.AddrPortFrom(a, cfg.Mesh.LinkPort))
				break
			}
		}
	}
	return all, nil
}

// tellInterval is how often the node's load is told to the others; they are told of what has changed noticeably.
const tellInterval = 5 * time.Second

// tellLoad tells the others how busy this node is, and that it goes when it does.
func (n *Node) tellLoad(ctx context.Context) error {
	clock := time.NewTicker(tellInterval)
	defer clock.Stop()
	for {
		select {
		case <-ctx.Done():
			n.cluster.Update(func(m *member.Node) { m.State = member.Draining })
			n.handOver()
			return nil
		case <-clock.C:
			load := n.load.Load().told()
			n.cluster.Update(func(m *member.Node) { m.Load = load })
		}
	}
}

// handOverTime is how long a node that stops goes on to pass streams on to others, which look for another way meanwhile, and at most
// half of the time that stopping may take.
const handOverTime = 4 * time.Second

// handOver waits until no other node takes streams from this one any more.
func (n *Node) handOver() {
	deadline := time.After(min(handOverTime, n.cfg.Node.StopTimeout/2))
	look := time.NewTicker(50 * time.Millisecond)
	defer look.Stop()
	for n.mesh.Flow().Exports > 0 {
		select {
		case <-look.C:
		case <-deadline:
			return
		}
	}
}

// consoleMesh is what the console shows and does of the mesh.
func (n *Node) consoleMesh() *console.Mesh {
	return &console.Mesh{
		Nodes:   func() []console.MeshNode { return meshNodes(n.mesh.Nodes()) },
		Streams: func(ctx context.Context) []console.MeshStream { return meshStreams(n.mesh.Pulled(ctx)) },
		Invite: func(ctx context.Context, r console.InviteRequest) (string, error) {
			return n.cluster.Invite(ctx, member.Invitation{TTL: time.Duration(r.TTLSeconds) * time.Second, Uses: r.Uses, Authority: r.Authority})
		},
		RotateKeys: func(ctx context.Context) error { return n.cluster.RotateKey(ctx) },
		Drain:      n.consoleDrain,
		Expel:      n.consoleExpel,
		Overview:   n.overview,
	}
}

func meshNodes(all []mesh.Status) []console.MeshNode {
	nodes := make([]console.MeshNode, 0, len(all))
	for i := range all {
		s := &all[i]
		c := console.MeshNode{
			ID: string(s.ID), Name: s.Name, Region: s.Region, Version: s.Version, State: s.State.String(), Self: s.Self,
			Authority: s.Authority, Planes: s.Planes.Names(), Load: s.Load, Started: s.Started, Linked: s.Linked,
			SentBytes: s.Sent, ReceivedBytes: s.Received,
		}
		for _, a := range s.Links {
			c.Addresses = append(c.Addresses, a.String())
		}
		if s.RTT > 0 {
			ms := float64(s.RTT) / float64(time.Millisecond)
			c.RTTMS = &ms
		}
		if s.Linked {
			c.Loss = &s.Loss
		}
		nodes = append(nodes, c)
	}
	named := make([]*console.MeshNode, 0, len(nodes))
	for i := range nodes {
		named = append(named, &nodes[i])
	}
	console.NameNodes(named)
	return nodes
}

// named finds a live node by its id, the beginning of it, its name, or its name as lists show it; "" is this one.
func (n *Node) named(name string) (console.MeshNode, error) {
	return findNode(meshNodes(n.mesh.Nodes()), name)
}

// maxCandidates is how many nodes are listed that a name may mean.
const maxCandidates = 8

func findNode(all []console.MeshNode, name string) (console.MeshNode, error) {
	var found []console.MeshNode
	for _, m := range all {
		if name == "" && m.Self || m.ID == name {
			return m, nil
		}
		if name != "" && (m.Name == name || m.Label == name || strings.HasPrefix(m.ID, name)) {
			found = append(found, m)
		}
	}
	switch len(found) {
	case 0:
		return console.MeshNode{}, fmt.Errorf("no node %q", name)
	case 1:
		return found[0], nil
	}
	var candidates []string
	for _, m := range found[:min(len(found), maxCandidates)] {
		where := strings.Join(m.Addresses, " ")
		if m.Self {
			where = strings.TrimSpace(where + ", the node asked")
		}
		candidates = append(candidates, fmt.Sprintf("%s %s at %s", m.ID, m.Name, where))
	}
	if more := len(found) - len(candidates); more > 0 {
		candidates = append(candidates, fmt.Sprintf("%d more", more))
	}
	return console.MeshNode{}, fmt.Errorf("several nodes are called %q; say the id, or enough of its beginning: %s", name, strings.Join(candidates, "; "))
}

func meshStreams(all []pull.Pulled) []console.MeshStream {
	streams := make([]console.MeshStream, 0, len(all))
	for _, p := range all {
		s := console.MeshStream{Room: p.ID.Room, Publisher: p.ID.Publisher, Mid: p.ID.Mid}
		for _, id := range p.Path {
			s.Path = append(s.Path, string(id))
		}
		streams = append(streams, s)
	}
	slices.SortFunc(streams, func(a, b console.MeshStream) int {
		return cmp.Or(cmp.Compare(a.Room, b.Room), cmp.Compare(a.Publisher, b.Publisher), cmp.Compare(a.Mid, b.Mid))
	})
	return streams
}
