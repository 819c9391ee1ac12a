package wan

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// fates returns what happens to n packets.
func fates(seed uint64, c Conditions, n int) []bool {
	l := lossModel{random: rand.New(rand.NewPCG(seed, 0))}
	l.set(c)
	lost := make([]bool, n)
	for i := range lost {
		lost[i] = l.next()
	}
	return lost
}

// bursts returns how many losses there were, and how many bursts of each length.
func bursts(lost []bool) (total int, lengths map[int]int) {
	lengths = make(map[int]int)
	run := 0
	for _, l := range append(slices.Clip(lost), false) {
		if l {
			total++
			run++
		} else if run > 0 {
			lengths[run]++
			run = 0
		}
	}
	return total, lengths
}

func TestLossRateAndBursts(t *testing.T) {
	const n = 2_000_000
	for _, c := range []Conditions{
		{Loss: 0.001},
		{Loss: 0.01},
		{Loss: 0.03},
		{Loss: 0.5},
		{Loss: 0.01, Burst: 1},
		{Loss: 0.01, Burst: 2},
		{Loss: 0.01, Burst: 5},
		{Loss: 0.03, Burst: 20},
		{Loss: 0.4, Burst: 5},
		{Loss: 0.5, Burst: 1},
	} {
		t.Run(c.String(), func(t *testing.T) {
			total, lengths := bursts(fates(1, c, n))
			// Losses of a burst depend on each other: the count's variance grows by about twice the burst's length.
			sigma := math.Sqrt(n * c.Loss * (1 - c.Loss) * max(1, 2*c.Burst))
			if diff := math.Abs(float64(total) - n*c.Loss); diff > 4*sigma {
				t.Errorf("%d of %d lost: %.1f standard deviations from %v", total, n, diff/sigma, c.Loss)
			}
			mean := c.Burst
			if mean == 0 {
				mean = 1 / (1 - c.Loss) // independent losses also come in rows
			}
			count := 0
			for _, k := range lengths {
				count += k
			}
			// The length is geometric: P(k) = (1-r)^(k-1) r, with r = 1/mean.
			r := 1 / mean
			sigma = math.Sqrt((1-r)/(r*r)) / math.Sqrt(float64(count))
			if got := float64(total) / float64(count); math.Abs(got-mean) > 4*sigma+1e-9 {
				t.Errorf("mean burst %.3f, want %.3f ± %.3f", got, mean, 4*sigma)
			}
			for k := 1; k <= 10; k++ {
				want := float64(count) * math.Pow(1-r, float64(k-1)) * r
				if diff := math.Abs(float64(lengths[k]) - want); diff > 5*math.Sqrt(want)+1 {
					t.Errorf("%d bursts of %d, want about %.0f", lengths[k], k, want)
				}
			}
		})
	}
}

func TestLossExtremes(t *testing.T) {
	for _, c := range []struct {
		conditions Conditions
		want       int
	}{
		{Conditions{}, 0}, {Conditions{Burst: 5}, 0}, {Conditions{Loss: 1}, 1000}, {Conditions{Loss: 1, Burst: 5}, 1000},
	} {
		if got, _ := bursts(fates(1, c.conditions, 1000)); got != c.want {
			t.Errorf("%v: %d of 1000 lost, want %d", c.conditions, got, c.want)
		}
	}
}

func TestLossIsSeeded(t *testing.T) {
	c := Conditions{Loss: 0.1, Burst: 3}
	once, again := fates(7, c, 1000), fates(7, c, 1000)
	if !slices.Equal(once, again) {
		t.Error("the same seed, another fate")
	}
	if slices.Equal(once, fates(8, c, 1000)) {
		t.Error("another seed, the same fate")
	}
}

// A change of conditions must not shift the random numbers of what comes later.
func TestLossAfterAChange(t *testing.T) {
	a := lossModel{random: rand.New(rand.NewPCG(1, 0))}
	b := lossModel{random: rand.New(rand.NewPCG(1, 0))}
	a.set(Conditions{Loss: 0.5, Burst: 10})
	b.set(Conditions{})
	for range 100 {
		a.next()
		b.next()
	}
	a.set(Conditions{Loss: 0.3})
	b.set(Conditions{Loss: 0.3})
	for i := range 100 {
		if a.next() != b.next() {
			t.Fatalf("packet %d after the change: fates differ", i)
		}
	}
}
