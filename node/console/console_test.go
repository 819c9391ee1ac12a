package console

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"cardea/relay/plane"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func config() Config {
	return Config{
		Access: func() Access {
			return Access{Token: "secret", Allowed: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::1/128")}}
		},
		Page:    &Page{Version: "v1", WSPort: 8188},
		Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { text(w, http.StatusOK, "metrics") }),
		Ready:   func() error { return nil },
		Status:  func() Status { return Status{Node: "n", Sessions: 3} },
		Rooms:   func(context.Context) []Room { return []Room{{Room: "1234", Participants: 2}} },
		Peer: func(session, handle uint64) (Peer, bool) {
			return Peer{State: "connected"}, session == 9007199254740991 && handle == 2
		},
	}
}

func TestAccess(t *testing.T) {
	tests := []struct {
		name, remote, host string
		header             map[string]string
		want               bool
	}{
		{"local", "127.0.0.1:1", "127.0.0.1:9600", nil, true},
		{"local, by name", "127.0.0.1:1", "localhost:9600", nil, true},
		{"local, IPv6", "[::1]:1", "[::1]:9600", nil, true},
		{"local, IPv4 in IPv6", "[::ffff:127.0.0.1]:1", "127.0.0.1", nil, true},
		{"a page of the outside whose name points here", "127.0.0.1:1", "evil.example:9600", nil, false},
		{"allowed network", "10.1.2.3:1", "node.internal:9600", nil, true},
		{"stranger", "192.0.2.1:1", "127.0.0.1:9600", nil, false},
		{"through a proxy here", "127.0.0.1:1", "127.0.0.1", map[string]string{"X-Forwarded-For": "192.0.2.1"}, false},
		{"through a proxy that says Forwarded", "10.0.0.1:1", "a", map[string]string{"Forwarded": "for=192.0.2.1"}, false},
		{"token from anywhere", "192.0.2.1:1", "node.example", map[string]string{"Authorization": "bearer secret"}, true},
		{"token through a proxy", "127.0.0.1:1", "a", map[string]string{"Authorization": "Bearer secret", "Via": "1.1 p"}, true},
		{"wrong token, even from here", "127.0.0.1:1", "127.0.0.1", map[string]string{"Authorization": "Bearer wrong"}, false},
		{"no port", "127.0.0.1", "127.0.0.1", nil, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
			r.RemoteAddr, r.Host = tt.remote, tt.host
			for k, v := range tt.header {
				r.Header.Set(k, v)
			}
			if got := config().Access().allows(r); got != tt.want {
				t.Errorf("allowed: %v", got)
			}
		})
	}
	r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
	r.RemoteAddr = "192.0.2.1:1"
	r.Header.Set("Authorization", "Bearer ")
	if (Access{}).allows(r) {
		t.Error("an empty token is taken when none is configured")
	}
}

// TestGuessingTheToken has a source show a few wrong tokens and no more: after them not even the right one opens, for a while. Those who show
// none, and other sources, do not notice; of clients of a trusted proxy each is a source.
func TestGuessingTheToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := config()
		cfg.Client = func(r *http.Request) netip.Addr {
			if a, err := netip.ParseAddr(r.Header.Get("X-Forwarded-For")); err == nil {
				return a
			}
			return peer(r)
		}
		h := New(cfg)
		ask := func(remote, token, forwarded string) int {
			r := httptest.NewRequest(http.MethodGet, "/api/v1/status", nil)
			r.RemoteAddr, r.Host = remote, "127.0.0.1"
			if token != "" {
				r.Header.Set("Authorization", "Bearer "+token)
			}
			if forwarded != "" {
				r.Header.Set("X-Forwarded-For", forwarded)
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			return w.Code
		}
		guess := func(remote, forwarded string) (compared int) {
			for range 100 {
				switch code := ask(remote, "guess", forwarded); code {
				case http.StatusUnauthorized:
					compared++
				case http.StatusTooManyRequests:
				default:
					t.Fatalf("a guess: %d", code)
				}
			}
			return compared
		}
		if n := guess("192.0.2.1:1", ""); n != wrongBurst {
			t.Errorf("%d guesses were compared", n)
		}
		if n := guess("127.0.0.1:1", "198.51.100.1"); n != wrongBurst {
			t.Errorf("%d guesses by way of a proxy were compared", n)
		}
		if n := guess("127.0.0.1:1", "nobody"); n != wrongBurst {
			t.Errorf("%d guesses by way of a proxy that says nothing were compared", n)
		}
		for _, tt := range []struct {
			what, remote, token, forwarded string
			want                           int
		}{
			{"the right one after too many", "192.0.2.1:2", "secret", "", http.StatusTooManyRequests},
			{"another source", "192.0.2.2:1", "secret", "", http.StatusOK},
			{"another one by that proxy", "127.0.0.1:1", "secret", "198.51.100.2", http.StatusOK},
			{"without a token", "192.0.2.1:1", "", "", http.StatusUnauthorized},
			{"from here", "127.0.0.1:1", "", "", http.StatusOK},
			{"from here, with the token, after guesses by that proxy", "127.0.0.1:1", "secret", "", http.StatusOK},
		} {
			if code := ask(tt.remote, tt.token, tt.forwarded); code != tt.want {
				t.Errorf("%s: %d, not %d", tt.what, code, tt.want)
			}
		}
		time.Sleep(sourceEvery)
		if code := ask("192.0.2.1:1", "secret", ""); code != http.StatusOK {
			t.Errorf("a while later: %d", code)
		}
		for range 10 * wrongBurst { // who has it is not counted
			if code := ask("192.0.2.9:1", "secret", ""); code != http.StatusOK {
				t.Fatalf("the right one: %d", code)
			}
		}
	})
}

