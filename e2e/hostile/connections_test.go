package hostile

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"cardea/e2e/internal/caller"
	"cardea/node/config"

	"github.com/coder/websocket"
)

// connect opens a TCP connection, closed at the end of the attack.
func connect(t *testing.T, address string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// framed puts RFC 4571's length before a packet.
func framed(b []byte) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...) //nolint:gosec // packets are short
}

// TestMediaTCP attacks the TCP port of media: connections that say nothing, or one byte at a time, or what is no protocol,
// frames of wrong lengths, more connections than one source may have, and clients that never read.
func TestMediaTCP(t *testing.T) {
	s := open(t, "127.0.0.48", nil)
	ufrag, pwd := s.publisher.Credentials()
	refused := 0
	g := s.attack(func(context.Context) {
		var all []net.Conn
		defer func() {
			for _, c := range all {
				_ = c.Close()
			}
		}()
		begin := func(b []byte) net.Conn {
			c := connect(t, s.media.String())
			_, _ = c.Write(b)
			all = append(all, c)
			return c
		}
		for range 20 {
			begin(nil)
			begin([]byte{0})
			begin(random(100))
			begin([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"))
			begin([]byte{22, 3, 1, 0xff, 0xff})
			begin(append([]byte{0xff, 0xff}, random(3000)...))
			begin(framed(nil))
			begin(framed(check("nobody", "password")))
			begin(framed(check(ufrag, "password")))
			begin(append(framed(check("nobody", "password")), append([]byte{0x13, 0x88}, make([]byte, 5000)...)...)) // a frame too long, skipped
			begin(turnRequest())
			begin(append([]byte{0x40, 0, 0xff, 0xff}, random(1000)...)) // ChannelData that never ends
		}
		slow := begin(nil)
		for _, b := range framed(check(ufrag, pwd))[:12] {
			_, _ = slow.Write([]byte{b})
			s.rest(20 * time.Millisecond)
		}
		// One who has the password, asks and asks, and never reads an answer.
		deaf := begin(framed(check(ufrag, pwd)))
		_ = deaf.SetWriteDeadline(time.Now().Add(3 * time.Second))
		for b := framed(check(ufrag, pwd)); ; {
			if _, err := deaf.Write(bytes.Repeat(b, 20)); err != nil {
				break
			}
		}
		// More than one source may have.
		for range 600 {
			begin(nil)
		}
		s.rest(time.Second)
		for _, c := range all {
			_ = c.SetReadDeadline(time.Now().Add(time.Millisecond))
			if _, err := io.Copy(io.Discard, c); !errors.Is(err, context.DeadlineExceeded) && !isTimeout(err) {
				refused++
			}
		}
	})
	if refused < 150 {
		t.Errorf("of some 850 connections only %d were closed", refused)
	}
	g.atLeast(20, "cardea_media_checks_refused_total", "cardea_media_strangers_total")
}

func isTimeout(err error) bool {
	ne, ok := errors.AsType[net.Error](err)
	return ok && ne.Timeout()
}

// socket connects by WebSocket without anything else.
func (s *stage) socket(ctx context.Context, protocols ...string) (*websocket.Conn, error) {
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
		if t, ok := conn.(*net.TCPConn); ok {
			_ = t.SetReadBuffer(16 << 10) // attackers have little to spare
		}
		return conn, err
	}}
	ws, response, err := websocket.Dial(ctx, s.ws(), &websocket.DialOptions{Subprotocols: protocols, HTTPClient: &http.Client{Transport: transport}})
	if err != nil && response != nil && response.Body != nil {
		_ = response.Body.Close()
	}
	if err == nil {
		ws.SetReadLimit(-1)
	}
	return ws, err
}

