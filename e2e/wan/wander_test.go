package wan

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

func TestWander(t *testing.T) {
	for _, spacing := range []time.Duration{10 * time.Microsecond, 700 * time.Microsecond, 20 * time.Millisecond, 3 * time.Second} {
		const amplitude = 10 * time.Millisecond
		w := wander{random: rand.New(rand.NewPCG(1, 2))}
		var sum, squares float64
		var lowest, highest, last time.Duration
		const n = 200_000
		for i := range n {
			now := time.Duration(i) * spacing
			d := w.at(now, amplitude)
			if d < -amplitude || d > amplitude {
				t.Fatalf("every %v: deviation %v is more than %v", spacing, d, amplitude)
			}
			// A nanosecond is rounding.
			if now+d < last-time.Nanosecond {
				t.Fatalf("every %v: the packet at %v overtakes the one before by %v", spacing, now, last-now-d)
			}
			last = now + d
			lowest, highest = min(lowest, d), max(highest, d)
			sum += d.Seconds()
			squares += d.Seconds() * d.Seconds()
		}
		periods := max(math.Min(n, n*spacing.Seconds()/(2*amplitude.Seconds())), 1)
		if mean := sum / n; math.Abs(mean) > 4*amplitude.Seconds()*0.6/math.Sqrt(periods) {
			t.Errorf("every %v: mean deviation %.3f ms", spacing, mean*1e3)
		}
		if lowest > -amplitude*8/10 || highest < amplitude*8/10 {
			t.Errorf("every %v: deviations only from %v to %v", spacing, lowest, highest)
		}
		// Points are uniform (variance 1/3), the line between them less (2/9 on average).
		if deviation := math.Sqrt(squares/n) / amplitude.Seconds(); deviation < 0.4 || deviation > 0.65 {
			t.Errorf("every %v: standard deviation %.2f of the amplitude", spacing, deviation)
		}
	}
}

func TestNoWander(t *testing.T) {
	w := wander{random: rand.New(rand.NewPCG(1, 2))}
	for i := range 100 {
		if d := w.at(time.Duration(i)*time.Millisecond, 0); d != 0 {
			t.Fatalf("deviation %v without jitter", d)
		}
	}
}
