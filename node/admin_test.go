package node

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/pion/stun/v4"

	"cardea/node/config"
)

// TestAdminAPI wants the admin API on this machine only, behind its secret, and able to change the log's level.
func TestAdminAPI(t *testing.T) {
	c := new(config.Default())
	c.Node.DataDir = t.TempDir()
	c.Node.Bind = netip.MustParseAddr("127.0.7.60")
	c.Node.StopTimeout = time.Second
	c.Janus.AdminSecret = "adm"
	level := new(slog.LevelVar)
	n, err := listenWith(t.Context(), c, quiet(), level)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- n.Serve(ctx) }()
	defer func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	h := client(t)
	for _, tt := range []struct{ body, want string }{
		{`{"janus":"set_log_level","level":7,"transaction":"1"}`, `"code":403`},
		{`{"janus":"set_log_level","level":2,"admin_secret":"adm","transaction":"1"}`, `"level":2`},
		{
			`{"janus":"query_transport","transport":"janus.transport.http","request":{"request":"connections"},"admin_secret":"adm","transaction":"1"}`,
			`"connections":{"admin_http":1,"http":0}`,
		},
		{`{"janus":"message_plugin","plugin":"janus.plugin.echotest","request":{"x":1},"admin_secret":"adm","transaction":"1"}`, `"response":{"x":1}`},
	} {
		resp, err := h.Post("http://127.0.7.60:7088/admin", "application/json", strings.NewReader(tt.body))
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || !strings.Contains(string(b), tt.want) {
			t.Errorf("%s: %s %v", tt.body, b, err)
		}
	}
	if level.Level() != slog.LevelError {
		t.Error("level of the log:", level.Level())
	}
}

// TestPagesAndProxies wants the configured origins and proxies to be known to the API.
func TestPagesAndProxies(t *testing.T) {
	c := new(config.Default())
	c.Node.DataDir = t.TempDir()
	c.Node.Bind = netip.MustParseAddr("127.0.7.61")
	c.Node.StopTimeout = time.Second
	c.Janus.AllowedOrigins = []string{"https://app.example.org"}
	c.Janus.TrustedProxies = []config.Network{{Prefix: netip.MustParsePrefix("127.0.0.0/8")}}
	c.Limits.SessionRate = 0.1 // bursts of one
	c.Limits.CPU, c.Limits.SchedulingLatency = 0, 0
	n, err := Listen(t.Context(), c, quiet())
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- n.Serve(ctx) }()
	defer func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	h := client(t)
	for _, tt := range []struct {
		origin, client string
		status         int
		want           string
	}{
		{"https://evil.example.org", "192.0.2.1", http.StatusForbidden, ""},
		{"https://app.example.org", "192.0.2.1", http.StatusOK, `"janus":"success"`},
		{"", "192.0.2.1", http.StatusOK, `"code":472`},
		{"", "192.0.2.2", http.StatusOK, `"janus":"success"`},
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://127.0.7.61:8088/janus", strings.NewReader(`{"janus":"create","transaction":"1"}`))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-Forwarded-For", tt.client)
		if tt.origin != "" {
			r.Header.Set("Origin", tt.origin)
		}
		resp, err := h.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != tt.status || !strings.Contains(string(b), tt.want) {
			t.Errorf("page of %q, client %s: %s %s %v", tt.origin, tt.client, resp.Status, b, err)
		}
	}
}

// TestAskSTUN asks a server that answers the second time only, and with rubbish before the answer.
func TestAskSTUN(t *testing.T) {
	server, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	go func() {
		b := make([]byte, 1500)
		for asked := 1; ; asked++ {
			k, from, err := server.ReadFrom(b)
			if err != nil {
				return
			}
			m := &stun.Message{Raw: b[:k]}
			if m.Decode() != nil || asked == 1 {
				_, _ = server.WriteTo([]byte("rubbish"), from)
				continue
			}
			r := stun.MustBuild(stun.NewTransactionIDSetter(m.TransactionID), stun.BindingSuccess, &stun.XORMappedAddress{IP: net.IP{192, 0, 2, 7}, Port: 4711})
			_, _ = server.WriteTo(r.Raw, from)
		}
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	address := server.LocalAddr().(*net.UDPAddr).AddrPort()
	if got, err := askSTUN(ctx, address, 0); err != nil || got != netip.MustParseAddrPort("192.0.2.7:4711") {
		t.Error(got, err)
	}
	server.Close()
	if got, err := askSTUN(ctx, address, 0); err == nil {
		t.Error("nobody answered:", got)
	}
	short, cancel := context.WithTimeout(ctx, time.Millisecond)
	defer cancel()
	silent, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	if _, err := askSTUN(short, silent.LocalAddr().(*net.UDPAddr).AddrPort(), 0); err == nil {
		t.Error("an answer out of nowhere")
	}
}