// TestWebSocket attacks the API over WebSocket: messages too large, nested too deep, not text, wrong subprotocols, floods of
// requests, clients that never read. The attackers share the node's processor, so the node allows each little: what counts is
// that it does not do more than that.
func TestWebSocket(t *testing.T) {
	s := open(t, "127.0.0.49", func(c *config.Config) { c.Limits.RequestsPerSecond = 20 })
	g := s.attack(func(ctx context.Context) {
		for _, protocol := range []string{"", "chat", "janus-admin-protocol", strings.Repeat("p", 4000)} {
			var list []string
			if protocol != "" {
				list = []string{protocol}
			}
			if ws, err := s.socket(ctx, list...); err == nil {
				t.Errorf("subprotocol %.20q is taken", protocol)
				_ = ws.CloseNow()
			}
		}
		for name, text := range map[string]string{
			"large":      `{"janus":"` + strings.Repeat("x", 1<<20) + `"}`,
			"deep":       strings.Repeat(`{"a":`, 100_000) + "1" + strings.Repeat("}", 100_000),
			"deep list":  strings.Repeat("[", 200_000),
			"not closed": `{"janus":"info","transaction":"`,
			"not UTF-8":  "{\"janus\":\"\xff\xfe\"}",
			"wide":       `{"janus":"message","transaction":"1","a":[` + strings.Repeat("0,", 50_000) + `0]}`,
			"many":       strings.Repeat(`{"janus":"ping","transaction":"1"} `, 1000),
			"no JSON":    strings.Repeat("hello ", 1000),
			"nothing":    "",
		} {
			ws, err := s.socket(ctx, "janus-protocol")
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			_ = ws.Write(ctx, websocket.MessageText, []byte(text))
			answered, cancel := context.WithTimeout(ctx, 5*time.Second)
			if _, b, err := ws.Read(answered); err != nil {
				t.Errorf("%s: no answer: %v", name, err)
			} else if name != "many" && !strings.Contains(string(b), `"error"`) {
				t.Errorf("%s: %.100s", name, b)
			}
			cancel()
			_ = ws.CloseNow()
		}
		s.floodRequests(ctx, 8)
		s.deafClients(ctx, 1)
	})
	g.atLeast(4, "cardea_janus_connections_refused_total")
	g.atLeast(1, "cardea_janus_oversize_total", "cardea_janus_rate_limited_total", "cardea_janus_connections_cut_total")
	g.atLeast(5, "cardea_janus_errors_total")
}

// floodRequests sends more requests than it may by n connections, for three seconds.
func (s *stage) floodRequests(ctx context.Context, n int) {
	var work sync.WaitGroup
	for range n {
		ws, err := s.socket(ctx, "janus-protocol")
		if err != nil {
			s.t.Error(err)
			continue
		}
		work.Go(func() {
			for {
				if _, _, err := ws.Read(context.Background()); err != nil {
					return
				}
			}
		})
		work.Go(func() {
			defer ws.CloseNow()
			limited, cancel := context.WithTimeout(ctx, 4*time.Second)
			defer cancel()
			flood(limited, 100, 3*time.Second, func() {
				_ = ws.Write(limited, websocket.MessageText, []byte(`{"janus":"info","transaction":"flood"}`))
			})
		})
	}
	work.Wait()
}

// deafClients asks for much and never reads it.
func (s *stage) deafClients(ctx context.Context, n int) {
	ctx, cancel := context.WithTimeout(ctx, 12*time.Second)
	defer cancel()
	var work sync.WaitGroup
	many := strings.Repeat(`{"janus":"ping","transaction":"`+strings.Repeat("t", 100_000)+`"} `, 4)
	for range n {
		ws, err := s.socket(ctx, "janus-protocol")
		if err != nil {
			s.t.Error(err)
			continue
		}
		work.Go(func() {
			defer ws.CloseNow()
			for range 25 { // 10 MB of answers, more than the kernel keeps for somebody who does not read
				if ws.Write(ctx, websocket.MessageText, []byte(many)) != nil {
					return
				}
			}
			<-ctx.Done()
		})
	}
	work.Wait()
}

