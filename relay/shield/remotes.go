package shield

import (
	"fmt"
	"maps"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
)

// remote is one far end.
type remote struct {
	address atomic.Pointer[netip.AddrPort] // where it is written to
	addr    *net.UDPAddr                   // the same, in the form that quic-go takes; owned by the goroutine that reads

	mu sync.Mutex // guards the session
	*session
}

var errRemotes = fmt.Errorf("shield: more than %d remotes", maxRemotes)

// Protect begins to shield what goes to and comes from a remote, with keys made of a secret that both ends share: the TLS exporter
// of the QUIC connection gives one. client tells the two ends apart. Until both have called it packets pass as they are. A second
// call begins anew: the remote was restarted. A remote that is silent for two minutes, with nothing sent to it, is forgotten.
func (c *Conn) Protect(to netip.AddrPort, secret []byte, client bool) error {
	to = unmap(to)
	r := &remote{}
	r.address.Store(&to)
	r.addr = net.UDPAddrFromAddrPort(to)
	s, err := newSession(secret, client, c.cfg, c.now(),
		func(b []byte) { c.write(b, *r.address.Load()) },
		func(p []byte) { c.ready = append(c.ready, delivery{p, r.addr}) })
	if err != nil {
		return fmt.Errorf("shield %s: %w", to, err)
	}
	r.session = s
	c.mu.Lock()
	defer c.mu.Unlock()
	old := *c.remotes.Load()
	if _, ok := old[to]; !ok && len(old) >= maxRemotes {
		return errRemotes
	}
	m := maps.Clone(old)
	if o := old[to]; o != nil {
		maps.DeleteFunc(m, func(_ netip.AddrPort, r *remote) bool { return r == o })
	}
	m[to] = r
	c.remotes.Store(&m)
	return nil
}

// Forget ends shielding a remote and frees its memory.
func (c *Conn) Forget(to netip.AddrPort) {
	if r := c.remote(unmap(to)); r != nil {
		c.forget(r)
	}
}

func (c *Conn) forget(r *remote) {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := maps.Clone(*c.remotes.Load())
	maps.DeleteFunc(m, func(_ netip.AddrPort, o *remote) bool { return o == r })
	c.remotes.Store(&m)
}

// moved looks for the remote that a report from an unknown address comes from: an address translator on its side may have given it a
// new one. If there is one it is known by both addresses from then on, and written to at the new one; QUIC makes sure that the remote
// is there, as with any change of path.
func (c *Conn) moved(b []byte, from netip.AddrPort) *remote {
	if parseHeader(b).kind != kindReport || len(b) > maxReport || !c.strangers.Allow() {
		return nil
	}
	for _, r := range *c.remotes.Load() {
		r.mu.Lock()
		known := r.in.valid(b) && r.newer(parseHeader(b).number)
		r.mu.Unlock()
		if !known {
			continue
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		m := maps.Clone(*c.remotes.Load())
		before := *r.address.Load()
		maps.DeleteFunc(m, func(a netip.AddrPort, o *remote) bool { return o == r && a != before })
		m[from] = r
		c.remotes.Store(&m)
		r.addr = net.UDPAddrFromAddrPort(from)
		r.address.Store(&from)
		return r
	}
	return nil
}
