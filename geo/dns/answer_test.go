package dns

import (
	"encoding/binary"
	"fmt"
	"math"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	wire "github.com/miekg/dns"
)

const (
	europe  = "192.0.2.77"
	america = "203.0.113.50"
	soa     = "edge.example.org. 20 IN SOA fra.edge.example.org. hostmaster.edge.example.org. 1 3600 600 86400 20"
)

func TestAnswers(t *testing.T) {
	const z = "edge.example.org. "
	fra := []string{"fra." + z + "20 IN A 198.51.100.1", "fra." + z + "20 IN AAAA 2001:db8:1::1"}
	tests := []struct {
		name  string
		kind  uint16
		from  string
		rcode int
		want  []string // the answer section; nil: a negative answer
		extra []string
	}{
		{"@", wire.TypeA, europe, 0, []string{z + "20 IN A 198.51.100.1", z + "20 IN A 198.51.100.2"}, nil},
		{"@", wire.TypeA, america, 0, []string{z + "20 IN A 203.0.113.1"}, nil},
		{"@", wire.TypeAAAA, europe, 0, []string{z + "20 IN AAAA 2001:db8:1::1"}, nil},
		{"@", wire.TypeAAAA, "2001:db8:e::1", 0, []string{z + "20 IN AAAA 2001:db8:1::1"}, nil},
		{"room-5", wire.TypeA, america, 0, []string{"room-5." + z + "20 IN A 198.51.100.1", "room-5." + z + "20 IN A 198.51.100.2"}, nil},
		{"room-6", wire.TypeA, america, 0, []string{"room-6." + z + "20 IN A 203.0.113.1"}, nil},
		{"room-new", wire.TypeA, america, 0, []string{"room-new." + z + "1 IN A 203.0.113.1"}, nil},
		{"old", wire.TypeA, europe, 0, []string{"old." + z + "20 IN A 203.0.113.9"}, nil},
		{"OLD", wire.TypeA, europe, 0, []string{"OLD." + z + "20 IN A 203.0.113.9"}, nil}, // the name as it was asked for
		{"@", wire.TypeNS, america, 0, []string{z + "3600 IN NS fra.edge.example.org.", z + "3600 IN NS ns.example.net."}, fra},
		{"@", wire.TypeSOA, america, 0, []string{soa}, nil},
		{"@", wire.TypeCAA, america, 0, []string{z + `60 IN CAA 0 issue "ca.example"`}, nil},
		{"@", wire.TypeANY, america, 0, []string{z + `3600 IN HINFO "RFC8482" ""`}, nil},
		{
			"_janus._tcp", wire.TypeSRV, europe, 0,
			[]string{
				"_janus._tcp." + z + "20 IN SRV 1 1 8188 fra.edge.example.org.", "_janus._tcp." + z + "20 IN SRV 1 1 8188 ams.edge.example.org.",
				"_janus._tcp." + z + "20 IN SRV 2 1 8188 iad.edge.example.org.",
			},
			append(fra[:2:2], "ams."+z+"20 IN A 198.51.100.2", "iad."+z+"20 IN A 203.0.113.1", "iad."+z+"20 IN AAAA 2001:db8:3::1"),
		},
		{"_janus._tcp.fra", wire.TypeSRV, america, 0, []string{"_janus._tcp.fra." + z + "20 IN SRV 1 1 8188 fra.edge.example.org."}, fra},
		{
			"@", wire.TypeHTTPS, america, 0,
			[]string{
				z + `20 IN HTTPS 1 iad.edge.example.org. port="9643" ipv4hint="203.0.113.1" ipv6hint="2001:db8:3::1"`,
				z + `20 IN HTTPS 2 fra.edge.example.org. port="9643" ipv4hint="198.51.100.1" ipv6hint="2001:db8:1::1"`,
				z + `20 IN HTTPS 3 ams.edge.example.org. port="9643" ipv4hint="198.51.100.2"`,
			},
			nil,
		},
		{
			"_8989._https.ams", wire.TypeHTTPS, america, 0,
			[]string{"_8989._https.ams." + z + `20 IN HTTPS 1 ams.edge.example.org. ipv4hint="198.51.100.2"`},
			nil,
		},
		{"_acme-challenge", wire.TypeTXT, europe, 0, []string{"_acme-challenge." + z + "3600 IN CNAME edge.acme.example."}, nil},
		{"deep.below", wire.TypeTXT, europe, 0, []string{"deep.below." + z + `3600 IN TXT "x"`}, nil},

		// Nothing of this kind, but the name exists.
		{"ams", wire.TypeAAAA, europe, 0, nil, nil},
		{"@", wire.TypeMX, europe, 0, nil, nil},
		{"_janus._tcp", wire.TypeA, europe, 0, nil, nil},
		{"_none._tcp", wire.TypeSRV, europe, 0, nil, nil},
		{"_1._https", wire.TypeHTTPS, europe, 0, nil, nil},
		{"_tcp", wire.TypeSRV, europe, 0, nil, nil},
		{"below", wire.TypeA, europe, 0, nil, nil},
		{"deep.below", wire.TypeA, europe, 0, nil, nil},

		{"nobody", wire.TypeA, europe, wire.RcodeNameError, nil, nil},
		{"room-", wire.TypeA, europe, wire.RcodeNameError, nil, nil},
		{`room-a\.b`, wire.TypeA, europe, wire.RcodeNameError, nil, nil},
		{"x.fra", wire.TypeA, europe, wire.RcodeNameError, nil, nil},
		{"_a._b._c._tcp", wire.TypeSRV, europe, wire.RcodeNameError, nil, nil},
		{"nobody", wire.TypeANY, europe, wire.RcodeNameError, nil, nil},
	}
	s := newServer(t, &mesh{}, nil)
	for _, tt := range tests {
		t.Run(tt.name+" "+wire.TypeToString[tt.kind], func(t *testing.T) {
			r := pose(t, s, question(tt.name, tt.kind), tt.from)
			if r.Id != 4711 || !r.Response || !r.Authoritative || r.Truncated || r.RecursionAvailable || !r.RecursionDesired || r.Rcode != tt.rcode {
				t.Errorf("header: %v", r.MsgHdr)
			}
			if d := cmp.Diff(tt.want, texts(r.Answer)); d != "" {
				t.Errorf("answer: %s", d)
			}
			if d := cmp.Diff(tt.extra, texts(r.Extra)); d != "" {
				t.Errorf("additional: %s", d)
			}
			var authority []string
			if tt.want == nil {
				authority = []string{soa}
			}
			if d := cmp.Diff(authority, texts(r.Ns)); d != "" {
				t.Errorf("authority: %s", d)
			}
		})
	}
}

