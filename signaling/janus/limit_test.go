package janus

import (
	"net/netip"
	"testing"
	"time"
)

// TestLimitChanges wants a new rate to hold at once, for known addresses too.
func TestLimitChanges(t *testing.T) {
	now := time.Now()
	a, b := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	l := newLimits(1, 2)
	allowed := func(a netip.Addr, tries int) (n int) {
		for range tries {
			if l.allow(a, now) {
				n++
			}
		}
		return n
	}
	if got := allowed(a, 5); got != 2 {
		t.Errorf("%d of 5 allowed, want 2", got)
	}
	l.set(10, 4)
	now = now.Add(time.Second)
	if got := allowed(a, 9); got != 4 {
		t.Errorf("%d of 9 allowed to a known address, want 4", got)
	}
	if got := allowed(b, 9); got != 4 {
		t.Errorf("%d of 9 allowed to a new address, want 4", got)
	}
	l.set(0, 0)
	if got := allowed(a, 9); got != 9 {
		t.Errorf("%d of 9 allowed without a limit", got)
	}
}
