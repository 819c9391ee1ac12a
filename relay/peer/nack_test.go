package peer

import (
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"
)

const ms = int64(time.Millisecond)

func TestNACKAsksOnceReorderingIsUnlikely(t *testing.T) {
	var l nackList
	l.received(65535, 0)
	if gap, hopeless := l.received(65539, ms); !gap || hopeless {
		t.Fatalf("gap %v hopeless %v, want a gap", gap, hopeless)
	}
	if got := l.due(nil, 2*ms, 50*ms); got != nil {
		t.Errorf("asked for %v after 1 ms: that is reordering", got)
	}
	l.received(65537, 3*ms) // it was
	if got, want := l.due(nil, 7*ms, 50*ms), []uint16{0, 2}; !reflect.DeepEqual(got, want) {
		t.Errorf("asked for %v, want %v", got, want)
	}
	if got := l.due(nil, 40*ms, 50*ms); got != nil {
		t.Errorf("asked again for %v within a round trip", got)
	}
	l.received(65536, 60*ms)
	if got, want := l.due(nil, 80*ms, 50*ms), []uint16{2}; !reflect.DeepEqual(got, want) {
		t.Errorf("asked for %v, want %v", got, want)
	}
	if l.due(nil, 2000*ms, 50*ms); l.pending() {
		t.Error("still asks after a second")
	}
}

func TestNACKGivesUpOnJumps(t *testing.T) {
	var l nackList
	l.received(1, 0)
	if _, hopeless := l.received(1000, ms); !hopeless || l.pending() {
		t.Errorf("a jump of 999 is a new start: hopeless %v, pending %v", hopeless, l.pending())
	}
}

// TestNACKListIsBounded: whatever arrives, the list stays bounded and ascending, and never asks for what was received.
func TestNACKListIsBounded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var l nackList
		seen := map[int64]bool{}
		seq, now := int64(rapid.Uint16().Draw(t, "start")), int64(0)
		for range rapid.IntRange(1, 200).Draw(t, "packets") {
			seq += int64(rapid.IntRange(-20, 60).Draw(t, "step"))
			now += int64(rapid.IntRange(0, 30).Draw(t, "ms")) * ms
			l.received(seq, now)
			seen[seq] = true
			if len(l.missing) > nackWindow {
				t.Fatalf("%d missing", len(l.missing))
			}
			for i := 1; i < len(l.missing); i++ {
				if l.missing[i-1].seq >= l.missing[i].seq {
					t.Fatal("not ascending")
				}
			}
			for _, m := range l.missing {
				if seen[m.seq] {
					t.Fatalf("asks for %d, which was received", m.seq)
				}
			}
			l.due(nil, now, 40*ms)
		}
	})
}
