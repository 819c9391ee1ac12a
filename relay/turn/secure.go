package turn

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/pion/dtls/v3"
)

const (
	// handshakeTimeout bounds TLS and DTLS handshakes.
	handshakeTimeout = 10 * time.Second
	// acceptPause is how long a listener rests when accepting fails.
	acceptPause = 100 * time.Millisecond
)

// handshaker is what TLS and DTLS connections have in common.
type handshaker interface {
	net.Conn
	HandshakeContext(ctx context.Context) error
}

var (
	_ handshaker = (*tls.Conn)(nil)
	_ handshaker = (*dtls.Conn)(nil)
)

// listenSecure opens the TLS and DTLS ports, if there is a certificate.
func (s *Server) listenSecure() error {
	if s.cfg.TLS == nil {
		return nil
	}
	for _, a := range s.cfg.Secure {
		tcp, err := net.Listen("tcp", a.String())
		if err != nil {
			return fmt.Errorf("listen for TLS: %w", err)
		}
		s.secure = append(s.secure, tcp)
		s.running.Go(func() { s.accept(tcp, s.ServeTLS) })

		// Port 0 is a free one for TCP, and then the same for UDP.
		a = netip.AddrPortFrom(a.Addr(), addrPort(tcp.Addr()).Port())
		udp, err := dtls.ListenWithOptions("udp", net.UDPAddrFromAddrPort(a),
			dtls.WithLoggerFactory(loggers{s.log}),
			dtls.WithGetCertificate(func(hello *dtls.ClientHelloInfo) (*tls.Certificate, error) {
				return certificate(s.cfg.TLS, hello.ServerName)
			}),
		)
		if err != nil {
			return fmt.Errorf("listen for DTLS: %w", err)
		}
		s.secure = append(s.secure, udp)
		s.running.Go(func() {
			s.accept(udp, func(conn net.Conn) { s.shake(conn.(handshaker), s.dtls, dtlsBuffer) })
		})
	}
	return nil
}

// SecureAddresses returns the addresses on which TLS and DTLS are offered, with their ports.
func (s *Server) SecureAddresses() []netip.AddrPort {
	var addresses []netip.AddrPort
	for i := 0; i < len(s.secure); i += 2 {
		addresses = append(addresses, addrPort(s.secure[i].Addr()))
	}
	return addresses
}

// certificate returns the certificate for a server name, by the rules of a tls.Config as far as they apply.
func certificate(cfg *tls.Config, name string) (*tls.Certificate, error) {
	if cfg.GetCertificate != nil {
		c, err := cfg.GetCertificate(&tls.ClientHelloInfo{ServerName: name})
		if c != nil || err != nil {
			return c, err
		}
	}
	if len(cfg.Certificates) == 0 {
		return nil, errors.New("no certificate")
	}
	return &cfg.Certificates[0], nil
}

// accept serves connections until the listener is closed. Other errors (out of file descriptors) pass.
func (s *Server) accept(l net.Listener, serve func(net.Conn)) {
	for {
		conn, err := l.Accept()
		if err == nil {
			serve(conn)
			continue
		}
		if errors.Is(err, net.ErrClosed) {
			return
		}
		select {
		case <-s.done: // of which DTLS's listener has an error of its own
			return
		default:
		}
		s.log.Warn("turn listener", "address", l.Addr().String(), "error", err)
		select {
		case <-s.done:
			return
		case <-time.After(acceptPause):
		}
	}
}

// ServeTLS serves TURN over TLS on a connection of a client and owns it from now on. It returns at once. Without a
// certificate the connection is closed.
func (s *Server) ServeTLS(conn net.Conn) {
	if s.cfg.TLS == nil {
		s.stats.Refused.Add(1)
		conn.Close()
		return
	}
	s.shake(tls.Server(conn, s.cfg.TLS), s.tcp, firstBuffer)
}

// shake does a handshake in a goroutine of its own, of which there are not too many, and then serves.
func (s *Server) shake(conn handshaker, to *acceptor, buffer int) {
	if !s.startHandshake(func() {
		defer func() { <-s.shaking }()
		ctx, cancel := context.WithTimeout(context.Background(), handshakeTimeout)
		defer cancel()
		if err := conn.HandshakeContext(ctx); err != nil {
			s.stats.Refused.Add(1)
			conn.Close()
			return
		}
		s.serve(conn, to, buffer)
	}) {
		s.stats.Refused.Add(1)
		conn.Close()
	}
}

// startHandshake runs do in a goroutine, unless there are too many or the server is closed.
func (s *Server) startHandshake(do func()) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return false
	}
	select {
	case s.shaking <- struct{}{}:
		s.running.Go(do)
		return true
	default:
		return false
	}
}
