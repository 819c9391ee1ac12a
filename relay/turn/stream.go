package turn

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// idleTimeout is how long a connection may have no allocation.
	idleTimeout = 30 * time.Second
	// writeTimeout is how long a client may take nothing before it is cut.
	writeTimeout = 10 * time.Second
	// firstBuffer is what a connection begins to read with; a DTLS record has to fit.
	firstBuffer = 4 << 10
	dtlsBuffer  = 17 << 10
	// maxFrame is the largest ChannelData message.
	maxFrame = 4 + 65535 + 3
	// acceptQueue is how many connections may wait for pion/turn, which takes them at once.
	acceptQueue = 128
)

var errFrame = errors.New("neither STUN nor ChannelData")

// acceptor is the net.Listener that pion/turn takes connections from.
type acceptor struct {
	conns chan *stream
	done  chan struct{}
	once  sync.Once
}

var _ net.Listener = (*acceptor)(nil)

func newAcceptor() *acceptor {
	return &acceptor{conns: make(chan *stream, acceptQueue), done: make(chan struct{})}
}

func (a *acceptor) Accept() (net.Conn, error) {
	select {
	case c := <-a.conns:
		return c, nil
	case <-a.done:
		return nil, net.ErrClosed
	}
}

func (a *acceptor) Close() error {
	a.once.Do(func() { close(a.done) })
	return nil
}

// Addr returns no address in particular: connections come from elsewhere.
func (a *acceptor) Addr() net.Addr { return &net.TCPAddr{} }

// stream is the connection of one client, as pion/turn sees it. Reading yields one request at a time; ChannelData is relayed
// on the way.
type stream struct {
	net.Conn
	server   *Server
	remote   net.Addr // the object is the client's name to pion/turn
	local    net.Addr
	peer     netip.AddrPort
	exchange exchange
	relay    atomic.Pointer[relay]
	raw      atomic.Bool // a data connection of RFC 6062: no frames from here on
	once     sync.Once

	// Owned by the goroutine that reads.
	buffer     []byte
	start, end int // of what was read and not used
}

// ServeConn serves TURN on a connection of a client and owns it from now on. It returns at once.
func (s *Server) ServeConn(conn net.Conn) { s.serve(conn, s.tcp, firstBuffer) }

func (s *Server) serve(conn net.Conn, to *acceptor, buffer int) {
	remote, rerr := netip.ParseAddrPort(conn.RemoteAddr().String())
	local, lerr := netip.ParseAddrPort(conn.LocalAddr().String())
	if rerr != nil || lerr != nil || s.count.Add(1) > int64(s.cfg.MaxStreams) {
		if rerr == nil && lerr == nil {
			s.count.Add(-1)
		}
		s.stats.Refused.Add(1)
		conn.Close()
		return
	}
	c := &stream{
		Conn:   conn,
		server: s,
		remote: net.TCPAddrFromAddrPort(remote),
		local:  net.TCPAddrFromAddrPort(local),
		peer:   netip.AddrPortFrom(remote.Addr().Unmap(), remote.Port()),
		buffer: make([]byte, buffer),
	}
	_ = conn.SetReadDeadline(time.Now().Add(idleTimeout))
	s.mu.Lock()
	closed := s.closed
	if !closed {
		s.streams.Store(c.remote, c)
		s.running.Add(1)
	}
	s.mu.Unlock()
	if closed {
		s.count.Add(-1)
		conn.Close()
		return
	}
	s.stats.Streams.Add(1)
	select {
	case to.conns <- c:
	default:
		s.stats.Refused.Add(1)
		c.Close()
	}
}

// LocalAddr and RemoteAddr return the same objects each time.

func (c *stream) LocalAddr() net.Addr  { return c.local }
func (c *stream) RemoteAddr() net.Addr { return c.remote }

// attach ties an allocation to the connection, which lives as long from now on.
func (c *stream) attach(r *relay) {
	c.relay.Store(r)
	_ = c.Conn.SetReadDeadline(time.Time{})
}

// detach gives the client some time to allocate again.
func (c *stream) detach(r *relay) {
	if c.relay.CompareAndSwap(r, nil) {
		_ = c.Conn.SetReadDeadline(time.Now().Add(idleTimeout))
	}
}

