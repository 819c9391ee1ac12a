package stream

import (
	"bytes"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// put caches a packet of n bytes, all of them fill.
func put(r *ring, seq int64, n int, fill byte, now int64, batch uint32) refusal {
	b := r.reserve(n)
	if b == nil {
		return noRoom
	}
	for i := range b {
		b[i] = fill
	}
	p, why := r.place(seq, now, batch)
	if p == nil {
		return why
	}
	*p = Packet{Seq: seq, Arrival: now}
	r.take(p, n, 0, batch)
	return taken
}

func TestRingRefuses(t *testing.T) {
	r := newRing(false)
	for _, tt := range []struct {
		name string
		seq  int64
		want refusal
	}{
		{"first", 1000, taken},
		{"same again", 1000, duplicate},
		{"just before", 999, taken},
		{"far before", 900, tooLate},
		{"jump", 5000, taken},
		{"before the jump", 1000, tooLate},
		{"within", 4990, taken},
		{"within again", 4990, duplicate},
	} {
		if got := put(&r, tt.seq, 100, 1, ms, 1); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
		r.flushed()
	}
}

func TestRingRemembersOverwritten(t *testing.T) {
	r := newRing(false)
	now := int64(time.Second)
	for seq := range int64(50) {
		put(&r, seq, 1000, byte(seq), now, 1)
		r.flushed()
		now += 2 * int64(time.Second)
	}
	if r.get(0) != nil || !r.expired(0) {
		t.Error("a packet outlived its bytes")
	}
	if got := put(&r, 49-40, 1000, 1, now, 1); got != duplicate {
		t.Errorf("a packet whose bytes are gone came again and was %v", got)
	}
	if r.expired(60) {
		t.Error("a packet that never came counts as overwritten")
	}
}

func TestRingGrowsToASecond(t *testing.T) {
	r := newRing(true)
	begin := 1000 * int64(time.Second) // the clock has run for a while
	now := begin
	for seq := range int64(2000) { // 1,200 bytes each 2.5 ms: 3.8 Mbit/s
		put(&r, seq, 1200, byte(seq), now, 1)
		r.flushed()
		now += 5 * ms / 2
		if now < begin+cacheTime && r.get(0) == nil {
			t.Fatalf("the first packet is gone after %d packets", seq+1)
		}
	}
	if n := len(r.buf); n != 512<<10 && n != 1<<20 {
		t.Errorf("ring of %d bytes", n)
	}
	for seq := int64(1999 - 400); seq < 2000; seq++ {
		if r.get(seq) == nil {
			t.Fatalf("packet %d, younger than a second, is gone", seq)
		}
	}
	size := len(r.buf)
	for seq := int64(2000); seq < 6000; seq++ {
		put(&r, seq, 1200, byte(seq), now, 1)
		r.flushed()
		now += 5 * ms / 2
	}
	if len(r.buf) != size {
		t.Errorf("ring went on growing, from %d to %d", size, len(r.buf))
	}
}

func TestRingKeepsTheBurst(t *testing.T) {
	// All of it arrives at once and is not flushed: the ring grows to its bounds and then refuses rather than overwrite.
	r := newRing(true)
	kept := 0
	for seq := range int64(4000) {
		if put(&r, seq, 1200, byte(seq), ms, 1) == taken {
			kept++
		}
	}
	if len(r.buf) != videoBytesMax || kept < 800 || kept > 900 {
		t.Fatalf("%d packets kept in %d bytes", kept, len(r.buf))
	}
	for seq := range int64(kept) {
		p := r.get(seq)
		if p == nil || p.Payload[0] != byte(seq) || p.Payload[1199] != byte(seq) {
			t.Fatalf("packet %d was overwritten before it was handed out", seq)
		}
	}
}

// TestRingProperty: what the ring returns is what was put in, whatever the order, sizes and growth.
func TestRingProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := newRing(rapid.Bool().Draw(t, "video"))
		now, seq := ms, int64(10)
		sizes := map[int64]int{}
		batch := uint32(1)
		for range rapid.IntRange(1, 150).Draw(t, "packets") {
			seq += int64(rapid.IntRange(-3, 5).Draw(t, "step"))
			n := rapid.IntRange(0, 1400).Draw(t, "size")
			if put(&r, seq, n, byte(seq), now, batch) == taken {
				if old, ok := sizes[seq]; ok {
					t.Fatalf("packet %d of %d bytes taken twice", seq, old)
				}
				sizes[seq] = n
			}
			now += int64(rapid.IntRange(0, 200).Draw(t, "ms")) * ms
			if rapid.IntRange(0, 3).Draw(t, "flush") == 0 {
				r.flushed()
				batch++
			}
			for s := seq - 70; s <= seq+5; s++ {
				p := r.get(s)
				if p == nil {
					continue
				}
				if p.Seq != s || len(p.Payload) != sizes[s] || bytes.Count(p.Payload, []byte{byte(s)}) != sizes[s] {
					t.Fatalf("packet %d is not what was put in", s)
				}
			}
		}
	})
}
