package mesh

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"sync"
	"testing"
	"time"

	"cardea/mesh/far"
	"cardea/mesh/member"
	"cardea/mesh/room"
	"cardea/relay"
	"cardea/relay/link"
	"cardea/relay/plane"
)

// newNode makes a node on an address of its own, with all planes or signaling alone, and runs it until the test ends.
func newNode(t *testing.T, address, region string, media bool, invitation ...string) *Mesh {
	t.Helper()
	at := netip.MustParseAddr(address)
	planes := member.Signaling
	if media {
		planes |= member.Media
	}
	cluster, err := member.Open(t.Context(), member.Config{
		Dir: t.TempDir(), Name: address, Region: region, Planes: planes, Bind: at, GossipPort: 7946, LinkPort: 7947, Join: invitation,
	})
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{Cluster: cluster, Listen: []netip.AddrPort{netip.AddrPortFrom(at, 7947)}, Signaling: true, Grace: time.Second, Log: slog.New(slog.DiscardHandler)}
	cfg.Report = func(ReportQuery) ([]byte, []RoomCount) { return nil, nil }
	ctx, stop := context.WithCancel(context.Background())
	var wait sync.WaitGroup
	t.Cleanup(func() { stop(); wait.Wait() })
	if media {
		if cfg.Media, err = relay.New(relay.Config{Addresses: []netip.Addr{at}, Port: 3478, Log: cfg.Log}); err != nil {
			t.Fatal(err)
		}
		wait.Go(func() { _ = cfg.Media.Run(ctx) })
	}
	m, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	wait.Go(func() {
		if err := m.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	return m
}

// invite returns an invitation of the node's.
func invite(t *testing.T, m *Mesh) string {
	t.Helper()
	text, err := m.cluster.Invite(t.Context(), member.Invitation{TTL: time.Minute, Uses: 1})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 20 s: %s", what)
		}
	}
}

