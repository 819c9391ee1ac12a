package quality

import (
	"math"
	"testing"
	"time"

	"cardea/relay/codec"
)

// The wanted scores were worked out by hand from the formula in the package's documentation.
func TestMOS(t *testing.T) {
	for _, c := range []struct {
		format      codec.Format
		loss        float64
		rtt, jitter time.Duration
		want        float64
	}{
		{codec.Opus, 0, 0, 0, 4.39},                                          // R = 93.2 - 0.96
		{codec.Opus, 0, 80 * time.Millisecond, 5 * time.Millisecond, 4.36},   // R = 93.2 - 2.16
		{codec.Opus, 0, 400 * time.Millisecond, 10 * time.Millisecond, 3.94}, // d = 260: R = 93.2 - 6.24 - 9.097
		{codec.PCMU, 0.01, 0, 0, 4.31},                                       // Ie = 95/26.1
		{codec.Opus, 0.05, 80 * time.Millisecond, 0, 3.99},                   // R = 93.2 - 1.92 - 12.18
		{codec.PCMU, 0.2, 100 * time.Millisecond, 0, 2.52},                   // R = 93.2 - 2.16 - 42.13
		{codec.PCMU, 1, time.Minute, 0, 1},
	} {
		if got := MOS(c.format, c.loss, c.rtt, c.jitter); math.Abs(got-c.want) > 0.02 {
			t.Errorf("%v, %v lost, RTT %v, jitter %v: %.2f, want %.2f", c.format, c.loss, c.rtt, c.jitter, got, c.want)
		}
	}
	for _, impossible := range []float64{-1, 7, math.Inf(1)} {
		if got := MOS(codec.Opus, impossible, 0, 0); got < 1 || got > 4.5 {
			t.Errorf("%v lost: %v", impossible, got)
		}
	}
	if Heard(codec.Opus, leastHeard-1, 0, 0, 0) != 0 || Heard(codec.Opus, leastHeard, 0, 0, 0) < 4 {
		t.Error("the number of packets does not decide")
	}
}

func TestLosses(t *testing.T) {
	var l Losses
	l.Total(1000, 50) // from before
	if n, share := l.Take(); n != 0 || share != 0 {
		t.Errorf("%d, %v before anything was counted", n, share)
	}
	l.Total(1100, 60)
	l.Total(1200, 70)
	if n, share := l.Take(); n != 200 || share != 0.1 {
		t.Errorf("%d packets, %v lost", n, share)
	}
	l.Total(1300, 60) // duplicates make up for losses in reports
	if n, share := l.Take(); n != 100 || share != 0 {
		t.Errorf("%d packets, %v lost", n, share)
	}
	l.Total(10, 0) // began anew
	l.Total(20, 5)
	if n, share := l.Take(); n != 10 || share != 0.5 {
		t.Errorf("%d packets, %v lost", n, share)
	}
}
