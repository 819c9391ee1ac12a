package rtcp

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	pion "github.com/pion/rtcp"
	"pgregory.net/rapid"
)

const ms = int64(time.Millisecond)

func statusesOf(f TransportFeedback) []Status {
	var got []Status
	for s, ok := f.Next(); ok; s, ok = f.Next() {
		got = append(got, s)
	}
	return got
}

func TestTransportFeedback(t *testing.T) {
	lost := func(seq uint16) Status { return Status{Sequence: seq} }
	came := func(seq uint16, delta int16) Status { return Status{Sequence: seq, Received: true, Delta: delta} }
	tests := []struct {
		name      string
		body      string
		reference int32
		want      []Status
		bad       bool
	}{
		{"run of small", "0005 0003 000002 07 2003 01 02 ff", 2, []Status{came(5, 1), came(6, 2), came(7, 255)}, false},
		{"run of large", "ffff 0002 ffffff 07 4002 ffff 8000", -1, []Status{came(65535, -1), came(0, -32768)}, false},
		{"run of lost, longer than the count", "0005 0002 000002 07 1fff", 2, []Status{lost(5), lost(6)}, false},
		{"one-bit vector", "0000 0003 000000 00 a800 03 04", 0, []Status{came(0, 3), lost(1), came(2, 4)}, false},
		{"two-bit vector", "0000 0003 000000 00 d200 03 fffe", 0, []Status{came(0, 3), lost(1), came(2, -2)}, false},
		{"chunks mixed", "0000 0009 000000 00 0006 a000 2001 01 02", 0, nil, false},
		{"nothing", "0000 0000 000000 00", 0, nil, false},
		{"cut head", "0000 0000 0000", 0, nil, true},
		{"chunk missing", "0000 0001 000000 00", 0, nil, true},
		{"half a chunk", "0000 0001 000000 00 20", 0, nil, true},
		{"delta missing", "0000 0002 000000 00 2002 01", 0, nil, true},
		{"half a large delta", "0000 0001 000000 00 4001 01", 0, nil, true},
		{"reserved symbol in a run", "0000 0001 000000 00 6001 01", 0, nil, true},
		{"reserved symbol in a vector", "0000 0001 000000 00 f000 0101", 0, nil, true},
		{"reserved symbol beyond the count", "0000 0001 000000 00 d300 01", 0, []Status{came(0, 1)}, false},
		{"run of no length", "0000 0001 000000 00 0000 2001 01", 0, nil, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := Packet{Type: TypeTransportFeedback, Format: FormatTWCC, Body: unhex(t, tt.body)}
			f, ok := p.TransportFeedback()
			if ok == tt.bad {
				t.Fatalf("ok = %v", ok)
			}
			if !ok {
				return
			}
			if f.Reference != tt.reference {
				t.Errorf("reference %d, want %d", f.Reference, tt.reference)
			}
			got := statusesOf(f)
			if len(got) != f.Count {
				t.Errorf("%d statuses, want %d", len(got), f.Count)
			}
			if tt.want != nil {
				if diff := cmp.Diff(tt.want, got); diff != "" {
					t.Error(diff)
				}
			}
		})
	}
}

func TestAppendTWCCBytes(t *testing.T) {
	run := func(from, n int64) (a []Arrival) {
		for i := range n {
			a = append(a, Arrival{from + i, 64*ms + i*ms})
		}
		return a
	}
	tests := []struct {
		name     string
		base     int64
		arrivals []Arrival
		want     string // behind the common feedback header
		used     int
	}{
		{"one", 5, []Arrival{{5, 128*ms + ms}}, "0005 0001 000002 09 2001 04 01", 1},
		{"run", 5, run(5, 5), "0005 0005 000001 09 2005 00 04 04 04 04 01", 5},
		{"hole", 5, []Arrival{{5, 64 * ms}, {7, 65 * ms}}, "0005 0003 000001 09 a800 00 04", 2},
		{"late", 5, []Arrival{{5, 65 * ms}, {6, 64 * ms}, {7, 65 * ms}}, "0005 0003 000001 09 d900 04 fffc 04 0002", 3},
		{"lost before", 3, []Arrival{{5, 64 * ms}}, "0003 0003 000001 09 8800 00 01", 1},
		{"nothing for a while", 0, []Arrival{{20, 64 * ms}}, "0000 0015 000001 09 0014 2001 00 000003", 1},
		{"over the wrap", 65535, []Arrival{{65535, 64 * ms}, {65536, 64 * ms}}, "ffff 0002 000001 09 2002 00 00", 2},
		{"before the epoch", 1, []Arrival{{1, -ms}}, "0001 0001 ffffff 09 2001 fc 01", 1},
		{"over 8 s later", 1, []Arrival{{1, 0}, {2, 9000 * ms}}, "0001 0001 000000 09 2001 00 01", 1},
		{"thousands missing", 1, []Arrival{{5000, 0}}, "1388 0001 000000 09 2001 00 01", 1},
		{"thousands missing between", 1, []Arrival{{1, 0}, {5000, 0}}, "0001 0001 000000 09 2001 00 01", 1},
		{"base ahead of the arrivals", 9, []Arrival{{1, 0}}, "0001 0001 000000 09 2001 00 01", 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, used := AppendTWCC(nil, 1, 2, 9, tt.base, tt.arrivals)
			if diff := cmp.Diff(unhex(t, tt.want), got[feedbackSize:]); diff != "" {
				t.Error(diff)
			}
			if used != tt.used {
				t.Errorf("used %d, want %d", used, tt.used)
			}
			var oracle pion.TransportLayerCC
			if err := oracle.Unmarshal(got); err != nil {
				t.Error("pion:", err)
			}
		})
	}
	if got, used := AppendTWCC(nil, 1, 2, 9, 0, nil); len(got) != 0 || used != 0 {
		t.Errorf("feedback about nothing: %x, %d", got, used)
	}
}

