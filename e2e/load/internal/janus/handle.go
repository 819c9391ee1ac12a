package janus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
)

// Handle is an attachment to a plugin. Methods are safe for concurrent use.
type Handle struct {
	client *Client
	id     uint64

	mu      sync.Mutex
	up      chan struct{} // closed by webrtcup
	isUp    bool
	down    chan struct{} // closed by hangup
	reason  string
	isDown  bool
	trickle func(Candidate)
}

// Attach attaches to a plugin. trickle gets the candidates that the server trickles, from the connection's goroutine; it must
// not block and may be nil.
func (c *Client) Attach(ctx context.Context, plugin string, trickle func(Candidate)) (*Handle, error) {
	m, err := c.request(ctx, map[string]any{"janus": "attach", "session_id": c.session, "plugin": plugin})
	if err != nil {
		return nil, fmt.Errorf("attach: %w", err)
	}
	h := &Handle{client: c, id: m.Data.ID, up: make(chan struct{}), down: make(chan struct{}), trickle: trickle}
	c.mu.Lock()
	c.handles[h.id] = h
	c.mu.Unlock()
	return h, nil
}

// take takes an event that answers no request.
func (h *Handle) take(m message) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch m.Janus {
	case "webrtcup":
		if !h.isUp {
			h.isUp = true
			close(h.up)
		}
	case "hangup", "detached":
		if !h.isDown {
			h.isDown, h.reason = true, m.Janus+" "+m.Reason
			close(h.down)
		}
	case "trickle":
		if h.trickle != nil && m.Candidate != nil {
			h.trickle(*m.Candidate)
		}
	}
}

// pluginError is how plugins report errors, inside what is a success to the core.
type pluginError struct {
	Code  int    `json:"error_code"`
	Error string `json:"error"`
}

// Request sends a message to the plugin, with a session description unless that is nil, and decodes what it answers into out.
func (h *Handle) Request(ctx context.Context, body any, jsep *JSEP, out any) (*JSEP, error) {
	request := map[string]any{"janus": "message", "session_id": h.client.session, "handle_id": h.id, "body": body}
	if jsep != nil {
		request["jsep"] = jsep
	}
	m, err := h.client.request(ctx, request)
	if err != nil {
		return nil, err
	}
	var failed pluginError
	if err := json.Unmarshal(m.PluginData.Data, &failed); err != nil {
		return nil, fmt.Errorf("answer of the plugin: %w", err)
	}
	if failed.Code != 0 {
		return nil, &Error{failed.Code, failed.Error}
	}
	if out != nil {
		if err := json.Unmarshal(m.PluginData.Data, out); err != nil {
			return nil, fmt.Errorf("answer of the plugin: %w", err)
		}
	}
	return m.JSEP, nil
}

// Trickle sends our candidates.
func (h *Handle) Trickle(ctx context.Context, candidates ...Candidate) error {
	for _, c := range candidates {
		err := h.client.write(ctx, map[string]any{
			"janus": "trickle", "session_id": h.client.session, "handle_id": h.id, "transaction": "trickle", "candidate": c,
		})
		if err != nil {
			return fmt.Errorf("trickle: %w", err)
		}
	}
	return nil
}

// AwaitUp waits until the server says that the PeerConnection is up.
func (h *Handle) AwaitUp(ctx context.Context) error {
	select {
	case <-h.up:
		return nil
	case <-h.down:
		return errors.New(h.reason)
	case <-h.client.done:
		return h.client.Err()
	case <-ctx.Done():
		return fmt.Errorf("no webrtcup: %w", ctx.Err())
	}
}

// Down is closed when the server has ended the PeerConnection; Reason then says why.
func (h *Handle) Down() <-chan struct{} { return h.down }

// Reason returns what the server said when it ended the PeerConnection. Only after Down.
func (h *Handle) Reason() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.reason
}
