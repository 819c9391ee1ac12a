package janus

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"cardea/relay/plane"
	"cardea/signaling/events"
	"cardea/signaling/sdp"
)

// ErrNoPeerConnection says that the handle has no PeerConnection to do that with.
var ErrNoPeerConnection = errors.New("handle has no PeerConnection")

// ErrUnexpected says that a session description does not fit the state of the negotiation.
var ErrUnexpected = errors.New("unexpected session description")

// closeTime bounds the wait for the media plane to close a peer; a new PeerConnection waits no longer for the old one.
const closeTime = 3 * time.Second

// forever is what a timer that is off is to the media plane, to which 0 is its default.
const forever = 100 * 365 * 24 * time.Hour

// peer is a handle's PeerConnection, as far as it has one.
type peer struct {
	mu     sync.Mutex // held while the plane is called, so that the calls for one peer are in order
	offer  *JSEP      // the client's, not answered yet
	wanted int        // PeerConnections so far, makes their ids
	conn   *connection

	trickles trickles // candidates that wait for a remote description
	open     atomic.Pointer[connection]
}

// connection is one PeerConnection: everything that was agreed with the client.
type connection struct {
	id         plane.PeerID // set once
	local      plane.Transport
	remote     plane.Transport // the client's; no ufrag until it is known
	setup      plane.Setup     // the role the node takes; ActPass until it is known
	version    uint64          // of the last plane.Session
	generation uint32          // ICE restarts
	settled    []sdp.Media     // the outcome of the last negotiation
	pending    []sdp.Media     // the lines of an offer of ours that was not answered yet
	origin     uint64          // session id of the o= line
	described  uint64          // descriptions written, the version of the o= line
	e2ee       bool
	trickle    bool         // the client said that candidates may follow
	name       string       // s= line of our descriptions
	clientText string       // the client's last session description, as it wrote it: others hold parts of it anyway
	opened     time.Time    // set once
	started    time.Time    // since when there is a session description of each end
	upAt       atomic.Int64 // when ICE and DTLS were done, nanoseconds of the Unix clock; 0 until then

	// What events have told.
	gathered uint32            // generations of our candidates
	told     string            // the client's user fragment whose candidates were told
	flushed  []plane.Candidate // the client's that waited, to be told
	known    []plane.Candidate // the client's that were told
	path     *plane.Event      // selected before there was a description of the client's

	// Of the handle's turn.
	connected bool   // it was told that ICE has found a path
	failed    bool   // and that it failed
	over      bool   // the media plane said that the peer is gone
	sample    sample // what flowed
}

// PeerID returns the name of the handle's peer in the media plane, "" when it has no PeerConnection.
func (h *Handle) PeerID() plane.PeerID {
	if c := h.peer.open.Load(); c != nil {
		return c.id
	}
	return ""
}

// Up tells whether the handle's PeerConnection is up: ICE and DTLS done.
func (h *Handle) Up() bool {
	c := h.peer.open.Load()
	return c != nil && c.upAt.Load() != 0
}

// Answer answers the client's offer, which came with the message in hand, with these lines, one for each line of the
// offer. The first answer opens the peer; later ones renegotiate it.
func (h *Handle) Answer(ctx context.Context, lines []sdp.Media, o sdp.Options) (*JSEP, error) {
	p := &h.peer
	p.mu.Lock()
	defer p.mu.Unlock()
	offer := p.offer
	if offer == nil {
		return nil, fmt.Errorf("answer: %w: there is no offer", ErrUnexpected)
	}
	c, err := h.openPeer(ctx)
	if err != nil {
		return nil, fmt.Errorf("answer: %w", err)
	}
	remote := offer.SDP.Transport
	if c.negotiated() && restarted(c.remote, remote) {
		if err := h.restartICE(ctx, c); err != nil {
			return nil, fmt.Errorf("answer: %w", err)
		}
	}
	c.e2ee = c.e2ee || offer.E2EE || o.E2EE
	sdp.Settle(c.settled, lines)
	if err := h.negotiate(ctx, c, lines, offer); err != nil {
		return nil, fmt.Errorf("answer: %w", err)
	}
	p.offer, c.pending = nil, nil
	answer := h.describe("answer", c, lines, o, c.setup)
	h.reportNegotiated(c)
	return answer, nil
}

