package geo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

// nearestWorld is what a Nearest under test answers from.
type nearestWorld struct {
	nodes   []Node
	origins []string
	room    string
	ready   error
	minted  int
}

func (w *nearestWorld) handler() *Nearest {
	return NewNearest(NearestConfig{
		Self: func() string { return "fra" }, Nodes: func() []Node { return w.nodes }, Chooser: new(Chooser),
		Locate: func(a netip.Addr) (Location, bool) {
			if a == netip.MustParseAddr("192.0.2.1") {
				return Location{Place: virginia, Radius: radiusOfPlace, Country: "US"}, true
			}
			return Location{}, false
		},
		Room: func(_ context.Context, room string) []Members {
			w.room = room
			return []Members{{"sin", 3}}
		},
		Credentials: func(time.Time) (string, string) {
			w.minted++
			return "user", "password"
		},
		Client:  func(r *http.Request) netip.Addr { return netip.MustParseAddrPort(r.RemoteAddr).Addr() },
		Origins: func() []string { return w.origins },
		Ready:   func() error { return w.ready },
	})
}

func get(h http.Handler, target string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, target, nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func threeNodes() []Node {
	fra, iad, sin := at("fra", frankfurt), at("iad", virginia), at("sin", singapore)
	fra.TURN, fra.Doors.Media, fra.Doors.MediaTCP, fra.Doors.TURNS = true, 3478, true, 5349
	iad.Doors = Doors{Addresses: []netip.Addr{netip.MustParseAddr("2001:db8::1")}, WS: 8188, HTTP: 8088, Media: 3478} // no certificate
	return []Node{fra, iad, sin}
}

func TestNearest(t *testing.T) {
	w := &nearestWorld{nodes: threeNodes()}
	h := w.handler()
	for _, tt := range []struct {
		target, order, by string
	}{
		{"/nearest", "iad fra sin ", "address"},
		{"/nearest?hint=1.3,103.8", "sin ", "hint"},
		{"/nearest?hint=fra", "fra ", "hint"},
		{"/nearest?secure=1", "fra sin ", "address"}, // iad has no certificate
		{"/nearest?rtt=sin:1,iad:100,fra:100", "sin ", "address"},
		{"/nearest?room=1234&hint=sin", "sin ", "hint"},
	} {
		res := get(h, tt.target)
		var a Answer
		if err := json.Unmarshal(res.Body.Bytes(), &a); err != nil || res.Code != http.StatusOK {
			t.Fatalf("%s: %d %v %s", tt.target, res.Code, err, res.Body)
		}
		got := ""
		for _, n := range a.Nodes {
			got += n.ID + " "
			if n.Measured != strings.Contains(tt.target, n.ID+":") {
				t.Errorf("%s: %s measured: %v", tt.target, n.ID, n.Measured)
			}
		}
		if !strings.HasPrefix(got, tt.order) || a.Client.By != tt.by || a.TTL != 600 || a.Probes < 1 || a.Probes > len(a.Nodes) {
			t.Errorf("%s: %s %+v", tt.target, got, a)
		}
		if res.Header().Get("Access-Control-Allow-Origin") != "*" || res.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%v", res.Header())
		}
	}
	if w.room != "1234" {
		t.Errorf("asked for room %q", w.room)
	}
	var a Answer
	if err := json.Unmarshal(get(h, "/nearest?hint=fra").Body.Bytes(), &a); err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprintf("%+v", a.Nodes[0])
	for _, part := range []string{
		"Janus:[wss://fra.example.org:8989]", "Probe:https://fra.example.org:8989/probe",
		"URLs:[turn:fra.example.org:3478?transport=udp turn:fra.example.org:3478?transport=tcp turns:fra.example.org:5349?transport=tcp] Username:user Credential:password",
	} {
		if !strings.Contains(got, part) {
			t.Errorf("%s lacks %s", got, part)
		}
	}
	i := slices.IndexFunc(a.Nodes, func(l Listed) bool { return l.ID == "iad" })
	if got := fmt.Sprintf("%+v", a.Nodes[i]); !strings.Contains(got, "Janus:[ws://[2001:db8::1]:8188 http://[2001:db8::1]:8088/janus]") ||
		!strings.Contains(got, "Probe:http://[2001:db8::1]:8188/probe") || len(a.Nodes[i].ICEServers) != 0 {
		t.Error(got)
	}
}

