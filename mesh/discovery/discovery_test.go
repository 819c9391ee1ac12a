package discovery

import (
	"errors"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/miekg/dns"
	"go.uber.org/goleak"

	"cardea/mesh/discovery/discoverytest"
)

// The client looks once a second whether a server that was away is back, and notices only then that it was closed.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/redis/go-redis/v9/internal/pool.(*ConnPool).tryDial"))
}

func addresses(all ...string) []netip.AddrPort {
	var parsed []netip.AddrPort
	for _, a := range all {
		parsed = append(parsed, netip.MustParseAddrPort(a))
	}
	return parsed
}

func TestSplitAddress(t *testing.T) {
	for text, want := range map[string]string{
		"node.example.org": "node.example.org 7947", "node:1": "node 1", "192.0.2.1": "192.0.2.1 7947", "192.0.2.1:80": "192.0.2.1 80",
		"2001:db8::1": "2001:db8::1 7947", "[2001:db8::1]:80": "2001:db8::1 80", "_cardea._tcp.example": "_cardea._tcp.example 7947",
		"": "", "a b": "", "a:0": "", "a:x": "", "a..b": "", "a:1:2": "", ":1": "", "a/b": "", strings.Repeat("a", 300): "",
	} {
		host, port, err := SplitAddress(text, 7947)
		if got := strings.TrimSpace(host + " " + strconv.Itoa(int(port))); err == nil && got != want || (err != nil) != (want == "") || err != nil && !errors.Is(err, ErrAddress) {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
}

func FuzzSplitAddress(f *testing.F) {
	f.Add("node:1")
	f.Add("[::1]:2")
	f.Fuzz(func(t *testing.T, text string) {
		host, port, err := SplitAddress(text, 1)
		if err != nil {
			return
		}
		again, p, err := SplitAddress(net.JoinHostPort(host, strconv.Itoa(int(port))), 9)
		if err != nil || again != host || p != port {
			t.Errorf("%q: %q %d, then %q %d %v", text, host, port, again, p, err)
		}
	})
}

func TestDNS(t *testing.T) {
	a := func(name string, last byte) *dns.A {
		return &dns.A{Hdr: discoverytest.Header(name, dns.TypeA), A: net.IPv4(192, 0, 2, last)}
	}
	srv := func(name, target string, port uint16) *dns.SRV {
		return &dns.SRV{Hdr: discoverytest.Header("_cardea._tcp."+name, dns.TypeSRV), Target: target, Port: port}
	}
	zone := map[string][]dns.RR{
		"plain.example.":             {a("plain.example.", 2), a("plain.example.", 1), &dns.AAAA{Hdr: discoverytest.Header("plain.example.", dns.TypeAAAA), AAAA: net.ParseIP("2001:db8::1")}},
		"_cardea._tcp.srv.example.":  {srv("srv.example.", "one.example.", 1111), srv("srv.example.", "gone.example.", 1)},
		"one.example.":               {a("one.example.", 7)},
		"_cardea._tcp.both.example.": {srv("both.example.", "one.example.", 7947)},
		"both.example.":              {a("both.example.", 7)},
		"empty.example.":             nil,
	}
	r := discoverytest.DNS(t, zone)
	tests := []struct {
		name string
		want []netip.AddrPort
	}{
		{"plain.example", addresses("192.0.2.1:7947", "192.0.2.2:7947", "[2001:db8::1]:7947")},
		{"srv.example", addresses("192.0.2.7:1111")},
		{"both.example", addresses("192.0.2.7:7947")},
		{"empty.example", nil},
		{"missing.example", nil},
	}
	for _, tt := range tests {
		got, err := DNS(t.Context(), r, tt.name, 7947)
		if d := cmp.Diff(tt.want, got, cmpopts.EquateComparable(netip.AddrPort{}), cmpopts.EquateEmpty()); d != "" || (err != nil) != (tt.want == nil) {
			t.Errorf("%s: %v %s", tt.name, err, d)
		}
	}
	got, err := Static(t.Context(), r, "one.example:99", 7947)
	if err != nil || len(got) != 1 || got[0] != addresses("192.0.2.7:99")[0] {
		t.Errorf("static: %v %v", got, err)
	}
	if got, err := Static(t.Context(), r, "::1", 7947); err != nil || got[0] != addresses("[::1]:7947")[0] {
		t.Errorf("static address: %v %v", got, err)
	}
	if _, err := Static(t.Context(), r, "a b", 1); !errors.Is(err, ErrAddress) {
		t.Errorf("no address: %v", err)
	}
}

func TestRegistry(t *testing.T) {
	url := discoverytest.Redis(t)
	open := func(cluster string) *Registry {
		r, err := OpenRegistry(url, cluster)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { r.Close() })
		return r
	}
	r, other := open("one"), open("two")
	put := func(r *Registry, node, value string, ttl time.Duration) {
		if err := r.Put(t.Context(), node, []byte(value), ttl); err != nil {
			t.Fatal(err)
		}
	}
	if all, err := r.List(t.Context()); err != nil || len(all) != 0 {
		t.Errorf("empty: %v %v", all, err)
	}
	put(r, "a", "first", time.Minute)
	put(r, "a", "second", time.Minute)
	put(r, "b", "x", time.Minute)
	put(r, "long", strings.Repeat("x", maxValue+1), time.Minute)
	put(r, "brief", "x", time.Millisecond)
	put(other, "c", "x", time.Minute)
	if err := r.Remove(t.Context(), "b"); err != nil {
		t.Error(err)
	}
	deadline := time.Now().Add(5 * time.Second)
	for {
		all, err := r.List(t.Context())
		d := cmp.Diff(map[string][]byte{"a": []byte("second")}, all)
		if err == nil && d == "" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%v %s", err, d)
		}
		<-time.After(5 * time.Millisecond)
	}
	for _, bad := range []string{"", "http://user:secret@host", "redis://user:secret@host:x"} {
		if _, err := OpenRegistry(bad, "x"); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v", bad, err)
		}
	}
	away, err := OpenRegistry("redis://127.0.0.1:1", "x")
	if err != nil {
		t.Fatal(err)
	}
	defer away.Close()
	if _, err := away.List(t.Context()); err == nil {
		t.Error("nobody's answer")
	}
	if err := away.Put(t.Context(), "a", nil, time.Second); err == nil {
		t.Error("noted nowhere")
	}
}
