package ice

import (
	"hash/crc32"
	"net/netip"
	"strconv"

	"cardea/relay/plane"
)

// Mapping says under which public address the node is reached, as behind the one-to-one NAT of a cloud (Janus's
// nat_1_1_mapping).
type Mapping struct {
	// Public is the address clients can reach.
	Public netip.Addr
	// Private is the local address that Public leads to; the zero Addr means every local address of Public's family.
	Private netip.Addr
	// KeepPrivate offers the local address too, for clients on the same side of the NAT (Janus's keep_private_host).
	KeepPrivate bool
}

// Parts of a candidate's priority (RFC 8445 section 5.1.2.1; RFC 6544 section 4.2 for TCP, which must lose to UDP).
const (
	componentID       = 1
	typePreferenceUDP = 126
	typePreferenceTCP = 90
	passivePreference = 4 << 13
	maxPreferenceUDP  = 1<<16 - 1
	maxPreferenceTCP  = 1<<13 - 1
)

// Candidates makes the node's candidates: for each address one for UDP at port and a passive one for TCP at tcpPort,
// where 0 means none. All are of type host, also those of a public address, which is how a lite agent behind a
// one-to-one NAT is to be reached. IPv6 and IPv4 take turns in order of preference, IPv6 first (RFC 8421 section 4);
// within a family the order is that of local and advertise. Addresses no browser would use (unspecified, multicast,
// link-local IPv6) are left out.
func Candidates(local []netip.Addr, advertise []Mapping, port, tcpPort uint16) []plane.Candidate {
	addrs := interleave(advertised(local, advertise))
	out := make([]plane.Candidate, 0, 2*len(addrs))
	for i, a := range addrs {
		if port != 0 {
			out = append(out, candidate(a, port, "udp", typePreferenceUDP, maxPreferenceUDP-i))
		}
	}
	for i, a := range addrs {
		if tcpPort != 0 {
			c := candidate(a, tcpPort, "tcp", typePreferenceTCP, passivePreference+maxPreferenceTCP-i)
			c.TCPType = "passive"
			out = append(out, c)
		}
	}
	return out
}

func candidate(a netip.Addr, port uint16, protocol string, typePreference, localPreference int) plane.Candidate {
	return plane.Candidate{
		Foundation: foundation(a, protocol),
		Component:  componentID,
		Protocol:   protocol,
		Priority:   uint32(typePreference<<24 | localPreference<<8 | (256 - componentID)),
		Address:    a.String(),
		Port:       port,
		Type:       "host",
	}
}

// foundation is the same for the same address and protocol and, in all likelihood, differs otherwise.
func foundation(a netip.Addr, protocol string) string {
	return strconv.FormatUint(uint64(crc32.ChecksumIEEE([]byte(protocol+a.String()))), 10)
}

// advertised applies the mappings to the usable local addresses. No address comes twice.
func advertised(local []netip.Addr, advertise []Mapping) []netip.Addr {
	var out []netip.Addr
	seen := make(map[netip.Addr]bool)
	add := func(a netip.Addr) {
		if a = a.Unmap(); usable(a) && !seen[a] {
			seen[a] = true
			out = append(out, a)
		}
	}
	for _, l := range local {
		l = l.Unmap()
		mapped, keep := false, false
		for _, m := range advertise {
			if m.covers(l) {
				add(m.Public)
				mapped, keep = true, keep || m.KeepPrivate
			}
		}
		if !mapped || keep {
			add(l)
		}
	}
	return out
}

// covers tells whether the mapping's public address leads to local address l.
func (m Mapping) covers(l netip.Addr) bool {
	if !m.Public.IsValid() || !l.IsValid() {
		return false
	}
	if m.Private.IsValid() {
		return m.Private.Unmap() == l
	}
	return m.Public.Unmap().Is4() == l.Is4()
}

func usable(a netip.Addr) bool {
	return a.IsValid() && !a.IsUnspecified() && !a.IsMulticast() && a.Zone() == "" && !(a.Is6() && a.IsLinkLocalUnicast())
}

// interleave lets the families take turns, IPv6 first, and keeps the order within each.
func interleave(addrs []netip.Addr) []netip.Addr {
	var v6, v4 []netip.Addr
	for _, a := range addrs {
		if a.Is4() {
			v4 = append(v4, a)
		} else {
			v6 = append(v6, a)
		}
	}
	out := make([]netip.Addr, 0, len(addrs))
	for i := range max(len(v6), len(v4)) {
		if i < len(v6) {
			out = append(out, v6[i])
		}
		if i < len(v4) {
			out = append(out, v4[i])
		}
	}
	return out
}
