package relay

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"cardea/relay/bwe"
	"cardea/relay/ice"
	"cardea/relay/peer"
	"cardea/relay/plane"
	"cardea/relay/stream"
	"cardea/relay/turn"
	"cardea/relay/udp"
)

// Config is what a media plane is made of.
type Config struct {
	// Addresses are the local addresses to listen on, one socket group each: replies leave from the address the
	// client knows, whatever the routing table says.
	Addresses []netip.Addr
	// Port is the one UDP and TCP port of clients' media, STUN and TURN; 3478 by convention.
	Port uint16
	// Sockets is the number of UDP sockets per address (SO_REUSEPORT), each with a goroutine of its own. More use more
	// cores and split bursts. Default 1.
	Sockets int
	// ReadBuffer and WriteBuffer are asked of the kernel for every socket, bytes.
	ReadBuffer, WriteBuffer int
	// Advertise maps local addresses to public ones.
	Advertise []ice.Mapping
	// TCP listens on TCP too.
	TCP bool
	// TURN configures the TURN server; nil for none.
	TURN *turn.Config
	// TLS serves TURN over TLS on the shared TCP port too, when set.
	TLS *tls.Config
	// MaxPeers bounds the peers; 0 for no bound.
	MaxPeers  int
	ICE       ice.Config
	Bandwidth bwe.Config
	// Quality and Reached take what clients' users saw and heard, and how clients reached the node: see peer.Env. May be nil.
	Quality func(q *plane.Quality)
	Reached func(o peer.Outcome)
	// SendAllLayers leaves simulcast clients to send layers that nobody wants.
	SendAllLayers bool
	// QualityInterval is the time between two reports of what a client's user saw and heard. Default 10 s.
	QualityInterval time.Duration
	Log             *slog.Logger
}

// Relay is the media plane of this process.
type Relay struct {
	cfg       Config
	log       *slog.Logger
	env       *peer.Env
	sockets   []*udp.Socket
	listeners []net.Listener
	splitter  *ice.Splitter
	turn      *turn.Server
	routes    *routes
	receivers receivers
	ticker    *ticker
	events    *eventLog
	metrics   Metrics
	side      sync.Pool // of loops for packets that come over TCP

	ending sync.WaitGroup // peers that are being ended for a fault

	mu         sync.Mutex
	stopped    bool // no peer is opened any more
	peers      map[plane.PeerID]*peer.Peer
	forwarders map[string]*forwarder
	candidates []plane.Candidate
	shelf      *shelf
}

var _ plane.Plane = (*Relay)(nil)

// Metrics counts what is not any peer's.
type Metrics struct {
	Peer      peer.Metrics
	Strangers atomic.Uint64 // datagrams of media or checks for nobody
	Rubbish   atomic.Uint64 // datagrams that are nothing we speak
	Bindings  atomic.Uint64 // STUN requests answered
	Faults    atomic.Uint64 // panics that ended a peer
	Refused   atomic.Uint64 // peers refused by MaxPeers
}

