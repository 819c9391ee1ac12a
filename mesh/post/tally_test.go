package post

import (
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cardea/relay/data"
)

// What comes is taken once, whatever comes in what order.
func TestTallyProperty(t *testing.T) {
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 0))
		var got tally
		seen, floor := map[uint64]bool{}, uint64(1)
		for range 300 {
			n := floor + random.Uint64N(60)
			fresh, _ := got.take(&frame{Incarnation: 1, Number: n, Floor: floor, Unordered: true})
			if fresh == seen[n] {
				t.Fatalf("seed %d: %d is fresh: %v", seed, n, fresh)
			}
			seen[n] = true
			for seen[floor] && random.IntN(2) == 0 {
				floor++
			}
			if !got.valid() {
				t.Fatalf("seed %d: %+v", seed, got)
			}
			for k := floor; k < floor+70; k++ {
				if got.has(k) != seen[k] {
					t.Fatalf("seed %d: has %d: %v", seed, k, got.has(k))
				}
			}
		}
	}
}

func TestTally(t *testing.T) {
	var got tally
	for _, tt := range []struct {
		f       frame
		fresh   bool
		missing uint64
		want    tally
	}{
		{frame{Incarnation: 5, Number: 10}, true, 0, tally{5, 10, nil}},
		{frame{Incarnation: 5, Number: 10}, false, 0, tally{5, 10, nil}},
		{frame{Incarnation: 5, Number: 9}, false, 0, tally{5, 10, nil}},
		{frame{Incarnation: 5, Number: 13}, true, 2, tally{5, 13, nil}},
		{frame{Partial: data.Lifetime}, true, 0, tally{5, 13, nil}},
		{frame{Incarnation: 5, Number: 4, Floor: 3, Unordered: true}, true, 0, tally{5, 13, []span{{0, 2}, {4, 4}}}},
		{frame{Incarnation: 5, Number: 2, Floor: 1, Unordered: true}, false, 0, tally{5, 13, []span{{0, 2}, {4, 4}}}},
		{frame{Incarnation: 5, Number: 3, Floor: 3, Unordered: true}, true, 0, tally{5, 13, []span{{0, 4}}}},
		{frame{Incarnation: 5, Number: 9, Floor: 8, Unordered: true}, true, 0, tally{5, 13, []span{{0, 7}, {9, 9}}}},
		{frame{Incarnation: 6, Number: 1}, true, 0, tally{6, 1, nil}},
	} {
		fresh, missing := got.take(&tt.f)
		if diff := cmp.Diff(tt.want, got); fresh != tt.fresh || missing != tt.missing || diff != "" {
			t.Errorf("%+v: %v, %d, %s", tt.f, fresh, missing, diff)
		}
	}
	for i := range uint64(1000) {
		got.take(&frame{Incarnation: 6, Number: 2*i + 5, Floor: 1, Unordered: true})
	}
	if len(got.Unordered) != maxSpans || !got.has(2*999+5) || !got.has(6) {
		t.Errorf("%d spans", len(got.Unordered))
	}
}
