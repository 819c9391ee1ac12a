package ice

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Errors of [Conn.Write].
var (
	// ErrQueueFull says that the client does not read as fast as it is sent to; the packet was dropped.
	ErrQueueFull = errors.New("write queue full")
	// ErrFrameTooLong says that a packet does not fit a frame.
	ErrFrameTooLong = errors.New("frame too long")
)

const (
	// maxFrame is the longest frame taken, bytes. Clients send what would fit a UDP packet; longer frames are skipped.
	maxFrame = 4096
	// frameHeaderLen is the length field of RFC 4571.
	frameHeaderLen = 2
	// keptBuffer is the capacity above which an emptied write buffer is given back, bytes.
	keptBuffer = 32 << 10
)

// Conn is an ICE connection over TCP: frames of RFC 4571 both ways. Methods are safe for concurrent use.
type Conn struct {
	nc     net.Conn
	remote netip.AddrPort
	stats  *counters

	kept   atomic.Bool // by a peer, see Keep
	closed chan struct{}
	once   sync.Once
	wake   chan struct{} // holds one token when pending is not empty

	limit int // bytes, of pending and what is being written together

	mu      sync.Mutex
	pending []byte // frames to write
	writing int    // bytes handed to the socket and not taken yet
}

func newConn(nc net.Conn, remote netip.AddrPort, limit int, stats *counters) *Conn {
	return &Conn{
		nc: nc, remote: remote, stats: stats, limit: limit,
		closed: make(chan struct{}), wake: make(chan struct{}, 1),
	}
}

// Remote returns the client's address, unmapped.
func (c *Conn) Remote() netip.AddrPort { return c.remote }

// Local returns the address the client connected to.
func (c *Conn) Local() net.Addr { return c.nc.LocalAddr() }

// Keep says that a peer uses the connection, because an authenticated check came by it. A connection not kept within
// SplitterConfig.HandshakeTimeout is closed. It is meant to be called by the frame handler.
func (c *Conn) Keep() { c.kept.Store(true) }

// Write frames and queues one packet, which it copies, and never blocks. When the queue is full the packet is dropped
// and [ErrQueueFull] returned; after Close it returns [net.ErrClosed].
func (c *Conn) Write(packet []byte) error {
	if len(packet) > 0xFFFF {
		return ErrFrameTooLong
	}
	select {
	case <-c.closed:
		return net.ErrClosed
	default:
	}
	c.mu.Lock()
	if len(c.pending)+c.writing+frameHeaderLen+len(packet) > c.limit {
		c.mu.Unlock()
		c.stats.dropped.Add(1)
		return ErrQueueFull
	}
	c.pending = binary.BigEndian.AppendUint16(c.pending, uint16(len(packet)))
	c.pending = append(c.pending, packet...)
	c.mu.Unlock()
	select {
	case c.wake <- struct{}{}:
	default:
	}
	return nil
}

// Queued returns how many bytes wait to be sent.
func (c *Conn) Queued() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.pending) + c.writing
}

// Close closes the connection and drops what is queued. It may be called several times and from the frame handler.
func (c *Conn) Close() error {
	var err error
	c.once.Do(func() {
		close(c.closed)
		err = c.nc.Close()
	})
	return err
}

// writeLoop writes what is queued, all frames there are at once, until the connection is closed or the client has not
// taken anything for the timeout.
func (c *Conn) writeLoop(timeout time.Duration) {
	defer c.Close()
	var spare []byte
	for {
		select {
		case <-c.closed:
			return
		case <-c.wake:
		}
		c.mu.Lock()
		b := c.pending
		c.pending, c.writing = spare[:0], len(b)
		c.mu.Unlock()
		if c.nc.SetWriteDeadline(time.Now().Add(timeout)) != nil {
			return
		}
		if _, err := c.nc.Write(b); err != nil {
			return
		}
		spare = b
		if cap(spare) > keptBuffer {
			spare = nil
		}
		c.mu.Lock()
		c.writing = 0
		c.mu.Unlock()
	}
}

// readLoop hands every frame to the handler until the connection fails, falls silent or is closed.
func (c *Conn) readLoop(r io.Reader, handle func([]byte, *Conn), handshake, idle time.Duration) {
	br := bufio.NewReaderSize(r, frameHeaderLen+maxFrame)
	deadline := time.Now().Add(handshake)
	kept := false
	for {
		// Moving a deadline costs more than reading a frame, so it is done at most some times per idle period.
		if now := time.Now(); c.kept.Load() && (!kept || deadline.Sub(now) < idle*3/4) {
			deadline, kept = now.Add(idle), true
			if c.nc.SetReadDeadline(deadline) != nil {
				return
			}
		}
		head, err := br.Peek(frameHeaderLen)
		if err != nil {
			return
		}
		n := frameHeaderLen + int(binary.BigEndian.Uint16(head))
		switch {
		case n > frameHeaderLen+maxFrame:
			c.stats.skipped.Add(1)
		case n > frameHeaderLen:
			frame, err := br.Peek(n)
			if err != nil {
				return
			}
			handle(frame[frameHeaderLen:n:n], c)
		}
		if _, err := br.Discard(n); err != nil {
			return
		}
	}
}
