package websocket

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/google/go-cmp/cmp"

	"cardea/signaling/events/guard"
	"cardea/signaling/events/sink"
	"cardea/signaling/events/spool"
)

// backend keeps what it is sent, and treats each connection as a function has it.
type backend struct {
	mu       sync.Mutex
	messages []string
	headers  []http.Header
	serve    func(number int, c *websocket.Conn) bool // false: read on
	open     sync.WaitGroup
}

func (b *backend) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.open.Add(1)
	defer b.open.Done()
	c, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"janus-events"}})
	if err != nil {
		return
	}
	defer c.CloseNow()
	b.mu.Lock()
	b.headers = append(b.headers, r.Header)
	number := len(b.headers)
	b.mu.Unlock()
	if b.serve != nil && b.serve(number, c) {
		return
	}
	c.SetReadLimit(1 << 20)
	for {
		_, text, err := c.Read(context.Background())
		if err != nil {
			return
		}
		b.mu.Lock()
		b.messages = append(b.messages, string(text))
		b.mu.Unlock()
	}
}

func start(t *testing.T, b *backend, cfg Config) *WebSocket {
	t.Helper()
	s := httptest.NewServer(b)
	cfg.URL = "ws" + strings.TrimPrefix(s.URL, "http") + "/events"
	w, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close(); b.open.Wait(); s.Close() })
	return w
}

func entries(n int) (all []spool.Entry) {
	for i := range n {
		text, _ := json.Marshal(map[string]int{"n": i})
		all = append(all, spool.Entry{Value: text, Seq: uint64(i + 1)})
	}
	return all
}

func want(t *testing.T, what string, got, want any) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

func TestMessages(t *testing.T) {
	b := &backend{}
	w := start(t, b, Config{Subprotocol: "janus-events", User: "me", Password: "secret"})
	for _, n := range []int{250, 1} {
		if sent, err := w.Send(t.Context(), entries(n)); sent != n || err != nil {
			t.Fatalf("sent: %d, %v", sent, err)
		}
	}
	w.SetGrouping(false)
	if sent, err := w.Send(t.Context(), entries(2)); sent != 2 || err != nil {
		t.Fatalf("sent: %d, %v", sent, err)
	}
	// The pong is back, so everything is there without waiting.
	b.mu.Lock()
	defer b.mu.Unlock()
	var sizes []int
	for _, m := range b.messages[:4] {
		var group []map[string]any
		if err := json.Unmarshal([]byte(m), &group); err != nil {
			t.Fatal(err)
		}
		sizes = append(sizes, len(group))
	}
	want(t, "groups", sizes, []int{100, 100, 50, 1})
	want(t, "each by itself", b.messages[4:], []string{`{"id":"00000000000000-1","n":0}`, `{"id":"00000000000000-2","n":1}`})
	want(t, "connections", len(b.headers), 1)
	want(t, "authorization", b.headers[0].Get("Authorization"), "Basic "+base64.StdEncoding.EncodeToString([]byte("me:secret")))
	want(t, "subprotocol", b.headers[0].Get("Sec-WebSocket-Protocol"), "janus-events")
}

// TestBroken has the first connections break in several ways: what was on its way comes again on the next.
func TestBroken(t *testing.T) {
	b := &backend{serve: func(number int, c *websocket.Conn) bool {
		switch number {
		case 1: // reads, and breaks before it answers
			_, _, _ = c.Reader(context.Background())
			return true
		case 2:
			_ = c.Close(websocket.StatusGoingAway, "")
			return true
		case 3: // talks much, which is passed over
			_ = c.Write(context.Background(), websocket.MessageText, make([]byte, 200<<10))
		}
		return false
	}}
	w := start(t, b, Config{})
	failures := 0
	for {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		n, err := w.Send(ctx, entries(3))
		cancel()
		if err == nil {
			want(t, "sent", n, 3)
			break
		}
		want(t, "sent by a broken connection", n, 0)
		if failures++; failures > 5 {
			t.Fatal(err)
		}
	}
	want(t, "failures", failures, 2)
	want(t, "messages", b.messages, []string{string(sink.AppendArray(nil, entries(3)))})
}

// TestSilent has a backend that takes messages and never answers: the attempt ends with its context.
func TestSilent(t *testing.T) {
	release := make(chan struct{})
	b := &backend{serve: func(int, *websocket.Conn) bool { <-release; return true }}
	w := start(t, b, Config{})
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if n, err := w.Send(ctx, entries(1)); n != 0 || err == nil {
		t.Errorf("sent: %d, %v", n, err)
	}
	close(release)
}

func TestNowhereElse(t *testing.T) {
	b := &backend{}
	s := httptest.NewServer(b)
	defer s.Close()
	w, err := New(Config{URL: "ws://localhost:" + s.URL[strings.LastIndex(s.URL, ":")+1:] + "/?key=hush"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Send(t.Context(), entries(1)); !errors.Is(err, guard.ErrAddress) || strings.Contains(err.Error(), "hush") {
		t.Errorf("a name of this machine: %v", err)
	}
	for _, wrong := range []string{"", "http://x", "ws://", "ws://u:p@x"} {
		if _, err := New(Config{URL: wrong}); err == nil {
			t.Errorf("%q was taken", wrong)
		}
	}
}
