package node

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"cardea/mesh/member"
	"cardea/node/config"
	"cardea/node/console"
)

// quiet is a logger for what tests do not look at.
func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// listen makes a node on an address of its own: 127.0.0.0/8 is all loopback.
func listen(t *testing.T, address string) (*Node, *config.Config) {
	t.Helper()
	c := new(config.Default())
	c.Node.DataDir = t.TempDir()
	c.Node.Bind = netip.MustParseAddr(address)
	c.Node.StopTimeout = time.Second
	c.Console.Token = "secret"
	n, err := Listen(t.Context(), c, quiet())
	if err != nil {
		t.Fatal(err)
	}
	return n, c
}

// client has connections of its own, so that none is left open after the test.
func client(t *testing.T) *http.Client {
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 10 * time.Second}
}

func TestServe(t *testing.T) {
	n, c := listen(t, "127.0.7.1")
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	done := make(chan error, 1)
	go func() { done <- n.Serve(ctx) }()
	h := client(t)
	for deadline := time.Now().Add(20 * time.Second); n.notReady() != nil && time.Now().Before(deadline); {
		time.Sleep(5 * time.Millisecond) // it waits a moment for others
	}
	for path, want := range map[string]string{"/healthz": "ok", "/readyz": "ready", "/metrics": "cardea_build_info{", "/": "<title>"} {
		resp, err := h.Get(ConsoleURL(c) + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusOK || !strings.Contains(string(body), want) {
			t.Errorf("%s: %d %.100s %v", path, resp.StatusCode, body, err)
		}
	}
	s, err := console.Client{URL: ConsoleURL(c), HTTP: h}.Status(t.Context())
	if err != nil || !s.Ready || s.Node == "" || s.Memory.Total == 0 || len(s.Listeners) != 9 {
		t.Errorf("status %+v, %v", s, err)
	}
	stop()
	if err := <-done; err != nil {
		t.Errorf("clean stop: %v", err)
	}
	if n.notReady() == nil {
		t.Error("ready after the stop")
	}
	again, _ := listen(t, "127.0.7.1") // all ports are free again
	again.Close()
}

// TestPortTaken wants no partial start and every port that is in the way named.
func TestPortTaken(t *testing.T) {
	first, c := listen(t, "127.0.7.2")
	defer first.Close()
	second := *c
	second.Janus.WSPort = 8190 // free
	_, err := Listen(t.Context(), &second, quiet())
	if !errors.Is(err, ErrPort) {
		t.Fatalf("second node on the same ports: %v", err)
	}
	for _, want := range []string{"janus.http_port (tcp 127.0.7.2:8088), ", "console.port (tcp 127.0.7.2:9600): address already in use; another program has it"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in %v", want, err)
		}
	}
	if strings.Contains(err.Error(), "ws_port") {
		t.Errorf("a free port is blamed: %v", err)
	}
	third := second
	third.Janus.HTTPPort, third.Console.Port, third.Media.Port = 8191, 9601, 3479
	third.Node.DataDir = t.TempDir()
	if _, err := Listen(t.Context(), &third, quiet()); !errors.Is(err, ErrPort) || !strings.Contains(err.Error(), "mesh") {
		t.Fatalf("second node on the ports of the mesh: %v", err)
	}
	third.Mesh.GossipPort, third.Mesh.LinkPort, third.Node.DataDir = 7948, 7949, c.Node.DataDir
	if _, err := Listen(t.Context(), &third, quiet()); !errors.Is(err, member.ErrInUse) {
		t.Fatalf("second node with the same directory: %v", err)
	}
	third.Node.DataDir = t.TempDir()
	n, err := Listen(t.Context(), &third, quiet())
	if err != nil {
		t.Fatalf("the failed start kept a port: %v", err)
	}
	n.Close()
}

func TestNoSuchAddress(t *testing.T) {
	c := new(config.Default())
	c.Node.DataDir = t.TempDir()
	c.Node.Bind = netip.MustParseAddr("192.0.2.1")
	if _, err := Listen(t.Context(), c, quiet()); !errors.Is(err, ErrPort) || !strings.Contains(err.Error(), "this host has no such address") {
		t.Errorf("%v", err)
	}
	c.TLS = config.TLS{Certificate: "/nowhere.pem", Key: "/nowhere.key"}
	if _, err := Listen(t.Context(), c, quiet()); err == nil || !strings.Contains(err.Error(), "tls.certificate: open /nowhere.pem") {
		t.Errorf("missing certificate: %v", err)
	}
}

// TestStopOrder wants the services stopped in reverse, each only when those after it have ended.
func TestStopOrder(t *testing.T) {
	n, _ := listen(t, "127.0.7.3")
	var mu sync.Mutex
	var order []string
	started := make(chan struct{}, 3)
	for _, name := range []string{"media", "signaling", "transport"} {
		n.services = append(n.services, service{name, func(ctx context.Context) error {
			started <- struct{}{}
			<-ctx.Done()
			mu.Lock()
			defer mu.Unlock()
			order = append(order, name)
			return nil
		}})
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- n.Serve(ctx) }()
	for range 3 {
		<-started
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if want := []string{"transport", "signaling", "media"}; !slices.Equal(order, want) {
		t.Errorf("stopped %v", order)
	}
}

func TestServiceFails(t *testing.T) {
	n, _ := listen(t, "127.0.7.4")
	broken := errors.New("broken")
	n.services = append(n.services, service{"media", func(context.Context) error { return broken }})
	if err := n.Serve(t.Context()); !errors.Is(err, broken) || !strings.Contains(err.Error(), "media: broken") {
		t.Errorf("%v", err)
	}
}

// TestStopDeadline has a service that will not end, which must not keep the others, or the program, from ending.
func TestStopDeadline(t *testing.T) {
	n, _ := listen(t, "127.0.7.5")
	release := make(chan struct{})
	n.services = append(n.services, service{"stubborn", func(context.Context) error { <-release; return nil }})
	ctx, stop := context.WithCancel(t.Context())
	stop()
	err := n.Serve(ctx)
	close(release)
	if !errors.Is(err, errStop) || !strings.Contains(err.Error(), "stubborn: did not stop in time") {
		t.Errorf("%v", err)
	}
	if strings.Contains(err.Error(), "console") {
		t.Errorf("the console was not stopped either: %v", err)
	}
}

func TestConsoleURL(t *testing.T) {
	for bind, want := range map[string]string{"": "http://127.0.0.1:9600", "0.0.0.0": "http://127.0.0.1:9600", "127.0.0.2": "http://127.0.0.2:9600", "::1": "http://[::1]:9600"} {
		c := config.Default()
		if bind != "" {
			c.Node.Bind = netip.MustParseAddr(bind)
		}
		if got := ConsoleURL(&c); got != want {
			t.Errorf("%q: %s", bind, got)
		}
	}
	c := config.Default()
	c.Console.Port = 0
	if got := ConsoleURL(&c); got != "" {
		t.Errorf("closed: %s", got)
	}
}
