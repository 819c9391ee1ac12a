package janus_test

import (
	"testing"
	"time"

	"cardea/signaling/janus"
)

// TestDeparting counts the connections that a drain closes: not those that would take their sessions along.
func TestDeparting(t *testing.T) {
	for reclaim, want := range map[time.Duration]int{10 * time.Second: 1, -1: 0} {
		s, _ := open(t, func(c *janus.Config) { c.ReclaimTimeout = reclaim }, &plugin{})
		later := time.Now().Add(time.Second)
		if n := s.Departing(later); n != want {
			t.Errorf("reclaimed within %v: %d connections to close", reclaim, n)
		}
		s.Depart(later, 1)
		if n := s.Departing(later); n != 0 || s.Metrics().Sessions.Load() != 1 {
			t.Errorf("reclaimed within %v: then %d, and %d sessions", reclaim, n, s.Metrics().Sessions.Load())
		}
	}
}
