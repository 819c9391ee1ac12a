package bwe

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var simulcast = []uint32{150e3, 500e3, 1500e3}

func demand(id uint32, bitrates []uint32) Demand {
	return Demand{ID: id, Bitrates: bitrates, Ceiling: len(bitrates) - 1}
}

// at is a time of the allocator tests.
func at(d time.Duration) int64 { return int64(d) }

func TestFirstAllocation(t *testing.T) {
	one, two, three := demand(1, simulcast), demand(2, simulcast), demand(3, simulcast)
	low := two
	low.Ceiling = 0
	none := two
	none.Ceiling = -1
	urgent := three
	urgent.Priority = 1
	for _, c := range []struct {
		name            string
		estimate, audio uint64
		demands         []Demand
		want            []int
	}{
		{"no tracks", 1e6, 0, nil, nil},
		{"all there is", 10e6, 0, []Demand{one, two, three}, []int{2, 2, 2}},
		{"ceiling", 10e6, 0, []Demand{one, low, none}, []int{2, 0, Paused}},
		{"headroom counts", 1600e3, 0, []Demand{one}, []int{1}},
		{"lowest of all first", 600e3, 0, []Demand{one, two, three}, []int{0, 0, 0}},
		{"then the middle ones", 1800e3, 0, []Demand{one, two, three}, []int{1, 1, 1}},
		{"priority then", 2100e3, 0, []Demand{one, two, urgent}, []int{0, 0, 2}},
		{"but not before", 480e3, 0, []Demand{one, two, urgent}, []int{0, 0, 0}},
		{"lowest without headroom rather than nothing", 150e3, 0, []Demand{one}, []int{0}},
		{"some paused", 300e3, 0, []Demand{one, two, three}, []int{0, 0, Paused}},
		{"the most expensive are", 500e3, 0, []Demand{demand(1, []uint32{400e3}), two, three}, []int{Paused, 0, 0}},
		{"audio is never touched", 100e3, 120e3, []Demand{one}, []int{Paused}},
		{"audio first", 700e3, 200e3, []Demand{one}, []int{0}},
		{"what does not flow is not chosen", 10e6, 0, []Demand{demand(1, []uint32{0, 500e3, 0})}, []int{1}},
		{"nothing flows yet", 10e6, 0, []Demand{demand(1, []uint32{0, 0, 0})}, []int{0}},
		{"lower but not cheaper", 10e6, 0, []Demand{demand(1, []uint32{500e3, 300e3})}, []int{1}},
	} {
		var a Allocator
		if got := a.Allocate(nil, c.estimate, c.audio, c.demands, 0); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

// script runs an allocator along changing estimates for one simulcast track.
func TestAllocationOverTime(t *testing.T) {
	type step struct {
		at       time.Duration
		estimate uint64
		want     int
	}
	const ms = time.Millisecond
	for name, steps := range map[string][]step{
		"upgrades after a while": {
			{0, 300e3, 0}, {500 * ms, 2e6, 0}, {1400 * ms, 2e6, 0}, {1500 * ms, 2e6, 2},
		},
		"only if it lasts": {
			{0, 300e3, 0}, {500 * ms, 2e6, 0}, {1400 * ms, 300e3, 0}, {1500 * ms, 2e6, 0}, {2400 * ms, 2e6, 0}, {2500 * ms, 2e6, 2},
		},
		"only with headroom": {
			{0, 300e3, 0}, {time.Second, 510e3, 0}, {time.Minute, 510e3, 0}, {61 * time.Second, 570e3, 0}, {62 * time.Second, 570e3, 1},
		},
		"downgrades at once, as far as it takes": {
			{0, 2e6, 2}, {100 * ms, 1510e3, 2}, {200 * ms, 1490e3, 1}, {300 * ms, 499e3, 0},
		},
		"pauses after a while": {
			{0, 2e6, 2}, {100 * ms, 100e3, 0}, {500 * ms, 100e3, 0}, {600 * ms, 100e3, Paused}, {700 * ms, 200e3, Paused}, {1700 * ms, 200e3, 0},
		},
		"not if it comes back": {
			{0, 2e6, 2}, {100 * ms, 100e3, 0}, {500 * ms, 160e3, 0}, {600 * ms, 100e3, 0}, {1000 * ms, 100e3, 0}, {1100 * ms, 100e3, Paused},
		},
		"an upgrade that was wrong makes careful": {
			{0, 300e3, 0},
			{time.Second, 600e3, 0},
			{2 * time.Second, 600e3, 1},
			{3 * time.Second, 300e3, 0},
			{4 * time.Second, 600e3, 0},
			{5 * time.Second, 600e3, 0},
			{6 * time.Second, 600e3, 1},
			{7 * time.Second, 300e3, 0},
			{8 * time.Second, 600e3, 0},
			{11 * time.Second, 600e3, 0},
			{12 * time.Second, 600e3, 1},
			{80 * time.Second, 300e3, 0},
			{150 * time.Second, 600e3, 0},
			{151 * time.Second, 600e3, 1},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var a Allocator
			for _, s := range steps {
				if got := a.Allocate(nil, s.estimate, 0, []Demand{demand(1, simulcast)}, at(s.at)); got[0] != s.want {
					t.Fatalf("%v: %d, want %d", s.at, got[0], s.want)
				}
			}
		})
	}
}

// A quality that stops flowing costs nothing; when it comes back it is taken up at once, or lowered if it does not fit.
func TestVanishingQuality(t *testing.T) {
	var a Allocator
	full, gone := demand(1, simulcast), demand(1, []uint32{150e3, 500e3, 0})
	for i, c := range []struct {
		estimate uint64
		d        Demand
		want     int
	}{{2e6, full, 2}, {2e6, gone, 2}, {600e3, gone, 2}, {600e3, full, 1}, {400e3, gone, 0}} {
		if got := a.Allocate(nil, c.estimate, 0, []Demand{c.d}, at(time.Duration(i)*100*time.Millisecond)); got[0] != c.want {
			t.Fatalf("step %d: %d, want %d", i, got[0], c.want)
		}
	}
}

// Two tracks of about the same bitrate, of which one can be raised: noise must not make them take turns.
func TestEqualTracksDoNotTakeTurns(t *testing.T) {
	var a Allocator
	first := slices.Clone(a.Allocate(nil, 900e3, 0, []Demand{demand(1, simulcast), demand(2, simulcast)}, 0))
	if first[0]+first[1] != 1 {
		t.Fatalf("%v", first)
	}
	for i := range 100 {
		noise := uint32(i%7) * 5000
		got := a.Allocate(nil, 900e3, 0, []Demand{
			demand(1, []uint32{150e3, 500e3 + noise, 1500e3}), demand(2, []uint32{150e3, 530e3 - noise, 1500e3}),
		}, at(time.Duration(i)*100*time.Millisecond))
		if !slices.Equal(got, first) {
			t.Fatalf("%d: %v, first %v", i, got, first)
		}
	}
}

// Tracks keep what they have when others come, go and change places.
func TestTracksAreTold(t *testing.T) {
	var a Allocator
	a.Allocate(nil, 2e6, 0, []Demand{demand(1, simulcast)}, 0)
	got := a.Allocate(nil, 2e6, 0, []Demand{demand(2, simulcast[:1]), demand(1, simulcast), demand(3, simulcast[:1])}, 1)
	if want := []int{0, 2, 0}; !slices.Equal(got, want) {
		t.Fatalf("%v, want %v", got, want)
	}
	got = a.Allocate(nil, 300e3, 0, []Demand{demand(3, simulcast[:1]), demand(1, simulcast)}, 2)
	if want := []int{0, 0}; !slices.Equal(got, want) {
		t.Fatalf("%v, want %v", got, want)
	}
	if want := uint64(float64(150e3+1500e3) * wantedHeadroom); a.Wanted() != want {
		t.Errorf("wanted %d, want %d", a.Wanted(), want)
	}
}

func drawDemands(t *rapid.T) []Demand {
	demands := make([]Demand, rapid.IntRange(0, 6).Draw(t, "tracks"))
	for i := range demands {
		rates := rapid.SliceOfN(rapid.Uint32Range(0, 3e6), 0, 6).Draw(t, "bitrates")
		slices.Sort(rates)
		demands[i] = Demand{
			ID: uint32(rapid.IntRange(0, 8).Draw(t, "id")), Bitrates: rates,
			Ceiling: rapid.IntRange(-1, 7).Draw(t, "ceiling"), Priority: uint8(rapid.IntRange(0, 2).Draw(t, "priority")),
		}
	}
	return demands
}

func cost(demands []Demand, levels []int) (total uint64) {
	for i, l := range levels {
		if d := demands[i]; l >= 0 {
			if _, h := d.offered(l); h >= 0 {
				total += uint64(d.Bitrates[h])
			}
		}
	}
	return total
}

// More bandwidth takes nothing away from anybody, and what is given fits.
func TestAllocationProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		demands := drawDemands(t)
		less := rapid.Uint64Range(0, 10e6).Draw(t, "estimate")
		more := less + rapid.Uint64Range(0, 5e6).Draw(t, "more")
		audio := rapid.Uint64Range(0, 200e3).Draw(t, "audio")
		var a, b Allocator
		x, y := a.Allocate(nil, less, audio, demands, 0), b.Allocate(nil, more, audio, demands, 0)
		for i := range x {
			if x[i] > y[i] {
				t.Fatalf("%d of %v with %d, %v with %d", i, x, less, y, more)
			}
			if x[i] > demands[i].Ceiling {
				t.Fatalf("above ceiling: %v", x)
			}
		}
		if c := cost(demands, x); c > 0 && c+audio > less {
			t.Fatalf("%v cost %d and audio %d of %d", x, c, audio, less)
		}
	})
}

