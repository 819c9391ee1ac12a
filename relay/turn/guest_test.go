package turn

import (
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"
)

const guestSecret = "west"

// guestConfig has users who may reach loopback, and guests.
func guestConfig() Config {
	cfg := secureConfig()
	cfg.AllowPeers = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	cfg.GuestSecret, cfg.GuestQuota = guestSecret, len(transports)
	return cfg
}

// Guests reach the mesh over every transport, and nothing that users may reach.
func TestGuestsReachTheMeshOnly(t *testing.T) {
	n := start(t, guestConfig())
	n.SetMeshAddresses([]netip.AddrPort{n.media()})
	public := netip.MustParseAddrPort("8.8.8.8:53")
	other := echo(t)
	for _, transport := range transports {
		t.Run(transport, func(t *testing.T) {
			name, password := Credentials(guestSecret, "visitor", time.Minute, time.Now())
			c, relayed := n.allocate(transport, name, password)
			if err := roundTrip(relayed, n.media(), 1200, 5*time.Second); err != nil {
				t.Fatal(err)
			}
			sent, denied := n.settled(), n.Stats().DeniedPeers.Load()
			if err := roundTrip(relayed, other, 100, 300*time.Millisecond); err == nil {
				t.Error("a guest reached another port of the mesh's host")
			}
			if n.Stats().DeniedPeers.Load() == denied {
				t.Error("not counted as denied")
			}
			if err := c.CreatePermission(net.UDPAddrFromAddrPort(public)); err == nil || !strings.Contains(err.Error(), "403") {
				t.Errorf("a guest's permission for the Internet: %v", err)
			}
			if n.settled() != sent {
				t.Error("a packet of a guest went astray")
			}
		})
	}
	_, relayed := n.allocate("udp", "ann", "pw")
	if err := roundTrip(relayed, other, 100, 5*time.Second); err != nil {
		t.Errorf("a user is held to the guests' rules: %v", err)
	}
}

// settled returns the count of packets to peers once no more are on their way: packets are counted after they were sent, and
// round trips that take long are tried again.
func (n *node) settled() uint64 {
	for before := n.Stats().ToPeerPackets.Load(); ; {
		time.Sleep(50 * time.Millisecond)
		now := n.Stats().ToPeerPackets.Load()
		if now == before {
			return now
		}
		before = now
	}
}

func TestGuestQuotaAndExpiry(t *testing.T) {
	cfg := guestConfig()
	cfg.GuestQuota, cfg.UserQuota = 2, 1
	n := start(t, cfg)
	for _, visitor := range []string{"a", "b"} {
		name, password := Credentials(guestSecret, visitor, time.Minute, time.Now())
		n.allocate("udp", name, password)
	}
	name, password := Credentials(guestSecret, "c", time.Minute, time.Now())
	if _, err := n.dial("udp", name, password).Allocate(); err == nil || !strings.Contains(err.Error(), "486") {
		t.Errorf("one guest too many: %v", err)
	}
	n.allocate("udp", "ann", "pw") // users are not counted with them
	name, password = Credentials(guestSecret, "d", time.Minute, time.Now().Add(-time.Hour))
	if _, err := n.dial("udp", name, password).Allocate(); err == nil || strings.Contains(err.Error(), "486") {
		t.Errorf("expired: %v", err)
	}
	name, _ = Credentials(guestSecret, "e", time.Minute, time.Now())
	if _, err := n.dial("udp", name, "wrong").Allocate(); err == nil {
		t.Error("a wrong password is taken")
	}
}

func TestGuestsAlone(t *testing.T) {
	cfg := testConfig()
	cfg.Users, cfg.Secrets = nil, nil
	if _, err := New(cfg); err == nil {
		t.Error("a server for nobody")
	}
	cfg.GuestSecret = guestSecret
	n := start(t, cfg)
	if n.guestKeys("x", time.Now()) != nil || n.guestKeys(strings.Repeat("9", maxUsername+1), time.Now()) != nil {
		t.Error("a name that is not of the form has a key")
	}
	n.SetGuestSecrets([]string{"shared", "shared before"})
	for _, secret := range []string{guestSecret, "shared", "shared before"} {
		name, password := Credentials(secret, "f", time.Minute, time.Now())
		n.allocate("udp", name, password)
	}
	n.SetGuestSecrets([]string{"shared"})
	name, password := Credentials("shared before", "g", time.Minute, time.Now())
	if _, err := n.dial("udp", name, password).Allocate(); err == nil {
		t.Error("a secret that was taken back is good for more")
	}
	cfg.GuestQuota = -1
	if _, err := New(cfg); err == nil {
		t.Error("a negative quota")
	}
}