// TestOpenAndClosed asks for every path as a stranger and as somebody allowed.
func TestOpenAndClosed(t *testing.T) {
	h := New(config())
	tests := []struct {
		path            string
		stranger, known int
		body            string
	}{
		{"/healthz", 200, 200, "ok"},
		{"/readyz", 200, 200, "ready"},
		{"/", 200, 200, "<title>Cardea"},
		{"/api/v1/page", 200, 200, `"ws_port":8188`},
		{"/api/v1/peers/9007199254740991/2", 200, 200, `"state":"connected"`},
		{"/api/v1/peers/9007199254740990/2", 404, 404, ""},
		{"/api/v1/peers/x/2", 400, 400, ""},
		{"/api/v1/status", 401, 200, `"sessions":3`},
		{"/api/v1/rooms", 401, 200, `"room":"1234"`},
		{"/metrics", 401, 200, "metrics"},
		{"/debug/pprof/", 401, 200, "goroutine"},
		{"/debug/pprof/goroutine", 401, 200, ""},
		{"/nothing", 404, 404, ""},
	}
	for _, tt := range tests {
		for remote, want := range map[string]int{"192.0.2.1:1": tt.stranger, "127.0.0.1:1": tt.known} {
			r := httptest.NewRequest(http.MethodGet, tt.path, nil)
			r.RemoteAddr, r.Host = remote, "127.0.0.1"
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != want || want == http.StatusOK && !strings.Contains(w.Body.String(), tt.body) {
				t.Errorf("%s from %s: %d %.80s", tt.path, remote, w.Code, w.Body)
			}
		}
	}
	r := httptest.NewRequest(http.MethodPost, "/api/v1/status", nil)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d", w.Code)
	}
}

func TestNotReadyAndWithoutPage(t *testing.T) {
	cfg := config()
	cfg.Ready = func() error { return errors.New("stopping") }
	cfg.Page, cfg.Access = nil, func() Access { return Access{} }
	h := New(cfg)
	for path, want := range map[string]int{"/readyz": 503, "/healthz": 200, "/": 404, "/api/v1/page": 404, "/metrics": 403} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		if w.Code != want {
			t.Errorf("%s: %d, want %d", path, w.Code, want)
		}
	}
}

func TestClient(t *testing.T) {
	server := httptest.NewServer(New(config()))
	defer server.Close()
	c := Client{URL: server.URL, HTTP: server.Client()}
	s, err := c.Status(t.Context())
	if err != nil || s.Node != "n" || s.Sessions != 3 {
		t.Errorf("status: %+v, %v", s, err)
	}
	rooms, err := c.Rooms(t.Context())
	if d := cmp.Diff([]Room{{Room: "1234", Participants: 2}}, rooms); err != nil || d != "" {
		t.Errorf("rooms: %s %v", d, err)
	}
	c.Token = "wrong"
	if _, err = c.Status(t.Context()); err == nil || !strings.Contains(err.Error(), "401 Unauthorized: the console's token is needed") {
		t.Errorf("wrong token: %v", err)
	}
	c.URL = "http://127.0.0.1:1"
	if _, err = c.Status(t.Context()); err == nil || !strings.Contains(err.Error(), "no node answers at http://127.0.0.1:1: dial tcp") {
		t.Errorf("nobody there: %v", err)
	}
}

func TestPeerOf(t *testing.T) {
	p := PeerOf(plane.PeerStats{
		State: "connected", RTT: 1500 * time.Microsecond, Lines: []plane.LineStats{
			{
				Mid: "0", Kind: plane.Video, Sending: true, Codec: "vp8", Stream: plane.StreamID{Room: "videoroom/1", Publisher: "7", Mid: "0"},
				Jitter: 2 * time.Millisecond, Layers: []plane.LayerStats{{Substream: 2, Spatial: -1, Temporal: 1, RID: "h", Bitrate: 5}},
			},
			{Mid: "1", Kind: plane.Audio},
		},
	})
	b, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`"rtt_ms":1.5`, `"direction":"send"`, `"direction":"receive"`, `"room":"videoroom/1"`, `"kind":"audio"`, `"jitter_ms":2`,
		`"layers":[{"substream":2,"spatial":-1,"temporal":1,"rid":"h","bitrate":5,"rate":0}]`, `"layers":[]`,
	} {
		if !strings.Contains(string(b), want) {
			t.Errorf("%s is not in %s", want, b)
		}
	}
}
