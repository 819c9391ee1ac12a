package post

import (
	"testing"
	"time"

	"cardea/relay/data"
)

func TestLanes(t *testing.T) {
	now := time.Unix(1000, 0)
	var held [lanesEnd]bool
	busy := func(lane int) bool { return held[lane] }
	var l lanes
	pick := func(subscription uint64, r data.Reliability) (int, bool, bool) {
		return l.pick(use{subscription, r}, now, busy)
	}
	used := map[int]bool{}
	for i := range uint64(100) {
		lane, _, _ := pick(i, data.Reliability{})
		if again, _, _ := pick(i, data.Reliability{}); again != lane || unorderedOn(lane) || lane == controlLane {
			t.Fatalf("lane %d, then %d", lane, again)
		}
		used[lane] = true
		if lane, set, ok := pick(i, data.Reliability{Unordered: true}); lane != unorderedLane || set || !ok {
			t.Fatalf("unordered on lane %d", lane)
		}
	}
	if len(used) != orderedLanes {
		t.Errorf("%d lanes for 100 ordered lines", len(used))
	}
	limited := func(i int) data.Reliability {
		return data.Reliability{Partial: data.Retransmits, Limit: uint32(i), Unordered: i%2 == 0}
	}
	first := map[int]int{}
	for i := range 2 * partialLanes {
		lane, set, ok := pick(1, limited(i))
		if !set || !ok || unorderedOn(lane) != (i%2 == 0) || lane < firstPartialLane || lane >= lanesEnd {
			t.Fatalf("%d: lane %d, %v, %v", i, lane, set, ok)
		}
		if _, taken := first[lane]; taken {
			t.Fatalf("lane %d is given twice", lane)
		}
		first[lane] = i
		if again, set, _ := pick(1, limited(i)); again != lane || set {
			t.Fatalf("%d: lane %d, then %d", i, lane, again)
		}
	}
	if lane, set, ok := pick(2, limited(7)); !ok || set || first[lane] != 7 {
		t.Errorf("another line with the same limits: lane %d, %v, %v", lane, set, ok)
	}
	if _, _, ok := pick(2, limited(9999)); ok {
		t.Error("there are more lanes than there are")
	}
	now = now.Add(laneRest)
	for i := range held {
		held[i] = i != firstPartialLane+5
	}
	lane, set, ok := pick(2, limited(9999))
	if lane != firstPartialLane+5 || !set || !ok {
		t.Errorf("lane %d, %v, %v: want the one that rests and is empty", lane, set, ok)
	}
	if was := first[lane]; len(l.inUse) != 2*partialLanes || l.inUse[use{1, limited(was)}] != 0 {
		t.Error("its earlier use is not forgotten")
	}
	for _, lower := range []bool{false, true} {
		for lane := range lanesEnd {
			if a, b := laneOf(streamOf(lane, lower)); a != lane || b != lower {
				t.Fatalf("lane %d, %v becomes %d, %v", lane, lower, a, b)
			}
		}
	}
}
