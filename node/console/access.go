package console

import (
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// Access says who may see what is closed.
type Access struct {
	Token   string         // its bearer may, from anywhere; empty: there is none
	Allowed []netip.Prefix // whoever comes from there may without a token
}

// bears tells whether the request shows a token, where there is one to show, and whether it is the right one.
func (a Access) bears(r *http.Request) (shown, right bool) {
	scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	if !ok || a.Token == "" || !strings.EqualFold(scheme, "Bearer") {
		return false, false
	}
	got, want := sha256.Sum256([]byte(strings.TrimSpace(token))), sha256.Sum256([]byte(a.Token))
	return true, subtle.ConstantTimeCompare(got[:], want[:]) == 1
}

// allows tells whether the request may see what is closed.
func (a Access) allows(r *http.Request) bool {
	if shown, right := a.bears(r); shown {
		return right
	}
	return a.admits(r)
}

// admits tells whether the request may see what is closed without a token.
func (a Access) admits(r *http.Request) bool {
	for _, h := range []string{"X-Forwarded-For", "Forwarded", "X-Real-Ip", "Via"} {
		if r.Header.Get(h) != "" {
			return false // who asks is not who connected
		}
	}
	remote, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return false
	}
	addr := remote.Addr().Unmap().WithZone("")
	if addr.IsLoopback() && !local(r.Host) {
		return false
	}
	for _, p := range a.Allowed {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// local tells whether a Host header names this host as only a person or a tool on it would: no name that a stranger's
// DNS could answer for.
func local(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = hostport
	}
	if host == "localhost" {
		return true
	}
	_, err = netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil
}

// commanding guards, beyond what [closed] does, a handler that changes the mesh for whoever may see it. Without the token the request
// must name the node by its address: else a page that a browser on an allowed network has open could command by pointing its own
// name to the node, which makes it a page of this origin.
func commanding(access func() Access, h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if _, right := access().bears(r); !right && !local(r.Host) {
			http.Error(w, "without the console's token, name the node by its address", http.StatusForbidden)
			return
		}
		h(w, r)
	}
}

// wrongBurst is how many wrong tokens a source may show at once; then it waits, whatever it shows. It is enough for programs whose
// token was replaced, and nothing for who guesses.
const wrongBurst = 20

// gate guards handlers; access is asked for each request.
type gate struct {
	access func() Access
	source func(r *http.Request) netip.Addr
	wrong  *sources
}

func newGate(access func() Access, source func(r *http.Request) netip.Addr) *gate {
	return &gate{access: access, source: source, wrong: newSources(wrongBurst)}
}

// closed guards a handler.
func (g *gate) closed(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a, now := g.access(), time.Now()
		shown, right := a.bears(r)
		if shown && !a.admits(r) { // who needs none guesses none
			from := g.source(r)
			if !g.wrong.left(from, now) || !right && !g.wrong.take(from, now) {
				w.Header().Set("Retry-After", strconv.Itoa(int(sourceEvery/time.Second)))
				http.Error(w, "too many wrong tokens from this address, wait a moment", http.StatusTooManyRequests)
				return
			}
		}
		if a.allows(r) {
			h.ServeHTTP(w, r)
			return
		}
		if a.Token != "" {
			w.Header().Set("WWW-Authenticate", `Bearer realm="cardea"`)
			http.Error(w, "the console's token is needed", http.StatusUnauthorized)
			return
		}
		http.Error(w, "not open to this address (console.allowed, console.token)", http.StatusForbidden)
	})
}
