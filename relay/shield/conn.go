package shield

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"cardea/relay/udp"
)

const (
	// readBatch is how many datagrams are taken at once. Handing them up must not overrun the ring of the decoder.
	readBatch = 64

	busyTick = 5 * time.Millisecond
	idleTick = 50 * time.Millisecond

	// maxRemotes bounds the remotes that are shielded at a time; each holds up to some 7 MiB when it carries 100 Mbit/s, 1 MiB idle.
	maxRemotes = 1024

	// strangerRate and strangerBurst bound the packets a second that are handed up from remotes without keys: handshakes.
	strangerRate, strangerBurst = 2000, 4000
)

// Conn is a net.PacketConn for quic.Transport. Everything is safe for concurrent use, but ReadFrom is for one goroutine, which
// does the work of receiving.
type Conn struct {
	socket    Socket
	cfg       Config
	local     *net.UDPAddr
	start     time.Time
	strangers *rate.Limiter
	*decoy

	// remotes is replaced, never changed, so that packets find theirs without a lock.
	remotes atomic.Pointer[map[netip.AddrPort]*remote]
	mu      sync.Mutex // guards the replacing of remotes

	// Owned by the goroutine that reads.
	batch []udp.Datagram
	ready []delivery
	head  int
	parts parts

	counters counters

	closed chan struct{}
	once   sync.Once
	done   sync.WaitGroup
}

// delivery is a packet on its way up.
type delivery struct {
	data []byte
	from net.Addr
}

// remote is one far end.
type remote struct {
	address atomic.Pointer[netip.AddrPort] // where it is written to
	addr    *net.UDPAddr                   // the same, in the form that quic-go takes; owned by the goroutine that reads

	mu sync.Mutex // guards the session
	*session
}

type counters struct {
	strangersDropped, sendErrors, tooLong atomic.Uint64
}

var _ net.PacketConn = (*Conn)(nil)

// New returns a Conn on a socket, which it closes when it is closed.
func New(s Socket, cfg Config) (*Conn, error) {
	decoy, err := newDecoy()
	if err != nil {
		return nil, err
	}
	c := &Conn{
		decoy:     decoy,
		socket:    s,
		cfg:       cfg.withDefaults(),
		local:     net.UDPAddrFromAddrPort(s.LocalAddr()),
		start:     time.Now().Add(-time.Second), // 0 means never
		strangers: rate.NewLimiter(strangerRate, strangerBurst),
		batch:     make([]udp.Datagram, readBatch),
		closed:    make(chan struct{}),
	}
	c.remotes.Store(&map[netip.AddrPort]*remote{})
	c.done.Go(c.run)
	return c, nil
}

func (c *Conn) now() int64 { return int64(time.Since(c.start)) }

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

// Row is what a link's keepalives have measured.
type Row struct {
	Up       bool          // something valid came in within the last second and a half
	RTT      time.Duration // smoothed; 0: not known yet
	LeastRTT time.Duration // the least seen
	Queue    time.Duration // how long packets to the remote wait on the way, of late
	Loss     float64       // share of packets to the remote lost, before repair
	Burst    float64       // mean number of packets lost in a row
	Late     float64       // share that parity did not repair
	Parity   float64       // packets of parity per packet
	Size     int           // largest UDP payload that gets through
	Budget   int           // see [Conn.Budget]
	Overhead float64       // parity and repeats sent, as a share of what they are for, since the beginning
}

