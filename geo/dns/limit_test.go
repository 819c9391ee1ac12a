package dns

import (
	"net/netip"
	"testing"
	"time"

	wire "github.com/miekg/dns"
)

func TestLimiter(t *testing.T) {
	now := time.Unix(1e9, 0)
	a, sameNetwork, six := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("::ffff:192.0.2.200"), netip.MustParseAddr("2001:db8::1")
	l := newLimiter(10)
	count := func(from netip.Addr, asks int) (c [3]int) {
		for range asks {
			c[l.ask(now, from)]++
		}
		return c
	}
	if got := count(a, 30); got != [3]int{allow: 20, slip: 5, drop: 5} {
		t.Errorf("at once: %v", got)
	}
	if got := count(sameNetwork, 4); got != [3]int{allow: 0, slip: 2, drop: 2} {
		t.Errorf("the same network: %v", got)
	}
	if networkAround(a) != networkAround(sameNetwork) || networkAround(six) != netip.MustParsePrefix("2001:db8::/56") ||
		networkAround(netip.MustParseAddr("fe80::1%eth0")) != netip.MustParsePrefix("fe80::/56") {
		t.Error("networks")
	}
	now = now.Add(500 * time.Millisecond)
	if got := count(a, 20); got[allow] != 5 {
		t.Errorf("half a second later: %v", got)
	}
	now = now.Add(time.Hour)
	if got := count(a, 30); got[allow] != 20 {
		t.Errorf("an hour later: %v", got)
	}
	now = now.Add(-2 * time.Hour) // the clock was set back
	if got := count(six, 30); got[allow] != 20 {
		t.Errorf("another network: %v", got)
	}
	if l = newLimiter(0); l.ask(now, a) != allow {
		t.Error("no limit limits")
	}
}

// Above its rate a network is told to use TCP, in an answer not much longer than its question, or nothing.
func TestRate(t *testing.T) {
	s := newServer(t, &mesh{}, func(c *Config) { c.Rate = 1 })
	q := withSubnet(question("@", wire.TypeA), "192.0.2.0/24")
	var answered, referred, silent int
	for range 12 {
		switch r := pose(t, s, q, europe); {
		case r == nil:
			silent++
		case r.Truncated && len(r.Answer) == 0 && r.Rcode == 0:
			referred++
		case len(r.Answer) == 2:
			answered++
		default:
			t.Errorf("%v", r)
		}
	}
	if answered != 2 || referred != 5 || silent != 5 {
		t.Errorf("%d answered, %d referred, %d not", answered, referred, silent)
	}
	if r := pose(t, s, q, america); len(r.Answer) != 2 {
		t.Errorf("another network pays for the first: %v", r)
	}
	packet, err := q.Pack()
	if err != nil {
		t.Fatal(err)
	}
	over := 0
	for range 12 {
		if s.overTCP(time.Unix(1e9, 0), packet, netip.MustParseAddr(europe)) != nil {
			over++
		}
	}
	if over != 2 {
		t.Errorf("%d answered over TCP", over)
	}
	want := Stats{UDP: 13, TCP: 12, NoError: 5, Referred: 5, Dropped: 15}
	if got := s.Stats(); got != want {
		t.Errorf("counted %+v, not %+v", got, want)
	}
}
