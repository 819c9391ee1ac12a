package route

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/hashicorp/serf/coordinate"

	"cardea/relay/link"
	"cardea/relay/link/wire"
)

const ms = time.Millisecond

var start = time.Unix(1_000_000, 0)

// up returns an edge that works.
func up(to link.NodeID, rtt time.Duration) Edge { return Edge{To: to, RTT: rtt, Up: true} }

// newTable returns the table of "me" with nodes in regions: "id", or "id@region", or "id@region!" if it drains.
func newTable(nodes ...string) *Table {
	t := New("me")
	var list []Node
	for _, s := range nodes {
		n := Node{ID: link.NodeID(s)}
		for i := range s {
			if s[i] == '@' {
				n.ID, n.Region = link.NodeID(s[:i]), s[i+1:]
			}
		}
		if l := len(n.Region); l > 0 && n.Region[l-1] == '!' {
			n.Region, n.Draining = n.Region[:l-1], true
		}
		list = append(list, n)
	}
	t.SetNodes(list)
	return t
}

// choice is a list of candidates' names.
func choice(list []Candidate) (names []link.NodeID) {
	for _, c := range list {
		names = append(names, c.Node)
	}
	return names
}

func TestCost(t *testing.T) {
	for _, tt := range []struct {
		edge Edge
		want time.Duration
	}{
		{Edge{}, 0},
		{Edge{RTT: 150 * ms}, 75 * ms},
		{Edge{RTT: 150 * ms, Queue: 5 * ms}, 80 * ms},
		{Edge{RTT: 150 * ms, Late: 0.01}, 115 * ms},
		{Edge{RTT: 150 * ms, Loss: 0.5}, 75 * ms},
		{Edge{RTT: -1, Queue: math.MaxInt64, Late: math.NaN(), Loss: math.Inf(1)}.bounded(), maxTime + LatePrice},
	} {
		if got := tt.edge.Cost(); got != tt.want {
			t.Errorf("%+v costs %v, want %v", tt.edge, got, tt.want)
		}
	}
	sum := Edge{RTT: 10 * ms, Queue: ms, Loss: 0.5, Late: 0.1}.then(Edge{To: "z", RTT: 20 * ms, Queue: 2 * ms, Loss: 0.5, Late: 0.1})
	if want := (Edge{To: "z", RTT: 30 * ms, Queue: 3 * ms, Loss: 0.75, Late: 0.19}); !close(sum.Late, want.Late) || sum.RTT != want.RTT || sum.Loss != want.Loss || sum.To != "z" {
		t.Errorf("two edges are %+v, want %+v", sum, want)
	}
}

func close(a, b float64) bool { return math.Abs(a-b) < 1e-9 }

