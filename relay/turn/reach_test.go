package turn

import (
	"net/netip"
	"testing"
)

// TestReach replaces rules and media addresses one by one: neither may undo the other.
func TestReach(t *testing.T) {
	private, public := netip.MustParseAddrPort("10.0.0.9:5000"), netip.MustParseAddrPort("203.0.113.9:5000")
	media := netip.MustParseAddrPort("10.0.0.1:3478")
	s := &Server{}
	s.reach = reach{mesh: []netip.AddrPort{media}}
	s.applyReach()
	check := func(what string, permitted map[netip.AddrPort]bool) {
		t.Helper()
		for peer, want := range permitted {
			if got := s.policy.Load().permits(peer); got != want {
				t.Errorf("%s: %v permitted: %v", what, peer, got)
			}
		}
	}
	check("at first", map[netip.AddrPort]bool{private: false, public: true, media: true})
	s.SetPeers([]netip.Prefix{netip.MustParsePrefix("10.0.0.9/32")}, []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")})
	check("other rules", map[netip.AddrPort]bool{private: true, public: false, media: true})
	s.SetMeshAddresses(nil)
	check("other nodes", map[netip.AddrPort]bool{private: true, public: false, media: false})
	s.SetPeers(nil, nil)
	check("no rules", map[netip.AddrPort]bool{private: false, public: true, media: false})
}
