package mesh

import (
	"testing"

	"cardea/e2e/internal/caller"
)

// What an ocean loses here, and what of it may reach those beyond: links repair the rest in time.
const (
	oceanLoss = 0.03
	lostPast  = 0.005 // promised
	lostLimit = 0.015 // few packets are counted, on a machine that may be busy
)

// testLoss has an ocean lose packets: those beyond get what was sent nevertheless.
func (w *world) testLoss(t *testing.T) {
	c := w.newCall(t, 150)
	c.watch(t, c.publish(t, w.in("eu")[0]), w.in("us")...)
	for _, way := range [][2]string{{"eu", "us"}, {"us", "eu"}} {
		was := w.network.Conditions(way[0], way[1])
		lossy := was
		lossy.Loss = oceanLoss
		if err := w.network.Set(way[0], way[1], lossy); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := w.network.Set(way[0], way[1], was); err != nil {
				t.Error(err)
			}
		})
	}
	flow(t, c.watching, 250) // links have found out
	ocean, before, began := w.network.Stats("eu", "us"), lost(c.watching), received(c.watching)
	flow(t, c.watching, 500)
	on := w.network.Stats("eu", "us").Sub(ocean)
	share := float64(lost(c.watching)-before) / float64(received(c.watching)-began)
	t.Logf("the ocean lost %d of %d packets; beyond it %.2f %% are missing (promised: %.1f %%)", on.Lost, on.Packets, 100*share, 100*lostPast)
	if share > lostLimit {
		t.Errorf("%.2f %% of the packets are missing beyond an ocean that loses %.0f %%", 100*share, 100*oceanLoss)
	}
}

// received sums what all have received.
func received(all []*watched) (sum uint64) {
	tracks(all, func(_ *watched, _ string, track *caller.Track) { sum += track.Figures().Received })
	return sum
}