// New binds everything the media plane listens on. Nothing is served before Run.
func New(cfg Config) (*Relay, error) {
	if len(cfg.Addresses) == 0 {
		return nil, errors.New("media plane: no address to listen on")
	}
	cfg.Sockets = max(cfg.Sockets, 1)
	certificate, fingerprint, err := peer.NewCertificate()
	if err != nil {
		return nil, err
	}
	r := &Relay{
		cfg: cfg, log: cfg.Log, routes: newRoutes(), events: newEventLog(),
		peers: make(map[plane.PeerID]*peer.Peer), forwarders: make(map[string]*forwarder), shelf: newShelf(),
	}
	if err := r.listen(); err != nil {
		r.closeSockets()
		return nil, err
	}
	tcpPort := uint16(0)
	if cfg.TCP {
		tcpPort = cfg.Port
	}
	if cfg.TURN != nil {
		if r.turn, err = turn.New(*cfg.TURN); err != nil {
			r.closeSockets()
			return nil, err
		}
	}
	r.candidates = ice.Candidates(cfg.Addresses, cfg.Advertise, cfg.Port, tcpPort)
	r.ticker = newTicker(r)
	r.env = &peer.Env{
		Certificate: certificate, Fingerprint: fingerprint, Sockets: r.sockets,
		Streams: stream.NewDirectory[*stream.Stream](), Channels: stream.NewDirectory[*peer.Channel](),
		Clock: peer.NewClock(), Log: cfg.Log, Metrics: &r.metrics.Peer, ICE: cfg.ICE, Bandwidth: cfg.Bandwidth,
		Candidates: func() []plane.Candidate { return r.candidates },
		Emit:       r.events.add, Routed: r.routed, Credentials: r.routes.addUfrag, Urgent: r.ticker.urgent,
		Retired: r.routes.removeUfrag, Fault: r.fault,
		Quality: cfg.Quality, Reached: cfg.Reached, QualityInterval: cfg.QualityInterval, SendAllLayers: cfg.SendAllLayers,
	}
	r.splitter = ice.NewSplitter(ice.SplitterConfig{
		Frame: r.frame, Closed: r.closed, TURN: r.takeTURN(nil), TLS: r.takeTURN(cfg.TLS),
	})
	r.side.New = func() any { return r.newLoop(0) }
	return r, nil
}

// listen binds the sockets of every address.
func (r *Relay) listen() error {
	for _, a := range r.cfg.Addresses {
		sockets, err := udp.Listen(udp.Config{
			Address: netip.AddrPortFrom(a, r.cfg.Port), Sockets: r.cfg.Sockets,
			ReadBuffer: r.cfg.ReadBuffer, WriteBuffer: r.cfg.WriteBuffer,
		})
		if err != nil {
			return fmt.Errorf("media: %w", err)
		}
		r.sockets = append(r.sockets, sockets...)
		if !r.cfg.TCP {
			continue
		}
		address := net.JoinHostPort(a.String(), strconv.Itoa(int(r.cfg.Port)))
		listener, err := net.Listen("tcp", address)
		if err != nil {
			return fmt.Errorf("media over TCP: %w", err)
		}
		r.listeners = append(r.listeners, listener)
	}
	return nil
}

func (r *Relay) closeSockets() {
	for _, s := range r.sockets {
		_ = s.Close()
	}
	for _, l := range r.listeners {
		_ = l.Close()
	}
}

// Release closes the ports of a media plane that was never run.
func (r *Relay) Release() {
	if r.turn != nil {
		_ = r.turn.Close()
	}
	r.closeSockets()
}

// Run serves until ctx ends, then closes all peers. It returns the first error that ended it before.
func (r *Relay) Run(ctx context.Context) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var loops, services sync.WaitGroup
	for i := range r.sockets {
		loops.Go(func() {
			if err := r.newLoop(i).run(); err != nil {
				stop(err)
			}
		})
	}
	for _, l := range r.listeners {
		services.Go(func() {
			if err := r.splitter.Serve(l); err != nil {
				stop(err)
			}
		})
	}
	tick, stopTick := context.WithCancel(context.WithoutCancel(ctx))
	services.Go(func() { r.ticker.run(tick) })

	<-ctx.Done()
	r.closePeers()
	r.ending.Wait()
	_ = r.splitter.Close()
	stopTick()
	services.Wait()
	if r.turn != nil {
		_ = r.turn.Close()
	}
	r.closeSockets()
	loops.Wait()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

func (r *Relay) closePeers() {
	r.mu.Lock()
	r.stopped = true
	peers := make([]*peer.Peer, 0, len(r.peers))
	for _, p := range r.peers {
		peers = append(peers, p)
	}
	clear(r.peers)
	r.shelf = newShelf()
	forwarders := r.forwarders
	r.forwarders = make(map[string]*forwarder)
	r.mu.Unlock()
	for _, f := range forwarders {
		f.stop()
	}
	var wait sync.WaitGroup
	for _, p := range peers {
		wait.Go(func() { r.end(p) })
	}
	wait.Wait()
}

