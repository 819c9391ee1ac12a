package link

import (
	"context"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"
)

// maxCarriers bounds the connections of a link beside its first: two that each side dialled, the new one and the one before it, whose last
// datagrams may still be on their way.
const maxCarriers = 4

// carriers are connections that carry datagrams beside the link's first, whose window is shut: losses before there was a shield, or that it
// could not repair, have ended slow start, and Reno needs minutes to come back. Each side dials its own. They share the link's shield.
type carriers struct {
	dialled atomic.Uint64
	wanted  atomic.Bool // one is being dialled
	work    sync.WaitGroup

	mu     sync.Mutex
	conns  []*quic.Conn
	closed bool
}

// want has a carrier dialled, unless one is.
func (c *carriers) want(l *Link) {
	if !c.wanted.CompareAndSwap(false, true) {
		return
	}
	l.e.tasks.Go(func() {
		defer c.wanted.Store(false)
		if err := l.dialCarrier(); err != nil {
			l.e.log.Debug("no further connection", "peer", string(l.peer), "error", err)
		}
	})
}

// dialCarrier makes a connection to where the link's is, and sends datagrams by it from then on.
func (l *Link) dialCarrier() error {
	ctx, cancel := context.WithTimeout(l.conn.Context(), dialTime)
	defer cancel()
	conn, err := l.port.transport.Dial(ctx, net.UDPAddrFromAddrPort(l.remote()), l.e.tlsConfig(l.peer), l.e.quic)
	if err != nil {
		return err
	}
	s, err := conn.OpenStreamSync(ctx)
	if err == nil {
		var answer *hello
		answer, err = exchange(s, &hello{Version: l.e.cfg.Version, Instance: l.e.instance, Carrier: l.generation})
		if err == nil && answer.Refused != 0 {
			err = fmt.Errorf("refused: %w", &closedError{code(answer.Refused), true})
		}
	}
	if err == nil && !l.carriers.add(l, conn) {
		err = ErrClosed
	}
	if err != nil {
		closeConn(conn, codeProtocol)
		return err
	}
	l.carriers.dialled.Add(1)
	l.e.log.Info("further connection", "peer", string(l.peer), "window", l.out.Load().ConnectionStats().CongestionWindow)
	l.out.Store(conn)
	return nil
}

// join makes a connection that the other side dialled a carrier of its link.
func (e *Endpoint) join(id NodeID, h *hello, p *port, conn *quic.Conn, s *quic.Stream) error {
	e.mu.Lock()
	m := e.members[id]
	var l *Link
	if m != nil && m.link != nil && m.link.up() && m.carriers.Allow() {
		l = m.link
	}
	e.mu.Unlock()
	if l == nil || l.generation != h.Carrier || l.instance != h.Instance || l.port != p {
		return refuse(s, id, codeSuperseded)
	}
	if !l.carriers.add(l, conn) {
		return refuse(s, id, codeBusy)
	}
	_ = s.SetDeadline(time.Now().Add(helloTime))
	_, err := s.Write((&hello{Version: e.cfg.Version, Instance: e.instance, Generation: l.generation}).bytes())
	if err != nil {
		return fmt.Errorf("%s: answer to a further connection: %w", id, err)
	}
	return nil
}

// add receives from a further connection until it ends. Where there are too many the oldest goes.
func (c *carriers) add(l *Link, conn *quic.Conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	if len(c.conns) == maxCarriers {
		i := 0
		if c.conns[i] == l.out.Load() {
			i++
		}
		closeConn(c.conns[i], codeSuperseded)
		c.conns = slices.Delete(c.conns, i, i+1)
	}
	c.conns = append(c.conns, conn)
	c.work.Go(func() {
		l.receive(conn.Context(), conn)
		closeConn(conn, codeShutdown)
		l.out.CompareAndSwap(conn, l.conn)
		c.mu.Lock()
		c.conns = slices.DeleteFunc(c.conns, func(o *quic.Conn) bool { return o == conn })
		c.mu.Unlock()
	})
	return true
}

// lost tells whether it was a further connection that failed, in whose place the first is used again.
func (c *carriers) lost(l *Link) bool {
	out := l.out.Load()
	if out == l.conn {
		return l.conn.Context().Err() == nil // it was a further one a moment ago
	}
	l.out.CompareAndSwap(out, l.conn)
	return true
}

// close ends them all and waits.
func (c *carriers) close() {
	c.mu.Lock()
	c.closed = true
	for _, conn := range c.conns {
		closeConn(conn, codeShutdown)
	}
	c.mu.Unlock()
	c.work.Wait()
}
