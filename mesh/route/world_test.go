package route

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/hashicorp/serf/coordinate"

	"cardea/relay/link"
)

// world is a simulated mesh: a table for each node, what each would measure, and the rows they tell each other, encoded and read.
// Its time goes by in seconds.
type world struct {
	t      *testing.T
	rng    *rand.Rand
	now    time.Time
	nodes  []Node
	tables []*Table
	index  map[link.NodeID]int

	rtt     func(a, b int) time.Duration // true round trips
	noise   float64                      // measured round trips are off by up to this share
	late    map[pair]float64
	blocked map[pair]bool // pairs between which no link works
	dead    map[int]bool
	wanted  map[pair]bool // links that somebody has opened, or would if he could
	tellers map[[2]int]*Telling
	told    int // bytes of rows in the last second

	parents map[[2]int]link.NodeID // of (origin, node)
	moves   int
	refused int // requests that would have closed a circle
}

// pair is two nodes, the lower index first.
type pair [2]int

func pairOf(a, b int) pair { return pair{min(a, b), max(a, b)} }

func newWorld(t *testing.T, regions []string, rtt func(a, b int) time.Duration) *world {
	w := &world{
		t: t, rng: rand.New(rand.NewPCG(1, 2)), now: time.Unix(1_000_000, 0), index: map[link.NodeID]int{}, rtt: rtt,
		late: map[pair]float64{}, blocked: map[pair]bool{}, dead: map[int]bool{}, wanted: map[pair]bool{},
		tellers: map[[2]int]*Telling{}, parents: map[[2]int]link.NodeID{},
	}
	for i, r := range regions {
		id := link.NodeID(fmt.Sprintf("node%012d", i))
		w.nodes = append(w.nodes, Node{ID: id, Region: r})
		w.tables = append(w.tables, New(id))
		w.index[id] = i
	}
	w.gossip()
	return w
}

// gossip tells everybody who lives.
func (w *world) gossip() {
	var live []Node
	for i, n := range w.nodes {
		if !w.dead[i] {
			live = append(live, n)
		}
	}
	for _, t := range w.tables {
		t.SetNodes(live)
	}
}

// coordinates lets the nodes find their coordinates, as probes of random others do.
func (w *world) coordinates(probes int) {
	clients := make([]*coordinate.Client, len(w.nodes))
	for i := range clients {
		clients[i], _ = coordinate.NewClient(coordinate.DefaultConfig())
	}
	for range probes {
		for i := range clients {
			j := w.rng.IntN(len(clients))
			if i == j {
				continue
			}
			if _, err := clients[i].Update(string(w.nodes[j].ID), clients[j].GetCoordinate(), w.measure(i, j)); err != nil {
				w.t.Fatal(err)
			}
		}
	}
	for i := range clients {
		w.nodes[i].Coordinate = clients[i].GetCoordinate()
	}
	w.gossip()
}

func (w *world) measure(a, b int) time.Duration {
	return time.Duration(float64(w.rtt(a, b)) * (1 + w.noise*(2*w.rng.Float64()-1)))
}

func (w *world) wantAll() {
	for a := range w.nodes {
		for b := range a {
			w.wanted[pair{b, a}] = true
		}
	}
}

func (w *world) up(a, b int) bool {
	p := pairOf(a, b)
	return w.wanted[p] && !w.blocked[p] && !w.dead[a] && !w.dead[b]
}

// exchange measures and tells, without time going by.
func (w *world) exchange() {
	for i, t := range w.tables {
		var row []Edge
		for j := range w.nodes {
			if p := pairOf(i, j); i != j && w.wanted[p] {
				row = append(row, Edge{To: w.nodes[j].ID, RTT: w.measure(i, j), Late: w.late[p], Up: w.up(i, j)})
			}
		}
		t.SetRow(w.nodes[i].ID, row, w.now)
	}
	w.told = 0
	type letter struct {
		from, to int
		message  []byte
	}
	var mail []letter
	for p := range w.wanted {
		for _, d := range [][2]int{{p[0], p[1]}, {p[1], p[0]}} {
			from, to := d[0], d[1]
			if !w.up(from, to) {
				delete(w.tellers, d)
				continue
			}
			if w.tellers[d] == nil {
				w.tellers[d] = NewTelling(w.nodes[to].ID)
			}
			for _, m := range w.tables[from].Tell(w.tellers[d], w.now) {
				mail = append(mail, letter{from, to, m})
			}
		}
	}
	for _, l := range mail {
		w.told += len(l.message)
		if err := w.tables[l.to].Hear(w.nodes[l.from].ID, l.message, w.now); err != nil {
			w.t.Fatal(err)
		}
	}
}

