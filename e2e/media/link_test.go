package media_test

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// link is a client's UDP socket with a network in front of it that can lose packets, and give the client another address.
type link struct {
	dropOut, dropIn atomic.Pointer[func(b []byte) bool] // true loses the packet
	closed          atomic.Bool

	mu   sync.Mutex
	conn *net.UDPConn
}

var _ net.PacketConn = (*link)(nil)

func newLink() (*link, error) {
	conn, err := listenLoopback()
	return &link{conn: conn}, err
}

func listenLoopback() (*net.UDPConn, error) {
	return net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
}

func (l *link) socket() *net.UDPConn {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.conn
}

// rebind gives the client another port, as a NAT does that forgot it. The client does not notice.
func (l *link) rebind() error {
	conn, err := listenLoopback()
	if err != nil {
		return err
	}
	l.mu.Lock()
	old := l.conn
	l.conn = conn
	l.mu.Unlock()
	return old.Close()
}

func (l *link) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		conn := l.socket()
		n, from, err := conn.ReadFrom(b)
		if err != nil {
			if errors.Is(err, net.ErrClosed) && !l.closed.Load() && l.socket() != conn {
				continue
			}
			return n, from, err
		}
		if drop := l.dropIn.Load(); drop != nil && (*drop)(b[:n]) {
			continue
		}
		return n, from, nil
	}
}

func (l *link) WriteTo(b []byte, to net.Addr) (int, error) {
	if drop := l.dropOut.Load(); drop != nil && (*drop)(b) {
		return len(b), nil
	}
	n, err := l.socket().WriteTo(b, to)
	if errors.Is(err, net.ErrClosed) && !l.closed.Load() {
		return len(b), nil // lost while the address changed
	}
	return n, err
}

func (l *link) Close() error {
	l.closed.Store(true)
	return l.socket().Close()
}

func (l *link) LocalAddr() net.Addr                { return l.socket().LocalAddr() }
func (l *link) SetDeadline(t time.Time) error      { return l.socket().SetDeadline(t) }
func (l *link) SetReadDeadline(t time.Time) error  { return l.socket().SetReadDeadline(t) }
func (l *link) SetWriteDeadline(t time.Time) error { return l.socket().SetWriteDeadline(t) }

// isRTP tells media from the rest (RFC 7983, RFC 5761).
func isRTP(b []byte) bool {
	return len(b) > 12 && b[0]>>6 == 2 && (b[1]&0x7f < 64 || b[1]&0x7f > 95)
}
