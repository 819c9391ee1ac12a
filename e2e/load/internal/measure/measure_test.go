package measure

import (
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

func TestHistogram(t *testing.T) {
	var a, b Histogram
	if a.Quantile(0.5) != 0 || a.Max() != 0 {
		t.Error("an empty histogram is not zero")
	}
	r := rand.New(rand.NewPCG(1, 1))
	var all []time.Duration
	for i := range 20_000 {
		d := time.Duration(math.Exp(r.Float64()*18) * float64(time.Microsecond)) // 1 us to 65 s
		all = append(all, d)
		if i%2 == 0 {
			a.Add(d)
		} else {
			b.Add(d)
		}
	}
	a.Merge(&b)
	a.Merge(new(Histogram))
	slices.Sort(all)
	if a.Count() != 20_000 || a.Max() != all[len(all)-1] {
		t.Errorf("count %d, max %v", a.Count(), a.Max())
	}
	for _, q := range []float64{0, 0.1, 0.5, 0.95, 0.99, 0.9999, 1} {
		want := all[min(int(q*float64(len(all))), len(all)-1)]
		got := a.Quantile(q)
		if d := got - want; math.Abs(float64(d)) > 0.01*float64(want)+float64(time.Microsecond) {
			t.Errorf("quantile %v: %v, want %v", q, got, want)
		}
	}
}

func TestHistogramBounds(t *testing.T) {
	for _, d := range []time.Duration{-time.Second, 0, 999 * time.Nanosecond, 127 * time.Microsecond, 128 * time.Microsecond, time.Second, time.Hour, math.MaxInt64} {
		var h Histogram
		h.Add(d)
		if got, want := h.Quantile(0.5), max(d, 0); got != want {
			t.Errorf("one value of %v: median %v", want, got)
		}
	}
	// Buckets follow one another without a gap, and their middles lie in them.
	for v := range uint64(1 << 20) {
		i := bucket(v)
		if v > 0 && i != bucket(v-1) && i != bucket(v-1)+1 {
			t.Fatalf("bucket %d of %d comes after %d", i, v, bucket(v-1))
		}
	}
	for i := range buckets {
		if got := bucket(uint64(middle(i) / unit)); got != i {
			t.Fatalf("the middle of bucket %d lies in %d", i, got)
		}
	}
}

func TestWindow(t *testing.T) {
	tests := []struct {
		name string
		add  []uint32
		want []bool
	}{
		{"in order", []uint32{7, 8, 9}, []bool{true, true, true}},
		{"twice", []uint32{7, 7, 8, 7}, []bool{true, false, true, false}},
		{"late", []uint32{7, 9, 8, 8}, []bool{true, true, true, false}},
		{"before the first", []uint32{7, 5, 5}, []bool{true, true, false}},
		{"wrapping", []uint32{math.MaxUint32, 0, math.MaxUint32, 1}, []bool{true, true, false, true}},
		{"far ahead", []uint32{7, 7 + windowSize, 8, 7, 7 + windowSize}, []bool{true, true, true, false, false}},
		{"very far ahead", []uint32{7, 1 << 20, 1<<20 - 1, 1<<20 - windowSize + 1, 1<<20 - windowSize}, []bool{true, true, true, true, false}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var w Window
			for i, n := range tt.add {
				if got := w.Add(n); got != tt.want[i] {
					t.Errorf("%d. %d: new %v", i, n, got)
				}
			}
		})
	}
}

func TestRun(t *testing.T) {
	var r Run
	for _, n := range []uint32{10, 11, 14} {
		r.Extend(n)
	}
	if r.Newer(12) || !r.Newer(15) || !r.Open() || r.Expected() != 5 {
		t.Errorf("10 to 14: %+v", r)
	}
	r.Close()
	r.Close()
	if r.Open() || r.Expected() != 5 || r.Newer(14) {
		t.Errorf("closed: %+v", r)
	}
	r.Extend(100)
	r.Extend(101)
	if r.Expected() != 7 {
		t.Errorf("with a second stay of two: %d", r.Expected())
	}
}

func TestFirstFrame(t *testing.T) {
	type packet struct {
		seq    int64
		stamp  uint32
		marker bool
		key    bool
	}
	key, mid, end := packet{100, 1, false, true}, packet{101, 1, false, false}, packet{102, 1, true, false}
	tests := []struct {
		name    string
		packets []packet
		done    int // with which packet; -1 never
	}{
		{"in order", []packet{key, mid, end}, 2},
		{"of one packet", []packet{{5, 1, true, true}}, 0},
		{"reversed", []packet{end, mid, key}, 2},
		{"with a hole", []packet{key, end}, -1},
		{"filled late", []packet{key, end, {103, 2, true, false}, mid}, 3},
		{"after delta frames", []packet{{98, 0, false, false}, {99, 0, true, false}, key, mid, end}, 4},
		{"by a later one", []packet{key, end, {110, 3, false, true}, {111, 3, true, false}}, 3},
		{"never begun", []packet{mid, end, {103, 2, true, false}}, -1},
		{"a copy is no other", []packet{key, key, end, end}, -1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var f FirstFrame
			done := -1
			for i, p := range tt.packets {
				if f.Add(p.seq, p.stamp, p.marker, p.key, int64(1000+i)) {
					done = i
				}
			}
			at, ok := f.Done()
			if done != tt.done || ok != (done >= 0) || ok && at != int64(1000+done) {
				t.Errorf("complete with packet %d at %d (%v), want %d", done, at, ok, tt.done)
			}
		})
	}
}

func TestProcess(t *testing.T) {
	const stat = "4242 (a (very) odd name) S 1 4242 4242 0 -1 4194560 1 2 3 4 150 50 8 9 20 0 17 0 100 123456 321 18446744073709551615 1 1 0 0 0 0"
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("stat", stat)
	want := Process{CPU: 2 * time.Second, RSS: 321 * int64(os.Getpagesize()), Threads: 17}
	if p, err := readProcess(dir); err != nil || p != want {
		t.Errorf("%+v %v", p, err)
	}
	write("smaps_rollup", "55d0-7ffe ---p 00000000 00:00 0    [rollup]\nRss:               25104 kB\nPss:               20000 kB\n")
	want.RSS = 25104 << 10
	if p, err := readProcess(dir); err != nil || p != want {
		t.Errorf("with smaps_rollup: %+v %v", p, err)
	}
	for _, bad := range []string{"", "1 (x", "1 (x) S 1 2 3", "1 (x) S 1 1 1 0 -1 1 1 2 3 4 a b 8 9 20 0 17 0 100 1 321"} {
		if p, err := parseStat(bad); err == nil {
			t.Errorf("%q: %+v", bad, p)
		}
	}
	for _, bad := range []string{"", "Pss: 3 kB\n", "Rss: x kB\n"} {
		if n, err := parseRollup([]byte(bad)); err == nil {
			t.Errorf("%q: %d", bad, n)
		}
	}
	if _, err := readProcess(filepath.Join(dir, "none")); err == nil {
		t.Error("a process that is not there has figures")
	}
}

// TestOwn burns some time and wants to see it.
func TestOwn(t *testing.T) {
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		t.Skip("no /proc")
	}
	before, err := Own()
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); ; {
		now, err := Own()
		if err != nil {
			t.Fatal(err)
		}
		if now-before >= 50*time.Millisecond {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("20 s of work count as %v", now-before)
		}
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add("1 (x) S 1 1 1 0 -1 1 1 2 3 4 5 6 8 9 20 0 17 0 100 1 321")
	f.Fuzz(func(_ *testing.T, s string) { _, _ = parseStat(s) })
}
