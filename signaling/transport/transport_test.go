package transport_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"cardea/relay/plane"
	"cardea/signaling/janus"
	"cardea/signaling/janus/janustest"
	"cardea/signaling/transport"

	"github.com/coder/websocket"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type M = map[string]any

// probe is a plugin that pushes as many events of a size as a message asks for.
type probe struct{}

func (probe) Info() janus.PluginInfo                         { return janus.PluginInfo{Package: "janus.plugin.probe"} }
func (probe) Attach(h *janus.Handle) (janus.Instance, error) { return &instance{h}, nil }

type instance struct{ h *janus.Handle }

func (*instance) Sync(context.Context, *janus.Message) (any, bool) { return nil, false }
func (i *instance) Async(_ context.Context, m *janus.Message) {
	n, _ := m.Body.Int("events")
	size, _ := m.Body.Int("size")
	for range n {
		i.h.Push("", M{"filler": strings.Repeat("x", int(size))}, nil)
	}
}
func (*instance) Media(context.Context, plane.Event) {}
func (*instance) Hangup(context.Context)             {}
func (*instance) Detach(context.Context)             {}
func (*instance) Query() any                         { return nil }

// serve runs a transport on a listener of its own until the test is over, and returns the address.
func serve(t *testing.T, run func(context.Context, net.Listener, *tls.Config) error, certs *tls.Config) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx, ln, certs) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return ln.Addr().String()
}

// testCert is a certificate for 127.0.0.1 and a client's configuration that trusts it.
func testCert(t *testing.T) (server, client *tls.Config) {
	s := httptest.NewUnstartedServer(nil)
	s.StartTLS()
	t.Cleanup(s.Close)
	pool := x509.NewCertPool()
	pool.AddCert(s.Certificate())
	return &tls.Config{Certificates: s.TLS.Certificates}, &tls.Config{RootCAs: pool}
}

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

// webSocket runs a server with a WebSocket transport.
func webSocket(t *testing.T, cfg transport.WebSocketConfig, certs *tls.Config) (*janus.Server, string) {
	t.Helper()
	s, _ := janustest.NewServer(t, func(c *janus.Config) { c.ReclaimTimeout = -1 }, probe{})
	cfg.APIs = map[string]transport.API{transport.Subprotocol: s}
	cfg.Metrics = s.Metrics()
	cfg.Log = discard()
	return s, serve(t, transport.NewWebSocket(cfg).Serve, certs)
}

type wsClient struct {
	t *testing.T
	*websocket.Conn
}

func dial(t *testing.T, addr string, opts *websocket.DialOptions) *wsClient {
	t.Helper()
	if opts == nil {
		opts = &websocket.DialOptions{}
	}
	opts.Subprotocols = []string{"janus-protocol"}
	scheme := "ws://"
	if opts.HTTPClient != nil {
		scheme = "wss://"
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	c, _, err := websocket.Dial(ctx, scheme+addr, opts)
	if err != nil {
		t.Fatal(err)
	}
	c.SetReadLimit(-1)
	t.Cleanup(func() { _ = c.CloseNow() })
	return &wsClient{t, c}
}

func (c *wsClient) send(format string, args ...any) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := c.Write(ctx, websocket.MessageText, fmt.Appendf(nil, format, args...)); err != nil {
		c.t.Fatal(err)
	}
}

func (c *wsClient) receive() M {
	c.t.Helper()
	m, err := c.tryReceive()
	if err != nil {
		c.t.Fatal(err)
	}
	return m
}

func (c *wsClient) tryReceive() (m M, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_, b, err := c.Read(ctx)
	if err != nil {
		return nil, err
	}
	return m, json.Unmarshal(b, &m)
}

