package member

import (
	"bytes"
	"context"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/time/rate"

	"cardea/relay/link"
)

// TestExpel expels a node while another one is away, and has it try to come back in every way it has.
func TestExpel(t *testing.T) {
	nodes := cluster(t, 4)
	a, b, x, away := nodes[0], nodes[1], nodes[2], nodes[3]
	id, stolen := x.Self().ID, copied(t, x.cfg)
	away.end()
	together(t, a, b, x)
	known := []string{a.invitation(Invitation{Uses: 5}), x.invitation(Invitation{})}
	aLinks, xLinks := links(t, a, a.Resolve), links(t, x, func(to link.NodeID) []netip.AddrPort { return a.Self().Links })
	if _, err := xLinks.Link(t.Context(), a.id); err != nil {
		t.Fatalf("a link while all is well: %v", err)
	}

	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if behind, err := b.Expel(ctx, id); err != nil || len(behind) > 0 { // which does not hold the authority's key
		t.Fatalf("expel: %v %v", behind, err)
	}
	together(t, a, b)
	eventually(t, 10*time.Second, func() string {
		if !x.Expelled() || len(x.Nodes()) != 1 {
			return "the expelled does not know"
		}
		if a.member().ring.Phase != settled || b.member().ring.Phase != settled {
			return "the old key is still read"
		}
		return ""
	})
	if slices.ContainsFunc(x.keyring.GetKeys(), func(k []byte) bool { return bytes.Equal(k, a.keyring.GetPrimaryKey()) }) {
		t.Error("the expelled has the new gossip key")
	}

	// It does as if it had not heard.
	for _, n := range []*testNode{a, b} {
		if _, err := n.Identify(x.member().credentials.cert); !errors.Is(err, ErrExpelled) || !errors.Is(err, ErrStranger) {
			t.Errorf("its certificate: %v", err)
		}
		for name, req := range map[string]*request{
			"keys": {Meet: &meetRequest{x.instance, x.started.UnixNano()}}, "an invitation": {Invite: &inviteRequest{time.Hour, 1}},
			"new keys": {Rotate: &rotateRequest{}}, "another's end": {Expel: &expelRequest{string(b.id)}}, "to carry": {Carried: &carriedRequest{}},
			"a certificate": {Renew: renewal(t, x)},
		} {
			if r, err := x.ask(t.Context(), n.Self().Links, n.id, req); !errors.Is(err, ErrRefused) || r == nil || len(r.Expulsions) != 1 {
				t.Errorf("it asks for %s: %+v %v", name, r, err)
			}
		}
		if _, err := n.renewFor(t.Context(), *renewal(t, x)); !errors.Is(err, ErrStranger) {
			t.Errorf("a renewal by way of others: %v", err)
		}
		if _, err := n.ask(t.Context(), x.Self().Links, "", &request{Meet: &meetRequest{}}); !errors.Is(err, ErrExpelled) {
			t.Errorf("it is asked: %v", err)
		}
		if _, err := x.list.Join([]string{n.Self().Gossip[0].String()}); err == nil {
			t.Error("it gossips with the old key")
		}
		if err := n.table.admit(id, x.Self().Gossip[0], x.metadata); !errors.Is(err, ErrExpelled) {
			t.Errorf("what it says of itself, passed on: %v", err)
		}
	}
	aLinks.Drop(id) // as whoever watches does
	for name, err := range map[string]error{"to it": dial(t, aLinks, id), "from it": dial(t, xLinks, a.id)} {
		if err == nil {
			t.Errorf("there is a link %s", name)
		}
	}
	for _, text := range known {
		cfg := config(t)
		cfg.Join = []string{text}
		if err := failing(t, cfg); !errors.Is(err, ErrRefused) {
			t.Errorf("an invitation that it may know: %v", err)
		}
	}

	// Who was away learns it on its return, and a copy of the expelled when it starts.
	x.end()
	back := start(t, away.cfg)
	together(t, a, b, back)
	if _, err := back.Identify(x.member().credentials.cert); !errors.Is(err, ErrExpelled) {
		t.Errorf("where one was away: %v", err)
	}
	twin := start(t, stolen)
	eventually(t, 10*time.Second, func() string {
		if !twin.Expelled() {
			return "a copy is not told"
		}
		return ""
	})
	together(t, a, b, back)
	together(t, twin)
	twin.end()

	told := func(cfg Config, when string) *testNode { // before it meets anybody
		t.Helper()
		c, err := Open(t.Context(), cfg)
		if err != nil {
			t.Fatalf("%s: %v", when, err)
		}
		if _, err := c.Identify(x.member().credentials.cert); !errors.Is(err, ErrExpelled) {
			t.Errorf("%s: %v", when, err)
		}
		return run(t, c)
	}
	// All of it lasts, and a new invitation makes a new node of the machine.
	a.end()
	a = told(a.cfg, "after a restart")
	together(t, a, b, back)
	stolen.Join = nil
	if err := failing(t, stolen); !errors.Is(err, ErrExpelled) {
		t.Errorf("the expelled starts again: %v", err)
	}
	if err := Check(stolen); !errors.Is(err, ErrExpelled) {
		t.Errorf("its configuration is checked: %v", err)
	}
	stolen.Join = []string{a.invitation(Invitation{Uses: 2})}
	newcomer := config(t)
	newcomer.Join = stolen.Join
	again := told(stolen, "on the machine of the expelled")
	together(t, a, b, back, again, told(newcomer, "where one has just come in"))
	if again.id == id {
		t.Error("it has its old identity")
	}
}

