package stream

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestTicks(t *testing.T) {
	year := int64(365 * 24 * time.Hour)
	for _, tt := range []struct{ ns, rate, want int64 }{
		{int64(time.Second), 90000, 90000},
		{int64(33 * time.Millisecond), 90000, 2970},
		{-int64(10 * time.Millisecond), 48000, -480},
		{100 * year, 90000, 100 * 365 * 24 * 3600 * 90000},
	} {
		if got := ticks(tt.ns, tt.rate); got != tt.want {
			t.Errorf("ticks(%d, %d) = %d, want %d", tt.ns, tt.rate, got, tt.want)
		}
	}
}

func TestNTPTicks(t *testing.T) {
	const second = uint64(1) << 32
	for _, tt := range []struct {
		a, b uint64
		want int64
	}{
		{5 * second, 4 * second, 90000},
		{4 * second, 5 * second, -90000},
		{5*second + second/2, 5 * second, 45000},
		{5 * second, 5*second + second/2, -45000},
	} {
		if got := ntpTicks(tt.a, tt.b, 90000); got != tt.want {
			t.Errorf("ntpTicks(%#x, %#x) = %d, want %d", tt.a, tt.b, got, tt.want)
		}
	}
}

func TestTimelineTakeOver(t *testing.T) {
	for _, tt := range []struct {
		name    string
		elapsed int64 // ticks from the last packet sent to the first of the new source
	}{
		{"later", 3000}, {"same instant", 0}, {"a few frames back", -9000}, {"a second back", -90000},
	} {
		t.Run(tt.name, func(t *testing.T) {
			line := timeline{rate: 90000}
			line.start(1000, 0)
			line.sent(1000, line.at(1000), ms)
			last := line.newest
			line.takeOver(4_000_000_000, tt.elapsed)
			was := last
			for frame := range uint32(60) {
				ts := 4_000_000_000 + 3000*frame
				out := line.at(ts)
				if int32(out-was) <= 0 {
					t.Fatalf("frame %d: %d ticks after the one before", frame, int32(out-was))
				}
				line.sent(ts, out, 2*ms)
				was = out
				if plain := int64(frame)*3000 + tt.elapsed; plain > 10000 && int64(out-last) != plain {
					t.Fatalf("frame %d is %d ticks after the last, want %d: out of sync", frame, out-last, plain)
				}
			}
		})
	}
}

// TestTimelineProperty: whatever takes over from whatever, a later frame never gets an earlier timestamp.
func TestTimelineProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		line := timeline{rate: 90000}
		ts := rapid.Uint32().Draw(t, "ts")
		line.start(ts, rapid.Int64Range(0, int64(2*time.Second)).Draw(t, "age"))
		arrival := ms
		last := line.newest
		first := true
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			if rapid.IntRange(0, 20).Draw(t, "switch") == 0 {
				ts = rapid.Uint32().Draw(t, "ts")
				line.takeOver(ts, rapid.Int64Range(-90000, 900000).Draw(t, "elapsed"))
			}
			out := line.at(ts)
			if int32(out-last) <= 0 && !first {
				t.Fatalf("%d ticks after the one before", int32(out-last))
			}
			line.sent(ts, out, arrival)
			last, first = out, false
			ts += 3000
			arrival += 33 * ms
		}
	})
}

func TestTimelineForgetsSqueezing(t *testing.T) {
	line := timeline{rate: 90000}
	line.start(0, int64(time.Second))
	for ts := uint32(0); ts < 2_000_000; ts += 90000 {
		line.sent(ts, line.at(ts), ms)
	}
	if line.squeezing {
		t.Error("squeezed time lasts for ever: it would come round with the clock")
	}
}

func TestElapsedBetween(t *testing.T) {
	line := timeline{rate: 90000}
	line.start(5000, 0)
	line.sent(5000, line.at(5000), 100*ms)
	const second = uint64(1) << 32
	old := senderReport{ntp: 10 * second, rtp: 5000, known: true}
	next := senderReport{ntp: 10*second + second/10, rtp: 777_000, known: true}
	for _, tt := range []struct {
		name      string
		old, next senderReport
		ts        uint32
		want      int64
	}{
		{"by reports", old, next, 777_000, 9000},
		{"no report", old, senderReport{}, 777_000, 4500},
		{"report of another clock", old, senderReport{ntp: 500 * second, rtp: 777_000, known: true}, 777_000, 4500},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := line.elapsedBetween(tt.old, tt.next, tt.ts, 150*ms); got < tt.want-1 || got > tt.want+1 {
				t.Errorf("%d ticks, want %d", got, tt.want)
			}
		})
	}
}
