package stream

import (
	"testing"
	"time"
)

// TestFirstKeyframeIsNoRate: a stream of 1 Mbit/s whose first keyframe is ten frames' worth must not look like several
// times that in its first second, or it would not be let through.
func TestFirstKeyframeIsNoRate(t *testing.T) {
	var r rates
	const frame = 1_000_000 / 8 / 30
	now := int64(time.Second)
	for i := range 60 {
		size := frame
		if i == 0 {
			size = 10 * frame
		}
		for ; size > 0; size -= 1000 {
			r.add(&Packet{Arrival: now, Payload: make([]byte, min(size, 1000))}, false)
		}
		if got := r.bitrate(now, 0, 0); got > 1_500_000 {
			t.Fatalf("%d bit/s after %d frames of 1 Mbit/s", got, i+1)
		}
		now += int64(time.Second) / 30
	}
	if got := r.bitrate(now, 0, 0); got < 950_000 {
		t.Errorf("%d bit/s in the steady state, want about 1.06 million with headers", got)
	}
}
