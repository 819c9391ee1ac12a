package stream

import (
	"testing"

	"pgregory.net/rapid"
)

func TestNumbering(t *testing.T) {
	n := numbering{next: 100}
	forward := func(in, want int64, missing int) {
		t.Helper()
		if n.late(in) {
			t.Fatalf("%d is late", in)
		}
		if out, lost := n.forward(in); out != want || lost != missing {
			t.Fatalf("%d became %d with %d missing, want %d with %d", in, out, lost, want, missing)
		}
	}
	late := func(in, want int64) {
		t.Helper()
		if !n.late(in) {
			t.Fatalf("%d is not late", in)
		}
		if out, ok := n.lookup(in); !ok || out != want {
			t.Fatalf("%d became %d (%v), want %d", in, out, ok, want)
		}
	}
	forward(5, 100, 0)
	n.drop(6)
	n.drop(7)
	forward(8, 101, 0)
	forward(10, 103, 1)
	late(9, 102)
	if missing := n.drop(12); missing != 1 {
		t.Fatalf("%d missing before a dropped packet", missing)
	}
	forward(13, 105, 0)
	late(11, 104)
	if _, ok := n.lookup(4); ok {
		t.Error("number for a packet before the first")
	}
	n.restart()
	forward(1_000_000, 106, 0)
	if !n.jumps(1_000_000 + maxGap + 1) {
		t.Error("a wide gap is taken for loss")
	}
	forward(1_000_000+maxGap+1, 107, 0)
	forward(1_000_000+maxGap+2, 108, 0)
}

// TestNumberingProperty checks against a model that knows everything beforehand: packets that are relayed or arrive late
// get the numbers they would have had without loss of order, as far as the offsets are remembered.
func TestNumberingProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := numbering{next: rapid.Int64Range(0, 1<<15).Draw(t, "start")}
		first := n.next
		in := rapid.Int64Range(-1000, 1<<40).Draw(t, "in")
		used := map[int64]bool{}
		type hole struct{ in, out int64 }
		var holes []hole
		take := func(out int64) {
			if used[out] {
				t.Fatalf("number %d used twice", out)
			}
			used[out] = true
		}
		for range rapid.IntRange(1, 300).Draw(t, "steps") {
			switch step := rapid.IntRange(0, 9).Draw(t, "step"); {
			case step < 5:
				out, missing := n.forward(in)
				for i := int64(1); i <= int64(missing); i++ {
					holes = append(holes, hole{in - i, out - i})
				}
				take(out)
				in++
			case step < 7:
				missing := n.drop(in)
				for i := int64(1); i <= int64(missing); i++ {
					holes = append(holes, hole{in - i, n.next - i})
				}
				in++
			case step == 7:
				in++ // lost, or late
			case len(holes) > 0:
				h := holes[len(holes)-1]
				holes = holes[:len(holes)-1]
				if out, ok := n.lookup(h.in); ok {
					if out != h.out {
						t.Fatalf("late packet got %d, its hole is %d", out, h.out)
					}
					take(out)
				}
			}
		}
		for out := first; out < n.next; out++ {
			isHole := false
			for _, h := range holes {
				isHole = isHole || h.out == out
			}
			if !used[out] && !isHole {
				t.Fatalf("number %d skipped without a missing packet", out)
			}
		}
	})
}
