package pull

import (
	"testing"
	"time"

	"cardea/relay/link"
	"cardea/relay/plane"
)

var cam = plane.StreamID{Room: "videoroom/1", Publisher: "anna", Mid: "0"}

// regions is 10 ms within a region and 150 ms between two.
func regions(a, b *node) time.Duration {
	if a.region == b.region {
		return 10 * time.Millisecond
	}
	return 150 * time.Millisecond
}

var nine = []string{"a1", "a2", "a3", "b1", "b2", "b3", "c1", "c2", "c3"}

// near tells whether got is want within a tenth.
func near(got, want int) bool { return got > want*9/10 && got < want*11/10 }

func TestStreamCrossesEachOceanOnce(t *testing.T) {
	inWorld(t, regions, nine, func(w *world) {
		pub := w.nodes["a1"].publish(cam)
		var viewers []*viewer
		for _, n := range w.order {
			for range 20 {
				viewers = append(viewers, n.view(cam, -1))
			}
		}
		began := time.Now()
		w.sleep(10 * time.Second) // those who were asked at first may not be the best
		for _, v := range viewers {
			if s := v.seen(); s.pictures == 0 || s.streams != 1 || s.first.Sub(began) > time.Second {
				t.Errorf("viewer at %s: %+v, the first picture after %v", v.n.id, s, s.first.Sub(began))
			}
		}
		w.forgetBytes()
		pub.forgetBytes()
		w.sleep(10 * time.Second)
		for _, to := range []string{"b", "c"} {
			if n := w.crossed("a", to) + w.crossed("b", to) + w.crossed("c", to); n == 0 {
				t.Errorf("nothing reached %s", to)
			}
		}
		oceans := w.crossed("a", "b") + w.crossed("b", "c") + w.crossed("a", "c") + w.crossed("c", "b") + w.crossed("b", "a") + w.crossed("c", "a")
		if want := 2 * pub.bytes(2); !near(oceans, want) {
			t.Errorf("%d bytes crossed oceans, want two copies of the highest layer, %d", oceans, want)
		}
		for _, v := range viewers {
			if s := v.seen(); s.pictures < 290 || s.gap > 100*time.Millisecond || s.substream != 2 {
				t.Errorf("viewer at %s: %+v", v.n.id, s)
			}
		}
		for _, v := range viewers {
			v.leave()
		}
		w.sleep(8 * time.Second) // a gateway notices that its children left, and then lingers itself
		for _, n := range w.order {
			if n.id != "a1" && n.streamOf(cam) != nil {
				t.Errorf("%s keeps a stream that nobody wants", n.id)
			}
			for _, h := range n.hops {
				if h.retained != 0 || len(h.flows) != 0 {
					t.Errorf("%s to %s: retained %d times, %d flows", n.id, h.to.id, h.retained, len(h.flows))
				}
			}
		}
	})
}

func TestOnlyWantedLayersCross(t *testing.T) {
	inWorld(t, regions, []string{"a1", "b1", "c1"}, func(w *world) {
		pub := w.nodes["a1"].publish(cam)
		low, high := w.nodes["b1"].view(cam, 0), w.nodes["b1"].view(cam, 2)
		w.sleep(5 * time.Second)
		measure := func(what string, layers ...int) {
			t.Helper()
			w.forgetBytes()
			pub.forgetBytes()
			w.sleep(5 * time.Second)
			want := 0
			for _, l := range layers {
				want += pub.bytes(l)
			}
			if got := w.crossed("a", "b"); !near(got, want) && got != want {
				t.Errorf("%s: %d bytes crossed, want %d", what, got, want)
			}
		}
		measure("two layers are wanted", 0, 2)
		high.leave()
		w.sleep(3 * time.Second)
		measure("one is", 0)
		w.forgetBytes()
		began := time.Now()
		low.want(1) // it does not flow here: only hints tell of it
		for low.seen().substream != 1 && time.Since(began) < 3*time.Second {
			w.sleep(10 * time.Millisecond)
		}
		if took := time.Since(began); took > 400*time.Millisecond {
			t.Errorf("the higher layer took %v", took)
		}
		w.sleep(3 * time.Second)
		measure("another is", 1)
		if s := low.seen(); s.gap > 100*time.Millisecond {
			t.Errorf("changing layers made a gap of %v", s.gap)
		}
		pub.silence(1, true) // at the source: the viewer falls back on a layer that does not flow here
		w.sleep(3 * time.Second)
		if s := low.seen(); s.substream != 0 || s.gap > time.Second {
			t.Errorf("after the layer ended: %+v", s)
		}
		low.leave()
	})
}