// copied returns the configuration of a thief, who has taken a node's directory.
func copied(t *testing.T, cfg Config) Config {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(cfg.Dir)); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, lockFile)); err != nil {
		t.Fatal(err)
	}
	cfg.Dir, cfg.Bind = dir, host()
	return cfg
}

// links opens a node's links.
func links(t *testing.T, n *testNode, resolve func(link.NodeID) []netip.AddrPort) *link.Endpoint {
	t.Helper()
	e, err := link.Listen(link.Config{
		Self: n.id, Listen: n.Self().Links, TLS: n.TLS(), Identify: n.Identify, Resolve: resolve,
		Clock: link.Clock{Now: func() int64 { return time.Now().UnixNano() }, NTP: func(int64) uint64 { return 0 }},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return e
}

// dial has a new link made, and returns why not.
func dial(t *testing.T, e *link.Endpoint, to link.NodeID) error {
	for _, l := range e.Links() {
		l.Close()
		<-l.Done()
	}
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Second)
	defer cancel()
	_, err := e.Link(ctx, to)
	return err
}

func renewal(t *testing.T, n *testNode) *renewRequest {
	t.Helper()
	csr, err := newRequest(n.key)
	if err != nil {
		t.Fatal(err)
	}
	return &renewRequest{n.member().credentials.cert.Raw, csr}
}

// TestExpelOrders wants no node to expel itself, the last that could take it back, or others without end.
func TestExpelOrders(t *testing.T) {
	nodes := cluster(t, 2)
	a, b := nodes[0], nodes[1]
	expel := func(by *testNode, id link.NodeID) error {
		ctx, cancel := context.WithCancel(t.Context())
		cancel() // nobody waits for keys here
		if by.member().authority.key == nil {
			return by.orderExpulsion(t.Context(), id)
		}
		_, err := by.Expel(ctx, id)
		return err
	}
	if err := expel(a, a.id); !errors.Is(err, ErrExpelSelf) {
		t.Errorf("itself: %v", err)
	}
	if err := expel(b, a.id); !errors.Is(err, ErrLastAuthority) {
		t.Errorf("the last authority: %v", err)
	}
	if err := expel(a, "nobody"); err == nil {
		t.Error("what is no id is expelled")
	}
	second := join(t, a.invitation(Invitation{Authority: true}))
	together(t, a, b, second)
	if err := expel(b, second.id); err == nil || !errors.Is(err, errHolder) {
		t.Errorf("an authority, by one that is none: %v", err)
	}
	if err := a.admission.expel(b.id, second.id); !errors.Is(err, errHolder) {
		t.Errorf("an authority, by one that does not ask itself: %v", err)
	}
	for i := range orderBurst { // nodes that are not there
		if err := expel(b, testID(i)); err != nil {
			t.Errorf("order %d: %v", i, err)
		}
	}
	for _, by := range []*testNode{a, second} {
		if err := by.admission.expel(b.id, testID(0)); err != nil {
			t.Errorf("again: %v", err)
		}
	}
	for i := range 2 * orderBurst {
		_ = expel(b, testID(100+i))
	}
	if n := len(a.expulsions.all()) + len(second.expulsions.all()); n > 4*orderBurst { // each knows what the other did
		t.Errorf("one node has %d expelled", n/2)
	}
	second.end()
	together(t, a, b)
	if err := a.admission.expel(b.id, second.id); !errors.Is(err, errHolder) {
		t.Errorf("an authority that is away, by one that does not ask itself: %v", err)
	}
	if err := expel(b, b.id); !errors.Is(err, ErrExpelSelf) {
		t.Errorf("itself, by another: %v", err)
	}
	raw, err := rawID(second.id)
	if err != nil {
		t.Fatal(err)
	}
	if err := expel(a, second.id); err != nil || !a.member().ring.withheld([][]byte{raw[:]}) { // of the others a may have heard just now
		t.Errorf("an authority, by another: %v", err)
	}
	together(t, a, b)
}

// TestExpelOwed wants a holder of the authority's key to renew the gossip keys for one that failed over it.
func TestExpelOwed(t *testing.T) {
	c, err := Open(t.Context(), config(t))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	raw, err := newExpulsion(c.member().authority, testID(1), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	c.learn([][]byte{raw})
	c.carryOut()
	before := c.member().ring
	c.turnRing()
	if c.member().ring.Serial != before.Serial {
		t.Error("it does not wait for the one that expelled the node")
	}
	c.nextOwed = time.Now()
	c.turnRing()
	after := c.member().ring
	if after.Serial != before.Serial+1 || !after.withheld(c.expulsions.ids()) || bytes.Equal(after.Keys[1], before.Keys[0]) {
		t.Errorf("%+v after %+v", after, before)
	}
	if c.turnRing(); c.member().ring.Serial != after.Serial+1 { // it is alone, so all have it
		t.Error("the rotation does not go on")
	}

	// Of two rings with one number, which arose apart, both sides take the same.
	key := bytes.Repeat([]byte{1}, gossipKey)
	var rings [][]byte
	for i := range byte(2) {
		raw, err := ring{Serial: 100, Issued: int64(i), Keys: [][]byte{key}}.sign(c.member().authority)
		if err != nil {
			t.Fatal(err)
		}
		rings = append(rings, raw)
	}
	slices.SortFunc(rings, bytes.Compare)
	for _, raw := range [][]byte{rings[0], rings[1], rings[0]} {
		if err := c.adopt(raw); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(c.member().rawRing, rings[1]) {
		t.Error("it is the last ring that counts, not always the same one")
	}
}

// TestExpelShare has members order expulsions of nodes that are not there, for as long as it takes: an operator can still expel them.
func TestExpelShare(t *testing.T) {
	c, err := Open(t.Context(), config(t))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.admission.orders = rate.NewLimiter(rate.Inf, 1)
	for i := range maxOrdered {
		if err := c.admission.expel("somebody", testID(i)); err != nil {
			t.Fatalf("order %d: %v", i, err)
		}
	}
	if err := c.admission.expel("somebody", testID(maxOrdered)); !errors.Is(err, errManyExpulsions) {
		t.Errorf("one more: %v", err)
	}
	if err := c.expel(testID(maxOrdered)); err != nil {
		t.Errorf("by an operator: %v", err)
	}
}
