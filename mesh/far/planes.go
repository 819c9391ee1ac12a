package far

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"cardea/relay/link"
	"cardea/relay/plane"
)

// Bounds and times of [Planes].
const (
	mergedEvents = 1 << 14 // kept for this node's signaling
	maxTries     = 3       // media nodes tried for a new peer
	maxAsked     = 16      // media nodes asked for what is kept of a session
	maxFound     = 1 << 14 // peers found and not adopted yet
	foundTime    = time.Minute
	idleTime     = time.Minute // a media node without peers of ours is asked for events so long
)

// Wish is what a media node is chosen for.
type Wish struct {
	Options plane.PeerOptions
	// Beside is the node where most other peers of the session are, "" when it has none: the place to be, unless it drains.
	Beside link.NodeID
	// Not are the nodes that refused the peer just now.
	Not []link.NodeID
}

// Config is what [Planes] are made of.
type Config struct {
	Self link.NodeID
	// Local is the media plane of this node, [Server.Local]; nil when it has none.
	Local plane.Plane
	// Call asks another node, as link.Endpoint.Call does.
	Call func(ctx context.Context, to link.NodeID, k link.Kind, request []byte) ([]byte, error)
	// Choose names the media node for a new peer, "" when there is none; it must not wait. nil chooses this node.
	Choose func(ctx context.Context, w Wish) link.NodeID
	// Placed is told at which nodes a session has peers, whenever that changes, with a lock held: it must not wait. It and
	// Places, which finds that again after this process is gone, may be nil.
	Placed func(session string, at []link.NodeID)
	Places func(ctx context.Context, session string) []link.NodeID
	Log    *slog.Logger // nil means slog.Default
}

// Planes is the media plane of the whole mesh as this node's signaling sees it. Its methods are safe for concurrent use.
//
// Calls for a peer go where the peer is. Keyframe goes to the node where a peer of ours publishes the stream, else to one
// where a peer of ours is sent it, which passes it on towards the publisher. Forward goes to the node where a peer of ours
// publishes the stream: that is where the plugin that owns the publisher is asked for it.
type Planes struct {
	cfg  Config
	log  *eventLog
	wake chan struct{} // a seat wants to be asked for events

	mu     sync.Mutex
	seats  map[link.NodeID]*seat      // guarded by mu
	places *places                    // guarded by mu
	found  map[plane.PeerID]discovery // guarded by mu
	live   map[link.NodeID]bool       // guarded by mu; nil until known
}

var _ plane.Plane = (*Planes)(nil)

// seat is a media node with peers of ours.
type seat struct {
	node  link.NodeID
	plane plane.Plane
	stop  context.CancelFunc // guarded by Planes.mu; nil until events are asked for
	gone  bool               // guarded by Planes.mu: nothing is asked of it any more
	used  time.Time          // guarded by Planes.mu: when it last had peers
	left  []plane.PeerID     // guarded by Planes.mu: peers that may be there and that nobody needs
}

// discovery is a peer with something kept beside it.
type discovery struct {
	node    link.NodeID
	session string
	at      time.Time
}

// New makes the planes. [Planes.Run] must run for events to arrive.
func New(cfg Config) *Planes {
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	if cfg.Choose == nil {
		cfg.Choose = func(context.Context, Wish) link.NodeID { return cfg.Self }
	}
	return &Planes{
		cfg: cfg, log: newEventLog(mergedEvents), wake: make(chan struct{}, 1), seats: make(map[link.NodeID]*seat),
		places: newPlaces(), found: make(map[plane.PeerID]discovery),
	}
}

// SetNodes says which nodes there are. Peers at others are gone: their EventDown comes next.
func (p *Planes) SetNodes(live []link.NodeID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.live = make(map[link.NodeID]bool, len(live))
	for _, id := range live {
		p.live[id] = true
	}
	for id, s := range p.seats {
		if id != p.cfg.Self && !p.live[id] {
			p.leave(s)
		}
	}
}

// leave gives a node up. Called with mu held.
func (p *Planes) leave(s *seat) {
	s.gone = true
	if s.stop != nil {
		s.stop()
	}
	delete(p.seats, s.node)
	lost := p.places.nodes[s.node]
	if len(lost) == 0 {
		return
	}
	p.cfg.Log.Warn("media node is gone", "media_node", s.node, "peers", len(lost))
	for id := range lost {
		p.forget(id)
		p.log.add(plane.Event{
			Peer: id, Type: plane.EventDown, Reason: "ICE failed", Substream: -1, Temporal: -1, SpatialLayer: -1, TemporalSVC: -1,
		})
	}
}

// place puts a peer at a node, and forget takes it away. Called with mu held.
func (p *Planes) place(id plane.PeerID, node link.NodeID, session string) {
	if p.places.add(id, node, session) {
		p.placed(session)
	}
}

func (p *Planes) forget(id plane.PeerID) {
	at := p.places.peers[id]
	if at == nil {
		return
	}
	session := at.session
	if p.places.remove(id) {
		p.placed(session)
	}
}

func (p *Planes) placed(session string) {
	if p.cfg.Placed != nil {
		p.cfg.Placed(session, p.places.session(session))
	}
}

// Session returns the nodes where a session has peers, the one with most of them first.
func (p *Planes) Session(name string) []link.NodeID {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.places.session(name)
}

