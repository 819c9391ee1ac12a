package member

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"cardea/relay/link"
)

// Two goroutines of libraries find out a second late that they are not needed any more: a probe that is under way when
// memberlist ends, and the Redis client's look at a server that is away.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("github.com/hashicorp/memberlist.(*Memberlist).probeNode"),
		goleak.IgnoreAnyFunction("github.com/redis/go-redis/v9/internal/pool.(*ConnPool).tryDial"))
}

// nextHost numbers the loopback addresses of nodes, so that none is used twice and ports may be the real ones.
var nextHost atomic.Uint32

func host() netip.Addr {
	n := nextHost.Add(1)
	return netip.AddrFrom4([4]byte{127, 71, byte(n >> 8), byte(n)})
}

// testNode is a running node.
type testNode struct {
	*Cluster
	t    *testing.T
	stop context.CancelFunc
	done chan error
}

func config(t *testing.T) Config {
	return Config{
		Dir: t.TempDir(), Name: t.Name(), Region: "test", Version: "v0", Planes: Signaling | Media,
		Bind: host(), GossipPort: 7946, LinkPort: 7947, JoinTimeout: 5 * time.Second, Log: testLog(t),
	}
}

// testLog shows what nodes log with CARDEA_TEST_LOG=debug.
func testLog(t *testing.T) *slog.Logger {
	var level slog.Level
	if level.UnmarshalText([]byte(os.Getenv("CARDEA_TEST_LOG"))) != nil {
		return nil
	}
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: level})).With("test", t.Name())
}

// start opens and runs a node until the test ends.
func start(t *testing.T, cfg Config) *testNode {
	t.Helper()
	c, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	return run(t, c)
}

func run(t *testing.T, c *Cluster) *testNode {
	ctx, cancel := context.WithCancel(context.Background())
	n := &testNode{c, t, cancel, make(chan error, 1)}
	go func() { n.done <- c.Run(ctx) }()
	t.Cleanup(n.end)
	return n
}

// end stops the node cleanly.
func (n *testNode) end() {
	n.stop()
	select {
	case err := <-n.done:
		n.done <- nil // it may be ended again
		if err != nil {
			n.t.Errorf("Run: %v", err)
		}
	case <-time.After(10 * time.Second):
		n.t.Error("Run does not end")
	}
}

// join starts a node with an invitation.
func join(t *testing.T, invitation string) *testNode {
	t.Helper()
	cfg := config(t)
	cfg.Join = []string{invitation}
	return start(t, cfg)
}

// invitation returns one of a node.
func (n *testNode) invitation(i Invitation) string {
	n.t.Helper()
	if i.TTL == 0 {
		i.TTL = time.Hour
	}
	if i.Uses == 0 {
		i.Uses = 1
	}
	text, err := n.Invite(n.t.Context(), i)
	if err != nil {
		n.t.Fatalf("invite: %v", err)
	}
	return text
}

// cluster starts n nodes that know each other.
func cluster(t *testing.T, n int) []*testNode {
	t.Helper()
	nodes := []*testNode{start(t, config(t))}
	for range n - 1 {
		nodes = append(nodes, join(t, nodes[0].invitation(Invitation{})))
	}
	together(t, nodes...)
	return nodes
}

// eventually polls until f returns "", and fails with what it returned last.
func eventually(t *testing.T, within time.Duration, f func() string) {
	t.Helper()
	deadline := time.Now().Add(within)
	for {
		what := f()
		if what == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", within, what)
		}
		<-time.After(10 * time.Millisecond)
	}
}

// together waits until each node knows exactly these.
func together(t *testing.T, nodes ...*testNode) {
	t.Helper()
	var want []link.NodeID
	for _, n := range nodes {
		want = append(want, n.Self().ID)
	}
	slices.Sort(want)
	eventually(t, 15*time.Second, func() string {
		for _, n := range nodes {
			var got []link.NodeID
			for _, o := range n.Nodes() {
				got = append(got, o.ID)
			}
			if !slices.Equal(got, want) {
				return fmt.Sprintf("%s knows %v, not %v", n.Self().ID, got, want)
			}
		}
		return ""
	})
}

// failing opens a node that must not start, and returns why.
func failing(t *testing.T, cfg Config) error {
	t.Helper()
	c, err := Open(t.Context(), cfg)
	if err == nil {
		c.Close()
		t.Fatal("it opened")
	}
	if strings.Contains(err.Error(), InvitationPrefix) {
		t.Errorf("the invitation shows in %v", err)
	}
	return err
}

func mustAddrPort(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

func mustIP(i int) string { return netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}).String() }

func isLoopback(a netip.Addr) bool { return a.IsLoopback() }
