package wan

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestUpdate(t *testing.T) {
	base := Conditions{Delay: 40 * time.Millisecond, Loss: 0.5}
	for _, c := range []struct {
		text string
		want Conditions
	}{
		{"", base},
		{"loss=1% burst=5 delay=110ms", Conditions{Delay: 110 * time.Millisecond, Loss: 0.01, Burst: 5}},
		{"  rtt=80ms   loss=0 ", Conditions{Delay: 40 * time.Millisecond}},
		{"jitter=40ms loss=.25", Conditions{Delay: 40 * time.Millisecond, Jitter: 40 * time.Millisecond, Loss: 0.25}},
		{"delay=0s loss=0 rate=25mbit queue=60ms", Conditions{Rate: 25e6, QueueTime: 60 * time.Millisecond}},
		{"delay=0s loss=0 rate=1.5Gbit/s queue-bytes=64000", Conditions{Rate: 15e8, QueueBytes: 64000}},
		{"delay=0s loss=0 rate=64000", Conditions{Rate: 64000}},
		{"delay=0s loss=0 rate=64k", Conditions{Rate: 64000}},
		{"delay=0s loss=0 reorder=0.1% reorder-by=3ms duplicate=2%", Conditions{Reorder: 0.001, ReorderBy: 3 * time.Millisecond, Duplicate: 0.02}},
		{"delay=0s loss=100% mtu=1280 blackhole=on down=yes", Conditions{Loss: 1, MTU: 1280, Blackhole: true, Down: true}},
	} {
		got := base
		if err := got.Update(c.text); err != nil {
			t.Errorf("%q: %v", c.text, err)
		} else if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%q: %s", c.text, d)
		}
	}
}

func TestUpdateRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"loss":                "not name=value",
		"los=1":               "unknown",
		"loss=1x":             "not a share",
		"loss=NaN":            "not a share",
		"loss=101%":           "not a share",
		"loss=-1%":            "not a share",
		"delay=5":             "not a duration",
		"delay=-1ms":          "delay is -1ms",
		"delay=2m":            "delay is 2m0s",
		"jitter=41ms":         "more than the delay",
		"burst=0.5":           "mean burst",
		"burst=NaN":           "mean burst",
		"loss=80% burst=2":    "less than one packet",
		"rate=fast":           "not a rate",
		"rate=-5mbit":         "not a rate",
		"rate=mbit":           "not a rate",
		"rate=1":              "too low",
		"queue=-1s":           "queue is",
		"queue-bytes=-1":      "negative",
		"mtu=60":              "MTU of 60",
		"down=maybe":          "neither on nor off",
		"reorder=2":           "reorder is 2",
		"duplicate=1.5":       "duplicate is 1.5",
		"reorder-by=61s":      "reorder delay",
		"delay=10ms loss=nan": "not a share",
	} {
		base := Conditions{Delay: 40 * time.Millisecond}
		got := base
		if err := got.Update(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want one with %q", text, err, want)
		}
		if got != base {
			t.Errorf("%q: refused, and changed to %v", text, got)
		}
	}
}

func TestQueueLimit(t *testing.T) {
	for _, c := range []struct {
		conditions Conditions
		want       int
	}{
		{Conditions{Rate: 25e6, QueueTime: 60 * time.Millisecond}, 187_500},
		{Conditions{Rate: 25e6, QueueTime: 60 * time.Millisecond, QueueBytes: 50_000}, 50_000},
		{Conditions{Rate: 25e6, QueueTime: 60 * time.Millisecond, QueueBytes: 500_000}, 187_500},
		{Conditions{Rate: 25e6, QueueBytes: 500_000}, 500_000},
		{Conditions{Rate: 8e6}, 100_000},
		{Conditions{Rate: 8000, QueueTime: time.Millisecond}, 1500},
		{Conditions{Rate: 1e15, QueueTime: time.Minute}, 1<<31 - 1},
	} {
		if got := c.conditions.queueLimit(1500); got != c.want {
			t.Errorf("%v: %d bytes, want %d", c.conditions, got, c.want)
		}
	}
}

func FuzzUpdate(f *testing.F) {
	f.Add("loss=1% burst=5 delay=110ms jitter=3ms")
	f.Add("rate=25mbit queue=60ms queue-bytes=7 mtu=1280 blackhole=on")
	f.Add("reorder=0.1% reorder-by=1ns duplicate=1e-9 down=off rtt=1us")
	f.Fuzz(func(t *testing.T, text string) {
		var c Conditions
		if c.Update(text) != nil {
			return
		}
		written := c.String()
		if c == (Conditions{}) {
			if written != "perfect" {
				t.Fatalf("zero conditions read %q", written)
			}
			return
		}
		var back Conditions
		if err := back.Update(written); err != nil {
			t.Fatalf("%q became %q: %v", text, written, err)
		}
		if back != c {
			t.Fatalf("%q became %q, which reads\n%+v, not\n%+v", text, written, back, c)
		}
	})
}
