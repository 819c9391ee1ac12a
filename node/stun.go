package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/pion/stun/v4"
)

// stunInterval is the time between two tries; UDP may lose any of them (RFC 8489 section 6.2.1).
const stunInterval = 500 * time.Millisecond

// askSTUN asks a STUN server which address it sees this machine at, from a local port, or any if that is 0. It tries
// until ctx is done.
func askSTUN(ctx context.Context, server netip.AddrPort, localPort uint16) (netip.AddrPort, error) {
	d := net.Dialer{LocalAddr: &net.UDPAddr{Port: int(localPort)}}
	conn, err := d.DialContext(ctx, "udp", server.String())
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("ask STUN server: %w", err)
	}
	defer func() { _ = conn.Close() }()
	request, err := stun.Build(stun.TransactionID, stun.BindingRequest)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("ask STUN server: %w", err)
	}
	reply := make([]byte, 1500)
	for ctx.Err() == nil {
		if _, err := conn.Write(request.Raw); err != nil {
			return netip.AddrPort{}, fmt.Errorf("ask STUN server: %w", err)
		}
		_ = conn.SetReadDeadline(time.Now().Add(stunInterval)) // fails on closed connections only
		n, err := conn.Read(reply)
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			return netip.AddrPort{}, fmt.Errorf("ask STUN server: %w", err) // nobody there
		}
		if a, ok := mappedAddress(reply[:n], request); ok {
			return a, nil
		}
	}
	return netip.AddrPort{}, fmt.Errorf("ask STUN server %s: %w", server, context.Cause(ctx))
}

// mappedAddress reads the address in a success response to the request.
func mappedAddress(reply []byte, request *stun.Message) (netip.AddrPort, bool) {
	m := &stun.Message{Raw: reply}
	var mapped stun.XORMappedAddress
	if m.Decode() != nil || m.TransactionID != request.TransactionID || m.Type != stun.BindingSuccess || mapped.GetFrom(m) != nil {
		return netip.AddrPort{}, false
	}
	ip, ok := netip.AddrFromSlice(mapped.IP)
	return netip.AddrPortFrom(ip.Unmap(), uint16(mapped.Port)), ok //nolint:gosec // 16 bits on the wire
}
