package shield

import (
	"fmt"
	"net"
	"net/netip"
	"time"

	"cardea/relay/udp"
)

// Socket is what a [Conn] stands on: [udp.Socket], or [FromPacketConn] of anything else.
type Socket interface {
	// ReadBatch waits for datagrams; the data are good until the next call.
	ReadBatch(dst []udp.Datagram) (int, error)
	// WriteTo sends one datagram and never waits long.
	WriteTo(b []byte, to netip.AddrPort) error
	LocalAddr() netip.AddrPort
	// SetReadDeadline makes ReadBatch return os.ErrDeadlineExceeded from then on; the zero time takes it back.
	SetReadDeadline(t time.Time) error
	Close() error
}

var (
	_ Socket = (*udp.Socket)(nil)
	_ Socket = (*packetConn)(nil)
)

// FromPacketConn makes a socket of a net.PacketConn with UDP addresses: one system call a packet, for networks that are simulated
// and systems that know no better.
func FromPacketConn(pc net.PacketConn) (Socket, error) {
	local, ok := pc.LocalAddr().(*net.UDPAddr)
	if !ok {
		return nil, fmt.Errorf("shield: local address of type %T, not *net.UDPAddr", pc.LocalAddr())
	}
	return &packetConn{PacketConn: pc, local: unmap(local.AddrPort()), buf: make([]byte, udp.MaxDatagram)}, nil
}

type packetConn struct {
	net.PacketConn
	local netip.AddrPort
	buf   []byte
}

func (c *packetConn) LocalAddr() netip.AddrPort { return c.local }

func (c *packetConn) ReadBatch(dst []udp.Datagram) (int, error) {
	for {
		n, addr, err := c.ReadFrom(c.buf)
		if err != nil {
			return 0, err
		}
		if from, ok := addr.(*net.UDPAddr); ok && n > 0 {
			dst[0] = udp.Datagram{Data: c.buf[:n:n], From: unmap(from.AddrPort())}
			return 1, nil
		}
	}
}

func (c *packetConn) WriteTo(b []byte, to netip.AddrPort) error {
	_, err := c.PacketConn.WriteTo(b, net.UDPAddrFromAddrPort(to))
	return err
}

func unmap(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }
