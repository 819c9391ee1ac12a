package node

import (
	"testing"
	"time"

	"cardea/relay/link"
)

// sojourn is a node with clients of three sorts, who do as they are told.
type sojourn struct {
	movers, plain, stubborn int           // who move; who claim elsewhere when their connection is closed; who stay
	handed                  time.Duration // how long others have something of the node
	media                   bool
}

// drained plays a departure through, and returns when what happened.
func (s sojourn) drained(t *testing.T, within time.Duration, alone bool) (moved, departed []time.Duration, hung, over time.Duration) {
	t.Helper()
	begun := time.Unix(1000, 0)
	d := departure{begun: begun, deadline: begun.Add(within), media: s.media, alone: alone}
	connections := s.plain + s.stubborn
	calls := s.movers + s.plain + s.stubborn
	for now := begun; ; now = now.Add(drainTick) {
		at := now.Sub(begun)
		if at > within+time.Minute {
			t.Fatal("it never ends")
		}
		p := presence{movable: s.movers, connections: connections, clients: calls}
		if at < s.handed {
			p.streams = 1
		}
		a := d.step(now, p)
		if a.move > s.movers || a.depart > connections {
			t.Fatalf("%v: %+v with %+v", at, a, p)
		}
		for range a.move {
			moved = append(moved, at)
			s.movers--
			calls--
		}
		for range a.depart {
			departed = append(departed, at)
			connections--
			if !s.media && s.plain > 0 { // its session is another node's now
				s.plain--
				calls--
			}
		}
		if a.hangUp {
			if hung != 0 {
				t.Fatal("hung up twice")
			}
			hung, calls = at, 0
		}
		if a.over {
			return moved, departed, hung, at
		}
	}
}

func TestDeparture(t *testing.T) {
	const s = time.Second
	for name, tt := range map[string]struct {
		sojourn
		within   time.Duration
		alone    bool
		moved    [2]time.Duration // when the first and the last one moved
		departed [2]time.Duration // likewise
		hung     time.Duration
		over     [2]time.Duration // at the earliest and the latest
	}{
		"empty":                {sojourn{media: true}, 30 * s, false, [2]time.Duration{}, [2]time.Duration{}, 0, [2]time.Duration{2 * s, 2 * s}},
		"empty, others hold":   {sojourn{media: true, handed: 5 * s}, 30 * s, false, [2]time.Duration{}, [2]time.Duration{}, 0, [2]time.Duration{5 * s, 5 * s}},
		"others hold on":       {sojourn{media: true, handed: time.Hour}, 30 * s, false, [2]time.Duration{}, [2]time.Duration{}, 0, [2]time.Duration{12 * s, 12 * s}},
		"three move":           {sojourn{movers: 3, media: true}, 30 * s, false, [2]time.Duration{s, 1500 * time.Millisecond}, [2]time.Duration{}, 0, [2]time.Duration{3 * s, 4 * s}},
		"thousands move":       {sojourn{movers: 9000, media: true}, 30 * s, false, [2]time.Duration{s, 15 * s}, [2]time.Duration{}, 0, [2]time.Duration{17 * s, 18 * s}},
		"not all day":          {sojourn{movers: 9000, media: true}, 12 * time.Hour, false, [2]time.Duration{s, time.Minute}, [2]time.Duration{}, 0, [2]time.Duration{62 * s, 63 * s}},
		"plain":                {sojourn{plain: 10, media: true}, 30 * s, false, [2]time.Duration{}, [2]time.Duration{15 * s, 22500 * time.Millisecond}, 30 * s, [2]time.Duration{30250 * time.Millisecond, 31 * s}},
		"plain, much time":     {sojourn{plain: 10, media: true}, time.Hour, false, [2]time.Duration{}, [2]time.Duration{time.Hour - 30*s, time.Hour - 15*s}, time.Hour, [2]time.Duration{time.Hour, time.Hour + s}},
		"signaling alone":      {sojourn{plain: 100}, 30 * s, false, [2]time.Duration{}, [2]time.Duration{s, 15 * s}, 0, [2]time.Duration{17 * s, 18 * s}},
		"who stay are hung up": {sojourn{stubborn: 2}, 20 * s, false, [2]time.Duration{}, [2]time.Duration{s, 10 * s}, 20 * s, [2]time.Duration{20 * s, 21 * s}},
		"nowhere to go":        {sojourn{movers: 3, plain: 3, media: true}, 20 * s, true, [2]time.Duration{}, [2]time.Duration{}, 20 * s, [2]time.Duration{20 * s, 21 * s}},
		"no time":              {sojourn{plain: 3, media: true}, 0, false, [2]time.Duration{}, [2]time.Duration{}, 0, [2]time.Duration{0, s}},
	} {
		t.Run(name, func(t *testing.T) {
			moved, departed, hung, over := tt.drained(t, tt.within, tt.alone)
			check := func(what string, got []time.Duration, n int, want [2]time.Duration) {
				if want == ([2]time.Duration{}) {
					n = 0
				}
				if len(got) != n {
					t.Errorf("%d %s, not %d", len(got), what, n)
				}
				if len(got) == 0 {
					return
				}
				if first, last := got[0], got[len(got)-1]; first < want[0] || first > want[0]+2*drainTick || last > want[1]+2*drainTick {
					t.Errorf("%s from %v to %v, not %v", what, first, last, want)
				}
			}
			check("moved", moved, tt.movers, tt.moved)
			check("departed", departed, tt.plain+tt.stubborn, tt.departed)
			if hung != tt.hung {
				t.Errorf("hung up after %v, not %v", hung, tt.hung)
			}
			if over < tt.over[0] || over > tt.over[1]+drainTick {
				t.Errorf("over after %v, not %v", over, tt.over)
			}
		})
	}
}

// TestOneByOne wants few clients told one at a time.
func TestOneByOne(t *testing.T) {
	moved, _, _, _ := sojourn{movers: 8, media: true}.drained(t, time.Minute, false)
	for i := 1; i < len(moved); i++ {
		if moved[i]-moved[i-1] != drainTick {
			t.Errorf("told at %v", moved)
			break
		}
	}
}

// TestOneAfterAnother has a second node drain while the first one still does, long after that one's clients were told: the second one's are not
// told all at once either.
func TestOneAfterAnother(t *testing.T) {
	var e departures
	now := time.Unix(1000, 0)
	play := func(nodes []link.NodeID, clients int) (most int) {
		for range 10 * moveTime / drainTick {
			e.drain(now, nodes, time.Hour)
			k := e.pace(now, clients)
			most, clients = max(most, k), clients-k
			now = now.Add(drainTick)
		}
		if clients > 0 {
			t.Errorf("%d of %v were not told", clients, nodes)
		}
		return most
	}
	for _, step := range []struct {
		nodes   []link.NodeID
		clients int
	}{
		{[]link.NodeID{"a"}, 2400},
		{[]link.NodeID{"a", "b"}, 2400},
		{[]link.NodeID{"b"}, 0}, // a has ended, and comes back
		{[]link.NodeID{"a", "b"}, 2400},
	} {
		if most := play(step.nodes, step.clients); most > 20 {
			t.Errorf("%v: %d told at once", step.nodes, most)
		}
	}
}
