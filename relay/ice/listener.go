package ice

import (
	"net"
	"net/netip"
	"sync"
)

// trackedConn is a connection that its Splitter counts until it is closed, and that gives again what was read to find
// out what it is.
type trackedConn struct {
	net.Conn
	splitter *Splitter
	source   netip.Prefix
	once     sync.Once
	seen     []byte // by the reader only
}

// Read implements [net.Conn].
func (t *trackedConn) Read(b []byte) (int, error) {
	if len(t.seen) > 0 {
		n := copy(b, t.seen)
		t.seen = t.seen[n:]
		return n, nil
	}
	return t.Conn.Read(b)
}

// Close implements [net.Conn].
func (t *trackedConn) Close() error {
	err := t.Conn.Close()
	t.once.Do(func() { t.splitter.forget(t) })
	return err
}

// Listener is a [net.Listener] whose connections are handed to it, so that a server which wants a listener can be
// given one kind of a [Splitter]'s connections: let SplitterConfig.TURN or TLS be its Hand method.
type Listener struct {
	addr   net.Addr
	queue  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

// NewListener makes a listener that says it has the given address and holds at most backlog connections that were
// not accepted yet.
func NewListener(addr net.Addr, backlog int) *Listener {
	return &Listener{addr: addr, queue: make(chan net.Conn, backlog), closed: make(chan struct{})}
}

// Hand queues a connection for Accept, or closes it when the queue is full or the listener closed. It never blocks.
func (l *Listener) Hand(c net.Conn) {
	select {
	case <-l.closed:
	default:
		select {
		case l.queue <- c:
			l.drainIfClosed()
			return
		default:
		}
	}
	c.Close()
}

// Accept implements [net.Listener].
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case <-l.closed:
		return nil, net.ErrClosed
	case c := <-l.queue:
		return c, nil
	}
}

// Close implements [net.Listener]. Connections not accepted yet are closed.
func (l *Listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	l.drainIfClosed()
	return nil
}

// drainIfClosed closes what was queued, also by a Hand that ran beside Close.
func (l *Listener) drainIfClosed() {
	select {
	case <-l.closed:
	default:
		return
	}
	for {
		select {
		case c := <-l.queue:
			c.Close()
		default:
			return
		}
	}
}

// Addr implements [net.Listener].
func (l *Listener) Addr() net.Addr { return l.addr }
