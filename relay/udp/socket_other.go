//go:build !linux

package udp

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"time"
)

// Socket is one UDP socket. One goroutine at a time may call ReadBatch; everything else is safe for concurrent use.
type Socket struct {
	counters

	conn                    *net.UDPConn
	local                   netip.AddrPort
	readBuffer, writeBuffer int
	gso                     atomic.Bool // never set here
	buffer                  []byte      // owned by the goroutine that reads
}

// Listen opens one socket; groups are for Linux.
func Listen(cfg Config) ([]*Socket, error) {
	cfg.Address = netip.AddrPortFrom(cfg.Address.Addr().Unmap(), cfg.Address.Port())
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("listen udp %s: %w", cfg.Address, err)
	}
	if cfg.Sockets > 1 {
		return nil, fmt.Errorf("listen udp %s: several sockets for one address: %w", cfg.Address, errors.ErrUnsupported)
	}
	network := "udp4"
	if cfg.Address.Addr().Is6() {
		network = "udp6"
	}
	conn, err := net.ListenUDP(network, net.UDPAddrFromAddrPort(cfg.Address))
	if err != nil {
		return nil, err
	}
	s := &Socket{conn: conn, buffer: make([]byte, 64<<10)}
	if cfg.ReadBuffer > 0 && conn.SetReadBuffer(cfg.ReadBuffer) == nil {
		s.readBuffer = cfg.ReadBuffer
	}
	if cfg.WriteBuffer > 0 && conn.SetWriteBuffer(cfg.WriteBuffer) == nil {
		s.writeBuffer = cfg.WriteBuffer
	}
	bound := conn.LocalAddr().(*net.UDPAddr).AddrPort()
	s.local = netip.AddrPortFrom(bound.Addr().Unmap(), bound.Port())
	return []*Socket{s}, nil
}

// LocalAddr returns the address the socket is bound to.
func (s *Socket) LocalAddr() netip.AddrPort { return s.local }

// SetReadDeadline makes ReadBatch return os.ErrDeadlineExceeded from t on, also one that waits; the zero time takes it back.
func (s *Socket) SetReadDeadline(t time.Time) error { return s.conn.SetReadDeadline(t) }

// Buffers returns the bytes of kernel buffer asked for with success, 0 for the system's default.
func (s *Socket) Buffers() (read, write int) { return s.readBuffer, s.writeBuffer }

// Stats returns the counters; it may be called after Close.
func (s *Socket) Stats() Stats { return s.snapshot() }

// Close closes the socket; a blocked ReadBatch returns net.ErrClosed, as does everything after.
func (s *Socket) Close() error { return s.conn.Close() }

// ReadBatch waits for one datagram and puts it into dst. The data are valid until the next ReadBatch. Empty datagrams are
// left out. It returns net.ErrClosed after Close. One goroutine at a time.
func (s *Socket) ReadBatch(dst []Datagram) (int, error) {
	if len(dst) == 0 {
		return 0, errors.New("udp: ReadBatch into nothing")
	}
	for {
		n, from, err := s.conn.ReadFromUDPAddrPort(s.buffer)
		if errors.Is(err, net.ErrClosed) {
			return 0, net.ErrClosed
		}
		if err != nil {
			return 0, err
		}
		if n == 0 {
			continue
		}
		s.messagesIn.Add(1)
		s.datagramsIn.Add(1)
		s.bytesIn.Add(uint64(n))
		dst[0] = Datagram{Data: s.buffer[:n:n], From: netip.AddrPortFrom(from.Addr().Unmap(), from.Port())}
		return 1, nil
	}
}

// WriteTo sends one datagram, from any goroutine. If the send buffer stays full for [MaxSendWait] the datagram is dropped and
// counted, which is no error. Errors are net.ErrClosed and the kernel's refusals.
func (s *Socket) WriteTo(b []byte, to netip.AddrPort) error {
	if len(b) == 0 {
		return nil
	}
	if to.Addr().Unmap().Is4() != s.local.Addr().Is4() {
		s.sendErrors.Add(1)
		return errFamily
	}
	_ = s.conn.SetWriteDeadline(time.Now().Add(MaxSendWait))
	_, err := s.conn.WriteToUDPAddrPort(b, to)
	var timeout net.Error
	switch {
	case err == nil:
		s.messagesOut.Add(1)
		s.datagramsOut.Add(1)
		s.bytesOut.Add(uint64(len(b)))
		return nil
	case errors.Is(err, net.ErrClosed):
		return net.ErrClosed
	case errors.As(err, &timeout) && timeout.Timeout():
		s.sendDrops.Add(1)
		return nil
	default:
		s.sendErrors.Add(1)
		return err
	}
}

// WriteSegments sends b, cut into datagrams of size bytes of which the last may be shorter, each by [Socket.WriteTo].
func (s *Socket) WriteSegments(b []byte, size int, to netip.AddrPort) error {
	var first error
	for offset := 0; offset < len(b); offset += size {
		if err := s.WriteTo(b[offset:min(offset+size, len(b))], to); err != nil && first == nil {
			first = err
		}
	}
	return first
}

// wire has nothing to prepare here: messages go one by one.
type wire struct{}

func (*wire) init(*Batch) {}

func (*wire) transmit(b *Batch) error {
	for _, m := range b.messages {
		err := b.socket.WriteTo(b.arena[m.offset:m.offset+m.length], m.to)
		if errors.Is(err, net.ErrClosed) {
			return err
		}
	}
	return nil
}
