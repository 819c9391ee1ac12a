package mesh

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"cardea/mesh/detour"
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
	// Nearest names, of the nodes that are able to have a client's media, one that is so much nearer to the client's address than the
	// one it would be at otherwise that it is better off there; "" if there is none. It must not wait. nil leaves media where it is.
	Nearest func(client netip.Addr, able []link.NodeID, otherwise link.NodeID) link.NodeID
	// Grace is how long media outlives the signaling that asked for it: the time clients have to claim their sessions and some more.
	Grace time.Duration
	// Store keeps permanent rooms.
	Store room.Store
	// Drain obeys a member that asks this node to drain, or this node itself; nil refuses.
	Drain func(ctx context.Context, from link.NodeID, o DrainOrder) (Drained, error)
	// Report adds to what operators are shown of this node; nil adds nothing.
	Report Reporter
	Log    *slog.Logger
}

// Mesh is this node's part of the mesh. It is safe for concurrent use.
type Mesh struct {
	self     link.NodeID
	cluster  *member.Cluster
	links    *link.Endpoint
	rooms    *room.Rooms
	sessions *session.Sessions
	table    *route.Table
	detours  *detour.Detours // of what rooms say
	log      *slog.Logger

	// Of nodes with media; else nil.
	puller *pull.Puller
	post   *post.Post
	server *far.Server

	planes  *far.Planes // of nodes with signaling; else nil
	nearest func(client netip.Addr, able []link.NodeID, otherwise link.NodeID) link.NodeID
	homes   homes

	changed chan struct{} // has a token when membership has changed
	touched chan struct{} // has a token when a link has come or gone
	met     chan struct{} // closed when this node is not alone any more, or is meant to be

	mu      sync.RWMutex
	live    map[link.NodeID]*link.Link
	dialing map[link.NodeID]time.Time // since when
	failed  map[link.NodeID]time.Time // when a link could last not be made
	around  map[link.NodeID]time.Time // when a node without a link last spoke by way of others
	dials   sync.WaitGroup
	quit    context.CancelFunc // of dials; nil before Run
	serving context.Context    //nolint:containedctx // bounds the dials that notices begin
}

// New makes this node's part of the mesh and opens its links' ports. [Mesh.Run] must follow, which closes them.
func New(cfg Config) (*Mesh, error) {
	m := &Mesh{
		self: cfg.Cluster.Self().ID, cluster: cfg.Cluster, log: cfg.Log, changed: make(chan struct{}, 1), touched: make(chan struct{}, 1), met: make(chan struct{}),
		live: make(map[link.NodeID]*link.Link), dialing: make(map[link.NodeID]time.Time), failed: make(map[link.NodeID]time.Time), around: make(map[link.NodeID]time.Time),
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
	m.rooms = room.New(room.Config{Self: m.self, Call: m.call, Notify: m.notify, Store: cfg.Store, Log: cfg.Log})
	m.detours = detour.New(detour.Config{
		Self: m.self, Sign: cfg.Cluster.Sign, Verify: cfg.Cluster.Verify, Next: m.next, Call: m.links.Call,
		Request: func(ctx context.Context, from link.NodeID, k link.Kind, request []byte) ([]byte, error) {
			m.roundabout(from)
			return m.rooms.HandleCall(ctx, from, k, request)
		},
		Notice: func(from link.NodeID, k link.Kind, payload []byte) {
			m.roundabout(from)
			m.rooms.HandleNotice(from, k, payload)
		},
		Failed: func(to link.NodeID) { m.rooms.LinkChanged(to, false) },
	})
	if cfg.Media != nil {
		if err := m.carry(cfg, media); err != nil {
			m.closeLinks()
			return nil, err
		}
	}
	m.serve(cfg)
	m.handle()
	m.handleDrain(cfg.Drain)
	m.handleReports(cfg.Report)
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
	m.links.Handle(detour.Kind, m.detours.HandleCall)
	m.links.HandleNotice(room.KindNotice, func(l *link.Link, payload []byte) { m.rooms.HandleNotice(l.Peer(), room.KindNotice, payload) })
	m.links.HandleNotice(route.KindRow, func(l *link.Link, payload []byte) {
		if err := m.table.Hear(l.Peer(), payload, time.Now()); err != nil {
			m.log.Debug("a node tells rubbish of its links", "peer", l.Peer(), "error", err)
		}
	})
	m.links.Watch(m.linked)
	m.cluster.Watch(func() { token(m.changed) })
	m.cluster.Vouch(func(id link.NodeID) bool {
		m.mu.RLock()
		l := m.live[id]
		m.mu.RUnlock()
		return l != nil && !l.Stalled() || m.table.Heard(id, time.Now())
	})
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
	run("detours", ctx, m.detours.Run)
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
	m.homes.end() // rooms, once they have stopped, answer nobody who waits
	wait.Wait()
	m.homes.work.Wait()
	m.mu.Lock()
	m.quit() // no dial begins any more
	m.mu.Unlock()
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
		delete(m.around, l.Peer())
	} else if m.live[l.Peer()] == l {
		delete(m.live, l.Peer())
		if l.Stalled() {
			m.failed[l.Peer()] = time.Now() // nothing comes that way, until a new link says otherwise
		}
	}
	m.mu.Unlock()
	if up && !m.known(l.Peer()) { // no member any more since it was let in, and follow may not have seen it
		m.links.Drop(l.Peer())
	}
	m.rooms.LinkChanged(l.Peer(), up)
	m.sessions.LinkChanged(l.Peer(), up)
	token(m.touched)
}