// Row returns what is known about the way to a remote; ok is false if it is not shielded.
func (c *Conn) Row(to netip.AddrPort) (row Row, ok bool) {
	r := c.remote(unmap(to))
	if r == nil {
		return Row{}, false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.row(c.now()), true
}

// Budget returns how much may be handed down for a remote, in bit/s of QUIC packets: what the path is thought to bear, less parity. A remote
// that is not shielded has the initial rate.
func (c *Conn) Budget(to netip.AddrPort) int {
	r := c.remote(unmap(to))
	if r == nil {
		return c.cfg.InitialRate
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.budget()
}

func (c *Conn) remote(a netip.AddrPort) *remote { return (*c.remotes.Load())[a] }

// write sends a datagram. What the network does not take is as good as lost.
func (c *Conn) write(b []byte, to netip.AddrPort) {
	if err := c.socket.WriteTo(b, to); err != nil {
		c.counters.sendErrors.Add(1)
	}
}

var errAddress = errors.New("shield: not a UDP address")

// WriteTo sends a packet, shielded if the remote is. It returns no error for what the network may do to packets.
func (c *Conn) WriteTo(p []byte, addr net.Addr) (int, error) {
	select {
	case <-c.closed:
		return 0, net.ErrClosed
	default:
	}
	a, ok := addr.(*net.UDPAddr)
	if !ok {
		return 0, errAddress
	}
	to := unmap(a.AddrPort())
	if len(p) == 0 || len(p) > MaxPacket {
		c.counters.tooLong.Add(1)
		return len(p), nil
	}
	if r := c.remote(to); r != nil {
		r.mu.Lock()
		if r.ready {
			r.send(p, c.now())
			r.mu.Unlock()
			return len(p), nil
		}
		r.mu.Unlock()
	}
	if len(p) > leastSize {
		c.parts.cut(p, func(b []byte) { c.write(b, to) })
	} else {
		c.write(p, to)
	}
	return len(p), nil
}

// ReadFrom returns the next packet, from any remote.
func (c *Conn) ReadFrom(p []byte) (int, net.Addr, error) {
	for {
		if c.head < len(c.ready) {
			d := &c.ready[c.head]
			c.head++
			return copy(p, d.data), d.from, nil
		}
		clear(c.ready)
		c.ready, c.head = c.ready[:0], 0
		n, err := c.socket.ReadBatch(c.batch)
		if err != nil {
			select {
			case <-c.closed:
				err = net.ErrClosed
			default:
			}
			return 0, nil, err
		}
		now := c.now()
		for _, d := range c.batch[:n] {
			c.receive(d.Data, d.From, now)
		}
	}
}

// receive sorts a datagram.
func (c *Conn) receive(b []byte, from netip.AddrPort, now int64) {
	r := c.remote(from)
	switch {
	case shielded(b):
		if r == nil {
			r = c.moved(b, from)
		}
		if r != nil {
			r.mu.Lock()
			r.session.receive(b, now)
			r.mu.Unlock()
		}
	case r == nil && !c.strangers.Allow():
		c.counters.strangersDropped.Add(1)
	case b[0] == clearHead || b[0] == clearTail:
		if p := c.parts.join(b, from); p != nil {
			c.ready = append(c.ready, delivery{p, c.addr(r, from)})
		}
	default:
		c.ready = append(c.ready, delivery{b, c.addr(r, from)})
	}
}

func (c *Conn) addr(r *remote, from netip.AddrPort) net.Addr {
	if r != nil {
		return r.addr
	}
	return net.UDPAddrFromAddrPort(from)
}

// run does what time asks for, for all remotes.
func (c *Conn) run() {
	timer := time.NewTimer(idleTick)
	defer timer.Stop()
	for {
		select {
		case <-c.closed:
			return
		case <-timer.C:
		}
		next := idleTick
		now := c.now()
		for _, r := range *c.remotes.Load() {
			r.mu.Lock()
			r.tick(now)
			if !r.idle(now) {
				next = busyTick
			}
			expired := r.expired(now)
			r.mu.Unlock()
			if expired {
				c.forget(r)
			}
		}
		timer.Reset(next)
	}
}

// Close closes the socket as well; a waiting ReadFrom returns net.ErrClosed.
func (c *Conn) Close() error {
	var err error
	c.once.Do(func() {
		close(c.closed)
		err = c.socket.Close()
		c.decoy.Close()
		c.done.Wait()
	})
	return err
}

// LocalAddr returns the socket's address.
func (c *Conn) LocalAddr() net.Addr { return c.local }

// SetDeadline is SetReadDeadline: writing does not wait.
func (c *Conn) SetDeadline(t time.Time) error { return c.SetReadDeadline(t) }

// SetReadDeadline makes ReadFrom return from then on, which quic.Transport uses to stop reading.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.socket.SetReadDeadline(t) }

// SetWriteDeadline does nothing: writing does not wait.
func (c *Conn) SetWriteDeadline(time.Time) error { return nil }

// SetReadBuffer and SetWriteBuffer do nothing: the socket was made with buffers. quic-go asks for them and complains without.
func (c *Conn) SetReadBuffer(int) error { return nil }

// SetWriteBuffer: see [Conn.SetReadBuffer].
func (c *Conn) SetWriteBuffer(int) error { return nil }
