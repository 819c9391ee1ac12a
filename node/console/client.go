package console

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// Client asks a node's console.
type Client struct {
	URL   string // "http://127.0.0.1:9600"
	Token string // empty: the client's address must be allowed
	HTTP  *http.Client
}

// ErrNoAnswer says that there is no node, or none that answers.
var ErrNoAnswer = errors.New("no node answers")

// maxAnswer bounds what is read of an answer, bytes: a node with a hundred thousand rooms.
const maxAnswer = 64 << 20

// Status asks for the node's state.
func (c Client) Status(ctx context.Context) (s Status, err error) {
	return s, c.get(ctx, "/api/v1/status", &s)
}

// Rooms asks for the rooms on the node.
func (c Client) Rooms(ctx context.Context) ([]Room, error) {
	var r Rooms
	err := c.get(ctx, "/api/v1/rooms", &r)
	return r.Rooms, err
}

func (c Client) get(ctx context.Context, path string, into any) error {
	return c.do(ctx, http.MethodGet, path, nil, into)
}

func (c Client) post(ctx context.Context, path string, body, into any) error {
	b, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("ask the node: %w", err)
	}
	return c.do(ctx, http.MethodPost, path, b, into)
}

func (c Client) do(ctx context.Context, method, path string, content []byte, into any) error {
	address, err := url.JoinPath(c.URL, path)
	if err != nil {
		return fmt.Errorf("ask the node: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(content))
	if err != nil {
		return fmt.Errorf("ask the node: %w", err)
	}
	if content != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.Token != "" {
		req.Header.Set("Authorization", "Bearer "+c.Token)
	}
	resp, err := c.HTTP.Do(req)
	if err != nil {
		if ue, ok := errors.AsType[*url.Error](err); ok {
			err = ue.Err
		}
		return fmt.Errorf("%w at %s: %w", ErrNoAnswer, c.URL, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("ask %s: %w", c.URL, err)
	}
	if resp.StatusCode != http.StatusOK {
		line, _, _ := strings.Cut(string(body), "\n")
		return fmt.Errorf("%s answers %s: %.1000s", c.URL, resp.Status, line)
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("%s answers what is not of this version: %w", c.URL, err)
	}
	return nil
}
