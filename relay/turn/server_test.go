package turn

import (
	"bytes"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/turn/v5"

	"cardea/relay/udp"
)

var transports = []string{"udp", "tcp", "tls", "dtls"}

// The relayed call: a client reaches this very node's media address through a relay, over each transport.
func TestRelayToOwnMediaAddress(t *testing.T) {
	n := start(t, secureConfig())
	n.SetMeshAddresses([]netip.AddrPort{n.media()})
	for _, transport := range transports {
		t.Run(transport, func(t *testing.T) {
			c, relayed := n.allocate(transport, "ann", "pw")
			if err := roundTrip(relayed, n.media(), 1200, 5*time.Second); err != nil {
				t.Fatal(err)
			}
			// The client binds a channel by and by; from then on packets come back past pion.
			before := n.Stats().FromPeerPackets.Load()
			waitFor(t, "a packet back by channel", func() bool {
				if err := roundTrip(relayed, n.media(), 1201, 5*time.Second); err != nil {
					t.Fatal(err)
				}
				return n.Stats().FromPeerPackets.Load() > before
			})
			if _, err := c.SendBindingRequest(); err != nil {
				t.Fatalf("Binding: %v", err)
			}
		})
	}
	if n.Stats().DeniedPeers.Load() != 0 || n.Stats().ToPeerPackets.Load() == 0 {
		t.Fatalf("%d packets denied, %d relayed", n.Stats().DeniedPeers.Load(), n.Stats().ToPeerPackets.Load())
	}
}

