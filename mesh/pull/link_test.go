package pull

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net/netip"
	"sync"
	"testing"
	"time"

	"cardea/mesh/route"
	"cardea/relay"
	"cardea/relay/link"
	"cardea/relay/plane"
	"cardea/relay/stream"
)

// issue makes a certificate signed by key, and its own key.
func issue(t *testing.T, name string, parent *x509.Certificate, signer ed25519.PrivateKey) (*x509.Certificate, ed25519.PrivateKey) {
	t.Helper()
	public, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), Subject: pkix.Name{CommonName: name},
		IsCA: parent == nil, BasicConstraintsValid: true,
	}
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, signer)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c, key
}

// linked makes a world of nodes with true links on the loopback, and the functions that stop one each.
func linked(t *testing.T, names ...link.NodeID) (*world, map[link.NodeID]func()) {
	ctx, cancel := context.WithCancel(t.Context())
	w := &world{t: t, began: time.Now(), ctx: ctx, nodes: map[link.NodeID]*node{}, homes: map[plane.StreamID]link.NodeID{}}
	authority, authorityKey := issue(t, "authority", nil, nil)
	roots := x509.NewCertPool()
	roots.AddCert(authority)
	var mu sync.Mutex
	addresses := map[link.NodeID][]netip.AddrPort{}
	stops := map[link.NodeID]func(){}
	for i, name := range names {
		cert, key := issue(t, string(name), authority, authorityKey)
		n := &node{w: w, id: name, region: string(name), table: route.New(name)}
		e, err := link.Listen(link.Config{
			Self: name, Listen: []netip.AddrPort{netip.MustParseAddrPort(fmt.Sprintf("127.0.0.%d:0", i+1))},
			TLS:      &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{cert.Raw}, PrivateKey: key}}, RootCAs: roots}, //nolint:gosec // link sets the version
			Identify: func(c *x509.Certificate) (link.NodeID, error) { return link.NodeID(c.Subject.CommonName), nil },
			Resolve: func(id link.NodeID) []netip.AddrPort {
				mu.Lock()
				defer mu.Unlock()
				return addresses[id]
			},
			Version: "test",
			Clock:   link.Clock{Now: w.now, NTP: func(now int64) uint64 { return uint64(now) }}, //nolint:gosec // positive
		})
		if err != nil {
			t.Fatal(err)
		}
		mu.Lock()
		addresses[name] = e.Addresses()
		mu.Unlock()
		n.p = New(Config{
			Self: name, Endpoint: e, Table: n.table,
			Far: relay.Far{Streams: stream.NewDirectory[*stream.Stream](), Now: w.now},
			Home: func(id plane.StreamID) (link.NodeID, bool) {
				w.mu.Lock()
				defer w.mu.Unlock()
				home, ok := w.homes[id]
				return home, ok
			},
		})
		own, stop := context.WithCancel(ctx)
		stops[name] = stop
		w.wg.Go(func() {
			if err := e.Run(own); err != nil {
				t.Errorf("links of %s: %v", name, err)
			}
		})
		w.wg.Go(func() { _ = n.p.Run(own) })
		w.nodes[name] = n
		w.order = append(w.order, n)
	}
	t.Cleanup(func() {
		cancel()
		w.wg.Wait()
	})
	return w, stops
}

// edges tells a node's table what there is between all nodes; those that are missing are down.
func (n *node) edges(rtt map[[2]link.NodeID]time.Duration) {
	var nodes []route.Node
	for _, o := range n.w.order {
		nodes = append(nodes, route.Node{ID: o.id, Region: o.region})
	}
	n.table.SetNodes(nodes)
	for _, from := range n.w.order {
		var row []route.Edge
		for _, to := range n.w.order {
			if d, ok := rtt[pair(from.id, to.id)]; to != from {
				row = append(row, route.Edge{To: to.id, RTT: d, Up: ok})
			}
		}
		n.table.SetRow(from.id, row, time.Now())
	}
}

// The way over b is the best; then b stops.
func TestTrueLinks(t *testing.T) {
	w, stops := linked(t, "a", "b", "c")
	ms := time.Millisecond
	for _, n := range w.order {
		n.edges(map[[2]link.NodeID]time.Duration{{"a", "b"}: 20 * ms, {"b", "c"}: 20 * ms, {"a", "c"}: 400 * ms})
	}
	pub := w.nodes["a"].publish(cam)
	time.Sleep(100 * ms)
	viewers := []*viewer{w.nodes["c"].view(cam, -1), w.nodes["c"].view(cam, 0), w.nodes["b"].view(cam, 2)}
	began := time.Now()
	wait := func(what string, ok func() bool) {
		t.Helper()
		for deadline := time.Now().Add(10 * time.Second); !ok(); time.Sleep(5 * ms) {
			if time.Now().After(deadline) {
				t.Fatalf("%s: not after 10 s", what)
			}
		}
	}
	for _, v := range viewers {
		pictures := 0
		wait("pictures at "+string(v.n.id), func() bool {
			pictures += v.seen().pictures
			return pictures > 15
		})
		t.Logf("viewer at %s: first picture after %v", v.n.id, v.first.Sub(began))
	}
	if r := w.nodes["c"].row(cam); len(r.Path) != 3 || !r.Open {
		t.Fatalf("at c: %+v, want the way over b", r)
	}
	for _, v := range viewers {
		v.seen()
	}
	time.Sleep(time.Second)
	for _, v := range viewers[:2] {
		if s := v.seen(); s.pictures == 0 || s.streams != 0 {
			t.Errorf("viewer at c: %+v", s)
		}
	}
	w.nodes["c"].edges(map[[2]link.NodeID]time.Duration{{"a", "c"}: 400 * ms})
	stops["b"]()
	wait("the direct way", func() bool { return len(w.nodes["c"].row(cam).Path) == 2 })
	for _, v := range viewers[:2] { // how long it takes is for the simulated mesh to say: here the machine may be busy
		pictures, gap := 0, time.Duration(0)
		wait("pictures by the direct way", func() bool {
			s := v.seen()
			if s.streams != 0 {
				t.Fatal("the viewer was given another stream")
			}
			pictures, gap = pictures+s.pictures, max(gap, s.gap)
			return pictures > 30
		})
		t.Logf("viewer at c, while its parent stopped: a gap of %v", gap)
	}
	pub.stop()
	wait("the end of the stream", func() bool { return w.nodes["c"].streamOf(cam) == nil })
}
