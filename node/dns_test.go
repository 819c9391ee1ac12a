package node

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/google/go-cmp/cmp"
	wire "github.com/miekg/dns"

	"cardea/geo"
	"cardea/geo/geotest"
	"cardea/mesh/member"
	"cardea/node/config"
	"cardea/node/registry"
)

func TestSee(t *testing.T) {
	address := []netip.Addr{netip.MustParseAddr("192.0.2.1")}
	doors := geo.Doors{Addresses: address, WS: 8188, WSS: 8989, HTTPS: 8089, Media: 3478, MediaTCP: true, TURNS: 5349}
	s := see(time.Now(), []geo.Node{
		{ID: "aaaa", Name: "Fra 1", Signaling: true, Doors: doors},
		{ID: "bbbb", Name: "fra-1", Media: true, TURN: true, Doors: doors},
		{ID: "cccc", Name: "..."},
	})
	var services []string
	for id, label := range map[string]string{"aaaa": "fra-1", "bbbb": "bbbb", "cccc": "cccc"} {
		n, ok := s.byID[id]
		if !ok || n.Label != label || id != "cccc" && !slices.Equal(n.Addresses, address) {
			t.Errorf("%s: %+v", id, n)
		}
		for _, v := range n.Services {
			services = append(services, fmt.Sprintf("%s %s %d %v", id, v.Name, v.Port, v.Web))
		}
	}
	if n := s.byLabel["fra-1"]; len(s.byLabel) != 2 || n.Label != "fra-1" || len(n.Services) != 4 {
		t.Errorf("by label: %+v", s.byLabel)
	}
	slices.Sort(services)
	if d := cmp.Diff([]string{
		"aaaa _https._tcp 8089 true", "aaaa _janus-https._tcp 8089 true", "aaaa _janus-wss._tcp 8989 true", "aaaa _janus._tcp 8188 false",
		"bbbb _stun._tcp 3478 false", "bbbb _stun._udp 3478 false", "bbbb _stuns._tcp 5349 false",
		"bbbb _turn._tcp 3478 false", "bbbb _turn._udp 3478 false", "bbbb _turns._tcp 5349 false",
	}, services); d != "" {
		t.Error(d)
	}
	if all := candidates(s.nodes, "_turn._udp"); len(all) != 1 || all[0].ID != "bbbb" || !all[0].Signaling || s.nodes[1].Signaling {
		t.Errorf("candidates for TURN: %+v", all)
	}
	if all := candidates(s.nodes, "_janus._tcp"); len(all) != 3 {
		t.Errorf("candidates for Janus: %+v", all)
	}
}

func TestScope(t *testing.T) {
	for _, tt := range []struct {
		client, located string
		want            int
	}{
		{"192.0.2.0/24", "192.0.0.0/16", 24},
		{"192.0.2.1/32", "192.0.0.0/16", 24},
		{"192.0.2.0/24", "192.0.2.0/28", 28},
		{"192.0.0.0/12", "192.0.0.0/16", 16},
		{"192.0.0.0/12", "", 12},
		{"2001:db8::/56", "2001::/16", 48},
		{"2001:db8::/32", "", 32},
		{"2001:db8::/56", "192.0.2.0/24", 48},
	} {
		var located netip.Prefix
		if tt.located != "" {
			located = netip.MustParsePrefix(tt.located)
		}
		if got := scopeOf(netip.MustParsePrefix(tt.client), located); got != tt.want {
			t.Errorf("%s in %s: %d, not %d", tt.client, tt.located, got, tt.want)
		}
	}
	spread := func(p string) uint64 { return spreadOf(netip.MustParsePrefix(p)) }
	if spread("192.0.2.0/24") != spread("192.0.2.77/32") || spread("192.0.2.0/24") == spread("192.0.3.0/24") ||
		spread("2001:db8::/56") != spread("2001:db8::1/128") || spread("2001:db8::/48") == spread("2001:db8:1::/48") {
		t.Error("clients are not spread by their networks")
	}
}