func TestNearestAsJanusTakesIt(t *testing.T) {
	w := &nearestWorld{nodes: threeNodes()}
	var urls []string
	if err := json.Unmarshal(get(w.handler(), "/nearest?format=janus").Body.Bytes(), &urls); err != nil {
		t.Fatal(err)
	}
	want := []string{"ws://[2001:db8::1]:8188", "http://[2001:db8::1]:8088/janus", "wss://fra.example.org:8989", "wss://sin.example.org:8989"}
	if !slices.Equal(urls, want) {
		t.Errorf("%v", urls)
	}
	if w.minted != 0 {
		t.Error("credentials are minted for nobody")
	}
}

func TestNobodyTakesClients(t *testing.T) {
	w := &nearestWorld{nodes: threeNodes(), ready: errors.New("stopping")}
	for i := range w.nodes {
		w.nodes[i].Draining = true
	}
	h := w.handler()
	if res := get(h, "/nearest"); res.Code != http.StatusServiceUnavailable {
		t.Errorf("%d %s", res.Code, res.Body)
	}
	if res := get(h, "/probe"); res.Code != http.StatusServiceUnavailable {
		t.Errorf("%d %s", res.Code, res.Body)
	}
	w.ready = nil
	if res := get(h, "/probe"); res.Code != http.StatusNoContent || res.Header().Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("%d %v", res.Code, res.Header())
	}
	if s := h.Stats(); s.Probes != 2 {
		t.Errorf("%+v", s)
	}
}

func TestBadQuestions(t *testing.T) {
	h := (&nearestWorld{nodes: threeNodes()}).handler()
	for _, query := range []string{
		"format=xml", "rtt=fra", "rtt=fra:x", "rtt=fra:-1", "rtt=fra:NaN", "rtt=:1", "room=1&room=2", "hint=" + strings.Repeat("x", maxParameter+1),
		"rtt=" + strings.Repeat("a:1,", 17) + "b:1", "rtt=" + strings.Repeat("a", maxParameter+1) + ":1",
	} {
		if res := get(h, "/nearest?"+query); res.Code != http.StatusBadRequest {
			t.Errorf("%.40s: %d", query, res.Code)
		}
	}
	r := httptest.NewRequest(http.MethodPost, "/nearest", strings.NewReader("x"))
	res := httptest.NewRecorder()
	if h.ServeHTTP(res, r); res.Code != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d", res.Code)
	}
}

func TestOrigins(t *testing.T) {
	w := &nearestWorld{nodes: threeNodes(), origins: []string{"https://app.example.org"}}
	h := w.handler()
	for _, tt := range []struct {
		origin string
		code   int
		allow  string
	}{
		{"https://app.example.org", 200, "https://app.example.org"},
		{"https://evil.example.org", 403, ""},
		{"", 200, ""},
		{"http://example.com", 200, ""}, // this server's own page
	} {
		res := get(h, "/nearest", "Origin", tt.origin)
		if res.Code != tt.code || res.Header().Get("Access-Control-Allow-Origin") != tt.allow || res.Header().Get("Vary") != "Origin" {
			t.Errorf("%q: %d %v", tt.origin, res.Code, res.Header())
		}
	}
	r := httptest.NewRequest(http.MethodOptions, "/nearest", nil)
	r.Header.Set("Origin", "https://app.example.org")
	res := httptest.NewRecorder()
	if h.ServeHTTP(res, r); res.Code != http.StatusNoContent || res.Header().Get("Access-Control-Allow-Methods") != "GET" {
		t.Errorf("%d %v", res.Code, res.Header())
	}
}

