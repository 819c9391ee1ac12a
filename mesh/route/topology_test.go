package route

import (
	"math"
	"slices"
	"testing"
	"time"

	"cardea/relay/link"
)

// TestOneCrossing has everybody of three regions want a stream of everybody: into each region it comes once, whether links
// exist and are measured, or only coordinates are known at first.
func TestOneCrossing(t *testing.T) {
	for name, prepare := range map[string]func(*world){
		"linked":      func(w *world) { w.wantAll(); w.pass(3) },
		"coordinates": func(w *world) { w.noise = 0.05; w.coordinates(100) },
		"nothing":     func(*world) {},
	} {
		t.Run(name, func(t *testing.T) {
			w := threeRegions(t, 3)
			prepare(w)
			gateways := map[link.NodeID]int{}
			for second := range 30 {
				for origin := range w.nodes {
					w.pullAll(origin)
					crossings := w.crossings(origin)
					if total := crossings["a"] + crossings["b"] + crossings["c"]; total != 2 && (name == "linked" || second > 20) {
						t.Fatalf("second %d: streams of %d cross %v", second, origin, crossings)
					}
					if second == 29 {
						for i := range w.nodes {
							if extra := w.delay(origin, i) - w.rtt(origin, i)/2; extra > 5*time.Millisecond && origin != i {
								t.Errorf("%d gets the streams of %d %v later than it could", i, origin, extra)
							}
							if p := w.parents[[2]int{origin, i}]; i%3 != origin%3 && p == w.nodes[origin].ID {
								gateways[w.nodes[i].ID]++
							}
						}
					}
				}
				w.pass(1)
			}
			if len(gateways) < 6 {
				t.Errorf("only %v are gateways: they should take turns", gateways)
			}
			t.Logf("%d moves in 30 s; %d of 36 links; %d bytes of rows in the last second", w.moves, len(w.wanted), w.told)
		})
	}
}

// TestFewViewers has one node of a region want a stream: it comes by the gateway nevertheless, so that the next one finds it there.
func TestFewViewers(t *testing.T) {
	w := threeRegions(t, 3)
	w.wantAll()
	w.pass(3)
	gateways := map[int]bool{}
	for viewer := 1; viewer < 9; viewer += 3 { // of region b
		w.pull(0, viewer)
		path := w.walk(0, viewer)
		gateways[path[len(path)-2]] = true
	}
	if len(gateways) != 1 {
		t.Errorf("gateways are %v", gateways)
	}
}

// TestDetour has a third region through which it is shorter, for a time.
func TestDetour(t *testing.T) {
	ac := 400 * time.Millisecond
	base := threeRegions(t, 3)
	w := threeRegions(t, 3)
	w.rtt = func(a, b int) time.Duration {
		if d := base.rtt(a, b); d != 220*time.Millisecond {
			return d
		}
		return ac
	}
	w.wantAll()
	w.pass(3)
	check := func(what string, most time.Duration, through string) {
		t.Helper()
		for range 40 {
			w.pullAll(0)
			w.pass(1)
		}
		for i := 2; i < 9; i += 3 { // of region c
			if d := w.delay(0, i); d > most {
				t.Errorf("%s: %v late", what, d)
			}
			path := w.walk(0, i)
			var regions string
			for _, n := range path {
				if r := w.nodes[n].Region; len(regions) == 0 || regions[len(regions)-1:] != r {
					regions += r
				}
			}
			if regions != through {
				t.Errorf("%s: path %v leads through %s, want %s", what, path, regions, through)
			}
		}
		if got := w.crossings(0); got["b"] != 1 || got["c"] != 1 {
			t.Errorf("%s: crossings %v", what, got)
		}
	}
	check("400 ms straight, 230 ms over b", 118*time.Millisecond, "cba")
	ac = 220 * time.Millisecond
	check("220 ms straight", 112*time.Millisecond, "ca")
	ac = 245 * time.Millisecond
	check("245 ms straight, not worth a detour", 125*time.Millisecond, "ca")
	w.late = map[pair]float64{}
	for a := range w.nodes {
		for b := range w.nodes {
			if a%3 == 0 && b%3 == 2 {
				w.late[pairOf(a, b)] = 0.02
			}
		}
	}
	check("2 % late", 118*time.Millisecond, "cba")
	w.late, ac = map[pair]float64{}, 200*time.Millisecond
	check("and not late any more", 102*time.Millisecond, "ca")
}

