package janustest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"testing"
	"time"

	"cardea/signaling/janus"
)

// M is a JSON object.
type M = map[string]any

// patience is how long a client waits for what must come.
const patience = 10 * time.Second

// NewServer runs a server with a [Plane] until the test is over. Configure, which may be nil, changes its configuration;
// unless it sets Log, nothing is logged.
func NewServer(t testing.TB, configure func(c *janus.Config), plugins ...janus.Plugin) (*janus.Server, *Plane) {
	t.Helper()
	p := &Plane{}
	cfg := janus.Config{Node: "node", Plane: p, Plugins: plugins}
	if configure != nil {
		configure(&cfg)
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	s, err := janus.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return s, p
}

// API is what a client can talk to: a server, or its admin API.
type API interface {
	Handle(ctx context.Context, r janus.Request, reply func(response []byte))
	Gone(src *janus.Source)
}

// Client is one connection of a client to a server in the same process. Numbers in what it receives are json.Number.
type Client struct {
	t       testing.TB
	api     API
	source  *janus.Source
	session json.Number

	mu     sync.Mutex
	serial int
	inbox  []M
	cut    bool          // the server closed the connection
	wake   chan struct{} // closed and replaced when something comes
}

// Connect makes a client that has no session yet.
func Connect(t testing.TB, api API) *Client {
	c := &Client{t: t, api: api, wake: make(chan struct{})}
	cut := func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.cut = true
	}
	c.source = janus.NewSource("janustest", c.receive).OnCut(cut).OnBye(cut)
	return c
}

// Cut tells whether the server closed the connection. The client does not: see Close.
func (c *Client) Cut() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cut
}

// Resume makes the client one of a session that another connection made.
func (c *Client) Resume(session json.Number) *Client {
	c.session = session
	return c
}

// Handle returns a handle that another connection attached.
func (c *Client) Handle(id json.Number) *Handle { return &Handle{Client: c, ID: id} }

// receive takes what the server sends.
func (c *Client) receive(b []byte) {
	m := M{}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if err := d.Decode(&m); err != nil {
		m = M{"unparsable": string(b)}
	}
	c.mu.Lock()
	c.inbox = append(c.inbox, m)
	close(c.wake)
	c.wake = make(chan struct{})
	c.mu.Unlock()
}

// Close breaks the connection.
func (c *Client) Close() { c.api.Gone(c.source) }

// Session returns the id of the client's session, "" without one.
func (c *Client) Session() json.Number { return c.session }

// Raw sends requests as they would be on the wire.
func (c *Client) Raw(request string) {
	c.t.Helper()
	l, fault := janus.Parse([]byte(request))
	if fault != nil {
		c.t.Fatalf("request %s: %v", request, fault)
	}
	for _, o := range l {
		c.api.Handle(context.Background(), janus.Request{Object: o, Source: c.source}, c.receive)
	}
}

// Send sends a request with a new transaction, which it returns.
func (c *Client) Send(req M) (transaction string) {
	c.t.Helper()
	c.mu.Lock()
	c.serial++
	transaction = fmt.Sprint("t", c.serial)
	c.mu.Unlock()
	r := M{"transaction": transaction}
	if c.session != "" {
		r["session_id"] = c.session
	}
	maps.Copy(r, req)
	b, err := json.Marshal(r)
	if err != nil {
		c.t.Fatalf("request: %v", err)
	}
	c.Raw(string(b))
	return transaction
}

// Request sends a request and returns the answer to it: the first message of its transaction.
func (c *Client) Request(req M) M {
	c.t.Helper()
	tr := c.Send(req)
	return c.Await(func(m M) bool { return m["transaction"] == tr })
}

// Await returns the first message that matches, leaving others for later, and fails the test if none comes.
func (c *Client) Await(match func(m M) bool) M {
	c.t.Helper()
	if m := c.await(match, patience); m != nil {
		return m
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t.Fatalf("nothing of the kind came, but %v", c.inbox)
	return nil
}

func (c *Client) await(match func(m M) bool, within time.Duration) M {
	deadline := time.NewTimer(within)
	defer deadline.Stop()
	for {
		c.mu.Lock()
		for i, m := range c.inbox {
			if match(m) {
				c.inbox = append(c.inbox[:i:i], c.inbox[i+1:]...)
				c.mu.Unlock()
				return m
			}
		}
		wake := c.wake
		c.mu.Unlock()
		select {
		case <-wake:
		case <-deadline.C:
			return nil
		}
	}
}

// Inbox returns what came and was not awaited.
func (c *Client) Inbox() []M {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]M(nil), c.inbox...)
}

// Take returns what came and was not awaited, and forgets it.
func (c *Client) Take() []M {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.inbox
	c.inbox = nil
	return l
}

// Create makes the client's session.
func (c *Client) Create() *Client {
	c.t.Helper()
	r := c.Request(M{"janus": "create"})
	if r["janus"] != "success" {
		c.t.Fatalf("create: %v", r)
	}
	c.session = r["data"].(M)["id"].(json.Number)
	return c
}

// Attach attaches a handle to a plugin.
func (c *Client) Attach(plugin string) *Handle {
	c.t.Helper()
	r := c.Request(M{"janus": "attach", "plugin": plugin})
	if r["janus"] != "success" {
		c.t.Fatalf("attach: %v", r)
	}
	return &Handle{Client: c, ID: r["data"].(M)["id"].(json.Number)}
}

// Open connects a client, creates a session and attaches a handle to a plugin.
func Open(t testing.TB, s *janus.Server, plugin string) *Handle {
	t.Helper()
	return Connect(t, s).Create().Attach(plugin)
}

// Handle is a client's handle.
type Handle struct {
	*Client
	ID json.Number
}

// Request sends a request to the handle and returns the answer to it.
func (h *Handle) Request(req M) M {
	h.t.Helper()
	r := M{"handle_id": h.ID}
	maps.Copy(r, req)
	return h.Client.Request(r)
}

// Message sends a message to the plugin, with a session description unless jsep is nil, and returns the outcome: the
// success or error that answers it, or the event that follows the ack.
func (h *Handle) Message(body, jsep M) M {
	h.t.Helper()
	req := M{"janus": "message", "body": body}
	if jsep != nil {
		req["jsep"] = jsep
	}
	r := h.Request(req)
	if r["janus"] != "ack" {
		return r
	}
	return h.Await(func(m M) bool { return m["transaction"] == r["transaction"] })
}

// Event returns the next event of the handle that answers no request.
func (h *Handle) Event() M {
	h.t.Helper()
	return h.Await(func(m M) bool { return m["sender"] == h.ID && m["transaction"] == nil })
}

// EventOf returns the next event of the handle of a kind: "event", "webrtcup", "hangup", ...
func (h *Handle) EventOf(kind string) M {
	h.t.Helper()
	return h.Await(func(m M) bool { return m["sender"] == h.ID && m["transaction"] == nil && m["janus"] == kind })
}

// Data returns plugindata.data of a reply or event; nil if it has none.
func Data(m M) M {
	p, _ := m["plugindata"].(M)
	d, _ := p["data"].(M)
	return d
}