// TestTwoNodes has a room on two nodes, and everybody know where its streams come from.
func TestTwoNodes(t *testing.T) {
	a := newNode(t, "127.0.8.1", "here", true)
	b := newNode(t, "127.0.8.2", "here", true, invite(t, a))
	for _, m := range []*Mesh{a, b} {
		await(t, "both are known", func() bool { return len(m.Nodes()) == 2 })
		if err := m.Meet(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	const name = "videoroom/5"
	if err := a.Rooms().Create(t.Context(), name, []byte("record"), false); err != nil {
		t.Fatal(err)
	}
	at, err := a.Open(t.Context(), name, room.Watcher{})
	if err != nil {
		t.Fatal(err)
	}
	defer at.Close()
	var mu sync.Mutex
	seen := map[string]string{}
	bt, err := b.Open(t.Context(), name, room.Watcher{
		Present: func(p string, body []byte) { mu.Lock(); defer mu.Unlock(); seen[p] = string(body) },
		Gone:    func(p, _ string) { mu.Lock(); defer mu.Unlock(); delete(seen, p) },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer bt.Close()
	if got := string(bt.Record()); got != "record" {
		t.Errorf("record %q", got)
	}
	has := func(want string) func() bool {
		return func() bool { mu.Lock(); defer mu.Unlock(); return seen["alice"] == want }
	}
	at.Put("alice", []byte("sings"))
	await(t, "alice is known", has("sings"))
	id := plane.StreamID{Room: name, Publisher: "alice", Mid: "0"}
	for _, m := range []*Mesh{a, b} {
		if at, ok := m.home(id); at != a.self || !ok {
			t.Errorf("her streams come from %q, %v", at, ok)
		}
	}
	at.Remove("alice", "left")
	await(t, "alice is gone", has(""))
	for i, s := range b.Nodes() {
		if s.Self != (s.ID == b.self) || i > 0 && s.ID < b.Nodes()[i-1].ID {
			t.Errorf("node %d: %+v", i, s)
		}
	}
}

// TestMediaElsewhere has a node without media: its clients' media is at the other, where nobody has the room open, and which
// has to find out by itself where streams come from.
func TestMediaElsewhere(t *testing.T) {
	a := newNode(t, "127.0.8.3", "here", true)
	b := newNode(t, "127.0.8.4", "there", false, invite(t, a))
	c := newNode(t, "127.0.8.5", "there", true, invite(t, a))
	for _, m := range []*Mesh{a, b, c} {
		await(t, "all are known", func() bool { return len(m.Nodes()) == 3 })
	}
	if got := b.choose(t.Context(), far.Wish{}); got != c.self {
		t.Errorf("media at %q, not at the node of the region", got)
	}
	if got := b.choose(t.Context(), far.Wish{Beside: a.self}); got != a.self {
		t.Errorf("media at %q, not beside the session's other media", got)
	}
	if got := b.choose(t.Context(), far.Wish{Not: []link.NodeID{a.self, c.self}}); got != "" {
		t.Errorf("media at %q, which refused", got)
	}
	if got := a.choose(t.Context(), far.Wish{}); got != a.self {
		t.Errorf("media at %q, not here", got)
	}

	const name = "videoroom/5"
	await(t, "the room is made", func() bool { return b.Rooms().Create(t.Context(), name, nil, false) == nil })
	bt, err := b.Open(t.Context(), name, room.Watcher{})
	if err != nil {
		t.Fatal(err)
	}
	defer bt.Close()
	await(t, "a media node is there", func() bool {
		_, err := b.Plane().Open(t.Context(), "peer", plane.PeerOptions{Session: "1"})
		return err == nil
	})
	id := plane.StreamID{Room: name, Publisher: "bob", Mid: "0"}
	if err := b.Plane().Publish(t.Context(), "peer", []plane.Publication{{Mid: "0", Stream: id}}); err != nil {
		t.Fatal(err)
	}
	bt.Put("bob", []byte("talks"))
	for _, m := range []*Mesh{a, b, c} {
		await(t, "everybody knows where bob's streams come from", func() bool {
			at, ok := m.home(id)
			return ok && at == c.self
		})
	}
	if err := b.Plane().Close(t.Context(), "peer"); err != nil {
		t.Error(err)
	}
}

// TestNearClient wants media to go where the node's operator says that it is nearer to the client, within what the mesh knows better.
func TestNearClient(t *testing.T) {
	a := newNode(t, "127.0.8.7", "here", true)
	b := newNode(t, "127.0.8.8", "there", true, invite(t, a))
	await(t, "both are known", func() bool { return len(a.Nodes()) == 2 })
	const client, stranger = "192.0.2.1", "192.0.2.2"
	var able []link.NodeID
	a.nearest = func(at netip.Addr, among []link.NodeID, otherwise link.NodeID) link.NodeID {
		able = among
		if otherwise != a.self {
			t.Errorf("otherwise at %q", otherwise)
		}
		if at.String() == client {
			return b.self
		}
		return ""
	}
	is := func(what string, w far.Wish, want link.NodeID, asked int) {
		t.Helper()
		able = nil
		if got := a.choose(t.Context(), w); got != want || len(able) != asked {
			t.Errorf("%s: media at %q, not %q; asked about %q", what, got, want, able)
		}
	}
	wish := far.Wish{Options: plane.PeerOptions{Client: client}}
	is("near the other", wish, b.self, 2)
	is("somewhere", far.Wish{Options: plane.PeerOptions{Client: stranger}}, a.self, 2)
	is("nowhere", far.Wish{}, a.self, 0)
	is("beside its other media", far.Wish{Options: wish.Options, Beside: a.self}, a.self, 0)
	is("after a refusal", far.Wish{Options: wish.Options, Not: []link.NodeID{b.self}}, a.self, 0)
	await(t, "the choice has made a link", func() bool { a.mu.RLock(); defer a.mu.RUnlock(); return a.live[b.self] != nil })
	b.cluster.Update(func(n *member.Node) { n.State = member.Draining })
	await(t, "the other drains", func() bool { n, _ := a.cluster.Node(b.self); return n.State == member.Draining })
	is("near one that drains", wish, a.self, 0)
	b.cluster.Update(func(n *member.Node) { n.State = member.Ready })
	await(t, "the other is back", func() bool { n, _ := a.cluster.Node(b.self); return n.State == member.Ready })
	is("near the other again", wish, b.self, 2)
	a.mu.Lock()
	a.failed[b.self] = time.Now()
	a.mu.Unlock()
	is("near one out of reach", wish, a.self, 1)
}

// TestNeverRun wants what New took to be free again.
func TestNeverRun(t *testing.T) {
	at := netip.MustParseAddr("127.0.8.6")
	for range 2 {
		cluster, err := member.Open(t.Context(), member.Config{Bind: at, GossipPort: 7946, LinkPort: 7947})
		if err != nil {
			t.Fatal(err)
		}
		m, err := New(Config{Cluster: cluster, Listen: []netip.AddrPort{netip.AddrPortFrom(at, 7947)}, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		if err := m.notify("nobody", 99, nil); !errors.Is(err, ErrNoLink) {
			t.Errorf("a notice to nobody: %v", err)
		}
		m.Close()
	}
}
