package mesh

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"cardea/mesh/far"
	"cardea/mesh/member"
	"cardea/mesh/post"
	"cardea/mesh/pull"
	"cardea/mesh/room"
	"cardea/mesh/route"
	"cardea/mesh/session"
	"cardea/relay"
	"cardea/relay/link"
	"cardea/relay/shield/queue"
)

// ErrNoLink says that there is no link to a node just now.
var ErrNoLink = errors.New("no link to the node")

// Config is what a mesh is made of.
type Config struct {
	// Cluster is this node's membership, opened and not yet run: [Mesh.Run] runs it.
	Cluster *member.Cluster
	// Listen are the UDP addresses of links.
	Listen []netip.AddrPort
	// Media is this node's media plane, nil if it has none.
	Media *relay.Relay
	// Signaling says that this node serves clients' sessions: [Mesh.Plane] is what they have their media by.
	Signaling bool
	// Grace is how long media outlives the signaling that asked for it: the time clients have to claim their sessions and some more.
	Grace time.Duration
	// Store keeps permanent rooms.
	Store room.Store
	Log   *slog.Logger
}

// Mesh is this node's part of the mesh. It is safe for concurrent use.
type Mesh struct {
	self     link.NodeID
	cluster  *member.Cluster
	links    *link.Endpoint
	rooms    *room.Rooms
	sessions *session.Sessions
	table    *route.Table
	log      *slog.Logger

	// Of nodes with media; else nil.
	puller *pull.Puller
	post   *post.Post
	server *far.Server

	planes *far.Planes // of nodes with signaling; else nil
	homes  homes

	changed chan struct{} // has a token when membership has changed
	touched chan struct{} // has a token when a link has come or gone
	met     chan struct{} // closed when this node is not alone any more, or is meant to be

	mu      sync.RWMutex
	live    map[link.NodeID]*link.Link
	dialing map[link.NodeID]struct{}
	failed  map[link.NodeID]time.Time // when a link could last not be made
	dials   sync.WaitGroup
	quit    context.CancelFunc // of dials; nil before Run
	serving context.Context    //nolint:containedctx // bounds the dials that notices begin
}

// New makes this node's part of the mesh and opens its links' ports. [Mesh.Run] must follow, which closes them.
func New(cfg Config) (*Mesh, error) {
	m := &Mesh{
		self: cfg.Cluster.Self().ID, cluster: cfg.Cluster, log: cfg.Log, changed: make(chan struct{}, 1), touched: make(chan struct{}, 1), met: make(chan struct{}),
		live: make(map[link.NodeID]*link.Link), dialing: make(map[link.NodeID]struct{}), failed: make(map[link.NodeID]time.Time),
	}
	m.homes.init()
	m.table = route.New(m.self)
	lc := link.Config{
		Self: m.self, Listen: cfg.Listen, TLS: cfg.Cluster.TLS(), Identify: cfg.Cluster.Identify, Resolve: cfg.Cluster.Resolve,
		Version: cfg.Cluster.Self().Version, Background: []link.Kind{route.KindRow}, Clock: ownClock(), Log: cfg.Log,
	}
	var media relay.Far
	if cfg.Media != nil {
		media = cfg.Media.Far()
		lc.Clock, lc.NewOutbox = link.Clock{Now: media.Now, NTP: media.NTP}, media.NewOutbox
	}
	var err error
	if m.links, err = link.Listen(lc); err != nil {
		return nil, fmt.Errorf("links: %w", err)
	}
	m.rooms = room.New(room.Config{Self: m.self, Call: m.links.Call, Notify: m.notify, Store: cfg.Store, Log: cfg.Log})
	if cfg.Media != nil {
		if err := m.carry(cfg, media); err != nil {
			m.closeLinks()
			return nil, err
		}
	}
	m.serve(cfg)
	m.handle()
	return m, nil
}

// carry has this node's media plane take part.
func (m *Mesh) carry(cfg Config, media relay.Far) (err error) {
	m.puller = pull.New(pull.Config{Self: m.self, Endpoint: m.links, Far: media, Home: m.home, Table: m.table, Log: cfg.Log})
	m.post, err = post.New(post.Config{
		Self: m.self, Send: m.send, Next: m.next, Member: m.known, Home: m.home, Channels: media.Channels, Log: cfg.Log,
	})
	m.links.HandleDatagram(func(l *link.Link, payload []byte) { m.post.Received(l.Peer(), payload) })
	m.server = far.Serve(far.ServerConfig{Plane: cfg.Media, Handle: m.links.Handle, Grace: cfg.Grace, Log: cfg.Log})
	return err
}

// handle has everything that comes over links reach whom it is for.
func (m *Mesh) handle() {
	for _, k := range room.Kinds() {
		m.links.Handle(k, func(ctx context.Context, from link.NodeID, request []byte) ([]byte, error) {
			return m.rooms.HandleCall(ctx, from, k, request)
		})
	}
	m.links.HandleNotice(room.KindNotice, func(l *link.Link, payload []byte) { m.rooms.HandleNotice(l.Peer(), room.KindNotice, payload) })
	m.links.HandleNotice(route.KindRow, func(l *link.Link, payload []byte) {
		if err := m.table.Hear(l.Peer(), payload, time.Now()); err != nil {
			m.log.Debug("a node tells rubbish of its links", "peer", l.Peer(), "error", err)
		}
	})
	m.links.Watch(m.linked)
	m.cluster.Watch(func() { token(m.changed) })
}

