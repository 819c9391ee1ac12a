package node

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/time/rate"

	"cardea/geo"
)

func TestElsewhere(t *testing.T) {
	ranked := func(id string, rtt time.Duration, busy float64, doors geo.Doors) geo.Ranked {
		return geo.Ranked{Node: geo.Node{ID: id, Doors: doors}, RTT: rtt, Busy: busy}
	}
	web := geo.Doors{Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.1")}, HTTP: 8088}
	const ms = time.Millisecond
	inAmerica := geo.Location{Radius: 2300}
	for _, tt := range []struct {
		name   string
		ranked []geo.Ranked
		busy   bool
		want   string
	}{
		{"alone", []geo.Ranked{ranked("self", 0, 0, web)}, true, ""},
		{"nobody", nil, true, ""},
		{"much nearer", []geo.Ranked{ranked("a", 10*ms, 0, web), ranked("self", 80*ms, 0, web)}, false, "a"},
		{"a little nearer", []geo.Ranked{ranked("a", 10*ms, 0, web), ranked("self", 30*ms, 0, web)}, false, ""},
		{"itself the nearest", []geo.Ranked{ranked("self", 10*ms, 0, web), ranked("a", 80*ms, 0, web)}, false, ""},
		{"busy", []geo.Ranked{ranked("self", 10*ms, 0, web), ranked("a", 80*ms, 0, web)}, true, "a"},
		{"busy, and not in the list", []geo.Ranked{ranked("a", 80*ms, 0, web)}, true, "a"},
		{"not busy, and not in the list", []geo.Ranked{ranked("a", 80*ms, 0, web)}, false, ""},
		{"the others are full", []geo.Ranked{ranked("a", 10*ms, 1, web)}, true, ""},
		{"the nearest has no door", []geo.Ranked{ranked("a", 10*ms, 0, geo.Doors{}), ranked("b", 20*ms, 0, web)}, true, "b"},
	} {
		got := ""
		if to := elsewhere(tt.ranked, "self", farMargin, tt.busy, false); to != nil {
			got = to.ID
		}
		if got != tt.want {
			t.Errorf("%s: to %q, not %q", tt.name, got, tt.want)
		}
	}
	for doubt, want := range map[time.Duration]bool{0: true, inAmerica.Doubt(): false} {
		to := elsewhere([]geo.Ranked{ranked("a", 10*ms, 0, web), ranked("self", 60*ms, 0, web)}, "self", farMargin+doubt, false, false)
		if (to != nil) != want {
			t.Errorf("the databases may be wrong by %v: to %v", doubt, to)
		}
	}
}

func TestWebURL(t *testing.T) {
	six := netip.MustParseAddr("2001:db8::1")
	for _, tt := range []struct {
		doors         geo.Doors
		plain, secure string
	}{
		{geo.Doors{Host: "a.example.org", HTTP: 8088, HTTPS: 8089}, "http://a.example.org:8088", "https://a.example.org:8089"},
		{geo.Doors{Host: "192.0.2.1", HTTP: 8088, HTTPS: 8089}, "http://192.0.2.1:8088", ""},
		{geo.Doors{Addresses: []netip.Addr{six}, HTTP: 8088, HTTPS: 8089}, "http://[2001:db8::1]:8088", ""},
		{geo.Doors{Host: "a.example.org"}, "", ""},
		{geo.Doors{HTTP: 8088}, "", ""},
	} {
		if plain, secure := webURL(&tt.doors, false), webURL(&tt.doors, true); plain != tt.plain || secure != tt.secure {
			t.Errorf("%+v: %q, %q", tt.doors, plain, secure)
		}
	}
	r := httptest.NewRequest(http.MethodPost, "/janus", nil)
	if overTLS(r) {
		t.Error("plain counts as TLS")
	}
	r.Header.Set("X-Forwarded-Proto", "https")
	behind := overTLS(r)
	r.Header.Del("X-Forwarded-Proto")
	r.TLS = &tls.ConnectionState{}
	if !behind || !overTLS(r) {
		t.Error("TLS is not noticed")
	}
}

// TestRedirectOfOneSource has a stranger who asks again and again use up its own share alone.
func TestRedirectOfOneSource(t *testing.T) {
	near := geo.NewNearest(geo.NearestConfig{Chooser: new(geo.Chooser)})
	r := &redirector{counts: near.Counts, limit: rate.NewLimiter(redirectRate, 2*redirectRate)}
	now, stranger := time.Now(), netip.MustParseAddr("192.0.2.1")
	admitted := 0
	for range 10_000 {
		if r.admits(stranger, now) {
			admitted++
		}
	}
	if admitted == 0 || admitted > redirectRate {
		t.Errorf("%d requests of one source were sent away at once", admitted)
	}
	if !r.admits(netip.MustParseAddr("192.0.2.2"), now) {
		t.Error("nobody else is sent away any more")
	}
}

// TestDisguised has clients stay that would be sent on in the clear, for all that is known.
func TestDisguised(t *testing.T) {
	for _, tt := range []struct {
		header           map[string]string
		tls              bool
		disguised, plain bool
	}{
		{nil, false, false, true},
		{nil, true, false, false},
		{map[string]string{"X-Forwarded-For": "192.0.2.1"}, false, true, true},
		{map[string]string{"Via": "1.1 proxy"}, false, true, true},
		{map[string]string{"X-Forwarded-For": "192.0.2.1"}, true, false, false},
		{map[string]string{"X-Forwarded-For": "192.0.2.1", "X-Forwarded-Proto": "http"}, false, false, true},
		{map[string]string{"X-Forwarded-For": "192.0.2.1", "X-Forwarded-Proto": "https, http"}, false, false, false},
	} {
		r := httptest.NewRequest(http.MethodPost, "/janus", nil)
		for k, v := range tt.header {
			r.Header.Set(k, v)
		}
		if tt.tls {
			r.TLS = &tls.ConnectionState{}
		}
		if disguised(r) != tt.disguised || overTLS(r) == tt.plain {
			t.Errorf("%v, TLS %v: disguised %v, over TLS %v", tt.header, tt.tls, disguised(r), overTLS(r))
		}
	}
}
