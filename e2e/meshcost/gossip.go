package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"github.com/hashicorp/memberlist"

	"cardea/mesh/member"
)

// few and many are the sizes of groups between which the difference is taken.
const few, many = 12, 36

// measureGossip runs memberlist with what mesh/member gives it over a network in memory.
func measureGossip(ctx context.Context, _ use, s *sizes) error {
	ports, err := freePorts(ctx)
	if err != nil {
		return err
	}
	c, err := member.Open(ctx, member.Config{
		Name: "frankfurt-1.example.org", Region: "eu-central", Version: "v1.2.3", Planes: member.Signaling | member.Media | member.TURN,
		Bind: netip.AddrFrom4([4]byte{127, 0, 0, 1}), GossipPort: ports[0], LinkPort: ports[1],
	})
	if err != nil {
		return err
	}
	metadata, answer := c.Footprint()
	c.Close()
	if err := (&group{label: c.ID(), metadata: metadata, answer: answer}).probes(ctx, s); err != nil {
		return err
	}
	return (&group{label: c.ID(), metadata: metadata, answer: answer}).states(ctx, s)
}

func freePorts(ctx context.Context) (ports [2]uint16, err error) {
	for i := range ports {
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return ports, err
		}
		defer l.Close()
		ports[i] = netip.MustParseAddrPort(l.Addr().String()).Port()
	}
	return ports, nil
}

// group is some memberlists that only differ from mesh/member's in how often they do things.
type group struct {
	label            string
	metadata, answer int // bytes of what mesh/member adds
	network          network
	members          []*memberlist.Memberlist
}

// join adds a member, and returns the bytes of the exchange of states with the first one that it begins with.
func (g *group) join(ctx context.Context, probe time.Duration) (float64, error) {
	name := string(nodeID(len(g.members)))
	cfg := memberlist.DefaultWANConfig()
	cfg.Name, cfg.Label, cfg.SecretKey, cfg.EnableCompression = name, g.label, make([]byte, 32), false
	cfg.ProbeInterval, cfg.ProbeTimeout, cfg.GossipInterval, cfg.PushPullInterval = probe, probe, 5*time.Millisecond, 0
	cfg.SuspicionMult, cfg.DisableTcpPings = 10_000, true // a slow machine is no reason to take anybody for dead
	cfg.UDPBufferSize = 1200
	cfg.Delegate, cfg.Ping = &told{make([]byte, g.metadata)}, &asked{make([]byte, g.answer)}
	cfg.Logger = slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo)
	cfg.Transport = g.network.end()
	list, err := memberlist.Create(cfg)
	if err != nil {
		return 0, err
	}
	g.members = append(g.members, list)
	first, before := g.members[0], g.network.streams.Load()
	if first == list {
		return 0, nil
	}
	if _, err := list.Join([]string{first.LocalNode().Address()}); err != nil {
		return 0, fmt.Errorf("join: %w", err)
	}
	return float64(g.network.streams.Load() - before), until(ctx, "a member's arrival", func() bool { return first.NumMembers() == len(g.members) })
}

// quiet waits until nothing is told any more.
func (g *group) quiet(ctx context.Context) error {
	seen, since := int64(-1), time.Now()
	return until(ctx, "silence", func() bool {
		if n := g.network.bytes.Load(); n != seen {
			seen, since = n, time.Now()
		}
		return time.Since(since) > 200*time.Millisecond
	})
}

func (g *group) leave() {
	for _, m := range g.members {
		_ = m.Shutdown() // of memory
	}
	g.members = nil
}

// probes lets two members probe each other for a second.
func (g *group) probes(ctx context.Context, s *sizes) error {
	defer g.leave()
	for range 2 {
		if _, err := g.join(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
	if err := pause(ctx, time.Second); err != nil { // then they have told each other all that is new
		return err
	}
	packets, bytes := g.network.packets.Load(), g.network.bytes.Load()
	err := until(ctx, "a probe", func() bool { return g.network.packets.Load() >= packets+20 })
	s.probe = 2 * float64(g.network.bytes.Load()-bytes) / float64(g.network.packets.Load()-packets)
	return err
}

// states lets more and more members exchange their states, and one tell news.
func (g *group) states(ctx context.Context, s *sizes) error {
	defer g.leave()
	var bytes, memory [2]float64
	before := heap()
	for i, n := range []int{few, many} {
		for len(g.members) < n {
			var err error
			if bytes[i], err = g.join(ctx, time.Hour); err != nil {
				return err
			}
		}
		if err := g.quiet(ctx); err != nil {
			return err
		}
		memory[i] = heap() - before
	}
	// The first member has given the last one the states of all. Each member keeps something for itself and something of each.
	s.state = (bytes[1] - bytes[0]) / (many - few)
	s.nodeMemory += max(memory[1]/many-memory[0]/few, 0) / (many - few)

	g.network.longest.Store(0)
	if err := g.members[0].UpdateNode(time.Second); err != nil {
		return err
	}
	if err := g.quiet(ctx); err != nil {
		return err
	}
	s.update = float64(g.network.longest.Load())
	return nil
}

// told is what a member says of itself.
type told struct{ metadata []byte }

// NodeMeta is the metadata.
func (d *told) NodeMeta(int) []byte { return d.metadata }

// NotifyMsg is never called.
func (d *told) NotifyMsg([]byte) {}

// GetBroadcasts has none.
func (d *told) GetBroadcasts(int, int) [][]byte { return nil }

// LocalState is empty.
func (d *told) LocalState(bool) []byte { return nil }

// MergeRemoteState has nothing to merge.
func (d *told) MergeRemoteState([]byte, bool) {}

// asked is what an answer to a probe carries.
type asked struct{ coordinate []byte }

// AckPayload is the coordinate.
func (a *asked) AckPayload() []byte { return a.coordinate }

// NotifyPingComplete has nothing to note.
func (a *asked) NotifyPingComplete(*memberlist.Node, time.Duration, []byte) {}
