package wan

import (
	"math/rand/v2"
	"time"
)

// shortestWander keeps tiny jitters from drawing a random number per microsecond.
const shortestWander = time.Millisecond

// wander is the jitter of a direction: a random line through time. Independent jitter per packet would reorder; with the order
// restored behind it, every packet would wait for the unluckiest one before, and the mean delay would grow with the
// packet rate. So the delay itself moves, as it does when queues along a way fill and drain: straight from one
// random point to the next, twice the amplitude apart in time. The steepest way down then brings packets to the far end all at
// once but never past each other, the mean stays what was asked for, and packets further apart than that see independent delays.
type wander struct {
	random   *rand.Rand
	from, to float64 // points, in amplitudes: -1 to 1
	start    time.Duration
	end      time.Duration // when the line arrives at to
}

// at returns the deviation at now, from -amplitude to amplitude. Time does not go back.
func (w *wander) at(now, amplitude time.Duration) time.Duration {
	if amplitude == 0 {
		return 0
	}
	period := max(2*amplitude, shortestWander)
	switch {
	case now >= w.end+period: // nobody looked for a while, or for the first time
		w.from, w.to = w.point(), w.point()
		w.start, w.end = now, now+period
	case now >= w.end:
		w.from, w.to = w.to, w.point()
		w.start, w.end = w.end, w.end+period
	}
	part := float64(now-w.start) / float64(w.end-w.start)
	return time.Duration((w.from + (w.to-w.from)*part) * float64(amplitude))
}

func (w *wander) point() float64 { return 2*w.random.Float64() - 1 }
