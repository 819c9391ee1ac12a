package janustest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	"cardea/relay/plane"
)

// Plane is a media plane in memory: it remembers what it was told and reports what the test tells it to. The zero
// value is ready. Safe for concurrent use.
type Plane struct {
	mu         sync.Mutex
	peers      map[plane.PeerID]*Peer
	order      []plane.PeerID
	forwarders map[string]plane.Forwarder
	keyframes  []plane.StreamID
	calls      []string
	faults     map[string]error
	hooks      map[string]func()
	events     []plane.Event
	number     uint64
	lost       uint64 // events up to this number are not kept any more
	wake       chan struct{}
}

var _ plane.Plane = (*Plane)(nil)

// Peer is what a [Plane] remembers of a peer.
type Peer struct {
	ID            plane.PeerID
	Options       plane.PeerOptions
	Generation    uint32          // ICE restarts
	Session       plane.Session   // the last one negotiated
	Sessions      []plane.Session // all of them
	Candidates    []plane.Candidate
	Complete      bool
	Publications  []plane.Publication
	Subscriptions []plane.Subscription
	Stats         plane.PeerStats
	Version       uint64 // of the snapshot kept
	Snapshot      []byte
	Epoch         uint64 // of the last adoption
	Closed        bool
}

// Fail makes all further calls of a method ("Open", "Negotiate", ...) return err; nil lets them succeed again.
func (p *Plane) Fail(method string, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.faults == nil {
		p.faults = map[string]error{}
	}
	p.faults[method] = err
}

// Hook calls f at the start of each call of a method, without a lock held, so that f may block.
func (p *Plane) Hook(method string, f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.hooks == nil {
		p.hooks = map[string]func(){}
	}
	p.hooks[method] = f
}

// Emit reports an event; its number is filled in.
func (p *Plane) Emit(e plane.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.number++
	e.Number = p.number
	p.events = append(p.events, e)
	p.signal()
}

// Up reports that a peer is up.
func (p *Plane) Up(id plane.PeerID) { p.Emit(Event(id, plane.EventUp)) }

// Down reports that a peer is gone.
func (p *Plane) Down(id plane.PeerID, reason string) {
	e := Event(id, plane.EventDown)
	e.Reason = reason
	p.Emit(e)
}

// Event makes an event without layers, to be filled in further.
func Event(id plane.PeerID, t plane.EventType) plane.Event {
	return plane.Event{Peer: id, Type: t, Substream: -1, Temporal: -1, SpatialLayer: -1, TemporalSVC: -1}
}

// Lose makes the plane forget all events that were not taken yet, and n more: whoever asks next is told ErrEventsLost.
func (p *Plane) Lose(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.number += uint64(n)
	p.lost = p.number
	p.events = nil
	p.signal()
}

func (p *Plane) signal() {
	if p.wake != nil {
		close(p.wake)
		p.wake = nil
	}
}

// Peer returns a copy of what is known of a peer; false if there never was one of that id.
func (p *Plane) Peer(id plane.PeerID) (Peer, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	peer, ok := p.peers[id]
	if !ok {
		return Peer{}, false
	}
	return peer.clone(), true
}

// Peers returns copies of all peers, closed ones too, in the order in which they were opened.
func (p *Plane) Peers() []Peer {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := make([]Peer, 0, len(p.order))
	for _, id := range p.order {
		l = append(l, p.peers[id].clone())
	}
	return l
}

func (p *Peer) clone() Peer {
	c := *p
	c.Sessions = slices.Clone(p.Sessions)
	c.Candidates = slices.Clone(p.Candidates)
	c.Publications = slices.Clone(p.Publications)
	c.Subscriptions = slices.Clone(p.Subscriptions)
	return c
}

// SetStats sets what Stats returns of a peer.
func (p *Plane) SetStats(id plane.PeerID, st plane.PeerStats) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if peer := p.peers[id]; peer != nil {
		peer.Stats = st
	}
}

// Calls returns all calls so far, but for Events: "Open alice", "Negotiate alice", ...
func (p *Plane) Calls() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.calls)
}

