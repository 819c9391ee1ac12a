package caller

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"

	"github.com/coder/websocket"
)

// M is a JSON object. Numbers in what the node sent are json.Number.
type M = map[string]any

// VideoRoom is the plugin that calls go through.
const VideoRoom = "janus.plugin.videoroom"

// ErrClosed says that the connection to the node is closed.
var ErrClosed = errors.New("connection closed")

// RefusedError is an error that the node answered with: Janus's, or a plugin's.
type RefusedError struct {
	Code   json.Number
	Reason string
}

// Error returns the code and the node's sentence.
func (e *RefusedError) Error() string { return fmt.Sprintf("refused: %s %s", e.Code, e.Reason) }

// Client is one client: a session, and the WebSocket connection that carries it. Its methods are safe for concurrent use,
// but for [Client.Claim].
type Client struct {
	// Lie, if set before publishing, changes the offers that the node is told.
	Lie func(sdp string) string

	place   Place
	url     string
	session json.Number // set once, by Create

	mu      sync.Mutex
	link    *link
	serial  uint64
	handles map[json.Number]*Handle
}

// link is one WebSocket connection.
type link struct {
	ws   *websocket.Conn
	tcp  net.Conn
	done chan struct{} // closed when the reader has ended

	mu      sync.Mutex
	waiting map[string]chan M // by transaction
}

// Place is where a client is: where its sockets are made. The zero value is this machine's loopback device.
type Place struct {
	Dial         func(ctx context.Context, network, address string) (net.Conn, error)
	ListenPacket func(ctx context.Context, network, address string) (net.PacketConn, error)
	Address      string // to listen on, without a port
}

func (p Place) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if p.Dial == nil {
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}
	return p.Dial(ctx, network, address)
}

// listen opens a UDP socket.
func (p Place) listen(ctx context.Context) (*net.UDPConn, error) {
	if p.ListenPacket == nil {
		return net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	}
	c, err := p.ListenPacket(ctx, "udp4", net.JoinHostPort(p.Address, "0"))
	if err != nil {
		return nil, err
	}
	return c.(*net.UDPConn), nil //nolint:forcetypeassert // what "udp4" gives
}

// Dial connects to the Janus API at a URL such as "ws://127.0.0.1:8188/".
func Dial(ctx context.Context, url string) (*Client, error) { return Place{}.Connect(ctx, url) }

// Connect is [Dial] from the place.
func (p Place) Connect(ctx context.Context, url string) (*Client, error) {
	c := &Client{place: p, url: url, handles: make(map[json.Number]*Handle)}
	if err := c.connect(ctx); err != nil {
		return nil, err
	}
	return c, nil
}

func (c *Client) connect(ctx context.Context) error {
	l := &link{done: make(chan struct{}), waiting: make(map[string]chan M)}
	transport := &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		var err error
		l.tcp, err = c.place.dial(ctx, network, address)
		return l.tcp, err
	}}
	var err error
	l.ws, _, err = websocket.Dial(ctx, c.url, &websocket.DialOptions{
		HTTPClient: &http.Client{Transport: transport}, Subprotocols: []string{"janus-protocol"},
	})
	if err != nil {
		return fmt.Errorf("connect to %s: %w", c.url, err)
	}
	l.ws.SetReadLimit(16 << 20)
	c.mu.Lock()
	c.link = l
	c.mu.Unlock()
	go c.read(l)
	return nil
}

// read takes what the node sends until the connection ends.
func (c *Client) read(l *link) {
	defer close(l.done)
	for {
		_, b, err := l.ws.Read(context.Background()) // ended by closing the connection
		if err != nil {
			return
		}
		m := M{}
		d := json.NewDecoder(bytes.NewReader(b))
		d.UseNumber()
		if d.Decode(&m) != nil {
			continue
		}
		if t, ok := m["transaction"].(string); ok {
			l.mu.Lock()
			w := l.waiting[t]
			l.mu.Unlock()
			if w != nil {
				select {
				case w <- m:
				default: // more answers than a request has
				}
				continue
			}
		}
		if sender, ok := m["sender"].(json.Number); ok {
			c.mu.Lock()
			h := c.handles[sender]
			c.mu.Unlock()
			if h != nil {
				h.take(m)
			}
		}
	}
}

// exchange sends a request and returns its answer, and with both the event that follows an ack.
func (c *Client) exchange(ctx context.Context, req M, both bool) (M, error) {
	c.mu.Lock()
	l := c.link
	c.serial++
	t := fmt.Sprint("t", c.serial)
	c.mu.Unlock()
	req["transaction"] = t
	if c.session != "" {
		req["session_id"] = c.session
	}
	b, err := json.Marshal(req)
	if err != nil {
		return nil, fmt.Errorf("encode request: %w", err)
	}
	w := make(chan M, 2)
	l.mu.Lock()
	l.waiting[t] = w
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		delete(l.waiting, t)
		l.mu.Unlock()
	}()
	if err := l.ws.Write(ctx, websocket.MessageText, b); err != nil {
		return nil, fmt.Errorf("%w: send: %w", ErrClosed, err)
	}
	for {
		select {
		case m := <-w:
			if both && m["janus"] == "ack" {
				continue
			}
			return m, refusal(m)
		case <-l.done:
			return nil, ErrClosed
		case <-ctx.Done():
			return nil, fmt.Errorf("%v %v: no answer: %w", req["janus"], req["body"], ctx.Err())
		}
	}
}

