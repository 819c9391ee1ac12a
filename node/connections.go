package node

import (
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
)

const (
	// spareConnections is how many connections the console takes beside one of each session's client, which may wait there to be told
	// when to move.
	spareConnections = 4096
	// sourceShare is which part of them one source may have: an office, or a carrier, is one.
	sourceShare = 8
)

// connections bounds the connections of some listeners together: in all, and of each source. Those beyond are closed at once, so that
// nobody else waits behind them. It is safe for concurrent use.
type connections struct {
	most, each int
	// spared tells of sources that only the bound of all holds for, such as proxies, whose clients are many.
	spared  func(netip.Addr) bool
	refused atomic.Uint64

	mu  sync.Mutex // guards below
	of  map[netip.Addr]int
	all int
}

func newConnections(most int, spared func(netip.Addr) bool) *connections {
	return &connections{most: most, each: max(most/sourceShare, 1), spared: spared, of: make(map[netip.Addr]int)}
}

// open counts one more connection of a source; false if that is one too many.
func (c *connections) open(source netip.Addr) bool {
	spared := c.spared(source)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.all >= c.most || !spared && c.of[source] >= c.each {
		c.refused.Add(1)
		return false
	}
	c.all++
	c.of[source]++
	return true
}

func (c *connections) close(source netip.Addr) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all--
	if c.of[source]--; c.of[source] == 0 {
		delete(c.of, source)
	}
}

// count returns how many there are.
func (c *connections) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.all
}

// boundedListener accepts what its connections have room for.
type boundedListener struct {
	net.Listener
	bound *connections
}

// Accept implements [net.Listener].
func (l boundedListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		source := sourceOf(conn.RemoteAddr())
		if l.bound.open(source) {
			return &countedConn{Conn: conn, done: sync.OnceFunc(func() { l.bound.close(source) })}, nil
		}
		_ = conn.Close() // it is not wanted
	}
}

// countedConn counts until it is closed.
type countedConn struct {
	net.Conn
	done func()
}

// Close implements [net.Conn].
func (c *countedConn) Close() error {
	defer c.done()
	return c.Conn.Close()
}

// sourceOf is whose a connection is: an IPv4 address, or the IPv6 network of which one host may have all addresses.
func sourceOf(remote net.Addr) netip.Addr {
	tcp, ok := remote.(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	a := tcp.AddrPort().Addr().Unmap().WithZone("")
	if a.Is6() && !a.IsLoopback() {
		p, _ := a.Prefix(64) // an IPv6 address always has it
		a = p.Addr()
	}
	return a
}

// consoleConnections are those of the console's ports.
func (n *Node) consoleConnections() *connections {
	c := newConnections(n.cfg.Limits.Sessions+spareConnections, func(a netip.Addr) bool {
		callers := n.callers.Load()
		return a.IsLoopback() || callers != nil && slices.ContainsFunc(callers.Proxies, func(p netip.Prefix) bool { return p.Contains(a) })
	})
	n.registry.MustRegister(snapshot(func() *connections { return c },
		gauge("cardea_console_connections", "Connections to the console's ports.", func(c *connections) float64 { return float64(c.count()) }),
		counter("cardea_console_connections_refused_total", "Connections to them that were closed at once: too many, in all or of one source.", func(c *connections) float64 { return float64(c.refused.Load()) }),
	))
	return c
}
