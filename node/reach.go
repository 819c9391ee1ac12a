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

func (r *reach) add(c *reached) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.by == nil {
		r.by = make(map[netip.Addr][]*reached)
	}
	c.at = len(r.by[c.from])
	r.by[c.from] = append(r.by[c.from], c)
}

// remove forgets a connection, the last of its address taking its place: of the thousands behind one NAT, many may go at once.
func (r *reach) remove(c *reached) {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := r.by[c.from]
	if c.at >= len(all) || all[c.at] != c {
		return // it was closed before
	}
	last := len(all) - 1
	moved := all[last]
	all[c.at], moved.at = moved, c.at
	all[last] = nil
	if last > 0 {
		r.by[c.from] = all[:last]
	} else {
		delete(r.by, c.from)
	}
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
	l.reach.add(c)
	return c, nil
}

// reached is a connection that a reach knows until it is closed.
type reached struct {
	*net.TCPConn
	from  netip.Addr
	reach *reach
	at    int // where it is in reach.by[from]; guarded by reach.mu
}

// Close implements [net.Conn].
func (c *reached) Close() error {
	c.reach.remove(c)
	return c.TCPConn.Close()
}

// believe has a node be no farther from the client than was measured, if anything was. The order stays: it is the estimates'.
func believe(ranked []geo.Ranked, node string, measured time.Duration) {
	if i := slices.IndexFunc(ranked, func(r geo.Ranked) bool { return r.ID == node }); i >= 0 && measured > 0 {
		ranked[i].RTT = min(ranked[i].RTT, measured)
	}
}
