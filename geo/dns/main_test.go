package dns

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	wire "github.com/miekg/dns"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// mesh is the world of these tests: who is in Europe (192.0.2.0/24, 2001:db8:e::/48) is served best by fra and ams, everybody else by
// iad. Node old is draining: nobody is sent there.
type mesh struct{ gone []string }

var services = []Service{{"_janus._tcp", 8188, false}, {"_janus-wss._tcp", 8989, true}, {MainWeb, 9643, true}}

func node(label string, addresses ...string) Node {
	n := Node{Label: label, Services: services}
	for _, a := range addresses {
		n.Addresses = append(n.Addresses, netip.MustParseAddr(a))
	}
	return n
}

func (m *mesh) nodes() []Node {
	all := []Node{
		node("fra", "198.51.100.1", "2001:db8:1::1"), node("ams", "198.51.100.2"),
		node("iad", "203.0.113.1", "2001:db8:3::1"), node("old", "203.0.113.9"),
	}
	return slices.DeleteFunc(all, func(n Node) bool { return slices.Contains(m.gone, n.Label) })
}

func (m *mesh) find(label string) (Node, bool) {
	all := m.nodes()
	i := slices.IndexFunc(all, func(n Node) bool { return n.Label == label })
	if i < 0 {
		return Node{}, false
	}
	return all[i], true
}

func (m *mesh) choose(q Query) Choice {
	four, six := netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8:e::/48")
	order, c := []string{"iad", "fra", "ams"}, Choice{Equal: 1, Scope: 16}
	if four.Contains(q.Client.Addr()) || six.Contains(q.Client.Addr()) || q.Room == "5" {
		order, c = []string{"fra", "ams", "iad"}, Choice{Equal: 2, Scope: 24}
	}
	c.Brief = q.Room == "new"
	for _, label := range order {
		if n, ok := m.find(label); ok {
			c.Nodes = append(c.Nodes, n)
		}
	}
	return c
}

func (m *mesh) config() Config {
	return Config{
		Zone: "Edge.example.org", NameServers: []string{"fra", "ns.example.net"}, TTL: 20 * time.Second,
		Records: []string{`_acme-challenge CNAME edge.acme.example.`, `@ 60 CAA 0 issue "ca.example"`, `deep.below TXT "x"`},
		Choose:  m.choose, Find: m.find,
	}
}

// newServer makes a server over a world.
func newServer(t testing.TB, m *mesh, change func(*Config)) *Server {
	t.Helper()
	cfg := m.config()
	if change != nil {
		change(&cfg)
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// question returns one about a name in the zone ("@" is the zone).
func question(name string, kind uint16) *wire.Msg {
	const zone = "edge.example.org."
	switch {
	case name == "@":
		name = zone
	case name[len(name)-1] != '.':
		name += "." + zone
	}
	q := new(wire.Msg).SetQuestion(name, kind)
	q.Id = 4711
	return q
}

// withSubnet adds a client subnet.
func withSubnet(q *wire.Msg, prefix string) *wire.Msg {
	p := netip.MustParsePrefix(prefix)
	s := &wire.EDNS0_SUBNET{Code: wire.EDNS0SUBNET, Family: familyIPv4, SourceNetmask: uint8(p.Bits()), Address: p.Addr().AsSlice()} //nolint:gosec // at most 128
	if p.Addr().Is6() {
		s.Family = familyIPv6
	}
	q.SetEdns0(4096, false)
	q.IsEdns0().Option = append(q.IsEdns0().Option, s)
	return q
}

// pose has a server answer a question from an address over UDP; nil if it says nothing.
func pose(t testing.TB, s *Server, q *wire.Msg, from string) *wire.Msg {
	t.Helper()
	packet, err := q.Pack()
	if err != nil {
		t.Fatal(err)
	}
	b := s.overUDP(time.Unix(1e9, 0), packet, netip.MustParseAddr(from))
	if b == nil {
		return nil
	}
	r := new(wire.Msg)
	if err := r.Unpack(b); err != nil {
		t.Fatalf("the answer cannot be read: %v", err)
	}
	return r
}

// texts returns records as in zone files, fields parted by one blank.
func texts(all []wire.RR) []string {
	var lines []string
	for _, rr := range all {
		if rr.Header().Rrtype == wire.TypeOPT {
			continue
		}
		b := []byte(rr.String())
		for i, c := range b {
			if c == '\t' {
				b[i] = ' '
			}
		}
		lines = append(lines, string(b))
	}
	return lines
}
