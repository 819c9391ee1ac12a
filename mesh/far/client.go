package far

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"cardea/relay/link"
	"cardea/relay/link/wire"
	"cardea/relay/plane"
)

// ErrUnreachable says that a media node did not answer: whether it did what it was asked is not known.
var ErrUnreachable = errors.New("media node does not answer")

// Times of a signaling node. A link over an ocean answers within a second, also when it repairs losses.
const (
	attempts    = 3
	attemptTime = 3 * time.Second
	retryPause  = 100 * time.Millisecond // before the second attempt, twice that before the third
)

// client is the media plane of another node, under one lease. Its methods are safe for concurrent use.
type client struct {
	node   link.NodeID
	call   func(ctx context.Context, to link.NodeID, k link.Kind, request []byte) ([]byte, error)
	lease  uint64
	number atomic.Uint64

	mu  sync.Mutex
	log uint64 // that the position of Events is in, guarded by mu
}

var _ plane.Plane = (*client)(nil)

func newClient(node link.NodeID, call func(context.Context, link.NodeID, link.Kind, []byte) ([]byte, error)) *client {
	var b [8]byte
	_, _ = rand.Read(b[:]) // it never fails
	return &client{node: node, call: call, lease: binary.BigEndian.Uint64(b[:]) | 1}
}

// ask makes a call, several times if need be. A nil answer takes nothing.
func (c *client) ask(ctx context.Context, k link.Kind, message, answer any) error {
	q := wire.Marshal(request{Lease: c.lease, Number: c.number.Add(1), Body: wire.Marshal(message)})
	var err error
	for i := range attempts {
		if i > 0 {
			pause(ctx, time.Duration(i)*retryPause)
		}
		if ctx.Err() != nil {
			break
		}
		var sent bool
		if sent, err = c.try(ctx, k, q, answer, attemptTime); sent {
			return err
		}
	}
	return fmt.Errorf("%w: %s: %w", ErrUnreachable, c.node, errors.Join(err, ctx.Err()))
}

// try makes a call once; answered is false when there was no answer that makes sense.
func (c *client) try(ctx context.Context, k link.Kind, q []byte, answer any, within time.Duration) (answered bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	b, err := c.call(ctx, c.node, k, q)
	if err != nil {
		return false, err
	}
	var r reply
	if err := wire.Unmarshal(b, &r); err != nil {
		return false, err
	}
	if answer != nil {
		if err := wire.Unmarshal(r.Body, answer); err != nil {
			return false, err
		}
	}
	return true, r.error()
}

// Open implements [plane.Plane].
func (c *client) Open(ctx context.Context, id plane.PeerID, opts plane.PeerOptions) (plane.Transport, error) {
	var r transportReply
	err := c.ask(ctx, KindOpen, openMessage{id, opts}, &r)
	return r.Transport, err
}

// Restart implements [plane.Plane].
func (c *client) Restart(ctx context.Context, id plane.PeerID, generation uint32) (plane.Transport, error) {
	var r transportReply
	err := c.ask(ctx, KindRestart, restartMessage{id, generation}, &r)
	return r.Transport, err
}

// Negotiate implements [plane.Plane].
func (c *client) Negotiate(ctx context.Context, id plane.PeerID, s plane.Session) error {
	return c.ask(ctx, KindNegotiate, negotiateMessage{id, s}, nil)
}

// AddCandidates implements [plane.Plane].
func (c *client) AddCandidates(ctx context.Context, id plane.PeerID, l []plane.Candidate, complete bool) error {
	return c.ask(ctx, KindAddCandidates, candidatesMessage{id, l, complete}, nil)
}

// Publish implements [plane.Plane].
func (c *client) Publish(ctx context.Context, id plane.PeerID, p []plane.Publication) error {
	return c.ask(ctx, KindPublish, publishMessage{id, p}, nil)
}

// Subscribe implements [plane.Plane].
func (c *client) Subscribe(ctx context.Context, id plane.PeerID, s []plane.Subscription) error {
	return c.ask(ctx, KindSubscribe, subscribeMessage{id, s}, nil)
}

// Keyframe implements [plane.Plane].
func (c *client) Keyframe(ctx context.Context, s plane.StreamID) error {
	return c.ask(ctx, KindKeyframe, streamMessage{s}, nil)
}

// Forward implements [plane.Plane].
func (c *client) Forward(ctx context.Context, f plane.Forwarder) (rtcpPort uint16, err error) {
	var r forwardReply
	err = c.ask(ctx, KindForward, forwardMessage{f}, &r)
	return r.RTCPPort, err
}

// StopForward implements [plane.Plane].
func (c *client) StopForward(ctx context.Context, id string) error {
	return c.ask(ctx, KindStopForward, forwarderMessage{id}, nil)
}

// Stats implements [plane.Plane].
func (c *client) Stats(ctx context.Context, id plane.PeerID) (plane.PeerStats, error) {
	var r statsReply
	err := c.ask(ctx, KindStats, peerMessage{id}, &r)
	return r.Stats, err
}

// Close implements [plane.Plane].
func (c *client) Close(ctx context.Context, id plane.PeerID) error {
	return c.ask(ctx, KindClose, peerMessage{id}, nil)
}

// Keep implements [plane.Plane].
func (c *client) Keep(ctx context.Context, id plane.PeerID, version uint64, snapshot []byte) error {
	return c.ask(ctx, KindKeep, keepMessage{id, version, snapshot}, nil)
}

// Kept implements [plane.Plane].
func (c *client) Kept(ctx context.Context, session string) ([]plane.Kept, error) {
	var r keptReply
	err := c.ask(ctx, KindKept, sessionMessage{session}, &r)
	return r.Kept, err
}

// Adopt implements [plane.Plane].
func (c *client) Adopt(ctx context.Context, id plane.PeerID, epoch uint64) error {
	return c.ask(ctx, KindAdopt, adoptMessage{id, epoch}, nil)
}

// Events implements [plane.Plane], for one caller at a time. Unlike a plane in the same process it returns without events
// every few seconds, and with ErrUnreachable when the node does not answer: then the caller asks again.
func (c *client) Events(ctx context.Context, after uint64) ([]plane.Event, error) {
	c.mu.Lock()
	log := c.log
	c.mu.Unlock()
	q := wire.Marshal(request{Lease: c.lease, Number: c.number.Add(1), Body: wire.Marshal(eventsMessage{log, after})})
	var r eventsReply
	answered, err := c.try(ctx, KindEvents, q, &r, pollTime+attemptTime)
	if !answered {
		return nil, fmt.Errorf("%w: %s: %w", ErrUnreachable, c.node, err)
	}
	if r.Log != 0 {
		c.mu.Lock()
		c.log = r.Log
		c.mu.Unlock()
	}
	return r.Events, err
}