// seat finds or makes the seat of a node; nil when there can be none. Called with mu held.
func (p *Planes) seat(node link.NodeID) *seat {
	if s := p.seats[node]; s != nil {
		return s
	}
	s := &seat{node: node, used: time.Now()}
	switch {
	case node == p.cfg.Self:
		s.plane = p.cfg.Local
	case p.cfg.Call != nil && (p.live == nil || p.live[node]):
		s.plane = newClient(node, p.cfg.Call)
	}
	if node == "" || s.plane == nil {
		return nil
	}
	p.seats[node] = s
	select {
	case p.wake <- struct{}{}:
	default:
	}
	return s
}

// at returns the plane where a peer is.
func (p *Planes) at(id plane.PeerID) (plane.Plane, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if at := p.places.peers[id]; at != nil {
		if s := p.seats[at.node]; s != nil {
			return s.plane, nil
		}
	}
	return nil, fmt.Errorf("%w: %s", plane.ErrNoPeer, id)
}

// choose puts a new peer somewhere, or finds where it is.
func (p *Planes) choose(ctx context.Context, id plane.PeerID, w Wish) (*seat, error) {
	p.mu.Lock()
	if at := p.places.peers[id]; at != nil {
		defer p.mu.Unlock()
		return p.seats[at.node], nil
	}
	for _, node := range p.places.session(w.Options.Session) {
		if !slices.Contains(w.Not, node) {
			w.Beside = node
			break
		}
	}
	p.mu.Unlock()
	node := p.cfg.Choose(ctx, w)
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.seat(node)
	if s == nil || slices.Contains(w.Not, node) {
		return nil, fmt.Errorf("%w: no media node for it", plane.ErrOverloaded)
	}
	p.place(id, node, w.Options.Session)
	return s, nil
}

// Open implements [plane.Plane]. A node that refuses the peer or does not answer is followed by another.
func (p *Planes) Open(ctx context.Context, id plane.PeerID, opts plane.PeerOptions) (plane.Transport, error) {
	w := Wish{Options: opts}
	var failed error
	for range maxTries {
		s, err := p.choose(ctx, id, w)
		if err != nil {
			return plane.Transport{}, errors.Join(failed, err)
		}
		t, err := s.plane.Open(ctx, id, opts)
		unknown := errors.Is(err, ErrUnreachable)
		if ctx.Err() != nil || !unknown && !errors.Is(err, plane.ErrOverloaded) {
			return t, err
		}
		failed = err
		p.cfg.Log.Warn("media node does not take a peer", "media_node", s.node, "error", err)
		p.mu.Lock()
		p.forget(id)
		if unknown && !s.gone {
			s.abandon(id)
		}
		p.mu.Unlock()
		w.Not = append(w.Not, s.node)
		w.Beside = ""
	}
	return plane.Transport{}, failed
}

// Restart implements [plane.Plane].
func (p *Planes) Restart(ctx context.Context, id plane.PeerID, generation uint32) (plane.Transport, error) {
	at, err := p.at(id)
	if err != nil {
		return plane.Transport{}, err
	}
	return at.Restart(ctx, id, generation)
}

// Negotiate implements [plane.Plane].
func (p *Planes) Negotiate(ctx context.Context, id plane.PeerID, s plane.Session) error {
	at, err := p.at(id)
	if err != nil {
		return err
	}
	return at.Negotiate(ctx, id, s)
}

// AddCandidates implements [plane.Plane].
func (p *Planes) AddCandidates(ctx context.Context, id plane.PeerID, c []plane.Candidate, complete bool) error {
	at, err := p.at(id)
	if err != nil {
		return err
	}
	return at.AddCandidates(ctx, id, c, complete)
}

// Publish implements [plane.Plane].
func (p *Planes) Publish(ctx context.Context, id plane.PeerID, pubs []plane.Publication) error {
	at, err := p.at(id)
	if err != nil {
		return err
	}
	streams := make([]plane.StreamID, len(pubs))
	for i := range pubs {
		streams[i] = pubs[i].Stream
	}
	p.mu.Lock()
	p.places.publish(id, streams)
	p.mu.Unlock()
	return at.Publish(ctx, id, pubs)
}

// Subscribe implements [plane.Plane].
func (p *Planes) Subscribe(ctx context.Context, id plane.PeerID, subs []plane.Subscription) error {
	at, err := p.at(id)
	if err != nil {
		return err
	}
	streams := make([]plane.StreamID, len(subs))
	for i := range subs {
		streams[i] = subs[i].Stream
	}
	p.mu.Lock()
	p.places.subscribe(id, streams)
	p.mu.Unlock()
	return at.Subscribe(ctx, id, subs)
}

// Stats implements [plane.Plane].
func (p *Planes) Stats(ctx context.Context, id plane.PeerID) (plane.PeerStats, error) {
	at, err := p.at(id)
	if err != nil {
		return plane.PeerStats{}, err
	}
	return at.Stats(ctx, id)
}

// Keep implements [plane.Plane].
func (p *Planes) Keep(ctx context.Context, id plane.PeerID, version uint64, snapshot []byte) error {
	at, err := p.at(id)
	if err != nil {
		return err
	}
	return at.Keep(ctx, id, version, snapshot)
}

// Close implements [plane.Plane]. An unknown peer is closed already.
func (p *Planes) Close(ctx context.Context, id plane.PeerID) error {
	at, err := p.at(id)
	if err != nil {
		return nil
	}
	if err := at.Close(ctx, id); err != nil && !errors.Is(err, plane.ErrNoPeer) {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.forget(id)
	return nil
}

// Events implements [plane.Plane].
func (p *Planes) Events(ctx context.Context, after uint64) ([]plane.Event, error) {
	return p.log.after(ctx, after)
}
