package janus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/coder/websocket"
)

const (
	subprotocol = "janus-protocol"
	// maxMessage bounds what a server may send at once, bytes.
	maxMessage = 4 << 20
	// keepalive is how often a session shows that it lives; servers wait for a minute.
	keepalive = 25 * time.Second
	// goodbye bounds a close.
	goodbye = 5 * time.Second
)

// Credentials are sent with every request, as far as they are set.
type Credentials struct {
	APISecret string
	Token     string
}

// JSEP is a session description on its way.
type JSEP struct {
	Type    string `json:"type"`
	SDP     string `json:"sdp"`
	Trickle *bool  `json:"trickle,omitempty"`
}

// Candidate is a trickled candidate.
type Candidate struct {
	Mid       string `json:"sdpMid,omitempty"`
	Index     int    `json:"sdpMLineIndex"`
	Candidate string `json:"candidate,omitempty"`
	Completed bool   `json:"completed,omitempty"`
}

// Error is an error of the server's.
type Error struct {
	Code   int    `json:"code"`
	Reason string `json:"reason"`
}

func (e *Error) Error() string { return fmt.Sprintf("Janus error %d: %s", e.Code, e.Reason) }

// message is whatever the server sends.
type message struct {
	Janus       string `json:"janus"`
	Transaction string `json:"transaction"`
	Sender      uint64 `json:"sender"`
	Data        struct {
		ID uint64 `json:"id"`
	} `json:"data"`
	PluginData struct {
		Data json.RawMessage `json:"data"`
	} `json:"plugindata"`
	JSEP      *JSEP      `json:"jsep"`
	Err       *Error     `json:"error"`
	Reason    string     `json:"reason"`
	Candidate *Candidate `json:"candidate"`
}

// Client is a connection with a session. Methods are safe for concurrent use.
type Client struct {
	ws          *websocket.Conn
	credentials Credentials
	session     uint64
	stop        context.CancelFunc
	wait        sync.WaitGroup

	mu      sync.Mutex // guards all below
	next    uint64
	pending map[string]chan message
	handles map[uint64]*Handle
	err     error         // why the connection ended
	done    chan struct{} // closed when it did
}

// Dial connects to a server and creates a session.
func Dial(ctx context.Context, url string, credentials Credentials) (*Client, error) {
	ws, _, err := websocket.Dial(ctx, url, &websocket.DialOptions{Subprotocols: []string{subprotocol}})
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", url, err)
	}
	ws.SetReadLimit(maxMessage)
	life, stop := context.WithCancel(context.WithoutCancel(ctx))
	c := &Client{
		ws: ws, credentials: credentials, stop: stop,
		pending: map[string]chan message{}, handles: map[uint64]*Handle{}, done: make(chan struct{}),
	}
	c.wait.Go(func() { c.read(life) })
	m, err := c.request(ctx, map[string]any{"janus": "create"})
	if err != nil {
		c.hangUp()
		return nil, fmt.Errorf("create session: %w", err)
	}
	c.session = m.Data.ID
	c.wait.Go(func() { c.keepAlive(life) })
	return c, nil
}

// Close destroys the session and ends the connection; it takes a few seconds at most.
func (c *Client) Close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), goodbye)
	defer cancel()
	_, err := c.request(ctx, map[string]any{"janus": "destroy", "session_id": c.session})
	c.hangUp()
	return err
}

// hangUp ends the connection and waits for the goroutines.
func (c *Client) hangUp() {
	_ = c.ws.CloseNow() // nothing is left to be said
	c.stop()
	c.wait.Wait()
}

func (c *Client) keepAlive(ctx context.Context) {
	ticker := time.NewTicker(keepalive)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.done:
			return
		case <-ticker.C:
			// Failure shows in the reader.
			_ = c.write(ctx, map[string]any{"janus": "keepalive", "session_id": c.session, "transaction": "keepalive"})
		}
	}
}

func (c *Client) read(ctx context.Context) {
	for {
		_, b, err := c.ws.Read(ctx)
		if err != nil {
			c.end(fmt.Errorf("connection ended: %w", err))
			return
		}
		var m message
		if err := json.Unmarshal(b, &m); err != nil {
			c.end(fmt.Errorf("server sent what is not Janus's: %w", err))
			return
		}
		c.dispatch(m)
	}
}

func (c *Client) dispatch(m message) {
	if m.Janus == "ack" {
		return // the event follows
	}
	c.mu.Lock()
	waiter := c.pending[m.Transaction]
	delete(c.pending, m.Transaction)
	h := c.handles[m.Sender]
	c.mu.Unlock()
	switch {
	case waiter != nil:
		waiter <- m // has room for one
	case h != nil:
		h.take(m)
	case m.Janus == "timeout":
		c.end(errors.New("the server let the session time out"))
	}
}

func (c *Client) end(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.err = err
		close(c.done)
	}
}

// Err returns why the connection has ended, or nil.
func (c *Client) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

func (c *Client) write(ctx context.Context, request map[string]any) error {
	if c.credentials.APISecret != "" {
		request["apisecret"] = c.credentials.APISecret
	}
	if c.credentials.Token != "" {
		request["token"] = c.credentials.Token
	}
	b, err := json.Marshal(request)
	if err != nil {
		return err
	}
	return c.ws.Write(ctx, websocket.MessageText, b)
}

// request sends a request and waits for what it comes to, past an ack.
func (c *Client) request(ctx context.Context, request map[string]any) (m message, err error) {
	answer := make(chan message, 1)
	c.mu.Lock()
	c.next++
	transaction := strconv.FormatUint(c.next, 36)
	c.pending[transaction] = answer
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		delete(c.pending, transaction)
		c.mu.Unlock()
	}()
	request["transaction"] = transaction
	if err := c.write(ctx, request); err != nil {
		return m, err
	}
	select {
	case m = <-answer:
	case <-c.done:
		return m, c.Err()
	case <-ctx.Done():
		return m, fmt.Errorf("no answer to %s: %w", request["janus"], ctx.Err())
	}
	if m.Err != nil {
		return m, m.Err
	}
	return m, nil
}