func TestRelayParentIsKilled(t *testing.T) {
	inWorld(t, regions, nine, func(w *world) {
		w.nodes["a1"].publish(cam)
		var viewers []*viewer
		for _, id := range []link.NodeID{"b1", "b2", "b3"} {
			viewers = append(viewers, w.nodes[id].view(cam, -1))
		}
		w.sleep(15 * time.Second)
		var relay link.NodeID
		for _, id := range []link.NodeID{"b1", "b2", "b3"} {
			if r := w.nodes[id].row(cam); len(r.Children) > 0 {
				relay = id
			}
		}
		if relay == "" {
			t.Fatal("nobody in b passes the stream on")
		}
		for _, v := range viewers {
			v.seen()
		}
		w.kill(relay)
		w.sleep(5 * time.Second)
		for _, v := range viewers {
			if v.n.id == relay {
				continue
			}
			s := v.seen()
			t.Logf("viewer at %s, whose parent was killed: a gap of %v", v.n.id, s.gap)
			if s.gap > 850*time.Millisecond || s.streams != 0 || s.pictures < 100 {
				t.Errorf("viewer at %s: %+v", v.n.id, s)
			}
		}
	})
}

func TestLinkIsCutAndMended(t *testing.T) {
	inWorld(t, regions, []string{"a1", "b1", "c1"}, func(w *world) {
		w.nodes["a1"].publish(cam)
		v := w.nodes["b1"].view(cam, -1)
		w.sleep(5 * time.Second)
		v.seen()
		for range 5 { // it flaps
			w.sever("a1", "b1")
			w.sleep(600 * time.Millisecond)
			w.mend("a1", "b1")
			w.sleep(600 * time.Millisecond)
		}
		s := v.seen()
		if s.gap > 1100*time.Millisecond || s.streams != 0 {
			t.Errorf("while the link flapped: %+v", s)
		}
		m := w.nodes["b1"].p.Metrics()
		if m.Failovers.Load()+m.Moves.Load() > 2 {
			t.Errorf("%d failovers, %d moves", m.Failovers.Load(), m.Moves.Load())
		}
		w.sever("a1", "b1") // for good: the way by c is left
		w.sleep(5 * time.Second)
		v.seen()
		w.sleep(5 * time.Second)
		if s := v.seen(); s.pictures < 140 {
			t.Errorf("after the detour: %+v", s)
		}
		if r := w.nodes["b1"].row(cam); len(r.Path) != 3 {
			t.Errorf("path %v, want the one by c1", r.Path)
		}
		w.mend("a1", "b1")
		w.sleep(20 * time.Second)
		if r := w.nodes["b1"].row(cam); len(r.Path) != 2 {
			t.Errorf("path %v, want the direct one", r.Path)
		}
		if s := v.seen(); s.gap > 100*time.Millisecond || s.streams != 0 {
			t.Errorf("going back to the direct way was noticed: %+v", s)
		}
	})
}

// Three nodes that cannot reach the publisher ask each other, and nobody takes another for a source.
func TestNodesThatWaitForEachOther(t *testing.T) {
	inWorld(t, regions, []string{"a1", "b1", "b2", "b3"}, func(w *world) {
		for _, id := range []link.NodeID{"b1", "b2", "b3"} {
			w.sever("a1", id)
		}
		w.sleep(time.Second)
		w.nodes["a1"].publish(cam)
		var viewers []*viewer
		for _, id := range []link.NodeID{"b1", "b2", "b3"} {
			viewers = append(viewers, w.nodes[id].view(cam, -1))
		}
		w.sleep(30 * time.Second)
		for _, v := range viewers {
			if r := v.n.row(cam); r.Open || len(r.Path) > 0 {
				t.Errorf("%s takes a stream from nowhere: %+v", v.n.id, r)
			}
		}
		w.mend("a1", "b2") // only one of them
		w.sleep(30 * time.Second)
		for _, v := range viewers {
			if s := v.seen(); s.pictures == 0 || s.streams != 1 {
				t.Errorf("viewer at %s: %+v, %+v", v.n.id, s, v.n.row(cam))
			}
		}
	})
}

func TestPublisherComesLateLeavesAndMoves(t *testing.T) {
	inWorld(t, regions, []string{"a1", "a2", "b1", "b2"}, func(w *world) {
		viewers := []*viewer{w.nodes["b1"].view(cam, -1), w.nodes["b2"].view(cam, -1), w.nodes["a2"].view(cam, -1)}
		w.sleep(20 * time.Second) // nobody knows where it will be
		check := func(what string, streams int) {
			t.Helper()
			for _, v := range viewers {
				s := v.seen()
				if late := s.first.IsZero(); late || s.streams != streams || s.pictures < 50 {
					t.Errorf("%s: viewer at %s: %+v", what, v.n.id, s)
				}
			}
		}
		w.settle(cam, "a1") // joined, and does not publish yet
		w.sleep(5 * time.Second)
		began := time.Now()
		pub := w.nodes["a1"].publish(cam)
		w.sleep(5 * time.Second)
		check("published", 1)
		for _, v := range viewers {
			if took := v.first.Sub(began); took > 350*time.Millisecond {
				t.Errorf("viewer at %s: the first picture came after %v", v.n.id, took)
			}
		}
		pub.stop()
		w.sleep(time.Second)
		for _, v := range viewers {
			if v.n.streamOf(cam) != nil {
				t.Errorf("%s has a stream that was withdrawn", v.n.id)
			}
		}
		pub = w.nodes["a1"].publish(cam)
		w.sleep(5 * time.Second)
		check("published again", 1)
		pub.stop()
		pub = w.nodes["b1"].publish(cam) // next to one that subscribed
		w.sleep(5 * time.Second)
		check("published elsewhere", 1)
		pub.stop()
		w.nodes["a1"].publish(cam) // and back
		w.sleep(5 * time.Second)
		check("published where it was", 1)
	})
}