// pass lets seconds go by.
func (w *world) pass(seconds int) {
	for range seconds {
		w.now = w.now.Add(time.Second)
		w.exchange()
	}
}

// pull lets a node get an origin's streams: it chooses a parent or keeps the one it has, whose parents do the same. A parent that
// is on the path already refuses, as the one who asks finds out by and by.
func (w *world) pull(origin, node int) {
	for path := []int{node}; node != origin; path = append(path, node) {
		k := [2]int{origin, node}
		current, have := w.parents[k]
		if have {
			best, move := w.tables[node].Keep(w.nodes[origin].ID, current, w.now)
			if move {
				w.moves++
				w.parents[k] = best
			}
		} else {
			w.parents[k] = w.tables[node].Parents(w.nodes[origin].ID, w.now)[0].Node
		}
		if slices.Contains(path, w.index[w.parents[k]]) {
			w.refused++
			for _, c := range w.tables[node].Parents(w.nodes[origin].ID, w.now) {
				if w.parents[k] = c.Node; !slices.Contains(path, w.index[c.Node]) {
					break
				}
			}
		}
		parent := w.index[w.parents[k]]
		w.wanted[pairOf(node, parent)] = true
		if slices.Contains(path, parent) {
			w.t.Fatalf("%d finds nobody but %v to ask for %d", node, path, origin)
		}
		node = parent
	}
}

func (w *world) pullAll(origin int) {
	for i := range w.nodes {
		if !w.dead[i] {
			w.pull(origin, i)
		}
	}
}

// walk follows the parents from a node to the origin and fails the test if it does not get there.
func (w *world) walk(origin, node int) (path []int) {
	w.t.Helper()
	for seen := map[int]bool{}; node != origin; {
		if seen[node] {
			w.t.Fatalf("parents of %d form a circle: %v", origin, path)
		}
		seen[node] = true
		path = append(path, node)
		parent := w.index[w.parents[[2]int{origin, node}]]
		if w.dead[parent] || w.blocked[pairOf(node, parent)] {
			w.t.Fatalf("%d asks %d for %d, which it cannot reach", node, parent, origin)
		}
		node = parent
	}
	return append(path, origin)
}

// delay is the true one-way delay from the origin to the node.
func (w *world) delay(origin, node int) (d time.Duration) {
	path := w.walk(origin, node)
	for i := range path[1:] {
		d += w.rtt(path[i], path[i+1]) / 2
	}
	return d
}

// crossings returns how often the origin's streams come into each region from outside. Everybody must have pulled.
func (w *world) crossings(origin int) map[string]int {
	count := map[string]int{}
	for i, n := range w.nodes {
		if i == origin || w.dead[i] {
			continue
		}
		w.walk(origin, i)
		if parent := w.index[w.parents[[2]int{origin, i}]]; w.nodes[parent].Region != n.Region {
			count[n.Region]++
		}
	}
	return count
}

// threeRegions is 3 x n nodes, in turn of regions a, b and c: a-b 80 ms, b-c 150 ms, a-c 220 ms.
func threeRegions(t *testing.T, n int) *world {
	var regions []string
	for i := range 3 * n {
		regions = append(regions, string(rune('a'+i%3)))
	}
	return newWorld(t, regions, func(a, b int) time.Duration {
		switch a, b = min(a%3, b%3), max(a%3, b%3); {
		case a == b:
			return 2 * time.Millisecond
		case a == 0 && b == 1:
			return 80 * time.Millisecond
		case a == 1:
			return 150 * time.Millisecond
		}
		return 220 * time.Millisecond
	})
}