// A TURN permission names no port, so an allowed media address must not open the rest of its host.
func TestMeshAddressAllowsOnePortOnly(t *testing.T) {
	n := start(t, testConfig())
	n.SetMeshAddresses([]netip.AddrPort{n.media()})
	other := echo(t)
	_, relayed := n.allocate("udp", "ann", "pw")
	if err := roundTrip(relayed, n.media(), 100, 5*time.Second); err != nil {
		t.Fatal(err)
	}
	silent, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	for _, peer := range []netip.AddrPort{other, addrPort(silent.LocalAddr())} {
		denied := n.Stats().DeniedPeers.Load()
		if err := roundTrip(relayed, peer, 100, 300*time.Millisecond); err == nil {
			t.Fatal("another port of a mesh host was reached")
		}
		if n.Stats().DeniedPeers.Load() == denied {
			t.Fatal("not counted as denied")
		}
	}
	_ = silent.SetReadDeadline(time.Now().Add(time.Millisecond))
	if k, from, err := silent.ReadFrom(make([]byte, 200)); err == nil {
		t.Fatalf("%d bytes from %s arrived at another port of a mesh host", k, from)
	}

	// Inbound: another port of the permitted IP sends to the relayed address.
	from, err := net.Dial("udp4", relayed.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	denied := n.Stats().DeniedPeers.Load()
	if _, err := from.Write([]byte("intruder")); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the inbound packet to be dropped", func() bool { return n.Stats().DeniedPeers.Load() > denied })

	// Both are channels by now; taking the address out of the set stops the packets all the same, and at once.
	n.SetMeshAddresses([]netip.AddrPort{other})
	if err := roundTrip(relayed, n.media(), 100, 300*time.Millisecond); err == nil {
		t.Fatal("an address that left the mesh was reached")
	}
	if err := roundTrip(relayed, other, 100, 5*time.Second); err != nil {
		t.Fatalf("an address that joined the mesh: %v", err)
	}
}

func TestLoopbackIsDeniedByDefault(t *testing.T) {
	n := start(t, testConfig())
	peer := echo(t)
	c, relayed := n.allocate("udp", "ann", "pw")
	err := c.CreatePermission(net.UDPAddrFromAddrPort(peer))
	if err == nil || !strings.Contains(err.Error(), "403") {
		t.Fatalf("CreatePermission for loopback: %v", err)
	}
	if _, err := relayed.WriteTo([]byte("x"), net.UDPAddrFromAddrPort(peer)); err == nil {
		t.Fatal("WriteTo loopback was accepted")
	}
	if n.Stats().ToPeerPackets.Load() != 0 || n.Stats().DeniedPeers.Load() == 0 {
		t.Fatal("not counted as denied")
	}
}

func TestAllowedPrefix(t *testing.T) {
	cfg := testConfig()
	cfg.AllowPeers = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	n := start(t, cfg)
	peer := echo(t)
	_, relayed := n.allocate("udp", "ann", "pw")
	for _, size := range []int{1, 3, 1472, 1500} {
		if err := roundTrip(relayed, peer, size, 5*time.Second); err != nil {
			t.Fatalf("%d bytes: %v", size, err)
		}
	}
}

// A burst from a peer arrives whole and in order through the GSO path, and over TCP, where messages are padded.
func TestBurst(t *testing.T) {
	cfg := testConfig()
	cfg.AllowPeers = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	for _, transport := range []string{"udp", "tcp"} {
		t.Run(transport, func(t *testing.T) {
			n := start(t, cfg)
			_, relayed := n.allocate(transport, "ann", "pw")
			sockets, err := udp.Listen(udp.Config{Address: netip.AddrPortFrom(loopback, 0)})
			if err != nil {
				t.Fatal(err)
			}
			peer := sockets[0]
			defer peer.Close()
			in := make([]udp.Datagram, 4)
			waitFor(t, "a channel", func() bool {
				if _, err := relayed.WriteTo([]byte("hello"), net.UDPAddrFromAddrPort(peer.LocalAddr())); err != nil {
					t.Fatal(err)
				}
				if _, err := peer.ReadBatch(in); err != nil {
					t.Fatal(err)
				}
				n.mu.RLock()
				defer n.mu.RUnlock()
				for _, r := range n.relays {
					r.mu.RLock()
					bound := len(r.byNumber) == 1
					r.mu.RUnlock()
					if bound {
						return true
					}
				}
				return false
			})
			batch := peer.NewBatch()
			sizes := []int{1000, 1000, 1000, 999, 1000, 1001, 7, 7, 7, 5}
			for i, size := range sizes {
				b := batch.Reserve(addrPort(relayed.LocalAddr()), size)
				for k := range b {
					b[k] = byte(i)
				}
				batch.Commit(size)
			}
			if err := batch.Flush(); err != nil {
				t.Fatal(err)
			}
			_ = relayed.SetReadDeadline(time.Now().Add(5 * time.Second))
			b := make([]byte, 2000)
			for i, size := range sizes {
				k, _, err := relayed.ReadFrom(b)
				if err != nil || k != size || b[0] != byte(i) || b[k-1] != byte(i) {
					t.Fatalf("packet %d of %d bytes: %d bytes, number %d, %v", i, size, k, b[0], err)
				}
			}
		})
	}
}

func TestCredentialsOnTheWire(t *testing.T) {
	n := start(t, testConfig())
	rest := func(secret, user string, ttl time.Duration) [2]string {
		u, p := Credentials(secret, user, ttl, time.Now())
		return [2]string{u, p}
	}
	for name, c := range map[string]struct {
		credentials [2]string
		ok          bool
	}{
		"static":                 {[2]string{"ann", "pw"}, true},
		"static, wrong password": {[2]string{"ann", "no"}, false},
		"static, unknown":        {[2]string{"bob", "pw"}, false},
		"REST, first secret":     {rest("south", "eve", time.Minute), true},
		"REST, second secret":    {rest(testSecret, "eve", time.Minute), true},
		"REST, without user":     {rest(testSecret, "", time.Minute), true},
		"REST, wrong secret":     {rest("west", "eve", time.Minute), false},
		"REST, expired":          {rest(testSecret, "eve", -time.Minute), false},
	} {
		t.Run(name, func(t *testing.T) {
			client := n.dial("udp", c.credentials[0], c.credentials[1])
			failures := n.Stats().AuthFailures.Load()
			relayed, err := client.Allocate()
			if (err == nil) != c.ok {
				t.Fatalf("Allocate: %v", err)
			}
			if failed := n.Stats().AuthFailures.Load() > failures; failed == c.ok {
				t.Fatalf("failure counted: %v", failed)
			}
			if err == nil {
				relayed.Close()
			}
		})
	}
}

// A call outlives the credentials it began with.
func TestAllocationOutlivesItsCredentials(t *testing.T) {
	n := start(t, testConfig())
	n.SetMeshAddresses([]netip.AddrPort{n.media()})
	u, p := Credentials(testSecret, "eve", time.Minute, time.Now())
	_, relayed := n.allocate("udp", u, p)
	n.SetCredentials(nil, []string{"other"})
	if err := roundTrip(relayed, n.media(), 100, 5*time.Second); err != nil { // needs CreatePermission
		t.Fatal(err)
	}
	if _, err := n.dial("udp", u, p).Allocate(); err == nil {
		t.Fatal("a new allocation with withdrawn credentials")
	}
}

func TestQuotas(t *testing.T) {
	cfg := testConfig()
	cfg.UserQuota, cfg.TotalQuota = 2, 3
	n := start(t, cfg)
	_, first := n.allocate("udp", "ann", "pw")
	n.allocate("tcp", "ann", "pw")
	refused := func(username, password string) {
		t.Helper()
		_, err := n.dial("udp", username, password).Allocate()
		if err == nil || !strings.Contains(err.Error(), "486") {
			t.Fatalf("Allocate beyond a quota: %v", err)
		}
	}
	refused("ann", "pw")
	// Renewed credentials are the same user, another user is not.
	u, p := Credentials(testSecret, "ann", time.Hour, time.Now())
	refused(u, p)
	u, p = Credentials(testSecret, "eve", time.Hour, time.Now())
	n.allocate("udp", u, p)
	u, p = Credentials(testSecret, "joe", time.Hour, time.Now())
	refused(u, p)
	first.Close()
	waitFor(t, "the allocation to go", func() bool { return n.Stats().Allocations.Load() == 2 })
	n.allocate("udp", "ann", "pw")
	if n.Stats().QuotaRefused.Load() != 3 || n.Stats().AllocationsTotal.Load() != 4 {
		t.Fatalf("%d refused, %d made", n.Stats().QuotaRefused.Load(), n.Stats().AllocationsTotal.Load())
	}
}

func TestRates(t *testing.T) {
	cfg := testConfig()
	cfg.AllocationRate = Rate{PerSecond: 0.001, Burst: 2}
	cfg.UnauthorizedRate = Rate{PerSecond: 0.001, Burst: 9}
	n := start(t, cfg)
	n.allocate("udp", "ann", "pw")
	n.allocate("udp", "ann", "pw")
	if _, err := n.dial("udp", "ann", "pw").Allocate(); err == nil || !strings.Contains(err.Error(), "486") {
		t.Fatalf("Allocate beyond the rate: %v", err)
	}
	if _, err := n.dial("udp", "ann", "no").Allocate(); err == nil {
		t.Fatal("wrong password accepted")
	}
	c, err := net.Dial("udp4", n.media().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	allocate := append([]byte{0, 3, 0, 0, 0x21, 0x12, 0xA4, 0x42}, make([]byte, 12)...)
	if _, err := c.Write(allocate); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the request to be dropped", func() bool { return n.Stats().RateDropped.Load() == 1 })
}

func TestPortRange(t *testing.T) {
	cfg := testConfig()
	cfg.MinPort, cfg.MaxPort = 62000, 62001
	n := start(t, cfg)
	ports := make(map[uint16]bool)
	for range 2 {
		_, relayed := n.allocate("udp", "ann", "pw")
		ports[addrPort(relayed.LocalAddr()).Port()] = true
	}
	if !ports[62000] || !ports[62001] {
		t.Fatalf("ports %v", ports)
	}
	if _, err := n.dial("udp", "ann", "pw").Allocate(); err == nil || !strings.Contains(err.Error(), "508") {
		t.Fatalf("Allocate without a free port: %v", err)
	}
}

// What a client is told, and what it names, are public addresses; what goes over the wire are local ones.
func TestAdvertise(t *testing.T) {
	public := netip.MustParseAddr("203.0.113.7")
	cfg := testConfig()
	cfg.Advertise = map[netip.Addr]netip.Addr{loopback: public}
	n := start(t, cfg)
	media := netip.AddrPortFrom(public, n.media().Port())
	n.SetMeshAddresses([]netip.AddrPort{media})
	c, relayed := n.allocate("udp", "ann", "pw")
	if a := addrPort(relayed.LocalAddr()); a.Addr() != public {
		t.Fatalf("relayed address %s", a)
	}
	before := n.Stats().FromPeerPackets.Load()
	waitFor(t, "a packet back by channel", func() bool { // and the first ones by indication
		if err := roundTrip(relayed, media, 500, 5*time.Second); err != nil {
			t.Fatal(err)
		}
		return n.Stats().FromPeerPackets.Load() > before
	})
	if err := c.CreatePermission(&net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: int(media.Port())}); err == nil {
		t.Fatal("the local address was permitted")
	}
}

func TestLifetimeCap(t *testing.T) {
	cfg := testConfig()
	cfg.DefaultLifetime, cfg.MaxLifetime = time.Second, 2*time.Second // the client asks for 10 minutes
	n := start(t, cfg)
	n.allocate("udp", "ann", "pw")
	if n.Stats().Allocations.Load() != 1 {
		t.Fatal("no allocation")
	}
	n.conn.Close() // the client knows of the cap and would refresh in time
	waitFor(t, "the allocation to end", func() bool { return n.Stats().Allocations.Load() == 0 })
}

func TestIPv6(t *testing.T) {
	six := netip.MustParseAddr("::1")
	cfg := testConfig()
	cfg.Relay = []netip.Addr{six}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	conn, err := net.ListenPacket("udp6", "[::1]:0")
	if err != nil {
		t.Skip("no IPv6 here")
	}
	server, err := net.ListenPacket("udp6", "[::1]:0")
	if err != nil {
		t.Fatal(err)
	}
	media := addrPort(server.LocalAddr())
	s.SetMeshAddresses([]netip.AddrPort{media})
	var wg sync.WaitGroup
	wg.Go(func() { // a feeder without a socket of ours: replies go through a function
		b := make([]byte, 2048)
		for {
			k, from, err := server.ReadFrom(b)
			if err != nil {
				return
			}
			reply := func(b []byte, to netip.AddrPort) error {
				_, err := server.WriteTo(b, net.UDPAddrFromAddrPort(to))
				return err
			}
			if b[0] >= 0x80 {
				_ = reply(b[:k], addrPort(from))
			} else {
				s.HandleDatagram(b[:k], addrPort(from), reply)
			}
		}
	})
	defer wg.Wait()
	defer server.Close()
	defer conn.Close()
	c, err := turn.NewClient(&turn.ClientConfig{
		TURNServerAddr: media.String(), STUNServerAddr: media.String(), Conn: conn,
		Username: "ann", Password: "pw", Realm: testRealm, RequestedAddressFamily: turn.RequestedAddressFamilyIPv6,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Listen(); err != nil {
		t.Fatal(err)
	}
	relayed, err := c.Allocate()
	if err != nil {
		t.Fatal(err)
	}
	defer relayed.Close()
	before := s.Stats().FromPeerPackets.Load()
	waitFor(t, "a packet back by channel", func() bool {
		if err := roundTrip(relayed, media, 1000, 5*time.Second); err != nil {
			t.Fatal(err)
		}
		return s.Stats().FromPeerPackets.Load() > before
	})
}

func TestTCPRelay(t *testing.T) {
	peer, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := peer.Accept()
			if err != nil {
				return
			}
			b := make([]byte, 5)
			if _, err := c.Read(b); err == nil {
				_, _ = c.Write(bytes.ToUpper(b))
			}
			c.Close()
		}
	})
	defer wg.Wait()
	defer peer.Close()

	off := start(t, testConfig())
	if _, err := off.dial("tcp", "ann", "pw").AllocateTCP(); err == nil {
		t.Fatal("a TCP allocation though they are off")
	}
	cfg := testConfig()
	cfg.TCPRelay = true
	cfg.AllowPeers = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	n := start(t, cfg)
	a, err := n.dial("tcp", "ann", "pw").AllocateTCP()
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	if n.Stats().Allocations.Load() != 1 {
		t.Fatal("not counted")
	}
	c, err := a.DialTCP("tcp4", nil, peer.Addr().(*net.TCPAddr))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 5)
	if _, err := c.Read(b); err != nil || string(b) != "HELLO" {
		t.Fatalf("%q, %v", b, err)
	}
}

