package mesh

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"cardea/mesh/member"
	"cardea/mesh/post"
	"cardea/mesh/pull"
	"cardea/mesh/room"
	"cardea/mesh/route"
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
	// Far is the part of the media plane that streams and data channels of other nodes come to.
	Far relay.Far
	// Store keeps permanent rooms.
	Store room.Store
	Log   *slog.Logger
}

// Mesh is this node's part of the mesh. It is safe for concurrent use.
type Mesh struct {
	cluster *member.Cluster
	links   *link.Endpoint
	rooms   *room.Rooms
	table   *route.Table
	puller  *pull.Puller
	post    *post.Post
	log     *slog.Logger

	changed chan struct{} // has a token when membership has changed
	touched chan struct{} // has a token when a link has come or gone

	mu      sync.RWMutex
	live    map[link.NodeID]*link.Link
	dialing map[link.NodeID]struct{}
	dials   sync.WaitGroup
	quit    context.CancelFunc // of dials; nil before Run
	serving context.Context    //nolint:containedctx // bounds the dials that notices begin
}

// New makes this node's part of the mesh and opens its links' ports. [Mesh.Run] must follow, which closes them.
func New(cfg Config) (*Mesh, error) {
	m := &Mesh{
		cluster: cfg.Cluster, log: cfg.Log, changed: make(chan struct{}, 1), touched: make(chan struct{}, 1),
		live: make(map[link.NodeID]*link.Link), dialing: make(map[link.NodeID]struct{}),
	}
	self := cfg.Cluster.Self()
	m.table = route.New(self.ID)
	var err error
	m.links, err = link.Listen(link.Config{
		Self: self.ID, Listen: cfg.Listen, TLS: cfg.Cluster.TLS(), Identify: cfg.Cluster.Identify, Resolve: cfg.Cluster.Resolve,
		Version: self.Version, Background: []link.Kind{route.KindRow}, Clock: link.Clock{Now: cfg.Far.Now, NTP: cfg.Far.NTP}, NewOutbox: cfg.Far.NewOutbox, Log: cfg.Log,
	})
	if err != nil {
		return nil, fmt.Errorf("links: %w", err)
	}
	m.rooms = room.New(room.Config{Self: self.ID, Call: m.links.Call, Notify: m.notify, Store: cfg.Store, Log: cfg.Log})
	m.puller = pull.New(pull.Config{Self: self.ID, Endpoint: m.links, Far: cfg.Far, Home: m.home, Table: m.table, Log: cfg.Log})
	m.post, err = post.New(post.Config{
		Self: self.ID, Send: m.send, Next: m.next, Member: m.known, Home: m.home, Channels: cfg.Far.Channels, Log: cfg.Log,
	})
	if err != nil {
		return nil, err
	}
	m.handle()
	return m, nil
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
	m.links.HandleDatagram(func(l *link.Link, payload []byte) { m.post.Received(l.Peer(), payload) })
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
	m.follow()
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
	run("streams", ctx, m.puller.Run)
	run("messages", ctx, m.post.Run)
	wait.Go(func() { m.tend(ctx) })
	<-ctx.Done()
	wait.Wait()
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
	over, cancel := context.WithCancel(context.Background())
	cancel()
	_ = m.links.Run(over)
	m.cluster.Close()
}

// Rooms returns the rooms of the mesh.
func (m *Mesh) Rooms() *room.Rooms { return m.rooms }

// linked keeps the links that are up where notices find them at once.
func (m *Mesh) linked(l *link.Link, up bool) {
	m.mu.Lock()
	if up {
		m.live[l.Peer()] = l
	} else if m.live[l.Peer()] == l {
		delete(m.live, l.Peer())
	}
	m.mu.Unlock()
	m.rooms.LinkChanged(l.Peer(), up)
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
		m.mu.Unlock()
		if err != nil {
			m.log.Debug("no link", "peer", id, "error", err)
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