// TestHTTP attacks the API over HTTP: bodies too large and too slow, header floods, strange methods and paths, hundreds of
// polls on one session, and of none.
func TestHTTP(t *testing.T) {
	s := open(t, "127.0.0.50", nil)
	address := s.tcp(8088)
	polls := 0
	g := s.attack(func(ctx context.Context) {
		raw := func(text string) string {
			c := connect(t, address)
			defer c.Close()
			_ = c.SetDeadline(time.Now().Add(5 * time.Second))
			_, _ = io.WriteString(c, text)
			line, _ := bufio.NewReader(c).ReadString('\n')
			return strings.TrimSpace(line)
		}
		post := func(path, body string) string {
			return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", path, len(body), body)
		}
		for want, requests := range map[string][]string{
			"413": {post("/janus", `{"janus":"`+strings.Repeat("x", 1<<20)+`"}`)},
			"404": {post("/janus/-1", "{}"), post("/janus/1/2/3", "{}"), post("/", "{}"), post("/janus/99999999999999999999999", "{}"), "GET /janus/12345 HTTP/1.1\r\nHost: x\r\n\r\n"},
			"431": {"GET /janus/info HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("y", 100_000) + "\r\n\r\n"},
			"400": {"NONSENSE\r\n\r\n", "GET /janus HTTP/1.1\r\n\r\n", "POST /janus HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n"},
			"200": {post("/janus", strings.Repeat("[", 100_000)), post("/janus", ""), "DELETE /janus HTTP/1.1\r\nHost: x\r\n\r\n"},
		} {
			for _, r := range requests {
				if got := raw(r); !strings.Contains(got, " "+want+" ") {
					t.Errorf("%.60q: %q, want %s", r, got, want)
				}
			}
		}
		slow := make([]net.Conn, 200) // headers and bodies that never end
		for i := range slow {
			slow[i] = connect(t, address)
			_, _ = io.WriteString(slow[i], []string{"", "G", "GET /janus/info HTTP/1.1\r\nX: ", "POST /janus HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{"}[i%4])
		}
		polls = s.pollMany(ctx, 400)
		for _, c := range slow {
			_ = c.Close()
		}
	})
	g.atLeast(1, "cardea_janus_oversize_total")
	if polls < 400 {
		t.Errorf("the node saw %d polls", polls)
	}
}

// pollMany polls one session by many connections and returns how many polls the node says it has.
func (s *stage) pollMany(ctx context.Context, n int) int {
	transport := &http.Transport{DisableKeepAlives: true}
	client := &http.Client{Transport: transport}
	do := func(ctx context.Context, method, path, body string) (string, error) {
		r, err := http.NewRequestWithContext(ctx, method, s.http()+path, strings.NewReader(body))
		if err != nil {
			return "", err
		}
		response, err := client.Do(r)
		if err != nil {
			return "", err
		}
		defer response.Body.Close()
		b, err := io.ReadAll(response.Body)
		return string(b), err
	}
	created, err := do(ctx, "POST", "", `{"janus":"create","id":4242,"transaction":"1"}`)
	if err != nil || !strings.Contains(created, "success") {
		s.t.Fatalf("create: %s %v", created, err)
	}
	polling, stop := context.WithCancel(ctx)
	var work sync.WaitGroup
	for range n {
		work.Go(func() { _, _ = do(polling, "GET", "/4242?maxev=10000000", "") })
		s.rest(5 * time.Millisecond)
	}
	seen := 0
	for range 100 {
		if seen = int(s.metrics()["cardea_janus_polls"]); seen >= n {
			break
		}
		s.rest(200 * time.Millisecond)
	}
	stop()
	work.Wait()
	if gone, err := do(ctx, "POST", "/4242", `{"janus":"destroy","transaction":"2"}`); err != nil || !strings.Contains(gone, "success") {
		s.t.Errorf("destroy: %s %v", gone, err)
	}
	return seen
}

// TestHoarders takes as many sessions, handles and rooms as the node gives.
func TestHoarders(t *testing.T) {
	s := open(t, "127.0.0.51", func(c *config.Config) {
		c.Limits.HandlesPerSession, c.Limits.RequestsPerSecond, c.Limits.SessionRate = 64, 20_000, 20
	})
	var sessions, handles, rooms int
	g := s.attack(func(ctx context.Context) {
		client, err := caller.Dial(ctx, s.ws())
		if err != nil {
			t.Fatal(err)
		}
		for range 3000 {
			if _, err := client.Request(ctx, caller.M{"janus": "create"}); err == nil {
				sessions++
			}
		}
		hoarder := s.patient(ctx)
		var h *caller.Handle
		for range 200 {
			if more, err := hoarder.Attach(ctx, caller.VideoRoom); err == nil {
				handles++
				h = more
			}
		}
		long := strings.Repeat("x", 1000)
		for i := range 3000 {
			if _, err := h.Message(ctx, caller.M{"request": "create", "room": 100_000 + i, "description": long}, nil); err == nil {
				rooms++
			}
		}
		for i := range rooms {
			_, _ = h.Message(ctx, caller.M{"request": "destroy", "room": 100_000 + i}, nil)
		}
		hoarder.Cut()
		client.Cut()
	})
	t.Logf("%d sessions, %d handles, %d rooms", sessions, handles, rooms)
	if sessions > 1000 {
		t.Errorf("%d sessions for one address", sessions)
	}
	if handles > 64 {
		t.Errorf("%d handles in one session", handles)
	}
	g.atLeast(1000, "cardea_janus_sessions_refused_total")
}

// patient opens a session as soon as the address may have one again.
func (s *stage) patient(ctx context.Context) *caller.Client {
	s.t.Helper()
	for {
		c, err := caller.Open(ctx, s.ws())
		if err == nil {
			s.t.Cleanup(c.Cut)
			return c
		}
		if ctx.Err() != nil {
			s.t.Fatal(err)
		}
		s.rest(100 * time.Millisecond)
	}
}
