package turn

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/pion/transport/v5/reuseport"
	"github.com/pion/turn/v5"

	"cardea/relay/udp"
)

var (
	errNoPort    = errors.New("no relay port is free")
	errNoFamily  = errors.New("no relay address of that IP version")
	errQuota     = errors.New("allocation quota reached")
	errTCPRelay  = errors.New("TCP allocations are off")
	errPeer      = errors.New("peer is not permitted")
	errPortRange = errors.New("port is outside of the relay range")
)

const (
	// portTries bounds how many ports are tried for one allocation, at some 10 us each.
	portTries = 256
	// dialTimeout is how long a client waits for a TCP connection to a peer.
	dialTimeout = 10 * time.Second
)

// generator makes relayed transport addresses for pion/turn.
type generator struct{ server *Server }

var _ turn.RelayAddressGenerator = (*generator)(nil)

// Validate has nothing to say: the server's configuration was checked as a whole.
func (g *generator) Validate() error { return nil }

// AllocatePacketConn makes the relay of a UDP allocation. Without a user it is a probe for an even port.
func (g *generator) AllocatePacketConn(c turn.AllocateListenerConfig) (net.PacketConn, net.Addr, error) {
	s := g.server
	ip, err := s.relayAddress(c.Network)
	if err != nil {
		return nil, nil, err
	}
	var socket *udp.Socket
	err = s.tryPorts(c.RequestedPort, func(port uint16) error {
		sockets, err := udp.Listen(udp.Config{
			Address:     netip.AddrPortFrom(ip, port),
			ReadBuffer:  s.cfg.ReadBuffer,
			WriteBuffer: s.cfg.WriteBuffer,
			Light:       true,
			Fragment:    true,
		})
		if err == nil {
			socket = sockets[0]
		}
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	r := &relay{
		server:   s,
		socket:   socket,
		public:   net.UDPAddrFromAddrPort(s.mapping.named(socket.LocalAddr())),
		user:     c.UserID,
		byNumber: make(map[uint16]*channel),
		byPeer:   make(map[netip.AddrPort]*channel),
	}
	if err := s.remember(r); err != nil {
		socket.Close()
		return nil, nil, err
	}
	return r, r.public, nil
}

// relayAddress returns the next local address of the network's IP version.
func (s *Server) relayAddress(network string) (netip.Addr, error) {
	six := strings.HasSuffix(network, "6")
	s.mu.Lock()
	defer s.mu.Unlock()
	for range s.cfg.Relay {
		a := s.cfg.Relay[s.uses%len(s.cfg.Relay)]
		s.uses++
		if a.Is6() == six {
			return a, nil
		}
	}
	return netip.Addr{}, errNoFamily
}

// tryPorts calls open for the requested port, or for ports from a random one on until one is free.
func (s *Server) tryPorts(requested int, open func(port uint16) error) error {
	low, high := int(s.cfg.MinPort), int(s.cfg.MaxPort)
	if requested != 0 {
		if requested < low || requested > high {
			return errPortRange
		}
		return open(uint16(requested))
	}
	size := high - low + 1
	start := rand.IntN(size)
	err := errNoPort
	for i := range min(size, portTries) {
		if err = open(uint16(low + (start+i)%size)); err == nil {
			return nil
		}
	}
	return fmt.Errorf("%w: %w", errNoPort, err)
}

// AllocateListener makes the relay of a TCP allocation (RFC 6062).
func (g *generator) AllocateListener(c turn.AllocateListenerConfig) (net.Listener, net.Addr, error) {
	s := g.server
	if !s.cfg.TCPRelay || c.UserID == guests {
		return nil, nil, errTCPRelay
	}
	ip, err := s.relayAddress(c.Network)
	if err != nil {
		return nil, nil, err
	}
	// Connections to peers leave from the same port.
	config := net.ListenConfig{Control: reuseport.Control}
	l := &tcpRelay{server: s, user: c.UserID}
	err = s.tryPorts(c.RequestedPort, func(port uint16) (err error) {
		l.Listener, err = config.Listen(context.Background(), c.Network, netip.AddrPortFrom(ip, port).String())
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	if err := s.rememberTCP(l); err != nil {
		l.Listener.Close()
		return nil, nil, err
	}
	return l, net.TCPAddrFromAddrPort(s.mapping.named(addrPort(l.Addr()))), nil
}

// AllocateConn connects a TCP allocation to a peer. The mesh's media addresses are UDP, so they are not allowed here.
func (g *generator) AllocateConn(c turn.AllocateConnConfig) (net.Conn, error) {
	s := g.server
	peer := addrPort(c.RemoteAddr)
	if !s.policy.Load().permitsAddr(peer.Addr()) {
		s.stats.DeniedPeers.Add(1)
		return nil, errPeer
	}
	d := net.Dialer{
		Timeout:   dialTimeout,
		LocalAddr: net.TCPAddrFromAddrPort(s.mapping.wire(addrPort(c.LocalAddr))),
		Control:   reuseport.Control,
	}
	return d.Dial(c.Network, s.mapping.wire(peer).String())
}

// tcpRelay is the listening socket of a TCP allocation.
type tcpRelay struct {
	net.Listener
	server *Server
	user   string
}

// Accept takes connections of permitted peers only; pion/turn asks for the permission of the client.
func (l *tcpRelay) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if l.server.policy.Load().permitsAddr(addrPort(c.RemoteAddr()).Addr()) {
			return c, nil
		}
		l.server.stats.DeniedPeers.Add(1)
		c.Close()
	}
}

// Close may be called more than once.
func (l *tcpRelay) Close() error {
	l.server.forgetTCP(l)
	if err := l.Listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}
