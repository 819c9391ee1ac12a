package node

import (
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cardea/mesh"
	"cardea/node/console"
	"cardea/relay/link"
)

// TestRoutes joins streams that take the same way, and names a part of very many.
func TestRoutes(t *testing.T) {
	many := roomReport{}
	for range maxRouteStreams + 3 {
		many.ways = append(many.ways, mesh.Way{Publisher: "9", Mid: "0", Path: []string{"d", "e"}})
	}
	got := routesOf(map[link.NodeID]roomReport{
		"a": {ways: []mesh.Way{{Publisher: "1", Mid: "0", Path: []string{"a"}, Children: []string{"b"}}, {Publisher: "1", Mid: "1"}}},
		"b": {ways: []mesh.Way{{Publisher: "1", Mid: "1", Path: []string{"a", "b"}}, {Publisher: "1", Mid: "0", Path: []string{"a", "b"}}}},
		"c": {ways: []mesh.Way{{Publisher: "1", Mid: "0", Path: []string{"a", "b", "c"}}}},
		"e": many,
	})
	if len(got) != 3 || len(got[2].Streams) != maxRouteStreams || got[2].More != 3 {
		t.Fatalf("%+v", got)
	}
	want := []console.Route{
		{Path: []string{"a", "b"}, Streams: []console.RouteStream{{Publisher: "1", Mid: "0"}, {Publisher: "1", Mid: "1"}}},
		{Path: []string{"a", "b", "c"}, Streams: []console.RouteStream{{Publisher: "1", Mid: "0"}}},
	}
	if d := cmp.Diff(want, got[:2]); d != "" {
		t.Error(d)
	}
}

// TestReportedRubbish takes what other nodes may say for what it is.
func TestReportedRubbish(t *testing.T) {
	for v, want := range map[float64]float64{0.5: 0.5, 2: 1, -1: 0, math.Inf(1): 1, math.Inf(-1): 0} {
		if got := fraction(v); got != want {
			t.Errorf("%v: %v", v, got)
		}
	}
	if got := fraction(math.NaN()); got != 0 {
		t.Errorf("no number: %v", got)
	}
	for _, b := range []string{"", "[]", `{"peers":"many"}`, "{"} {
		if f := readJSON[console.Figures]([]byte(b)); f != nil {
			t.Errorf("%q: %+v", b, f)
		}
	}
	if f := readJSON[console.Figures]([]byte(`{"peers":3,"of a later version":1}`)); f == nil || f.Peers != 3 {
		t.Errorf("figures: %+v", f)
	}
}
