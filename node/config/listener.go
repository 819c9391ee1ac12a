package config

import (
	"net"
	"net/netip"
	"strconv"
)

// Listener is one address that the configuration makes the node listen on.
type Listener struct {
	Option  string     // the option that names the port: "janus.ws_port"
	Network string     // "tcp" or "udp"
	Address netip.Addr // not valid: all addresses
	Port    uint16
	TLS     bool // speaks TLS (or DTLS) with the configured certificate
}

// HostPort returns the address as package net takes it, ":8188" for all addresses.
func (l Listener) HostPort() string {
	host := ""
	if l.Address.IsValid() {
		host = l.Address.String()
	}
	return net.JoinHostPort(host, strconv.Itoa(int(l.Port)))
}

// Listeners returns everything that the node listens on besides TURN's relays, in the order of the sections. Without a
// certificate nothing that speaks TLS is among them.
func (c *Config) Listeners() []Listener {
	var all []Listener
	add := func(option, network string, address netip.Addr, port uint16, tls bool) {
		if !address.IsValid() {
			address = c.Node.Bind
		}
		if port != 0 && (!tls || c.TLS.Certificate != "") {
			all = append(all, Listener{option, network, address, port, tls})
		}
	}
	if c.Node.Has(PlaneSignaling) {
		c.janusListeners(add)
	}
	if c.Node.Has(PlaneMedia) {
		c.mediaListeners(add)
	}
	if c.Mesh.Enabled {
		add("mesh.gossip_port", "udp", c.Mesh.Address, c.Mesh.GossipPort, false)
		add("mesh.gossip_port", "tcp", c.Mesh.Address, c.Mesh.GossipPort, false)
		add("mesh.link_port", "udp", c.Mesh.Address, c.Mesh.LinkPort, false)
		add("mesh.link_port", "tcp", c.Mesh.Address, c.Mesh.LinkPort, false)
	}
	c.dnsListeners(add)
	add("console.port", "tcp", c.Console.Address, c.Console.Port, false)
	add("console.https_port", "tcp", c.Console.Address, c.Console.HTTPSPort, true)
	return all
}

// adminAddress is where the admin API listens: on this machine only, unless another address is named.
func (c *Config) adminAddress() netip.Addr {
	switch {
	case c.Janus.AdminAddress.IsValid():
		return c.Janus.AdminAddress
	case c.Node.Bind.IsLoopback():
		return c.Node.Bind
	}
	return netip.AddrFrom4([4]byte{127, 0, 0, 1})
}

// collides tells whether two listeners cannot be open at once.
func (l Listener) collides(m Listener) bool {
	everywhere := func(a netip.Addr) bool { return !a.IsValid() || a.IsUnspecified() }
	return l.Network == m.Network && l.Port == m.Port &&
		(l.Address == m.Address || everywhere(l.Address) || everywhere(m.Address))
}

type addListener func(option, network string, address netip.Addr, port uint16, tls bool)

func (c *Config) janusListeners(add addListener) {
	add("janus.ws_port", "tcp", c.Janus.Address, c.Janus.WSPort, false)
	add("janus.wss_port", "tcp", c.Janus.Address, c.Janus.WSSPort, true)
	add("janus.http_port", "tcp", c.Janus.Address, c.Janus.HTTPPort, false)
	add("janus.https_port", "tcp", c.Janus.Address, c.Janus.HTTPSPort, true)
	if c.Janus.AdminSecret != "" {
		add("janus.admin_port", "tcp", c.adminAddress(), c.Janus.AdminPort, false)
		add("janus.admin_ws_port", "tcp", c.adminAddress(), c.Janus.AdminWSPort, false)
	}
}

func (c *Config) mediaListeners(add addListener) {
	media := c.Media.Addresses
	if len(media) == 0 {
		media = []netip.Addr{{}}
	}
	for _, a := range media {
		add("media.port", "udp", a, c.Media.Port, false)
		if c.Media.TCP {
			add("media.port", "tcp", a, c.Media.Port, false)
		}
		if c.ServesTURN() {
			add("turn.tls_port", "tcp", a, c.TURN.TLSPort, true)
			if c.TURN.DTLS {
				add("turn.tls_port", "udp", a, c.TURN.TLSPort, true)
			}
		}
	}
}