// TestBadGateway gives the gateway alone a bad link: the others gather at the second in the order.
func TestBadGateway(t *testing.T) {
	w := threeRegions(t, 5)
	w.wantAll()
	w.pass(3)
	w.pullAll(0)
	gateway := -1
	for i := 1; i < 15; i += 3 {
		if w.parents[[2]int{0, i}] == w.nodes[0].ID {
			gateway = i
		}
	}
	for i := range w.nodes { // everything that it has over oceans
		if i%3 != 1 {
			w.late[pairOf(i, gateway)] = 0.05
		}
	}
	for range 20 {
		w.pass(1)
		w.pullAll(0)
	}
	if c := w.crossings(0); c["b"] != 1 {
		t.Errorf("crossings %v", c)
	}
	if d := w.delay(0, gateway); w.parents[[2]int{0, gateway}] == w.nodes[0].ID || d > 50*time.Millisecond {
		t.Errorf("the old gateway asks %v", w.walk(0, gateway))
	}
}

// TestFailover kills whatever a stream comes over: everybody has another parent at the next look.
func TestFailover(t *testing.T) {
	w := threeRegions(t, 3)
	w.wantAll()
	w.pass(3)
	w.pullAll(0)
	for range 2 { // the gateways of b, until its last node is left
		for i := 1; i < 9; i += 3 {
			if !w.dead[i] && w.parents[[2]int{0, i}] == w.nodes[0].ID {
				w.dead[i] = true
				break
			}
		}
		w.exchange() // gossip does not know yet; no time has passed
		w.pullAll(0)
		if c := w.crossings(0); c["b"] != 1 || c["c"] != 1 {
			t.Errorf("crossings %v with %d dead", c, len(w.dead))
		}
	}
	w.pass(1)
	w.gossip()
	w.pass(1)
	for i := range w.dead { // they come back, and take over their duty
		delete(w.dead, i)
	}
	w.gossip()
	for range 15 {
		w.pass(1)
		w.pullAll(0)
	}
	if c := w.crossings(0); c["b"] != 1 || c["c"] != 1 {
		t.Errorf("crossings %v at last", c)
	}
}

// TestOceanCut cuts all links between two regions: streams come over the third, still once.
func TestOceanCut(t *testing.T) {
	w := threeRegions(t, 3)
	w.wantAll()
	w.pass(3)
	w.pullAll(0)
	cut := func(yes bool) {
		for a := range w.nodes {
			for b := range w.nodes {
				if a%3 == 0 && b%3 == 1 {
					w.blocked[pairOf(a, b)] = yes
				}
			}
		}
	}
	cut(true)
	w.exchange()
	for range 2 {
		w.pullAll(0)
		w.pass(1)
	}
	if c := w.crossings(0); c["b"] != 1 || c["c"] != 1 {
		t.Errorf("crossings %v", c)
	}
	t.Logf("%d requests refused", w.refused)
	for i := 1; i < 9; i += 3 {
		if d := w.delay(0, i); d > 188*time.Millisecond {
			t.Errorf("%d gets it after %v by %v", i, d, w.walk(0, i))
		}
	}
	cut(false)
	for range 20 {
		w.pass(1)
		w.pullAll(0)
	}
	for i := 1; i < 9; i += 3 {
		if d := w.delay(0, i); d > 43*time.Millisecond {
			t.Errorf("%d gets it after %v by %v when all is well again", i, d, w.walk(0, i))
		}
	}
}

// TestRollingDrain drains each node in turn: no stream comes by one that drains, unless it is the origin.
func TestRollingDrain(t *testing.T) {
	w := threeRegions(t, 3)
	w.wantAll()
	w.pass(3)
	w.pullAll(0)
	for i := range w.nodes {
		w.nodes[i].Draining = true
		w.gossip()
		for range 8 {
			w.pass(1)
			w.pullAll(0)
		}
		for n := range w.nodes {
			if i != 0 && n != i && slices.Contains(w.walk(0, n), i) {
				t.Errorf("while %d drains, %d gets its stream by %v", i, n, w.walk(0, n))
			}
		}
		if c := w.crossings(0); c["b"] != 1 || c["c"] != 1 {
			t.Errorf("crossings %v while %d drains", c, i)
		}
		w.nodes[i].Draining = false
	}
	for i := range w.nodes {
		w.nodes[i].Draining = true
	}
	w.gossip()
	w.pullAll(0)
	if c := w.crossings(0); c["b"] != 1 || c["c"] != 1 {
		t.Errorf("crossings %v with everybody draining", c)
	}
}

// TestFlapping lets measurements waver by 20 % for up to an hour. Streams stay where they are, also where two ways are equally
// good; where a change is just worth it, it is made once or so by each of the two ends.
func TestFlapping(t *testing.T) {
	triangle := func(ab, bc, ca time.Duration) *world {
		return newWorld(t, []string{"a", "b", "c"}, func(a, b int) time.Duration {
			return map[pair]time.Duration{{0, 1}: ab, {1, 2}: bc, {0, 2}: ca}[pairOf(a, b)]
		})
	}
	const ms = time.Millisecond
	for _, tt := range []struct {
		name    string
		world   *world
		seconds int
		most    int // moves
	}{
		{"three regions", threeRegions(t, 3), 900, 0},
		{"detour as good as the straight way", triangle(100*ms, 100*ms, 206*ms), 3600, 0},
		{"detour just worth it", triangle(100*ms, 100*ms, 226*ms), 3600, 2},
		{"detour at the margin", triangle(100*ms, 100*ms, 256*ms), 3600, 2},
		{"long and equal", triangle(200*ms, 200*ms, 406*ms), 3600, 2},
		{"long and at the margin", triangle(200*ms, 200*ms, 500*ms), 3600, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := tt.world
			w.noise = 0.2
			w.wantAll()
			w.pass(10)
			for range tt.seconds {
				for origin := range w.nodes {
					w.pullAll(origin)
				}
				w.pass(1)
			}
			if w.moves > tt.most {
				t.Errorf("%d moves in %d s, want at most %d", w.moves, tt.seconds, tt.most)
			}
			t.Logf("%d moves, %d bytes/s of rows on %d links", w.moves, w.told, len(w.wanted))
		})
	}
}

// TestLine is nodes of which only neighbours can reach each other.
func TestLine(t *testing.T) {
	w := newWorld(t, make([]string, MaxHops+1), func(a, b int) time.Duration {
		return time.Duration(max(a, b)-min(a, b)) * 10 * time.Millisecond
	})
	w.wantAll() // everybody has tried
	for p := range w.wanted {
		w.blocked[p] = p[1]-p[0] > 1
	}
	w.pass(2 * len(w.nodes))
	w.everybodyReaches()
	w.pullEverything()

	// In the middle it breaks. Then nobody knows a way across, and the word dies down.
	w.blocked[pair{5, 6}] = true
	w.pass(3 * len(w.nodes))
	if id, ok := w.tables[5].Next(w.nodes[6].ID, w.now); ok {
		if c := w.tables[5].Parents(w.nodes[6].ID, w.now); len(c[0].Path) > 1 && c[0].proof == proven {
			t.Errorf("5 believes to reach 6 over %s: %v", id, c[0])
		}
	}
	for i, table := range w.tables {
		for id, e := range table.allWays(w.now) {
			if (w.index[id] <= 5) != (i <= 5) && len(e.via) > 0 {
				t.Errorf("%d still believes in a way to %s: %v", i, id, e)
			}
		}
	}
	w.blocked[pair{5, 6}] = false
	w.pass(2 * len(w.nodes))
	w.everybodyReaches()
}

// TestSeeking has one node seek another along a line, for a time.
func TestSeeking(t *testing.T) {
	w := newWorld(t, make([]string, 6), func(int, int) time.Duration { return 20 * time.Millisecond })
	for i := range 5 {
		w.wanted[pair{i, i + 1}] = true
	}
	w.pass(5)
	if s, ways := w.ways(); s != 0 || ways != 0 {
		t.Errorf("%d, %d: nobody seeks, and yet it is told", s, ways)
	}
	w.wanted[pair{0, 5}], w.blocked[pair{0, 5}] = true, true
	w.pass(10)
	c := w.tables[0].Parents(w.nodes[5].ID, w.now)[0]
	if len(c.Path) != 5 || c.Cost != 5*10*time.Millisecond+4*HopPrice {
		t.Errorf("the way found is %+v", c)
	}
	// Node 0 seeks, those behind it pass it on until somebody has a link, and each has a way with one node less. So does node 5.
	if s, ways := w.ways(); s != 2*(1+2+3+4) || ways != 2*(4+3+2+1) {
		t.Errorf("%d, %d", s, ways)
	}
	delete(w.wanted, pair{0, 5})
	w.pass(int(grace/time.Second) + MaxHops)
	if s, ways := w.ways(); s != 0 || ways != 0 {
		t.Errorf("%d, %d: nobody seeks any more, and yet it is told", s, ways)
	}
}

