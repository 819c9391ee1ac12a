package quality

import (
	"math/rand/v2"
	"testing"
	"time"
)

// The more delays vary the longer pictures are held, and again less when they do not; one outage, and what is sent again, changes little.
func TestPlayoutFollowsJitter(t *testing.T) {
	var p Playout
	r := rand.New(rand.NewPCG(1, 2))
	const interval = 50 * ms
	now, stamp := 1000*ms, uint32(1<<32-9000)
	late := func() int64 { return 0 }
	play := func(pictures int, repaired bool) time.Duration {
		for range pictures {
			now += interval
			stamp += 4500
			came := now + 40*ms + late()
			p.Due(stamp, came, came, repaired)
		}
		return time.Duration(p.hold())
	}
	within := func(what string, got, least, most time.Duration) {
		t.Helper()
		if got < least || got > most {
			t.Errorf("%s: held for %v, want %v to %v", what, got, least, most)
		}
	}
	within("calm", play(300, false), playoutLeast, playoutLeast+time.Millisecond)
	late = func() int64 { return 900 * ms }
	within("one late picture", play(1, false), playoutLeast, playoutLeast+10*time.Millisecond)
	late = func() int64 { return r.Int64N(200 * ms) }
	within("what was sent again", play(100, true), playoutLeast, playoutLeast+10*time.Millisecond)
	late = func() int64 { return r.Int64N(80 * ms) }
	within("delays vary by 80 ms", play(600, false), playoutLeast+40*time.Millisecond, playoutLeast+120*time.Millisecond)
	late = func() int64 { return r.Int64N(9000 * ms) }
	within("delays vary without sense", play(3000, false), playoutMost, playoutLeast+playoutMost)
	late = func() int64 { return 0 }
	within("calm again", play(6000, false), playoutLeast, playoutLeast+30*time.Millisecond)
}
