package turn

import (
	"net/netip"
	"testing"
)

func prefixes(s ...string) []netip.Prefix {
	var p []netip.Prefix
	for _, s := range s {
		p = append(p, netip.MustParsePrefix(s))
	}
	return p
}

func TestPolicyByDefault(t *testing.T) {
	p := newPolicy(nil, nil, nil, nil)
	for address, want := range map[string]bool{
		"8.8.8.8":                    true,
		"100.63.255.255":             true,
		"100.128.0.0":                true,
		"172.15.0.1":                 true,
		"172.32.0.1":                 true,
		"2600:1900::1":               true,
		"2002:0808:0808::1":          true, // 6to4 of 8.8.8.8
		"64:ff9b::8.8.8.8":           true,
		"127.0.0.1":                  false,
		"127.255.255.254":            false,
		"0.0.0.0":                    false,
		"10.1.2.3":                   false,
		"100.64.0.1":                 false,
		"169.254.169.254":            false,
		"172.31.255.255":             false,
		"192.168.0.1":                false,
		"224.0.0.251":                false,
		"255.255.255.255":            false,
		"240.0.0.1":                  false,
		"::":                         false,
		"::1":                        false,
		"::127.0.0.1":                false, // IPv4-compatible
		"::ffff:127.0.0.1":           false,
		"::ffff:10.0.0.1":            false,
		"::ffff:8.8.8.8":             true,
		"::ffff:0:127.0.0.1":         false, // IPv4-translated
		"fe80::1":                    false,
		"fe80::1%eth0":               false,
		"2600::1%eth0":               false,
		"fec0::1":                    false,
		"fc00::1":                    false,
		"fd12:3456::1":               false,
		"ff02::1":                    false,
		"2002:7f00:0001::1":          false, // 6to4 of 127.0.0.1
		"2002:0a00:0001::1":          false,
		"2002:c0a8:0101::1":          false,
		"64:ff9b::127.0.0.1":         false,
		"64:ff9b::192.168.1.1":       false,
		"64:ff9b:1::8.8.8.8":         false,
		"2001:0:1:2:3:4:80ff:fffe":   false, // Teredo of 127.0.0.1
		"2001:0:1:2:3:4:f7f7:f7f7":   true,  // Teredo of 8.8.8.8
		"2600::5efe:10.0.0.1":        false, // ISATAP
		"2600::200:5efe:127.0.0.1":   false,
		"2600::200:5efe:8.8.8.8":     true,
		"2600:1900::7f00:1":          true, // only looks like one
		"2001:db8:1:2:3:4:7f00:0001": true,
	} {
		a := netip.MustParseAddr(address)
		if got := p.permitsAddr(a); got != want {
			t.Errorf("%s permitted: %v", a, got)
		}
		if got := p.permits(netip.AddrPortFrom(a, 5000)); got != want {
			t.Errorf("%s with a port permitted: %v", a, got)
		}
		if p.permits(netip.AddrPortFrom(a, 0)) {
			t.Errorf("port 0 of %s permitted", a)
		}
	}
	if p.permitsAddr(netip.Addr{}) || p.permits(netip.AddrPort{}) {
		t.Error("no address permitted")
	}
}

func TestPolicyRules(t *testing.T) {
	p := newPolicy(
		[]netip.AddrPort{
			netip.MustParseAddrPort("127.0.0.1:3478"),
			netip.MustParseAddrPort("198.51.100.1:3478"),
			netip.MustParseAddrPort("[fd00::1]:3478"),
			netip.MustParseAddrPort("203.0.113.200:3478"),
			netip.MustParseAddrPort("[::ffff:10.9.9.9]:3478"),
		},
		[]netip.Addr{netip.MustParseAddr("198.51.100.9")},
		prefixes("10.1.0.0/16", "203.0.113.5/32"),
		prefixes("203.0.113.0/24", "2600::/16", "10.1.2.0/24"),
	)
	for address, want := range map[string]bool{
		"127.0.0.1:3478":         true,  // mesh, in spite of being special
		"127.0.0.1:3479":         false, // nothing else of it
		"[::ffff:127.0.0.1]:1":   false,
		"198.51.100.1:3478":      true,
		"198.51.100.1:7946":      false, // a public address, but a host of the mesh
		"198.51.100.2:7946":      true,
		"198.51.100.9:9600":      false, // this host
		"[2002:c633:6401::]:22":  false, // 6to4 of a host of the mesh
		"[fd00::1]:3478":         true,
		"[fd00::1]:80":           false,
		"10.1.0.7:80":            true,  // allowed
		"10.1.2.7:80":            true,  // allowed wins over denied
		"10.2.0.7:80":            false, // not allowed
		"203.0.113.4:80":         false, // denied
		"203.0.113.5:80":         true,  // allowed wins
		"203.0.113.200:3478":     true,  // mesh wins over denied
		"203.0.113.200:3477":     false,
		"10.9.9.9:3478":          true,
		"[2600::1]:80":           false,
		"[::ffff:203.0.113.4]:1": false,
		"[64:ff9b::cb00:7104]:1": false, // NAT64 of 203.0.113.4
		"8.8.8.8:53":             true,
	} {
		if got := p.permits(netip.MustParseAddrPort(address)); got != want {
			t.Errorf("%s permitted: %v", address, got)
		}
	}
	for address, want := range map[string]bool{ // permissions name no port
		"127.0.0.1": true, "198.51.100.1": true, "127.0.0.2": false, "198.51.100.9": false, "8.8.8.8": true,
	} {
		if got := p.permitsSome(netip.MustParseAddr(address)); got != want {
			t.Errorf("permission for %s: %v", address, got)
		}
	}
}

func TestMapping(t *testing.T) {
	m := newMapping(map[netip.Addr]netip.Addr{netip.MustParseAddr("10.0.0.5"): netip.MustParseAddr("203.0.113.5")})
	local, public := netip.MustParseAddrPort("10.0.0.5:9"), netip.MustParseAddrPort("203.0.113.5:9")
	other := netip.MustParseAddrPort("8.8.8.8:9")
	if m.named(local) != public || m.wire(public) != local || m.named(other) != other || m.wire(other) != other ||
		newMapping(nil).wire(public) != public {
		t.Fatal("addresses are not translated as configured")
	}
}
