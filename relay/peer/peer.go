package peer

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"cardea/relay/bwe"
	"cardea/relay/ice"
	"cardea/relay/plane"
	"cardea/relay/srtp"
)

const (
	// maxLines and maxSources bound what one client can make us keep.
	maxLines   = 256
	maxSources = 128
	// maxLayers is the number of simulcast encodings of one line; browsers send three.
	maxLayers = 3
	// defaultNoMedia is Janus's no_media_timer.
	defaultNoMedia = time.Second
)

// Peer is the server end of one client's WebRTC transport. All methods are safe for concurrent use.
type Peer struct {
	id   plane.PeerID
	env  *Env
	log  *slog.Logger
	opts plane.PeerOptions
	wire *wire

	// Read on the packet path without a lock.
	dest      atomic.Pointer[ice.Path]  // where packets go; nil before ICE has found a path
	out       atomic.Pointer[srtp.Keys] // nil before DTLS is done
	transport atomic.Uint32             // the last transport-wide sequence number (draft-holmer-rmcat-transport-wide-cc-extensions-01)
	estimator *bwe.Estimator            // its Sent remembers packets that carry one; the rest is guarded by mu
	keyframes atomic.Bool               // some source is to be asked for a keyframe
	urgent    atomic.Bool               // queued for Drain
	pacer     pacer

	cancel context.CancelFunc
	ctx    context.Context // the life of the peer's own goroutine, ended by Close
	done   sync.WaitGroup

	mu         sync.Mutex // guards all that follows
	closed     bool
	agent      *ice.Agent
	generation uint32 // of ICE restarts
	version    uint64 // of the session
	session    plane.Session
	lines      []*line // in the order of the m-lines
	sources    map[uint32]*source
	extensions extensionIDs
	handshake  bool  // DTLS was started
	up         bool  // DTLS is done
	upAt       int64 // ns
	profile    srtp.Profile
	in         *srtp.Keys
	wakeDTLS   func() // makes the DTLS reader look at the session again
	channels   channels
	pubs       []plane.Publication
	subs       []plane.Subscription
	feedback   feedback
	bandwidth  bandwidth
	allocator  bwe.Allocator
	offers     offers
	state      ice.State
	protocol   string
}

// New opens a peer: it can be found by checks for its user fragment from now on.
func New(id plane.PeerID, opts plane.PeerOptions, env *Env) *Peer {
	now := env.Clock.Now()
	if opts.NoMediaTimer <= 0 {
		opts.NoMediaTimer = defaultNoMedia
	}
	p := &Peer{
		id: id, env: env, opts: opts, agent: ice.NewAgent(env.ICE, now),
		log:     env.Log.With("peer", string(id)),
		sources: make(map[uint32]*source),
	}
	p.wire = newWire(p)
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.estimator = bwe.New(env.Bandwidth, now)
	ufrag, _ := p.agent.Credentials()
	env.Credentials(p, ufrag)
	return p
}

// ID returns the peer's name.
func (p *Peer) ID() plane.PeerID { return p.id }

// Transport returns the node's end of the transport.
func (p *Peer) Transport() plane.Transport {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.localTransport()
}

func (p *Peer) localTransport() plane.Transport {
	ufrag, pwd := p.agent.Credentials()
	return plane.Transport{
		Ufrag: ufrag, Pwd: pwd, Lite: true,
		Fingerprints: []plane.Fingerprint{p.env.Fingerprint},
		Candidates:   p.env.Candidates(),
		Complete:     true,
	}
}

// Restart makes new ICE credentials for the generation, unless it has them already. The old ones serve until a check with
// the new ones succeeds.
func (p *Peer) Restart(generation uint32) (plane.Transport, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return plane.Transport{}, plane.ErrNoPeer
	}
	if generation > p.generation {
		p.generation = generation
		ufrag, _ := p.agent.Restart(p.env.Clock.Now())
		p.env.Credentials(p, ufrag)
	}
	return p.localTransport(), nil
}

// Negotiate applies a whole session.
func (p *Peer) Negotiate(s plane.Session) error {
	if len(s.Lines) > maxLines {
		return fmt.Errorf("%w: %d lines, at most %d", plane.ErrInvalid, len(s.Lines), maxLines)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.closed:
		return plane.ErrNoPeer
	case s.Version < p.version:
		return plane.ErrStale
	}
	p.version, p.session = s.Version, s
	p.agent.SetRemote(s.Remote.Ufrag, s.Remote.Pwd, p.env.Clock.Now())
	if s.Remote.Complete {
		p.agent.SetComplete()
	}
	p.applyLines(s.Lines)
	p.applyPublications()
	p.applySubscriptions()
	p.startDTLS()
	if p.wakeDTLS != nil {
		if _, wants := p.dataLine(); wants {
			p.wakeDTLS()
			p.wakeDTLS = nil
		}
	}
	return nil
}

