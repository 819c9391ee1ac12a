package ice

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// SplitterConfig configures a [Splitter].
type SplitterConfig struct {
	// Frame is called for every frame of an ICE connection, from that connection's goroutine. The frame is valid
	// during the call, which may overwrite it. It is required.
	Frame func(frame []byte, c *Conn)
	// Closed, if set, is called once when an ICE connection has ended, after its last Frame.
	Closed func(c *Conn)
	// TLS and TURN take over connections that begin with a TLS record, or with a STUN message or ChannelData without
	// framing. Each is called from the connection's goroutine and owns the connection, which no longer has a
	// deadline but is still counted, and closed with the Splitter. It may block, and then must return when the
	// connection is closed. Where one is nil, such connections are refused. See also [Listener].
	TLS  func(net.Conn)
	TURN func(net.Conn)

	// MaxConns bounds the connections at a time: more than that and new ones are closed at once. Each costs some
	// 20 KiB. Default 10000.
	MaxConns int
	// MaxPerSource bounds the connections of one IPv4 address or IPv6 /64. Many clients may hide behind one address
	// of a carrier or company, but one must not take all there is. Default 500.
	MaxPerSource int
	// HandshakeTimeout is how long a connection may take to show what it is, and an ICE connection to be kept
	// ([Conn.Keep]). Default 10 s.
	HandshakeTimeout time.Duration
	// IdleTimeout closes a kept ICE connection on which nothing came for so long. Checks come every few seconds.
	// Default 30 s.
	IdleTimeout time.Duration
	// WriteTimeout closes an ICE connection whose client takes nothing for so long. Default 10 s.
	WriteTimeout time.Duration
	// WriteQueue bounds what waits to be sent on an ICE connection, bytes. More delays media, less drops keyframes.
	// Default 512 KiB.
	WriteQueue int
}

func (c SplitterConfig) withDefaults() SplitterConfig {
	if c.MaxConns <= 0 {
		c.MaxConns = 10000
	}
	if c.MaxPerSource <= 0 {
		c.MaxPerSource = 500
	}
	if c.HandshakeTimeout <= 0 {
		c.HandshakeTimeout = 10 * time.Second
	}
	if c.IdleTimeout <= 0 {
		c.IdleTimeout = 30 * time.Second
	}
	if c.WriteTimeout <= 0 {
		c.WriteTimeout = 10 * time.Second
	}
	if c.WriteQueue <= 0 {
		c.WriteQueue = 512 << 10
	}
	return c
}

// SplitterStats counts what a [Splitter] saw.
type SplitterStats struct {
	Open    int    // connections now
	Refused uint64 // over a bound
	Unknown uint64 // began with neither ICE, TURN nor TLS, or with nothing in time
	Dropped uint64 // packets not sent because a write queue was full
	Skipped uint64 // frames too long to be taken
}

type counters struct {
	refused, unknown, dropped, skipped atomic.Uint64
}

// Splitter shares TCP ports between ICE (RFC 6544), TURN and TLS: the first bytes of a connection decide.
type Splitter struct {
	cfg   SplitterConfig
	stats counters
	done  chan struct{}  // closed by Close, with mu held
	wg    sync.WaitGroup // connections' goroutines

	mu        sync.Mutex // guards below
	listeners map[net.Listener]struct{}
	conns     map[*trackedConn]struct{}
	sources   map[netip.Prefix]int
}

// NewSplitter makes a Splitter; Serve feeds it.
func NewSplitter(cfg SplitterConfig) *Splitter {
	return &Splitter{
		cfg:       cfg.withDefaults(),
		done:      make(chan struct{}),
		listeners: make(map[net.Listener]struct{}),
		conns:     make(map[*trackedConn]struct{}),
		sources:   make(map[netip.Prefix]int),
	}
}

// Serve accepts connections until Close, when it returns nil, or until the listener fails for good. It closes the
// listener. It may be called for several listeners.
func (s *Splitter) Serve(l net.Listener) error {
	defer l.Close()
	s.mu.Lock()
	if s.isClosed() {
		s.mu.Unlock()
		return nil
	}
	s.listeners[l] = struct{}{}
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.listeners, l)
		s.mu.Unlock()
	}()
	const slowest = time.Second
	wait := time.Duration(0)
	for {
		nc, err := l.Accept()
		switch {
		case err == nil:
			wait = 0
			s.admit(nc)
		case s.isClosed():
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("accept on %s: %w", l.Addr(), err)
		default:
			// Out of file descriptors or a client gone already: neither ends the service.
			wait = min(max(2*wait, 5*time.Millisecond), slowest)
			select {
			case <-s.done:
			case <-time.After(wait):
			}
		}
	}
}

// Close closes the listeners and all connections, and waits for the goroutines of the connections to end. It must not
// be called from one of them.
func (s *Splitter) Close() error {
	s.mu.Lock()
	if !s.isClosed() {
		close(s.done)
	}
	for l := range s.listeners {
		l.Close()
	}
	conns := make([]*trackedConn, 0, len(s.conns))
	for c := range s.conns {
		conns = append(conns, c)
	}
	s.mu.Unlock()
	for _, c := range conns {
		c.Close()
	}
	s.wg.Wait()
	return nil
}

