package link

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"
	"golang.org/x/time/rate"

	"cardea/relay/shield"
	"cardea/relay/stream"
	"cardea/relay/udp"
)

const (
	// socketBuffer is what is asked of the kernel for each socket and direction, bytes: a quarter of a second at 200 Mbit/s.
	socketBuffer = 7 << 20

	// maxGreetings bounds connections that have not said who they are yet.
	maxGreetings = 128
	// retryRate and retryBurst are the handshakes a second from addresses that have not shown that they are real.
	retryRate, retryBurst = 50, 100

	// tickPeriod is how often links are looked after.
	tickPeriod = 100 * time.Millisecond
)

// Handler answers a call. Its error arrives as [*RemoteError]. ctx ends when the caller does not wait any more.
type Handler func(ctx context.Context, from NodeID, request []byte) (reply []byte, err error)

// Endpoint is this node's end of all its links. It is safe for concurrent use, but for what is said to come before Run.
type Endpoint struct {
	cfg        Config
	log        *slog.Logger
	ports      []*port
	quic       *quic.Config
	compressor *compressor
	instance   uint64

	// Set before Run.
	handlers  map[Kind]Handler
	notices   map[Kind]func(l *Link, payload []byte)
	datagrams func(l *Link, payload []byte)
	watchers  []func(l *Link, up bool)

	dials     chan *dial
	greetings chan struct{} // a place for each connection that is being greeted
	stopped   chan struct{} // closed when Run ends
	tasks     sync.WaitGroup
	feeds     feeds
	counters  counters

	mu      sync.Mutex // guards what is below
	members map[NodeID]*member
}

// member is what is kept of another node. It is guarded by the endpoint's mutex.
type member struct {
	link     *Link  // the latest; nil if it has ended
	dial     *dial  // under way
	last     uint64 // generation of the latest link
	accepts  *rate.Limiter
	failed   time.Time // when the last dial failed
	failure  error
	carriers *rate.Limiter
}

// acceptRate and acceptBurst bound the connections taken from one member: a link ends rarely.
const acceptRate, acceptBurst = 1, 10

// port is one socket.
type port struct {
	shield    *shield.Conn
	transport *quic.Transport
	local     netip.AddrPort
}

type counters struct{ refused, handlerPanics atomic.Uint64 }

// Stats counts what an endpoint refused since it was made.
type Stats struct {
	Refused    uint64 // connections: certificates, strangers, members that come too often
	Panics     uint64 // handlers that panicked
	Strangers  uint64 // packets from nobody known, beyond the limit
	SendErrors uint64 // datagrams that a socket refused
}

// Stats returns the counters.
func (e *Endpoint) Stats() Stats {
	s := Stats{Refused: e.counters.refused.Load(), Panics: e.counters.handlerPanics.Load()}
	for _, p := range e.ports {
		st := p.shield.Stats()
		s.Strangers += st.Strangers
		s.SendErrors += st.SendErrors
	}
	return s
}

// Listen opens the sockets. [Endpoint.Run] must follow, which closes them.
func Listen(cfg Config) (*Endpoint, error) {
	var sockets []shield.Socket
	for _, a := range cfg.Listen {
		s, err := udp.Listen(udp.Config{Address: a, ReadBuffer: socketBuffer, WriteBuffer: socketBuffer})
		if err != nil {
			for _, s := range sockets {
				s.Close()
			}
			return nil, fmt.Errorf("links: %w", err)
		}
		sockets = append(sockets, s[0])
	}
	return newEndpoint(cfg, sockets)
}

