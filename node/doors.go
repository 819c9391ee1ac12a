package node

import (
	"cmp"
	"net/netip"
	"slices"

	"cardea/mesh/member"
)

// doors are where clients reach this node. links are its addresses for other nodes.
func (n *Node) doors(links []netip.AddrPort) member.Doors {
	c := n.cfg
	d := member.Doors{Host: c.Geo.Host, Addresses: n.publicAddresses()}
	for _, l := range n.open {
		if l.Address.IsLoopback() && len(d.Addresses) > 0 && !d.Addresses[0].IsLoopback() {
			continue // for what is on this machine, such as a proxy
		}
		switch l.Option {
		case "janus.ws_port":
			d.WS = l.Port
		case "janus.wss_port":
			d.WSS = l.Port
		case "janus.http_port":
			d.HTTP = l.Port
		case "janus.https_port":
			d.HTTPS = l.Port
		}
	}
	d.WSS, d.HTTPS = cmp.Or(c.Geo.WSSPort, d.WSS), cmp.Or(c.Geo.HTTPSPort, d.HTTPS)
	if n.media != nil {
		d.Media, d.MediaTCP = c.Media.Port, c.Media.TCP
		if c.ServesTURN() && n.tls != nil {
			d.TURNS = c.TURN.TLSPort
		}
	}
	if slices.Equal(d.Addresses, oneOfEach(addressesOf(links))) {
		d.Addresses = nil // as others take them to be anyway
	}
	return d
}

// publicAddresses are where clients reach this node, one of each IP version at most.
func (n *Node) publicAddresses() []netip.Addr {
	var all []netip.Addr
	for _, m := range n.cfg.Node.Advertise {
		all = append(all, m.Public)
	}
	if len(all) == 0 {
		all, _ = mediaAddresses(n.cfg) // none that others can reach: they are told of none
	}
	return oneOfEach(all)
}

// publicAddresses are where clients reach a node, as it says.
func publicAddresses(m member.Node) []netip.Addr {
	if len(m.Doors.Addresses) > 0 {
		return m.Doors.Addresses
	}
	return oneOfEach(addressesOf(m.Links))
}

func addressesOf(all []netip.AddrPort) []netip.Addr {
	addresses := make([]netip.Addr, 0, len(all))
	for _, a := range all {
		addresses = append(addresses, a.Addr())
	}
	return addresses
}

// oneOfEach picks an address of each IP version, IPv4 first; public ones are better than private ones.
func oneOfEach(all []netip.Addr) (picked []netip.Addr) {
	for _, four := range []bool{true, false} {
		best := netip.Addr{}
		for _, a := range all {
			if a = a.Unmap(); a.Is4() == four && (!best.IsValid() || best.IsPrivate() && !a.IsPrivate()) {
				best = a
			}
		}
		if best.IsValid() {
			picked = append(picked, best)
		}
	}
	return picked
}
