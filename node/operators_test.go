package node

import (
	"fmt"
	"math"
	"strings"
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
		many.Ways = append(many.Ways, mesh.Way{Publisher: "9", Mid: "0", Path: []string{"d", "e"}})
	}
	got := routesOf(map[link.NodeID]roomReport{
		"a": {Report: mesh.Report{Ways: []mesh.Way{{Publisher: "1", Mid: "0", Path: []string{"a"}, Children: []string{"b"}}, {Publisher: "1", Mid: "1"}}}},
		"b": {Report: mesh.Report{Ways: []mesh.Way{{Publisher: "1", Mid: "1", Path: []string{"a", "b"}}, {Publisher: "1", Mid: "0", Path: []string{"a", "b"}}}}},
		"c": {Report: mesh.Report{Ways: []mesh.Way{{Publisher: "1", Mid: "0", Path: []string{"a", "b", "c"}}}}},
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

// TestRoomUse adds up what nodes tell of rooms, and says so where that is not all.
func TestRoomUse(t *testing.T) {
	one := func(room string, publishers, subscribers uint64) mesh.Report {
		return mesh.Report{Counts: &mesh.RoomCounts{Rooms: []mesh.RoomCount{{Room: room, Publishers: publishers, Subscribers: subscribers}}}}
	}
	whole := map[link.NodeID]mesh.Report{"a": one("r", 2, 3), "b": one("r", 1, 40), "c": one("s", 0, 1), "d": {Counts: &mesh.RoomCounts{}}}
	u := sumRoomUse(whole, false)
	if u.partial || u.publishers["r"] != 3 || u.subscribers["r"] != 43 || u.subscribers["s"] != 1 || u.subscribers["t"] != 0 {
		t.Errorf("%+v", u)
	}
	if !sumRoomUse(whole, true).partial {
		t.Error("whole, though somebody is silent")
	}
	for name, r := range map[string]mesh.Report{"of an earlier version": {}, "cut": {Counts: &mesh.RoomCounts{More: true}}} {
		if u := sumRoomUse(map[link.NodeID]mesh.Report{"a": one("r", 2, 3), "b": r}, false); !u.partial || u.subscribers["r"] != 3 {
			t.Errorf("%s: %+v", name, u)
		}
	}
	if u := sumRoomUse(map[link.NodeID]mesh.Report{"a": one("r", math.MaxUint64, math.MaxUint64), "b": one("r", math.MaxUint64, 1)}, false); u.publishers["r"] < 0 {
		t.Errorf("rubbish: %+v", u)
	}
}

// TestFindNode finds nodes by what people read of them, and lists them where several are meant.
func TestFindNode(t *testing.T) {
	all := []console.MeshNode{
		{ID: "aaaa111122", Name: "vm", Label: "vm (aaaa111)", Addresses: []string{"127.0.0.1:7947"}, Self: true},
		{ID: "aaaa113344", Name: "vm", Label: "vm (aaaa113)", Addresses: []string{"127.0.0.2:7947"}},
		{ID: "cccc", Name: "other", Label: "other"},
		{ID: "vm", Name: "odd", Label: "odd"},
	}
	for name, want := range map[string]string{
		"": "aaaa111122", "aaaa1133": "aaaa113344", "vm (aaaa111)": "aaaa111122", "other": "cccc", "c": "cccc", "vm": "vm",
	} {
		if m, err := findNode(all, name); err != nil || m.ID != want {
			t.Errorf("%q: %q, %v", name, m.ID, err)
		}
	}
	_, err := findNode(all[:3], "vm")
	for _, part := range []string{"several nodes", "aaaa111122 vm at 127.0.0.1:7947, the node asked", "aaaa113344 vm at 127.0.0.2:7947"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%v: it does not say %q", err, part)
		}
	}
	if _, err := findNode(all, "nobody"); err == nil || !strings.Contains(err.Error(), "no node") {
		t.Error(err)
	}
	crowd := make([]console.MeshNode, 100)
	for i := range crowd {
		crowd[i].Name, crowd[i].ID = "vm", fmt.Sprint("n", i)
	}
	if _, err := findNode(crowd, "vm"); err == nil || !strings.Contains(err.Error(), "92 more") {
		t.Error(err)
	}
}