// open creates a session and attaches a handle.
func (c *wsClient) open() (session, handle uint64) {
	c.t.Helper()
	id := func(m M) uint64 {
		d, _ := m["data"].(M)
		f, _ := d["id"].(float64)
		return uint64(f)
	}
	c.send(`{"janus":"create","transaction":"1"}`)
	session = id(c.receive())
	c.send(`{"janus":"attach","plugin":"janus.plugin.probe","session_id":%d,"transaction":"2"}`, session)
	return session, id(c.receive())
}

func within(t *testing.T, f func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !f(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it did not happen in time")
		}
	}
}

func TestWebSocket(t *testing.T) {
	s, addr := webSocket(t, transport.WebSocketConfig{}, nil)
	c := dial(t, addr, nil)
	if c.Subprotocol() != "janus-protocol" {
		t.Error("subprotocol", c.Subprotocol())
	}
	c.send(`{"janus":"ping","transaction":"a"}{"janus":"ping","transaction":"b"}`)
	for _, want := range []string{"a", "b"} {
		if m := c.receive(); m["janus"] != "pong" || m["transaction"] != want {
			t.Error(m)
		}
	}
	c.send("rubbish")
	if m := c.receive(); m["error"].(M)["code"] != 454.0 || m["transaction"] != nil {
		t.Error(m)
	}
	session, handle := c.open()
	c.send(`{"janus":"message","session_id":%d,"handle_id":%d,"transaction":"3","body":{"events":3,"size":5}}`, session, handle)
	for _, want := range []string{"ack", "event", "event", "event"} {
		if m := c.receive(); m["janus"] != want {
			t.Error(m)
		}
	}
	// The session goes with its connection, for nobody may claim it.
	_ = c.CloseNow()
	within(t, func() bool { return s.Metrics().Sessions.Load() == 0 && s.Metrics().Connections.Load() == 0 })
}

func TestWebSocketTLS(t *testing.T) {
	server, client := testCert(t)
	_, addr := webSocket(t, transport.WebSocketConfig{}, server)
	tr := &http.Transport{TLSClientConfig: client}
	defer tr.CloseIdleConnections()
	c := dial(t, addr, &websocket.DialOptions{HTTPClient: &http.Client{Transport: tr}})
	c.send(`{"janus":"ping","transaction":"a"}`)
	if m := c.receive(); m["janus"] != "pong" {
		t.Error(m)
	}
}

