package member

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// detection simulates how long it takes until all of n nodes know that one of them has died, with nobody's messages lost.
func detection(rng *rand.Rand, n int, rtt time.Duration) time.Duration {
	least := time.Duration(suspicionMult * max(1, math.Log10(float64(n))) * float64(probeInterval))
	most, confirmations := suspicionMax*least, suspicionMult-2
	if n-2 < confirmations {
		confirmations = 0
	}
	hops := max(1, math.Ceil(math.Log(float64(n-1))/math.Log(gossipNodes+1)))
	spread := time.Duration(hops * float64(gossipInterval+rtt/2))
	type failure struct {
		at   time.Duration
		node int
	}
	var failures []failure
	for node := range n - 1 {
		order := rng.Perm(n - 1)
		next := rng.IntN(n - 1)
		for at := time.Duration(rng.Int64N(int64(probeInterval))); at < 30*time.Second; at += probeInterval {
			if next == n-1 {
				next, order = 0, rng.Perm(n-1)
			}
			if order[next] == 0 { // the dead one
				failures = append(failures, failure{at + probeInterval, node})
			}
			next++
		}
	}
	slices.SortFunc(failures, func(a, b failure) int { return int(a.at - b.at) })
	begin := failures[0].at
	end := begin + most
	if confirmations == 0 {
		end = begin + least
	}
	told := map[int]bool{failures[0].node: true}
	for _, f := range failures[1:] {
		if told[f.node] || len(told) > confirmations || f.at+spread >= end {
			continue
		}
		told[f.node] = true
		share := math.Log(float64(len(told))) / math.Log(float64(confirmations+1))
		end = max(f.at+spread, begin+max(least, most-time.Duration(share*float64(most-least))))
	}
	return end + spread
}

// TestDetectionTime holds the package's documentation to its word.
func TestDetectionTime(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, tt := range []struct {
		nodes       int
		mean, worst time.Duration // at most; the worst of 100 cases
	}{
		{2, 2500 * time.Millisecond, 2800 * time.Millisecond},
		{4, 2700 * time.Millisecond, 4000 * time.Millisecond},
		{10, 3100 * time.Millisecond, 5000 * time.Millisecond},
		{50, 4500 * time.Millisecond, 7000 * time.Millisecond},
		{100, 5 * time.Second, 7500 * time.Millisecond},
	} {
		const rounds = 1000
		all := make([]time.Duration, rounds)
		sum := time.Duration(0)
		for i := range all {
			all[i] = detection(rng, tt.nodes, 250*time.Millisecond)
			sum += all[i]
		}
		slices.Sort(all)
		mean, worst := sum/rounds, all[rounds*99/100]
		t.Logf("%d nodes: %v on average, %v in 99 of 100 cases", tt.nodes, mean.Round(10*time.Millisecond), worst.Round(10*time.Millisecond))
		if mean > tt.mean || worst > tt.worst {
			t.Errorf("%d nodes: %v on average, %v in 99 of 100 cases", tt.nodes, mean, worst)
		}
	}
}