func TestStreamsThatTalkRubbish(t *testing.T) {
	n := start(t, testConfig())
	for name, b := range map[string][]byte{
		"http":            []byte("GET / HTTP/1.1\r\n\r\n"),
		"no cookie":       {0, 3, 0, 0, 1, 2, 3, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
		"odd length":      append([]byte{0, 3, 0, 1, 0x21, 0x12, 0xA4, 0x42}, make([]byte, 13)...),
		"too large":       append([]byte{0, 3, 0xFF, 0xFC, 0x21, 0x12, 0xA4, 0x42}, make([]byte, 65536)...),
		"neither of both": {0x80, 0, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := net.Dial("tcp4", n.tcp.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			_, _ = c.Write(b)
			if name == "http" { // read as ChannelData of 21,536 bytes: more has to come
				_, _ = c.Write(bytes.Repeat([]byte{0xFF}, 22000))
			}
			_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
			if k, err := c.Read(make([]byte, 10)); err == nil {
				t.Fatalf("%d bytes of answer", k)
			} else if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() {
				t.Fatal("the connection stays open")
			}
		})
	}
	waitFor(t, "the connections to go", func() bool { return n.Stats().Streams.Load() == 0 })
}

func TestTooManyStreams(t *testing.T) {
	cfg := testConfig()
	cfg.MaxStreams = 1
	n := start(t, cfg)
	n.allocate("tcp", "ann", "pw")
	c, err := net.Dial("tcp4", n.tcp.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Fatal("served")
	}
	if n.Stats().Refused.Load() != 1 {
		t.Fatal("not counted")
	}
}

func TestConfigFaultsAreAllReported(t *testing.T) {
	cfg := Config{MinPort: 2, MaxPort: 1, TLS: &tls.Config{}}
	_, err := New(cfg)
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"realm", "nobody could allocate", "no relay address", "ports 2 to 1", "lifetime", "certificate", "connections"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in: %v", want, err)
		}
	}
}
