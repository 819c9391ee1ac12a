package turn

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/stun/v4"
	"github.com/pion/turn/v5"

	"cardea/relay/udp"
)

// Server is the STUN/TURN service. All methods are safe for concurrent use.
type Server struct {
	cfg     Config
	log     *slog.Logger
	mapping mapping
	stats   Stats

	reachMu sync.Mutex // guards reach, and the order in which its policies are made
	reach   reach

	keys         atomic.Pointer[keyring]
	policy       atomic.Pointer[policy]
	guestPolicy  atomic.Pointer[policy]
	guests       atomic.Pointer[[]string] // their secrets; nil: there are none
	unauthorized *sources
	allocating   *sources

	pion      *turn.Server
	datagrams *datagrams
	tcp, dtls *acceptor // TCP and TLS connections; DTLS connections, which have 5-tuples of their own
	secure    []net.Listener
	shaking   chan struct{}  // a place for each handshake under way
	running   sync.WaitGroup // accept loops, handshakes, connections, relays

	streams sync.Map // net.Addr, as pion/turn knows the client, to *stream
	count   atomic.Int64

	useMu sync.Mutex // guards when relays were used; before mu

	mu        sync.RWMutex
	closed    bool
	done      chan struct{}           // closed with it
	relays    map[*net.UDPAddr]*relay // by the address object given to pion/turn
	clients   map[netip.AddrPort]*relay
	tcpRelays map[*tcpRelay]struct{}
	perUser   map[string]int
	total     int
	uses      int // of relay addresses, to take them in turn
}

// maxHandshakes bounds TLS and DTLS handshakes under way.
const maxHandshakes = 256

// New starts a server and its own listeners. Close ends it.
func New(cfg Config) (*Server, error) {
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("turn: %w", err)
	}
	s := &Server{
		cfg:          cfg,
		log:          cfg.Log,
		mapping:      newMapping(cfg.Advertise),
		unauthorized: newSources(cfg.UnauthorizedRate, maxSources),
		allocating:   newSources(cfg.AllocationRate, maxSources),
		shaking:      make(chan struct{}, maxHandshakes),
		done:         make(chan struct{}),
		relays:       make(map[*net.UDPAddr]*relay),
		clients:      make(map[netip.AddrPort]*relay),
		tcpRelays:    make(map[*tcpRelay]struct{}),
		perUser:      make(map[string]int),
	}
	if s.log == nil {
		s.log = slog.Default()
	}
	s.SetCredentials(cfg.Users, cfg.Secrets)
	s.SetGuestSecrets(nil)
	s.reach = reach{cfg.MeshAddresses, cfg.AllowPeers, cfg.DenyPeers}
	s.applyReach()
	s.datagrams = newDatagrams(s)
	s.tcp, s.dtls = newAcceptor(), newAcceptor()

	ipv4 := false
	for _, a := range cfg.Relay {
		ipv4 = ipv4 || a.Is4()
	}
	generator := &generator{server: s}
	var err error
	s.pion, err = turn.NewServer(turn.ServerConfig{
		Realm:              cfg.Realm,
		AuthHandler:        s.authenticate,
		QuotaHandler:       s.quota,
		AllocationLifetime: cfg.DefaultLifetime,
		// RFC 8656 section 7.2: no requested family means IPv4. Without IPv4 to give, the family of the client is the better guess.
		StrictAddressFamily: ipv4,
		InboundMTU:          maxRequest + 1, // pion/turn discards what fills its buffer
		LoggerFactory:       loggers{s.log},
		EventHandler: turn.EventHandler{
			OnAllocationCreated: func(src, _ net.Addr, _, _, _ string, relayed net.Addr, _ int) { s.allocated(src, relayed) },
			OnChannelCreated: func(_, _ net.Addr, _, _, _ string, relayed, peer net.Addr, number uint16) {
				s.bound(relayed, peer, number)
			},
			OnChannelDeleted: func(_, _ net.Addr, _, _, _ string, relayed, _ net.Addr, number uint16) {
				s.unbound(relayed, number)
			},
		},
		PacketConnConfigs: []turn.PacketConnConfig{
			{PacketConn: s.datagrams, RelayAddressGenerator: generator, PermissionHandler: s.permission},
		},
		ListenerConfigs: []turn.ListenerConfig{
			{Listener: s.tcp, RelayAddressGenerator: generator, PermissionHandler: s.permission},
			{Listener: s.dtls, RelayAddressGenerator: generator, PermissionHandler: s.permission},
		},
	})
	if err != nil {
		return nil, fmt.Errorf("turn: %w", err)
	}
	if err := s.listenSecure(); err != nil {
		s.Close()
		return nil, fmt.Errorf("turn: %w", err)
	}
	return s, nil
}

