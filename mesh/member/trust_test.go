package member

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"cardea/relay/link"
)

// TestInvitations redeems good and bad ones.
func TestInvitations(t *testing.T) {
	a := start(t, config(t))
	stranger := start(t, config(t))

	once := a.invitation(Invitation{})
	b := join(t, once)
	cfg := config(t)
	cfg.Join = []string{once}
	if err := failing(t, cfg); !errors.Is(err, ErrRefused) {
		t.Errorf("used: %v", err)
	}

	twice := a.invitation(Invitation{Uses: 2})
	join(t, twice)
	join(t, twice)
	cfg.Join = []string{twice}
	if err := failing(t, cfg); !errors.Is(err, ErrRefused) {
		t.Errorf("used twice: %v", err)
	}

	inv, err := parseInvitation(a.invitation(Invitation{}))
	if err != nil {
		t.Fatal(err)
	}
	wrong := inv
	wrong.Key[0]++
	cfg.Join = []string{wrong.text()}
	if err := failing(t, cfg); !errors.Is(err, ErrRefused) {
		t.Errorf("wrong key: %v", err)
	}
	other := inv
	other.Addresses = stranger.Self().Links
	cfg.Join, cfg.JoinTimeout = []string{other.text()}, 100*time.Millisecond
	if err := failing(t, cfg); !errors.Is(err, ErrJoin) {
		t.Errorf("at another cluster: %v", err)
	}
	if got := a.Stats(); got.Admitted != 3 || got.Refused != 3 {
		t.Errorf("%+v", got)
	}
	if got := stranger.Stats(); got.Strange == 0 {
		t.Errorf("at the other cluster: %+v", got)
	}
	if _, ok := a.Node(b.Self().ID); !ok {
		t.Error("what was refused did harm to those who had come in")
	}
}

// TestExpired makes the clock of the issuer run ahead.
func TestExpired(t *testing.T) {
	a := start(t, config(t))
	text := a.invitation(Invitation{TTL: time.Second})
	inv, err := parseInvitation(text)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, 3*time.Second, func() string {
		if time.Now().Before(inv.Expires) {
			return "too early"
		}
		return ""
	})
	cfg := config(t)
	cfg.Join = []string{text}
	if err := failing(t, cfg); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "it expired at") {
		t.Errorf("%v", err)
	}
}

// TestClocksApart wants a newcomer whose clock is days off told so at once, and one that met a member with a certificate that is over to go on.
func TestClocksApart(t *testing.T) {
	a := start(t, config(t))
	inv, err := parseInvitation(a.invitation(Invitation{}))
	if err != nil {
		t.Fatal(err)
	}
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, off := range []time.Duration{-2 * clockSkew, 2 * certificateLife} {
		j := joiner{inv: inv, key: key, local: host(), now: func() time.Time { return time.Now().Add(off) }}
		if _, _, err := j.join(t.Context()); !errors.Is(err, errClocks) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%v off: %v", off, err)
		}
	}
	late := 2 * certificateLife // for the first that answers
	j := joiner{inv: inv, key: key, local: host(), now: func() time.Time {
		defer func() { late = 0 }()
		return time.Now().Add(late)
	}}
	j.inv.Addresses = slices.Concat(inv.Addresses[:1], inv.Addresses[:1])
	if _, _, err := j.join(t.Context()); err != nil {
		t.Errorf("after a member whose certificate is over: %v", err)
	}
}

// TestIssuerRestarts wants an invitation to outlive its issuer's process, and a joiner whose answer was lost to get another.
func TestIssuerRestarts(t *testing.T) {
	cfg := config(t)
	a := start(t, cfg)
	text := a.invitation(Invitation{})
	a.end()
	a = start(t, cfg)
	second := config(t)
	second.Join = []string{text}
	b := start(t, second)
	together(t, a, b)
	b.end()
	if err := os.Remove(filepath.Join(second.Dir, clusterFile)); err != nil {
		t.Fatal(err)
	}
	together(t, a, start(t, second))
}

