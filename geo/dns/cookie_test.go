package dns

import (
	"encoding/hex"
	"net/netip"
	"strings"
	"testing"
	"time"

	wire "github.com/miekg/dns"
)

const mine = "0123456789abcdef" // a client's half

// withCookie adds one to a question.
func withCookie(q *wire.Msg, cookie string) *wire.Msg {
	if q.IsEdns0() == nil {
		q.SetEdns0(1232, false)
	}
	q.IsEdns0().Option = append(q.IsEdns0().Option, &wire.EDNS0_COOKIE{Code: wire.EDNS0COOKIE, Cookie: cookie})
	return q
}

// cookieIn returns the cookie of an answer, in hexadecimal.
func cookieIn(r *wire.Msg) string {
	c, _ := cookieOf(r.IsEdns0())
	return hex.EncodeToString(c)
}

func TestCookie(t *testing.T) {
	s := newServer(t, &mesh{}, nil)
	now, from := time.Unix(1e9, 0), netip.MustParseAddr(europe)
	ask := func(cookie string) *wire.Msg {
		return withCookie(withSubnet(question("@", wire.TypeA), "192.0.2.0/24"), cookie)
	}
	pack := func(q *wire.Msg) []byte {
		b, err := q.Pack()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	r := pose(t, s, ask(mine), europe)
	given := cookieIn(r)
	if len(given) != 48 || !strings.HasPrefix(given, mine+"01000000") || len(r.Answer) != 2 || subnetOf(r.IsEdns0()) == nil {
		t.Fatalf("given %q in %v", given, r)
	}
	for name, q := range map[string]*wire.Msg{
		"another client's cookie": ask("00" + given[2:]), "somebody else's": ask(strings.Repeat("ab", 40)), "a name that is not there": withCookie(question("nobody", wire.TypeA), mine),
		"another zone": withCookie(question("example.com.", wire.TypeA), mine),
	} {
		if r := pose(t, s, q, europe); len(cookieIn(r)) != 48 || cookieIn(r)[:16] != cookieIn(q)[:16] {
			t.Errorf("%s: %v", name, r)
		}
	}
	if r := pose(t, s, withSubnet(question("@", wire.TypeA), "192.0.2.0/24"), europe); cookieIn(r) != "" {
		t.Errorf("a cookie for who has none: %v", r)
	}
	for _, short := range []string{"", "01", mine[2:], mine + "01", given[:46-16], strings.Repeat("ab", 41)} {
		if r := pose(t, s, ask(short), europe); r.Rcode != wire.RcodeFormatError || r.IsEdns0() == nil || cookieIn(r) != "" {
			t.Errorf("%d bytes: %v", len(short)/2, r)
		}
	}
	over := new(wire.Msg)
	if err := over.Unpack(s.overTCP(now, pack(ask(mine)), from)); err != nil || len(cookieIn(over)) != 48 {
		t.Errorf("over TCP: %v %v", err, over)
	}

	changed := func(at int, to string) string { return given[:at] + to + given[at+len(to):] }
	six := netip.MustParseAddr("::ffff:" + europe)
	for _, tt := range []struct {
		name   string
		cookie string
		from   netip.Addr
		after  time.Duration
		want   bool
	}{
		{"as it was given", given, from, 0, true},
		{"by way of a socket of both families", given, six, 0, true},
		{"almost too old", given, from, cookieAge, true},
		{"too old", given, from, cookieAge + time.Second, false},
		{"the clock was set back a little", given, from, -cookieAhead, true},
		{"the clock was set back", given, from, -cookieAhead - time.Second, false},
		{"from a neighbour", given, from.Next(), 0, false},
		{"of another client", changed(0, "ff"), from, 0, false},
		{"another version", changed(16, "02"), from, 0, false},
		{"another time", changed(31, "9"), from, 0, false},
		{"guessed", changed(47, map[bool]string{true: "0", false: "1"}[given[47] != '0']), from, 0, false},
		{"longer", given + "00", from, 0, false},
		{"half of it", mine, from, 0, false},
	} {
		if got := s.zone.cookies.knows(pack(ask(tt.cookie)), tt.from, now.Add(tt.after)); got != tt.want {
			t.Errorf("%s: known: %v", tt.name, got)
		}
	}
	if newServer(t, &mesh{}, nil).zone.cookies.knows(pack(ask(given)), from, now) {
		t.Error("another server's cookie is known")
	}
	if s.zone.cookies.knows([]byte("rubbish"), from, now) {
		t.Error("rubbish is known")
	}
}

// A flood in the name of a network, which can only be forged without its cookie, does not cut off a resolver there; and nobody gets more
// than the rate by a cookie.
func TestCookieBeyondTheRate(t *testing.T) {
	s := newServer(t, &mesh{}, func(c *Config) { c.Rate = 2 })
	given := cookieIn(pose(t, s, withCookie(question("@", wire.TypeA), mine), europe))
	cookies := 0
	for range 20 {
		if r := pose(t, s, withCookie(question("@", wire.TypeA), mine), "192.0.2.200"); r != nil && r.Truncated && len(cookieIn(r)) == 48 {
			cookies++ // who is only referred has one the next time
		}
	}
	if cookies == 0 {
		t.Error("no cookie with the request to use TCP")
	}
	answered := 0
	for range 10 {
		if r := pose(t, s, withCookie(question("@", wire.TypeA), given), europe); r != nil && !r.Truncated {
			answered++
		}
	}
	if answered != 4 {
		t.Errorf("%d answers by a cookie", answered)
	}
}
