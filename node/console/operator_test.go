package console

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"
)

const testPassword = "correct horse"

// operated is a console with a password, and what was done by it.
func operated(password string) (h http.Handler, done func() []string) {
	var acts []string
	cfg := config()
	cfg.Operator = Operator{
		Password: password,
		Drain: func(_ context.Context, node string, undo bool) error {
			if node == "unknown" {
				return errors.New("no such node")
			}
			acts = append(acts, fmt.Sprint("drain ", node, " ", undo))
			return nil
		},
		Kick: func(_ context.Context, plugin, room, participant string) error {
			acts = append(acts, fmt.Sprint("kick ", plugin, " ", room, " ", participant))
			return nil
		},
	}
	return New(cfg), func() []string { return acts }
}

// asking sends a request from this host, as a page of the console would.
func asking(h http.Handler, method, path, body string, change func(r *http.Request)) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.RemoteAddr, r.Host = "127.0.0.1:1", "127.0.0.1:9600"
	r.Header.Set("Content-Type", "application/json")
	if change != nil {
		change(r)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// signIn shows the password and returns the cookie.
func signIn(t *testing.T, h http.Handler) *http.Cookie {
	t.Helper()
	w := asking(h, "POST", "/api/v1/operator/login", `{"password": "`+testPassword+`"}`, nil)
	cookies := w.Result().Cookies()
	if w.Code != http.StatusOK || len(cookies) != 1 {
		t.Fatalf("login: %d %s %v", w.Code, w.Body, cookies)
	}
	return cookies[0]
}

func TestOperator(t *testing.T) {
	h, done := operated(testPassword)
	cookie := signIn(t, h)
	if !cookie.HttpOnly || cookie.SameSite != http.SameSiteStrictMode || strings.Contains(cookie.Value, testPassword) || len(cookie.Value) != 64 {
		t.Errorf("cookie: %v", cookie)
	}
	with := func(r *http.Request) { r.AddCookie(cookie) }
	forged := func(r *http.Request) {
		r.AddCookie(&http.Cookie{Name: operatorCookie, Value: strings.Repeat("0", 64)})
	}
	foreign := func(r *http.Request) {
		with(r)
		r.Header.Set("Origin", "https://evil.example")
		r.Header.Set("Sec-Fetch-Site", "cross-site")
	}
	outside := func(r *http.Request) { with(r); r.RemoteAddr = "192.0.2.1:1" }
	form := func(r *http.Request) { with(r); r.Header.Set("Content-Type", "text/plain") }
	tests := []struct {
		name, method, path, body string
		change                   func(*http.Request)
		status                   int
		answer                   string
	}{
		{"what may be done", "GET", "/api/v1/operator", "", with, 200, `{"possible":true,"in":true,"drain":true,"kick":true}`},
		{"without having shown it", "GET", "/api/v1/operator", "", nil, 200, `{"possible":true,"in":false,"drain":true,"kick":true}`},
		{"with a cookie of one's own", "GET", "/api/v1/operator", "", forged, 200, `"in":false`},
		{"the wrong password", "POST", "/api/v1/operator/login", `{"password": "horse"}`, nil, 403, "not the password"},
		{"none", "POST", "/api/v1/operator/login", `{}`, nil, 403, "not the password"},
		{"login from outside", "POST", "/api/v1/operator/login", `{"password": "` + testPassword + `"}`, outside, 401, ""},
		{"drain", "POST", "/api/v1/operator/drain", `{"node": "b"}`, with, 200, "{}"},
		{"take back", "POST", "/api/v1/operator/drain", `{"node": "b", "undo": true}`, with, 200, "{}"},
		{"what is not there", "POST", "/api/v1/operator/drain", `{"node": "unknown"}`, with, 409, "no such node"},
		{"kick", "POST", "/api/v1/operator/kick", `{"plugin": "p", "room": "r/1", "participant": "7"}`, with, 200, "{}"},
		{"drain without the password", "POST", "/api/v1/operator/drain", `{"node": "b"}`, nil, 403, "password is needed"},
		{"kick without the password", "POST", "/api/v1/operator/kick", `{}`, forged, 403, "password is needed"},
		{"drain from another page", "POST", "/api/v1/operator/drain", `{"node": "b"}`, foreign, 403, ""},
		{"drain by a form", "POST", "/api/v1/operator/drain", `{"node": "b"}`, form, 415, ""},
		{"drain from outside", "POST", "/api/v1/operator/drain", `{"node": "b"}`, outside, 401, ""},
		{"no JSON", "POST", "/api/v1/operator/kick", `room=1`, with, 400, "not a proper request"},
		{"sign out", "POST", "/api/v1/operator/logout", `{}`, with, 200, `"in":false`},
		{"drain after that", "POST", "/api/v1/operator/drain", `{"node": "b"}`, with, 403, "password is needed"},
	}
	for _, tt := range tests {
		if w := asking(h, tt.method, tt.path, tt.body, tt.change); w.Code != tt.status || !strings.Contains(w.Body.String(), tt.answer) {
			t.Errorf("%s: %d %.200s", tt.name, w.Code, w.Body)
		}
	}
	if got := strings.Join(done(), "; "); got != "drain b false; drain b true; kick p r/1 7" {
		t.Errorf("what was done: %s", got)
	}
}

// TestNoPassword has nothing be done where no password is configured, not by an empty one either.
func TestNoPassword(t *testing.T) {
	h, done := operated("")
	if w := asking(h, "GET", "/api/v1/operator", "", nil); w.Body.String() != `{"possible":false,"in":false,"drain":false,"kick":false}`+"\n" {
		t.Errorf("what may be done: %s", w.Body)
	}
	for _, path := range []string{"login", "drain", "kick"} {
		if w := asking(h, "POST", "/api/v1/operator/"+path, `{"password": ""}`, nil); w.Code == http.StatusOK {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	if len(done()) > 0 {
		t.Error(done())
	}
}

// TestGuessing has a source try a few passwords and no more, and all sources together not many.
func TestGuessing(t *testing.T) {
	o := newOperators(Operator{Password: testPassword}, peer)
	now := time.Now()
	compared := func(from netip.Addr, n int) (c int) {
		for range n {
			if _, err := o.login(from, "guess", now); errors.Is(err, errPassword) {
				c++
			} else if !errors.Is(err, errTooOften) {
				t.Fatal(err)
			}
		}
		return c
	}
	if c := compared(netip.MustParseAddr("192.0.2.1"), 1000); c != loginBurst {
		t.Errorf("%d guesses of one source were compared", c)
	}
	if _, err := o.login(netip.MustParseAddr("192.0.2.1"), testPassword, now); !errors.Is(err, errTooOften) {
		t.Errorf("the right one, too often: %v", err)
	}
	total := 0
	for i := range 1000 {
		total += compared(netip.AddrFrom4([4]byte{198, 51, byte(i / 250), byte(i % 250)}), 1)
	}
	if total > 4*loginBurst {
		t.Errorf("%d guesses of many sources were compared", total)
	}
	now = now.Add(time.Hour)
	if _, err := o.login(netip.MustParseAddr("192.0.2.1"), testPassword, now); err != nil {
		t.Errorf("later: %v", err)
	}
}

// TestOperatorsEnd has a cookie be worth nothing after its time, and the oldest go when there are too many.
func TestOperatorsEnd(t *testing.T) {
	o := newOperators(Operator{Password: testPassword}, peer)
	now := time.Now()
	request := func(value string) *http.Request {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.AddCookie(&http.Cookie{Name: operatorCookie, Value: value})
		return r
	}
	first, err := o.login(netip.MustParseAddr("192.0.2.1"), testPassword, now)
	if err != nil || !o.in(request(first), now.Add(operatorTime-time.Second)) || o.in(request(first), now.Add(operatorTime)) {
		t.Fatalf("the first: %v", err)
	}
	for i := range maxOperators {
		now = now.Add(time.Minute)
		if _, err := o.login(netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), testPassword, now); err != nil {
			t.Fatal(err)
		}
	}
	if len(o.seen) != maxOperators || o.in(request(first), now) {
		t.Errorf("%d are signed in, the first of them: %v", len(o.seen), o.in(request(first), now))
	}
	o.login(netip.MustParseAddr("203.0.113.1"), testPassword, now.Add(2*operatorTime)) //nolint:errcheck // it is about the others
	if len(o.seen) != 1 {
		t.Errorf("%d are kept whose time is over", len(o.seen)-1)
	}
}
