package link

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base32"
	"errors"
	"log/slog"
	"math/big"
	mathrand "math/rand/v2"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"cardea/relay/shield"
	"cardea/relay/udp"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// authority signs members' certificates.
type authority struct {
	cert *x509.Certificate
	key  ed25519.PrivateKey
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, pub, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{cert, key}
}

// issue makes a node's certificate.
func (a *authority) issue(t testing.TB) (tls.Certificate, NodeID) {
	t.Helper()
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(pub)
	id := strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:10]))
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(2), NotAfter: time.Now().Add(time.Hour), Subject: pkix.Name{CommonName: id}}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, a.cert, pub, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, NodeID(id)
}

func (a *authority) pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.cert)
	return p
}

// book is where members are reached.
type book struct {
	mu sync.Mutex
	of map[NodeID][]netip.AddrPort
}

func (b *book) set(id NodeID, a ...netip.AddrPort) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(a) == 0 {
		delete(b.of, id)
		return
	}
	b.of[id] = a
}

func (b *book) resolve(id NodeID) []netip.AddrPort {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.of[id]
}

// cluster is some nodes that know each other.
type cluster struct {
	t    testing.TB
	ca   *authority
	book *book
}

func newCluster(t testing.TB) *cluster {
	return &cluster{t, newAuthority(t), &book{of: map[NodeID][]netip.AddrPort{}}}
}

// node is an endpoint under test.
type node struct {
	*Endpoint
	id     NodeID
	link   *lossy
	stop   func()
	ups    atomic.Int64
	downs  atomic.Int64
	notice chan string
	raw    chan string
}

const (
	kindEcho Kind = 1000 + iota
	kindFail
	kindSlow
	kindPanic
	kindText
)

type option func(*Config)

// lossy is a socket that loses, delays, and cuts off what it sends.
type lossy struct {
	*udp.Socket
	share atomic.Int64 // of a million lost
	delay atomic.Int64 // ns
	dead  atomic.Bool
	tap   atomic.Pointer[func(b []byte, to netip.AddrPort)]
	wg    sync.WaitGroup
}

func (l *lossy) WriteTo(b []byte, to netip.AddrPort) error {
	if f := l.tap.Load(); f != nil {
		(*f)(b, to)
	}
	if l.dead.Load() || mathrand.Int64N(1e6) < l.share.Load() {
		return nil
	}
	if d := l.delay.Load(); d > 0 {
		b = append([]byte(nil), b...)
		l.wg.Add(1)
		time.AfterFunc(time.Duration(d), func() {
			defer l.wg.Done()
			if !l.dead.Load() {
				_ = l.Socket.WriteTo(b, to)
			}
		})
		return nil
	}
	return l.Socket.WriteTo(b, to)
}

func (c *cluster) node(opts ...option) *node {
	return c.nodeAt("127.0.0.1:0", opts...)
}

var began = time.Now()

func testClock() Clock {
	start := began
	return Clock{
		Now: func() int64 { return int64(time.Since(start)) + 1 },
		NTP: func(now int64) uint64 {
			return uint64(now/1e9)<<32 | uint64(now%1e9)<<32/1e9
		},
	}
}

func (c *cluster) nodeAt(addr string, opts ...option) *node {
	c.t.Helper()
	s, err := udp.Listen(udp.Config{Address: netip.MustParseAddrPort(addr), ReadBuffer: 4 << 20, WriteBuffer: 4 << 20})
	if err != nil {
		c.t.Fatal(err)
	}
	socket := &lossy{Socket: s[0]}
	n := c.on(socket, opts...)
	n.link = socket
	return n
}

// on makes a node on a socket.
func (c *cluster) on(socket shield.Socket, opts ...option) *node {
	c.t.Helper()
	cert, id := c.ca.issue(c.t)
	n := &node{id: id, notice: make(chan string, 10000), raw: make(chan string, 10000)}
	cfg := Config{
		Self: id, Listen: []netip.AddrPort{socket.LocalAddr()},
		TLS:      &tls.Config{Certificates: []tls.Certificate{cert}, RootCAs: c.ca.pool()},
		Identify: func(x *x509.Certificate) (NodeID, error) { return NodeID(x.Subject.CommonName), nil },
		Resolve:  c.book.resolve, Version: "1.0", Features: []string{"one", "two"}, Clock: testClock(),
	}
	if testing.Verbose() && os.Getenv("LINKLOG") != "" {
		cfg.Log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})).With("node", id[:4])
	}
	for _, o := range opts {
		o(&cfg)
	}
	var err error
	if n.Endpoint, err = newEndpoint(cfg, []shield.Socket{socket}); err != nil {
		c.t.Fatal(err)
	}
	n.Handle(kindEcho, func(_ context.Context, from NodeID, b []byte) ([]byte, error) { return b, nil })
	n.Handle(kindFail, func(context.Context, NodeID, []byte) ([]byte, error) {
		return nil, &RemoteError{Code: 16, Text: "as asked"}
	})
	n.Handle(kindSlow, func(ctx context.Context, _ NodeID, _ []byte) ([]byte, error) {
		<-ctx.Done()
		n.notice <- "cancelled"
		return nil, errors.New("cancelled")
	})
	n.Handle(kindPanic, func(context.Context, NodeID, []byte) ([]byte, error) { panic("as asked") })
	n.HandleNotice(kindText, func(_ *Link, b []byte) { n.notice <- string(b) })
	n.HandleDatagram(func(_ *Link, b []byte) {
		select {
		case n.raw <- string(b):
		default: // a test that floods
		}
	})
	n.Watch(func(_ *Link, up bool) {
		if up {
			n.ups.Add(1)
		} else {
			n.downs.Add(1)
		}
	})
	c.book.set(id, socket.LocalAddr())
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	n.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			c.t.Errorf("Run: %v", err)
		}
		if l, ok := socket.(*lossy); ok {
			l.wg.Wait()
		}
	})
	c.t.Cleanup(n.stop)
	return n
}

// to returns the link to another node.
func (n *node) to(t testing.TB, o *node) *Link {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	l, err := n.Link(ctx, o.id)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// eventually waits for what is to come.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal(what)
		}
	}
}
