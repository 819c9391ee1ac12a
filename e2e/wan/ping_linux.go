package wan

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// Ping sends one ICMP echo from the site's first address of that family and returns the time until its answer, or the error of ctx.
func (s *Site) Ping(ctx context.Context, to netip.Addr) (time.Duration, error) {
	network, local := "ip4:icmp", "0.0.0.0"
	var request, answer icmp.Type = ipv4.ICMPTypeEcho, ipv4.ICMPTypeEchoReply
	protocol := protoICMP
	if to.Is6() {
		network, local, protocol = "ip6:ipv6-icmp", "::", protoICMPv6
		request, answer = ipv6.ICMPTypeEchoRequest, ipv6.ICMPTypeEchoReply
	}
	c, err := s.ListenPacket(ctx, network, local)
	if err != nil {
		return 0, fmt.Errorf("ping: %w", err)
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { _ = c.SetReadDeadline(time.Unix(1, 0)) })()
	start := time.Now()
	// The time tells this echo from those of others who ping in the namespace.
	payload := binary.BigEndian.AppendUint64(nil, uint64(start.UnixNano()))
	message, err := (&icmp.Message{Type: request, Body: &icmp.Echo{ID: os.Getpid() & 0xffff, Seq: 1, Data: payload}}).Marshal(nil)
	if err != nil {
		return 0, fmt.Errorf("ping: %w", err)
	}
	if _, err := c.WriteTo(message, &net.IPAddr{IP: to.AsSlice()}); err != nil {
		return 0, fmt.Errorf("ping: %w", err)
	}
	buffer := make([]byte, 1500)
	for {
		n, _, err := c.ReadFrom(buffer)
		took := time.Since(start)
		if ctx.Err() != nil {
			return 0, fmt.Errorf("ping %v: %w", to, ctx.Err())
		}
		if err != nil {
			return 0, fmt.Errorf("ping: %w", err)
		}
		m, err := icmp.ParseMessage(protocol, buffer[:n])
		if err != nil || m.Type != answer {
			continue
		}
		if echo, ok := m.Body.(*icmp.Echo); ok && string(echo.Data) == string(payload) {
			return took, nil
		}
	}
}
