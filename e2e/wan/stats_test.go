package wan

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestLatenessBuckets(t *testing.T) {
	previous := -1
	for us := range uint32(100_000) {
		b := bucket(us)
		if b != previous && b != previous+1 {
			t.Fatalf("%d µs is in bucket %d, the one before in %d", us, b, previous)
		}
		if end := bucketEnd(b); int64(us) >= end || float64(end) > float64(us)*9/8+1 {
			t.Fatalf("%d µs is in bucket %d, which ends at %d", us, b, end)
		}
		previous = b
	}
	if last := bucket(1<<32 - 1); last >= len(lateness{}.buckets) {
		t.Fatalf("the largest value is in bucket %d of %d", last, len(lateness{}.buckets))
	}
}

func TestLatenessQuantiles(t *testing.T) {
	var l lateness
	if got := l.quantile(0.5); got != 0 {
		t.Errorf("median of nothing is %v", got)
	}
	for i := range 1000 {
		l.add(time.Duration(i) * time.Microsecond)
	}
	l.add(3 * time.Hour) // more than the histogram holds
	for _, c := range []struct {
		q    float64
		want time.Duration
	}{{0, time.Microsecond}, {0.5, 512 * time.Microsecond}, {0.99, 1024 * time.Microsecond}, {1, 3 * time.Hour}} {
		if got := l.quantile(c.q); got < c.want || got > c.want*9/8 {
			t.Errorf("quantile %v is %v, want %v to 1/8 more", c.q, got, c.want)
		}
	}
}

func TestStatsSub(t *testing.T) {
	early := Stats{
		Packets: 1, Bytes: 2, Delivered: 3, DeliveredBytes: 4, Lost: 5, QueueDropped: 6, TooLarge: 7, Cut: 8, Refused: 9,
		Duplicated: 10, Reordered: 11, Waited: 12,
	}
	late := Stats{
		Packets: 101, Bytes: 202, Delivered: 303, DeliveredBytes: 404, Lost: 505, QueueDropped: 606, TooLarge: 707, Cut: 808, Refused: 909,
		Duplicated: 1010, Reordered: 1111, Waited: 1212, Queued: 1, QueuedBytes: 2, QueueDelay: 3, LongestWait: 4, Flying: 5,
	}
	want := Stats{
		Packets: 100, Bytes: 200, Delivered: 300, DeliveredBytes: 400, Lost: 500, QueueDropped: 600, TooLarge: 700, Cut: 800, Refused: 900,
		Duplicated: 1000, Reordered: 1100, Waited: 1200, Queued: 1, QueuedBytes: 2, QueueDelay: 3, LongestWait: 4, Flying: 5,
	}
	if d := cmp.Diff(want, late.Sub(early)); d != "" {
		t.Error(d)
	}
}