// Offer makes an offer with these lines, which are all lines of the session in their order; the client's answer goes
// to Accept. The first offer opens the peer. o.Restart gives it new ICE credentials.
func (h *Handle) Offer(ctx context.Context, lines []sdp.Media, o sdp.Options) (*JSEP, error) {
	p := &h.peer
	p.mu.Lock()
	defer p.mu.Unlock()
	c, err := h.openPeer(ctx)
	if err != nil {
		return nil, fmt.Errorf("offer: %w", err)
	}
	if o.Restart && c.negotiated() {
		if err := h.restartICE(ctx, c); err != nil {
			return nil, fmt.Errorf("offer: %w", err)
		}
	}
	c.e2ee = c.e2ee || o.E2EE
	sdp.Settle(c.settled, lines)
	p.offer, c.pending = nil, lines
	return h.describe("offer", c, lines, o, plane.ActPass), nil
}

// Accept takes the client's answer to the last offer of ours.
func (h *Handle) Accept(ctx context.Context, answer *JSEP) error {
	p := &h.peer
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.conn
	if c == nil || c.pending == nil {
		return fmt.Errorf("accept: %w: there is no offer", ErrUnexpected)
	}
	agreed, err := sdp.Accept(c.pending, answer.SDP)
	if err != nil {
		return fmt.Errorf("accept: %w", err)
	}
	if err := h.negotiate(ctx, c, agreed, answer); err != nil {
		return fmt.Errorf("accept: %w", err)
	}
	c.pending = nil
	h.reportNegotiated(c)
	return nil
}

// Publish sets which lines of the client feed which streams, replacing what was set before.
func (h *Handle) Publish(ctx context.Context, pubs []plane.Publication) error {
	return h.withPeer(func(c *connection) error { return h.session.server.cfg.Plane.Publish(ctx, c.id, pubs) })
}

// Subscribe sets which streams feed which lines to the client, replacing what was set before.
func (h *Handle) Subscribe(ctx context.Context, subs []plane.Subscription) error {
	return h.withPeer(func(c *connection) error { return h.session.server.cfg.Plane.Subscribe(ctx, c.id, subs) })
}

// Keyframe asks the stream's publisher for a keyframe; the handle needs no PeerConnection for that.
func (h *Handle) Keyframe(ctx context.Context, s plane.StreamID) error {
	return h.session.server.cfg.Plane.Keyframe(ctx, s)
}

// Plane returns the media plane, for what is not about this handle's peer, such as forwarders.
func (h *Handle) Plane() plane.Plane { return h.session.server.cfg.Plane }

// Stats tells what the media plane sees of the handle's peer.
func (h *Handle) Stats(ctx context.Context) (plane.PeerStats, error) {
	id := h.PeerID()
	if id == "" {
		return plane.PeerStats{}, ErrNoPeerConnection
	}
	return h.session.server.cfg.Plane.Stats(ctx, id)
}

// ClosePeer closes the PeerConnection in the handle's turn, after what the plugin pushed before: the plugin's Hangup
// is called and the client told of the hangup with that reason, "Close PC" if it is empty. Without a PeerConnection
// nothing happens. It returns at once.
func (h *Handle) ClosePeer(_ context.Context, reason string) {
	if reason == "" {
		reason = "Close PC"
	}
	h.enqueue(func(ctx context.Context) {
		if h.PeerID() != "" {
			h.hangup(ctx, reason, true)
		}
	})
}

func (h *Handle) withPeer(f func(c *connection) error) error {
	h.peer.mu.Lock()
	defer h.peer.mu.Unlock()
	if h.peer.conn == nil {
		return ErrNoPeerConnection
	}
	return f(h.peer.conn)
}

// openPeer returns the handle's PeerConnection, opening one if need be. Called with peer.mu held.
func (h *Handle) openPeer(ctx context.Context) (*connection, error) {
	p, s := &h.peer, h.session.server
	if p.conn != nil {
		return p.conn, nil
	}
	p.wanted++
	id := plane.PeerID(fmt.Sprintf("%s/%d/%d/%d", s.cfg.Node, h.session.id, h.id, p.wanted))
	s.peers.Store(id, h) // before there can be events of it
	local, err := s.cfg.Plane.Open(ctx, id, plane.PeerOptions{
		NoMediaTimer:      either(s.noMediaTimer(), forever),
		SlowLinkThreshold: s.slowLinkThreshold(),
		Label:             fmt.Sprintf("session=%d handle=%d", h.session.id, h.id),
		Session:           h.session.name(), Client: text(*h.session.client.Load()),
	})
	if err != nil {
		s.closePeer(ctx, id) // it may have arrived for all we know
		return nil, fmt.Errorf("open peer: %w", err)
	}
	s.metrics.Peers.Add(1)
	p.conn = &connection{id: id, local: local, origin: randomID(), opened: time.Now()}
	p.open.Store(p.conn)
	h.reportICE("gathering")
	return p.conn, nil
}

