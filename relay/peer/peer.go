package peer

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
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
	// maxLines, maxSources and maxSpoken bound what one client can make us keep.
	maxLines   = 256
	maxSources = 128
	maxSpoken  = 8 * maxLines
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

	// Read on the packet path without a lock.
	dest      atomic.Pointer[ice.Path]  // where packets go; nil before ICE has found a path
	out       atomic.Pointer[srtp.Keys] // nil before DTLS is done
	transport atomic.Uint32             // the last transport-wide sequence number (draft-holmer-rmcat-transport-wide-cc-extensions-01)
	estimator *bwe.Estimator            // its Sent remembers packets that carry one; the rest is guarded by mu
	keyframes atomic.Bool               // some source is to be asked for a keyframe
	urgent    atomic.Bool               // queued for Drain
	heard     atomic.Bool               // a packet of the client's was authentic
	pacer     pacer

	cancel context.CancelFunc
	ctx    context.Context // the life of the peer's own goroutines, ended by Close
	done   sync.WaitGroup

	mu         sync.Mutex // guards all that follows
	closed     bool
	agent      *ice.Agent
	generation uint32 // of ICE restarts
	version    uint64 // of the session
	session    plane.Session
	lines      []*line              // in the order of the m-lines
	spoken     map[uint32]*line     // the SSRCs of ours: none is ever another line's, since each has numbers of its own
	sources    map[uint32]*source   // that feed lines
	receivers  map[uint32]*receiver // of these, and of those that did
	extensions extensionIDs
	handshake  bool  // DTLS was started
	up         bool  // DTLS is done
	upAt       int64 // ns
	profile    srtp.Profile
	in         *srtp.Keys
	wire       *wire   // nil while the connection is put away
	rested     *rested // nil while it is not
	wakeDTLS   func()  // makes the DTLS reader look at the session again
	channels   channels
	pubs       []plane.Publication
	subs       []plane.Subscription
	feedback   feedback
	bandwidth  bandwidth
	hold       hold
	allocator  bwe.Allocator
	offers     offers
	state      ice.State
	former     string // user fragment from before a restart that is still routed here
	protocol   string
	watch      watch
	pathLast   ice.Path // the last that was reported,
	pathTold   int64    // when, ns; 0 for never
	pathUntold bool     // another was selected since
}

// New opens a peer: it can be found by checks for its user fragment from now on.
func New(id plane.PeerID, opts plane.PeerOptions, env *Env) *Peer {
	now := env.Clock.Now()
	if opts.NoMediaTimer <= 0 {
		opts.NoMediaTimer = defaultNoMedia
	}
	p := &Peer{
		id: id, env: env, opts: opts, agent: ice.NewAgent(env.ICE, now),
		log:    env.Log.With("peer", string(id)),
		spoken: make(map[uint32]*line), sources: make(map[uint32]*source), receivers: make(map[uint32]*receiver),
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
		now := p.env.Clock.Now()
		was, _ := p.agent.Credentials()
		ufrag, _ := p.agent.Restart(now)
		p.env.Credentials(p, ufrag)
		former := p.agent.Former(now)
		for _, u := range []string{was, p.former} {
			if u != "" && u != former {
				p.env.Retired(p, u)
			}
		}
		p.former = former
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
	case p.feedback.ended:
		return nil // reported; its owner will close it
	}
	if err := p.applyLines(s.Lines); err != nil {
		return err
	}
	p.version, p.session = s.Version, s
	p.watch.begin(p.env.Clock.Now())
	p.watch.remember(s.Remote.Candidates)
	p.agent.SetRemote(s.Remote.Ufrag, s.Remote.Pwd, p.env.Clock.Now())
	if s.Remote.Complete {
		p.agent.SetComplete()
	}
	p.applyPublications()
	p.applySubscriptions()
	p.startDTLS()
	if p.wakeDTLS != nil {
		if _, wants := p.dataLine(); wants {
			wake := p.wakeDTLS
			p.wakeDTLS = nil
			wake()
		}
	}
	return nil
}