// HangUp ends all peers for a reason that their owners are told, who close them.
func (r *Relay) HangUp(reason string) {
	r.mu.Lock()
	peers := slices.Collect(maps.Values(r.peers))
	r.mu.Unlock()
	for _, p := range peers {
		p.End(reason)
	}
}

// end closes a peer and forgets its paths.
func (r *Relay) end(p *peer.Peer) {
	p.Close()
	r.ticker.remove(p)
	r.routes.forget(p)
}

// routed makes a path the peer's, and keeps its TCP connection.
func (r *Relay) routed(p *peer.Peer, path ice.Path) {
	if path.Conn != nil {
		path.Conn.Keep()
	}
	r.routes.addPath(p, path)
}

// closed forgets a TCP connection that has ended.
func (r *Relay) closed(c *ice.Conn) {
	path := ice.Path{Remote: c.Remote(), Conn: c}
	if p := r.routes.removePath(path); p != nil {
		p.PathClosed(path)
	}
}

// fault ends a peer whose handling panicked. Others do not notice. p is nil where nobody knows whose fault it was.
func (r *Relay) fault(p *peer.Peer, reason any, stack []byte) {
	r.metrics.Faults.Add(1)
	var id plane.PeerID
	if p != nil {
		id = p.ID()
	}
	r.log.Error("panic in the media plane", "peer", string(id), "panic", reason, "stack", string(stack))
	if p == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.peers[id] != p || r.stopped {
		return // it is being closed
	}
	r.ending.Go(func() { // locks may be held here
		p.End("DTLS-SRTP stack error")
		_ = r.Close(context.Background(), id)
	})
}

// takeTURN returns what serves a TCP connection that speaks TURN, under TLS if configured; nil if it is not served.
func (r *Relay) takeTURN(config *tls.Config) func(net.Conn) {
	if r.turn == nil {
		return nil
	}
	return func(c net.Conn) {
		if config != nil {
			c = tls.Server(c, config)
		}
		r.turn.ServeConn(c)
	}
}

// frame handles a packet that came over ICE-TCP, in its connection's goroutine.
func (r *Relay) frame(b []byte, c *ice.Conn) {
	if len(b) == 0 {
		return
	}
	l := r.side.Get().(*loop)
	defer r.side.Put(l)
	now := r.env.Clock.Now()
	l.frame(b, ice.Path{Remote: c.Remote(), Conn: c}, now)
	l.flush(now)
}

// Metrics returns the counters.
func (r *Relay) Metrics() *Metrics { return &r.metrics }

// Sockets returns the media sockets, for their counters.
func (r *Relay) Sockets() []*udp.Socket { return r.sockets }

// TURN returns the TURN server, or nil.
func (r *Relay) TURN() *turn.Server { return r.turn }

// Peers returns how many peers there are, and Streams how many streams are published.
func (r *Relay) Peers() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.peers)
}

// Streams returns how many streams are published.
func (r *Relay) Streams() int { return r.env.Streams.Len() }

// Far is what the mesh feeds and serves: streams and data channels are the same whatever node they were published on.
type Far struct {
	Streams  *stream.Directory[*stream.Stream]
	Channels *stream.Directory[*peer.Channel]
	// Now is the media plane's clock, ns, and NTP the 64-bit NTP time of a reading of it.
	Now func() int64
	NTP func(now int64) uint64
	// NewOutbox returns what takes packets for local clients; each goroutine that flushes streams needs one of its own.
	NewOutbox func() *udp.Outbox
	// Fault is what streams from elsewhere tell of sinks that panicked.
	Fault func(k stream.Sink, reason any, stack []byte)
}

// Far returns the media plane's side towards other nodes.
func (r *Relay) Far() Far {
	return Far{
		Streams: r.env.Streams, Channels: r.env.Channels, Now: r.env.Clock.Now, NTP: r.env.Clock.NTP,
		NewOutbox: func() *udp.Outbox { return udp.NewOutbox(r.sockets) }, Fault: r.env.SinkFault,
	}
}

// Fingerprint returns the fingerprint of the node's DTLS certificate.
func (r *Relay) Fingerprint() plane.Fingerprint { return r.env.Fingerprint }
