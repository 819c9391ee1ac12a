package node

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"log/slog"
	"math/big"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"cardea/node/config"
)

// writeCertificate makes a certificate with a serial number to tell it by.
func writeCertificate(t *testing.T, dir string, serial int64) (certificate, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), DNSNames: []string{"node.example"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	certificate, key = filepath.Join(dir, "node.pem"), filepath.Join(dir, "node.key")
	for name, block := range map[string]*pem.Block{certificate: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: pkcs8}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certificate, key
}

// serialOf is the serial number of the certificate that a TLS port shows.
func serialOf(t *testing.T, address string) int64 {
	t.Helper()
	conn, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // nothing is said
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
}

// TestReload changes a node while it serves.
func TestReload(t *testing.T) {
	dir := t.TempDir()
	c := new(config.Default())
	c.Node.DataDir, c.Node.Bind, c.Node.StopTimeout = dir, netip.MustParseAddr("127.0.7.60"), time.Second
	c.Mesh.Enabled = false
	c.Console.Token = "old"
	c.TLS.Certificate, c.TLS.Key = writeCertificate(t, dir, 1)
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
	status := func(token string) int {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, ConsoleURL(c)+"/metrics", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+token)
		resp, err := h.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	cors := func() string {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://127.0.7.60:8088/janus/info", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Origin", "https://app.example")
		resp, err := h.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.Header.Get("Access-Control-Allow-Origin")
	}
	if status("old") != http.StatusOK || status("new") != http.StatusUnauthorized || cors() != "*" || serialOf(t, "127.0.7.60:9643") != 1 {
		t.Fatal("not as configured")
	}

	// All that may change, something that may not, and the same files with another certificate.
	to := *c
	to.Console.Token, to.Log.Level, to.TURN.Secrets, to.Limits.CPU = "new", slog.LevelDebug, []config.Secret{"s"}, 0.5
	to.Janus.AllowedOrigins, to.Limits.SessionRate = []string{"https://app.example"}, 5
	to.Janus.WSPort = 8189
	writeCertificate(t, dir, 2)
	r, err := n.reload(&to)
	if err != nil || !r.certificate || !slices.Equal(r.waiting, []string{"janus.ws_port"}) || len(r.changed) != 6 {
		t.Errorf("reload: %+v, %v", r, err)
	}
	if status("old") != http.StatusUnauthorized || status("new") != http.StatusOK {
		t.Error("the token has not changed")
	}
	if got := cors(); got != "https://app.example" {
		t.Errorf("allowed origin %q", got)
	}
	for _, port := range []string{"9643", "8989", "5349"} {
		if got := serialOf(t, "127.0.7.60:"+port); got != 2 {
			t.Errorf("port %s shows certificate %d", port, got)
		}
	}
	if level.Level() != slog.LevelDebug || n.load.admission.maxCPU != 0.5 {
		t.Error("log level or limit has not changed")
	}

	// What could not change is told again; what did is no news.
	if r, err = n.reload(&to); err != nil || r.changed != nil || !slices.Equal(r.waiting, []string{"janus.ws_port"}) {
		t.Errorf("second reload: %+v, %v", r, err)
	}

	// A certificate that cannot be read keeps everything as it was.
	back := to
	back.Console.Token = "third"
	if err := os.WriteFile(c.TLS.Key, []byte("no key"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err = n.reload(&back); err == nil || status("third") == http.StatusOK || serialOf(t, "127.0.7.60:9643") != 2 {
		t.Errorf("half reloaded: %v", err)
	}
}

// TestReloadable wants options that exist.
func TestReloadable(t *testing.T) {
	n, _ := listen(t, "127.0.7.61")
	defer n.Close()
	for _, o := range n.Reloadable() {
		section, key, _ := strings.Cut(o, ".")
		if _, err := config.Parse("test", []byte(section+": {"+key+": }")); err != nil && strings.Contains(err.Error(), "unknown key") {
			t.Errorf("%s is no option", o)
		}
	}
	if len(n.Reloadable()) < 10 {
		t.Errorf("hardly anything may change: %v", n.Reloadable())
	}
}

// TestReloadNow wants one line for each outcome, without secrets, and the service manager told.
func TestReloadNow(t *testing.T) {
	n, c := listen(t, "127.0.7.62")
	defer n.Close()
	to := *c
	to.Console.Token, to.Janus.WSPort = "very-secret", 1
	tests := []struct {
		name   string
		again  func() (*config.Config, error)
		log    string
		status string
	}{
		{"wrong", func() (*config.Config, error) { return nil, errors.New("line 1: bad\nline 2: worse") }, "configuration not reloaded", "reload failed: line 1: bad"},
		{"same", func() (*config.Config, error) { return c, nil }, "configuration reloaded", "ready"},
		{"changed", func() (*config.Config, error) { return &to, nil }, "options=[janus.ws_port]", "ready; for the next start: janus.ws_port"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			n.log = slog.New(slog.NewTextHandler(&out, nil))
			var told []string
			n.notifier = &notifier{log: n.log, send: func(s string) error { told = append(told, s); return nil }}
			signals := make(chan os.Signal, 1)
			signals <- syscall.SIGHUP
			ctx, stop := context.WithCancel(t.Context())
			again := func() (*config.Config, error) { stop(); return tt.again() }
			if err := n.reloadOn(ctx, signals, again); err != nil {
				t.Error(err)
			}
			if len(told) != 2 || !strings.HasPrefix(told[0], "RELOADING=1") || told[1] != "READY=1\nSTATUS="+tt.status {
				t.Errorf("told %q", told)
			}
			if !strings.Contains(out.String(), tt.log) || strings.Contains(out.String(), "very-secret") {
				t.Errorf("log: %s", &out)
			}
		})
	}
}
