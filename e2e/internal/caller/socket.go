package caller

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
)

// socketBuffer is what a call's UDP socket may hold, bytes: what a test's machine is too busy to read must not count as
// lost by the node.
const socketBuffer = 4 << 20

// maxSent is how many of the packets sent last are kept.
const maxSent = 64

// socket is the UDP socket of one call.
type socket struct {
	*net.UDPConn
	gone atomic.Bool

	mu   sync.Mutex
	sent [][]byte // the last ones, oldest first
}

// note keeps a packet for those who want to send it again.
func (s *socket) note(b []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.sent) == maxSent {
		s.sent = slices.Delete(s.sent, 0, maxSent/2)
	}
	s.sent = append(s.sent, slices.Clone(b))
}

func newSocket(ctx context.Context, at Place) (*socket, error) {
	c, err := at.listen(ctx)
	if err != nil {
		return nil, fmt.Errorf("open a call's socket: %w", err)
	}
	_ = c.SetReadBuffer(socketBuffer) // as much as the kernel grants
	return &socket{UDPConn: c}, nil
}

// WriteTo sends a packet, or only seems to when the client has vanished.
func (s *socket) WriteTo(b []byte, to net.Addr) (int, error) {
	if s.gone.Load() {
		return len(b), nil
	}
	s.note(b)
	return s.UDPConn.WriteTo(b, to)
}

// WriteToUDPAddrPort is WriteTo for other addresses.
func (s *socket) WriteToUDPAddrPort(b []byte, to netip.AddrPort) (int, error) {
	if s.gone.Load() {
		return len(b), nil
	}
	s.note(b)
	return s.UDPConn.WriteToUDPAddrPort(b, to)
}

// vanish makes the socket silent for good.
func (s *socket) vanish() {
	s.gone.Store(true)
	_ = s.Close()
}