// token puts a token into a channel that has room for one.
func token(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Run takes part in the mesh until ctx ends. It fails if another process has this node's identity.
func (m *Mesh) Run(ctx context.Context) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var wait sync.WaitGroup
	// The links outlast what is said over them, and membership the links: others must not take them for strangers'.
	linking, unlink := context.WithCancel(context.WithoutCancel(ctx))
	belonging, leave := context.WithCancel(context.WithoutCancel(ctx))
	run := func(name string, ctx context.Context, f func(context.Context) error) { //nolint:revive // the context is the service's
		wait.Go(func() {
			if err := f(ctx); err != nil {
				stop(fmt.Errorf("%s: %w", name, err))
			}
		})
	}
	m.mu.Lock()
	m.serving, m.quit = context.WithCancel(linking)
	m.mu.Unlock()
	var left, closed sync.WaitGroup
	left.Go(func() {
		if err := m.cluster.Run(belonging); err != nil {
			stop(fmt.Errorf("membership: %w", err))
		}
	})
	closed.Go(func() {
		if err := m.links.Run(linking); err != nil {
			stop(fmt.Errorf("links: %w", err))
		}
	})
	run("rooms", ctx, m.rooms.Run)
	run("sessions", ctx, m.sessions.Run)
	if m.puller != nil {
		run("streams", ctx, m.puller.Run)
		run("messages", ctx, m.post.Run)
		run("media of others", ctx, m.server.Run)
	}
	if m.planes != nil {
		run("media elsewhere", ctx, m.planes.Run)
	}
	wait.Go(func() { m.attend(ctx) })
	wait.Go(func() { m.tend(ctx) })
	<-ctx.Done()
	m.homes.sweep(time.Now(), true)
	wait.Wait()
	m.homes.work.Wait()
	m.quit()
	m.dials.Wait()
	leave()
	left.Wait()
	unlink()
	closed.Wait()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// Close releases what [New] took, the membership included, of a mesh that is never run.
func (m *Mesh) Close() {
	m.closeLinks()
	m.cluster.Close()
}

// closeLinks closes the ports of links that are never run.
func (m *Mesh) closeLinks() {
	over, cancel := context.WithCancel(context.Background())
	cancel()
	_ = m.links.Run(over)
}

// Rooms returns the rooms of the mesh.
func (m *Mesh) Rooms() *room.Rooms { return m.rooms }

// linked keeps the links that are up where notices find them at once.
func (m *Mesh) linked(l *link.Link, up bool) {
	m.mu.Lock()
	if up {
		m.live[l.Peer()] = l
		delete(m.failed, l.Peer())
	} else if m.live[l.Peer()] == l {
		delete(m.live, l.Peer())
	}
	m.mu.Unlock()
	m.rooms.LinkChanged(l.Peer(), up)
	m.sessions.LinkChanged(l.Peer(), up)
	token(m.touched)
}

// to returns the link to a node. If there is none, one is on its way when it returns.
func (m *Mesh) to(id link.NodeID) *link.Link {
	m.mu.RLock()
	l := m.live[id]
	m.mu.RUnlock()
	if l == nil {
		m.dial(id)
	}
	return l
}

// maxDials bounds the links that are on their way at a time.
const maxDials = 64

// dial begins to make a link, unless that is under way.
func (m *Mesh) dial(id link.NodeID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, under := m.dialing[id]; under || m.serving == nil || m.serving.Err() != nil || len(m.dialing) >= maxDials {
		return
	}
	ctx := m.serving
	m.dialing[id] = struct{}{}
	m.dials.Go(func() {
		_, err := m.links.Link(ctx, id)
		m.mu.Lock()
		delete(m.dialing, id)
		if err != nil {
			m.failed[id] = time.Now()
		}
		m.mu.Unlock()
		if err != nil {
			m.log.Debug("no link", "peer", id, "error", err)
			token(m.touched)
		}
	})
}

// notify sends a notice, if there is a link.
func (m *Mesh) notify(id link.NodeID, k link.Kind, payload []byte) error {
	l := m.to(id)
	if l == nil {
		return ErrNoLink
	}
	return l.Notify(k, payload)
}

// send sends a routed datagram to a neighbour, if there is a link. It is ordinary data to the link.
func (m *Mesh) send(id link.NodeID, datagram []byte) error {
	l := m.to(id)
	if l == nil {
		return ErrNoLink
	}
	return l.SendDatagram(queue.Data, datagram)
}

func (m *Mesh) next(to, avoid link.NodeID) (link.NodeID, bool) {
	if avoid == "" {
		return m.table.Next(to, time.Now())
	}
	return m.table.Next(to, time.Now(), avoid)
}

func (m *Mesh) known(id link.NodeID) bool {
	_, ok := m.cluster.Node(id)
	return ok
}