// applyLines takes over the negotiated lines, keeping the state of those that were there. It refuses, and changes nothing,
// if two lines would send under one SSRC.
func (p *Peer) applyLines(lines []plane.Line) error {
	gone := slices.Clone(p.lines)
	kept := make([]*line, len(lines))
	claimed := make(map[uint32]*line, len(lines))
	for i, l := range lines {
		if j := slices.IndexFunc(gone, func(o *line) bool { return o.Mid == l.Mid && o.Kind == l.Kind }); j >= 0 {
			kept[i] = gone[j]
			gone = slices.Delete(gone, j, j+1)
		} else {
			kept[i] = &line{}
		}
		for _, ssrc := range []uint32{l.SSRC, l.RTX} {
			if ssrc == 0 {
				continue
			}
			if owner := cmp.Or(p.spoken[ssrc], claimed[ssrc]); owner != nil && owner != kept[i] || ssrc == l.SSRC && ssrc == l.RTX {
				return fmt.Errorf("%w: SSRC %d of line %q is another's", plane.ErrInvalid, ssrc, l.Mid)
			}
			claimed[ssrc] = kept[i]
		}
	}
	if len(p.spoken)+len(claimed) > maxSpoken {
		return fmt.Errorf("%w: more than %d SSRCs in one session", plane.ErrInvalid, maxSpoken)
	}
	maps.Copy(p.spoken, claimed)
	p.lines, p.extensions = kept, extensionIDs{}
	for i, l := range lines {
		kept[i].renegotiate(l)
		p.extensions.add(l.Extensions)
	}
	for _, l := range gone {
		p.dropLine(l)
	}
	p.rebind()
	return nil
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
func (p *Peer) AddCandidates(c []plane.Candidate, complete bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return plane.ErrNoPeer
	}
	p.watch.remember(c)
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
	if p.feedback.ended {
		return nil // reported; its owner will close it
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
	if p.feedback.ended {
		return nil // reported; its owner will close it
	}
	p.subs = slices.Clone(subs)
	p.applySubscriptions()
	return nil
}

// startDTLS begins the handshake, and its time, as soon as the client's fingerprint and a path are known: nothing of the
// client's handshake can come before.
func (p *Peer) startDTLS() {
	if p.handshake || p.closed || p.feedback.ended || p.version == 0 || p.dest.Load() == nil {
		return
	}
	active := p.session.Setup == plane.Active
	p.handshake = true
	announced, w := slices.Clone(p.session.Remote.Fingerprints), p.wire
	p.done.Go(func() {
		defer p.recovered("DTLS")
		if reason := p.runDTLS(p.ctx, w, active, announced); reason != "" {
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
	defer p.mu.Unlock()
	if p.closed || p.feedback.ended {
		return
	}
	p.up = true
	p.feedback.lastSecond = p.env.Clock.Now()
	p.outcome(ResultConnected, p.feedback.lastSecond)
	p.env.Metrics.Handshakes.Add(1)
	p.env.Metrics.Connected.Add(1)
	p.env.Emit(plane.Event{Peer: p.id, Type: plane.EventDTLS, State: "connected"})
	p.env.Emit(plane.Event{Peer: p.id, Type: plane.EventUp})
	for _, l := range p.lines {
		if l.down != nil {
			l.down.ready()
		}
	}
	p.hurry()
}

// End reports that the peer is over, once, and stops its media; its owner closes it.
func (p *Peer) End(reason string) { p.down(reason) }

// down reports the end of the peer, once; its owner closes it.
func (p *Peer) down(reason string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.feedback.ended {
		return
	}
	p.feedback.ended = true
	p.log.Info("peer down", "reason", reason)
	now := p.env.Clock.Now()
	p.outcome(failed(reason), now)
	if q := p.takeQuality(now); q != nil {
		p.env.Emit(plane.Event{Peer: p.id, Type: plane.EventQuality, Quality: q})
	}
	p.env.Emit(plane.Event{Peer: p.id, Type: plane.EventDown, Reason: reason})
	p.release()
	p.cancel()
}

// release ends publications and subscriptions. The peer is locked.
func (p *Peer) release() {
	p.pubs, p.subs = nil, nil
	for _, l := range p.lines {
		p.dropLine(l)
	}
	p.dropChannels()
}

// Close ends the peer and waits for its goroutines. No event follows. Closing twice does no harm.
func (p *Peer) Close() {
	p.shut()
	p.cancel()
	p.done.Wait()
	p.farewell()
}

// shut makes all calls but Close ineffective.
func (p *Peer) shut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	p.closed = true
	now := p.env.Clock.Now()
	p.outcome(ResultAbandoned, now)
	p.takeQuality(now)
	if p.up {
		p.env.Metrics.Connected.Add(-1)
	}
	p.release()
}

// authentic notes that a packet was the client's own.
func (p *Peer) authentic(now int64) {
	p.agent.Touch(now)
	if !p.heard.Load() { // once is enough, and packets are many
		p.heard.Store(true)
	}
}

// hurry asks the ticker for Drain.
func (p *Peer) hurry() {
	if p.urgent.CompareAndSwap(false, true) {
		p.env.Urgent(p)
	}
}
