package console

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func nodesOf(ids ...string) []OverviewNode {
	nodes := make([]OverviewNode, 0, len(ids))
	for _, id := range ids {
		nodes = append(nodes, OverviewNode{MeshNode: MeshNode{ID: id}})
	}
	return nodes
}

func TestNewOverview(t *testing.T) {
	const ms = time.Millisecond
	o := NewOverview(time.Time{}, nodesOf("c", "a", "b"), []LinkReport{
		{From: "b", To: "a", RTT: 81 * ms, Loss: 0.02, Sent: 1000, Received: 500},
		{From: "a", To: "b", RTT: 80 * ms, Loss: 0.011119, Sent: 490, Received: 1010},
		{From: "c", To: "a", RTT: 5 * ms, Loss: 0.5, Stalled: true}, // the other side did not answer
		{From: "a", To: "a"},
		{From: "a", To: "gone", RTT: ms},
		{From: "gone", To: "b", RTT: ms},
		{From: "b", To: "c"}, // just made: nothing is known
	})
	want := []OverviewLink{
		{A: 0, B: 1, RTTMS: 80, LossAB: 0.0111, LossBA: 0.02, Rate: 1500},
		{A: 0, B: 2, RTTMS: 5, LossBA: 0.5, Stalled: true},
		{A: 1, B: 2},
	}
	if d := cmp.Diff(want, o.Links); d != "" {
		t.Error(d)
	}
	if o.Nodes[0].ID != "a" || o.Nodes[2].ID != "c" || o.LeftOut != 0 {
		t.Errorf("nodes: %+v", o.Nodes)
	}
}

// TestOverviewBound has 100 nodes that are all linked: what carries least is left out.
func TestOverviewBound(t *testing.T) {
	ids := make([]string, 100)
	for i := range ids {
		ids[i] = fmt.Sprintf("n%02d", i)
	}
	var reports []LinkReport
	for i, a := range ids {
		for j, b := range ids {
			reports = append(reports, LinkReport{From: a, To: b, RTT: time.Second, Sent: float64(i * j)})
		}
	}
	o := NewOverview(time.Time{}, nodesOf(ids...), reports)
	if len(o.Links) != maxOverviewLinks || o.LeftOut != 100*99/2-maxOverviewLinks || o.Links[0].Rate != 99*98 {
		t.Errorf("%d links and %d left out, first %+v", len(o.Links), o.LeftOut, o.Links[0])
	}
}

// TestFresh has many ask at once, and each answer be gathered once for all of them, also when who asked first goes away.
func TestFresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gathered := 0
		f := fresh[int]{age: 2 * time.Second, load: func(ctx context.Context) int {
			gathered++
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
				t.Error("given up")
			}
			return gathered
		}}
		impatient, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		go func() { _, _ = f.get(impatient) }()
		for range 10 {
			go func() {
				if v, err := f.get(t.Context()); v != 1 || err != nil {
					t.Errorf("the first: %d %v", v, err)
				}
			}()
		}
		time.Sleep(1500 * time.Millisecond)
		if v, _ := f.get(t.Context()); v != 1 || gathered != 1 {
			t.Errorf("soon after: %d", v)
		}
		time.Sleep(3 * time.Second)
		if v, _ := f.get(t.Context()); v != 2 {
			t.Errorf("later: %d", v)
		}
		waiting, cancel := context.WithCancel(t.Context())
		f.turn <- struct{}{}
		cancel()
		if _, err := f.get(waiting); err == nil {
			t.Error("who has gone gets an answer")
		}
	})
}

// TestOperatorPages asks for the pages for operators, which load nothing from elsewhere and take no text for HTML.
func TestOperatorPages(t *testing.T) {
	cfg := config()
	var asked []InviteRequest
	cfg.Mesh = meshConfig(&asked).Mesh
	cfg.Mesh.Overview = func(context.Context) Overview { return NewOverview(time.Now(), nodesOf("a"), nil) }
	h := New(cfg)
	for path, want := range map[string]int{"/console/": 200, "/console/app.js": 200, "/console/style.css": 200, "/base.css": 200, "/js/": 404, "/console/x/": 404} {
		if w := asking(h, "GET", path, "", nil); w.Code != want {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
	w := asking(h, "GET", "/console/", "", nil)
	csp := w.Header().Get("Content-Security-Policy")
	for _, want := range []string{"default-src 'none'", "script-src 'self';", "connect-src 'self';", "require-trusted-types-for 'script'", "frame-ancestors 'none'"} {
		if !strings.Contains(csp, want) {
			t.Errorf("%s is not in %s", want, csp)
		}
	}
	if body := w.Body.String(); strings.Contains(body, "style=") || strings.Contains(body, "http://") || strings.Contains(body, "https://") {
		t.Error("the page has styles or addresses in it")
	}
	if w := asking(h, "GET", "/api/v1/overview", "", nil); w.Code != 200 || !strings.Contains(w.Body.String(), `"id":"a"`) {
		t.Errorf("overview: %d %s", w.Code, w.Body)
	}
	stranger := func(r *http.Request) { r.RemoteAddr = "192.0.2.1:1" }
	if w := asking(h, "GET", "/api/v1/overview", "", stranger); w.Code != http.StatusUnauthorized {
		t.Errorf("overview to a stranger: %d", w.Code)
	}
}