// Along any way, what is given fits as soon as the time for pausing is over, and steady conditions end in a steady state.
func TestAllocationSettles(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var a Allocator
		now := time.Duration(0)
		for range rapid.IntRange(1, 20).Draw(t, "steps") {
			now += time.Duration(rapid.IntRange(1, 3000).Draw(t, "ms")) * time.Millisecond
			a.Allocate(nil, rapid.Uint64Range(0, 10e6).Draw(t, "estimate"), 50e3, drawDemands(t), at(now))
		}
		demands, estimate := drawDemands(t), rapid.Uint64Range(0, 10e6).Draw(t, "last estimate")
		var before []int
		for i := range 100 {
			got := a.Allocate(nil, estimate, 50e3, demands, at(now+time.Duration(i)*time.Second))
			if c := cost(demands, got); i >= 2 && c > 0 && c+50e3 > estimate {
				t.Fatalf("%v cost %d of %d", got, c, estimate)
			}
			if i > 70 && !slices.Equal(got, before) {
				t.Fatalf("second %d: %v, before %v", i, got, before)
			}
			before = got
		}
	})
}

func TestAllocateDoesNotAllocate(t *testing.T) {
	demands := make([]Demand, 30)
	for i := range demands {
		demands[i] = demand(uint32(i), simulcast)
	}
	var a Allocator
	dst := make([]int, 0, len(demands))
	now := int64(0)
	if n := testing.AllocsPerRun(100, func() {
		now += int64(100 * time.Millisecond)
		a.Allocate(dst, 10e6, 0, demands, now)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
