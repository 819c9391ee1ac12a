package dns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"time"

	wire "github.com/miekg/dns"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// Server answers questions. It holds no sockets of its own: give it some with [Server.ServeUDP] and [Server.ServeTCP].
type Server struct {
	zone *zone
	// What a network gets that may be forged, and who is certainly in it gets: by TCP, or with a cookie.
	udp, known *limiter
	counts     counts
	conns      connections
}

// New makes a server. It returns an error that wraps [ErrConfig] and says what is wrong.
func New(cfg Config) (*Server, error) {
	z, err := newZone(cfg)
	if err != nil {
		return nil, err
	}
	return &Server{
		zone: z, udp: newLimiter(cfg.Rate), known: newLimiter(cfg.Rate),
		conns: connections{of: map[netip.Prefix]int{}},
	}, nil
}

// ServeUDP answers what comes to a socket until ctx ends, and closes it. It returns an error if the socket fails before.
func (s *Server) ServeUDP(ctx context.Context, conn *net.UDPConn) error {
	// Which of the host's addresses was asked decides from where to answer. A socket has one family or both.
	if ipv6.NewPacketConn(conn).SetControlMessage(ipv6.FlagDst|ipv6.FlagInterface, true) != nil {
		if err := ipv4.NewPacketConn(conn).SetControlMessage(ipv4.FlagDst|ipv4.FlagInterface, true); err != nil {
			_ = conn.Close()
			return fmt.Errorf("prepare socket: %w", err)
		}
	} else {
		_ = ipv4.NewPacketConn(conn).SetControlMessage(ipv4.FlagDst|ipv4.FlagInterface, true)
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	defer func() { _ = conn.Close() }()
	var readers sync.WaitGroup
	errs := make(chan error, readersOf())
	for range readersOf() {
		readers.Go(func() { errs <- s.readUDP(conn) })
	}
	err := <-errs
	_ = conn.Close() // what ends one reader ends all
	readers.Wait()
	if ctx.Err() != nil {
		return nil //nolint:nilerr // it was closed on purpose
	}
	return err
}

// readersOf is how many questions are answered at once: a quarter of the processors is what calls may lose to a flood of them.
func readersOf() int { return max(runtime.GOMAXPROCS(0)/4, 1) }

// maxFailures is how many reads in a row may fail before the socket counts as broken.
const maxFailures = 1000

// readUDP answers until the socket is closed.
func (s *Server) readUDP(conn *net.UDPConn) error {
	packet := make([]byte, maxQuestion)
	for failures := 0; ; {
		n, session, err := wire.ReadFromSessionUDP(conn, packet)
		if err != nil {
			if failures++; errors.Is(err, net.ErrClosed) || failures > maxFailures {
				return fmt.Errorf("read: %w", err)
			}
			continue // such as an ICMP error that an answer met
		}
		failures = 0
		from, ok := netip.AddrFromSlice(session.RemoteAddr().(*net.UDPAddr).IP) //nolint:forcetypeassert // it always is
		if !ok {
			continue
		}
		if b := s.overUDP(time.Now(), packet[:n], from); b != nil {
			_, _ = wire.WriteToSessionUDP(conn, b, session) // who asks asks again
		}
	}
}

// overUDP returns what to send back for a datagram, nil for nothing.
func (s *Server) overUDP(now time.Time, packet []byte, from netip.Addr) []byte {
	s.counts.udp.Add(1)
	v := s.udp.ask(now, from)
	if v != allow && s.zone.cookies.knows(packet, from, now) && s.known.ask(now, from) == allow {
		v = allow
	}
	if v == drop {
		s.counts.dropped.Add(1)
		return nil
	}
	b, rcode := s.zone.answer(asked{packet: packet, from: from, now: now, limit: minUDP, most: maxUDP, refer: v == slip})
	switch {
	case v == slip:
		s.counts.referred.Add(1)
	case b != nil:
		s.counts.answered(rcode)
	}
	return b
}
