package wan

import (
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestReadTopology(t *testing.T) {
	got, err := ReadTopology(strings.NewReader(`
seed: 7
mtu: 1400
sites:
  - {name: eu, hosts: 3}
  - {name: phone, prefixes: [203.0.113.0/24]}
links:
  - eu phone rtt=60ms
  - phone>eu delay=40ms rate=5mbit queue=200ms
`))
	if err != nil {
		t.Fatal(err)
	}
	want := Topology{
		Sites: []SiteConfig{{Name: "eu", Hosts: 3}, {Name: "phone", Prefixes: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}}},
		Links: []Link{
			{From: "eu", To: "phone", Both: true, Conditions: Conditions{Delay: 30 * time.Millisecond}},
			{From: "phone", To: "eu", Conditions: Conditions{Delay: 40 * time.Millisecond, Rate: 5e6, QueueTime: 200 * time.Millisecond}},
		},
		Seed: 7, MTU: 1400,
	}
	if d := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); d != "" {
		t.Error(d)
	}
	if c := got.conditions("eu", "phone"); c != want.Links[0].Conditions {
		t.Errorf("eu>phone: %v", c)
	}
	if c := got.conditions("phone", "eu"); c != want.Links[1].Conditions {
		t.Errorf("phone>eu: %v, the later link should hold", c)
	}
}

func TestReadTopologyRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"sites: []":                                                "0 sites",
		"sites: [{name: a}]\nlink: []":                             "field link not found",
		"sites: [{name: A}]":                                       "not a site's name",
		"sites: [{name: a}, {name: a}]":                            "taken",
		"sites: [{name: a/b}]":                                     "not a site's name",
		"sites: [{name: a, hosts: 201}]":                           "201 hosts",
		"sites: [{name: a, hosts: -1}]":                            "-1 hosts",
		"sites: [{name: a}]\nmtu: 1000":                            "MTU 1000",
		"sites: [{name: a}]\nlinks: [a b loss=1%]":                 "not two sites",
		"sites: [{name: a}]\nlinks: [a a loss=1%]":                 "not two sites",
		"sites: [{name: a}]\n\nlinks: [a b loss=2]":                "line 3",
		"sites: [{name: a}]\nlinks: [a]":                           "does not start with",
		"sites: [{name: a}]\nlinks: [[a, b]]":                      "cannot unmarshal",
		"sites: [{name: a, prefixes: [10.2.0.0/16]}, {name: b}]":   "overlaps",
		"sites: [{name: a, prefixes: [10.2.0.1/16]}]":              "not a network",
		"sites: [{name: a, prefixes: [127.3.0.0/16]}]":             "does not leave",
		"sites: [{name: a, prefixes: ['fe80::/64']}]":              "does not leave",
		"sites: [{name: a, prefixes: [192.0.2.0/24]}]":             "the link itself",
		"sites: [{name: a, hosts: 4, prefixes: [203.0.113.0/30]}]": "no room",
	} {
		if _, err := ReadTopology(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want one with %q", text, err, want)
		}
	}
}

func TestAddresses(t *testing.T) {
	topology := Topology{Sites: make([]SiteConfig, 12)}
	topology.Sites[11].Hosts = 2
	got := topology.addresses(11)
	want := []netip.Addr{
		netip.MustParseAddr("10.12.0.1"), netip.MustParseAddr("10.12.0.2"), netip.MustParseAddr("fd00:12::1"), netip.MustParseAddr("fd00:12::2"),
	}
	if d := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); d != "" {
		t.Error(d)
	}
}

func TestRegions(t *testing.T) {
	r := Regions()
	if err := r.Validate(); err != nil {
		t.Fatal(err)
	}
	for pair, rtt := range map[[2]string]time.Duration{
		{"eu", "us"}: 80 * time.Millisecond, {"eu", "ap"}: 150 * time.Millisecond, {"us", "ap"}: 220 * time.Millisecond,
	} {
		if got := r.conditions(pair[0], pair[1]).Delay + r.conditions(pair[1], pair[0]).Delay; got != rtt {
			t.Errorf("%v: round trip %v, want %v", pair, got, rtt)
		}
	}
}

func TestParsePair(t *testing.T) {
	type pair struct {
		from, to string
		both     bool
		rest     string
	}
	for text, want := range map[string]pair{
		"eu us":                    {"eu", "us", true, ""},
		"eu>us":                    {"eu", "us", false, ""},
		"  eu   us  loss=1%  x=y ": {"eu", "us", true, "loss=1%  x=y"},
		"eu>us loss=1%":            {"eu", "us", false, "loss=1%"},
	} {
		var got pair
		var err error
		if got.from, got.to, got.both, got.rest, err = ParsePair(text); err != nil || got != want {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "eu", "eu>", ">us", "eu loss=1%", "eu us>ap", "eu > us"} {
		if _, _, _, _, err := ParsePair(text); err == nil {
			t.Errorf("%q is a pair", text)
		}
	}
}

// The README's example must be one.
func TestReadmeTopology(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(readme), "```yaml\n")
	text, _, closed := strings.Cut(rest, "```")
	if !ok || !closed {
		t.Fatal("no YAML in the README")
	}
	if _, err := ReadTopology(strings.NewReader(text)); err != nil {
		t.Error(err)
	}
}

func FuzzReadTopology(f *testing.F) {
	f.Add("sites: [{name: a, hosts: 2}, {name: b, prefixes: [203.0.113.0/24]}]\nlinks: [a b loss=1%, b>a rtt=1s]")
	f.Add("sites: [{name: a, prefixes: ['::/0']}]")
	f.Fuzz(func(t *testing.T, text string) {
		topology, err := ReadTopology(strings.NewReader(text))
		if err != nil {
			return
		}
		fabric := newFabric(topology, nil)
		for i, s := range topology.Sites {
			for _, a := range topology.addresses(i) {
				b := make([]byte, 40)
				if a.Is4() {
					b[0] = 0x40
					copy(b[16:], a.AsSlice())
				} else {
					b[0] = 0x60
					copy(b[24:], a.AsSlice())
				}
				if got := fabric.route(b); got != i {
					t.Fatalf("host %v of site %d, %s, is routed to %d", a, i, s.Name, got)
				}
			}
		}
	})
}
