package bwe

import (
	"testing"
	"time"

	"cardea/relay/rtcp"

	"pgregory.net/rapid"
)

// reports reads a message back: sequence number to arrival time, -1 for lost.
func reports(t rapid.TB, b []byte) map[uint16]int64 {
	t.Helper()
	p, rest, err := rtcp.Next(b)
	if err != nil || len(rest) != 0 || len(b) > 1200 {
		t.Fatalf("%d bytes: %v", len(b), err)
	}
	f, ok := p.TransportFeedback()
	if !ok || p.Sender != 1 || p.Media != 2 {
		t.Fatalf("%+v", p)
	}
	at := int64(f.Reference) * int64(rtcp.ReferenceUnit)
	out := map[uint16]int64{}
	for s, ok := f.Next(); ok; s, ok = f.Next() {
		out[s.Sequence] = -1
		if s.Received {
			at += int64(s.Delta) * int64(rtcp.DeltaUnit)
			out[s.Sequence] = at
		}
	}
	return out
}

func TestRecorder(t *testing.T) {
	var r Recorder
	if r.Due(0) || len(r.Append(nil, 1, 2, 0)) != 0 {
		t.Fatal("feedback about nothing")
	}
	for i, seq := range []uint16{65534, 65535, 1, 2, 2} {
		r.Record(seq, int64(i)*ms)
	}
	if r.Due(99 * ms) {
		t.Error("too early")
	}
	got := reports(t, r.Append(nil, 1, 2, 100*ms))
	want := map[uint16]int64{65534: 0, 65535: ms, 0: -1, 1: 2 * ms, 2: 3 * ms}
	if len(got) != len(want) {
		t.Fatalf("%v", got)
	}
	for seq, at := range want {
		if got[seq] != at {
			t.Errorf("%d: %d, want %d", seq, got[seq], at)
		}
	}
	if r.Due(int64(time.Hour)) {
		t.Error("due with nothing new")
	}
	// What was reported lost comes after all: it is reported along with what follows.
	r.Record(0, 150*ms)
	r.Record(4, 151*ms)
	got = reports(t, r.Append(nil, 1, 2, 200*ms))
	if got[0] != 150*ms || got[2] != 3*ms || got[3] != -1 || got[4] != 151*ms {
		t.Errorf("%v", got)
	}
	// Long after, it is too late: what lay between is forgotten and would look lost.
	r.Record(5, int64(time.Second))
	r.Append(nil, 1, 2, int64(2*time.Second))
	r.Record(3, int64(3*time.Second))
	if r.Due(int64(4 * time.Second)) {
		t.Error("reported what came too late")
	}
}

func TestRecorderPace(t *testing.T) {
	for _, c := range []struct {
		packets int
		at      int64
		due     bool
	}{{1, 99 * ms, false}, {1, 100 * ms, true}, {63, 99 * ms, false}, {64, 49 * ms, false}, {64, 50 * ms, true}, {399, 49 * ms, false}, {400, 9 * ms, false}, {400, 10 * ms, true}} {
		var r Recorder
		for i := range c.packets {
			r.Record(uint16(i), 0)
		}
		if got := r.Due(c.at); got != c.due {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

// Whatever a publisher sends: each message is well-formed, memory is bounded, every packet is reported received that came,
// with its time, unless it came very late or there were too many.
func TestRecorderProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var r Recorder
		now, seq := int64(0), rapid.Uint16().Draw(t, "start")
		came, told := map[uint16]int64{}, map[uint16]int64{}
		hostile := rapid.Bool().Draw(t, "hostile")
		take := func() {
			b := r.Append(nil, 1, 2, now)
			if len(b) == 0 {
				return
			}
			for s, at := range reports(t, b) {
				if at >= 0 {
					told[s] = at
				} else if was, ok := told[s]; ok && was >= 0 && !hostile {
					t.Fatalf("%d reported received, then lost", s)
				}
			}
		}
		for range rapid.IntRange(1, 600).Draw(t, "packets") {
			now += int64(rapid.IntRange(0, 5).Draw(t, "ms")) * ms
			switch {
			case hostile && rapid.IntRange(0, 3).Draw(t, "jump") == 0:
				seq = rapid.Uint16().Draw(t, "to")
			default:
				seq += uint16(rapid.IntRange(1, 3).Draw(t, "step"))
			}
			s := seq - uint16(rapid.IntRange(0, 5).Draw(t, "late"))
			if _, dup := came[s]; !dup {
				came[s] = now
			}
			r.Record(s, now)
			take()
			if len(r.arrivals) > maxArrivals || cap(r.arrivals) > 2*maxArrivals {
				t.Fatalf("%d arrivals kept", len(r.arrivals))
			}
		}
		if hostile {
			return
		}
		now += int64(time.Second)
		take()
		for s, at := range came {
			if got, ok := told[s]; !ok || got != at {
				t.Fatalf("%d came at %d, told %d %v", s, at, got, ok)
			}
		}
	})
}

// A publisher of 50 Mbit/s and a stranger's numbers must not cost memory or more than a message in ten milliseconds.
func TestRecorderUnderFlood(t *testing.T) {
	var r Recorder
	messages := 0
	var buf []byte
	for i := range int64(10000) {
		r.Record(uint16(i*30011), i*100_000)
		if buf = r.Append(buf[:0], 1, 2, i*100_000); len(buf) > 0 {
			messages++
		}
	}
	if messages > 101 || len(r.arrivals) > maxArrivals {
		t.Errorf("%d messages in a second, %d arrivals", messages, len(r.arrivals))
	}
}
