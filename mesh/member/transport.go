package member

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/memberlist"
)

const (
	maxStream  = 8 << 20  // bytes of one gossip session over TCP; 1,000 nodes take one
	maxStreams = 64 << 20 // of all at once: what is read before it proves genuine is kept in memory
)

// transport is memberlist's own, with bounds on what strangers can make it do over TCP, and sessions that end when it does.
type transport struct {
	*memberlist.NetTransport
	bind     netip.Addr
	limits   *limiter
	counters *counters
	reading  atomic.Int64 // bytes held by all sessions
	streams  chan net.Conn
	passing  sync.WaitGroup

	// What ends sessions, and then calls: memberlist passes no contexts.
	open, calls    context.Context //nolint:containedctx // see above
	shut, endCalls context.CancelFunc
}

var _ memberlist.NodeAwareTransport = (*transport)(nil)

// newTransport binds the gossip port.
func newTransport(c *Cluster, host string, log slog.Handler) (*transport, error) {
	inner, err := memberlist.NewNetTransport(&memberlist.NetTransportConfig{
		BindAddrs: []string{host}, BindPort: int(c.cfg.GossipPort), Logger: slog.NewLogLogger(log, slog.LevelInfo),
	})
	if err != nil {
		return nil, fmt.Errorf("gossip port: %w", err)
	}
	t := &transport{
		NetTransport: inner, bind: c.cfg.Bind, limits: newLimiter(c.table.has), counters: &c.counters, streams: make(chan net.Conn),
	}
	t.open, t.shut = context.WithCancel(context.Background())
	t.calls, t.endCalls = context.WithCancel(t.open)
	t.passing.Go(t.pass)
	return t, nil
}

// pass hands on the sessions that are within bounds.
func (t *transport) pass() {
	for {
		select {
		case conn := <-t.NetTransport.StreamCh():
			release, ok := t.limits.take(conn.RemoteAddr(), time.Now())
			if !ok {
				t.counters.limited.Add(1)
				_ = conn.Close()
				continue
			}
			m := t.metered(t.open, conn, release)
			select {
			case t.streams <- m:
			case <-t.open.Done():
				_ = m.Close()
			}
		case <-t.open.Done():
			return
		}
	}
}

// StreamCh yields the sessions that others begin.
func (t *transport) StreamCh() <-chan net.Conn { return t.streams }

// DialAddressTimeout begins a session.
func (t *transport) DialAddressTimeout(a memberlist.Address, timeout time.Duration) (net.Conn, error) {
	d := net.Dialer{Timeout: timeout}
	if t.bind.IsValid() && !t.bind.IsUnspecified() {
		if to, err := netip.ParseAddrPort(a.Addr); err == nil && to.Addr().Is4() == t.bind.Is4() {
			d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(t.bind, 0))
		}
	}
	conn, err := d.DialContext(t.calls, "tcp", a.Addr)
	if err != nil {
		return nil, err
	}
	return t.metered(t.calls, conn, func() {}), nil
}

// Shutdown ends everything. It is called once.
func (t *transport) Shutdown() error {
	err := t.NetTransport.Shutdown() // waits for what pass still has to take
	t.shut()
	t.passing.Wait()
	return err
}

var errBudget = errors.New("gossip session too long, or too many at once")

// meteredConn counts what is read of a session.
type meteredConn struct {
	net.Conn
	t       *transport
	read    atomic.Int64
	once    sync.Once
	release func()
	stop    func() bool
}

func (t *transport) metered(ctx context.Context, conn net.Conn, release func()) net.Conn {
	m := &meteredConn{Conn: conn, t: t, release: release}
	m.stop = context.AfterFunc(ctx, func() { _ = conn.Close() })
	return m
}

// Read reads within bounds.
func (m *meteredConn) Read(b []byte) (int, error) {
	if m.read.Load() >= maxStream || m.t.reading.Load() >= maxStreams {
		return 0, errBudget
	}
	n, err := m.Conn.Read(b)
	m.read.Add(int64(n))
	m.t.reading.Add(int64(n))
	return n, err
}

// Close gives back what the session took.
func (m *meteredConn) Close() error {
	m.once.Do(func() {
		m.stop()
		m.t.reading.Add(-m.read.Load())
		m.release()
	})
	return m.Conn.Close()
}