// TestSeekingInACircle has a node seek one that nobody reaches. The others pass the word on to each other, but not for ever.
func TestSeekingInACircle(t *testing.T) {
	w := newWorld(t, make([]string, 5), func(int, int) time.Duration { return 20 * time.Millisecond })
	for i := range 4 {
		w.wanted[pairOf(i, (i+1)%4)] = true
	}
	w.wanted[pair{0, 4}], w.blocked[pair{0, 4}] = true, true
	w.pass(5) // node 4 seeks, too
	if s, ways := w.ways(); s != 1+2+3+2+1 || ways != 0 {
		t.Errorf("%d, %d while one seeks", s, ways)
	}
	delete(w.wanted, pair{0, 4})
	w.pass(int(grace/time.Second) + MaxHops)
	if s, ways := w.ways(); s != 0 || ways != 0 {
		t.Errorf("%d, %d: nobody seeks any more, and yet it is told", s, ways)
	}
}

// ways returns the sums of hops over which all nodes seek, and of the nodes on the ways that they have.
func (w *world) ways() (seeks, nodes int) {
	for _, table := range w.tables {
		for _, e := range table.allWays(w.now) {
			seeks += int(e.seek)
			nodes += len(e.via)
		}
	}
	return seeks, nodes
}

// TestStar is leaves that reach only the hub.
func TestStar(t *testing.T) {
	w := newWorld(t, make([]string, 20), func(int, int) time.Duration { return 30 * time.Millisecond })
	w.wantAll()
	for p := range w.wanted {
		w.blocked[p] = p[0] != 0
	}
	w.pass(3)
	w.everybodyReaches()
	w.pullEverything()
}

// TestRandom is 200 nodes in a plane, each of which has links with few and cannot open others.
func TestRandom(t *testing.T) {
	const n = 200
	var x, y [n]float64
	w := newWorld(t, make([]string, n), nil)
	for i := range n {
		x[i], y[i] = w.rng.Float64()*200, w.rng.Float64()*100
	}
	w.rtt = func(a, b int) time.Duration {
		return time.Millisecond + time.Duration(math.Hypot(x[a]-x[b], y[a]-y[b])*float64(time.Millisecond))
	}
	w.wantAll()
	for p := range w.wanted {
		w.blocked[p] = true
	}
	for i := 1; i < n; i++ { // connected, by a tree of nearest earlier nodes; and some more
		near := 0
		for j := range i {
			if w.rtt(i, j) < w.rtt(i, near) {
				near = j
			}
		}
		w.blocked[pairOf(i, near)] = false
		for range 3 {
			if j := w.rng.IntN(n); j != i {
				w.blocked[pairOf(i, j)] = false
			}
		}
	}
	w.coordinates(60)
	w.pass(6)
	w.everybodyReaches()
	for _, origin := range []int{0, 57, 199} {
		w.pullAll(origin)
		w.pass(1)
		w.pullAll(origin)
		for i := range w.nodes {
			w.walk(origin, i)
		}
	}
	t.Logf("%d bytes/s of rows on %d links", w.told, n*4)
}

// everybodyReaches sends a datagram from everybody to everybody, each hop deciding by itself.
func (w *world) everybodyReaches() {
	w.t.Helper()
	for from := range w.nodes {
		for to := range w.nodes {
			var path []int
			var avoid []link.NodeID
			for at := from; at != to; {
				next, ok := w.tables[at].Next(w.nodes[to].ID, w.now, avoid...)
				if path = append(path, at); !ok || !w.up(at, w.index[next]) || len(path) > MaxHops+1 {
					w.t.Fatalf("a datagram from %d to %d got lost after %v (%s)", from, to, path, next)
				}
				avoid = []link.NodeID{w.nodes[at].ID}
				at = w.index[next]
			}
		}
	}
}

// pullEverything lets everybody have everybody's streams, at once.
func (w *world) pullEverything() {
	w.t.Helper()
	for origin := range w.nodes {
		w.pullAll(origin)
		for i := range w.nodes {
			w.walk(origin, i)
		}
	}
}