// TestOrder pins the order of a region's nodes: all versions of the program must agree on it.
func TestOrder(t *testing.T) {
	if got := hashID("mfzwizltoqqho2lu"); got != 0x82e9d8b75eb4b37c {
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

func TestParents(t *testing.T) {
	for _, tt := range []struct {
		name  string
		nodes []string
		own   []Edge
		rows  map[link.NodeID][]Edge
		want  []link.NodeID // for the streams of "src"
		path  []link.NodeID // of the first
	}{
		{name: "unknown origin", nodes: []string{"a"}},
		{name: "nothing known", nodes: []string{"src"}, want: []link.NodeID{"src"}, path: []link.NodeID{"src"}},
		{
			name: "origin out of reach and nobody else", nodes: []string{"src"}, own: []Edge{{To: "src"}},
			want: []link.NodeID{"src"}, path: []link.NodeID{"src"},
		},
		{
			name: "straight", nodes: []string{"src", "x"}, own: []Edge{up("src", 100*ms), up("x", 10*ms)},
			rows: map[link.NodeID][]Edge{"x": {up("src", 100*ms)}},
			want: []link.NodeID{"src", "x"}, path: []link.NodeID{"src"},
		},
		{
			name: "detour", nodes: []string{"src", "x"}, own: []Edge{up("src", 200*ms), up("x", 50*ms)},
			rows: map[link.NodeID][]Edge{"x": {up("src", 50*ms)}},
			want: []link.NodeID{"x", "src"}, path: []link.NodeID{"x", "src"},
		},
		{
			name: "detour for lateness", nodes: []string{"src", "x"}, own: []Edge{{To: "src", RTT: 100 * ms, Late: 0.02, Up: true}, up("x", 60*ms)},
			rows: map[link.NodeID][]Edge{"x": {up("src", 60*ms)}},
			want: []link.NodeID{"x", "src"}, path: []link.NodeID{"x", "src"},
		},
		{
			name: "the other end says it is late", nodes: []string{"src", "x"}, own: []Edge{up("src", 100*ms), up("x", 60*ms)},
			rows: map[link.NodeID][]Edge{"x": {up("src", 60*ms)}, "src": {{To: "me", RTT: 100 * ms, Late: 0.02, Up: true}}},
			want: []link.NodeID{"x", "src"}, path: []link.NodeID{"x", "src"},
		},
		{
			name: "detour over a node that is cut off itself", nodes: []string{"src", "x"}, own: []Edge{{To: "src"}, up("x", 60*ms)},
			rows: map[link.NodeID][]Edge{"x": {{To: "src"}}},
			want: []link.NodeID{"src"}, path: []link.NodeID{"src"},
		},
		{
			name: "over two, neither of which can be skipped", nodes: []string{"src", "x", "y"}, own: []Edge{{To: "src"}, up("x", 60*ms), {To: "y"}},
			rows: map[link.NodeID][]Edge{"x": {{To: "src"}, up("y", 10*ms)}, "y": {up("src", 10*ms)}},
			// The row of y does not count: there is no link with it. So nobody knows that y reaches o.
			want: []link.NodeID{"src"}, path: []link.NodeID{"src"},
		},
		{
			name: "over two that are linked", nodes: []string{"src", "x", "y"}, own: []Edge{{To: "src"}, up("x", 60*ms), up("y", 400*ms)},
			rows: map[link.NodeID][]Edge{"x": {{To: "src"}, up("y", 10*ms)}, "y": {up("src", 10*ms)}},
			want: []link.NodeID{"x", "y", "src"}, path: []link.NodeID{"x", "y", "src"},
		},
		{
			name: "gateway", nodes: []string{"me@b", "b1@b", "b2@b", "src@a"}, own: []Edge{up("src", 100*ms), up("b1", 5*ms), up("b2", 5*ms)},
			rows: map[link.NodeID][]Edge{"b1": {up("src", 100*ms)}, "b2": {up("src", 100*ms)}},
			want: []link.NodeID{"b2", "src", "b1"}, path: []link.NodeID{"b2", "src"},
		},
		{
			name: "gateway drains", nodes: []string{"me@b", "b1@b", "b2@b!", "src@a"}, own: []Edge{up("src", 100*ms), up("b1", 5*ms), up("b2", 5*ms)},
			rows: map[link.NodeID][]Edge{"b1": {up("src", 100*ms)}, "b2": {up("src", 100*ms)}},
			want: []link.NodeID{"src", "b1", "b2"}, path: []link.NodeID{"src"},
		},
		{
			name: "gateway cut off from the origin", nodes: []string{"me@b", "b1@b", "b2@b", "src@a"}, own: []Edge{up("src", 100*ms), up("b1", 5*ms), up("b2", 5*ms)},
			rows: map[link.NodeID][]Edge{"b1": {up("src", 100*ms)}, "b2": {{To: "src"}}},
			want: []link.NodeID{"src", "b1"}, path: []link.NodeID{"src"},
		},
		{
			name: "gateway dead", nodes: []string{"me@b", "b1@b", "b2@b", "src@a"}, own: []Edge{up("src", 100*ms), up("b1", 5*ms), {To: "b2"}},
			rows: map[link.NodeID][]Edge{"b1": {up("src", 100*ms)}},
			want: []link.NodeID{"src", "b1"}, path: []link.NodeID{"src"},
		},
		{
			name: "gateway far off", nodes: []string{"me@b", "b1@b", "b2@b", "src@a"}, own: []Edge{up("src", 100*ms), up("b1", 5*ms), up("b2", 200*ms)},
			rows: map[link.NodeID][]Edge{"b1": {up("src", 100*ms)}, "b2": {up("src", 100*ms)}},
			want: []link.NodeID{"src", "b1", "b2"}, path: []link.NodeID{"src"},
		},
		{
			name: "all drain", nodes: []string{"me@b!", "b1@b!", "b2@b!", "src@a!"}, own: []Edge{up("src", 100*ms), up("b1", 5*ms), up("b2", 5*ms)},
			rows: map[link.NodeID][]Edge{"b1": {up("src", 100*ms)}, "b2": {up("src", 100*ms)}},
			want: []link.NodeID{"b2", "src", "b1"}, path: []link.NodeID{"b2", "src"},
		},
		{
			name: "in the origin's region everybody asks the origin", nodes: []string{"me@a", "a1@a", "a2@a", "src@a"}, own: []Edge{up("src", 5*ms), up("a1", 5*ms), up("a2", 5*ms)},
			rows: map[link.NodeID][]Edge{"a1": {up("src", 5*ms)}},
			want: []link.NodeID{"src", "a1", "a2"}, path: []link.NodeID{"src"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			table := newTable(tt.nodes...)
			table.SetRow("me", tt.own, start)
			for from, row := range tt.rows {
				table.SetRow(from, row, start)
			}
			got := table.Parents("src", start)
			if !slices.Equal(choice(got), tt.want) {
				t.Fatalf("candidates %v, want %v: %+v", choice(got), tt.want, got)
			}
			if len(got) > 0 && !slices.Equal(got[0].Path, tt.path) {
				t.Errorf("path %v, want %v", got[0].Path, tt.path)
			}
			if table.Parents("me", start) != nil {
				t.Error("asks somebody for its own streams")
			}
		})
	}
}

// TestKeep has a straight way of some length and a detour of 50 + 3 ms.
func TestKeep(t *testing.T) {
	for _, tt := range []struct {
		name    string
		current link.NodeID
		edge    Edge // to the origin
		best    link.NodeID
		took    int // the second of the move, counted from 1; 0: none
	}{
		{"no reason", "o", up("o", 100*ms), "", 0},
		{"somewhat better", "o", up("o", 150*ms), "", 0}, // by 12 ms
		{"better", "o", up("o", 170*ms), "x", 6},
		{"much better", "o", up("o", 800*ms), "x", 2},
		{"down", "o", Edge{To: "o"}, "x", 1},
		{"back, not much better", "x", up("o", 110*ms), "", 0},
		{"back, better", "x", up("o", 20*ms), "o", 6},
		{"gone", "z", up("o", 100*ms), "o", 1},
		{"none", "", up("o", 100*ms), "o", 1},
		{"itself", "me", up("o", 100*ms), "o", 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			table := newTable("o", "x")
			now := start
			table.SetRow("x", []Edge{up("o", 50*ms)}, now)
			moved, took := link.NodeID(""), 0
			for second := 1; second <= 30; second++ {
				now = now.Add(time.Second)
				table.SetRow("me", []Edge{tt.edge, up("x", 50*ms)}, now)
				table.SetRow("x", []Edge{up("o", 50*ms)}, now)
				best, move := table.Keep("o", tt.current, now)
				if !move && best != tt.current {
					t.Fatalf("says %s without a move", best)
				}
				if move {
					moved, took = best, second
					break
				}
			}
			if took != tt.took || moved != tt.best {
				t.Errorf("moves to %q in second %d, want %q in %d", moved, took, tt.best, tt.took)
			}
		})
	}
}

// TestKeepInterrupted has a rival that is better for four seconds at a time.
func TestKeepInterrupted(t *testing.T) {
	table := newTable("o", "x")
	now := start
	for second := range 60 {
		now = now.Add(time.Second)
		rtt := 300 * ms
		if second%5 == 4 {
			rtt = 60 * ms
		}
		table.SetRow("me", []Edge{up("o", 170*ms), up("x", 10*ms)}, now)
		table.SetRow("x", []Edge{up("o", rtt-200*ms)}, now)
		if best, move := table.Keep("o", "o", now); move && second > 0 {
			t.Fatalf("moves to %s in second %d", best, second)
		}
		table.SetRow("x", []Edge{up("o", 170*ms)}, now)
		table.Keep("o", "o", now)
	}
}

func TestNext(t *testing.T) {
	table := newTable("a", "b", "c", "d")
	expect := func(to, want link.NodeID, avoid ...link.NodeID) {
		t.Helper()
		if got, ok := table.Next(to, start, avoid...); got != want || ok != (want != "") {
			t.Errorf("to %s, not over %v: %q, %v, want %q", to, avoid, got, ok, want)
		}
	}
	expect("a", "a") // to be dialled
	expect("stranger", "")
	expect("me", "")
	table.SetRow("me", []Edge{up("a", 10*ms), up("b", 30*ms), {To: "c"}}, start)
	expect("a", "a")
	expect("c", "a") // perhaps
	expect("d", "d")
	table.SetRow("a", []Edge{up("c", 100*ms), up("d", 10*ms), up("me", 10*ms)}, start)
	table.SetRow("b", []Edge{up("c", 10*ms), up("me", 10*ms)}, start)
	expect("c", "b")
	expect("c", "a", "b")
	expect("c", "", "a", "b")
	expect("d", "a") // says that it knows
	expect("d", "d", "a")
	expect("a", "b", "a") // the sender does not want it back
	table.SetRow("me", []Edge{{To: "a"}, up("b", 30*ms), {To: "c"}}, start)
	expect("a", "b")
	expect("c", "b")
	table.SetRow("b", []Edge{{To: "c"}, {To: "a"}}, start)
	expect("c", "")
	expect("a", "")
	if err := table.Hear("b", (&Row{Whole: true, Told: []Told{{To: "c", Via: []string{"d", "a"}}}}).Append(nil), start); err != nil {
		t.Fatal(err)
	}
	expect("c", "b")
	expect("c", "", "d") // it comes from there
}

// TestStaleWay has a neighbour tell a way over another neighbour, which knows better.
func TestStaleWay(t *testing.T) {
	table := newTable("a", "b", "c", "d")
	table.SetRow("me", []Edge{up("a", 10*ms), up("b", 10*ms), {To: "d"}}, start)
	tell := func(way Told) proof {
		t.Helper()
		if err := table.Hear("a", (&Row{Told: []Told{way}}).Append(nil), start); err != nil {
			t.Fatal(err)
		}
		return table.Parents("d", start)[0].proof
	}
	long, short := Told{To: "d", Via: []string{"c", "b"}, Seek: 1}, Told{To: "d", Via: []string{"b"}, Seek: 1}
	if got := tell(short); got != proven {
		t.Errorf("before: %v", got)
	}
	table.SetRow("b", []Edge{up("me", 10*ms), {To: "d"}}, start)
	if got := tell(short); got == proven {
		t.Error("a way is taken of which the last edge is broken")
	}
	table.SetRow("b", []Edge{up("me", 10*ms), {To: "c"}, up("d", 200*ms)}, start)
	if tell(long); table.Parents("d", start)[0].Node != "b" {
		t.Error("a way is taken of which an edge on the way is broken")
	}
	table.SetRow("b", []Edge{up("me", 10*ms), up("d", 200*ms)}, start)
	if tell(long); table.Parents("d", start)[0].Node != "a" {
		t.Error("a way is not taken without a reason")
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

// TestClosedLink has a link closed for being idle: its round trip is remembered for a while, and then guessed.
func TestClosedLink(t *testing.T) {
	table := newTable("a")
	cost := func(now time.Time) time.Duration { return table.Parents("a", now)[0].Cost }
	table.SetRow("me", []Edge{{To: "a", RTT: 50 * ms, Late: 0.01, Up: true}}, start)
	if got := cost(start); got != 65*ms {
		t.Errorf("costs %v", got)
	}
	table.SetRow("me", nil, start.Add(time.Second))
	if got := cost(start.Add(memory - time.Second)); got != 25*ms {
		t.Errorf("costs %v after the link was closed", got)
	}
	if got := cost(start.Add(memory)); got != unknownRTT/2+GuessPrice {
		t.Errorf("costs %v when it is forgotten", got)
	}
	table.SetRow("me", []Edge{{To: "a"}}, start)
	table.SetRow("me", nil, start)
	if got := cost(start); got != unknownRTT/2+GuessPrice {
		t.Errorf("costs %v when nobody tries any more", got)
	}
}

// TestUnsure has a link that does not know its round trip yet: that is not the best of all.
func TestUnsure(t *testing.T) {
	table := newTable("a")
	table.SetRow("me", []Edge{up("a", 0)}, start)
	if c := table.Parents("a", start)[0].Cost; c != unknownRTT/2 {
		t.Errorf("costs %v at first", c)
	}
	table.SetRow("me", []Edge{up("a", 30*ms)}, start)
	if c := table.Parents("a", start)[0].Cost; c != 15*ms {
		t.Errorf("costs %v when it is known", c)
	}
	table.SetRow("me", []Edge{up("a", 130*ms)}, start.Add(smoothing))
	if c := table.Parents("a", start)[0].Cost; c < 46*ms || c > 47*ms { // 63 % of the change
		t.Errorf("costs %v after a change", c)
	}
}

func TestRowLife(t *testing.T) {
	table := newTable("a", "b")
	table.SetRow("me", []Edge{up("a", 10*ms), {To: "b"}}, start)
	table.SetRow("a", []Edge{up("b", 10*ms)}, start)
	now := start.Add(RowLife - 1)
	if c := table.Parents("b", now); c[0].Node != "a" || c[0].proof != proven {
		t.Errorf("candidates %+v while the row is believed", c)
	}
	if err := table.Hear("a", nil, now); err != nil { // nothing new
		t.Fatal(err)
	}
	if c := table.Parents("b", start.Add(2*RowLife-2)); c[0].proof != proven {
		t.Errorf("candidates %+v after a sign of life", c)
	}
	if c := table.Parents("b", start.Add(2*RowLife-1)); c[0].proof != guessed {
		t.Errorf("candidates %+v after the row has expired", c)
	}
}

func TestRowBytes(t *testing.T) {
	row := Row{Whole: true, Again: true, Gone: []string{"c"}, Told: []Told{
		{To: "a", Up: true, RTT: 150_000, Queue: 300, Loss: 10_000, Late: 100},
		{To: "b", Via: []string{"x", "y"}, RTT: 1, Seek: 2},
	}}
	const want = "0801 1211 0a0161 1001 18f09309 20ac02 28904e 3064 120d 0a0162 1801 3a0178 3a0179 4002 1a0163 2001"
	got := row.Append(nil)
	if s := fmt.Sprintf("%x", got); s != stripped(want) {
		t.Errorf("encoded %s, want %s", s, stripped(want))
	}
	again, err := ParseRow(got)
	if err != nil || !reflect.DeepEqual(again, row) {
		t.Errorf("read %+v, %v", again, err)
	}
	for i, told := range row.Told {
		e := told.entry()
		if back := e.tell(); !reflect.DeepEqual(back, row.Told[i]) {
			t.Errorf("entry %+v is told as %+v", e, back)
		}
	}
}

func stripped(s string) string {
	return string(slices.DeleteFunc([]byte(s), func(c byte) bool { return c == ' ' }))
}

func TestParseRow(t *testing.T) {
	long := string(make([]byte, maxID+1))
	many := Row{Gone: make([]string, maxEntries+1)}
	var hops []string
	for i := range MaxHops + 1 {
		hops = append(hops, fmt.Sprint(i))
	}
	for name, b := range map[string][]byte{
		"no message":     {0xff},
		"too long":       make([]byte, maxRow+1),
		"too many":       many.Append(nil),
		"no name":        (&Row{Told: []Told{{Up: true}}}).Append(nil),
		"long name":      (&Row{Told: []Told{{To: long}}}).Append(nil),
		"link and way":   (&Row{Told: []Told{{To: "a", Up: true, Via: []string{"b"}}}}).Append(nil),
		"way over none":  (&Row{Told: []Told{{To: "a", Via: []string{""}}}}).Append(nil),
		"way over long":  (&Row{Told: []Told{{To: "a", Via: []string{long}}}}).Append(nil),
		"way over end":   (&Row{Told: []Told{{To: "a", Via: []string{"b", "a"}}}}).Append(nil),
		"way over twice": (&Row{Told: []Told{{To: "a", Via: []string{"b", "c", "b"}}}}).Append(nil),
		"too many hops":  (&Row{Told: []Told{{To: "a", Via: hops}}}).Append(nil),
	} {
		if _, err := ParseRow(b); !errors.Is(err, wire.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestHearBounds has a member that tells of very many nodes.
func TestHearBounds(t *testing.T) {
	table := newTable("a")
	table.SetRow("me", []Edge{up("a", ms)}, start)
	for i := range 100 {
		var r Row
		for j := range 500 {
			r.Told = append(r.Told, Told{To: fmt.Sprintf("%d-%d", i, j), Up: true})
		}
		if err := table.Hear("a", r.Append(nil), start); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(table.nodes["a"].row.entries); n != maxEntries {
		t.Errorf("%d entries are kept", n)
	}
	if err := table.Hear("stranger", (&Row{Whole: true}).Append(nil), start); err != nil || len(table.nodes) != 2 {
		t.Errorf("a stranger: %v, %v", err, table.nodes)
	}
	if err := table.Hear("me", (&Row{Told: []Told{{To: "a"}}}).Append(nil), start); err != nil || table.self.row != nil {
		t.Errorf("oneself: %v", err)
	}
}

// TestTelling follows what one node tells another, and what happens when something of it is missed.
func TestTelling(t *testing.T) {
	a, b := New("a"), New("b")
	nodes := []Node{{ID: "a"}, {ID: "b"}, {ID: "c"}, {ID: "d"}}
	a.SetNodes(nodes)
	now := start
	row := map[link.NodeID]Edge{"b": up("b", 10*ms), "c": up("c", 20*ms)}
	telling, back := NewTelling("b"), NewTelling("a")
	tell := func() (m Row) {
		t.Helper()
		now = now.Add(time.Second)
		a.SetRow("a", slices.Collect(func(yield func(Edge) bool) {
			for _, e := range row {
				if !yield(e) {
					return
				}
			}
		}), now)
		b.SetRow("b", []Edge{up("a", 10*ms)}, now)
		messages := a.Tell(telling, now)
		if len(messages) != 1 {
			t.Fatalf("%d messages", len(messages))
		}
		m, err := ParseRow(messages[0])
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Hear("a", messages[0], now); err != nil {
			t.Fatal(err)
		}
		for _, m := range b.Tell(back, now) {
			if err := a.Hear("b", m, now); err != nil {
				t.Fatal(err)
			}
		}
		return m
	}
	knows := func(of link.NodeID) bool {
		n := b.nodes["a"]
		return n != nil && n.row != nil && n.row.entries[of].Up
	}
	if m := tell(); !m.Whole || len(m.Told) != 2 {
		t.Errorf("first message %+v", m)
	}
	b.SetNodes(nodes) // only now b hears of a
	if m := tell(); m.Whole || len(m.Told) > 0 {
		t.Errorf("second message %+v", m)
	}
	if m := tell(); !m.Whole || len(m.Told) != 2 || !knows("b") || !knows("c") {
		t.Errorf("third message %+v, after which b knows %v", m, b.nodes["a"].row)
	}
	if m := tell(); m.Whole || len(m.Told) > 0 || m.Again {
		t.Errorf("fourth message %+v", m)
	}
	row["c"] = up("c", 20*ms+ms)
	if m := tell(); len(m.Told) > 0 {
		t.Errorf("a trifle is told: %+v", m)
	}
	row["c"] = Edge{To: "c"}
	if m := tell(); len(m.Told) != 1 || m.Told[0].Up || m.Told[0].Seek != 1 || knows("c") {
		t.Errorf("a lost link is told as %+v", m)
	}
	delete(row, "c")
	if m := tell(); !slices.Equal(m.Gone, []string{"c"}) || len(b.nodes["a"].row.entries) != 1 {
		t.Errorf("a forgotten link is told as %+v", m)
	}
	if err := b.Hear("a", []byte{0xff}, now); err == nil || !knows("b") {
		t.Errorf("rubbish: %v", err)
	}
	tell()
	if m := tell(); !m.Whole || len(m.Told) != 1 {
		t.Errorf("after rubbish comes %+v", m)
	}
	now = now.Add(RowLife) // b was away
	tell()
	if m := tell(); !m.Whole || !knows("b") {
		t.Errorf("after a silence comes %+v", m)
	}
}

// TestManyTold has more to tell than fits into a message.
func TestManyTold(t *testing.T) {
	table := New("me")
	nodes, row := []Node{}, []Edge{}
	for i := range 1200 {
		id := link.NodeID(fmt.Sprintf("n%d", i))
		nodes = append(nodes, Node{ID: id})
		row = append(row, up(id, time.Duration(i)*ms+ms))
	}
	table.SetNodes(nodes)
	table.SetRow("me", row, start)
	other := New("n0")
	other.SetNodes(append(nodes, Node{ID: "me"}))
	messages := table.Tell(NewTelling("n0"), start)
	for _, m := range messages {
		if err := other.Hear("me", m, start); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(other.nodes["me"].row.entries); n != 1200 || len(messages) != 3 {
		t.Errorf("%d messages tell of %d nodes", len(messages), n)
	}
}

func FuzzHear(f *testing.F) {
	f.Add((&Row{Whole: true, Told: []Told{{To: "a", Up: true, RTT: 5}, {To: "b", Via: []string{"a", "c"}, Seek: 3}}, Gone: []string{"c"}}).Append(nil))
	f.Add((&Row{Told: []Told{{To: "me", Seek: 1, Late: math.MaxUint32}}, Again: true}).Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		table := newTable("a@x", "b@y", "c@z", "me@x")
		table.SetRow("me", []Edge{up("a", ms), up("b", ms), {To: "c"}}, start)
		for _, from := range []link.NodeID{"a", "b"} {
			if table.Hear(from, b, start) != nil {
				return
			}
		}
		for _, origin := range []link.NodeID{"a", "b", "c"} {
			for _, c := range table.Parents(origin, start) {
				seen := map[link.NodeID]bool{"me": true}
				for _, id := range c.Path {
					if seen[id] {
						t.Fatalf("path %v", c.Path)
					}
					seen[id] = true
				}
				if c.Cost < 0 || c.Path[len(c.Path)-1] != origin {
					t.Fatalf("%+v", c)
				}
			}
			table.Keep(origin, "a", start)
			table.Next(origin, start, "b")
		}
		for _, m := range table.Tell(NewTelling("a"), start) {
			if _, err := ParseRow(m); err != nil {
				t.Fatal(err)
			}
		}
	})
}
