package janus_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"cardea/relay/plane"
	"cardea/signaling/janus"
	"cardea/signaling/janus/janustest"
)

type M = janustest.M

// open runs a server with the probe plugin and attaches a handle to it.
func open(t *testing.T, configure func(*janus.Config), p *plugin) (*janus.Server, *janustest.Handle) {
	t.Helper()
	s, _ := janustest.NewServer(t, configure, p)
	return s, janustest.Open(t, s, probe)
}

// code is the error code of a reply, 0 without one.
func code(m M) int64 {
	e, _ := m["error"].(M)
	n, _ := e["code"].(json.Number)
	c, _ := n.Int64()
	return c
}

func TestNewRefusesBadConfigurations(t *testing.T) {
	for name, cfg := range map[string]janus.Config{
		"no plane":    {Node: "n"},
		"no node":     {Plane: &janustest.Plane{}},
		"two plugins": {Node: "n", Plane: &janustest.Plane{}, Plugins: []janus.Plugin{&plugin{}, &plugin{}}},
	} {
		if _, err := janus.New(cfg); err == nil {
			t.Error(name)
		}
	}
}

func TestAdmission(t *testing.T) {
	var full atomic.Bool
	s, _ := janustest.NewServer(t, func(c *janus.Config) {
		c.Admit = func() error {
			if full.Load() {
				return errors.New("full")
			}
			return nil
		}
		c.MaxSessions, c.MaxHandles = 2, 1
		c.APISecret = "s"
	}, &plugin{})
	c := janustest.Connect(t, s)
	create := M{"janus": "create", "apisecret": "s"}
	full.Store(true)
	if got := code(c.Request(M{"janus": "create"})); got != 472 {
		t.Errorf("while full and without the secret: %d; it must be refused for being full", got)
	}
	if r := c.Request(M{"janus": "info"}); r["accepting-new-sessions"] != false {
		t.Error("info says that sessions are accepted")
	}
	full.Store(false)
	s.Accept(false)
	if got := code(c.Request(create)); got != 472 {
		t.Error("while refused by the operator:", got)
	}
	s.Accept(true)
	first := c.Request(create)
	c.Request(create)
	if got := code(c.Request(create)); got != 472 {
		t.Error("beyond the bound:", got)
	}
	attach := M{"janus": "attach", "plugin": probe, "apisecret": "s", "session_id": first["data"].(M)["id"]}
	if got := code(c.Request(attach)); got != 0 {
		t.Error("first handle:", got)
	}
	if got := code(c.Request(attach)); got != 461 {
		t.Error("second handle:", got)
	}
	if got := s.Metrics().SessionsRefused.Load(); got != 3 {
		t.Error("refused:", got)
	}
}

func TestAddressesAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := janustest.NewServer(t, func(c *janus.Config) { c.CreateRate, c.CreateBurst = 1, 2 })
		src := janus.NewSource("test", func([]byte) {})
		create := func(a string) bool {
			var reply []byte
			s.Handle(t.Context(), janus.Request{Object: janus.Object{"janus": "create", "transaction": "1"}, Source: src, Address: netip.MustParseAddr(a)},
				func(b []byte) { reply = b })
			return strings.Contains(string(reply), "success")
		}
		for i, want := range []bool{true, true, false} {
			if create("192.0.2.1") != want {
				t.Errorf("session %d of one address", i)
			}
		}
		if create("::ffff:192.0.2.1") {
			t.Error("the same address in IPv6 dress")
		}
		if !create("192.0.2.2") {
			t.Error("another address")
		}
		create("2001:db8::1")
		create("2001:db8::2")
		if create("2001:db8::3") {
			t.Error("three of one /64")
		}
		time.Sleep(5 * time.Second)
		if !create("192.0.2.1") {
			t.Error("after a while")
		}
	})
}

