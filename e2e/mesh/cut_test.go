package mesh

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"cardea/mesh/rendezvous"
)

// roundTime is how long rooms may take to find their way round an ocean that is cut, and roundLimit on a busy machine.
const roundTime, roundLimit = 10 * time.Second, 25 * time.Second

// testCut cuts the ocean between two regions, while a third reaches both: of a room that is kept in one of the two alone, everybody
// sees and hears everybody all the same, and newcomers as well.
func (w *world) testCut(t *testing.T) {
	eu, us := w.in("eu"), w.in("us")
	c := w.newCall(t, w.keptIn(t, 750, eu))
	first := []published{c.publish(t, eu[0]), c.publish(t, us[0])}
	for _, p := range first {
		c.watch(t, p, w.nodes...)
	}
	flow(t, c.watching, 100)

	restart(c.watching)
	w.setDown(t, "eu", "us", true)
	t.Cleanup(func() { w.setDown(t, "eu", "us", false) })
	began := time.Now()
	late := []published{c.publish(t, us[1]), c.publish(t, eu[1])}
	c.agree(t, w.nodes, w.nodes, first[0].ID, first[1].ID, late[0].ID, late[1].ID)
	promised(t, "one room again after", time.Since(began), roundTime, roundLimit)
	for _, p := range late {
		c.watch(t, p, w.nodes...)
	}
	flow(t, c.watching, 100)
	promised(t, "longest gap", gap(c.watching), moveTime, moveLimit)

	keeper := eu[2].keeper(t, c.room)
	left := slices.DeleteFunc(append(first, late...), func(p published) bool { return p.at == keeper })
	ids := make([]json.Number, len(left))
	for i, p := range left {
		ids[i] = p.ID
	}
	c.kill(t, keeper, ids...)
	for n, a := range c.at {
		for _, p := range left {
			if times := a.count("leaving", p.ID); n != keeper && times != 0 {
				t.Errorf("at %s, %s is seen to leave %d times", n.name, p.at.name, times)
			}
		}
	}
	t.Logf("%s was the keeper; %s is", keeper.name, w.except(keeper)[0].keeper(t, c.room).name)
	w.setDown(t, "eu", "us", false)
	c.back(t, keeper, left...)
}

// keptIn returns the first room number from some on that these nodes alone keep.
func (w *world) keptIn(t *testing.T, room int, nodes []*node) int {
	t.Helper()
	ids := map[string]*node{}
	for _, n := range w.nodes {
		ids[n.id(t)] = n
	}
	for ; ; room++ {
		hash := rendezvous.Hash(fmt.Sprintf("videoroom/%d", room))
		ranking := slices.SortedFunc(maps.Keys(ids), func(a, b string) int {
			return cmp.Compare(rendezvous.Weight(hash, rendezvous.Hash(b)), rendezvous.Weight(hash, rendezvous.Hash(a)))
		})
		if !slices.ContainsFunc(ranking[:3], func(id string) bool { return !slices.Contains(nodes, ids[id]) }) {
			return room
		}
	}
}