// Keyframes returns the streams keyframes were asked of.
func (p *Plane) Keyframes() []plane.StreamID {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.keyframes)
}

// Forwarders returns the forwarders that run, by id.
func (p *Plane) Forwarders() map[string]plane.Forwarder {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := make(map[string]plane.Forwarder, len(p.forwarders))
	maps.Copy(l, p.forwarders)
	return l
}

// call notes a call and returns the fault the test asked for. It returns with mu held.
func (p *Plane) call(ctx context.Context, method string, subject any) error {
	p.mu.Lock()
	if f := p.hooks[method]; f != nil {
		p.mu.Unlock()
		f()
		p.mu.Lock()
	}
	p.calls = append(p.calls, fmt.Sprint(method, " ", subject))
	if err := ctx.Err(); err != nil {
		return err
	}
	return p.faults[method]
}

// with calls f with an open peer.
func (p *Plane) with(ctx context.Context, method string, id plane.PeerID, f func(peer *Peer) error) error {
	err := p.call(ctx, method, id)
	defer p.mu.Unlock()
	if err != nil {
		return err
	}
	peer := p.peers[id]
	if peer == nil || peer.Closed {
		return plane.ErrNoPeer
	}
	return f(peer)
}

// Open implements [plane.Plane].
func (p *Plane) Open(ctx context.Context, id plane.PeerID, opts plane.PeerOptions) (plane.Transport, error) {
	err := p.call(ctx, "Open", id)
	defer p.mu.Unlock()
	if err != nil {
		return plane.Transport{}, err
	}
	peer := p.peers[id]
	if peer == nil {
		if p.peers == nil {
			p.peers = map[plane.PeerID]*Peer{}
		}
		peer = &Peer{ID: id, Options: opts}
		p.peers[id] = peer
		p.order = append(p.order, id)
	}
	return peer.transport(), nil
}

// Restart implements [plane.Plane].
func (p *Plane) Restart(ctx context.Context, id plane.PeerID, generation uint32) (t plane.Transport, err error) {
	err = p.with(ctx, "Restart", id, func(peer *Peer) error {
		peer.Generation = max(peer.Generation, generation)
		t = peer.transport()
		return nil
	})
	return t, err
}

// transport is the node's end; the ufrag tells the generation.
func (p *Peer) transport() plane.Transport {
	return plane.Transport{
		Ufrag: fmt.Sprintf("node%d", p.Generation), Pwd: "nodepasswordnodepassword", Lite: true,
		Fingerprints: []plane.Fingerprint{{Algorithm: "sha-256", Value: fingerprint}},
		Candidates:   []plane.Candidate{{Foundation: "1", Component: 1, Protocol: "udp", Priority: 2130706431, Address: "192.0.2.1", Port: 3478, Type: "host"}},
		Complete:     true,
	}
}

// Negotiate implements [plane.Plane].
func (p *Plane) Negotiate(ctx context.Context, id plane.PeerID, s plane.Session) error {
	return p.with(ctx, "Negotiate", id, func(peer *Peer) error {
		switch {
		case s.Version < peer.Session.Version:
			return plane.ErrStale
		case s.Setup == plane.ActPass:
			return fmt.Errorf("%w: no DTLS role", plane.ErrInvalid)
		}
		peer.Session = s
		peer.Sessions = append(peer.Sessions, s)
		return nil
	})
}

// AddCandidates implements [plane.Plane].
func (p *Plane) AddCandidates(ctx context.Context, id plane.PeerID, c []plane.Candidate, complete bool) error {
	return p.with(ctx, "AddCandidates", id, func(peer *Peer) error {
		peer.Candidates = append(peer.Candidates, c...)
		peer.Complete = peer.Complete || complete
		return nil
	})
}

// Publish implements [plane.Plane].
func (p *Plane) Publish(ctx context.Context, id plane.PeerID, l []plane.Publication) error {
	return p.with(ctx, "Publish", id, func(peer *Peer) error {
		peer.Publications = slices.Clone(l)
		return nil
	})
}