// Whatever arrived, repeated calls report on every packet once, with arrival times right to a tick, in messages that
// fit a packet and that pion reads as we do.
func TestAppendTWCCRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		base := rapid.Int64Range(0, 1<<20).Draw(t, "base")
		now := rapid.Int64Range(-1e12, 1e15).Draw(t, "now")
		var arrivals []Arrival
		step := rapid.OneOf(rapid.Just[int64](1), rapid.Int64Range(1, 40))
		gap := rapid.OneOf(rapid.Int64Range(0, 60*ms), rapid.Int64Range(-200*ms, 8000*ms))
		seq := base - 1
		for range rapid.IntRange(1, 900).Draw(t, "count") {
			seq += step.Draw(t, "step")
			now += gap.Draw(t, "gap")
			arrivals = append(arrivals, Arrival{seq, now})
		}
		for len(arrivals) > 0 {
			b, used := AppendTWCC(nil, 1, 2, 9, base, arrivals)
			if used == 0 || len(b) > 1200 {
				t.Fatalf("used %d, %d bytes", used, len(b))
			}
			p, _, err := Next(b)
			if err != nil {
				t.Fatal(err)
			}
			f, ok := p.TransportFeedback()
			if !ok {
				t.Fatalf("not read back: %x", b)
			}
			at := floorDiv(arrivals[0].Time, int64(ReferenceUnit)) // the reference has only 24 bits of it
			if f.Reference != int32(at<<8)>>8 {
				t.Fatalf("reference %d, want %d", f.Reference, at)
			}
			at *= int64(ReferenceUnit)
			for _, s := range statusesOf(f) {
				if s.Sequence != uint16(base) {
					t.Fatalf("status of %d, want %d", s.Sequence, uint16(base))
				}
				if s.Received != (len(arrivals) > 0 && arrivals[0].Sequence == base) {
					t.Fatalf("%d received: %v", base, s.Received)
				}
				if s.Received {
					at += int64(s.Delta) * int64(DeltaUnit)
					if late := arrivals[0].Time - at; late < 0 || late >= int64(DeltaUnit) {
						t.Fatalf("%d is off by %d ns", base, late)
					}
					arrivals = arrivals[1:]
					used--
				}
				base++
			}
			if used != 0 {
				t.Fatalf("%d used but not reported", used)
			}
			var oracle pion.TransportLayerCC
			if err := oracle.Unmarshal(b); err != nil {
				t.Fatal("pion:", err)
			}
		}
	})
}

func BenchmarkAppendTWCC(b *testing.B) {
	var arrivals []Arrival
	for i := range int64(100) {
		arrivals = append(arrivals, Arrival{i + i/10, i * 3 * ms})
	}
	buf := make([]byte, 0, 1500)
	b.ReportAllocs()
	for b.Loop() {
		AppendTWCC(buf, 1, 2, 3, 0, arrivals)
	}
}

func BenchmarkTransportFeedback(b *testing.B) {
	var arrivals []Arrival
	for i := range int64(100) {
		arrivals = append(arrivals, Arrival{i + i/10, i * 3 * ms})
	}
	packet, _ := AppendTWCC(nil, 1, 2, 3, 0, arrivals)
	b.ReportAllocs()
	for b.Loop() {
		p, _, _ := Next(packet)
		f, _ := p.TransportFeedback()
		n := 0
		for _, ok := f.Next(); ok; _, ok = f.Next() {
			n++
		}
		if n != 109 {
			b.Fatal(n)
		}
	}
}