func TestRefused(t *testing.T) {
	s := newServer(t, &mesh{}, nil)
	class := question("@", wire.TypeA)
	class.Question[0].Qclass = wire.ClassCHAOS
	for _, q := range []*wire.Msg{
		question("example.org.", wire.TypeNS), question("edge.example.org.evil.", wire.TypeA), question("notedge.example.org.", wire.TypeA),
		question(".", wire.TypeNS), question(`x\.edge.example.org.`, wire.TypeA), question("version.bind.", wire.TypeTXT), class,
		question("@", wire.TypeAXFR), question("@", wire.TypeIXFR),
	} {
		r := pose(t, s, q, europe)
		if r.Rcode != wire.RcodeRefused || r.Authoritative || len(r.Answer)+len(r.Ns) != 0 {
			t.Errorf("%s: %v", q.Question[0].String(), r)
		}
	}
}

// A node that goes is in no answer from then on; without any the question is left to other servers.
func TestGone(t *testing.T) {
	m := &mesh{}
	s := newServer(t, m, nil)
	count := func(name string, kind uint16) string {
		r := pose(t, s, question(name, kind), europe)
		return fmt.Sprintf("%s %d", wire.RcodeToString[r.Rcode], len(r.Answer))
	}
	for _, step := range []struct{ gone, zone, srv, fra string }{
		{"", "NOERROR 2", "NOERROR 3", "NOERROR 1"},
		{"fra", "NOERROR 2", "NOERROR 2", "NXDOMAIN 0"},
		{"ams", "NOERROR 1", "NOERROR 1", "NXDOMAIN 0"},
		{"iad", "SERVFAIL 0", "SERVFAIL 0", "NXDOMAIN 0"},
	} {
		m.gone = append(m.gone, step.gone)
		if a, b, c := count("@", wire.TypeA), count("_janus._tcp", wire.TypeSRV), count("fra", wire.TypeA); a != step.zone || b != step.srv || c != step.fra {
			t.Errorf("without %v: %s, %s, %s", m.gone, a, b, c)
		}
	}
}

