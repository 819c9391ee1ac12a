package route

import (
	"slices"
	"testing"
	"time"

	"cardea/relay/link"
)

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
