package node

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"cardea/geo"
	"cardea/geo/geotest"
	"cardea/mesh/member"
	"cardea/node/config"
)

func TestPublicAddresses(t *testing.T) {
	a := netip.MustParseAddr
	for _, tt := range []struct{ all, want []netip.Addr }{
		{nil, nil},
		{[]netip.Addr{a("10.0.0.1"), a("203.0.113.1"), a("203.0.113.2"), a("2001:db8::1")}, []netip.Addr{a("203.0.113.1"), a("2001:db8::1")}},
		{[]netip.Addr{a("fd00::1"), a("10.0.0.1"), a("2001:db8::1")}, []netip.Addr{a("10.0.0.1"), a("2001:db8::1")}},
		{[]netip.Addr{a("::ffff:192.0.2.1")}, []netip.Addr{a("192.0.2.1")}},
	} {
		if got := oneOfEach(tt.all); !slices.Equal(got, tt.want) {
			t.Errorf("%v: %v", tt.all, got)
		}
	}
	m := member.Node{Links: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:7947"), netip.MustParseAddrPort("192.0.2.2:7947")}}
	if got := publicAddresses(m); !slices.Equal(got, []netip.Addr{a("192.0.2.1")}) {
		t.Errorf("as the links: %v", got)
	}
	m.Doors.Addresses = []netip.Addr{a("203.0.113.1")}
	if got := publicAddresses(m); !slices.Equal(got, m.Doors.Addresses) {
		t.Errorf("as it says: %v", got)
	}
}

// TestGuestSecrets wants credentials to last as long as they say, also when the gossip keys are rotated.
func TestGuestSecrets(t *testing.T) {
	var g guestSecrets
	now := time.Unix(1_700_000_000, 0)
	if user, _ := g.mint(now); user != "" {
		t.Error("credentials without a secret")
	}
	one, two := hex.EncodeToString([]byte("one")), hex.EncodeToString([]byte("two"))
	g.set([][]byte{[]byte("one")}, now)
	user, first := g.mint(now)
	if want := fmt.Sprint(now.Add(geo.CredentialsTTL).Unix(), ":nearest"); user != want || first == "" {
		t.Errorf("%q %q", user, first)
	}
	g.set([][]byte{[]byte("one"), []byte("two")}, now.Add(time.Minute)) // not all have the second one yet
	if _, again := g.mint(now); again != first || !slices.Equal(g.valid(), []string{one, two}) {
		t.Errorf("%v", g.valid())
	}
	g.set([][]byte{[]byte("two")}, now.Add(2*time.Minute))
	if _, other := g.mint(now); other == first || len(g.valid()) != 2 {
		t.Errorf("%v", g.valid())
	}
	g.set([][]byte{[]byte("two")}, now.Add(time.Minute+geo.CredentialsTTL+3*lookInterval))
	if !slices.Equal(g.valid(), []string{two}) {
		t.Errorf("long after: %v", g.valid())
	}
}

// TestWhereabouts wants the mesh to be asked once for all who ask about a room, and what is remembered to be bounded.
func TestWhereabouts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		var fault error
		w := whereabouts{ask: func(_ context.Context, room string) ([]geo.Members, error) {
			asked++
			return []geo.Members{{Node: room, Count: asked}}, fault
		}}
		count := func(room string) int {
			if m := w.get(t.Context(), room); len(m) > 0 {
				return m[0].Count
			}
			return 0
		}
		if first, again := count("a"), count("a"); first != 1 || again != 1 || count("b") != 2 {
			t.Error("asked again")
		}
		time.Sleep(roomAge)
		if count("a") != 3 {
			t.Error("not asked again")
		}
		time.Sleep(roomAge)
		fault = errors.New("the keeper does not answer")
		if got := count("a"); got != 3 {
			t.Errorf("without an answer: %d", got)
		}
		fault = nil
		for i := range 3 * maxRoomsAsked {
			count(fmt.Sprint(i))
		}
		if len(w.rooms) > maxRoomsAsked {
			t.Errorf("%d rooms are remembered", len(w.rooms))
		}
	})
}

