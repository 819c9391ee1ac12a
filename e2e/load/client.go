package load

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"cardea/e2e/load/internal/janus"
	"cardea/e2e/load/internal/rtc"
)

// client is one simulated user: a connection, a handle, a transport.
type client struct {
	cfg       *Config
	janus     *janus.Client
	handle    *janus.Handle
	transport *rtc.Transport

	// Moments of joining, on rtc.Now's clock; 0 not reached.
	connecting, joining, starting, up int64
	publisher                         *publisher  // of a publisher
	subscriber                        *subscriber // of a subscriber
}

// open connects to the server and makes a transport.
func (c *client) open(ctx context.Context, loop *rtc.Loop, local netip.Addr, identity *rtc.Identity, h rtc.Handler) (err error) {
	c.connecting = rtc.Now()
	if c.janus, err = janus.Dial(ctx, c.cfg.URL, c.cfg.credentials()); err != nil {
		return err
	}
	if c.transport, err = loop.Open(ctx, local, identity, h); err != nil {
		return err
	}
	c.handle, err = c.janus.Attach(ctx, plugin, c.trickled)
	return err
}

// trickled takes a candidate of the server's.
func (c *client) trickled(candidate janus.Candidate) {
	if addr, ok := rtc.ParseCandidate(candidate.Candidate); ok {
		c.transport.AddCandidate(addr)
	}
}

// publish joins a room as a publisher and returns when media flow, with the publisher's id.
func (c *client) publish(ctx context.Context, r *room) (id json.RawMessage, err error) {
	var joined struct {
		ID json.RawMessage `json:"id"`
	}
	c.joining = rtc.Now()
	if _, err := c.handle.Request(ctx, object{"request": "join", "ptype": "publisher", "room": r.id, "display": "load"}, nil, &joined); err != nil {
		return nil, fmt.Errorf("join: %w", err)
	}
	offer := c.jsep("offer", c.transport.Offer(c.publisher.offer(), c.cfg.Trickle))
	c.starting = rtc.Now()
	answer, err := c.handle.Request(ctx, object{"request": "publish"}, offer, nil)
	if err != nil {
		return nil, fmt.Errorf("publish: %w", err)
	}
	d, err := description(answer, "answer")
	if err != nil {
		return nil, fmt.Errorf("publish: %w", err)
	}
	c.publisher.accept(d)
	return joined.ID, c.connect(ctx, d, true)
}

// subscribe joins a room as a subscriber to all its publishers and returns when media can flow.
func (c *client) subscribe(ctx context.Context, r *room) error {
	streams := make([]object, len(r.feeds))
	for i, feed := range r.feeds {
		streams[i] = object{"feed": feed}
	}
	c.joining = rtc.Now()
	offer, err := c.handle.Request(ctx, object{"request": "join", "ptype": "subscriber", "room": r.id, "streams": streams}, nil, nil)
	if err != nil {
		return fmt.Errorf("join: %w", err)
	}
	d, err := description(offer, "offer")
	if err != nil {
		return fmt.Errorf("join: %w", err)
	}
	c.subscriber.accept(d)
	answer := c.jsep("answer", c.transport.Answer(d, c.cfg.Trickle))
	c.starting = rtc.Now()
	// The answer may overtake the event: ICE and DTLS need not wait for it.
	connected := make(chan error, 1)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { connected <- c.connect(ctx, d, false) }()
	_, err = c.handle.Request(ctx, object{"request": "start"}, answer, nil)
	if err != nil {
		err = fmt.Errorf("start: %w", err)
		cancel()
	}
	return errors.Join(err, <-connected)
}

func (c *client) jsep(kind, sdp string) *janus.JSEP {
	return &janus.JSEP{Type: kind, SDP: sdp, Trickle: &c.cfg.Trickle}
}

func description(jsep *janus.JSEP, kind string) (*rtc.Description, error) {
	if jsep == nil || jsep.Type != kind {
		return nil, fmt.Errorf("the server sent no %s", kind)
	}
	return rtc.ParseDescription(jsep.SDP)
}

// connect makes the PeerConnection and waits until the server says that it is up.
func (c *client) connect(ctx context.Context, d *rtc.Description, controlling bool) error {
	if c.cfg.Trickle {
		own := janus.Candidate{Mid: d.Media[0].Mid, Candidate: c.transport.Candidate()}
		if err := c.handle.Trickle(ctx, own, janus.Candidate{Completed: true}); err != nil {
			return err
		}
	}
	if err := c.transport.Connect(ctx, d.Remote, controlling); err != nil {
		return err
	}
	if err := c.handle.AwaitUp(ctx); err != nil {
		return err
	}
	c.up = rtc.Now()
	return nil
}

// lost tells why the client is no longer connected, or returns nil.
func (c *client) lost() error {
	select {
	case <-c.handle.Down():
		return errors.New(c.handle.Reason())
	default:
		return c.janus.Err()
	}
}

// close leaves the room and ends everything, as far as it was begun.
func (c *client) close(ctx context.Context) {
	if c.up != 0 {
		leave, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		// The session's end is as good, should leaving fail.
		_, _ = c.handle.Request(leave, object{"request": "leave"}, nil, nil)
		cancel()
	}
	if c.transport != nil {
		c.transport.Close()
	}
	if c.janus != nil {
		_ = c.janus.Close(ctx) // a server that is gone has no session of ours
	}
}
