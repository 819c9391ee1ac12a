package config

import (
	"net/netip"
	"strconv"
	"time"
)

// DNS is the name server for a zone that its parent delegates to nodes (NS records with their names and addresses): the zone's name
// leads every client to the nodes that serve it best, NODE.ZONE to one of them, room-ROOM.ZONE to those best for a room.
type DNS struct {
	// Zone is the zone's name, such as edge.example.org. Empty: there is no name server.
	Zone string `yaml:"zone"`
	// Port is the port, UDP and TCP, opened when there is a zone. Resolvers ask at 53, which takes a privilege (CAP_NET_BIND_SERVICE)
	// or a forwarded port.
	Port uint16 `yaml:"port"`
	// Address is the local address to listen on. Empty: node.bind. Where a resolver of the host has port 53 of a loopback address,
	// the host's public address must be named here.
	Address netip.Addr `yaml:"address"`
	// Nameservers lists the zone's name servers as its parent does: names of nodes (fra1 is fra1.ZONE), or whole names. It should be
	// the same on all of them. Empty: this node alone.
	Nameservers []string `yaml:"nameservers"`
	// TTL is how long answers about nodes may be kept. As long a node that has gone may still be tried; shorter makes more
	// questions.
	TTL time.Duration `yaml:"ttl"`
	// RateLimit is how many answers a second one network (IPv4: /24, IPv6: /56) gets over UDP, twice that at once; 0 sets no limit.
	// What is above it comes again over TCP if its source is not forged, or has a rate of its own if its source shows the cookie that it
	// was given (RFC 7873). A large resolver asks once per TTL for each network of clients.
	RateLimit int `yaml:"rate_limit"`
	// Records lists further records of the zone, as in zone files: '_acme-challenge CNAME edge.acme.example.net.', '@ CAA 0 issue
	// "ca.example"'. In the environment and on the command line there can be no comma in them.
	Records []string `yaml:"records"`
}

func (c *Config) dnsListeners(add addListener) {
	if c.DNS.Zone != "" {
		add("dns.port", "udp", c.DNS.Address, c.DNS.Port, false)
		add("dns.port", "tcp", c.DNS.Address, c.DNS.Port, false)
	}
}

func (c *Config) validateDNS(v *Faults) {
	d := &c.DNS
	if d.Zone == "" {
		v.check(len(d.Nameservers)+len(d.Records) == 0, "dns", "has no effect without zone")
		return
	}
	v.check(isName(d.Zone), "dns.zone", "%q: want a name", d.Zone)
	v.check(d.Port != 0, "dns.port", "must not be 0")
	for i, s := range d.Nameservers {
		v.check(isName(s), "dns.nameservers["+strconv.Itoa(i)+"]", "%q: want a name", s)
	}
	v.between("dns.ttl", d.TTL, time.Second, time.Hour, false)
	v.check(d.TTL%time.Second == 0, "dns.ttl", "want whole seconds")
	v.check(d.RateLimit >= 0, "dns.rate_limit", "must not be negative")
}
