package turn

import (
	"net/netip"
	"testing"
	"time"
)

func TestSources(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	s := newSources(Rate{PerSecond: 1, Burst: 2}, 3)
	a := func(s string) netip.Addr { return netip.MustParseAddr(s) }
	take := func(address string, want bool) {
		t.Helper()
		if got := s.take(a(address), now); got != want {
			t.Errorf("%s: %v", address, got)
		}
	}
	take("192.0.2.1", true)
	take("::ffff:192.0.2.1", true) // the same
	take("192.0.2.1", false)
	take("192.0.2.2", true) // another
	take("2001:db8::1", true)
	take("2001:db8::ffff:1", true) // one network, one source
	take("2001:db8::2", false)
	take("2001:db8:0:1::1", true) // the table is full: what is left over is shared
	take("192.0.2.3", true)
	take("192.0.2.4", false)
	if len(s.limiters) != 3 {
		t.Fatalf("%d entries of 3", len(s.limiters))
	}
	now = now.Add(10 * time.Second) // all have theirs again: they are forgotten
	take("192.0.2.5", true)
	if len(s.limiters) != 1 {
		t.Fatalf("%d entries after sweeping", len(s.limiters))
	}
	take("192.0.2.1", true)

	free := newSources(Rate{}, 1)
	for range 1000 {
		if !free.take(a("192.0.2.1"), now) {
			t.Fatal("limited without a limit")
		}
	}
	if len(free.limiters) != 0 {
		t.Fatal("entries without a limit")
	}
}

func TestSourcesSweepRarely(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	s := newSources(Rate{PerSecond: 1000, Burst: 1}, 1)
	s.take(netip.MustParseAddr("192.0.2.1"), now)
	s.take(netip.MustParseAddr("192.0.2.2"), now) // full: sweeps in vain
	now = now.Add(500 * time.Millisecond)
	s.take(netip.MustParseAddr("192.0.2.3"), now)
	if _, ok := s.limiters[netip.MustParseAddr("192.0.2.1")]; !ok {
		t.Fatal("swept twice in a second")
	}
}
