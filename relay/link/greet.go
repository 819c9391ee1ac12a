package link

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/quic-go/quic-go"
)

// accept takes the connections of one socket.
func (e *Endpoint) accept(ctx context.Context, p *port, ln *quic.Listener) {
	for {
		conn, err := ln.Accept(ctx)
		if err != nil {
			return // ctx ended, or the socket was closed
		}
		select {
		case e.greetings <- struct{}{}:
		default:
			e.counters.refused.Add(1)
			closeConn(conn, codeBusy)
			continue
		}
		e.tasks.Go(func() {
			defer func() { <-e.greetings }()
			if err := e.greet(ctx, p, conn); err != nil {
				e.counters.refused.Add(1)
				e.log.Debug("link refused", "remote", conn.RemoteAddr(), "error", err)
				closeConn(conn, codeProtocol)
			}
		})
	}
}

// greet hears the hello of a connection, answers it, and makes the connection a link or a carrier of one.
func (e *Endpoint) greet(ctx context.Context, p *port, conn *quic.Conn) error {
	state := conn.ConnectionState().TLS
	id, err := e.identify(&state)
	if err != nil {
		return err
	}
	wait, cancel := context.WithTimeout(ctx, helloTime)
	defer cancel()
	s, err := conn.AcceptStream(wait)
	if err != nil {
		return fmt.Errorf("no control stream from %s: %w", id, err)
	}
	_ = s.SetDeadline(time.Now().Add(helloTime))
	h, err := readHello(s)
	if err != nil {
		return fmt.Errorf("%s: %w", id, err)
	}
	if h.Carrier != 0 {
		return e.join(id, h, p, conn, s)
	}
	l, old, why := e.admit(wait, id, h, p, conn, s)
	if l == nil {
		return refuse(s, id, why)
	}
	return e.begin(ctx, l, old, false, func() error {
		_, err := s.Write((&hello{Version: e.cfg.Version, Features: e.cfg.Features, Instance: e.instance, Generation: l.generation}).bytes())
		return err
	})
}

// refuse says why there is no link, and leaves time to hear it.
func refuse(s *quic.Stream, id NodeID, why code) error {
	if _, err := s.Write((&hello{Refused: uint32(why)}).bytes()); err == nil {
		_ = s.Close()
		var b [1]byte
		_, _ = s.Read(b[:]) // the other side closes; until the deadline
	}
	return fmt.Errorf("%s: %s", id, why)
}

// admit decides whether a connection becomes the link to a member, in place of what there is.
func (e *Endpoint) admit(ctx context.Context, id NodeID, h *hello, p *port, conn *quic.Conn, s *quic.Stream) (l, old *Link, why code) {
	e.mu.Lock()
	defer e.mu.Unlock()
	m := e.member(id)
	if m == nil {
		return nil, nil, codeNotMember
	}
	if !m.accepts.Allow() {
		return nil, nil, codeBusy
	}
	if d := m.dial; d != nil && d.said && e.cfg.Self < id {
		// Both have dialled, and both could. The one with the lower id is waited for, by both.
		e.mu.Unlock()
		select {
		case <-d.done:
		case <-ctx.Done():
		}
		e.mu.Lock()
		if m = e.member(id); m == nil {
			return nil, nil, codeNotMember
		}
	}
	if old = m.link; old != nil && !old.closed() && old.instance == h.Instance && h.Last < old.generation {
		return nil, nil, codeRace // it did not know of this link
	}
	m.last = max(m.last, h.Last) + 1
	l = newLink(e, p, conn, s, id, h, m.last)
	m.link = l
	if d := m.dial; d != nil {
		m.dial = nil
		d.once.Do(func() { close(d.done) })
	}
	return l, old, 0
}

// begin brings a link up, once the old one is down. answer, if any, is called when the shield is there.
func (e *Endpoint) begin(ctx context.Context, l, old *Link, client bool, answer func() error) error {
	if old != nil {
		old.close(codeSuperseded)
		<-old.ended
	}
	err := l.protect(client)
	if err == nil && answer != nil {
		err = answer()
	}
	if err != nil {
		l.close(codeProtocol)
		l.abandon()
		return fmt.Errorf("link to %s: %w", l.peer, err)
	}
	_ = l.control.SetDeadline(time.Time{})
	e.log.Info("link up", "peer", string(l.peer), "remote", l.conn.RemoteAddr().String(), "version", l.version)
	e.tell(l, true)
	close(l.ready)
	e.tasks.Go(func() { l.serve(ctx) })
	return nil
}

// protect begins to shield what goes to and comes from the other side.
func (l *Link) protect(client bool) error {
	state := l.conn.ConnectionState().TLS
	secret, err := state.ExportKeyingMaterial(secretLabel, nil, secretSize)
	if err != nil {
		return fmt.Errorf("derive the shield's keys: %w", err)
	}
	a, ok := l.conn.RemoteAddr().(*net.UDPAddr)
	if !ok {
		return fmt.Errorf("remote address of type %T", l.conn.RemoteAddr())
	}
	return l.port.shield.Protect(a.AddrPort(), secret, client)
}