// newEndpoint makes an endpoint on sockets, which are its own from then on.
func newEndpoint(cfg Config, sockets []shield.Socket) (e *Endpoint, err error) {
	defer func() {
		if err != nil {
			for _, s := range sockets {
				s.Close()
			}
		}
	}()
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("links: %w", err)
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	z, err := newCompressor()
	if err != nil {
		return nil, fmt.Errorf("links: %w", err)
	}
	e = &Endpoint{
		cfg: cfg, log: cfg.Log, compressor: z, instance: rand.Uint64(),
		quic: &quic.Config{
			EnableDatagrams: true,
			// 1,280 is quic-go's own choice; with more, v0.65 spins over the shield until its search for the size succeeds.
			InitialPacketSize:    1280,
			HandshakeIdleTimeout: dialTime,
			// The link finds out earlier, by the shield's keepalives; these are for connections that never became one.
			MaxIdleTimeout: 30 * time.Second, KeepAlivePeriod: 10 * time.Second,
			MaxIncomingStreams: maxCalls + 1, MaxIncomingUniStreams: -1,
			InitialStreamReceiveWindow: 256 << 10, MaxStreamReceiveWindow: MaxCall,
			InitialConnectionReceiveWindow: 1 << 20, MaxConnectionReceiveWindow: 16 << 20,
		},
		handlers: map[Kind]Handler{}, notices: map[Kind]func(*Link, []byte){},
		dials: make(chan *dial), greetings: make(chan struct{}, maxGreetings), stopped: make(chan struct{}),
		members: map[NodeID]*member{},
	}
	e.feeds.of = map[*stream.Stream]*feed{}
	retries := rate.NewLimiter(retryRate, retryBurst)
	for i, s := range sockets {
		c, err := shield.New(s, shield.Config{})
		if err != nil {
			for _, p := range e.ports {
				p.shield.Close()
			}
			z.close()
			sockets = sockets[i:]
			return nil, fmt.Errorf("links: %w", err)
		}
		e.ports = append(e.ports, &port{
			shield: c, local: s.LocalAddr(),
			transport: &quic.Transport{Conn: c, VerifySourceAddress: func(net.Addr) bool { return !retries.Allow() }},
		})
	}
	return e, nil
}

// Handle has calls of a kind answered by h, each in a goroutine of its own. It is called before Run.
func (e *Endpoint) Handle(k Kind, h func(ctx context.Context, from NodeID, request []byte) (reply []byte, err error)) {
	e.handlers[k] = h
}

// HandleNotice gives notices of a kind to h: of one link one at a time and in order, of several at once. h keeps the payload if it
// likes, and must not wait. It is called before Run.
func (e *Endpoint) HandleNotice(k Kind, h func(l *Link, payload []byte)) { e.notices[k] = h }

// HandleDatagram gives raw datagrams to f, of one link one at a time. f keeps the payload if it likes, must not wait, and must not
// call Import. It is called before Run.
func (e *Endpoint) HandleDatagram(f func(l *Link, payload []byte)) { e.datagrams = f }

// Watch tells f of links that come up, before their first notice, and go down, after their last. Of one node the old link goes down before the new
// one comes up. f must not wait. It is called before Run.
func (e *Endpoint) Watch(f func(l *Link, up bool)) { e.watchers = append(e.watchers, f) }

// Addresses returns where the endpoint listens, in the order of Config.Listen.
func (e *Endpoint) Addresses() []netip.AddrPort {
	a := make([]netip.AddrPort, len(e.ports))
	for i, p := range e.ports {
		a[i] = p.local
	}
	return a
}

// Run serves until ctx ends, which is no error, and then closes everything. It is called once.
func (e *Endpoint) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	err := e.serve(ctx)
	close(e.stopped)
	cancel()
	e.tasks.Wait()
	for _, p := range e.ports {
		_ = p.transport.Close()
		_ = p.shield.Close()
	}
	e.compressor.close()
	return err
}

func (e *Endpoint) serve(ctx context.Context) error {
	for _, p := range e.ports {
		ln, err := p.transport.Listen(e.tlsConfig(""), e.quic)
		if err != nil {
			return fmt.Errorf("listen for links on %s: %w", p.local, err)
		}
		e.tasks.Go(func() { e.accept(ctx, p, ln) })
	}
	tick := time.NewTicker(tickPeriod)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case d := <-e.dials:
			e.tasks.Go(func() { e.dialOut(ctx, d) })
		case <-tick.C:
			now := time.Now()
			for _, l := range e.Links() {
				l.tick(now)
			}
		}
	}
}

