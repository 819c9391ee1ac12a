package post

import (
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cardea/relay/data"
)

func testRoom(bytes int, total int64) (*room, *outlet) {
	r := newRoom(quota{bytes: bytes, rate: 1e6, total: total, kept: new(atomic.Int64), counts: new(counters)})
	o := &outlet{id: chat, room: r, incarnation: 9}
	r.enter(o)
	return r, o
}

func testLine() *line {
	return &line{work: make(chan struct{}, 1), listed: make(map[*subscriber]bool)}
}

func numbers(parcels []parcel) (out []uint64) {
	for _, p := range parcels {
		out = append(out, p.number)
	}
	return out
}

func TestRoomKeepsUntilAcknowledged(t *testing.T) {
	r, o := testRoom(1<<20, 1<<30)
	now := time.Unix(1000, 0)
	first, second := testLine(), testLine()
	a, b := r.subscribe(o, testAddress("a"), 1, first), r.subscribe(o, testAddress("b"), 2, first)
	for i := range 4 {
		r.say(o, text(i), now)
	}
	r.say(o, data.Message{Reliability: data.Reliability{Unordered: true}}, now)
	if len(first.ready) != 2 {
		t.Fatalf("%d subscribers are to be served", len(first.ready))
	}
	got, more := r.take(a, first, now)
	if diff := cmp.Diff([]uint64{1, 2, 3, 4, 1}, numbers(got)); diff != "" || more {
		t.Error(diff, more)
	}
	if got, _ := r.take(b, second, now); got != nil {
		t.Error("a line takes what is another's")
	}
	if got, _ := r.take(b, first, now); len(got) != 5 {
		t.Errorf("%d for the other", len(got))
	}
	r.acknowledge(a, tally{Incarnation: 8, Ordered: 4}) // of other numbers
	r.acknowledge(a, tally{Incarnation: 9, Ordered: 2})
	r.detach(a, second, now)
	r.attach(a, tally{Incarnation: 9, Ordered: 3, Unordered: []span{{0, 1}}}, second)
	if got, _ := r.take(a, second, now); !slices.Equal(numbers(got), []uint64{4}) {
		t.Errorf("%v are sent again", numbers(got))
	}
	r.acknowledge(b, tally{Incarnation: 9, Ordered: 4, Unordered: []span{{0, 1}}})
	if r.bytes != overhead+len(text(3).Data) {
		t.Errorf("%d bytes are kept", r.bytes)
	}
	r.detach(a, second, now)
	if r.gone(a, now) || !r.gone(a, now.Add(1)) || r.gone(b, now.Add(time.Hour)) {
		t.Error("who is gone, and since when, is wrong")
	}
	if !r.unsubscribe(a) || r.bytes != 0 || r.quota.kept.Load() != 0 || r.unsubscribe(b) {
		t.Errorf("%d bytes are kept for nobody", r.bytes)
	}
}

func TestRoomIsBounded(t *testing.T) {
	r, o := testRoom(10*(overhead+100), 1<<30)
	now := time.Unix(1000, 0)
	l := testLine()
	s := r.subscribe(o, testAddress("a"), 1, l)
	say := func(n int) { r.say(o, data.Message{Data: make([]byte, n)}, now) }
	for range 1000 {
		say(100)
	}
	if r.bytes != 10*(overhead+100) || len(s.queue) != 10 || len(r.kept) > 10 {
		t.Errorf("%d bytes, %d and %d letters", r.bytes, len(s.queue), len(r.kept))
	}
	got, _ := r.take(s, l, now)
	if want := []uint64{991, 992, 993, 994, 995, 996, 997, 998, 999, 1000}; !slices.Equal(numbers(got), want) {
		t.Errorf("%v are left", numbers(got))
	}
	say(100)
	if len(s.sent) != 9 || len(s.queue) != 1 {
		t.Errorf("%d and %d are kept", len(s.sent), len(s.queue))
	}
	say(11 * (overhead + 100))
	if c := r.quota.counts; c.overQuota.Load() != 1 || c.forgotten.Load() != 991+10 {
		t.Errorf("%d over quota, %d forgotten", c.overQuota.Load(), c.forgotten.Load())
	}
}

// Others have used up the memory of all rooms: a room with something to drop goes on with that.
func TestTotalIsBounded(t *testing.T) {
	r, o := testRoom(1<<20, 10_000)
	s := r.subscribe(o, testAddress("a"), 1, testLine())
	now := time.Unix(1000, 0)
	r.quota.kept.Store(9_500)
	for range 10 {
		r.say(o, data.Message{Data: make([]byte, 100)}, now)
	}
	if len(s.queue) != 1 || s.queue[0].number != 10 {
		t.Errorf("%d letters", len(s.queue))
	}
	r.quota.kept.Store(20_000)
	r.unsubscribe(s)
	s = r.subscribe(o, testAddress("a"), 1, testLine())
	r.say(o, data.Message{Data: make([]byte, 100)}, now)
	if len(s.queue) != 0 {
		t.Error("there is room where there is none")
	}
}

func TestRoomExpires(t *testing.T) {
	r, o := testRoom(1<<20, 1<<30)
	l := testLine()
	s := r.subscribe(o, testAddress("a"), 1, l)
	now := time.Unix(1000, 0)
	for _, m := range []data.Reliability{{Partial: data.Lifetime, Limit: 100}, {Partial: data.Retransmits, Limit: 100}, {}} {
		r.say(o, data.Message{Reliability: m}, now)
	}
	r.say(o, data.Message{Reliability: data.Reliability{Partial: 7}}, now) // nobody knows it
	for _, tt := range []struct {
		after time.Duration
		want  int
	}{{100 * time.Millisecond, 3}, {101 * time.Millisecond, 2}, {staleAfter, 2}, {staleAfter + 1, 1}, {time.Hour, 1}} {
		s.queue = slices.Clone(r.kept)
		for _, l := range s.queue {
			l.holders = 100
		}
		if got, _ := r.take(s, l, now.Add(tt.after)); len(got) != tt.want {
			t.Errorf("after %v %d are sent", tt.after, len(got))
		}
	}
}