// Close ends all allocations and connections and waits for everything the server runs.
func (s *Server) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	close(s.done)
	relays := make([]io.Closer, 0, len(s.relays)+len(s.tcpRelays))
	for _, r := range s.relays {
		relays = append(relays, r)
	}
	for l := range s.tcpRelays {
		relays = append(relays, l)
	}
	s.mu.Unlock()

	var errs []error
	for _, l := range s.secure {
		errs = append(errs, l.Close())
	}
	errs = append(errs, s.pion.Close())
	for _, r := range relays {
		errs = append(errs, r.Close())
	}
	s.streams.Range(func(_, v any) bool {
		v.(*stream).Close() // a connection that fails to close is closed
		return true
	})
	s.running.Wait()
	return errors.Join(errs...)
}

// Stats returns the server's counters, live.
func (s *Server) Stats() *Stats { return &s.stats }

// SetMeshAddresses replaces the media addresses of nodes that clients may reach. They are in force for the next packet.
func (s *Server) SetMeshAddresses(addresses []netip.AddrPort) {
	s.reachMu.Lock()
	defer s.reachMu.Unlock()
	s.reach.mesh = addresses
	s.applyReach()
}

// SetPeers replaces the prefixes that clients may and may not reach. They are in force for the next packet.
func (s *Server) SetPeers(allow, deny []netip.Prefix) {
	s.reachMu.Lock()
	defer s.reachMu.Unlock()
	s.reach.allow, s.reach.deny = allow, deny
	s.applyReach()
}

// reach is what decides whom clients may reach.
type reach struct {
	mesh        []netip.AddrPort
	allow, deny []netip.Prefix
}

// applyReach puts what reach says in force; reachMu must be held once the server is made.
func (s *Server) applyReach() {
	own := append([]netip.Addr(nil), s.cfg.Relay...)
	for _, public := range s.cfg.Advertise {
		own = append(own, public)
	}
	s.policy.Store(newPolicy(s.reach.mesh, own, s.reach.allow, s.reach.deny))
	s.guestPolicy.Store(newGuestPolicy(s.reach.mesh))
}

// SetCredentials replaces users and secrets. Allocations that exist go on with the credentials they were made with.
func (s *Server) SetCredentials(users map[string]string, secrets []string) {
	s.keys.Store(newKeyring(s.cfg.Realm, users, append([]string(nil), secrets...)))
}

// HandleSocket takes a datagram that a client sent to the socket; everything for that client leaves by the socket. It never
// blocks and does not keep b. Datagrams that are neither STUN nor ChannelData are dropped.
func (s *Server) HandleSocket(socket *udp.Socket, b []byte, from netip.AddrPort) {
	s.datagrams.handle(b, client{addr: from, socket: socket})
}

// HandleDatagram is [Server.HandleSocket] for senders that are no socket. reply is called from any goroutine, also
// later for what peers send, and must not block.
func (s *Server) HandleDatagram(b []byte, from netip.AddrPort, reply func(b []byte, to netip.AddrPort) error) {
	s.datagrams.handle(b, client{addr: from, reply: reply})
}

// relayOf returns the allocation of a client, as pion/turn knows it, or nil.
func (s *Server) relayOf(src net.Addr) *relay {
	if v, ok := s.streams.Load(src); ok {
		return v.(*stream).relay.Load()
	}
	return s.relayAt(addrPort(src))
}

// relayAt returns the allocation of a UDP client, or nil.
func (s *Server) relayAt(from netip.AddrPort) *relay {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.clients[from]
}