// TestStranger wants one who asks all the time to get no credentials any more, to make no node look full, and then to be refused;
// and others to notice nothing.
func TestStranger(t *testing.T) {
	w := &nearestWorld{nodes: threeNodes()}
	h := w.handler()
	refused := 0
	for range serveBurst + 100 {
		if res := get(h, "/nearest"); res.Code == http.StatusTooManyRequests {
			refused++
		}
	}
	if refused == 0 || w.minted > countBurst*2 || h.Stats().Refused != uint64(refused) {
		t.Errorf("%d refused, credentials minted %d times", refused, w.minted)
	}
	r := httptest.NewRequest(http.MethodGet, "/nearest", nil)
	r.RemoteAddr = "198.51.100.7:1234"
	res := httptest.NewRecorder()
	if h.ServeHTTP(res, r); res.Code != http.StatusOK || !strings.Contains(res.Body.String(), "credential") {
		t.Errorf("another: %d %s", res.Code, res.Body)
	}
}

func TestModule(t *testing.T) {
	res := get((&nearestWorld{}).handler(), "/nearest.js")
	if res.Code != http.StatusOK || !strings.HasPrefix(res.Header().Get("Content-Type"), "text/javascript") || !strings.Contains(res.Body.String(), "export async function nearest") {
		t.Errorf("%d %v", res.Code, res.Header())
	}
}

// BenchmarkNearest answers a client of a mesh of 100 nodes.
func BenchmarkNearest(b *testing.B) {
	w := &nearestWorld{}
	for i := range 100 {
		n := at(fmt.Sprint("node", i), cities[i%len(cities)].place)
		n.TURN, n.Doors.Media = true, 3478
		w.nodes = append(w.nodes, n)
	}
	h := w.handler()
	h.served, h.counted = newSources(1e9, 1e9), newSources(1e9, 1e9)
	b.ReportAllocs()
	for b.Loop() {
		if res := get(h, "/nearest?room=1"); res.Code != http.StatusOK {
			b.Fatal(res.Body)
		}
	}
}

// FuzzAsk reads questions that are anything.
func FuzzAsk(f *testing.F) {
	for _, q := range []string{"", "room=1&hint=50,8", "rtt=a:1,b:2.5", "format=janus&secure=1", "%zz", "rtt=a:1e400"} {
		f.Add(q)
	}
	f.Fuzz(func(t *testing.T, query string) {
		r := httptest.NewRequest(http.MethodGet, "/nearest", nil)
		r.URL.RawQuery = query
		a, fault := parseAsk(r)
		if fault == "" && (len(a.room) > maxParameter || len(a.hint) > maxParameter || len(a.measured) > maxListed) {
			t.Errorf("%q: %+v", query, a)
		}
		for _, d := range a.measured {
			if fault == "" && (d < 0 || d > time.Minute) {
				t.Errorf("%q: %v", query, d)
			}
		}
	})
}

// TestCounts has what asks for lists and what is sent away otherwise be one share of a source.
func TestCounts(t *testing.T) {
	world := &nearestWorld{nodes: threeNodes()}
	h := world.handler()                                                       // asked by 192.0.2.1
	source, now := netip.MustParseAddr("192.0.2.1"), time.Now().Add(time.Hour) // so that nothing comes back meanwhile
	if w := get(h, NearestPath+"?stays=1"); w.Code != http.StatusOK || world.minted != 0 {
		t.Errorf("who stays where it is: %d, and %d credentials", w.Code, world.minted)
	}
	for range countBurst {
		if !h.Counts(source, now) {
			t.Fatal("less than the share counts")
		}
	}
	if h.Counts(source, now) || !h.Counts(netip.MustParseAddr("192.0.2.2"), now) {
		t.Error("more than the share counts, or others share it")
	}
	if w := get(h, NearestPath); w.Code != http.StatusOK || world.minted != 0 {
		t.Errorf("beyond the share: %d, and %d credentials", w.Code, world.minted)
	}
}