// TestCarried joins through a member that does not hold the authority's key, while the issuer cannot be reached directly.
func TestCarried(t *testing.T) {
	nodes := cluster(t, 2)
	a, b := nodes[0], nodes[1]
	inv, err := parseInvitation(a.invitation(Invitation{Authority: true}))
	if err != nil {
		t.Fatal(err)
	}
	inv.Addresses = b.Self().Links // they are signed, but who answers there is checked anyway
	cfg := config(t)
	cfg.Join, cfg.JoinTimeout = []string{inv.text()}, time.Second
	if err := failing(t, cfg); !errors.Is(err, ErrRefused) {
		t.Errorf("with claims that were changed: %v", err)
	}
	self := a.self
	a.mu.Lock()
	a.self.Links = b.Self().Links
	a.mu.Unlock()
	text := a.invitation(Invitation{Authority: true})
	a.mu.Lock()
	a.self = self
	a.mu.Unlock()
	c := join(t, text)
	together(t, a, b, c)
	if got := b.Stats(); got.Carried != 1 || got.Admitted != 0 {
		t.Errorf("the carrier: %+v", got)
	}
	if n, _ := b.Node(c.Self().ID); !n.Authority {
		t.Error("the new node does not hold the authority's key")
	}
	together(t, append(nodes, c, join(t, c.invitation(Invitation{})))...)
}

// TestInviteThroughHolder asks a node without the authority's key.
func TestInviteThroughHolder(t *testing.T) {
	nodes := cluster(t, 2)
	c := join(t, nodes[1].invitation(Invitation{}))
	together(t, append(nodes, c)...)
	if _, err := nodes[1].Invite(t.Context(), Invitation{TTL: time.Hour, Uses: 1, Authority: true}); !errors.Is(err, errNoAuthority) {
		t.Errorf("an invitation to hold the authority's key: %v", err)
	}
	for _, i := range []Invitation{{TTL: 0, Uses: 1}, {TTL: time.Hour}, {TTL: time.Hour, Uses: 256}, {TTL: 31 * 24 * time.Hour, Uses: 1}} {
		if _, err := nodes[1].Invite(t.Context(), i); err == nil {
			t.Errorf("%+v was granted", i)
		}
	}
}

// TestOtherCluster wants a node that has company not to change sides, and one that never had to do so.
func TestOtherCluster(t *testing.T) {
	a, b := cluster(t, 2), cluster(t, 1)
	cfg := config(t)
	cfg.Join = []string{a[0].invitation(Invitation{})}
	n := start(t, cfg)
	together(t, append(a, n)...)
	n.end()
	cfg.Join = []string{b[0].invitation(Invitation{})}
	if err := failing(t, cfg); !errors.Is(err, ErrOtherCluster) {
		t.Errorf("%v", err)
	}
	lonely := config(t)
	start(t, lonely).end()
	lonely.Join = cfg.Join
	together(t, b[0], start(t, lonely))
}

// TestRenewal lets certificates get old, with the authority's key far away.
func TestRenewal(t *testing.T) {
	a := start(t, config(t))
	cfg := config(t)
	cfg.Join = []string{a.invitation(Invitation{})}
	c, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	m := *c.member()
	if m.credentials, err = a.member().authority.issue(c.public(), time.Now().Add(-renewAfter-time.Minute)); err != nil {
		t.Fatal(err)
	}
	c.membership.Store(&m)
	b := run(t, c)
	eventually(t, 5*time.Second, func() string {
		if time.Until(b.member().credentials.cert.NotAfter) < certificateLife-time.Hour {
			return "the certificate is old"
		}
		return ""
	})
	together(t, a, b)
	kept, _, err := b.storage.membership()
	if err != nil || !kept.credentials.cert.Equal(b.member().credentials.cert) {
		t.Errorf("on disk: %v", err)
	}
	// A third node passes the request on: it proves itself.
	third := join(t, a.invitation(Invitation{}))
	together(t, a, b, third)
	csr, err := newRequest(b.key)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := third.renewFor(t.Context(), renewRequest{b.member().credentials.cert.Raw, csr}); err != nil {
		t.Errorf("through another: %v", err)
	}
	foreign, err := newRequest(third.key)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.renewFor(t.Context(), renewRequest{b.member().credentials.cert.Raw, foreign}); !errors.Is(err, ErrStranger) {
		t.Errorf("with another's key: %v", err)
	}
}

