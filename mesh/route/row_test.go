package route

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"testing"
	"time"

	"cardea/relay/link"
	"cardea/relay/link/wire"
)

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
	nodes := []Node{{ID: "a"}, {ID: "b"}, {ID: "c"}}
	a.SetNodes(nodes)
	now := start
	row := map[link.NodeID]Edge{"b": up("b", 10*ms), "c": up("c", 20*ms)}
	telling, back := NewTelling("b"), NewTelling("a")
	carry := func(from, to *Table, l *Telling) (all []Row) {
		t.Helper()
		for _, message := range from.Tell(l, now) {
			m, err := ParseRow(message)
			if err != nil {
				t.Fatal(err)
			}
			if err := to.Hear(from.self.ID, message, now); err != nil {
				t.Fatal(err)
			}
			all = append(all, m)
		}
		return all
	}
	// pass lets seconds go by until a says something, and says what and how long that took.
	pass := func(most int) (Row, int) {
		t.Helper()
		for second := 1; second <= most; second++ {
			now = now.Add(time.Second)
			a.SetRow("a", slices.Collect(maps.Values(row)), now)
			b.SetRow("b", []Edge{up("a", 10*ms)}, now)
			said := carry(a, b, telling)
			carry(b, a, back)
			if len(said) > 1 {
				t.Fatalf("%d messages", len(said))
			}
			if len(said) == 1 {
				return said[0], second
			}
		}
		return Row{}, 0
	}
	knows := func(of link.NodeID) bool {
		n := b.nodes["a"]
		return n != nil && n.row != nil && n.row.entries[of].Up
	}
	if m, took := pass(1); took != 1 || !m.Whole || len(m.Told) != 2 {
		t.Errorf("first it says %+v", m)
	}
	if m, took := pass(4); took != 0 {
		t.Errorf("without news it says %+v", m)
	}
	b.SetNodes(nodes) // only now b hears of a, and asks
	if m, _ := pass(3); !m.Whole || len(m.Told) != 2 || !knows("b") || !knows("c") {
		t.Errorf("when asked it says %+v", m)
	}
	if m, took := pass(60); took != int(beatEvery/time.Second) || !reflect.DeepEqual(m, Row{}) {
		t.Errorf("after %d s without news it says %+v", took, m)
	}
	row["c"] = up("c", 20*ms+ms)
	if m, took := pass(10); took != 0 {
		t.Errorf("a trifle is told: %+v", m)
	}
	row["c"] = up("c", 30*ms)
	if m, took := pass(20); took < 2 || took > 14 || len(m.Told) != 1 {
		t.Errorf("a small change is told after %d s: %+v", took, m)
	}
	row["c"] = up("c", 1000*ms)
	if m, took := pass(20); took != 1 || len(m.Told) != 1 {
		t.Errorf("a large change is told after %d s: %+v", took, m)
	}
	row["c"] = Edge{To: "c"}
	if m, took := pass(20); took != 1 || len(m.Told) != 1 || m.Told[0].Up || m.Told[0].Seek != 1 || knows("c") {
		t.Errorf("a lost link is told after %d s: %+v", took, m)
	}
	delete(row, "c")
	if m, took := pass(20); took != int(grace/time.Second) || !slices.Equal(m.Gone, []string{"c"}) || len(b.nodes["a"].row.entries) != 1 {
		t.Errorf("a forgotten link is told after %d s: %+v", took, m)
	}
	if err := b.Hear("a", []byte{0xff}, now); err == nil || !knows("b") {
		t.Errorf("rubbish: %v", err)
	}
	if m, took := pass(5); took == 0 || !m.Whole || len(m.Told) != 1 {
		t.Errorf("after rubbish it says %+v", m)
	}
	now = now.Add(RowLife) // both were away
	if b.Parents("c", now); knows("b") {
		t.Error("the row does not expire")
	}
	if m, _ := pass(5); m.Whole {
		t.Errorf("at once it says %+v", m)
	}
	if m, took := pass(5); took == 0 || !m.Whole || !knows("b") {
		t.Errorf("after a silence it says %+v", m)
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
	telling := NewTelling("n0")
	messages := table.Tell(telling, start)
	for _, m := range messages {
		if err := other.Hear("me", m, start); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(other.nodes["me"].row.entries); n != 1200 || len(messages) != 3 {
		t.Errorf("%d messages tell of %d nodes", len(messages), n)
	}

	// All figures but the first four change notably, and ten links go down. That is told at once, the figures by and by.
	for i := range row {
		if row[i].RTT *= 2; i%120 == 60 {
			row[i] = Edge{To: row[i].To}
		}
	}
	down, moved, seconds := 0, 0, 0
	for ; moved < 1186 && seconds < 100; seconds++ {
		now := start.Add(time.Hour + time.Duration(seconds)*figuresEvery)
		table.SetRow("me", row, now)
		for _, b := range table.Tell(telling, now) {
			m, err := ParseRow(b)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range m.Told {
				if e.Up {
					moved++
				} else {
					down++
				}
			}
		}
		if down != 10 {
			t.Fatalf("%d are told to be down", down)
		}
	}
	if want := (1186 + maxMoved - 1) / maxMoved; seconds != want {
		t.Errorf("%d figures were told in %d messages, want %d", moved, seconds, want)
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
