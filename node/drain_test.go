package node

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"cardea/mesh"
	"cardea/mesh/member"
)

// becomes waits until the node takes clients, or does not.
func becomes(t *testing.T, n *Node, ready bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); (n.notReady() == nil) != ready; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("ready: %v", n.notReady())
		}
	}
}

// TestAlone wants a node without others to stop at once when it is told to: who waits for its clients to go elsewhere waits in vain.
func TestAlone(t *testing.T) {
	n, _ := listen(t, "127.0.7.31")
	signals := make(chan os.Signal, 1)
	n.services = append(n.services, service{"signals", func(ctx context.Context) error { return n.terminateOn(ctx, signals) }})
	done := make(chan error, 1)
	go func() { done <- n.Serve(t.Context()) }()
	becomes(t, n, true)
	signals <- syscall.SIGTERM
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("it goes on")
	}
}

// TestOrdersAtOnce gives a node both orders at the same time: whichever comes last, the node does what it tells others.
func TestOrdersAtOnce(t *testing.T) {
	n, _ := listen(t, "127.0.7.33")
	defer n.Close()
	for range 500 {
		var orders sync.WaitGroup
		for range 8 {
			orders.Go(func() { n.beginDrain(time.Hour) })
			orders.Go(func() {
				if err := n.undrain(); err != nil {
					t.Error(err)
				}
			})
		}
		orders.Wait()
		_, draining := n.drain.draining()
		if told := n.cluster.Self().State == member.Draining; told != draining || (n.load.Admit() != nil) != draining {
			t.Fatalf("draining: %v, others are told %v, new sessions: %v", draining, told, n.load.Admit())
		}
	}
}

// TestDrainAndBack drains a node, takes that back, and drains it to its end.
func TestDrainAndBack(t *testing.T) {
	n, _ := listen(t, "127.0.7.32")
	done := make(chan error, 1)
	go func() { done <- n.Serve(t.Context()) }()
	becomes(t, n, true)
	order := func(o mesh.DrainOrder) error {
		_, err := n.mesh.Drain(t.Context(), n.cluster.Self().ID, o)
		return err
	}
	for _, within := range []time.Duration{-1, maxDrain + 1} {
		if err := order(mesh.DrainOrder{Within: within}); err == nil {
			t.Errorf("it drains within %v", within)
		}
	}
	if err := order(mesh.DrainOrder{Within: time.Hour}); err != nil {
		t.Fatal(err)
	}
	becomes(t, n, false)
	if err := n.load.Admit(); !errors.Is(err, ErrOverloaded) {
		t.Errorf("new sessions: %v", err)
	}
	if err := order(mesh.DrainOrder{Undo: true}); err != nil {
		t.Fatal(err)
	}
	becomes(t, n, true)
	if err := n.load.Admit(); err != nil {
		t.Error(err)
	}
	if err := order(mesh.DrainOrder{Within: time.Hour}); err != nil {
		t.Fatal(err)
	}
	select { // it is empty
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("it goes on")
	}
}

// TestHostsOf has the page, which strangers read, name where clients go, and not the addresses that nodes have for each other.
func TestHostsOf(t *testing.T) {
	inside := []netip.AddrPort{netip.MustParseAddrPort("10.0.0.7:9601"), netip.MustParseAddrPort("10.9.0.7:9601")}
	outside := netip.MustParseAddr("198.51.100.7")
	for _, tt := range []struct {
		m    member.Node
		want []string
	}{
		{member.Node{Links: inside, Doors: member.Doors{Host: "a.example.org", Addresses: []netip.Addr{outside}}}, []string{"a.example.org", "198.51.100.7"}},
		{member.Node{Links: inside, Doors: member.Doors{Addresses: []netip.Addr{outside}}}, []string{"198.51.100.7"}},
		{member.Node{Links: inside}, []string{"10.0.0.7"}}, // clients have no other
	} {
		if got := hostsOf(tt.m); !slices.Equal(got, tt.want) {
			t.Errorf("%+v: %q, not %q", tt.m, got, tt.want)
		}
	}
}
