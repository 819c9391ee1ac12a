package wan

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestRate(t *testing.T) {
	// 1,250 bytes at 10 Mbit/s take 1 ms. 100 at once find a queue of 50 ms: 50 packets, the one being sent among them.
	v := newVirtual(pairOf(Conditions{Delay: 20 * time.Millisecond, Rate: 10e6, QueueTime: 50 * time.Millisecond}))
	for range 100 {
		v.send(0, 1, 1250)
	}
	s := v.way(0, 1).snapshot(v.now)
	if s.Queued != 50 || s.QueuedBytes != 62_500 || s.QueueDropped != 50 || s.QueueDelay != 50*time.Millisecond {
		t.Errorf("after 100 packets at once: %+v", s)
	}
	v.until(500 * time.Microsecond)
	if s := v.way(0, 1).snapshot(v.now); s.QueueDelay != 49500*time.Microsecond {
		t.Errorf("half a packet later the queue is %v long", s.QueueDelay)
	}
	v.drain()
	if len(v.arrivals) != 50 {
		t.Fatalf("%d packets arrived", len(v.arrivals))
	}
	for i, a := range v.arrivals {
		if want := time.Duration(i+1)*time.Millisecond + 20*time.Millisecond; a.at != want || a.number != uint32(i+1) {
			t.Fatalf("place %d: packet %d at %v, want %v", i+1, a.number, a.at, want)
		}
	}
	s = v.way(0, 1).snapshot(v.now)
	if s.LongestWait != 49*time.Millisecond || s.Waited != 49*50/2*time.Millisecond || s.Queued != 0 || s.QueueDelay != 0 {
		t.Errorf("in the end: %+v", s)
	}
}

// A late engine must not make the bottleneck slower, and a packet that comes while it is late must not leave before it came.
func TestRateWithALateEngine(t *testing.T) {
	v := newVirtual(pairOf(Conditions{Rate: 10e6}))
	for range 10 {
		v.send(0, 1, 1250)
	}
	v.now = 25 * time.Millisecond // the queue has been empty for 15 ms, but nobody looked
	v.send(0, 1, 1250)
	v.advance(v.now, 100)
	v.drain()
	if n := len(v.arrivals); n != 11 {
		t.Fatalf("%d packets arrived", n)
	}
	if last := v.arrivals[10].at; last != 26*time.Millisecond {
		t.Errorf("the last arrived at %v, want 26ms", last)
	}
	if s := v.way(0, 1).snapshot(v.now); s.LongestWait != 9*time.Millisecond {
		t.Errorf("longest wait %v", s.LongestWait)
	}
}

func TestRateChangesInTheQueue(t *testing.T) {
	for _, c := range []struct {
		name string
		rate int64
		want []time.Duration // of three packets of 1 ms at the old rate, changed after 0.5 ms
	}{
		{"double", 20e6, []time.Duration{750 * time.Microsecond, 1250 * time.Microsecond, 1750 * time.Microsecond}},
		{"half", 5e6, []time.Duration{1500 * time.Microsecond, 3500 * time.Microsecond, 5500 * time.Microsecond}},
		{"none", 0, []time.Duration{500 * time.Microsecond, 500 * time.Microsecond, 500 * time.Microsecond}},
		{"same", 10e6, []time.Duration{time.Millisecond, 2 * time.Millisecond, 3 * time.Millisecond}},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := newVirtual(pairOf(Conditions{Rate: 10e6}))
			for range 3 {
				v.send(0, 1, 1250)
			}
			v.until(500 * time.Microsecond)
			v.set(v.now, 0, 1, Conditions{Rate: c.rate})
			v.drain()
			var got []time.Duration
			for i, a := range v.arrivals {
				if a.number != uint32(i+1) {
					t.Errorf("place %d: packet %d", i+1, a.number)
				}
				got = append(got, a.at)
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Error(d)
			}
			if err := balanced(v.way(0, 1).snapshot(v.now)); err != nil {
				t.Error(err)
			}
		})
	}
}