func TestClientSubnet(t *testing.T) {
	s := newServer(t, &mesh{}, nil)
	tests := []struct {
		name, subnet string
		kind         uint16
		want         string // the first address; "" for none
		scope        uint8
	}{
		{"@", "192.0.2.0/24", wire.TypeA, "198.51.100.1", 24},
		{"@", "192.0.2.128/32", wire.TypeA, "198.51.100.1", 24},
		{"@", "198.18.0.0/15", wire.TypeA, "203.0.113.1", 16}, // longer than what was told: it was too little
		{"@", "2001:db8:e::/56", wire.TypeA, "198.51.100.1", 24},
		{"@", "0.0.0.0/0", wire.TypeA, "203.0.113.1", 0}, // the client does not want to be found: the resolver's place, for everybody
		{"@", "::/0", wire.TypeA, "203.0.113.1", 0},
		{"fra", "192.0.2.0/24", wire.TypeA, "198.51.100.1", 0},
		{"@", "192.0.2.0/24", wire.TypeNS, "", 0},
		{"nobody", "192.0.2.0/24", wire.TypeA, "", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name+" "+tt.subnet, func(t *testing.T) {
			q := withSubnet(question(tt.name, tt.kind), tt.subnet)
			asked := subnetOf(q.IsEdns0())
			r := pose(t, s, q, america)
			got := subnetOf(r.IsEdns0())
			if got == nil {
				t.Fatal("no client subnet in the answer")
			}
			if got.Family != asked.Family || got.SourceNetmask != asked.SourceNetmask || !got.Address.Equal(asked.Address) || got.SourceScope != tt.scope {
				t.Errorf("asked for %v, answered for %v", asked, got)
			}
			first := ""
			if len(r.Answer) > 0 {
				if a, ok := r.Answer[0].(*wire.A); ok {
					first = a.A.String()
				}
			}
			if first != tt.want {
				t.Errorf("led to %q, not %q", first, tt.want)
			}
		})
	}
	// dig +subnet=0 names no family.
	q := withSubnet(question("@", wire.TypeA), "0.0.0.0/0")
	subnetOf(q.IsEdns0()).Family = familyNone
	if r := pose(t, s, q, america); r.Rcode != 0 || subnetOf(r.IsEdns0()) == nil || len(r.Answer) != 1 {
		t.Errorf("without a family: %v", r)
	}
	if r := pose(t, s, question("@", wire.TypeA), america); r.IsEdns0() != nil {
		t.Error("EDNS for somebody who does not speak it")
	}
}

