package mesh

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"cardea/e2e/internal/caller"
)

// interruption is a gap that a listener notices.
const interruption = 200 * time.Millisecond

// testRolling restarts all nodes, one by one, under a call with a publisher in each region. Clients of the node that is
// restarted come back to it and join again. It logs what clients of other nodes notice.
func (w *world) testRolling(t *testing.T) {
	c := w.newCall(t, 1000)
	publishers := make(map[*node]published)
	for _, region := range regions {
		n := w.in(region)[0]
		publishers[n] = c.publish(t, n)
		c.watch(t, publishers[n], w.nodes...)
	}
	flow(t, c.watching, 150)

	interrupted, clients, longest := 0, 0, time.Duration(0)
	for _, n := range w.nodes {
		rest := c.among(func(from, at *node) bool { return from != n && at != n })
		restart(rest)
		began := time.Now()
		n.stop(t)
		n.start(t, "")
		w.meet(t, len(w.nodes))
		flow(t, rest, 50)
		gaps := 0
		tracks(rest, func(_ *watched, _ string, track *caller.Track) {
			g := track.Figures().Gap
			if longest = max(longest, g); g > interruption {
				gaps++
			}
		})
		interrupted, clients = interrupted+gaps, clients+2*len(rest)
		t.Logf("%s restarted: %d of %d tracks of clients of other nodes interrupted, the longest gap is %v", n.name, gaps, 2*len(rest), gap(rest).Round(time.Millisecond))

		c.forget(n)
		c.attend(t, n)
		_, source := publishers[n]
		if source {
			publishers[n] = c.publish(t, n)
			c.watch(t, publishers[n], w.nodes...)
		}
		var ids []json.Number
		for from, p := range publishers {
			ids = append(ids, p.ID)
			if from != n {
				c.watch(t, p, n)
			}
		}
		slices.Sort(ids)
		c.agree(t, w.nodes, w.nodes, ids...)
		t.Logf("%s: its clients are back after %v", n.name, time.Since(began).Round(time.Millisecond))
	}
	t.Logf("%d interruptions above %v of %d tracks in %d restarts; the longest is %v", interrupted, interruption, clients, len(w.nodes), longest.Round(time.Millisecond))
	if longest > moveLimit {
		t.Errorf("an interruption of %v", longest)
	}
}
