package post

import (
	"net"
	"sync"
	"sync/atomic"
	"time"

	"cardea/relay/link"
)

// inboxSize is how many datagrams wait for SCTP to read them; more are dropped, and sent again by SCTP at the other end.
const inboxSize = 256

// conn is the routed datagrams of one association as SCTP gets them: a connection that never fails until it is closed, since
// what is lost is SCTP's to repair.
type conn struct {
	out    func(payload []byte) // sends an SCTP packet
	inbox  chan []byte
	closed chan struct{}
	once   sync.Once
	heard  atomic.Int64 // when the last datagram came, ns since 1970
}

var _ net.Conn = (*conn)(nil)

func newConn(now time.Time, out func(payload []byte)) *conn {
	c := &conn{out: out, inbox: make(chan []byte, inboxSize), closed: make(chan struct{})}
	c.heard.Store(now.UnixNano())
	return c
}

// push takes a received packet, which is the conn's then; false if there is no room.
func (c *conn) push(packet []byte, now time.Time) bool {
	c.heard.Store(now.UnixNano())
	select {
	case c.inbox <- packet:
		return true
	default:
		return false
	}
}

// Read waits for a packet.
func (c *conn) Read(b []byte) (int, error) {
	select {
	case <-c.closed:
		return 0, net.ErrClosed
	default:
	}
	select {
	case p := <-c.inbox:
		return copy(b, p), nil
	case <-c.closed:
		return 0, net.ErrClosed
	}
}

// Write sends a packet; it does not wait.
func (c *conn) Write(b []byte) (int, error) {
	select {
	case <-c.closed:
		return 0, net.ErrClosed
	default:
	}
	c.out(b)
	return len(b), nil
}

// Close ends reads and writes.
func (c *conn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return nil
}

// SetReadDeadline closes: SCTP sets deadlines only to end its reader, as it ends.
func (c *conn) SetReadDeadline(t time.Time) error {
	if t.IsZero() {
		return nil
	}
	return c.Close()
}

// SetWriteDeadline does nothing: no write waits.
func (c *conn) SetWriteDeadline(time.Time) error { return nil }

// SetDeadline implements [net.Conn].
func (c *conn) SetDeadline(t time.Time) error { return c.SetReadDeadline(t) }

// LocalAddr implements [net.Conn].
func (c *conn) LocalAddr() net.Addr { return nodeAddr("") }

// RemoteAddr implements [net.Conn].
func (c *conn) RemoteAddr() net.Addr { return nodeAddr("") }

// nodeAddr is a node as an address.
type nodeAddr link.NodeID

// Network implements [net.Addr].
func (nodeAddr) Network() string { return "mesh" }

// String implements [net.Addr].
func (a nodeAddr) String() string { return string(a) }