// A mute is no reason to look for another parent, and ends as quickly as it does for those at the publisher's node.
func TestMutedPublisher(t *testing.T) {
	inWorld(t, regions, []string{"a1", "b1", "b2", "b3"}, func(w *world) {
		pub := w.nodes["a1"].publish(cam)
		viewers := []*viewer{w.nodes["b1"].view(cam, -1), w.nodes["b2"].view(cam, -1), w.nodes["b3"].view(cam, -1)}
		w.sleep(10 * time.Second)
		pub.s.SetMuted(true)
		w.sleep(10 * time.Second)
		before := uint64(0)
		for _, n := range w.order {
			before += n.p.Metrics().Asked.Load()
		}
		for _, v := range viewers {
			v.seen()
		}
		pub.s.SetMuted(false)
		w.sleep(3 * time.Second)
		for _, v := range viewers {
			if s := v.seen(); s.pictures < 80 || s.streams != 0 {
				t.Errorf("viewer at %s: %+v", v.n.id, s)
			}
		}
		after := uint64(0)
		for _, n := range w.order {
			after += n.p.Metrics().Asked.Load()
		}
		if after != before {
			t.Errorf("%d wants more after the mute", after-before)
		}
	})
}

// A quick change of subscribers costs nothing, and many keyframe requests become few.
func TestKeyframeRequestsAreMerged(t *testing.T) {
	inWorld(t, regions, []string{"a1", "b1", "b2", "b3"}, func(w *world) {
		pub := w.nodes["a1"].publish(cam)
		for i := range 50 {
			w.nodes[[]link.NodeID{"b1", "b2", "b3"}[i%3]].view(cam, -1)
			w.sleep(100 * time.Millisecond)
		}
		pub.mu.Lock()
		defer pub.mu.Unlock()
		if pub.keys > 5*2+4 {
			t.Errorf("%d keyframes asked for in 5 s", pub.keys)
		}
	})
}

func TestUnknownPublisherIsRefused(t *testing.T) {
	inWorld(t, regions, []string{"a1", "b1"}, func(w *world) {
		a, b := w.nodes["a1"], w.nodes["b1"]
		hop, err := b.dial(w.ctx, "a1")
		if err != nil {
			t.Fatal(err)
		}
		h := hop.(*wireHop) //nolint:forcetypeassert // the world's
		say := func(m *wantMessage) { (&neighbour{hop: h}).say(kindWant, m) }
		say(&wantMessage{Flow: 1, Room: "nowhere", Publisher: "nobody", Best: true, Route: []string{"b1"}})
		w.sleep(4 * time.Second)
		if n := a.p.Metrics().Refusals.Load(); n != 0 {
			t.Fatalf("%d refusals, want none before 5 s", n)
		}
		w.sleep(2 * time.Second)
		if n := a.p.Metrics().Refusals.Load(); n != 1 {
			t.Fatalf("%d refusals, want 1", n)
		}
		say(&wantMessage{Flow: 2, Room: "nowhere", Publisher: "nobody", Route: []string{"b1", "a1"}})
		w.sleep(time.Second)
		if n := a.p.Metrics().Refusals.Load(); n != 2 {
			t.Fatalf("%d refusals, want the circle refused", n)
		}
		w.sleep(5 * time.Second)
		if n := len(a.p.Rows()); n != 0 {
			t.Fatalf("%d streams are kept in mind", n)
		}
	})
}

func TestFloodIsContained(t *testing.T) {
	inWorld(t, regions, []string{"a1", "b1"}, func(w *world) {
		a, b := w.nodes["a1"], w.nodes["b1"]
		hop, err := b.dial(w.ctx, "a1")
		if err != nil {
			t.Fatal(err)
		}
		other := hop.(*wireHop).other //nolint:forcetypeassert // the world's
		for i := range 30_000 {
			m := &wantMessage{Flow: uint64(i + 1), Room: "flood", Publisher: "x", Mid: string(rune(i)), Route: []string{"b1"}}
			a.p.notice(other, kindWant, encode(m))
		}
		w.sleep(time.Second)
		m := a.p.Metrics()
		if m.Flooded.Load() < 15_000 || m.Refusals.Load() < 3000 {
			t.Errorf("%d dropped, %d refused", m.Flooded.Load(), m.Refusals.Load())
		}
		if n := len(a.p.Rows()); n > maxRoomChildren+gateBurst {
			t.Errorf("%d streams are kept in mind", n)
		}
	})
}