// Read returns one request.
func (c *stream) Read(p []byte) (int, error) {
	if c.raw.Load() {
		return c.readRaw(p)
	}
	for {
		frame, err := c.frame()
		if err != nil {
			return 0, err
		}
		s := c.server
		if frame[0]&0xC0 == 0x40 {
			length := int(binary.BigEndian.Uint16(frame[2:]))
			if r := c.relay.Load(); r == nil || !r.toPeer(binary.BigEndian.Uint16(frame), frame[4:4+length]) {
				s.stats.Malformed.Add(1)
			}
			continue
		}
		if !isMessage(frame) || len(frame) > min(len(p), maxRequest) {
			s.stats.Malformed.Add(1)
			return 0, errFrame
		}
		if messageType(frame) == typeBinding {
			if answer, ok := AppendBindingResponse(nil, frame, c.peer); ok {
				s.stats.BindingAnswers.Add(1)
				_, _ = c.write(answer) // a connection that fails ends by itself
			}
			continue
		}
		if !s.admit(c.peer.Addr(), c.relay.Load()) {
			continue
		}
		n := copy(p, frame)
		c.exchange = exchange{raw: p[:n]}
		return n, nil
	}
}

// frame returns the next message, which is valid until the next call.
func (c *stream) frame() ([]byte, error) {
	if err := c.fill(4); err != nil {
		return nil, err
	}
	head := c.buffer[c.start:]
	size := int(binary.BigEndian.Uint16(head[2:]))
	switch head[0] & 0xC0 {
	case 0x00:
		if size += headerSize; size > maxRequest {
			c.server.stats.Malformed.Add(1)
			return nil, errFrame
		}
	case 0x40:
		size = 4 + (size+3)&^3
	default:
		c.server.stats.Malformed.Add(1)
		return nil, errFrame
	}
	if err := c.fill(size); err != nil {
		return nil, err
	}
	frame := c.buffer[c.start : c.start+size]
	c.start += size
	return frame, nil
}

// fill reads until n bytes are there. The buffer grows to what a client's messages need, at most to maxFrame.
func (c *stream) fill(n int) error {
	for c.end-c.start < n {
		if c.start > 0 {
			copy(c.buffer, c.buffer[c.start:c.end])
			c.start, c.end = 0, c.end-c.start
		}
		if n > len(c.buffer) {
			c.buffer = append(c.buffer, make([]byte, min(max(n, 2*len(c.buffer)), maxFrame)-len(c.buffer))...)
		}
		k, err := c.Conn.Read(c.buffer[c.end:])
		c.end += k
		if err != nil && c.end-c.start < n {
			return err
		}
	}
	return nil
}

func (c *stream) readRaw(p []byte) (int, error) {
	if c.start < c.end {
		n := copy(p, c.buffer[c.start:c.end])
		c.start += n
		return n, nil
	}
	return c.Conn.Read(p)
}

// Write sends what pion/turn answers.
func (c *stream) Write(p []byte) (int, error) {
	if !c.raw.Load() && isMessage(p) {
		if r := c.relay.Load(); r != nil {
			r.finish(p)
		}
		if messageType(p) == typeConnectionBindReply { // pion/turn copies bytes both ways after this
			defer func() {
				c.raw.Store(true)
				_ = c.Conn.SetReadDeadline(time.Time{})
			}()
		}
	}
	return c.write(p)
}

// write sends whole messages, from any goroutine. A client that takes none for a while is cut.
func (c *stream) write(p []byte) (int, error) {
	_ = c.Conn.SetWriteDeadline(time.Now().Add(writeTimeout))
	n, err := c.Conn.Write(p)
	if err != nil {
		c.Conn.Close()
	}
	return n, err
}

// Close is called by pion/turn when it is done with the connection, and by the server.
func (c *stream) Close() error {
	err := c.Conn.Close()
	c.once.Do(func() {
		s := c.server
		s.streams.Delete(c.remote)
		s.count.Add(-1)
		s.stats.Streams.Add(-1)
		s.running.Done()
	})
	return err
}
