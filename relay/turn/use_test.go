package turn

import (
	"net"
	"net/netip"
	"testing"
	"time"
)

// TestInUse has clients that go on sending, one that is gone while its peer still sends to it, and one that only refreshes what it
// does not use.
func TestInUse(t *testing.T) {
	cfg := secureConfig()
	cfg.AllowPeers = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	n := start(t, cfg)
	n.SetMeshAddresses([]netip.AddrPort{n.media()})
	peer, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	now := time.Now()
	_, calling := n.allocate("udp", "ann", "pw")
	_, streaming := n.allocate("tcp", "ann", "pw")
	_, gone := n.allocate("udp", "ann", "pw")
	n.allocate("udp", "ann", "pw") // it has no use for it
	if got := n.InUse(now); got != 4 {
		t.Errorf("%d in use, of 4 new ones", got)
	}
	if _, err := gone.WriteTo([]byte("hello"), peer.LocalAddr()); err != nil {
		t.Fatal(err)
	}
	if _, _, err := peer.ReadFrom(make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	if got := n.InUse(now); got != 4 {
		t.Errorf("%d in use, of 4 new ones", got)
	}
	for range 3 {
		now = now.Add(idleTime / 2)
		if err := roundTrip(calling, n.media(), 100, 5*time.Second); err != nil {
			t.Fatal(err)
		}
		if err := roundTrip(streaming, n.media(), 100, 5*time.Second); err != nil {
			t.Fatal(err)
		}
		if _, err := peer.WriteTo([]byte("are you there?"), gone.LocalAddr()); err != nil {
			t.Fatal(err)
		}
		if _, _, err := gone.ReadFrom(make([]byte, 100)); err != nil {
			t.Fatal(err)
		}
		n.InUse(now)
	}
	if got := n.InUse(now); got != 2 || n.Stats().Allocations.Load() != 4 {
		t.Errorf("%d of %d in use, not 2 of 4", got, n.Stats().Allocations.Load())
	}
	if got := n.InUse(now.Add(idleTime)); got != 0 {
		t.Errorf("%d in use, though all are silent", got)
	}
}
