package node

import (
	"net"
	"net/netip"
	"runtime"
	"slices"
	"testing"
	"time"

	"cardea/geo"
)

// TestReach wants to know how far who is connected is, by address, until the last connection is closed.
func TestReach(t *testing.T) {
	var r reach
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln = r.listen(ln)
	defer ln.Close()
	here := netip.MustParseAddr("127.0.0.1")
	if d := r.roundTrip(here); d != 0 {
		t.Errorf("nobody is %v away", d)
	}
	var accepted []net.Conn
	for range 3 {
		dialed, err := new(net.Dialer).DialContext(t.Context(), "tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer dialed.Close()
		c, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		accepted = append(accepted, c)
	}
	for i, c := range accepted {
		if d := r.roundTrip(netip.MustParseAddr("::ffff:127.0.0.1")); (d > 0) != (runtime.GOOS == "linux") || d > time.Minute {
			t.Errorf("with %d connections this host is %v away", 3-i, d)
		}
		if d := r.roundTrip(netip.MustParseAddr("127.0.0.2")); d != 0 {
			t.Errorf("who is not connected is %v away", d)
		}
		_, _ = c.Close(), c.Close()                                                                                        // the second time is none
		if known := r.by[here]; len(known) != 2-i || slices.Contains(known, nil) || slices.Contains(known, c.(*reached)) { //nolint:forcetypeassert // it is reach's
			t.Errorf("after %d are closed these are known: %v", i+1, known)
		}
	}
	if d := r.roundTrip(here); d != 0 || len(r.by) != 0 {
		t.Errorf("who has left is %v away: %v", d, r.by)
	}
	_ = ln.Close()
	if c, err := ln.Accept(); err == nil || c != nil {
		t.Errorf("a closed listener accepts %v", c)
	}
}

// TestBelieve wants what was measured to bring a client nearer than a database says, never farther away: a slow access network is no
// proof that somebody is elsewhere.
func TestBelieve(t *testing.T) {
	const ms = time.Millisecond
	for _, tt := range []struct{ estimate, measured, want time.Duration }{
		{95 * ms, 0, 95 * ms},
		{95 * ms, 2 * ms, 2 * ms},
		{95 * ms, 85 * ms, 85 * ms},
		{15 * ms, 60 * ms, 15 * ms},
	} {
		ranked := []geo.Ranked{{Node: geo.Node{ID: "fra"}, RTT: 4 * ms}, {Node: geo.Node{ID: "iad"}, RTT: tt.estimate}}
		believe(ranked, "iad", tt.measured)
		believe(ranked, "gone", ms)
		if ranked[0].RTT != 4*ms || ranked[1].RTT != tt.want {
			t.Errorf("%v by the estimate, %v as measured: %v", tt.estimate, tt.measured, ranked[1].RTT)
		}
	}
}