func TestInfo(t *testing.T) {
	s, _ := janustest.NewServer(t, func(c *janus.Config) {
		c.TokenAuth, c.APISecret = true, "s"
		c.Info = janus.Info{ServerName: "here", PublicIPs: []string{"192.0.2.1"}}
	}, &plugin{})
	r := janustest.Connect(t, s).Request(M{"janus": "INFO"})
	for k, want := range map[string]string{
		"janus": "server_info", "name": "Janus WebRTC Server", "server-name": "here", "session-timeout": "60", "reclaim-session-timeout": "10",
		"candidates-timeout": "45", "api_secret": "true", "auth_token": "true", "public-ip": "192.0.2.1", "ice-lite": "false",
	} {
		if got := fmt.Sprint(r[k]); got != want {
			t.Errorf("%s is %s, want %s", k, got, want)
		}
	}
	p := r["plugins"].(M)[probe].(M)
	if p["name"] != "Probe" || p["version_string"] != "0.0.3" || p["version"] != json.Number("3") {
		t.Error("plugin:", p)
	}
}

func TestRefusedAttach(t *testing.T) {
	s, _ := janustest.NewServer(t, nil, &plugin{refuse: true})
	if r := janustest.Connect(t, s).Create().Request(M{"janus": "attach", "plugin": probe}); code(r) != 461 {
		t.Error(r)
	}
}

// TestBackPressure checks that a client cannot make the server hold more than a bounded number of messages, that the
// order is kept, and that trickles and keepalives are answered meanwhile.
func TestBackPressure(t *testing.T) {
	block := make(chan struct{})
	s, h := open(t, nil, &plugin{block: block})
	other := janustest.Connect(t, s)
	const n = 100
	var sent sync.WaitGroup
	sent.Go(func() {
		for range n {
			h.Send(M{"janus": "message", "handle_id": h.ID, "body": M{"request": "block"}})
		}
	})
	within(t, 5*time.Second, func() bool { return s.Metrics().Waits.Load() > 0 })
	if r := other.Request(M{"janus": "keepalive", "session_id": h.Session()}); r["janus"] != "ack" {
		t.Error(r)
	}
	if r := other.Request(M{"janus": "trickle", "session_id": h.Session(), "handle_id": h.ID, "candidate": M{}}); r["janus"] != "ack" {
		t.Error(r)
	}
	acks := 0
	for _, m := range h.Inbox() {
		if m["janus"] == "ack" {
			acks++
		}
	}
	if acks > 1 {
		t.Errorf("%d messages are worked on at once", acks)
	}
	close(block)
	sent.Wait()
	within(t, 5*time.Second, func() bool { return len(h.Inbox()) == 2*n })
	last := ""
	for i, m := range h.Take() {
		if want := [...]string{"ack", "event"}[i%2]; m["janus"] != want {
			t.Fatalf("message %d is %v, want %s", i, m, want)
		}
		if tr := m["transaction"].(string); i%2 == 1 && tr != last {
			t.Fatalf("event of %s after the ack of %s", tr, last)
		}
		last = m["transaction"].(string)
	}
}

// TestWaitingRequestEnds checks that a request that waits for its turn does not outlive its session.
func TestWaitingRequestEnds(t *testing.T) {
	block := make(chan struct{})
	defer close(block)
	s, h := open(t, nil, &plugin{block: block})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 100 {
			h.Send(M{"janus": "message", "handle_id": h.ID, "body": M{"request": "block"}})
		}
	}()
	within(t, 5*time.Second, func() bool { return s.Metrics().Waits.Load() > 0 })
	if r := janustest.Connect(t, s).Request(M{"janus": "destroy", "session_id": h.Session()}); r["janus"] != "success" {
		t.Error(r)
	}
	<-done
	within(t, 5*time.Second, func() bool { return s.Metrics().Handles.Load() == 0 && s.Metrics().Sessions.Load() == 0 })
}

// TestTextsOfClientsAreBounded checks that what a client says does not stay in memory whatever its size.
func TestTextsOfClientsAreBounded(t *testing.T) {
	s, p := janustest.NewServer(t, nil, &plugin{})
	h := janustest.Open(t, s, probe)
	long := strings.Repeat("x", 5000)
	if got := code(h.Client.Request(M{"janus": "attach", "plugin": probe, "opaque_id": long})); got != 467 {
		t.Error("a long opaque id:", got)
	}
	if two := h.Client.Request(M{"janus": "attach", "plugin": probe, "token": long}); code(two) != 0 {
		t.Error("a long token:", two)
	}
	for _, x := range s.Session(s.Sessions()[0]).Handles() {
		if x.Token() != "" {
			t.Error("a long token is kept")
		}
	}
	// Candidates that are none do not take the place of others.
	for range 200 {
		h.Request(M{"janus": "trickle", "candidate": M{"candidate": long, "sdpMid": "0"}})
	}
	h.Request(M{"janus": "trickle", "candidate": M{"candidate": M{"a": long}, "sdpMid": []any{long}, "other": long}})
	h.Request(M{"janus": "trickle", "candidate": M{"candidate": "candidate:1 1 udp 1 192.0.2.9 9 typ host", "sdpMLineIndex": 0, "other": long}})
	h.Request(M{"janus": "trickle", "candidate": M{"completed": true}})
	h.Message(M{"request": "answer"}, janustest.Offer("audio"))
	if peer := p.Peers()[0]; len(peer.Candidates) != 1 || !peer.Complete {
		t.Errorf("candidates %+v, complete: %v", peer.Candidates, peer.Complete)
	}
}

