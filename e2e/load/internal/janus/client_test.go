package janus

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// server answers each request with what the script says, by verb and, of messages, by the request in the body.
type server struct {
	script map[string][]string // with T for the transaction

	mu       sync.Mutex
	requests []map[string]any
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{subprotocol}})
	if err != nil {
		return
	}
	defer ws.CloseNow()
	for {
		_, b, err := ws.Read(r.Context())
		if err != nil {
			return
		}
		var request map[string]any
		if json.Unmarshal(b, &request) != nil {
			return
		}
		s.mu.Lock()
		s.requests = append(s.requests, request)
		s.mu.Unlock()
		verb := request["janus"].(string)
		if body, ok := request["body"].(map[string]any); ok {
			verb = body["request"].(string)
		}
		for _, answer := range s.script[verb] {
			if answer == "close" {
				return
			}
			answer = strings.ReplaceAll(answer, `"T"`, `"`+request["transaction"].(string)+`"`)
			if ws.Write(r.Context(), websocket.MessageText, []byte(answer)) != nil {
				return
			}
		}
	}
}

func dial(t *testing.T, script map[string][]string) (*server, *Client, error) {
	t.Helper()
	s := &server{script: script}
	h := httptest.NewServer(s)
	t.Cleanup(h.Close)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	c, err := Dial(ctx, "ws"+strings.TrimPrefix(h.URL, "http"), Credentials{APISecret: "secret", Token: "token"})
	return s, c, err
}

const (
	created  = `{"janus":"success","transaction":"T","data":{"id":9007199254740991}}`
	attached = `{"janus":"success","transaction":"T","session_id":1,"data":{"id":7}}`
	ack      = `{"janus":"ack","transaction":"T","session_id":1}`
	gone     = `{"janus":"success","transaction":"T","session_id":1}`
)

func TestClient(t *testing.T) {
	s, c, err := dial(t, map[string][]string{
		"create":  {created},
		"attach":  {attached},
		"destroy": {gone},
		"join": {
			ack,
			`{"janus":"event","sender":7,"plugindata":{"data":{"videoroom":"event"}}}`,
			`{"janus":"event","transaction":"T","sender":7,"plugindata":{"data":{"videoroom":"joined","id":"x"}},"jsep":{"type":"offer","sdp":"v=0"}}`,
		},
		"create room": {`{"janus":"success","transaction":"T","sender":7,"plugindata":{"data":{"error_code":427,"error":"Room exists"}}}`},
		"wrong":       {`{"janus":"error","transaction":"T","error":{"code":453,"reason":"Unknown request"}}`},
		"trickle": {
			ack,
			`{"janus":"trickle","sender":7,"candidate":{"candidate":"candidate:1"}}`,
			`{"janus":"webrtcup","sender":7}`, `{"janus":"webrtcup","sender":7}`,
			`{"janus":"hangup","sender":7,"reason":"Close PC"}`, `{"janus":"detached","sender":7}`,
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	candidates := make(chan Candidate, 4)
	h, err := c.Attach(ctx, "janus.plugin.videoroom", func(c Candidate) { candidates <- c })
	if err != nil {
		t.Fatal(err)
	}
	var joined struct{ ID json.RawMessage }
	trickle := false
	jsep, err := h.Request(ctx, map[string]any{"request": "join"}, &JSEP{Type: "offer", SDP: "v=0", Trickle: &trickle}, &joined)
	if err != nil || jsep == nil || jsep.Type != "offer" || string(joined.ID) != `"x"` {
		t.Errorf("join: %v %+v %s", err, jsep, joined.ID)
	}
	var failure *Error
	if _, err := h.Request(ctx, map[string]any{"request": "create room"}, nil, nil); !errors.As(err, &failure) || failure.Code != 427 {
		t.Errorf("plugin's error: %v", err)
	}
	if _, err := h.Request(ctx, map[string]any{"request": "wrong"}, nil, nil); !errors.As(err, &failure) || failure.Code != 453 {
		t.Errorf("core's error: %v", err)
	}
	if err := h.Trickle(ctx, Candidate{Mid: "0", Candidate: "candidate:2"}); err != nil {
		t.Error(err)
	}
	if err := h.AwaitUp(ctx); err != nil {
		t.Error(err)
	}
	if got := <-candidates; got.Candidate != "candidate:1" {
		t.Errorf("candidate %+v", got)
	}
	<-h.Down()
	if h.Reason() != "hangup Close PC" {
		t.Errorf("reason %q", h.Reason())
	}
	short, stop := context.WithTimeout(ctx, 50*time.Millisecond)
	defer stop()
	if _, err := h.Request(short, map[string]any{"request": "never answered"}, nil, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("no answer: %v", err)
	}
	if err := c.Close(ctx); err != nil {
		t.Error(err)
	}
	if _, err := c.Attach(ctx, "x", nil); err == nil {
		t.Error("attached after the end")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.requests {
		if r["apisecret"] != "secret" || r["token"] != "token" || r["transaction"] == "" {
			t.Errorf("request %v", r)
		}
		if r["janus"] != "create" && r["session_id"] != float64(9007199254740991) {
			t.Errorf("request %v", r)
		}
	}
}

func TestDialFails(t *testing.T) {
	for _, script := range []map[string][]string{
		{"create": {`{"janus":"error","transaction":"T","error":{"code":403,"reason":"Unauthorized"}}`}},
		{"create": {"close"}},
		{"create": {"rubbish"}},
	} {
		if _, _, err := dial(t, script); err == nil {
			t.Errorf("%v: a session all the same", script)
		}
	}
	if _, err := Dial(t.Context(), "ws://127.0.0.1:1", Credentials{}); err == nil {
		t.Error("connected to nobody")
	}
}

// TestServerGone wants pending requests to fail at once.
func TestServerGone(t *testing.T) {
	_, c, err := dial(t, map[string][]string{"create": {created}, "attach": {attached}, "join": {ack, "close"}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	h, err := c.Attach(ctx, "x", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.Request(ctx, map[string]any{"request": "join"}, nil, nil); err == nil || ctx.Err() != nil {
		t.Errorf("answered by nobody: %v", err)
	}
	if err := h.AwaitUp(ctx); err == nil || c.Err() == nil {
		t.Errorf("still connected: %v", err)
	}
	if err := c.Close(ctx); err == nil {
		t.Error("destroyed a session on a connection that is gone")
	}
}