// restartICE gives the peer new ICE credentials. Called with peer.mu held.
func (h *Handle) restartICE(ctx context.Context, c *connection) error {
	local, err := h.session.server.cfg.Plane.Restart(ctx, c.id, c.generation+1)
	if err != nil {
		return fmt.Errorf("restart ICE: %w", err)
	}
	c.generation++
	c.local = local
	return nil
}

// negotiate gives the plane the whole session and the candidates that waited for it. Called with peer.mu held.
func (h *Handle) negotiate(ctx context.Context, c *connection, local []sdp.Media, client *JSEP) error {
	s := h.session.server
	if c.setup == plane.ActPass {
		c.setup = sdp.AnswerSetup(client.SDP.Transport.Setup)
	}
	remote := client.SDP.Transport
	remote.Complete = remote.Complete || !client.Trickle
	lines := sdp.Lines(local, client.SDP.Medias, client.RIDOrder)
	for i := range lines {
		lines[i].SVC = client.layered(lines[i].Mid)
	}
	c.version++
	err := s.cfg.Plane.Negotiate(ctx, c.id, plane.Session{Version: c.version, Remote: remote, Setup: c.setup, Lines: lines})
	if err != nil {
		return fmt.Errorf("negotiate: %w", err)
	}
	c.remote, c.settled, c.clientText, c.trickle = remote, local, client.Text, client.Trickle
	if c.started.IsZero() {
		c.started = time.Now()
	}
	cands, complete := h.peer.trickles.flush(client.SDP.Medias, s.candidatesTimeout())
	if len(cands) > 0 || complete {
		if err := s.cfg.Plane.AddCandidates(ctx, c.id, cands, complete); err != nil {
			h.log.Warn("candidates not added", "error", err)
		}
	}
	c.flushed = cands
	return nil
}

// layered tells whether the client said that the line carries SVC layers.
func (j *JSEP) layered(mid string) bool {
	for _, s := range j.SVC {
		if s.Mid == mid || s.Mid == "" && s.MIndex < len(j.SDP.Medias) && j.SDP.Medias[s.MIndex].Mid == mid {
			return true
		}
	}
	return false
}

// describe writes our end of the session.
func (h *Handle) describe(kind string, c *connection, lines []sdp.Media, o sdp.Options, role plane.Setup) *JSEP {
	c.described++
	c.name = o.Name
	d := c.description(lines, role)
	j := &JSEP{Type: kind, SDP: d, Text: sdp.Format(d, d.Transport), E2EE: c.e2ee, Update: c.described > 1}
	h.reportDescribed(c, j)
	return j
}

// description is our end of the session with these lines.
func (c *connection) description(lines []sdp.Media, role plane.Setup) *sdp.Description {
	local := c.local
	local.Setup = role
	return &sdp.Description{ID: c.origin, Version: c.described, Name: c.name, Transport: local, Medias: lines}
}

// text is the last description of these lines, written again.
func (c *connection) text(lines []sdp.Media, role plane.Setup) string {
	d := c.description(lines, role)
	return sdp.Format(d, d.Transport)
}

// hangup ends the PeerConnection: the plugin is told, the plane's peer closed and, if notify is set, the client told.
// It runs in the handle's turn. Without a PeerConnection only a hangup that the client asked for reaches the plugin.
func (h *Handle) hangup(ctx context.Context, reason string, notify bool) {
	p := &h.peer
	p.mu.Lock()
	c := p.conn
	p.conn, p.offer = nil, nil
	p.open.Store(nil)
	p.trickles.reset()
	p.mu.Unlock()
	if c == nil {
		if notify {
			h.instance.Hangup(ctx)
		}
		return
	}
	h.session.server.metrics.Peers.Add(-1)
	defer func() { // also when the plugin panics
		h.reportLastStats(ctx, c)
		h.session.server.closePeer(ctx, c.id)
		if notify {
			h.report(events.WebRTC, events.Connection, object{"connection": "hangup", "reason": reason})
			h.notify(&message{Janus: "hangup", Reason: reason})
		}
	}()
	defer h.changed()
	h.instance.Hangup(ctx)
}

// negotiated tells whether there was a whole offer and answer.
func (c *connection) negotiated() bool { return c.remote.Ufrag != "" }

// restarted tells whether the client's ICE credentials changed (RFC 8839 section 4.4.1.1.1).
func restarted(before, now plane.Transport) bool {
	return before.Ufrag != now.Ufrag || before.Pwd != now.Pwd
}
