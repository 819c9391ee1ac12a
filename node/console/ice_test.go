package console

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// get asks the handler as a browser would.
func get(h http.Handler, path, remote, host string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, path, nil)
	r.RemoteAddr, r.Host = remote, host
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// TestSources wants credentials for who asks now and then, and only so many for who asks without end.
func TestSources(t *testing.T) {
	cfg := config()
	minted := 0
	cfg.ICEServers = func(host string) []ICEServer {
		minted++
		return []ICEServer{{URLs: []string{"turn:" + host}, Username: fmt.Sprint(minted), Credential: "c"}}
	}
	h := New(cfg)
	ask := func(remote string) (p Page) {
		t.Helper()
		w := get(h, "/api/v1/page", remote, "Call.Example:9600")
		if w.Code != http.StatusOK || w.Header().Get("Cache-Control") != "no-store" {
			t.Fatalf("%d, %v", w.Code, w.Header())
		}
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
			t.Fatal(err)
		}
		if p.WSPort != 8188 {
			t.Fatalf("page %+v", p)
		}
		return p
	}
	for range 10 * mintBurst {
		ask("192.0.2.1:1")
	}
	if minted != mintBurst {
		t.Errorf("%d credentials minted for one source, not %d", minted, mintBurst)
	}
	p := ask("192.0.2.2:1") // another one is not in the way
	if len(p.ICEServers) != 1 || p.ICEServers[0].URLs[0] != "turn:call.example" {
		t.Errorf("another source: %+v", p)
	}
	minted = 0
	for i := range 10 * mintBurst { // all addresses of one IPv6 network are one source
		ask(fmt.Sprintf("[2001:db8::%x]:1", i+1))
	}
	if minted != mintBurst {
		t.Errorf("%d credentials minted for one network, not %d", minted, mintBurst)
	}
	if cfg.Page.ICEServers != nil {
		t.Error("credentials of one visitor stayed in the configuration")
	}
	cfg.ICEServers = nil
	if b := get(New(cfg), "/api/v1/page", "192.0.2.1:1", "a").Body.String(); strings.Contains(b, "ice_servers") {
		t.Errorf("without TURN: %s", b)
	}
}

func TestSourcesIsBounded(t *testing.T) {
	m := newSources(mintBurst)
	now := time.Now()
	for i := range 4 * sourceBuckets {
		m.take(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), now)
	}
	if len(m.buckets) > sourceBuckets {
		t.Errorf("%d buckets", len(m.buckets))
	}
	if m.take(netip.Addr{}, now) || m.left(netip.Addr{}, now) {
		t.Error("a source without an address is served")
	}
	m = newSources(mintBurst) // the others may share its bucket
	one := netip.MustParseAddr("192.0.2.9")
	for range mintBurst {
		if !m.left(one, now) || !m.take(one, now) {
			t.Error("nothing is left")
		}
	}
	if m.left(one, now) || m.take(one, now) || !m.take(one, now.Add(2*sourceEvery)) {
		t.Error("the rate does not refill")
	}
}

func TestHostOf(t *testing.T) {
	for header, want := range map[string]string{
		"node.example": "node.example", "Node.Example:9600": "node.example", "127.0.0.2:9600": "127.0.0.2", "[::1]:9600": "::1", "[::1]": "::1",
		"[fe80::1%25eth0]:9600": "fe80::1", "": "", ":9600": "", "a b": "", "evil;script-src *": "", "a\r\nX: y": "", "host/path": "",
		strings.Repeat("a", 300): "", "[fe80::1%eth0]:1": "fe80::1",
	} {
		if got := hostOf(header); got != want {
			t.Errorf("%q: %q, not %q", header, got, want)
		}
	}
}

// TestPageHeaders wants the page locked to its own files, its node's API and its own window.
func TestPageHeaders(t *testing.T) {
	cfg := config()
	cfg.Page.WSSPort = 8989
	h := New(cfg)
	for _, path := range []string{"/", "/style.css", "/js/app.js", "/favicon.svg"} {
		w := get(h, path, "192.0.2.1:1", "call.example:9600")
		if w.Code != http.StatusOK {
			t.Errorf("%s: %d", path, w.Code)
		}
		for header, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer", "Cache-Control": "no-cache",
			"Permissions-Policy": "camera=(self), microphone=(self), display-capture=(self), geolocation=()",
			"Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self'; manifest-src 'self'; " +
				"connect-src 'self' ws://call.example:8188 wss://call.example:8989 wss://call.example; " +
				"frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
			"Cross-Origin-Opener-Policy": "",
		} {
			if got := w.Header().Get(header); got != want {
				t.Errorf("%s: %s: %s", path, header, got)
			}
		}
	}
	for path, want := range map[string]string{"/js/app.js": "text/javascript", "/style.css": "text/css", "/favicon.svg": "image/svg+xml"} {
		if got := get(h, path, "192.0.2.1:1", "a").Header().Get("Content-Type"); !strings.HasPrefix(got, want) {
			t.Errorf("%s is of type %s", path, got)
		}
	}
	for _, path := range []string{"/js/", "/js", "/js/none.js", "/../console.go", "/index.html/"} {
		if w := get(h, path, "192.0.2.1:1", "a"); w.Code == http.StatusOK {
			t.Errorf("%s: %d %.80s", path, w.Code, w.Body)
		}
	}
	for host, want := range map[string]string{"[::1]:9600": " ws://[::1]:8188 ", "evil;script-src *": " ws: wss:;"} {
		if got := get(h, "/", "192.0.2.1:1", host).Header().Get("Content-Security-Policy"); !strings.Contains(got, want) || strings.Contains(got, "script-src *") {
			t.Errorf("host %s: %s", host, got)
		}
	}
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.TLS = &tls.ConnectionState{}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if got := w.Header().Get("Cross-Origin-Opener-Policy"); got != "same-origin" {
		t.Errorf("over TLS: Cross-Origin-Opener-Policy %q", got)
	}
}

// TestPageIsPlain looks for what the page must not do: run what is in it, fetch from elsewhere, or put others' words into
// it as markup.
func TestPageIsPlain(t *testing.T) {
	files, err := web.ReadDir("web/js")
	if err != nil {
		t.Fatal(err)
	}
	names := []string{"web/index.html", "web/style.css"}
	for _, f := range files {
		names = append(names, "web/js/"+f.Name())
	}
	for _, name := range names {
		b, err := web.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, bad := range []string{
			"innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function", "javascript:", " onclick=", " onload=",
			"style=", "https://", "http://", "@import", "<script>",
		} {
			if strings.Contains(string(b), bad) {
				t.Errorf("%s has %q", name, bad)
			}
		}
	}
}
