package dns

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/netip"
	"sync"
	"time"
)

// Bounds of connections. A resolver opens one, asks what it did not get over UDP, and leaves.
const (
	maxConns        = 512
	maxConnsNetwork = 32
	maxQuestions    = 256 // of one connection
	idleTime        = 8 * time.Second
	sendTime        = 4 * time.Second
	acceptPause     = 50 * time.Millisecond // when the process is out of file descriptors
)

// connections counts who is connected.
type connections struct {
	mu  sync.Mutex
	all int
	of  map[netip.Prefix]int // by network; no entry is 0
}

// enter takes a place; false if there is none.
func (c *connections) enter(network netip.Prefix) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.all >= maxConns || c.of[network] >= maxConnsNetwork {
		return false
	}
	c.all++
	c.of[network]++
	return true
}

func (c *connections) leave(network netip.Prefix) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all--
	if c.of[network]--; c.of[network] == 0 {
		delete(c.of, network)
	}
}

// ServeTCP answers what comes over a listener's connections until ctx ends, and closes it and them. It returns an error if the
// listener fails before.
func (s *Server) ServeTCP(ctx context.Context, ln net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	var open sync.WaitGroup
	defer open.Wait()
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = ln.Close() })
	defer stop()
	defer func() { _ = ln.Close() }()
	for {
		conn, err := ln.Accept()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				_ = conn.Close()
			}
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("accept: %w", err)
		case err != nil:
			select {
			case <-time.After(acceptPause):
			case <-ctx.Done():
			}
			continue
		}
		from := addressOf(conn)
		network := networkAround(from)
		if !s.conns.enter(network) {
			s.counts.refused.Add(1)
			_ = conn.Close()
			continue
		}
		open.Go(func() {
			defer s.conns.leave(network)
			stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
			defer stop()
			s.converse(conn, from)
			_ = conn.Close()
		})
	}
}

func addressOf(conn net.Conn) netip.Addr {
	if a, ok := conn.RemoteAddr().(*net.TCPAddr); ok {
		return a.AddrPort().Addr()
	}
	return netip.IPv6Unspecified()
}

// converse answers the questions of a connection, one after the other, each of them preceded by its length (RFC 7766), until it has
// nothing more to ask.
func (s *Server) converse(conn net.Conn, from netip.Addr) {
	packet := make([]byte, maxQuestion)
	for range maxQuestions {
		var length [2]byte
		if conn.SetReadDeadline(time.Now().Add(idleTime)) != nil {
			return
		}
		if _, err := io.ReadFull(conn, length[:]); err != nil {
			return
		}
		n := int(binary.BigEndian.Uint16(length[:]))
		if n > len(packet) {
			return
		}
		if _, err := io.ReadFull(conn, packet[:n]); err != nil {
			return
		}
		b := s.overTCP(time.Now(), packet[:n], from)
		if b == nil || conn.SetWriteDeadline(time.Now().Add(sendTime)) != nil {
			return
		}
		reply := binary.BigEndian.AppendUint16(make([]byte, 0, 2+len(b)), uint16(len(b))) //nolint:gosec // answer's limit
		if _, err := conn.Write(append(reply, b...)); err != nil {
			return
		}
	}
}

// overTCP returns what to send back over a connection, nil to close it.
func (s *Server) overTCP(now time.Time, packet []byte, from netip.Addr) []byte {
	s.counts.tcp.Add(1)
	if s.known.ask(now, from) != allow {
		s.counts.dropped.Add(1)
		return nil
	}
	b, rcode := s.zone.answer(asked{packet: packet, from: from, now: now, limit: math.MaxUint16, most: math.MaxUint16})
	if b != nil {
		s.counts.answered(rcode)
	}
	return b
}