// linkedTo returns the nodes with a link, also where others have not been told of it yet.
func (m *Mesh) linkedTo() []link.NodeID {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return slices.Collect(maps.Keys(m.live))
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
	m.dialing[id] = time.Now()
	m.dials.Go(func() {
		_, err := m.links.Link(ctx, id)
		m.mu.Lock()
		delete(m.dialing, id)
		_, before := m.failed[id]
		failed := err != nil && m.live[id] == nil // the other node may have made one meanwhile
		if failed {
			m.failed[id] = time.Now()
		}
		m.mu.Unlock()
		if failed {
			m.log.Debug("no link", "peer", id, "error", err)
		}
		if failed && !before {
			token(m.touched)
		}
	})
}

// patience is how long a link may take to be made until what rooms say to the node goes by way of others. Most links across an ocean are there by
// then, and while rooms do not hear each other their participants' time runs out.
const patience = 400 * time.Millisecond

// reach returns the link to a node, nil if there is none, and whether the node is out of reach by it: nothing comes over it, or none could be
// made when it was last tried. If there is none, one is on its way.
func (m *Mesh) reach(id link.NodeID) (l *link.Link, cut bool) {
	if l = m.to(id); l != nil {
		return l, l.Stalled()
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	if _, failed := m.failed[id]; failed {
		return nil, true
	}
	if _, around := m.around[id]; around {
		return nil, true
	}
	since, dialing := m.dialing[id]
	return nil, dialing && time.Since(since) > patience
}

// roundabout notes that a node speaks to this one by way of others: it has no link that works, so it is answered in the same way, and this node need
// not find out for itself first. That is no news to others: its link may only take long to be made.
func (m *Mesh) roundabout(from link.NodeID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.live[from] == nil {
		m.around[from] = time.Now()
	}
}

// notify sends a notice, over the link that there is or, where it is cut, by way of other nodes.
func (m *Mesh) notify(id link.NodeID, k link.Kind, payload []byte) error {
	l, cut := m.reach(id)
	if cut {
		if err := m.detours.Notify(id, k, payload); err == nil || l == nil {
			return err
		}
	}
	if l == nil {
		return ErrNoLink
	}
	return l.Notify(k, payload)
}

// call asks a node, over the link to it or, where it is cut, by way of others.
func (m *Mesh) call(ctx context.Context, id link.NodeID, k link.Kind, request []byte) ([]byte, error) {
	if _, cut := m.reach(id); cut {
		if reply, err := m.detours.Call(ctx, id, k, request); !errors.Is(err, detour.ErrNoWay) {
			return reply, err
		}
	}
	return m.links.Call(ctx, id, k, request)
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