func TestTokens(t *testing.T) {
	s, _ := janustest.NewServer(t, func(c *janus.Config) { c.TokenAuth = true }, &plugin{})
	c := janustest.Connect(t, s)
	tokens := s.Tokens()
	create := M{"janus": "create", "token": "t"}
	if got := code(c.Request(create)); got != 403 {
		t.Error("unknown token:", got)
	}
	tokens.Add("t", "janus.plugin.other")
	id := c.Request(create)["data"].(M)["id"]
	attach := M{"janus": "attach", "session_id": id, "plugin": probe, "token": "t"}
	if got := code(c.Request(attach)); got != 405 {
		t.Error("plugin not allowed:", got)
	}
	if l, ok := tokens.Allow("t", probe, probe); !ok || len(l) != 2 {
		t.Error("Allow:", l, ok)
	}
	if got := code(c.Request(attach)); got != 0 {
		t.Error("plugin allowed:", got)
	}
	if l, ok := tokens.Disallow("t", probe); !ok || len(l) != 1 {
		t.Error("Disallow:", l, ok)
	}
	if got := code(c.Request(attach)); got != 405 {
		t.Error("plugin allowed no longer:", got)
	}
	if l := tokens.List(); len(l) != 1 || len(l["t"]) != 1 {
		t.Error("List:", l)
	}
	if !tokens.Remove("t") || tokens.Remove("t") {
		t.Error("Remove")
	}
	if _, ok := tokens.Allow("t", probe); ok {
		t.Error("Allow of a token that is not there")
	}
	if got := code(c.Request(M{"janus": "keepalive", "session_id": id, "token": "t"})); got != 403 {
		t.Error("token removed:", got)
	}
}

// TestPoll checks sessions whose client polls.
func TestPoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := janustest.NewServer(t, nil, &plugin{})
		src := janus.NewSource("http", nil)
		request := func(o janus.Object) (r M) {
			o["transaction"] = "1"
			s.Handle(t.Context(), janus.Request{Object: o, Source: src}, func(b []byte) {
				if err := json.Unmarshal(b, &r); err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
			return r
		}
		id := uint64(4711)
		request(janus.Object{"janus": "create", "id": json.Number("4711")})
		h := request(janus.Object{"janus": "attach", "plugin": probe, "session_id": json.Number("4711")})
		handle := json.Number(fmt.Sprintf("%.0f", h["data"].(M)["id"]))
		message := func() {
			request(janus.Object{"janus": "message", "session_id": json.Number("4711"), "handle_id": handle, "body": M{"request": "x"}})
		}
		poll := func(n int) int {
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			l, err := s.Poll(ctx, id, n)
			if err != nil {
				t.Error(err)
			}
			return len(l)
		}
		for range 3 {
			message()
		}
		if n := poll(2); n != 2 {
			t.Error("first poll:", n)
		}
		if n := poll(10); n != 1 {
			t.Error("second poll:", n)
		}
		start := time.Now()
		if n := poll(10); n != 0 || time.Since(start) != 30*time.Second {
			t.Error("nothing there:", n, time.Since(start))
		}
		// Two wait: the event wakes both and goes to one.
		got := make(chan int, 2)
		for range 2 {
			go func() { got <- poll(10) }()
		}
		synctest.Wait()
		message()
		if a, b := <-got, <-got; a+b != 1 {
			t.Error("two polls:", a, b)
		}
		// The session ends while one waits.
		go func() { got <- poll(10) }()
		synctest.Wait()
		request(janus.Object{"janus": "destroy", "session_id": json.Number("4711")})
		if n := <-got; n != 0 {
			t.Error("poll of a session that ended:", n)
		}
		if _, err := s.Poll(t.Context(), id, 1); !errors.Is(err, janus.ErrNoSession) {
			t.Error("poll afterwards:", err)
		}
		// A session that a connection owns is nobody else's to poll.
		c := janustest.Connect(t, s).Create()
		n, _ := c.Session().Int64()
		if _, err := s.Poll(t.Context(), uint64(n), 1); !errors.Is(err, janus.ErrNoSession) {
			t.Error("poll of a connection's session:", err)
		}
	})
}

