package member

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/miekg/dns"

	"cardea/mesh/discovery"
	"cardea/mesh/discovery/discoverytest"
)

// forgetful starts a member again that has forgotten its peers, and looks for them as f says.
func forgetful(t *testing.T, f func(cfg *Config, a *testNode)) {
	t.Helper()
	a := start(t, config(t))
	cfg := config(t)
	cfg.Join = []string{a.invitation(Invitation{})}
	b := start(t, cfg)
	together(t, a, b)
	b.end()
	if err := os.Remove(filepath.Join(cfg.Dir, peersFile)); err != nil {
		t.Fatal(err)
	}
	cfg.Bind, cfg.Join = host(), nil
	f(&cfg, a)
	together(t, a, start(t, cfg))
}

func TestStaticList(t *testing.T) {
	forgetful(t, func(cfg *Config, a *testNode) { cfg.Join = []string{"127.71.255.254:1", a.Self().Links[0].String()} })
}

// TestStaticGossipAddress names the gossip port instead of the admissions'.
func TestStaticGossipAddress(t *testing.T) {
	forgetful(t, func(cfg *Config, a *testNode) { cfg.Join = []string{a.Self().Gossip[0].String()} })
}

func TestDNSName(t *testing.T) {
	forgetful(t, func(cfg *Config, a *testNode) {
		cfg.DNS = "mesh.example.org"
		cfg.Resolver = discoverytest.DNS(t, map[string][]dns.RR{
			"mesh.example.org.": {&dns.A{Hdr: discoverytest.Header("mesh.example.org.", dns.TypeA), A: net.IP(a.Self().Links[0].Addr().AsSlice())}},
		})
	})
}

// TestRegistry meets through Redis, with rubbish beside the real entry, and wants a node that left to be gone from there.
func TestRegistry(t *testing.T) {
	url := discoverytest.Redis(t)
	cfg := config(t)
	cfg.Redis = url
	a := start(t, cfg)
	r, err := discovery.OpenRegistry(url, a.ID())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := r.Put(t.Context(), "nonsense", []byte("nonsense"), 0); err != nil {
		t.Fatal(err)
	}
	second := config(t)
	second.Join = []string{a.invitation(Invitation{})}
	b := start(t, second)
	together(t, a, b)
	b.end()
	together(t, a)
	if err := os.Remove(filepath.Join(second.Dir, peersFile)); err != nil {
		t.Fatal(err)
	}
	second.Redis = url
	b = start(t, second)
	together(t, a, b)
	a.end()
	all, err := r.List(t.Context())
	if err != nil || all[string(a.Self().ID)] != nil || all[string(b.Self().ID)] == nil {
		t.Errorf("after a left: %d entries, %v", len(all), err)
	}
}

// TestRegistryAway wants a node to run, and stop, without its registry.
func TestRegistryAway(t *testing.T) {
	cfg := config(t)
	cfg.Redis = "redis://127.71.255.253:1"
	a := start(t, cfg)
	together(t, a, join(t, a.invitation(Invitation{})))
	a.end()
	cfg.Redis = "http://nonsense:secret@x"
	if c, err := Open(context.Background(), cfg); err == nil {
		c.Close()
		t.Error("a registry that is none")
	}
}
