package turn

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/logging"
	"github.com/pion/turn/v5"
	"go.uber.org/goleak"

	"cardea/relay/udp"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	testRealm  = "test.example"
	testSecret = "north"
)

var loopback = netip.MustParseAddr("127.0.0.1")

// node is a server with the sockets that feed it, as the media loop and the TCP port do.
type node struct {
	*Server
	t      testing.TB
	socket *udp.Socket // clients' UDP port; what is neither STUN nor ChannelData is "media" and sent back
	tcp    net.Listener
	conn   net.PacketConn // of the last client
}

// testConfig lets users ann (password pw) and REST users relay from loopback to nobody but the mesh.
func testConfig() Config {
	cfg := Default()
	cfg.Realm = testRealm
	cfg.Users = map[string]string{"ann": "pw"}
	cfg.Secrets = []string{"south", testSecret}
	cfg.Relay = []netip.Addr{loopback}
	cfg.Log = slog.New(slog.DiscardHandler)
	return cfg
}

func start(t testing.TB, cfg Config) *node {
	t.Helper()
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	sockets, err := udp.Listen(udp.Config{Address: netip.AddrPortFrom(loopback, 0), ReadBuffer: 4 << 20})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := &node{Server: s, t: t, socket: sockets[0], tcp: l}
	var wg sync.WaitGroup
	wg.Go(func() {
		batch := make([]udp.Datagram, 32)
		for {
			k, err := n.socket.ReadBatch(batch)
			if err != nil {
				return
			}
			for _, d := range batch[:k] {
				if d.Data[0] < 0x80 {
					n.HandleSocket(n.socket, d.Data, d.From)
				} else {
					_ = n.socket.WriteTo(d.Data, d.From)
				}
			}
		}
	})
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			n.ServeConn(c)
		}
	})
	t.Cleanup(func() {
		n.socket.Close()
		l.Close()
		wg.Wait()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if a, c := s.Stats().Allocations.Load(), s.Stats().Streams.Load(); a != 0 || c != 0 {
			t.Errorf("%d allocations and %d connections are left", a, c)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if len(s.clients)+len(s.relays)+len(s.perUser)+s.total != 0 {
			t.Errorf("left: %d clients, %d relays, %d users", len(s.clients), len(s.relays), len(s.perUser))
		}
	})
	return n
}

// media is where the node's own media port is.
func (n *node) media() netip.AddrPort { return n.socket.LocalAddr() }

// echo is a peer that sends everything back.
func echo(t testing.TB) netip.AddrPort {
	t.Helper()
	c, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(loopback, 0)))
	if err != nil {
		t.Fatal(err)
	}
	return echoOn(t, c)
}

// echoPair is two such peers on ports in a row, as RTP and RTCP once had.
func echoPair(t testing.TB) netip.AddrPort {
	t.Helper()
	for range 100 {
		first, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(loopback, 0)))
		if err != nil {
			t.Fatal(err)
		}
		port := addrPort(first.LocalAddr()).Port()
		second, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(loopback, port+1)))
		if err == nil {
			echoOn(t, second)
			return echoOn(t, first)
		}
		first.Close()
	}
	t.Fatal("no two ports in a row")
	return netip.AddrPort{}
}

func echoOn(t testing.TB, c *net.UDPConn) netip.AddrPort {
	var wg sync.WaitGroup
	wg.Go(func() {
		b := make([]byte, 65536)
		for {
			k, from, err := c.ReadFromUDPAddrPort(b)
			if err != nil {
				return
			}
			_, _ = c.WriteToUDPAddrPort(b[:k], from)
		}
	})
	t.Cleanup(func() { c.Close(); wg.Wait() })
	return c.LocalAddr().(*net.UDPAddr).AddrPort()
}

// dial makes a TURN client over the transport.
func (n *node) dial(transport, username, password string) *turn.Client {
	n.t.Helper()
	c, err := n.tryDial(transport, username, password)
	if err != nil {
		n.t.Fatal(err)
	}
	return c
}

func (n *node) tryDial(transport, username, password string) (*turn.Client, error) {
	var (
		conn   net.PacketConn
		server = n.media()
	)
	stream := func(c net.Conn, err error) error {
		if err == nil {
			conn = turn.NewSTUNConn(c)
			server = addrPort(c.RemoteAddr())
		}
		return err
	}
	var err error
	switch transport {
	case "udp":
		conn, err = net.ListenPacket("udp4", "127.0.0.1:0")
	case "tcp":
		err = stream(net.Dial("tcp4", n.tcp.Addr().String()))
	case "tls":
		err = stream(tls.Dial("tcp4", n.SecureAddresses()[0].String(), &tls.Config{InsecureSkipVerify: true}))
	case "dtls":
		var c *dtls.Conn
		c, err = dtls.DialWithOptions("udp4", net.UDPAddrFromAddrPort(n.SecureAddresses()[0]), dtls.WithInsecureSkipVerify(true))
		if err == nil {
			n.t.Cleanup(func() { c.Close() })
			err = stream(c, c.Handshake())
		}
	}
	if err != nil {
		return nil, err
	}
	quiet := logging.NewDefaultLoggerFactory()
	quiet.DefaultLogLevel = logging.LogLevelDisabled
	c, err := turn.NewClient(&turn.ClientConfig{
		STUNServerAddr: server.String(), TURNServerAddr: server.String(), Conn: conn,
		Username: username, Password: password, Realm: testRealm, LoggerFactory: quiet,
	})
	if err == nil {
		err = c.Listen()
	}
	if err != nil {
		return nil, err
	}
	n.conn = conn
	n.t.Cleanup(func() { c.Close(); conn.Close() })
	return c, nil
}

// allocate makes an allocation that ends with the test.
func (n *node) allocate(transport, username, password string) (*turn.Client, net.PacketConn) {
	n.t.Helper()
	c := n.dial(transport, username, password)
	relayed, err := c.Allocate()
	if err != nil {
		n.t.Fatalf("Allocate over %s as %s: %v", transport, username, err)
	}
	n.t.Cleanup(func() { relayed.Close() })
	return c, relayed
}

// roundTrip sends a packet of media through the relay until it comes back, for at most the given time.
func roundTrip(relayed net.PacketConn, peer netip.AddrPort, size int, within time.Duration) error {
	out := bytes.Repeat([]byte{0x80}, size)
	in := make([]byte, 65536)
	deadline := time.Now().Add(within)
	for i := byte(0); ; i++ {
		out[size-1] = i
		if _, err := relayed.WriteTo(out, net.UDPAddrFromAddrPort(peer)); err != nil {
			return err
		}
		_ = relayed.SetReadDeadline(time.Now().Add(min(within, 200*time.Millisecond)))
		k, from, err := relayed.ReadFrom(in)
		if err == nil {
			if addrPort(from) != peer || !bytes.Equal(in[:k-1], out[:size-1]) {
				return fmt.Errorf("%d bytes from %s, sent %d to %s", k, from, size, peer)
			}
			return nil
		}
		if time.Now().After(deadline) {
			return err
		}
	}
}

// waitFor polls a condition.
func waitFor(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

var testCertificate = sync.OnceValue(func() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
})

func secureConfig() Config {
	cfg := testConfig()
	cfg.TLS = &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		c := testCertificate()
		return &c, nil
	}}
	cfg.Secure = []netip.AddrPort{netip.AddrPortFrom(loopback, 0)}
	return cfg
}