// TestIdentify feeds certificates that are nobody's.
func TestIdentify(t *testing.T) {
	now := time.Now()
	a, err := newAuthority(now)
	if err != nil {
		t.Fatal(err)
	}
	other, err := newAuthority(now)
	if err != nil {
		t.Fatal(err)
	}
	public, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	issue := func(a *authority, at time.Time) credentials {
		c, err := a.issue(public, at)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	good := issue(a, now)
	if id, err := a.identify(good.cert, now); err != nil || id != idOf(public) {
		t.Errorf("a member's: %s %v", id, err)
	}
	if err := good.check(a, public, now); err != nil {
		t.Error(err)
	}
	for name, c := range map[string]credentials{
		"another authority's": issue(other, now), "old": issue(a, now.Add(-certificateLife-time.Hour)), "of the future": issue(a, now.Add(2*clockSkew)),
		"the authority's own": {cert: a.cert},
	} {
		if _, err := a.identify(c.cert, now); !errors.Is(err, ErrStranger) {
			t.Errorf("%s: %v", name, err)
		}
	}
	p := good.pass
	p.Until++
	if err := p.check(a, public, now); !errors.Is(err, ErrStranger) {
		t.Errorf("a pass that was changed: %v", err)
	}
	if err := good.pass.check(a, public, now.Add(certificateLife+time.Hour)); !errors.Is(err, ErrStranger) {
		t.Errorf("an old pass: %v", err)
	}
	if err := good.pass.check(a, nil, now); !errors.Is(err, ErrStranger) {
		t.Errorf("nobody's pass: %v", err)
	}
}

func TestIDs(t *testing.T) {
	public := make(ed25519.PublicKey, ed25519.PublicKeySize)
	const want = "mzuhvlpymk6xo3ep" // base32 of the first 10 bytes of SHA-256 of 32 zeros
	if got := idOf(public); got != want {
		t.Errorf("id %s, want %s", got, want)
	}
	for _, bad := range []link.NodeID{"", "x", want + "a", "MZUHVLPYMK6XO3EP", "mzuhvlpymk6xo3e1"} {
		if _, err := rawID(bad); err == nil {
			t.Errorf("%q is taken for an id", bad)
		}
	}
	if raw, err := rawID(want); err != nil || idFrom(raw[:]) != want {
		t.Errorf("%x %v", raw, err)
	}
}

// TestAdvertised wants what others get to be what was configured.
func TestAdvertised(t *testing.T) {
	cfg := config(t)
	cfg.Advertise = []netip.Addr{netip.MustParseAddr("198.51.100.7"), netip.MustParseAddr("2001:db8::7")}
	c, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got := c.Self(); len(got.Links) != 2 || got.Links[0].String() != "198.51.100.7:7947" || got.Gossip[1].String() != "[2001:db8::7]:7946" {
		t.Errorf("%+v", got)
	}
	inv, err := parseInvitation(c.FirstInvitation())
	if err != nil || len(inv.Addresses) != 2 || inv.Addresses[0] != c.Self().Links[0] || inv.Uses != firstUses {
		t.Errorf("the first invitation: %+v %v", inv, err)
	}
	for bind, want := range map[string]int{"": 1, "127.0.0.9": 1} {
		cfg := Config{LinkPort: 1, GossipPort: 2}
		if bind != "" {
			cfg.Bind = netip.MustParseAddr(bind)
		}
		all, err := advertised(cfg)
		if err != nil || len(all) < want || bind != "" && all[0].String() != bind {
			t.Errorf("bound to %q: %v %v", bind, all, err)
		}
	}
}

// TestJoinIsBounded wants Open to give up on an address where nobody answers.
func TestJoinIsBounded(t *testing.T) {
	a := start(t, config(t))
	text := a.invitation(Invitation{})
	a.end()
	cfg := config(t)
	cfg.Join, cfg.JoinTimeout = []string{text}, 200*time.Millisecond
	if err := failing(t, cfg); !errors.Is(err, ErrJoin) || !errors.Is(err, context.DeadlineExceeded) && !strings.Contains(err.Error(), "refused") {
		t.Errorf("%v", err)
	}
	for _, join := range [][]string{{"cardea_x"}, {text, text}, {"bad host:1"}} {
		cfg.Join = join
		cfg.Dir = t.TempDir()
		if err := failing(t, cfg); !errors.Is(err, ErrJoin) {
			t.Errorf("%q: %v", join, err)
		}
	}
}