// exchangeOf returns the request that pion/turn is handling for a client. It is called by what pion/turn calls while it
// does so, in the same goroutine.
func (s *Server) exchangeOf(src net.Addr) *exchange {
	if v, ok := s.streams.Load(src); ok {
		return &v.(*stream).exchange
	}
	if r := s.datagrams.current.Load(); r != nil && net.Addr(r.addr) == src {
		return &r.exchange
	}
	return nil
}

// exchange is a request being handled: pion/turn asks for one key by user name, but several may be valid.
type exchange struct {
	raw      []byte
	username string
	key      []byte // that signed it
}

// authenticate returns the user and key that signed a request. An allocation's own credentials stay valid for it when
// they expire or are replaced: a call outlives them.
func (s *Server) authenticate(ra *turn.RequestAttributes) (user string, key []byte, ok bool) {
	e := s.exchangeOf(ra.SrcAddr)
	if e == nil {
		return "", nil, false
	}
	if r := s.relayOf(ra.SrcAddr); r != nil && ra.Method != stun.MethodAllocate && r.username == ra.Username && verify(e.raw, r.key) {
		return r.user, r.key, true
	}
	now := time.Now()
	user, keys := s.keys.Load().candidates(ra.Username, now)
	for _, key := range keys {
		if verify(e.raw, key) {
			e.username, e.key = ra.Username, key
			return user, key, true
		}
	}
	for _, key := range s.guestKeys(ra.Username, now) {
		if verify(e.raw, key) {
			e.username, e.key = ra.Username, key
			return guests, key, true
		}
	}
	if len(keys) == 0 {
		verify(e.raw, nil) // as long as for a name that exists
	}
	s.stats.AuthFailures.Add(1)
	s.unauthorized.take(addrPort(ra.SrcAddr).Addr(), now)
	return "", nil, false
}

// admit decides whether a request may cost anything. Sources that send too many, be it without credentials or with wrong
// ones, get no answer; clients with an allocation are past that.
func (s *Server) admit(from netip.Addr, r *relay) bool {
	if r != nil {
		return true
	}
	if !s.unauthorized.take(from, time.Now()) {
		s.stats.RateDropped.Add(1)
		return false
	}
	return true
}

// permission tells pion/turn whether a client may name an IP address as a peer. Ports are looked at with each packet.
func (s *Server) permission(src net.Addr, ip net.IP) bool {
	p := s.policy.Load()
	if r := s.relayOf(src); r != nil {
		p = s.policyOf(r.user)
	}
	a, ok := netip.AddrFromSlice(ip)
	if ok && p.permitsSome(a.Unmap()) {
		return true
	}
	s.stats.DeniedPeers.Add(1)
	return false
}

// allocated ties a new relay to its client. pion/turn begins to read the relay after that.
func (s *Server) allocated(src, relayed net.Addr) {
	e := s.exchangeOf(src)
	if e == nil {
		return
	}
	var r *relay
	if a, ok := relayed.(*net.UDPAddr); ok {
		s.mu.Lock()
		r = s.relays[a]
		if r != nil {
			r.username, r.key = e.username, e.key
			if c, ok := s.streams.Load(src); ok {
				r.stream = c.(*stream)
			} else {
				r.client = s.datagrams.current.Load().client
				s.clients[r.client.addr] = r
			}
			r.attached = !s.closed // after that nobody would wait
			if r.attached {
				s.running.Add(1)
			}
		}
		s.mu.Unlock()
	}
	if r == nil {
		return // a TCP allocation (RFC 6062): nothing of it passes here
	}
	if r.stream != nil {
		r.stream.attach(r)
	}
}

func (s *Server) bound(relayed, peer net.Addr, number uint16) {
	if r := s.relayFor(relayed); r != nil {
		r.bind(number, addrPort(peer))
	}
}

func (s *Server) unbound(relayed net.Addr, number uint16) {
	if r := s.relayFor(relayed); r != nil {
		r.unbind(number)
	}
}

func (s *Server) relayFor(relayed net.Addr) *relay {
	a, _ := relayed.(*net.UDPAddr)
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.relays[a]
}

// addrPort returns an address without its network; invalid for what is neither UDP nor TCP.
func addrPort(a net.Addr) netip.AddrPort {
	var ap netip.AddrPort
	switch a := a.(type) {
	case *net.UDPAddr:
		ap = a.AddrPort()
	case *net.TCPAddr:
		ap = a.AddrPort()
	}
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}