// applyLines takes over the negotiated lines, keeping the state of those that were there.
func (p *Peer) applyLines(lines []plane.Line) {
	old := p.lines
	p.lines = make([]*line, 0, len(lines))
	p.extensions = extensionIDs{}
	for _, l := range lines {
		i := slices.IndexFunc(old, func(o *line) bool { return o.Mid == l.Mid && o.Kind == l.Kind })
		var kept *line
		if i >= 0 {
			kept = old[i]
			old = slices.Delete(slices.Clone(old), i, i+1)
		} else {
			kept = &line{talking: talking{}}
		}
		kept.Line = l
		p.lines = append(p.lines, kept)
		p.extensions.add(l.Extensions)
	}
	for _, gone := range old {
		p.dropLine(gone)
	}
	// The client may have dropped encodings or moved them to other lines: what it sends next is bound anew.
	for ssrc, s := range p.sources {
		if !slices.Contains(p.lines, s.line) || !s.line.Direction.Receives() {
			delete(p.sources, ssrc)
		}
	}
}

// dropLine ends what a line that is no longer there received and sent.
func (p *Peer) dropLine(l *line) {
	p.withdraw(l)
	if l.down != nil {
		l.down.close()
		l.down = nil
	}
}

// lineOf finds a line by mid.
func (p *Peer) lineOf(mid string) *line {
	for _, l := range p.lines {
		if l.Mid == mid {
			return l
		}
	}
	return nil
}

// dataLine returns the agreed data line.
func (p *Peer) dataLine() (plane.Line, bool) {
	for _, l := range p.lines {
		if l.Kind == plane.Data && l.Direction != plane.Inactive {
			return l.Line, true
		}
	}
	return plane.Line{}, false
}

// AddCandidates takes the client's candidates. An ICE lite agent does not check them; that no more will come bounds how
// long it waits.
func (p *Peer) AddCandidates(_ []plane.Candidate, complete bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return plane.ErrNoPeer
	}
	if complete {
		p.agent.SetComplete()
	}
	return nil
}

// Publish sets which received lines feed which streams.
func (p *Peer) Publish(pubs []plane.Publication) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return plane.ErrNoPeer
	}
	p.pubs = slices.Clone(pubs)
	p.applyPublications()
	return nil
}

// Subscribe sets which streams feed which sent lines.
func (p *Peer) Subscribe(subs []plane.Subscription) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return plane.ErrNoPeer
	}
	p.subs = slices.Clone(subs)
	p.applySubscriptions()
	return nil
}

// startDTLS begins the handshake as soon as it can be told apart from a guess: the client's fingerprint is known and,
// where we speak first, a path.
func (p *Peer) startDTLS() {
	if p.handshake || p.closed || p.version == 0 {
		return
	}
	active := p.session.Setup == plane.Active
	if active && p.dest.Load() == nil {
		return
	}
	p.handshake = true
	announced := slices.Clone(p.session.Remote.Fingerprints)
	p.done.Go(func() {
		defer p.recovered("DTLS")
		if reason := p.runDTLS(p.ctx, active, announced); reason != "" {
			p.down(reason)
		}
	})
}

// recovered keeps a fault in one client's handling from ending the others'.
func (p *Peer) recovered(where string) {
	if r := recover(); r != nil {
		p.log.Error("panic", "where", where, "panic", r, "stack", string(debug.Stack()))
		p.down("DTLS-SRTP stack error")
	}
}

// connected is called when the keys are there.
func (p *Peer) connected() {
	p.mu.Lock()
	p.up, p.upAt = true, p.env.Clock.Now()
	p.mu.Unlock()
	p.env.Metrics.Handshakes.Add(1)
	p.env.Metrics.Connected.Add(1)
	p.env.Emit(plane.Event{Peer: p.id, Type: plane.EventUp})
	p.eachDown(func(d *downTrack) { d.ready() })
	p.hurry()
}

// down reports the end of the peer, once; its owner closes it.
func (p *Peer) down(reason string) {
	p.mu.Lock()
	told := p.closed || p.feedback.ended
	p.feedback.ended = true
	p.mu.Unlock()
	if told {
		return
	}
	p.log.Info("peer down", "reason", reason)
	p.env.Emit(plane.Event{Peer: p.id, Type: plane.EventDown, Reason: reason})
	p.release()
}

// release ends publications and subscriptions.
func (p *Peer) release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pubs, p.subs = nil, nil
	for _, l := range p.lines {
		p.dropLine(l)
	}
	p.dropChannels()
}

// Close ends the peer and waits for its goroutine.
func (p *Peer) Close() {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return
	}
	p.closed = true
	up := p.up
	p.mu.Unlock()
	if up {
		p.env.Metrics.Connected.Add(-1)
	}
	p.release()
	p.cancel()
	p.done.Wait()
	_ = p.wire.Close()
}

// hurry asks the ticker for Drain.
func (p *Peer) hurry() {
	if p.urgent.CompareAndSwap(false, true) {
		p.env.Urgent(p)
	}
}

// eachDown calls f for every sent line.
func (p *Peer) eachDown(f func(d *downTrack)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range p.lines {
		if l.down != nil {
			f(l.down)
		}
	}
}
