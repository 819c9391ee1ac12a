package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"cardea/relay/link"
)

// kindTest is a notice of no meaning.
const kindTest link.Kind = 1000

// nodes is nodes that have links over loopback.
type nodes struct {
	ca      *x509.Certificate
	key     ed25519.PrivateKey
	running sync.WaitGroup

	mu sync.Mutex
	at map[link.NodeID]netip.AddrPort
}

// measureLinks opens links between endpoints over loopback.
func measureLinks(ctx context.Context, _ use, s *sizes) error {
	ctx, stop := context.WithCancel(ctx)
	n := &nodes{at: map[link.NodeID]netip.AddrPort{}}
	defer n.running.Wait()
	defer stop()
	if err := n.authority(); err != nil {
		return err
	}
	hub, err := n.node(ctx, 0)
	if err != nil {
		return err
	}
	const leaves = 8
	for i := range leaves {
		if _, err := n.node(ctx, i+1); err != nil {
			return err
		}
	}
	before := heap()
	for i := range leaves {
		if _, err := hub.Link(ctx, nodeID(i+1)); err != nil {
			return err
		}
	}
	if err := pause(ctx, 2*time.Second); err != nil { // what links begin with is over
		return err
	}
	s.linkMemory = (heap() - before) / (2 * leaves)

	if _, err := n.node(ctx, leaves+1); err != nil {
		return err
	}
	m, err := newMeter(ctx, n.where(nodeID(leaves+1)))
	if err != nil {
		return err
	}
	defer m.close()
	n.put(nodeID(leaves+1), m.address())
	l, err := hub.Link(ctx, nodeID(leaves+1))
	if err != nil {
		return err
	}
	// say lets a link be spoken over for a while, and returns the bytes/s of both sides.
	const payload = 20
	say := func(every, d time.Duration) (float64, error) {
		start, began := m.sum(), time.Now()
		for time.Since(began) < d {
			if every < d {
				if err := l.Notify(kindTest, make([]byte, payload)); err != nil {
					return 0, err
				}
			}
			if err := pause(ctx, min(every, d)); err != nil {
				return 0, err
			}
		}
		return (m.sum() - start) / time.Since(began).Seconds(), nil
	}
	// First QUIC finds out how large packets may be, which it does while something is said.
	if _, err := say(50*time.Millisecond, 2*time.Second); err != nil {
		return err
	}
	if err := pause(ctx, 2*time.Second); err != nil {
		return err
	}
	idle, err := say(time.Hour, 3*time.Second)
	if err != nil {
		return err
	}
	seldom, err := say(250*time.Millisecond, 3*time.Second)
	if err != nil {
		return err
	}
	often, err := say(25*time.Millisecond, 3*time.Second)
	if err != nil {
		return err
	}
	s.notice = max((often-seldom)/(40-4)-payload, 0)
	s.idleLink = idle / 2
	s.busyLink = max(seldom-4*(s.notice+payload), idle) / 2
	return nil
}

// authority makes the key that vouches for all.
func (n *nodes) authority() (err error) {
	var public ed25519.PublicKey
	if public, n.key, err = ed25519.GenerateKey(rand.Reader); err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, n.key)
	if err != nil {
		return err
	}
	n.ca, err = x509.ParseCertificate(der)
	return err
}

// node starts an endpoint.
func (n *nodes) node(ctx context.Context, i int) (*link.Endpoint, error) {
	public, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), NotAfter: time.Now().Add(time.Hour), Subject: pkix.Name{CommonName: string(nodeID(i))},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, n.ca, public, n.key)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AddCert(n.ca)
	start := time.Now()
	e, err := link.Listen(link.Config{
		Self: nodeID(i), Listen: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")}, Version: "1",
		TLS:      &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, RootCAs: pool},
		Identify: func(c *x509.Certificate) (link.NodeID, error) { return link.NodeID(c.Subject.CommonName), nil },
		Resolve: func(id link.NodeID) []netip.AddrPort {
			if at := n.where(id); at.IsValid() {
				return []netip.AddrPort{at}
			}
			return nil
		},
		Clock: link.Clock{
			Now: func() int64 { return int64(time.Since(start)) + 1 },
			NTP: func(now int64) uint64 { return uint64(now) }, //nolint:gosec // no media here
		},
	})
	if err != nil {
		return nil, err
	}
	e.HandleNotice(kindTest, func(*link.Link, []byte) {})
	n.put(nodeID(i), e.Addresses()[0])
	n.running.Go(func() { _ = e.Run(ctx) })
	return e, nil
}

func (n *nodes) where(id link.NodeID) netip.AddrPort {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.at[id]
}

func (n *nodes) put(id link.NodeID, at netip.AddrPort) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.at[id] = at
}

// meter passes UDP packets on between whoever sends to it and one address, and counts their bytes with headers.
type meter struct {
	front, back *net.UDPConn
	bytes       atomic.Int64
	from        atomic.Pointer[netip.AddrPort]
	wait        sync.WaitGroup
}

func newMeter(ctx context.Context, to netip.AddrPort) (*meter, error) {
	m := &meter{}
	var err error
	if m.front, err = net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}); err != nil {
		return nil, err
	}
	var d net.Dialer
	back, err := d.DialContext(ctx, "udp4", to.String())
	if err != nil {
		_ = m.front.Close()
		return nil, err
	}
	m.back = back.(*net.UDPConn) //nolint:forcetypeassert // of udp4
	m.wait.Go(func() {
		b := make([]byte, 65536)
		for {
			n, from, err := m.front.ReadFromUDPAddrPort(b)
			if err != nil {
				return
			}
			m.from.Store(&from)
			m.bytes.Add(int64(n + headers))
			_, _ = m.back.Write(b[:n]) // a lost packet
		}
	})
	m.wait.Go(func() {
		b := make([]byte, 65536)
		for {
			n, err := m.back.Read(b)
			if err != nil {
				return
			}
			m.bytes.Add(int64(n + headers))
			if from := m.from.Load(); from != nil {
				_, _ = m.front.WriteToUDPAddrPort(b[:n], *from)
			}
		}
	})
	return m, nil
}

func (m *meter) address() netip.AddrPort {
	return netip.MustParseAddrPort(m.front.LocalAddr().String())
}

func (m *meter) sum() float64 { return float64(m.bytes.Load()) }

func (m *meter) close() {
	_ = m.front.Close()
	_ = m.back.Close()
	m.wait.Wait()
}