func TestMalformed(t *testing.T) {
	s := newServer(t, &mesh{}, nil)
	good, err := question("@", wire.TypeA).Pack()
	if err != nil {
		t.Fatal(err)
	}
	change := func(f func(b []byte) []byte) []byte { return f(append([]byte(nil), good...)) }
	subnet := func(f func(*wire.EDNS0_SUBNET)) []byte {
		q := withSubnet(question("@", wire.TypeA), "192.0.2.0/24")
		b, err := q.Pack()
		if err != nil {
			t.Fatal(err)
		}
		o := subnetOf(q.IsEdns0())
		f(o)
		raw := []byte{0, byte(o.Family), o.SourceNetmask, o.SourceScope} //nolint:gosec // small
		copy(b[len(b)-7:], raw)
		return b
	}
	tests := []struct {
		name   string
		packet []byte
		rcode  int // -1: silence
	}{
		{"nothing", nil, -1},
		{"half a header", good[:11], -1},
		{"an answer", change(func(b []byte) []byte { b[2] |= 0x80; return b }), -1},
		{"a header", good[:12], wire.RcodeFormatError},
		{"half a question", good[:20], wire.RcodeFormatError},
		{"two questions", change(func(b []byte) []byte { b[5] = 2; return b }), wire.RcodeFormatError},
		{"no question", change(func(b []byte) []byte { b[5] = 0; return b[:12] }), wire.RcodeFormatError},
		{"records", change(func(b []byte) []byte { b[7] = 9; return b }), wire.RcodeFormatError},
		{"a name that points to itself", change(func(b []byte) []byte { b[12], b[13] = 0xc0, 12; return b }), wire.RcodeFormatError},
		{"an update", change(func(b []byte) []byte { b[2] = wire.OpcodeUpdate << 3; return b }), wire.RcodeNotImplemented},
		{"a notification", change(func(b []byte) []byte { b[2] = wire.OpcodeNotify << 3; return b }), wire.RcodeNotImplemented},
		{"a subnet's scope", subnet(func(s *wire.EDNS0_SUBNET) { s.SourceScope = 24 }), wire.RcodeFormatError},
		{"bits beyond a subnet", subnet(func(s *wire.EDNS0_SUBNET) { s.SourceNetmask = 17 }), wire.RcodeFormatError},
		{"a subnet too long", subnet(func(s *wire.EDNS0_SUBNET) { s.SourceNetmask = 33 }), wire.RcodeFormatError},
		{"a strange family", subnet(func(s *wire.EDNS0_SUBNET) { s.Family = 3 }), wire.RcodeFormatError},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := s.overUDP(time.Now(), tt.packet, netip.MustParseAddr(europe))
			if (b == nil) != (tt.rcode < 0) {
				t.Fatalf("%x", b)
			}
			if b == nil {
				return
			}
			r := new(wire.Msg)
			if err := r.Unpack(b); err != nil || r.Rcode != tt.rcode || !r.Response || r.Id != 4711 || len(r.Answer) != 0 {
				t.Errorf("%v %v", err, r)
			}
		})
	}
	two := question("@", wire.TypeA).SetEdns0(1232, false)
	two.Extra = append(two.Extra, two.Extra[0])
	if r := pose(t, s, two, europe); r.Rcode != wire.RcodeFormatError {
		t.Errorf("two EDNS records: %v", r)
	}
	version := question("@", wire.TypeA).SetEdns0(1232, true)
	version.IsEdns0().SetVersion(1)
	r := pose(t, s, version, europe)
	if r.Rcode != wire.RcodeBadVers || r.IsEdns0().Version() != 0 || !r.IsEdns0().Do() {
		t.Errorf("a strange version: %v", r)
	}
	if got, want := s.Stats(), (Stats{UDP: 17, Malformed: 14}); got != want {
		t.Errorf("counted %+v, not %+v", got, want)
	}
}

// What does not fit is cut: additional records without a word, others with the sign to come over TCP.
func TestSize(t *testing.T) {
	long := strings.Repeat("x", 60)
	var nodes []Node
	for i := range 4 {
		n := node(fmt.Sprintf("%s%d", long, i))
		for j := range 30 {
			n.Addresses = append(n.Addresses, netip.AddrFrom16([16]byte{0x20, 1, 15: byte(16*i + j)}))
		}
		nodes = append(nodes, n)
	}
	texts := make([]string, 30)
	for i := range texts {
		texts[i] = fmt.Sprintf("text TXT %02d%s", i, long)
	}
	s := newServer(t, &mesh{}, func(c *Config) {
		c.Choose = func(Query) Choice { return Choice{Nodes: nodes, Equal: 4} }
		c.Records = texts
	})
	tests := []struct {
		name    string
		kind    uint16
		size    uint16 // EDNS; 0: none
		over    int    // bytes, at least
		most    int
		cut     bool
		answers int
	}{
		{"@", wire.TypeAAAA, 0, 100, 512, false, maxAddresses},
		{"_janus._tcp", wire.TypeSRV, 0, 100, 512, false, 4},
		{"text", wire.TypeTXT, 0, 400, 512, true, 5},
		{"text", wire.TypeTXT, 100, 400, 512, true, 4},
		{"text", wire.TypeTXT, 1000, 900, 1000, true, 11},
		{"text", wire.TypeTXT, math.MaxUint16, 1100, maxUDP, true, 14},
	}
	for _, tt := range tests {
		q := question(tt.name, tt.kind)
		if tt.size > 0 {
			q.SetEdns0(tt.size, false)
		}
		packet, err := q.Pack()
		if err != nil {
			t.Fatal(err)
		}
		b := s.overUDP(time.Now(), packet, netip.MustParseAddr(europe))
		r := new(wire.Msg)
		if err := r.Unpack(b); err != nil || len(b) > tt.most || len(b) < tt.over || r.Truncated != tt.cut || len(r.Answer) < tt.answers {
			t.Errorf("%s with %d: %d bytes, cut %v, %d answers, %v", tt.name, tt.size, len(b), r.Truncated, len(r.Answer), err)
		}
		if b := s.overTCP(time.Now(), packet, netip.MustParseAddr(europe)); r.Unpack(b) != nil || r.Truncated {
			t.Errorf("%s over TCP: %d bytes, cut %v", tt.name, len(b), r.Truncated)
		}
	}
}