// TestNames asks two nodes for names of the zone, and for what they say of themselves in Redis, while one of them drains and ends.
func TestNames(t *testing.T) {
	redis := miniredis.RunT(t)
	path := filepath.Join(t.TempDir(), "db.mmdb")
	geotest.Write(t, path, map[string]map[string]any{
		"192.0.2.0/24": geotest.City("DE", 50.11, 8.68), "203.0.113.0/24": geotest.City("US", 39, -77.5), "2001:db8::/32": geotest.City("DE", 52.5, 13.4),
		"127.0.0.0/8": geotest.City("GL", 52, -38.8), // as far from the one as from the other
	})
	open := func(address, name string, change func(*config.Config)) (*Node, *config.Config) {
		c := new(config.Default())
		c.Node.DataDir, c.Node.Bind, c.Node.Name, c.Node.StopTimeout = t.TempDir(), netip.MustParseAddr(address), name, 5*time.Second
		c.DNS.Zone, c.DNS.Port, c.DNS.Nameservers = "edge.example.org", 5353, []string{"one", "two"}
		c.Geo.Databases = []string{path}
		c.Janus.Redirect = config.RedirectBusy
		c.DNS.Records = []string{`@ CAA 0 issue "ca.example, or not"`}
		c.Registry.Redis = config.Secret("redis://" + redis.Addr())
		c.Registry.Entries = []config.RegistryEntry{{Key: "ip:{{.Name}}", Value: "{{.Address}}"}}
		change(c)
		if err := c.Validate(); err != nil {
			t.Fatal(err)
		}
		n, err := Listen(t.Context(), c, quiet())
		if err != nil {
			t.Fatal(err)
		}
		return n, c
	}
	serve := func(n *Node) (stop func()) {
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- n.Serve(ctx) }()
		stop = func() {
			cancel()
			if err := <-done; err != nil {
				t.Errorf("%s: %v", n.name, err)
			}
			done <- nil
		}
		t.Cleanup(stop)
		return stop
	}
	one, _ := open("127.0.7.41", "one", func(c *config.Config) { c.Geo.Place = config.Place{Latitude: 50, Longitude: 8.5} }) // Frankfurt
	invitation := one.cluster.FirstInvitation()
	serve(one)
	two, _ := open("127.0.7.42", "two", func(c *config.Config) {
		c.Mesh.Join = []config.Secret{config.Secret(invitation)}
		c.Geo.Place = config.Place{Latitude: 39, Longitude: -77} // Ashburn
	})
	stop := serve(two)

	ask := func(server, network, name string, kind uint16) string {
		name, subnet, _ := strings.Cut(name, " ")
		q := new(wire.Msg).SetQuestion(name, kind)
		if p, err := netip.ParsePrefix(subnet); err == nil {
			family := uint16(1)
			if p.Addr().Is6() {
				family = 2
			}
			q.SetEdns0(1232, false).IsEdns0().Option = []wire.EDNS0{&wire.EDNS0_SUBNET{
				Code: wire.EDNS0SUBNET, Family: family, SourceNetmask: uint8(p.Bits()), Address: p.Addr().AsSlice(), //nolint:gosec // at most 128
			}}
		}
		r, _, err := (&wire.Client{Net: network, Timeout: 2 * time.Second}).ExchangeContext(t.Context(), q, server+":5353")
		if err != nil {
			return err.Error()
		}
		var all []string
		for _, rr := range r.Answer {
			all = append(all, strings.TrimPrefix(rr.String(), rr.Header().String()))
		}
		slices.Sort(all)
		if o := r.IsEdns0(); o != nil {
			all = append(all, "for /"+strconv.Itoa(int(o.Option[0].(*wire.EDNS0_SUBNET).SourceScope)))
		}
		return strings.TrimSpace(wire.RcodeToString[r.Rcode] + " " + strings.Join(all, " "))
	}
	type want struct {
		network, name string
		kind          uint16
		answer        string
	}
	agreed := func(step string, servers []string, wants []want) {
		t.Helper()
		for deadline := time.Now().Add(20 * time.Second); ; <-time.After(50 * time.Millisecond) {
			var wrong []string
			for _, s := range servers {
				for _, w := range wants {
					if got := ask(s, w.network, w.name, w.kind); got != w.answer {
						wrong = append(wrong, fmt.Sprintf("%s over %s at %s: %s, not %s", w.name, w.network, s, got, w.answer))
					}
				}
			}
			if len(wrong) == 0 {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s: %s", step, strings.Join(wrong, "\n"))
			}
		}
	}
	const zone = "edge.example.org."
	both := []string{"127.0.7.41", "127.0.7.42"}
	srv := func(host string) string { return "1 1 8188 " + host + "." + zone }
	for i, own := range both { // as long as nodes do not know that they are on one machine
		agreed("nobody knows where", both[i:i+1], []want{{"udp", zone + " 198.51.100.0/24", wire.TypeA, "NOERROR " + own + " for /24"}})
	}
	agreed("both", both, []want{
		{"udp", zone, wire.TypeA, "NOERROR 127.0.7.41 127.0.7.42"},
		{"tcp", zone, wire.TypeNS, "NOERROR one." + zone + " two." + zone},
		{"udp", zone + " 192.0.2.0/24", wire.TypeA, "NOERROR 127.0.7.41 for /24"},
		{"udp", zone + " 203.0.113.77/32", wire.TypeA, "NOERROR 127.0.7.42 for /24"},
		{"udp", zone + " 2001:db8:1:2::/64", wire.TypeA, "NOERROR 127.0.7.41 for /48"},
		{"udp", zone + " 203.0.113.0/24", wire.TypeSRV, "NOERROR for /0"},
		{"udp", "_janus._tcp." + zone + " 203.0.113.0/24", wire.TypeSRV, "NOERROR 1 1 8188 two." + zone + " 2 1 8188 one." + zone + " for /24"},
		{"udp", "room-5." + zone, wire.TypeA, "NOERROR 127.0.7.41 127.0.7.42"},
		{"udp", "two." + zone, wire.TypeA, "NOERROR 127.0.7.42"},
		{"udp", string(two.cluster.Self().ID) + "." + zone, wire.TypeA, "NOERROR 127.0.7.42"},
		{"udp", "_janus._tcp." + zone, wire.TypeSRV, "NOERROR " + srv("one") + " " + srv("two")},
		{"udp", zone, wire.TypeCAA, `NOERROR 0 issue "ca.example, or not"`},
		{"udp", "three." + zone, wire.TypeA, "NXDOMAIN"},
		{"udp", "example.com.", wire.TypeA, "REFUSED"},
	})
	noted := func(n *Node) (r registry.Node) {
		v, _ := redis.Get("cardea:node:" + string(n.cluster.Self().ID))
		_ = json.Unmarshal([]byte(v), &r)
		return r
	}
	until := func(what string, ok func() bool) {
		t.Helper()
		for deadline := time.Now().Add(20 * time.Second); !ok(); <-time.After(20 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%s: %s", what, redis.Dump())
			}
		}
	}
	until("both in Redis", func() bool {
		ip, _ := redis.Get("ip:two")
		a, b := noted(one), noted(two)
		return a.State == registry.Ready && b.State == registry.Ready && ip == "127.0.7.42" && b.Address == ip && b.WS == 8188 && b.Name == "two" && b.Capacity > 0
	})

	create := func() (status int, location string) {
		h := client(t)
		h.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		resp, err := h.Post("http://127.0.7.41:8088/janus", "application/json", strings.NewReader(`{"janus":"create","transaction":"t"}`))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode, resp.Header.Get("Location")
	}
	if status, location := create(); status != 200 || location != "" {
		t.Errorf("sent away by a node that takes clients: %d %q", status, location)
	}
	one.load.refuse("a test")
	if status, location := create(); status != 307 || location != "http://127.0.7.42:8088/janus?redirected" {
		t.Errorf("refused: %d %q", status, location)
	}
	one.load.refuse("")

	two.cluster.Update(func(m *member.Node) { m.State = member.Draining })
	agreed("draining", both, []want{
		{"udp", zone + " 203.0.113.0/24", wire.TypeA, "NOERROR 127.0.7.41 for /24"},
		{"udp", zone, wire.TypeA, "NOERROR 127.0.7.41"},
		{"udp", "two." + zone, wire.TypeA, "NOERROR 127.0.7.42"},
		{"udp", "_janus._tcp." + zone, wire.TypeSRV, "NOERROR " + srv("one")},
	})
	until("draining in Redis", func() bool { return noted(two).State == "draining" && !redis.Exists("ip:two") })
	stop()
	agreed("gone", both[:1], []want{{"udp", zone, wire.TypeA, "NOERROR 127.0.7.41"}, {"udp", "two." + zone, wire.TypeA, "NXDOMAIN"}})
	until("gone from Redis", func() bool { return noted(two).State == "" && noted(one).State == registry.Ready })
}

