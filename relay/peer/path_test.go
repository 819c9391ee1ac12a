package peer

import (
	"net/netip"
	"testing"
	"time"

	"cardea/relay/ice"
	"cardea/relay/plane"
)

// TestPathsAreToldSlowly has a client move between two paths as fast as it can: the first is told at once, of the rest only where
// it is after a while, and nothing when it is where it was.
func TestPathsAreToldSlowly(t *testing.T) {
	s := newStand(t)
	c := s.newCaller("a")
	one, two := ice.Path{Remote: netip.MustParseAddrPort("198.51.100.1:1")}, ice.Path{Remote: netip.MustParseAddrPort("198.51.100.2:2")}
	use := func(paths ...ice.Path) {
		c.peer.mu.Lock()
		defer c.peer.mu.Unlock()
		for _, p := range paths {
			c.peer.use(p)
		}
	}
	want := func(remotes ...string) {
		t.Helper()
		told := s.told(plane.EventPath)
		if len(told) != len(remotes) {
			t.Fatalf("%d reports, want %d", len(told), len(remotes))
		}
		for i, e := range told {
			if e.Remote != remotes[i] || e.Local == "" || e.Protocol != "udp" || e.Peer != "a" {
				t.Errorf("report %d: %+v", i, e)
			}
		}
	}
	use(one)
	want("198.51.100.1:1")
	for range 1000 {
		use(two, one)
	}
	use(two)
	want("198.51.100.1:1")
	s.pass(2*time.Second, c)
	want("198.51.100.1:1", "198.51.100.2:2")
	use(one, two)
	s.pass(2*time.Second, c)
	want("198.51.100.1:1", "198.51.100.2:2")
}

// TestHandshakeIsTold wants the end of the handshake to be told before the peer is said to be up.
func TestHandshakeIsTold(t *testing.T) {
	s := newStand(t)
	s.newCaller("a")
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.events) < 2 || s.events[0].Type != plane.EventDTLS || s.events[0].State != "connected" || s.events[1].Type != plane.EventUp {
		t.Errorf("%+v", s.events)
	}
}
