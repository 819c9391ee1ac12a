package route

import (
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/hashicorp/serf/coordinate"

	"cardea/mesh/rendezvous"
	"cardea/relay/link"
)

// TestOrder pins the order of a region's nodes: all versions of the program must agree on it.
func TestOrder(t *testing.T) {
	if got := rendezvous.Hash("mfzwizltoqqho2lu"); got != 0x82e9d8b75eb4b37c {
		t.Errorf("hash is %#x", got)
	}
	table := newTable("me@b", "b1@b", "b2@b", "b3@b", "b4@b!", "a1@a", "a2@a")
	for origin, want := range map[link.NodeID][places]link.NodeID{
		"a1": {"b2", "b3", "me"},
		"a2": {"b2", "b3", "b1"},
	} {
		var got [places]link.NodeID
		for i, n := range table.order(table.plan(origin), "b").nodes {
			got[i] = n.ID
		}
		if got != want {
			t.Errorf("for %s the order is %v, want %v", origin, got, want)
		}
	}
}

// TestBalance has many origins' streams spread over a region's nodes.
func TestBalance(t *testing.T) {
	nodes := []string{"me@b"}
	for i := range 9 {
		nodes = append(nodes, fmt.Sprintf("b%d@b", i))
	}
	for i := range 2000 {
		nodes = append(nodes, fmt.Sprintf("a%d@a", i))
	}
	table := newTable(nodes...)
	count := map[link.NodeID]int{}
	for i := range 2000 {
		p := table.plan(link.NodeID(fmt.Sprintf("a%d", i)))
		count[table.order(p, "b").nodes[0].ID]++
	}
	for id, n := range count {
		if n < 140 || n > 260 || len(count) != 10 {
			t.Errorf("%s is the gateway of %d of 2000 origins: %v", id, n, count)
		}
	}
}

// TestRegions groups nodes on a line, some of which have names.
func TestRegions(t *testing.T) {
	at := func(ms float64) *coordinate.Coordinate {
		return &coordinate.Coordinate{Vec: []float64{ms / 1000}, Error: 0.1}
	}
	fresh := coordinate.NewCoordinate(coordinate.DefaultConfig())
	nodes := []Node{
		{ID: "a", Region: "x", Coordinate: at(0)},
		{ID: "b", Coordinate: at(10)},
		{ID: "c", Region: "y", Coordinate: at(18)},
		{ID: "d", Coordinate: at(100)},
		{ID: "e", Coordinate: at(114)},
		{ID: "f", Coordinate: at(128)}, // nearer to e than 15 ms, but e is not the first of its group
		{ID: "g", Coordinate: fresh},
		{ID: "h"},
		{ID: "i", Coordinate: &coordinate.Coordinate{Vec: []float64{math.NaN()}}},
		{ID: "j", Coordinate: &coordinate.Coordinate{Vec: []float64{0, 0}, Error: 0.1}}, // of other dimensions
	}
	want := map[link.NodeID]string{
		"a": "x", "b": "y", "c": "y", "d": "\x00d", "e": "\x00d", "f": "\x00f", "g": "\x00g", "h": "\x00h", "i": "\x00i", "j": "\x00j",
	}
	for _, self := range []link.NodeID{"a", "d", "h"} { // whoever computes it
		table := New(self)
		slices.Reverse(nodes)
		table.SetNodes(nodes)
		got := map[link.NodeID]string{}
		for id, n := range table.nodes {
			got[id] = n.area
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s groups %q", self, got)
		}
	}
}

func TestGuess(t *testing.T) {
	c := func(s float64) *coordinate.Coordinate { return &coordinate.Coordinate{Vec: []float64{s}, Error: 0.1} }
	for _, tt := range []struct {
		a, b Node
		want time.Duration
	}{
		{Node{Coordinate: c(0)}, Node{Coordinate: c(0.1)}, 100 * ms},
		{Node{Coordinate: c(0)}, Node{Coordinate: c(0)}, 100 * time.Microsecond},
		{Node{Coordinate: c(0)}, Node{Coordinate: c(1e9)}, 2 * time.Second},
		{Node{Region: "x"}, Node{Region: "x"}, nearUnknownRTT},
		{Node{Region: "x"}, Node{Region: "y"}, unknownRTT},
	} {
		e := guess(&node{Node: tt.a, area: tt.a.Region}, &node{Node: tt.b, area: tt.b.Region})
		if e.RTT != tt.want || e.Queue != GuessPrice || e.Up {
			t.Errorf("%v to %v: %+v, want %v", tt.a, tt.b, e, tt.want)
		}
	}
}

// TestDistance compares with the library.
func TestDistance(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	random := func() *coordinate.Coordinate {
		c := coordinate.NewCoordinate(coordinate.DefaultConfig())
		for i := range c.Vec {
			c.Vec[i] = rng.Float64() * 0.1
		}
		c.Error, c.Height, c.Adjustment = 0.5, rng.Float64()*0.01, rng.Float64()*0.2-0.1
		return c
	}
	for range 100 {
		a, b := random(), random()
		got, known := distance(&node{Node: Node{Coordinate: a}}, &node{Node: Node{Coordinate: b}})
		want := max(a.DistanceTo(b), 100*time.Microsecond)
		if (got-want).Abs() > time.Microsecond || !known {
			t.Errorf("distance %v, the library says %v", got, want)
		}
	}
}