// TestNamesFail wants one clear line for a zone, a record or an entry that cannot be, and no port kept.
func TestNamesFail(t *testing.T) {
	taken, err := net.ListenPacket("udp", "127.0.7.43:5354")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for want, change := range map[string]func(*config.Config){
		`dns: record "x A 1.2.3"`:                                func(c *config.Config) { c.DNS.Records = []string{"x A 1.2.3"} },
		"dns.port (udp 127.0.7.43:5354): address already in use": func(c *config.Config) { c.DNS.Port = 5354 },
		`registry entry "x": template: value:1`:                  func(c *config.Config) { c.Registry.Entries = []config.RegistryEntry{{Key: "x", Value: "{{"}} },
		`"x": registry entry: template: value:1:2`:               func(c *config.Config) { c.Registry.Entries = []config.RegistryEntry{{Key: "x", Value: "{{.No}}"}} },
	} {
		c := new(config.Default())
		c.Node.DataDir, c.Node.Bind = t.TempDir(), netip.MustParseAddr("127.0.7.43")
		c.DNS.Zone, c.DNS.Port, c.Registry.Redis = "edge.example.org", 5353, "redis://127.0.0.1:1"
		change(c)
		n, err := Listen(t.Context(), c, quiet())
		if err == nil {
			n.Close()
		}
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: %v", want, err)
		}
	}
}