func TestWebSocketRefuses(t *testing.T) {
	_, addr := webSocket(t, transport.WebSocketConfig{Origins: []string{"https://good.example"}}, nil)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	tests := []struct {
		name   string
		opts   websocket.DialOptions
		status int
	}{
		{"no subprotocol", websocket.DialOptions{}, 403},
		{"unknown subprotocol", websocket.DialOptions{Subprotocols: []string{"chat", "janus-admin-protocol"}}, 403},
		{"another origin", websocket.DialOptions{Subprotocols: []string{"janus-protocol"}, HTTPHeader: http.Header{"Origin": {"https://evil.example"}}}, 403},
		{"the origin without TLS", websocket.DialOptions{Subprotocols: []string{"janus-protocol"}, HTTPHeader: http.Header{"Origin": {"http://good.example"}}}, 403},
		{"the origin of a page from here", websocket.DialOptions{Subprotocols: []string{"janus-protocol"}, HTTPHeader: http.Header{"Origin": {"http://" + addr}}}, 403},
		{"no page", websocket.DialOptions{Subprotocols: []string{"janus-protocol"}}, 101},
		{"the origin", websocket.DialOptions{Subprotocols: []string{"x", "janus-protocol"}, HTTPHeader: http.Header{"Origin": {"https://good.example"}}}, 101},
	}
	for _, tt := range tests {
		c, resp, err := websocket.Dial(ctx, "ws://"+addr, &tt.opts)
		if resp == nil || resp.StatusCode != tt.status {
			t.Errorf("%s: %v, %v", tt.name, resp, err)
		}
		if c != nil {
			_ = c.CloseNow()
		}
	}
	resp, err := http.Get("http://" + addr + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer http.DefaultClient.CloseIdleConnections()
	_ = resp.Body.Close()
	if resp.StatusCode != 403 {
		t.Error("plain HTTP:", resp.Status)
	}
}

func TestWebSocketOversize(t *testing.T) {
	s, addr := webSocket(t, transport.WebSocketConfig{Limits: transport.Limits{MaxMessage: 1000}}, nil)
	c := dial(t, addr, nil)
	c.send(`{"janus":"ping","transaction":"1","pad":"%s"}`, strings.Repeat("x", 900))
	if m := c.receive(); m["janus"] != "pong" {
		t.Error("a message that is just small enough:", m)
	}
	c.send(`{"janus":"ping","transaction":"1","pad":"%s"}`, strings.Repeat("x", 100_000))
	if m := c.receive(); m["janus"] != "error" {
		t.Error(m)
	}
	_, err := c.tryReceive()
	if websocket.CloseStatus(err) != websocket.StatusMessageTooBig {
		t.Error("closed with", err)
	}
	if s.Metrics().Oversize.Load() != 1 {
		t.Error("not counted")
	}
}

// TestWebSocketRate checks that a client that floods is read slowly, and that another is not.
func TestWebSocketRate(t *testing.T) {
	s, addr := webSocket(t, transport.WebSocketConfig{Limits: transport.Limits{Rate: 100, Burst: 10}}, nil)
	flood := dial(t, addr, nil)
	start := time.Now()
	flood.send("%s", strings.Repeat(`{"janus":"ping","transaction":"f"}`, 30))
	other := dial(t, addr, nil)
	other.send(`{"janus":"ping","transaction":"o"}`)
	other.receive()
	fast := time.Since(start)
	for range 30 {
		flood.receive()
	}
	if slow := time.Since(start); slow < 150*time.Millisecond || fast > slow {
		t.Errorf("30 requests took %v, those of another client %v", slow, fast)
	}
	if s.Metrics().RateLimited.Load() == 0 {
		t.Error("not counted")
	}
}

// TestWebSocketSlowClient checks that a client that does not read is cut, and what waits for it is bounded.
func TestWebSocketSlowClient(t *testing.T) {
	s, addr := webSocket(t, transport.WebSocketConfig{Limits: transport.Limits{MaxQueue: 100_000}}, nil)
	c := dial(t, addr, nil)
	session, handle := c.open()
	c.send(`{"janus":"message","session_id":%d,"handle_id":%d,"transaction":"3","body":{"events":400,"size":50000}}`, session, handle)
	within(t, func() bool { return s.Metrics().Cut.Load() == 1 && s.Metrics().Connections.Load() == 0 })
	within(t, func() bool { return s.Metrics().Sessions.Load() == 0 })
}

func TestWebSocketPing(t *testing.T) {
	s, addr := webSocket(t, transport.WebSocketConfig{PingInterval: 20 * time.Millisecond, PingTimeout: 50 * time.Millisecond}, nil)
	dead := dial(t, addr, nil) // reads nothing, so it answers no ping
	alive := dial(t, addr, nil)
	got := make(chan error, 1)
	go func() {
		_, err := alive.tryReceive()
		got <- err
	}()
	within(t, func() bool { return s.Metrics().Connections.Load() == 1 })
	alive.send(`{"janus":"ping","transaction":"1"}`)
	if err := <-got; err != nil {
		t.Error("a client that answers was cut:", err)
	}
	if _, err := dead.tryReceive(); err == nil {
		t.Error("a client that does not answer was not cut")
	}
}

// web runs a server with an HTTP transport.
func web(t *testing.T, cfg transport.HTTPConfig, configure func(*janus.Config), certs *tls.Config) (*janus.Server, string) {
	t.Helper()
	s, _ := janustest.NewServer(t, configure, probe{})
	cfg.Server, cfg.Log = s, discard()
	addr := serve(t, transport.NewHTTP(cfg).Serve, certs)
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	return s, "http://" + addr
}

func request(t *testing.T, method, url, body string, head ...string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(head); i += 2 {
		r.Header.Set(head[i], head[i+1])
	}
	c := &http.Client{Timeout: 40 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := c.Do(r)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(b)
}

func TestHTTP(t *testing.T) {
	_, url := web(t, transport.HTTPConfig{Limits: transport.Limits{MaxMessage: 1000}}, nil, nil)
	url += "/janus"
	post := func(path, body string) string {
		_, b := request(t, "POST", url+path, body)
		return b
	}
	if b := post("", `{"janus":"create","id":55,"transaction":"1"}`); b != `{"janus":"success","transaction":"1","data":{"id":55}}` {
		t.Error(b)
	}
	var attached struct{ Data struct{ ID uint64 } }
	if err := json.Unmarshal([]byte(post("/55", `{"janus":"attach","plugin":"janus.plugin.probe","transaction":"1"}`)), &attached); err != nil {
		t.Fatal(err)
	}
	handle := fmt.Sprintf("/55/%d", attached.Data.ID)
	ping := `{"janus":"ping","transaction":"1"}`
	event := fmt.Sprintf(`{"janus":"event","session_id":55,"sender":%d,"plugindata":{"plugin":"janus.plugin.probe","data":{"filler":"xx"}}}`, attached.Data.ID)
	tests := []struct {
		method, path, body string
		status             int
		want               string // body, or what it contains behind a *
	}{
		{"POST", "", ping, 200, `{"janus":"pong","transaction":"1"}`},
		{"POST", "/", ping, 200, `*pong`},
		{"POST", "", "rubbish", 200, `*"code":454`},
		{"POST", "", ping + ping, 200, `*"code":454`},
		{"POST", "", "[]", 200, `*"code":455`},
		{"POST", "", `{"pad":"` + strings.Repeat("x", 2000) + `"}`, 413, ""},
		{"POST", "/abc", ping, 404, ""},
		{"POST", "/0", ping, 404, ""},
		{"POST", "/55/1/2", ping, 404, ""},
		{"POST", "/55", `{"janus":"keepalive","session_id":56,"transaction":"k"}`, 200, `*"code":457`},
		{"POST", "/55", `{"janus":"keepalive","session_id":55,"transaction":"k"}`, 200, `{"janus":"ack","session_id":55,"transaction":"k"}`},
		{"POST", "/55/7", `{"janus":"message","handle_id":8,"transaction":"k"}`, 200, `*"code":457`},
		{"POST", handle, `{"janus":"message","body":{"events":3,"size":2},"transaction":"k"}`, 200, `{"janus":"ack","session_id":55,"transaction":"k"}`},
		// Acknowledged in its turn, so all the events of the one before are there.
		{"POST", handle, `{"janus":"message","body":{},"transaction":"k"}`, 200, `{"janus":"ack","session_id":55,"transaction":"k"}`},
		{"GET", "/55", "", 200, event},
		{"GET", "/55?maxev=5&rid=123", "", 200, "[" + event + "," + event + "]"},
		{"GET", "/info", "", 200, `*"janus":"server_info"`},
		{"GET", "", "", 404, ""},
		{"GET", "/whatever", "", 404, ""},
		{"GET", "/56", "", 404, ""},
		{"GET", "/55/7", "", 302, ""},
		{"GET", "/../other", "", 404, ""},
		{"PUT", "", "", 200, `{"janus":"error","error":{"code":450,"reason":"Unsupported method PUT"}}`},
		{"HEAD", "", "", 200, ""},
		{"OPTIONS", "/55", "", 200, ""},
	}
	for _, tt := range tests {
		resp, b := request(t, tt.method, url+tt.path, tt.body)
		if resp.StatusCode != tt.status {
			t.Errorf("%s %q %.60s: status %d, want %d", tt.method, tt.path, tt.body, resp.StatusCode, tt.status)
		}
		if part, ok := strings.CutPrefix(tt.want, "*"); ok && !strings.Contains(b, part) || !ok && b != tt.want {
			t.Errorf("%s %q %.60s: %s, want %s", tt.method, tt.path, tt.body, b, tt.want)
		}
		if resp.Header.Get("Access-Control-Allow-Origin") != "*" || resp.Header.Get("Access-Control-Max-Age") != "86400" {
			t.Errorf("%s %q: headers %v", tt.method, tt.path, resp.Header)
		}
	}
	if resp, _ := request(t, "GET", url+"/55/7", ""); resp.Header.Get("Location") != "/janus/55" {
		t.Error("Location", resp.Header.Get("Location"))
	}
	if resp, _ := request(t, "GET", strings.TrimSuffix(url, "/janus")+"/januses", ""); resp.StatusCode != 404 {
		t.Error("a path that only begins like the API's:", resp.Status)
	}
}

// TestHTTPPollWaits checks that a poll waits for an event, also over TLS.
func TestHTTPPollWaits(t *testing.T) {
	_, url := web(t, transport.HTTPConfig{}, func(c *janus.Config) { c.APISecret = "s" }, nil)
	url += "/janus"
	request(t, "POST", url, `{"janus":"create","id":55,"apisecret":"s","transaction":"1"}`)
	_, b := request(t, "POST", url+"/55", `{"janus":"attach","plugin":"janus.plugin.probe","apisecret":"s","transaction":"1"}`)
	_, rest, _ := strings.Cut(b, `"data":{"id":`)
	handle, _, _ := strings.Cut(rest, "}")
	for _, q := range []string{"", "?apisecret=wrong", "?token=s"} {
		if resp, b := request(t, "GET", url+"/55"+q, ""); resp.StatusCode != 403 || b != "" {
			t.Errorf("poll with %q: %s", q, resp.Status)
		}
	}
	got := make(chan string, 1)
	go func() {
		_, b := request(t, "GET", url+"/55?apisecret=s&maxev=3", "")
		got <- b
	}()
	request(t, "POST", url+"/55/"+handle, `{"janus":"message","body":{"events":1},"apisecret":"s","transaction":"1"}`)
	if b := <-got; !strings.HasPrefix(b, `[{"janus":"event"`) {
		t.Error(b)
	}
	go func() {
		_, b := request(t, "GET", url+"/55?apisecret=s", "")
		got <- b
	}()
	time.Sleep(20 * time.Millisecond) // to be there first, most of the time; either way the poll must end
	request(t, "POST", url+"/55", `{"janus":"destroy","apisecret":"s","transaction":"1"}`)
	if b := <-got; b != `{"janus":"keepalive"}` && b != "" {
		t.Error("poll of a session that ended:", b)
	}
}

func TestHTTPTLS(t *testing.T) {
	server, client := testCert(t)
	_, url := web(t, transport.HTTPConfig{BasePath: "api"}, nil, server)
	tr := &http.Transport{TLSClientConfig: client, ForceAttemptHTTP2: true}
	defer tr.CloseIdleConnections()
	resp, err := (&http.Client{Transport: tr}).Post(strings.Replace(url, "http", "https", 1)+"/api", "application/json", bytes.NewReader([]byte(`{"janus":"ping","transaction":"1"}`)))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if b, _ := io.ReadAll(resp.Body); !strings.Contains(string(b), "pong") || resp.ProtoMajor != 2 {
		t.Errorf("%s %s", resp.Proto, b)
	}
}

func TestCORS(t *testing.T) {
	_, url := web(t, transport.HTTPConfig{Origins: []string{"https://other.example", "https://good.example"}}, nil, nil)
	ask := func(origin string) *http.Response {
		resp, _ := request(t, "OPTIONS", url+"/janus", "", "Origin", origin, "Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "content-type")
		return resp
	}
	if resp := ask("https://evil.example"); resp.StatusCode != 403 || resp.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Error("another origin:", resp.Status, resp.Header)
	}
	if resp := ask(""); resp.StatusCode != 200 || resp.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Error("no page:", resp.Status, resp.Header)
	}
	resp := ask("https://good.example")
	for k, want := range map[string]string{
		"Access-Control-Allow-Origin": "https://good.example", "Access-Control-Allow-Credentials": "true", "Vary": "Origin",
		"Access-Control-Allow-Methods": "POST", "Access-Control-Allow-Headers": "content-type",
	} {
		if got := resp.Header.Get(k); got != want || resp.StatusCode != 200 {
			t.Errorf("%s: %q, want %q", k, got, want)
		}
	}
}

// TestServeFails checks that a listener's failure is an error and not an end.
func TestServeFails(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = ln.Close()
	s, _ := janustest.NewServer(t, nil)
	w := transport.NewWebSocket(transport.WebSocketConfig{Metrics: s.Metrics(), Log: discard()})
	if err := w.Serve(t.Context(), ln, nil); !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
}

// TestAdminAPI serves the admin API beside the clients', and asks it about both.
func TestAdminAPI(t *testing.T) {
	s, url := web(t, transport.HTTPConfig{}, nil, nil)
	_ = url
	queries := map[string]func(janus.Object) any{}
	admin, err := janus.NewAdmin(s, janus.AdminConfig{Secret: "adm", Transports: queries})
	if err != nil {
		t.Fatal(err)
	}
	user := transport.NewHTTP(transport.HTTPConfig{Server: s, Log: discard()})
	adminWeb := transport.NewHTTP(transport.HTTPConfig{Server: s, Admin: admin, Log: discard()})
	adminSocket := transport.NewWebSocket(transport.WebSocketConfig{
		APIs: map[string]transport.API{transport.AdminSubprotocol: admin}, Metrics: s.Metrics(), Log: discard(),
	})
	maps.Copy(queries, transport.Queries(user, adminWeb, nil, adminSocket))
	url = "http://" + serve(t, adminWeb.Serve, nil) + "/admin"
	query := func(transport, body string) string {
		return `{"janus":"query_transport","transport":"` + transport + `","admin_secret":"adm","transaction":"1","request":` + body + `}`
	}
	reply := func(response string) string {
		return `{"janus":"success","response":` + response + `,"transaction":"1"}`
	}
	for _, tt := range []struct{ method, path, body, want string }{
		{"POST", "", `{"janus":"ping","transaction":"1"}`, `{"janus":"pong","transaction":"1"}`},
		{"POST", "", `{"janus":"create","transaction":"1","admin_secret":"adm"}`, `*"code":457`},
		{"POST", "", `{"janus":"list_sessions","transaction":"1"}`, `*"code":403`},
		{"POST", "", `{"janus":"list_sessions","transaction":"1","admin_secret":"adm"}`, `{"janus":"success","sessions":[],"transaction":"1"}`},
		{"POST", "/55", `{"janus":"list_handles","transaction":"1","admin_secret":"adm"}`, `*"code":458`},
		{"POST", "/55/6", `{"janus":"list_handles","transaction":"1","admin_secret":"adm","session_id":5}`, `*"code":457`},
		{"GET", "/info", "", `*"janus":"server_info"`},
		{"GET", "/55", "", `*"code":454`},
		{"GET", "/55/6", "", `*"code":454`},
		{"GET", "", "", ""},
		{"POST", "", query(transport.HTTPPackage, `{"request":"connections"}`), reply(`{"connections":{"admin_http":1,"http":0},"messages":0,"result":200}`)},
		{"POST", "", query(transport.WebSocketPackage, `{"request":"connections"}`), reply(`{"connections":0,"result":200}`)},
		{
			"POST", "", query(transport.WebSocketPackage, `{"request":"configure","json":"plain","events":true}`),
			reply(`{"notes":["Event handlers disabled at the core level"],"result":200}`),
		},
		{"POST", "", query(transport.HTTPPackage, `{"request":"configure","json":"verse"}`), `*"error_code":413`},
		{"POST", "", query(transport.HTTPPackage, `{"request":"configure","events":"x"}`), `*"error_code":413`},
		{"POST", "", query(transport.HTTPPackage, `{"request":5}`), `*"error_code":413`},
		{"POST", "", query(transport.HTTPPackage, `{}`), `*"error_code":412`},
		{"POST", "", query(transport.HTTPPackage, `{"request":"x"}`), `*"error":"Unknown request 'x'","error_code":411`},
	} {
		_, b := request(t, tt.method, url+tt.path, tt.body)
		if part, ok := strings.CutPrefix(tt.want, "*"); ok && !strings.Contains(b, part) || !ok && b != tt.want {
			t.Errorf("%s %q %.80s: %s, want %s", tt.method, tt.path, tt.body, b, tt.want)
		}
	}

	addr := serve(t, adminSocket.Serve, nil)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if _, _, err := websocket.Dial(ctx, "ws://"+addr, &websocket.DialOptions{Subprotocols: []string{transport.Subprotocol}}); err == nil {
		t.Error("the clients' API on the admin API's port")
	}
	ws, _, err := websocket.Dial(ctx, "ws://"+addr, &websocket.DialOptions{Subprotocols: []string{transport.AdminSubprotocol}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ws.CloseNow() }()
	c := &wsClient{t, ws}
	c.send("%s", query(transport.WebSocketPackage, `{"request":"connections"}`))
	if m := c.receive(); fmt.Sprint(m["response"]) != "map[connections:1 result:200]" {
		t.Error(m)
	}
}

// TestProxiesTellTheClient checks that limits of addresses hold for the clients behind a trusted proxy, one by one.
func TestProxiesTellTheClient(t *testing.T) {
	s, _ := janustest.NewServer(t, func(c *janus.Config) { c.CreateRate, c.CreateBurst = 0.001, 1 })
	proxies := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	url := "http://" + serve(t, transport.NewHTTP(transport.HTTPConfig{Server: s, Proxies: proxies, Log: discard()}).Serve, nil) + "/janus"
	socket := transport.NewWebSocket(transport.WebSocketConfig{
		APIs: map[string]transport.API{transport.Subprotocol: s}, Metrics: s.Metrics(), Proxies: proxies, Log: discard(),
	})
	addr := serve(t, socket.Serve, nil)
	for i, tt := range []struct{ client, want string }{
		{"192.0.2.1", "success"}, {"192.0.2.1", "error"}, {"192.0.2.2", "success"}, {"192.0.2.1, 192.0.2.2", "error"},
	} {
		if _, b := request(t, "POST", url, `{"janus":"create","transaction":"1"}`, "X-Forwarded-For", tt.client); !strings.Contains(b, tt.want) {
			t.Errorf("HTTP, %d: %s, want %s", i, b, tt.want)
		}
	}
	for i, tt := range []struct{ client, want string }{{"192.0.2.2", "error"}, {"192.0.2.3", "success"}, {"192.0.2.3", "error"}} {
		c := dial(t, addr, &websocket.DialOptions{HTTPHeader: http.Header{"X-Forwarded-For": {tt.client}}})
		c.send(`{"janus":"create","transaction":"1"}`)
		if m := c.receive(); m["janus"] != tt.want {
			t.Errorf("WebSocket, %d: %v, want %s", i, m, tt.want)
		}
	}
}

// TestRedirect sends clients that create sessions elsewhere: those alone, once, and none who would be refused there.
func TestRedirect(t *testing.T) {
	to, origins := "http://192.0.2.1:8088", []string{"https://app.example.org"}
	cfg := transport.HTTPConfig{Redirect: func(r *http.Request, client netip.Addr) string {
		if !client.IsLoopback() || r.TLS != nil {
			t.Errorf("asked for %v over TLS %v", client, r.TLS != nil)
		}
		return to
	}}
	_, open := web(t, cfg, nil, nil)
	cfg.Origins = origins
	_, closed := web(t, cfg, nil, nil)
	const create = `{"janus":"create","transaction":"t"}`
	for _, tt := range []struct {
		url, body string
		head      []string
		want      int
	}{
		{open + "/janus", create, nil, 307},
		{open + "/janus", create, []string{"Origin", "https://any.example.org"}, 307},
		{closed + "/janus", create, nil, 307},
		{closed + "/janus", create, []string{"Origin", origins[0]}, 200}, // a browser would come with the origin null
		{open + "/janus?redirected", create, nil, 200},
		{open + "/janus", `{"janus":"ping","transaction":"t"}`, nil, 200},
		{open + "/janus/5", create, nil, 200},
		{open + "/janus", `[]`, nil, 200},
	} {
		resp, b := request(t, "POST", tt.url, tt.body, tt.head...)
		location := resp.Header.Get("Location")
		if resp.StatusCode != tt.want || (location != "") != (tt.want == 307) {
			t.Errorf("%s %s: %d to %q", tt.url, tt.body, resp.StatusCode, location)
		}
		if location != "" && (location != to+"/janus?redirected" || b != `{"error":{"code":472,"reason":"Go to http://192.0.2.1:8088"},"janus":"error","transaction":"t"}` ||
			resp.Header.Get("Access-Control-Allow-Origin") == "" && len(tt.head) > 0) {
			t.Errorf("%s: to %q, %v, %s", tt.url, location, resp.Header, b)
		}
	}
	// A client that follows gets its session there.
	_, there := web(t, transport.HTTPConfig{}, nil, nil)
	to = there
	resp, err := http.Post(open+"/janus", "application/json", strings.NewReader(create))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || !strings.Contains(string(b), `"success"`) || !strings.HasPrefix(there, "http://"+resp.Request.URL.Host) {
		t.Errorf("at %s: %s %v", resp.Request.URL, b, err)
	}
}

// TestBye closes a connection in good order: what was sent comes first, then the word that the service restarts, and what comes later
// is there after a claim.
func TestBye(t *testing.T) {
	s, _ := janustest.NewServer(t, nil)
	w := transport.NewWebSocket(transport.WebSocketConfig{APIs: map[string]transport.API{transport.Subprotocol: s}, Metrics: s.Metrics()})
	server := httptest.NewServer(w)
	defer server.Close()
	dial := func() *websocket.Conn {
		c, _, err := websocket.Dial(t.Context(), server.URL, &websocket.DialOptions{Subprotocols: []string{transport.Subprotocol}})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	ask := func(c *websocket.Conn, request string) map[string]any {
		t.Helper()
		if err := c.Write(t.Context(), websocket.MessageText, []byte(request)); err != nil {
			t.Fatal(err)
		}
		_, b, err := c.Read(t.Context())
		m := map[string]any{}
		if err == nil {
			err = json.Unmarshal(b, &m)
		}
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	c := dial()
	defer func() { _ = c.CloseNow() }()
	data, _ := ask(c, `{"janus":"create","transaction":"1"}`)["data"].(map[string]any)
	id, _ := data["id"].(float64)
	if n := s.Departing(time.Now()); n != 1 {
		t.Fatalf("%d connections to close", n)
	}
	s.Depart(time.Now(), 1)
	_, _, err := c.Read(t.Context())
	if code := websocket.CloseStatus(err); code != websocket.StatusServiceRestart {
		t.Errorf("closed with %v: %v", code, err)
	}
	again := dial()
	defer func() { _ = again.CloseNow() }()
	if r := ask(again, fmt.Sprintf(`{"janus":"claim","session_id":%.0f,"transaction":"2"}`, id)); r["janus"] != "success" {
		t.Errorf("claim: %v", r)
	}
}
