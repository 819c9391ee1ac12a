package relay

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestTickerRush wants peers in a hurry to be served soon, however many there are, and those that are so again a little later.
func TestTickerRush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newTicker(nil)
		wait := func(want time.Duration) {
			t.Helper()
			begun := time.Now()
			<-k.rush.C
			if d := time.Since(begun); d != want {
				t.Errorf("served after %v, want %v", d, want)
			}
		}
		k.urgent(nil)
		time.Sleep(time.Millisecond)
		k.urgent(nil)
		wait(rushAfter - time.Millisecond)
		k.hurry, k.rushing = nil, true
		k.urgent(nil)
		wait(rushInterval)
	})
}
