package node

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"cardea/mesh"
	"cardea/mesh/member"
	"cardea/node/config"
	"cardea/node/console"
)

// TestExpelledNode has an operator expel the other node, which then takes no clients, and is nothing to the first any more.
func TestExpelledNode(t *testing.T) {
	first, c1 := listen(t, "127.0.7.51")
	serve := func(n *Node) {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- n.Serve(ctx) }()
		t.Cleanup(func() {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
	serve(first)
	invitation, err := first.cluster.Invite(t.Context(), member.Invitation{TTL: time.Minute, Uses: 1})
	if err != nil {
		t.Fatal(err)
	}
	c2 := new(config.Default())
	c2.Node.Name, c2.Node.DataDir, c2.Node.Bind, c2.Node.StopTimeout = "second", t.TempDir(), netip.MustParseAddr("127.0.7.52"), time.Second
	c2.Mesh.Join = []config.Secret{config.Secret(invitation)}
	second, err := Listen(t.Context(), c2, quiet())
	if err != nil {
		t.Fatal(err)
	}
	serve(second)
	operator, other := console.Client{URL: ConsoleURL(c1), HTTP: client(t)}, console.Client{URL: ConsoleURL(c2), HTTP: client(t)}
	eventually := func(what string, ok func(s console.Status) bool) {
		t.Helper()
		var s console.Status
		for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
			_, _ = operator.Rooms(t.Context()) // asks the other node, if there is one
			if s, err = operator.Status(t.Context()); err == nil && ok(s) {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s: %+v %v", what, s, err)
			}
		}
	}
	eventually("no link", func(s console.Status) bool { return s.Nodes == 2 && s.Links == 1 && second.notReady() == nil })

	for node, want := range map[string]string{
		first.name: member.ErrExpelSelf.Error(), "third": "no node", "": "which one",
	} {
		if _, err := operator.Expel(t.Context(), console.ExpelRequest{Node: node}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, not %q", node, err, want)
		}
	}
	if _, err := other.Expel(t.Context(), console.ExpelRequest{Node: string(first.cluster.Self().ID)}); err == nil || !strings.Contains(err.Error(), "the only node there that holds the authority's key") {
		t.Errorf("the authority: %v", err)
	}

	e, err := operator.Expel(t.Context(), console.ExpelRequest{Node: "second"})
	if err != nil || e.Node != "second" || e.ID != string(second.cluster.Self().ID) || !e.There || e.Authority || len(e.Behind) > 0 {
		t.Fatalf("%+v %v", e, err)
	}
	eventually("it is still there", func(s console.Status) bool { return s.Nodes == 1 && s.Links == 0 && second.notReady() != nil })
	if err := second.notReady(); !strings.Contains(err.Error(), "expelled from the mesh") {
		t.Errorf("not ready: %v", err)
	}
	if all := second.mesh.Nodes(); len(all) != 1 {
		t.Errorf("the expelled knows %d nodes", len(all))
	}
	if _, err := second.orderDrain(t.Context(), second.cluster.Self().ID, mesh.DrainOrder{Within: time.Hour}); err != nil {
		t.Errorf("drain: %v", err)
	}
	if err := second.undrain(); !errors.Is(err, member.ErrExpelled) {
		t.Errorf("the drain is taken back: %v", err)
	}
	if _, err := other.Expel(t.Context(), console.ExpelRequest{Node: string(first.cluster.Self().ID)}); err == nil || !strings.Contains(err.Error(), member.ErrExpelled.Error()) {
		t.Errorf("it expels others: %v", err)
	}
	if e, err := operator.Expel(t.Context(), console.ExpelRequest{Node: e.ID}); err != nil || e.There {
		t.Errorf("once more, by its id: %+v %v", e, err)
	}
}