func TestToldLoad(t *testing.T) {
	for _, tt := range []struct {
		load Load
		want float64
	}{{Load{Share: 0.5}, 0.5}, {Load{Share: 1}, 0.99}, {Load{Share: 0.91, Refusing: "CPU"}, 1}, {Load{Share: -1}, 0}} {
		if got := tt.load.told(); got != tt.want {
			t.Errorf("%+v: %v", tt.load, got)
		}
	}
}

// TestNearestNode asks a whole node: on all of its ports, as a client behind a proxy, and with new locations.
func TestNearestNode(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db.mmdb")
	geotest.Write(t, path, map[string]map[string]any{"192.0.2.0/24": geotest.City("DE", 50.11, 8.68), "127.0.0.0/8": geotest.City("US", 39, -77.5)})
	const addr = "127.0.7.31"
	c := new(config.Default())
	c.Node.DataDir, c.Node.Bind, c.Node.StopTimeout = t.TempDir(), netip.MustParseAddr(addr), time.Second
	c.Geo.Databases, c.Geo.Host, c.Geo.WSSPort = []string{path}, "iad.example.org", 443
	c.Janus.TrustedProxies = []config.Network{{Prefix: netip.MustParsePrefix("127.0.0.0/8")}}
	n, err := Listen(t.Context(), c, quiet())
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- n.Serve(ctx) }()
	defer func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	h := client(t)
	ask := func(port int, forwarded string) (a geo.Answer) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, fmt.Sprintf("http://%s:%d/nearest", addr, port), nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-Forwarded-For", forwarded)
		res, err := h.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = res.Body.Close() }()
		if err := json.NewDecoder(res.Body).Decode(&a); err != nil || len(a.Nodes) != 1 {
			t.Fatalf("%d: %d %v %+v", port, res.StatusCode, err, a)
		}
		return a
	}
	for !n.ready.Load() || n.cluster.Self().Doors.Host == "" {
		if t.Context().Err() != nil {
			t.Fatal("the node does not say where it is")
		}
		time.Sleep(10 * time.Millisecond)
	}
	for _, port := range []int{9600, 8088, 8188} {
		a := ask(port, "192.0.2.7")
		if a.Client.Country != "DE" || !slices.Contains(a.Nodes[0].Janus, "wss://iad.example.org:443") || a.Nodes[0].RTTMS < 80 {
			t.Errorf("%d: %+v", port, a)
		}
		if len(a.Nodes[0].ICEServers) != 1 || a.Nodes[0].ICEServers[0].Credential == "" {
			t.Errorf("%d: no TURN: %+v", port, a.Nodes[0])
		}
	}
	page, err := h.Get("http://" + addr + ":9600/")
	if err != nil {
		t.Fatal(err)
	}
	_ = page.Body.Close()
	if policy := page.Header.Get("Content-Security-Policy"); !strings.Contains(policy, " http://iad.example.org:*") {
		t.Errorf("the page may not see how far its own node is: %s", policy)
	}
	geotest.Write(t, path, map[string]map[string]any{"192.0.2.0/24": geotest.City("SG", 1.3, 103.8)})
	later := time.Now().Add(time.Hour)
	if err := os.Chtimes(path, later, later); err != nil {
		t.Fatal(err)
	}
	if _, err := n.reload(n.cfg); err != nil {
		t.Fatal(err)
	}
	if a := ask(9600, "192.0.2.7"); a.Client.Country != "SG" {
		t.Errorf("after a reload: %+v", a.Client)
	}
	if err := os.WriteFile(path, []byte("rubbish"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := n.reload(n.cfg); !errors.Is(err, geo.ErrDatabase) || strings.Contains(err.Error(), "\n") {
		t.Errorf("rubbish: %v", err)
	}
	if a := ask(9600, "192.0.2.7"); a.Client.Country != "SG" {
		t.Errorf("after rubbish: %+v", a.Client)
	}
}
