package shield

import (
	"errors"
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

type counters struct{ strangersDropped, sendErrors, tooLong atomic.Uint64 }

// Stats counts what a Conn dropped since it was made.
type Stats struct {
	Strangers  uint64 // packets from remotes without keys, beyond the limit
	SendErrors uint64 // datagrams that the socket refused
	TooLong    uint64 // packets that were empty or longer than [MaxPacket]
}

// Stats returns the counters.
func (c *Conn) Stats() Stats {
	return Stats{c.counters.strangersDropped.Load(), c.counters.sendErrors.Load(), c.counters.tooLong.Load()}
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