// TestManySessions runs sessions against each other under the race detector.
func TestManySessions(t *testing.T) {
	s, p := janustest.NewServer(t, func(c *janus.Config) { c.ReclaimTimeout = -1 }, &plugin{})
	var clients sync.WaitGroup
	for i := range 20 {
		clients.Go(func() {
			h := janustest.Open(t, s, probe)
			for j := range 10 {
				h.Message(M{"request": "answer"}, janustest.Offer("audio"))
				for _, peer := range p.Peers() {
					p.Up(peer.ID)
				}
				if j%3 == 0 {
					h.Request(M{"janus": "hangup"})
				}
				h.Message(M{"request": "later"}, nil)
			}
			if i%2 == 0 {
				h.Close()
			} else {
				h.Client.Request(M{"janus": "destroy"})
			}
		})
	}
	clients.Wait()
	within(t, 10*time.Second, func() bool { return s.Metrics().Handles.Load() == 0 })
	if m := s.Metrics(); m.Sessions.Load() != 0 || m.Peers.Load() != 0 || m.Panics.Load() != 0 {
		t.Errorf("%d sessions, %d peers, %d panics", m.Sessions.Load(), m.Peers.Load(), m.Panics.Load())
	}
	for _, peer := range p.Peers() {
		if !peer.Closed {
			t.Errorf("peer %s is still open", peer.ID)
		}
	}
	if m := s.Metrics().Requests(); m["create"] != 20 || m["destroy"] != 10 {
		t.Errorf("counted %v", m)
	}
}

// TestServerEnds checks that everything is closed when the server ends.
func TestServerEnds(t *testing.T) {
	p := &janustest.Plane{}
	s, err := janus.New(janus.Config{Node: "n", Plane: p, Plugins: []janus.Plugin{&plugin{}}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	h := janustest.Open(t, s, probe)
	h.Message(M{"request": "answer"}, janustest.Offer("audio"))
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if l := p.Peers(); len(l) != 1 || !l[0].Closed {
		t.Error("peers:", l)
	}
	if got := code(janustest.Connect(t, s).Request(M{"janus": "create"})); got != 472 {
		t.Error("create after the end:", got)
	}
}

// TestUnreachablePlane checks that peers which could not be closed are closed later.
func TestUnreachablePlane(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p := janustest.NewServer(t, nil, &plugin{})
		h := janustest.Open(t, s, probe)
		h.Message(M{"request": "answer"}, janustest.Offer("audio"))
		p.Fail("Close", errors.New("link down"))
		p.Fail("Events", errors.New("link down"))
		h.Client.Request(M{"janus": "destroy"})
		time.Sleep(10 * time.Second)
		if p.Peers()[0].Closed {
			t.Fatal("closed although it cannot be")
		}
		p.Fail("Close", nil)
		p.Fail("Events", nil)
		time.Sleep(3 * time.Second)
		if !p.Peers()[0].Closed {
			t.Error("not closed although it can be")
		}
	})
}

// TestPlaneFails checks that a failing media plane fails requests and nothing else.
func TestPlaneFails(t *testing.T) {
	s, p := janustest.NewServer(t, nil, &plugin{})
	h := janustest.Open(t, s, probe)
	for _, method := range []string{"Open", "Negotiate"} {
		p.Fail(method, plane.ErrOverloaded)
		r := h.Message(M{"request": "answer"}, janustest.Offer("audio"))
		if text := fmt.Sprint(janustest.Data(r)["error"]); !strings.Contains(text, plane.ErrOverloaded.Error()) {
			t.Errorf("%s: %v", method, r)
		}
		p.Fail(method, nil)
	}
	if r := h.Message(M{"request": "answer"}, janustest.Offer("audio")); r["jsep"] == nil {
		t.Error("after the failures:", r)
	}
}
