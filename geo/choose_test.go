package geo

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/hashicorp/serf/coordinate"
	"pgregory.net/rapid"
)

var (
	frankfurt = Place{50.11, 8.68}
	amsterdam = Place{52.37, 4.90}
	madrid    = Place{40.42, -3.70}
	virginia  = Place{39.04, -77.49}
	singapore = Place{1.35, 103.82}
)

func at(id string, p Place) Node {
	return Node{ID: id, Name: id, Region: id, Place: p, Signaling: true, Media: true, Capacity: 100, Doors: Doors{Host: id + ".example.org", WSS: 8989}}
}

func in(p Place) Query { return Query{Client: Location{Place: p}} }

func ids(ranked []Ranked) (s string) {
	for i := range ranked {
		s += ranked[i].ID + " "
	}
	return s
}

func changed(n Node, f func(n *Node)) Node {
	f(&n)
	return n
}

func TestChoose(t *testing.T) {
	fra, ams, mad, iad, sin := at("fra", frankfurt), at("ams", amsterdam), at("mad", madrid), at("iad", virginia), at("sin", singapore)
	all := []Node{sin, iad, mad, ams, fra}
	room := func(q Query, m ...Members) Query {
		q.Room = m
		return q
	}
	for _, tt := range []struct {
		name  string
		q     Query
		nodes []Node
		want  string
	}{
		{"the nearest", in(frankfurt), all, "fra ams mad iad sin "},
		{"from elsewhere", in(Place{40, -75}), all, "iad mad ams fra sin "},
		{"a hint is believed more than the address", Query{Client: Location{Place: frankfurt}, Hint: "1.3, 103.8"}, all, "sin "},
		{"a region", Query{Client: Location{Place: frankfurt}, Hint: "SIN"}, all, "sin "},
		{"a node that drains still tells where the client is", Query{Hint: "fra"}, []Node{sin, ams, changed(fra, func(n *Node) { n.Draining = true })}, "ams sin "},
		{"a hint that says nothing", Query{Client: Location{Place: frankfurt}, Hint: "atlantis"}, all, "fra "},
		{"nothing known: near the one that is asked", Query{Asked: "iad"}, all, "iad mad ams fra sin "},
		{"measured", Query{Client: Location{Place: frankfurt}, Measured: map[string]time.Duration{"mad": time.Millisecond, "fra": 30 * time.Millisecond}}, all, "mad ams fra "},
		{"draining, refusing, without signaling", in(frankfurt), []Node{
			changed(fra, func(n *Node) { n.Draining = true }), changed(ams, func(n *Node) { n.Load = 1 }),
			changed(mad, func(n *Node) { n.Signaling = false }), iad,
		}, "iad "},
		{"busy", in(frankfurt), []Node{changed(fra, func(n *Node) { n.Load = 0.8 }), ams, sin}, "ams fra sin "},
		{"busy, and the next one is far", in(frankfurt), []Node{changed(fra, func(n *Node) { n.Load = 0.8 }), iad}, "fra iad "},
		{"where the others are", room(in(madrid), Members{"fra", 5}), []Node{fra, mad, iad}, "mad fra iad "},
		{"where the others are, near enough", room(in(Place{50.85, 4.35}), Members{"fra", 5}), []Node{fra, ams, iad}, "fra ams iad "},
		{"between them", room(in(virginia), Members{"fra", 1}, Members{"iad", 5}), []Node{fra, mad, iad}, "iad mad fra "},
		{"far from all of them", room(in(Place{40, -75}), Members{"sin", 4}, Members{"fra", 3}), []Node{fra, sin, iad}, "iad fra sin "},
		{"nobody of whom anything is known", room(in(madrid), Members{"gone", 5}), []Node{fra, mad}, "mad fra "},
		{"nobody", room(in(madrid), Members{"fra", 0}), []Node{fra, mad}, "mad fra "},
		{"the room's node is full of its own", room(in(frankfurt), Members{"fra", 100}), []Node{fra, ams}, "ams fra "},
		{"none", in(frankfurt), nil, ""},
	} {
		got := ids(Choose(tt.q, tt.nodes))
		if len(got) < len(tt.want) || got[:len(tt.want)] != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

// TestCoordinates wants what nodes have measured to count for more than the map.
func TestCoordinates(t *testing.T) {
	where := func(x, doubt float64) *coordinate.Coordinate {
		c := coordinate.NewCoordinate(coordinate.DefaultConfig())
		c.Vec[0], c.Error, c.Height = x, doubt, 0
		return c
	}
	fra, ams, mad := at("fra", frankfurt), at("ams", amsterdam), at("mad", madrid)
	fra.Coordinate, ams.Coordinate, mad.Coordinate = where(0, 0.1), where(0.2, 0.1), where(0.05, 0.1)
	if d := between(&fra, &ams); d < 150*time.Millisecond {
		t.Errorf("a detour of 200 ms is taken for %v", d)
	}
	ams.Coordinate = where(0.2, 1.5) // it has only just begun to measure
	if d := between(&fra, &ams); d > 20*time.Millisecond {
		t.Errorf("a coordinate that is not known yet is believed: %v", d)
	}
	fra.Place, ams.Place = Place{}, Place{}
	if d := between(&fra, &ams); d != betweenRegions {
		t.Errorf("nothing known: %v", d)
	}
	ams.Region = fra.Region
	if d := between(&fra, &ams); d != withinRegion {
		t.Errorf("one region: %v", d)
	}
}

// TestStampede has thousands arrive in one second from one city: they must not all get the same node, and none more than it
// takes while others have room.
func TestStampede(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	var nodes []Node
	for i := range 4 {
		nodes = append(nodes, changed(at(fmt.Sprint("fra", i), frankfurt), func(n *Node) { n.Capacity = 500 }))
	}
	nodes = append(nodes, changed(at("ams", amsterdam), func(n *Node) { n.Capacity = 1000 }), changed(at("iad", virginia), func(n *Node) { n.Capacity = 5000 }))
	for _, asked := range []int{1, len(nodes)} { // all of them ask one node, or each node some of them
		choosers := make([]Chooser, asked)
		counts := map[string]int{}
		for i := range 2400 {
			q := in(frankfurt)
			q.Spread = uint64(i) * 0x9e3779b97f4a7c15
			c := &choosers[i%asked]
			first := c.Choose(now, q, nodes)[0].Node
			c.Sent(now, &first)
			counts[first.ID]++
		}
		t.Logf("%d asked: %v", asked, counts)
		for i := range 4 {
			// Those who are asked do not know what the others said: then near ones get more than they would.
			if n := counts[fmt.Sprint("fra", i)]; n < 300 || asked == 1 && n > 500 || n > 650 {
				t.Errorf("%d asked: fra%d gets %d", asked, i, n)
			}
		}
		if counts["iad"] > 100 {
			t.Errorf("%d cross the ocean although there is room", counts["iad"])
		}
	}
}

// TestSent wants clients that were sent to count until the node's report has them, or for a while.
func TestSent(t *testing.T) {
	start := time.Unix(1_700_000_000, 0)
	n := at("a", frankfurt)
	var c Chooser
	busy := func(after time.Duration, load float64) float64 {
		n.Load = load
		return c.Choose(start.Add(after), in(frankfurt), []Node{n})[0].Busy
	}
	for range 10 {
		c.Sent(start, &n)
	}
	if got := busy(time.Second, 0); got != 0.1 {
		t.Errorf("at once: %v", got)
	}
	if got := busy(2*time.Second, 0.05); math.Abs(got-0.15) > 1e-9 {
		t.Errorf("a report that cannot know of them: %v", got)
	}
	if got := busy(20*time.Second, 0.05); math.Abs(got-0.15) > 1e-9 {
		t.Errorf("no report: %v", got)
	}
	if got := busy(21*time.Second, 0.12); got != 0.12 {
		t.Errorf("a report: %v", got)
	}
	c.Sent(start.Add(30*time.Second), &n)
	if got := busy(70*time.Second, 0.12); got != 0.12 {
		t.Errorf("no report for long: %v", got)
	}
	c.Sent(start.Add(-time.Hour), &n) // the clock was set back
	if got := busy(-time.Hour, 0.12); math.Abs(got-0.13) > 1e-9 {
		t.Errorf("with the clock set back: %v", got)
	}
	busy(time.Hour, 0)
	if len(c.sent) != 0 {
		t.Error("a node that nobody is sent to is remembered")
	}
}

// TestAnything wants an order of all that take clients whatever is said of them, and the same one each time.
func TestAnything(t *testing.T) {
	number := rapid.OneOf(rapid.Float64(), rapid.Just(math.NaN()), rapid.Float64Range(0, 1))
	rapid.Check(t, func(t *rapid.T) {
		var nodes []Node
		takes := 0
		for i := range rapid.IntRange(0, 8).Draw(t, "nodes") {
			n := Node{
				ID: fmt.Sprint(i), Region: rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "region"), Load: number.Draw(t, "load"),
				Place: Place{number.Draw(t, "lat"), number.Draw(t, "lon")}, Capacity: rapid.IntRange(-1, 1000).Draw(t, "capacity"),
				Draining: rapid.Bool().Draw(t, "draining"), Signaling: true,
			}
			if n.takes() {
				takes++
			}
			nodes = append(nodes, n)
		}
		q := Query{
			Client: Location{Place: Place{number.Draw(t, "lat"), number.Draw(t, "lon")}}, Hint: rapid.SampledFrom([]string{"", "a", "1", "x", "1,2"}).Draw(t, "hint"),
			Room: []Members{{"1", rapid.Int().Draw(t, "count")}, {"2", 3}}, Asked: "0", Spread: rapid.Uint64().Draw(t, "spread"),
		}
		one, two := Choose(q, nodes), Choose(q, nodes)
		if len(one) != takes || ids(one) != ids(two) {
			t.Fatalf("%d of %d: %s, %s", len(one), takes, ids(one), ids(two))
		}
		scattered, probes := Scatter(one, number.Draw(t, "radius"))
		if len(scattered) != len(one) || probes > len(one) || len(one) > 0 && scattered[0].ID != one[0].ID {
			t.Fatalf("%s becomes %s", ids(one), ids(scattered))
		}
	})
}

func TestScatter(t *testing.T) {
	all := []Node{
		at("fra", frankfurt), at("fra2", frankfurt), at("fra3", frankfurt), at("ams", amsterdam), at("mad", madrid), at("iad", virginia), at("sin", singapore),
	}
	ranked := Choose(Query{Client: Location{Place: frankfurt}, Spread: 1}, all)
	for _, tt := range []struct {
		radius float64
		probes int
		want   map[string]bool // among those to be probed, beside the first
	}{
		{0, 3, nil},
		{600, 3, map[string]bool{"mad": false}},
		{1500, 3, map[string]bool{"mad": true, "iad": false}},
		{math.Inf(1), 4, map[string]bool{"mad": true, "iad": true, "sin": true}},
	} {
		scattered, probes := Scatter(ranked, tt.radius)
		if probes != tt.probes || scattered[0].ID != ranked[0].ID || len(scattered) != len(ranked) {
			t.Errorf("%v km: %d of %s", tt.radius, probes, ids(scattered))
		}
		for id, want := range tt.want {
			got := false
			for _, r := range scattered[:probes] {
				got = got || r.ID == id
			}
			if got != want {
				t.Errorf("%v km: %d of %s: %s is there: %v", tt.radius, probes, ids(scattered), id, got)
			}
		}
	}
	if s, probes := Scatter(nil, 100); len(s) != 0 || probes != 0 {
		t.Error("nothing becomes something")
	}
}

func TestPlaces(t *testing.T) {
	for _, tt := range []struct {
		a, b Place
		km   float64
	}{{frankfurt, virginia, 6560}, {frankfurt, amsterdam, 364}, {singapore, Place{-33.87, 151.21}, 6300}, {Place{0, 179}, Place{0, -179}, 222}, {frankfurt, frankfurt, 0}} {
		if d := tt.a.Distance(tt.b); math.Abs(d-tt.km) > 20 {
			t.Errorf("%v to %v: %.0f km, want %.0f", tt.a, tt.b, d, tt.km)
		}
	}
	for text, want := range map[string]Place{"50.11,8.68": frankfurt, " 1.35 , 103.82 ": singapore, "-90,180": {-90, 180}} {
		p, err := ParsePlace(text)
		if err != nil || p != want {
			t.Errorf("%q: %v %v", text, p, err)
		}
		if again, err := ParsePlace(p.String()); err != nil || again != p {
			t.Errorf("%q is written %q", text, p)
		}
	}
	for _, text := range []string{"", "1", "1,", "91,0", "0,181", "NaN,1", "1,2,3", "a,b", "Inf,0"} {
		if p, err := ParsePlace(text); err == nil {
			t.Errorf("%q is %v", text, p)
		}
	}
}