func TestConfig(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"no zone":             func(c *Config) { c.Zone = "" },
		"the root":            func(c *Config) { c.Zone = "." },
		"no name":             func(c *Config) { c.Zone = "a..b" },
		"no name server":      func(c *Config) { c.NameServers = nil },
		"a name server":       func(c *Config) { c.NameServers = []string{"a..b"} },
		"no TTL":              func(c *Config) { c.TTL = 0 },
		"a long TTL":          func(c *Config) { c.TTL = 2 * time.Hour },
		"no choice":           func(c *Config) { c.Choose = nil },
		"no record":           func(c *Config) { c.Records = []string{""} },
		"half a record":       func(c *Config) { c.Records = []string{"x A"} },
		"two records":         func(c *Config) { c.Records = []string{"x A 1.2.3.4\ny A 1.2.3.4"} },
		"a file":              func(c *Config) { c.Records = []string{"$INCLUDE /etc/passwd"} },
		"a record elsewhere":  func(c *Config) { c.Records = []string{"x.example.com. A 1.2.3.4"} },
		"the zone's address":  func(c *Config) { c.Records = []string{"@ A 1.2.3.4"} },
		"the zone's alias":    func(c *Config) { c.Records = []string{"@ CNAME x"} },
		"a wildcard":          func(c *Config) { c.Records = []string{"*.x TXT y"} },
		"a delegation":        func(c *Config) { c.Records = []string{"x NS ns.example.net."} },
		"an alias and others": func(c *Config) { c.Records = []string{"x CNAME y", "x TXT z"} },
	} {
		cfg := (&mesh{}).config()
		change(&cfg)
		if _, err := New(cfg); err == nil {
			t.Errorf("%s: no error", name)
		} else if strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: more than one line: %q", name, err)
		}
	}
}

func TestLabel(t *testing.T) {
	for name, want := range map[string]string{
		"fra1": "fra1", "Fra 1": "fra-1", "node.example.org": "node-example-org", "": "", "...": "", "-a-": "a", "ü": "",
		strings.Repeat("a", 70): strings.Repeat("a", 63),
	} {
		if got := Label(name); got != want {
			t.Errorf("%q: %q, not %q", name, got, want)
		}
	}
}

// FuzzAnswer wants of every packet silence or an answer to it that resolvers can read and that is no longer than they take.
func FuzzAnswer(f *testing.F) {
	for _, q := range []*wire.Msg{
		question("@", wire.TypeA), question("_janus._tcp", wire.TypeSRV), question("room-1", wire.TypeHTTPS), question("@", wire.TypeANY),
		withSubnet(question("@", wire.TypeAAAA), "2001:db8:e::/56"), withCookie(question("@", wire.TypeA), mine), question("example.com.", wire.TypeA), question("fra", wire.TypeNS).SetEdns0(512, true),
	} {
		b, err := q.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	s := newServer(f, &mesh{}, nil)
	from, now := netip.MustParseAddr(europe), time.Now()
	f.Fuzz(func(t *testing.T, packet []byte) {
		b := s.overUDP(now, packet, from)
		if b == nil {
			if len(packet) >= headerSize && packet[2]&0x80 == 0 {
				t.Fatal("silence")
			}
			return
		}
		r := new(wire.Msg)
		if err := r.Unpack(b); err != nil || len(b) > maxUDP || !r.Response || r.Id != binary.BigEndian.Uint16(packet) {
			t.Fatalf("%d bytes, %v: %v", len(b), err, r)
		}
		if r.Rcode == wire.RcodeSuccess && !r.Authoritative {
			t.Fatalf("an answer that is nobody's: %v", r)
		}
		if over := s.overTCP(now, packet, from); len(over) < len(b) {
			t.Fatalf("%d bytes over UDP, %d over TCP", len(b), len(over))
		}
	})
}

func BenchmarkAnswer(b *testing.B) {
	s := newServer(b, &mesh{}, nil)
	packet, err := withSubnet(question("@", wire.TypeA), "192.0.2.0/24").Pack()
	if err != nil {
		b.Fatal(err)
	}
	from, now := netip.MustParseAddr(europe), time.Now()
	b.ReportAllocs()
	for b.Loop() {
		if s.overUDP(now, packet, from) == nil {
			b.Fatal("silence")
		}
	}
}
