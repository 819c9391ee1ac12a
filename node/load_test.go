package node

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"cardea/node/config"
)

// TestAdmission follows the door through a day of load.
func TestAdmission(t *testing.T) {
	a := admission{maxCPU: 0.8, maxLatency: 100 * time.Millisecond}
	steps := []struct {
		name   string
		sample sample
		times  int
		reason string
	}{
		{"idle", sample{0.1, time.Millisecond}, 100, ""},
		{"one second of full load is borne", sample{1, time.Millisecond}, 2, ""},
		{"two are not", sample{1, time.Millisecond}, 2, "CPU at 88 %"},
		{"at once not again", sample{0.1, time.Millisecond}, 1, "CPU at 81 %"},
		{"just below the limit is not enough", sample{0.79, time.Millisecond}, 100, "CPU at 79 %"},
		{"a tenth below is", sample{0.7, time.Millisecond}, 30, ""},
		{"just below the limit is now", sample{0.79, time.Millisecond}, 100, ""},
		{"others keep the machine busy", sample{0.1, 300 * time.Millisecond}, 10, "work starts 298ms late"},
		{"and stop", sample{0.1, time.Millisecond}, 13, ""},
	}
	for _, s := range steps {
		for range s.times {
			a.observe(s.sample)
		}
		if a.reason != s.reason {
			t.Errorf("%s: %q, want %q (CPU %.2f, latency %v)", s.name, a.reason, s.reason, a.cpu, a.latency)
		}
	}
	never := admission{}
	never.observe(sample{1, time.Hour})
	if never.reason != "" || never.share() != 0 {
		t.Errorf("with both limits off: %q, share %v", never.reason, never.share())
	}
}

// TestAdmissionProperties holds what must be true under any load.
func TestAdmissionProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := admission{maxCPU: rapid.Float64Range(0.1, 1).Draw(t, "max")}
		highest := 0.0
		for range rapid.IntRange(1, 200).Draw(t, "samples") {
			cpu := rapid.Float64Range(0, 1).Draw(t, "cpu")
			highest = max(highest, cpu)
			a.observe(sample{cpu: cpu})
			if a.cpu > highest+1e-9 {
				t.Fatalf("smoothed load %v above all samples", a.cpu)
			}
			if (a.reason != "") && a.cpu < a.maxCPU*reopenAt-1e-9 || a.reason == "" && a.cpu >= a.maxCPU {
				t.Fatalf("refusing %q at %v of %v", a.reason, a.cpu, a.maxCPU)
			}
			if s := a.share(); s < 0 || s > 1 {
				t.Fatalf("share %v", s)
			}
		}
	})
}

func TestLoadMeter(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(slog.NewTextHandler(&out, nil))
	m := newLoadMeter(config.Default().Limits)
	if err := m.Admit(); err != nil {
		t.Errorf("idle: %v", err)
	}
	for range 10 {
		m.observe(sample{cpu: 1}, log)
	}
	if err := m.Admit(); !errors.Is(err, ErrOverloaded) || m.Load().Refusing == "" || m.Load().Share != 1 {
		t.Errorf("full: %v, %+v", err, m.Load())
	}
	for range 20 {
		m.observe(sample{}, log)
	}
	if err := m.Admit(); err != nil {
		t.Errorf("idle again: %v", err)
	}
	if n := strings.Count(out.String(), "\n"); n != 2 {
		t.Errorf("%d log lines, want one for each change:\n%s", n, &out)
	}
	m.refuse("stopping")
	if err := m.Admit(); !errors.Is(err, ErrOverloaded) {
		t.Errorf("stopping: %v", err)
	}
}

// TestMeasure burns processor time and wants to see it.
func TestMeasure(t *testing.T) {
	m := newLoadMeter(config.Default().Limits)
	if s := m.measure(time.Now()); s.cpu != 0 || s.latency != 0 {
		t.Errorf("the first sample has nothing to compare with: %+v", s)
	}
	before := m.spent
	for time.Since(m.at) < time.Minute {
		if now, err := processTime(); err != nil || now-before > 50*time.Millisecond {
			break
		}
	}
	if s := m.measure(time.Now()); s.cpu <= 0 || s.cpu > 1 {
		t.Errorf("after 50 ms of work: %+v", s)
	}
	if m.cores <= 0 || m.cores > 4096 {
		t.Errorf("%v cores", m.cores)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := m.run(ctx, slog.New(slog.DiscardHandler)); err != nil {
		t.Error(err)
	}
}

func TestPercentile(t *testing.T) {
	buckets := []float64{math.Inf(-1), 0.001, 0.01, 0.1, math.Inf(1)}
	tests := []struct {
		name           string
		counts, before []uint64
		want           time.Duration
	}{
		{"nothing happened", []uint64{5, 5, 5, 5}, []uint64{5, 5, 5, 5}, 0},
		{"no earlier sample", []uint64{5, 5, 5, 5}, nil, 0},
		{"all at once", []uint64{105, 5, 5, 5}, []uint64{5, 5, 5, 5}, 0},
		{"one of a hundred late", []uint64{99, 0, 1, 0}, []uint64{0, 0, 0, 0}, 0},
		{"two of a hundred late", []uint64{98, 0, 2, 0}, []uint64{0, 0, 0, 0}, 10 * time.Millisecond},
		{"the last bucket", []uint64{0, 0, 0, 7}, []uint64{0, 0, 0, 0}, 100 * time.Millisecond},
	}
	for _, tt := range tests {
		if got := percentile(tt.counts, tt.before, buckets, 0.99); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}
