package room

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"cardea/relay/link"
)

// TestMemory says what an idle room costs a node that keeps its record.
func TestMemory(t *testing.T) {
	const n = 100_000
	c := newCore("self", time.Now(), rand.New(rand.NewPCG(1, 1)), &Metrics{}, slog.New(slog.DiscardHandler))
	c.setNodes(time.Now(), []link.NodeID{"self", "b", "c"}, nil)
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	for i := range n {
		rec := &record{id: fmt.Sprintf("videoroom/%08d", i), value: make([]byte, 200), stamp: 5, born: 5, node: "b"}
		if err := c.apply(rec.seal()); err != nil {
			t.Fatal(err)
		}
	}
	per := (heap() - before) / n
	t.Logf("%d bytes a room, of which 200 are its record", per)
	if per > 600 {
		t.Errorf("a room costs %d bytes", per)
	}
	runtime.KeepAlive(c)
}

// TestIdle says what nodes with rooms that nobody is in say to each other.
func TestIdle(t *testing.T) {
	for _, rooms := range []int{0, 1000} {
		s, ids := cluster(t, 1, 10)
		for i := range rooms {
			s.nodes[ids[i%10]].create(fmt.Sprint("a/", i), "record", false, func(err error) {
				if err != nil {
					t.Error(err)
				}
			})
			s.run(5 * time.Millisecond)
		}
		s.run(30 * time.Second)
		before, notices := s.bytes, s.notices
		s.run(time.Minute)
		t.Logf("10 nodes, %d rooms: %d bytes/s a node", rooms, (s.bytes-before)/60/10)
		if s.notices != notices || (s.bytes-before)/60/10 > 50 {
			t.Errorf("idle nodes sent %d notices, %d bytes", s.notices-notices, s.bytes-before)
		}
	}
}

// TestManyFailures kills node after node. As long as there is time between for two to tell a third, no room is lost.
func TestManyFailures(t *testing.T) {
	s, ids := cluster(t, 5, 8)
	for i := range 100 {
		s.must(func(done func(error)) { s.nodes[ids[i%8]].create(fmt.Sprint("a/", i), "record", i%2 == 0, done) })
	}
	for len(ids) > 1 {
		dead := s.rand.IntN(len(ids))
		s.kill(ids[dead])
		ids = append(ids[:dead], ids[dead+1:]...)
		s.run(8 * time.Second) // 4.5 of which pass until all know
		for i := range 100 {
			id := fmt.Sprint("a/", i)
			for _, k := range s.nodes[ids[0]].keepers(id) {
				if s.nodes[k].core.table.live(id) == nil {
					t.Fatalf("%d nodes left: %s is not at %s", len(ids), id, k)
				}
			}
		}
	}
}

// TestNodesCome spreads the rooms of one node over many, which then do not keep more than their share.
func TestNodesCome(t *testing.T) {
	s, ids := cluster(t, 6, 1)
	for i := range 3000 {
		s.must(func(done func(error)) { s.nodes[ids[0]].create(fmt.Sprint("a/", i), "record", true, done) })
	}
	for _, id := range simIDs(8)[1:] {
		s.add(id)
	}
	s.run(15 * time.Second)
	for _, id := range simIDs(8) {
		n := s.nodes[id]
		t.Logf("%s: %d records, %d on disk", id, n.core.table.n, len(n.disk))
		if id != ids[0] && (n.core.table.n < 800 || n.core.table.n > 1400 || len(n.disk) != n.core.table.n) {
			t.Errorf("%s has %d records, %d on disk", id, n.core.table.n, len(n.disk))
		}
	}
	if n := len(s.nodes[ids[0]].disk); n != 3000 {
		t.Errorf("where they were made %d are on disk", n)
	}
}

// TestCutOff has a node that cannot reach the keeper be in the room all the same: by another of the three.
func TestCutOff(t *testing.T) {
	for seed := range uint64(20) {
		s, ids := cluster(t, seed, 6)
		s.must(func(done func(error)) { s.nodes[ids[0]].create("a/1", "record", false, done) })
		order := s.nodes[ids[0]].ranking("a/1")
		far := s.nodes[order[5]].open("a/1")
		near := s.nodes[order[4]].open("a/1")
		s.run(time.Second)
		far.set("far", "1")
		near.set("near", "1")
		s.run(time.Second)
		s.cut[pair(order[0], order[5])] = true
		s.run(3 * time.Second)
		far.set("far", "2")
		near.set("near", "2")
		s.run(time.Second)
		if far.there["near"] != "2" || near.there["far"] != "2" || far.gone+near.gone > 0 {
			t.Errorf("seed %d: they see %v, %v, and saw %d go", seed, far.there, near.there, far.gone+near.gone)
		}
		// The first of the three leaves its role, and the room stays whole.
		for _, id := range ids {
			s.nodes[id].retiring = []link.NodeID{order[0]}
			s.nodes[id].tellMembers()
			s.run(300 * time.Millisecond)
		}
		s.run(10 * time.Second)
		far.remove("far")
		near.set("near", "3")
		s.run(time.Second)
		if far.there["near"] != "3" || len(near.there) != 0 || far.gone > 0 || near.gone != 1 {
			t.Errorf("seed %d: without the keeper they see %v, %v", seed, far.there, near.there)
		}
		if rec := s.nodes[order[0]].core.table.get("a/1"); rec != nil {
			t.Errorf("seed %d: the retired keeper still has it", seed)
		}
	}
}

// TestBigRoom moves many large entries over one link, which never has more than the window in flight.
func TestBigRoom(t *testing.T) {
	s, ids := cluster(t, 8, 4)
	s.must(func(done func(error)) { s.nodes[ids[0]].create("a/1", "record", false, done) })
	a, b := s.nodes[ids[0]].open("a/1"), s.nodes[ids[1]].open("a/1")
	s.run(time.Second)
	for i := range 1000 {
		a.set(fmt.Sprint("p", i), string(make([]byte, 10_000)))
		if i%2 == 0 {
			b.set(fmt.Sprint("q", i), "q")
		}
	}
	most := 0
	for range 1000 {
		s.run(10 * time.Millisecond)
		for _, n := range s.nodes {
			for _, p := range n.core.peers {
				most = max(most, p.bytes)
			}
		}
	}
	if len(b.there) != 1000 || len(a.there) != 500 || most > s.nodes[ids[0]].core.limits.window+2*MaxEntry {
		t.Errorf("they see %d and %d, and %d bytes were in flight", len(a.there), len(b.there), most)
	}
	t.Logf("at most %d bytes in flight", most)
}
