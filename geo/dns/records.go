package dns

import (
	"net/netip"
	"strconv"

	wire "github.com/miekg/dns"
)

const (
	maxAddresses = 8 // of all nodes of one answer together
	maxTargets   = 4 // nodes in an answer that names nodes
)

func header(name string, kind uint16, ttl uint32) wire.RR_Header {
	return wire.RR_Header{Name: name, Rrtype: kind, Class: wire.ClassINET, Ttl: ttl}
}

// soa returns the zone's start of authority. Nobody copies the zone, so its serial never changes, and all servers agree on it. The
// last field is how long a negative answer may be kept.
func (z *zone) soa() wire.RR {
	return &wire.SOA{
		Hdr: header(z.apex, wire.TypeSOA, z.ttl), Ns: z.servers[0], Mbox: "hostmaster." + z.apex,
		Serial: 1, Refresh: 3600, Retry: 600, Expire: 86400, Minttl: z.ttl,
	}
}

// fixed answers with what does not depend on the client: static records, NS, SOA. False if there is none of the kind asked for.
func (z *zone) fixed(r *wire.Msg, name string, p place) bool {
	q := r.Question[0]
	for _, rr := range z.static[name] {
		if t := rr.Header().Rrtype; t == q.Qtype || t == wire.TypeCNAME {
			rr = wire.Copy(rr)
			rr.Header().Name = q.Name
			r.Answer = append(r.Answer, rr)
		}
	}
	if p.apex && p.plain {
		switch q.Qtype {
		case wire.TypeSOA:
			r.Answer = append(r.Answer, z.soa())
		case wire.TypeNS:
			z.nameServers(r)
		}
	}
	return len(r.Answer) > 0
}

// nameServers answers with the zone's servers, and with the addresses of those that are nodes.
func (z *zone) nameServers(r *wire.Msg) {
	for _, s := range z.servers {
		r.Answer = append(r.Answer, &wire.NS{Hdr: header(r.Question[0].Name, wire.TypeNS, longTTL), Ns: s})
		if !wire.IsSubDomain(z.apex, s) {
			continue
		}
		if p := z.locate(s); p.plain && p.node != nil {
			r.Extra = append(r.Extra, addresses(s, p.node.Addresses, 0, z.ttl)...)
		}
	}
}

// made answers with the nodes for a client and returns the scope for which that holds.
func (z *zone) made(r *wire.Msg, p place, client netip.Prefix) (scope int) {
	q := r.Question[0]
	switch q.Qtype {
	case wire.TypeA, wire.TypeAAAA:
		if !p.plain {
			return 0
		}
	case wire.TypeHTTPS:
		if !p.plain && p.webPort == "" {
			return 0
		}
	case wire.TypeSRV:
		if p.service == "" {
			return 0
		}
	default:
		return 0
	}
	choice := Choice{}
	if p.node != nil {
		choice.Nodes = []Node{*p.node}
	} else if choice = z.choose(Query{Client: client, Room: p.room, Service: p.service}); len(choice.Nodes) == 0 {
		r.Rcode = wire.RcodeServerFailure // ask another server, or use what is stale: an empty answer would be believed
		r.Authoritative = false
		return 0
	}
	equal, ttl := min(max(choice.Equal, 1), len(choice.Nodes)), z.ttl
	if choice.Brief {
		ttl = 1
	}
	switch q.Qtype {
	case wire.TypeSRV:
		z.srv(r, p.service, choice.Nodes, equal, ttl)
	case wire.TypeHTTPS:
		z.https(r, p.webPort, choice.Nodes, equal, ttl)
	default:
		for _, n := range choice.Nodes[:equal] {
			r.Answer = append(r.Answer, addresses(q.Name, n.Addresses, q.Qtype, ttl)...)
		}
		r.Answer = r.Answer[:min(len(r.Answer), maxAddresses)]
	}
	return choice.Scope
}

// addresses returns records of one type, or of both when kind is 0.
func addresses(name string, all []netip.Addr, kind uint16, ttl uint32) []wire.RR {
	var rrs []wire.RR
	for _, a := range all {
		a = a.Unmap()
		switch {
		case a.Is4() && kind != wire.TypeAAAA:
			rrs = append(rrs, &wire.A{Hdr: header(name, wire.TypeA, ttl), A: a.AsSlice()})
		case a.Is6() && kind != wire.TypeA:
			rrs = append(rrs, &wire.AAAA{Hdr: header(name, wire.TypeAAAA, ttl), AAAA: a.WithZone("").AsSlice()})
		}
	}
	return rrs
}

// target is a node in an answer that names nodes.
type target struct {
	node     Node
	port     uint16
	priority uint16 // 1 for the best, the same for those that are as good
}

// targets returns the first nodes that have a service.
func targets(nodes []Node, equal int, fits func(Service) bool) []target {
	var all []target
	for i, n := range nodes {
		if len(all) == maxTargets {
			break
		}
		for _, s := range n.Services {
			if s.Port != 0 && fits(s) {
				all = append(all, target{n, s.Port, uint16(max(i-equal+1, 0) + 1)}) //nolint:gosec // few
				break
			}
		}
	}
	return all
}

func (z *zone) srv(r *wire.Msg, service string, nodes []Node, equal int, ttl uint32) {
	for _, t := range targets(nodes, equal, func(s Service) bool { return s.Name == service }) {
		host := t.node.Label + "." + z.apex
		r.Answer = append(r.Answer, &wire.SRV{
			Hdr: header(r.Question[0].Name, wire.TypeSRV, ttl), Priority: t.priority, Weight: 1, Port: t.port, Target: host,
		})
		r.Extra = append(r.Extra, addresses(host, t.node.Addresses, 0, ttl)...)
	}
}

// https answers for https and wss URLs (RFC 9460). Without a list of protocols the client takes HTTP/1.1, which WebSocket needs.
func (z *zone) https(r *wire.Msg, port string, nodes []Node, equal int, ttl uint32) {
	fits := func(s Service) bool { return s.Web && strconv.Itoa(int(s.Port)) == port }
	if port == "" {
		fits = func(s Service) bool { return s.Web && s.Name == MainWeb }
	}
	for _, t := range targets(nodes, equal, fits) {
		rr := &wire.HTTPS{SVCB: wire.SVCB{
			Hdr: header(r.Question[0].Name, wire.TypeHTTPS, ttl), Priority: t.priority, Target: t.node.Label + "." + z.apex,
		}}
		if port == "" && t.port != 443 {
			rr.Value = append(rr.Value, &wire.SVCBPort{Port: t.port})
		}
		var four wire.SVCBIPv4Hint
		var six wire.SVCBIPv6Hint
		for _, a := range t.node.Addresses {
			if a = a.Unmap(); a.Is4() {
				four.Hint = append(four.Hint, a.AsSlice())
			} else {
				six.Hint = append(six.Hint, a.WithZone("").AsSlice())
			}
		}
		if len(four.Hint) > 0 {
			rr.Value = append(rr.Value, &four)
		}
		if len(six.Hint) > 0 {
			rr.Value = append(rr.Value, &six)
		}
		r.Answer = append(r.Answer, rr)
	}
}
