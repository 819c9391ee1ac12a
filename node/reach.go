package node

import (
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"cardea/geo"
)

// reach knows how far those are who are connected to the Janus API, by the addresses that they come from. It tells when a database is
// wrong about one: nobody is farther away than a packet goes there and back. Connections that proxies forward are the proxies', and
// say nothing of the clients behind them. It is safe for concurrent use; the zero reach is ready.
type reach struct {
	mu sync.Mutex
	by map[netip.Addr][]*reached // no entry is empty
}

// maxReached is how many connections of one address are asked at most: whole offices may have one.
const maxReached = 8

// listen returns the listener with its connections known.
func (r *reach) listen(ln net.Listener) net.Listener { return reachListener{ln, r} }

// roundTrip returns the least that a packet to an address has needed there and back; 0 when that is not known.
func (r *reach) roundTrip(to netip.Addr) (least time.Duration) {
	r.mu.Lock()
	all := r.by[to.Unmap().WithZone("")]
	all = slices.Clone(all[:min(len(all), maxReached)])
	r.mu.Unlock()
	for _, c := range all {
		if d := leastRoundTrip(c.TCPConn); d > 0 && (least == 0 || d < least) {
			least = d
		}
	}
	return least
}

type reachListener struct {
	net.Listener
	reach *reach
}

// Accept implements [net.Listener].
func (l reachListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	tcp, ok := conn.(*net.TCPConn)
	if err != nil || !ok {
		return conn, err
	}
	from, ok := tcp.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return conn, nil
	}
	c := &reached{TCPConn: tcp, from: from.AddrPort().Addr().Unmap().WithZone(""), reach: l.reach}
	c.reach.mu.Lock()
	defer c.reach.mu.Unlock()
	if c.reach.by == nil {
		c.reach.by = make(map[netip.Addr][]*reached)
	}
	c.reach.by[c.from] = append(c.reach.by[c.from], c)
	return c, nil
}

// reached is a connection that a reach knows until it is closed.
type reached struct {
	*net.TCPConn
	from  netip.Addr
	reach *reach
}

// Close implements [net.Conn].
func (c *reached) Close() error {
	c.reach.mu.Lock()
	all := slices.DeleteFunc(c.reach.by[c.from], func(o *reached) bool { return o == c })
	if len(all) > 0 {
		c.reach.by[c.from] = all
	} else {
		delete(c.reach.by, c.from)
	}
	c.reach.mu.Unlock()
	return c.TCPConn.Close()
}

// believe has a node be no farther from the client than was measured, if anything was. The order stays: it is the estimates'.
func believe(ranked []geo.Ranked, node string, measured time.Duration) {
	if i := slices.IndexFunc(ranked, func(r geo.Ranked) bool { return r.ID == node }); i >= 0 && measured > 0 {
		ranked[i].RTT = min(ranked[i].RTT, measured)
	}
}
