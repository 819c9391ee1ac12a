package deploy

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"cardea/node"
	"cardea/node/config"
	"cardea/node/console"
)

// running is a node of this process.
type running struct {
	console console.Client
}

// inviteOne asks for an invitation for one node.
var inviteOne = console.InviteRequest{Uses: 1, Authority: true}

// configured is the configuration of a node on an address of its own.
func configured(t *testing.T, address string) *config.Config {
	t.Helper()
	c := new(config.Default())
	c.Node.DataDir, c.Node.Bind, c.Node.Name = t.TempDir(), netip.MustParseAddr(address), address
	c.Node.StopTimeout, c.Events.FlushTimeout = time.Second, 500*time.Millisecond
	c.Limits.SchedulingLatency, c.Quality.Interval = 0, time.Second
	return c
}

// listening makes a node that does not serve.
func listening(t *testing.T, address string) (n *node.Node, closeNode func()) {
	t.Helper()
	n, err := node.Listen(t.Context(), configured(t, address), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return n, n.Close
}

// start runs a node until the test ends.
func start(t *testing.T, address string, configure func(*config.Config)) *running {
	t.Helper()
	c := configured(t, address)
	if configure != nil {
		configure(c)
	}
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	n, err := node.Listen(t.Context(), c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- n.Serve(ctx) }()
	transport := &http.Transport{}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		stop()
		if err := <-done; err != nil {
			t.Errorf("node %s: %v", address, err)
		}
	})
	r := &running{console.Client{URL: node.ConsoleURL(c), HTTP: &http.Client{Transport: transport, Timeout: 10 * time.Second}}}
	for deadline := time.Now().Add(20 * time.Second); r.status(t, "/readyz") != http.StatusOK; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("node %s does not become ready", address)
		}
	}
	return r
}

func (r *running) status(t *testing.T, path string) int {
	t.Helper()
	resp, err := r.console.HTTP.Get(r.console.URL + path)
	if err != nil {
		return 0
	}
	resp.Body.Close()
	return resp.StatusCode
}

func (r *running) get(t *testing.T, path string) string {
	t.Helper()
	resp, err := r.console.HTTP.Get(r.console.URL + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v", path, resp.Status, err)
	}
	return string(b)
}