// Subscribe implements [plane.Plane].
func (p *Plane) Subscribe(ctx context.Context, id plane.PeerID, l []plane.Subscription) error {
	return p.with(ctx, "Subscribe", id, func(peer *Peer) error {
		peer.Subscriptions = slices.Clone(l)
		return nil
	})
}

// Keyframe implements [plane.Plane].
func (p *Plane) Keyframe(ctx context.Context, s plane.StreamID) error {
	err := p.call(ctx, "Keyframe", s)
	defer p.mu.Unlock()
	if err == nil {
		p.keyframes = append(p.keyframes, s)
	}
	return err
}

// RTCPPort is the port that takes the RTCP of forwarders' receivers.
const RTCPPort = 3478

// Forward implements [plane.Plane].
func (p *Plane) Forward(ctx context.Context, f plane.Forwarder) (rtcpPort uint16, err error) {
	err = p.call(ctx, "Forward", f.ID)
	defer p.mu.Unlock()
	if err != nil {
		return 0, err
	}
	if p.forwarders == nil {
		p.forwarders = map[string]plane.Forwarder{}
	}
	p.forwarders[f.ID] = f
	if f.RTCPPort != 0 {
		rtcpPort = RTCPPort
	}
	return rtcpPort, nil
}

// StopForward implements [plane.Plane].
func (p *Plane) StopForward(ctx context.Context, id string) error {
	err := p.call(ctx, "StopForward", id)
	defer p.mu.Unlock()
	if err == nil {
		delete(p.forwarders, id)
	}
	return err
}

// Stats implements [plane.Plane].
func (p *Plane) Stats(ctx context.Context, id plane.PeerID) (st plane.PeerStats, err error) {
	err = p.with(ctx, "Stats", id, func(peer *Peer) error {
		st = peer.Stats
		return nil
	})
	return st, err
}

// Keep implements [plane.Plane].
func (p *Plane) Keep(ctx context.Context, id plane.PeerID, version uint64, snapshot []byte) error {
	return p.with(ctx, "Keep", id, func(peer *Peer) error {
		if version < peer.Version {
			return plane.ErrStale
		}
		peer.Version, peer.Snapshot = version, slices.Clone(snapshot)
		return nil
	})
}

// Kept implements [plane.Plane].
func (p *Plane) Kept(ctx context.Context, session string) ([]plane.Kept, error) {
	err := p.call(ctx, "Kept", session)
	defer p.mu.Unlock()
	if err != nil {
		return nil, err
	}
	var l []plane.Kept
	for _, id := range p.order {
		if peer := p.peers[id]; !peer.Closed && peer.Options.Session == session && peer.Version > 0 {
			l = append(l, plane.Kept{Peer: id, Version: peer.Version, Snapshot: slices.Clone(peer.Snapshot)})
		}
	}
	return l, nil
}

// Adopt implements [plane.Plane].
func (p *Plane) Adopt(ctx context.Context, id plane.PeerID, epoch uint64) error {
	return p.with(ctx, "Adopt", id, func(peer *Peer) error {
		if epoch < peer.Epoch {
			return plane.ErrStale
		}
		peer.Epoch = epoch
		return nil
	})
}

// Close implements [plane.Plane].
func (p *Plane) Close(ctx context.Context, id plane.PeerID) error {
	return p.with(ctx, "Close", id, func(peer *Peer) error {
		peer.Closed = true
		peer.Publications, peer.Subscriptions = nil, nil
		return nil
	})
}

// Events implements [plane.Plane].
func (p *Plane) Events(ctx context.Context, after uint64) ([]plane.Event, error) {
	for {
		p.mu.Lock()
		if err := p.faults["Events"]; err != nil {
			p.mu.Unlock()
			return nil, err
		}
		if after < p.lost {
			next := p.lost
			p.mu.Unlock()
			return []plane.Event{{Number: next}}, plane.ErrEventsLost
		}
		if i := slices.IndexFunc(p.events, func(e plane.Event) bool { return e.Number > after }); i >= 0 {
			l := slices.Clone(p.events[i:])
			p.mu.Unlock()
			return l, nil
		}
		if p.wake == nil {
			p.wake = make(chan struct{})
		}
		wake := p.wake
		p.mu.Unlock()
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-wake:
		}
	}
}
