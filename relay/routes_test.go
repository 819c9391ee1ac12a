package relay

import (
	"fmt"
	"net/netip"
	"testing"

	"cardea/relay/ice"
	"cardea/relay/peer"
)

func path(s string) ice.Path { return ice.Path{Remote: netip.MustParseAddrPort(s)} }

func TestRoutesFollowTheLastProof(t *testing.T) {
	r := newRoutes()
	a, b := new(peer.Peer), new(peer.Peer)
	known := newCache(r)
	r.addPath(a, path("192.0.2.1:1000"))
	if got := known.udp(path("192.0.2.1:1000").Remote); got != a {
		t.Fatal("path of a not found")
	}
	r.addPath(b, path("192.0.2.1:1000")) // the NAT gave the port to somebody else
	if got := known.udp(path("192.0.2.1:1000").Remote); got != b {
		t.Error("a cache still gives the path to its former owner")
	}
	r.forget(a)
	if got := known.udp(path("192.0.2.1:1000").Remote); got != b {
		t.Error("forgetting a took the path from b")
	}
	r.forget(b)
	if got := known.udp(path("192.0.2.1:1000").Remote); got != nil {
		t.Error("a forgotten peer still has a path")
	}
	if len(r.owned)+len(r.paths)+len(r.ufrags) != 0 {
		t.Error("something is left of forgotten peers")
	}
}

func TestRoutesAreBounded(t *testing.T) {
	r := newRoutes()
	p := new(peer.Peer)
	for i := range 3 * maxPaths {
		r.addPath(p, path(fmt.Sprintf("192.0.2.1:%d", 1000+i)))
	}
	for i := range 5 {
		r.addUfrag(p, fmt.Sprintf("ufrag%d", i))
	}
	if len(r.paths) != maxPaths || len(r.ufrags) != maxUfrags {
		t.Errorf("%d paths and %d user fragments, want %d and %d", len(r.paths), len(r.ufrags), maxPaths, maxUfrags)
	}
	if r.byUfrag([]byte("ufrag4")) != p || r.byUfrag([]byte("ufrag0")) != nil {
		t.Error("the latest user fragments must stay, the oldest go")
	}
	if r.byPath(keyOf(path(fmt.Sprintf("192.0.2.1:%d", 1000+3*maxPaths-1)))) != p {
		t.Error("the latest path must stay")
	}
}

func TestTCPAndUDPOfOneAddressDiffer(t *testing.T) {
	r := newRoutes()
	a, b := new(peer.Peer), new(peer.Peer)
	r.addPath(a, path("192.0.2.1:1000"))
	r.addPath(b, ice.Path{Remote: netip.MustParseAddrPort("192.0.2.1:1000"), Conn: new(ice.Conn)})
	if r.byPath(routeKey{remote: netip.MustParseAddrPort("192.0.2.1:1000"), tcp: true}) != b {
		t.Error("TCP path not found")
	}
	if r.byPath(routeKey{remote: netip.MustParseAddrPort("192.0.2.1:1000")}) != a {
		t.Error("UDP path not found")
	}
}
