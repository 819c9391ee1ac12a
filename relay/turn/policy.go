package turn

import (
	"encoding/binary"
	"net/netip"
)

// policy decides which peers clients may reach. It is immutable; addresses are as clients name them.
type policy struct {
	mesh  map[netip.AddrPort]struct{} // exact media addresses, always allowed
	hosts map[netip.Addr]struct{}     // hosts of the mesh and this one: nothing else of them
	allow []netip.Prefix
	deny  []netip.Prefix

	meshOnly bool // nobody but the mesh may be reached
}

func newPolicy(mesh []netip.AddrPort, own []netip.Addr, allow, deny []netip.Prefix) *policy {
	p := &policy{
		mesh:  make(map[netip.AddrPort]struct{}, len(mesh)),
		hosts: make(map[netip.Addr]struct{}, len(mesh)+len(own)),
		allow: allow,
		deny:  deny,
	}
	for _, a := range mesh {
		a = netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
		p.mesh[a] = struct{}{}
		p.hosts[a.Addr()] = struct{}{}
	}
	for _, a := range own {
		p.hosts[a.Unmap()] = struct{}{}
	}
	return p
}

// permits tells whether a client may exchange UDP packets with a peer.
func (p *policy) permits(peer netip.AddrPort) bool {
	if _, ok := p.mesh[peer]; ok {
		return true
	}
	return peer.Port() != 0 && p.permitsAddr(peer.Addr())
}

// permitsSome tells whether a client may have a permission, which names no port, for an address.
func (p *policy) permitsSome(a netip.Addr) bool {
	for m := range p.mesh {
		if m.Addr() == a {
			return true
		}
	}
	return p.permitsAddr(a)
}

// permitsAddr tells whether all ports of an address may be reached. An IPv6 address that leads to an IPv4 one is judged
// by that too.
func (p *policy) permitsAddr(a netip.Addr) bool {
	if p.meshOnly || !a.IsValid() || a.Zone() != "" {
		return false
	}
	if contains(p.allow, a) {
		return true
	}
	if contains(p.deny, a) || contains(special, a) {
		return false
	}
	if _, ok := p.hosts[a]; ok {
		return false
	}
	if inner, ok := embedded(a); ok {
		return p.permitsAddr(inner)
	}
	return true
}

func contains(prefixes []netip.Prefix, a netip.Addr) bool {
	for _, p := range prefixes {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// embedded returns the IPv4 address that packets to an IPv6 address may end up at.
func embedded(a netip.Addr) (netip.Addr, bool) {
	if a.Is4() {
		return netip.Addr{}, false
	}
	b := a.As16()
	switch {
	case a.Is4In6():
		return a.Unmap(), true
	case sixToFour.Contains(a):
		return netip.AddrFrom4([4]byte(b[2:6])), true
	case nat64.Contains(a):
		return netip.AddrFrom4([4]byte(b[12:16])), true
	case teredo.Contains(a): // the client's address, inverted (RFC 4380 section 4)
		var v4 [4]byte
		binary.BigEndian.PutUint32(v4[:], ^binary.BigEndian.Uint32(b[12:16]))
		return netip.AddrFrom4(v4), true
	case isatap(b):
		return netip.AddrFrom4([4]byte(b[12:16])), true
	}
	return netip.Addr{}, false
}

// isatap tells whether the interface identifier is one of RFC 5214 section 6.1.
func isatap(b [16]byte) bool {
	id := binary.BigEndian.Uint32(b[8:12])
	return id == 0x00005efe || id == 0x02005efe
}

var (
	sixToFour = netip.MustParsePrefix("2002::/16")
	nat64     = netip.MustParsePrefix("64:ff9b::/96")
	teredo    = netip.MustParsePrefix("2001::/32")
)

// special are the addresses that are not hosts on the Internet (the IANA special-purpose registries).
var special = func() []netip.Prefix {
	var prefixes []netip.Prefix
	for _, s := range []string{
		"0.0.0.0/8",       // this network, unspecified
		"10.0.0.0/8",      // private
		"100.64.0.0/10",   // carrier-grade NAT
		"127.0.0.0/8",     // loopback
		"169.254.0.0/16",  // link-local, and the clouds' metadata services
		"172.16.0.0/12",   // private
		"192.0.0.0/24",    // protocol assignments
		"192.168.0.0/16",  // private
		"198.18.0.0/15",   // benchmarks of inner networks
		"224.0.0.0/4",     // multicast
		"240.0.0.0/4",     // reserved, broadcast
		"::/96",           // unspecified, loopback, IPv4-compatible
		"64:ff9b:1::/48",  // NAT64 of local use: the operator's own network
		"100::/64",        // discard
		"fc00::/7",        // unique local
		"fe80::/10",       // link-local
		"fec0::/10",       // site-local
		"ff00::/8",        // multicast
		"::ffff:0:0:0/96", // IPv4-translated
	} {
		prefixes = append(prefixes, netip.MustParsePrefix(s))
	}
	return prefixes
}()

// mapping translates between what the world calls this host's addresses and what they are (1:1 NAT).
type mapping struct{ public, local map[netip.Addr]netip.Addr }

func newMapping(advertise map[netip.Addr]netip.Addr) mapping {
	m := mapping{public: make(map[netip.Addr]netip.Addr), local: make(map[netip.Addr]netip.Addr)}
	for local, public := range advertise {
		m.public[local] = public
		m.local[public] = local
	}
	return m
}

// named returns what the world calls an address.
func (m mapping) named(a netip.AddrPort) netip.AddrPort { return translate(m.public, a) }

// wire returns where packets to a named address have to go.
func (m mapping) wire(a netip.AddrPort) netip.AddrPort { return translate(m.local, a) }

func translate(m map[netip.Addr]netip.Addr, a netip.AddrPort) netip.AddrPort {
	if len(m) == 0 {
		return a
	}
	if to, ok := m[a.Addr()]; ok {
		return netip.AddrPortFrom(to, a.Port())
	}
	return a
}
