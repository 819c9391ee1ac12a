package route

import (
	"math"
	"testing"
	"time"

	"cardea/relay/link"
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
	table.SetRow("me", nil, start.Add(grace-1))
	if !table.nodes["a"].own.fails() {
		t.Error("a lost link is forgotten at once")
	}
	table.SetRow("me", nil, start.Add(grace))
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

// TestHeard has a node heard by the own link or a neighbour's, and not by hearsay of one who is not heard himself.
func TestHeard(t *testing.T) {
	table := newTable("a", "b", "c", "d")
	heard := func(id link.NodeID, want bool) {
		t.Helper()
		if table.Heard(id, start) != want {
			t.Errorf("%s heard: %v", id, !want)
		}
	}
	table.SetRow("me", []Edge{up("a", ms), {To: "b"}}, start)
	table.SetRow("a", []Edge{up("c", ms), {To: "d"}}, start)
	table.SetRow("b", []Edge{up("d", ms)}, start)
	heard("a", true)
	heard("b", false)
	heard("c", true)
	heard("d", false)
	heard("stranger", false)
	table.SetRow("a", []Edge{{To: "c"}}, start)
	heard("c", false)
}

// TestNoCircle has three nodes that think of each other's way beyond a cut as the cheapest, since their own has just become worse: what is passed on goes
// the shortest way.
func TestNoCircle(t *testing.T) {
	table := newTable("a@here", "b@here", "far@far", "beyond@beyond")
	table.SetRow("me", []Edge{up("a", ms), up("b", ms), {To: "far", RTT: 150 * ms, Late: 0.1, Up: true}, {To: "beyond"}}, start)
	for _, neighbour := range []link.NodeID{"a", "b"} {
		row := Row{Whole: true, Told: []Told{{To: "beyond", Seek: 1, RTT: 300_000, Via: []string{"far"}}}}
		if err := table.Hear(neighbour, row.Append(nil), start); err != nil {
			t.Fatal(err)
		}
	}
	table.SetRow("far", []Edge{up("beyond", 150*ms)}, start)
	if next, _ := table.Next("beyond", start); next != "a" {
		t.Errorf("own: by way of %q", next)
	}
	if next, _ := table.Next("beyond", start, "a"); next != "far" {
		t.Errorf("passed on: by way of %q", next)
	}
}