// member returns what is kept of a node, nil if it is no member. The endpoint is locked.
func (e *Endpoint) member(id NodeID) *member {
	m := e.members[id]
	if m == nil && id != e.cfg.Self && e.cfg.Resolve(id) != nil {
		m = &member{accepts: rate.NewLimiter(acceptRate, acceptBurst), carriers: rate.NewLimiter(acceptRate, acceptBurst)}
		e.members[id] = m
	}
	return m
}

// Link returns the link to a member, and makes it if there is none. Whoever asks meanwhile gets the same.
func (e *Endpoint) Link(ctx context.Context, to NodeID) (*Link, error) {
	for {
		l, d, err := e.find(to)
		if err != nil {
			return nil, fmt.Errorf("link to %s: %w", to, err)
		}
		if l != nil {
			select {
			case <-l.ready:
				l.use()
				return l, nil
			case <-l.done:
				continue
			case <-ctx.Done():
				return nil, fmt.Errorf("link to %s: %w", to, context.Cause(ctx))
			}
		}
		if d.mine() {
			select {
			case e.dials <- d:
			case <-e.stopped:
				e.settle(d, ErrClosed)
			case <-ctx.Done():
				e.settle(d, context.Cause(ctx))
			}
		}
		select {
		case <-d.done:
			if d.err != nil {
				return nil, fmt.Errorf("link to %s: %w", to, d.err)
			}
		case <-ctx.Done():
			return nil, fmt.Errorf("link to %s: %w", to, context.Cause(ctx))
		}
	}
}

// find returns the link to a node, or the dial that is to become it.
func (e *Endpoint) find(to NodeID) (*Link, *dial, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	m := e.member(to)
	if m == nil {
		return nil, nil, errNotMember
	}
	if m.link != nil && !m.link.closed() {
		return m.link, nil, nil
	}
	if m.dial == nil {
		if time.Since(m.failed) < redialTime {
			return nil, nil, m.failure
		}
		m.dial = newDial(to)
	}
	return nil, m.dial, nil
}

// Call asks a node, which may be this one; see [Link.Call].
func (e *Endpoint) Call(ctx context.Context, to NodeID, k Kind, request []byte) ([]byte, error) {
	if to == e.cfg.Self {
		reply, err := e.handle(ctx, to, k, request)
		if err != nil {
			return nil, remoteError(err)
		}
		return reply, nil
	}
	l, err := e.Link(ctx, to)
	if err != nil {
		return nil, err
	}
	return l.Call(ctx, k, request)
}

// Links returns the links that are up.
func (e *Endpoint) Links() []*Link {
	e.mu.Lock()
	defer e.mu.Unlock()
	links := make([]*Link, 0, len(e.members))
	for _, m := range e.members {
		if m.link != nil && m.link.up() {
			links = append(links, m.link)
		}
	}
	return links
}

// Drop ends what there is with a node that is no member any more. Resolve has to say so first.
func (e *Endpoint) Drop(id NodeID) {
	var d *dial
	var l *Link
	e.mu.Lock()
	if m := e.members[id]; m != nil {
		d, l = m.dial, m.link
	}
	delete(e.members, id)
	e.mu.Unlock()
	if d != nil {
		e.settle(d, errNotMember)
	}
	if l != nil {
		l.close(codeNotMember)
	}
}

// tell tells the watchers. A fault of one is not the others'.
func (e *Endpoint) tell(l *Link, up bool) {
	for _, f := range e.watchers {
		_ = e.guard("link watcher", func() { f(l, up) })
	}
}

// guard calls f, which is somebody else's, and survives its panic.
func (e *Endpoint) guard(what string, f func()) (err error) {
	defer func() {
		if r := recover(); r != nil {
			e.counters.handlerPanics.Add(1)
			e.log.Error("handler panicked", "what", what, "reason", r)
			err = errPanicked
		}
	}()
	f()
	return nil
}

var errPanicked = errors.New("handler panicked")