// Stats returns what was counted so far.
func (s *Splitter) Stats() SplitterStats {
	s.mu.Lock()
	open := len(s.conns)
	s.mu.Unlock()
	return SplitterStats{
		Open:    open,
		Refused: s.stats.refused.Load(),
		Unknown: s.stats.unknown.Load(),
		Dropped: s.stats.dropped.Load(),
		Skipped: s.stats.skipped.Load(),
	}
}

func (s *Splitter) isClosed() bool {
	select {
	case <-s.done:
		return true
	default:
		return false
	}
}

// admit starts a connection's goroutine if the bounds allow it.
func (s *Splitter) admit(nc net.Conn) {
	remote := addrPort(nc.RemoteAddr())
	t := &trackedConn{Conn: nc, splitter: s, source: sourceOf(remote.Addr())}
	s.mu.Lock()
	if s.isClosed() || len(s.conns) >= s.cfg.MaxConns || s.sources[t.source] >= s.cfg.MaxPerSource {
		s.mu.Unlock()
		s.stats.refused.Add(1)
		nc.Close()
		return
	}
	s.conns[t] = struct{}{}
	s.sources[t.source]++
	s.wg.Add(1)
	s.mu.Unlock()
	go func() {
		defer s.wg.Done()
		s.handle(t, remote)
	}()
}

func (s *Splitter) forget(t *trackedConn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, t)
	if s.sources[t.source]--; s.sources[t.source] <= 0 {
		delete(s.sources, t.source)
	}
}

// handle finds out what a connection is and serves it, or hands it over.
func (s *Splitter) handle(t *trackedConn, remote netip.AddrPort) {
	if t.SetReadDeadline(time.Now().Add(s.cfg.HandshakeTimeout)) != nil {
		t.Close()
		return
	}
	what, seen := sniff(t.Conn)
	take := s.cfg.TURN
	switch what {
	case protocolICE:
		s.serveICE(t, remote, seen)
		return
	case protocolTLS:
		take = s.cfg.TLS
	case protocolTURN:
	default:
		take = nil
	}
	if take == nil || t.SetReadDeadline(time.Time{}) != nil {
		s.stats.unknown.Add(1)
		t.Close()
		return
	}
	t.seen = seen
	take(t)
}

// serveICE runs an ICE connection to its end; seen are the bytes read already.
func (s *Splitter) serveICE(t *trackedConn, remote netip.AddrPort, seen []byte) {
	c := newConn(t, remote, s.cfg.WriteQueue, &s.stats)
	var writer sync.WaitGroup
	writer.Go(func() { c.writeLoop(s.cfg.WriteTimeout) })
	c.readLoop(io.MultiReader(bytes.NewReader(seen), t.Conn), s.cfg.Frame, s.cfg.HandshakeTimeout, s.cfg.IdleTimeout)
	c.Close()
	writer.Wait()
	if s.cfg.Closed != nil {
		s.cfg.Closed(c)
	}
}

type protocol uint8

const (
	protocolUnknown protocol = iota
	protocolICE
	protocolTURN
	protocolTLS
)

// sniffLen is what tells all protocols apart: the length of a frame and a STUN header's up to the cookie.
const sniffLen = frameHeaderLen + 8

// sniff reads as many bytes as it takes to tell what a connection is, and returns them too.
func sniff(r io.Reader) (protocol, []byte) {
	b := make([]byte, sniffLen)
	n := 0
	for n < len(b) {
		k, err := r.Read(b[n:])
		n += k
		if p := classify(b[:n]); p != protocolUnknown {
			return p, b[:n]
		}
		if err != nil {
			break
		}
	}
	return protocolUnknown, nil
}

// classify tells what a connection is that begins with b, of which more may follow. The first message over ICE is a
// check, framed; frames long enough to be mistaken for TLS (5635 bytes) or ChannelData (16 KiB) do not begin one.
func classify(b []byte) protocol {
	switch {
	case len(b) >= 2 && b[0] == 22 && b[1] == 3: // handshake record of TLS 1.x
		return protocolTLS
	case len(b) >= 1 && b[0]&0xC0 == 0x40:
		return protocolTURN
	case len(b) >= 8 && b[0]&0xC0 == 0 && binary.BigEndian.Uint32(b[4:]) == magicCookie:
		return protocolTURN
	case len(b) >= sniffLen && b[2]&0xC0 == 0 && binary.BigEndian.Uint32(b[6:]) == magicCookie:
		return protocolICE
	}
	return protocolUnknown
}

// addrPort returns the IP address and port of a TCP address, unmapped; zero for others, as tests may use.
func addrPort(a net.Addr) netip.AddrPort {
	t, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	p := t.AddrPort()
	return netip.AddrPortFrom(p.Addr().Unmap(), p.Port())
}

// sourceOf is the unit that connections are counted by: what one customer of a network can send from.
func sourceOf(a netip.Addr) netip.Prefix {
	bits := 64
	if a.Is4() {
		bits = 32
	}
	p, _ := a.WithZone("").Prefix(bits) // fails for the zero address only, and then is zero too
	return p
}