// refusal returns the error that a message carries.
func refusal(m M) error {
	if e, ok := m["error"].(M); ok {
		code, _ := e["code"].(json.Number)
		reason, _ := e["reason"].(string)
		return &RefusedError{code, reason}
	}
	if d := Data(m); d["error_code"] != nil {
		code, _ := d["error_code"].(json.Number)
		reason, _ := d["error"].(string)
		return &RefusedError{code, reason}
	}
	return nil
}

// Data returns what a plugin said in a message; nil if it said nothing.
func Data(m M) M {
	p, _ := m["plugindata"].(M)
	d, _ := p["data"].(M)
	return d
}

// Request sends a request to the session, or before [Client.Create] to the node, and returns the answer. What the node
// refuses is a [*RefusedError].
func (c *Client) Request(ctx context.Context, req M) (M, error) { return c.exchange(ctx, req, false) }

// Create makes the client's session.
func (c *Client) Create(ctx context.Context) error {
	m, err := c.Request(ctx, M{"janus": "create"})
	if err != nil {
		return fmt.Errorf("create session: %w", err)
	}
	d, _ := m["data"].(M)
	c.session, _ = d["id"].(json.Number)
	return nil
}

// Open connects and makes a session.
func Open(ctx context.Context, url string) (*Client, error) { return Place{}.Open(ctx, url) }

// Open is [Open] from the place.
func (p Place) Open(ctx context.Context, url string) (*Client, error) {
	c, err := p.Connect(ctx, url)
	if err != nil {
		return nil, err
	}
	if err := c.Create(ctx); err != nil {
		c.Cut()
		return nil, err
	}
	return c, nil
}

// Session returns the id of the session, "" without one.
func (c *Client) Session() json.Number { return c.session }

// Destroy ends the session politely and closes the connection.
func (c *Client) Destroy(ctx context.Context) error {
	_, err := c.Request(ctx, M{"janus": "destroy"})
	c.Cut()
	return err
}

// Cut breaks the connection for good without a word, and returns when its reader has ended.
func (c *Client) Cut() {
	c.disconnect()
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.handles)
}

func (c *Client) disconnect() {
	c.mu.Lock()
	l := c.link
	c.mu.Unlock()
	if t, ok := l.tcp.(*net.TCPConn); ok {
		_ = t.SetLinger(0) // a reset: not even a FIN says goodbye
	}
	_ = l.tcp.Close()
	_ = l.ws.CloseNow()
	<-l.done
}

// Closed returns what is closed when the connection is.
func (c *Client) Closed() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.link.done
}

// Claim breaks the connection and takes the session over to a new one.
func (c *Client) Claim(ctx context.Context) error {
	c.disconnect()
	if err := c.connect(ctx); err != nil {
		return err
	}
	if _, err := c.Request(ctx, M{"janus": "claim"}); err != nil {
		return fmt.Errorf("claim session: %w", err)
	}
	return nil
}

// ClaimAt is [Client.Claim] at another node.
func (c *Client) ClaimAt(ctx context.Context, url string) error {
	c.url = url
	return c.Claim(ctx)
}

// Handle is an attachment to a plugin.
type Handle struct {
	client *Client
	id     json.Number
	events chan M
}

// maxEvents is how many events of a handle wait to be asked for; further ones are dropped.
const maxEvents = 256

// Attach attaches a handle to a plugin.
func (c *Client) Attach(ctx context.Context, plugin string) (*Handle, error) {
	m, err := c.Request(ctx, M{"janus": "attach", "plugin": plugin})
	if err != nil {
		return nil, fmt.Errorf("attach: %w", err)
	}
	d, _ := m["data"].(M)
	id, _ := d["id"].(json.Number)
	h := &Handle{client: c, id: id, events: make(chan M, maxEvents)}
	c.mu.Lock()
	c.handles[id] = h
	c.mu.Unlock()
	return h, nil
}

// ID returns the handle's id.
func (h *Handle) ID() json.Number { return h.id }

func (h *Handle) take(m M) {
	select {
	case h.events <- m:
	default:
	}
}

// Events is where what happens to the handle comes out, but for what answers requests.
func (h *Handle) Events() <-chan M { return h.events }

// await waits for an event of a kind, skipping others.
func (h *Handle) await(ctx context.Context, kind string) error {
	for {
		select {
		case m := <-h.events:
			if m["janus"] == kind {
				return nil
			}
		case <-ctx.Done():
			return fmt.Errorf("no %s: %w", kind, ctx.Err())
		}
	}
}

// Request sends a request to the handle and returns the answer.
func (h *Handle) Request(ctx context.Context, req M) (M, error) {
	req["handle_id"] = h.id
	return h.client.exchange(ctx, req, false)
}

// Message sends a message to the plugin, with a session description unless jsep is nil, and returns what comes of it: the
// answer, or the event that follows the ack.
func (h *Handle) Message(ctx context.Context, body, jsep M) (M, error) {
	req := M{"janus": "message", "handle_id": h.id, "body": body}
	if jsep != nil {
		req["jsep"] = jsep
	}
	return h.client.exchange(ctx, req, true)
}

// Detach ends the handle.
func (h *Handle) Detach(ctx context.Context) error {
	_, err := h.Request(ctx, M{"janus": "detach"})
	return err
}
