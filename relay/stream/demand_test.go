package stream

import (
	"fmt"
	"slices"
	"testing"

	"cardea/relay/plane"
)

func TestDirectoryTellsDemand(t *testing.T) {
	one := 1
	id, other := plane.StreamID{Room: "r", Publisher: "p", Mid: "0"}, plane.StreamID{Room: "r", Publisher: "p", Mid: "1"}
	d := NewDirectory[*int]()
	var told []string
	d.Demand(func(id plane.StreamID, wanted bool) { told = append(told, fmt.Sprintf("%s %t", id.Mid, wanted)) })
	var a, b diary
	d.Publish(id, &one)
	d.Watch(id, &a)
	d.Watch(id, &b)
	d.Watch(other, &a) // nobody publishes it
	d.Withdraw(id, &one)
	d.Unwatch(id, &a)
	d.Unwatch(id, &a)
	d.Unwatch(id, &b)
	d.Watch(id, &b)
	if want := []string{"0 true", "1 true", "0 false", "0 true"}; !slices.Equal(told, want) {
		t.Errorf("told %q, want %q", told, want)
	}
}

func TestIncarnation(t *testing.T) {
	if a, b := New(Config{}).Config().Incarnation, New(Config{}).Config().Incarnation; a == 0 || b == 0 || a == b {
		t.Errorf("incarnations %d and %d", a, b)
	}
	if got := New(Config{Incarnation: 7}).Config().Incarnation; got != 7 {
		t.Errorf("incarnation %d, want 7", got)
	}
}

// far makes a simulcast as it is at a node that it comes to by a link: only layers that are wanted flow, and what flows at the
// source is hinted.
func far(t *testing.T) *simulcast {
	c := newSimulcast(t)
	c.silent = [3]bool{true, true, true}
	c.hint(100_000, 400_000, 1_600_000)
	c.v.attach(c.s, c.now)
	return c
}

func (c *simulcast) hint(bits ...uint64) {
	for i, b := range bits {
		c.s.Hint(i, b, 30, c.now)
	}
}

// demand runs n frames of just what is wanted, with a keyframe of each layer that begins.
func (c *simulcast) demand(n int) {
	for range n {
		wanted, keys := c.s.Demanded(c.now), []int{}
		for l := range c.silent {
			silent := wanted&(1<<l) == 0
			if c.silent[l] && !silent {
				keys = append(keys, l)
			}
			c.silent[l] = silent
		}
		c.run(1, keys...)
	}
}

func (c *simulcast) demands(want uint8) {
	c.t.Helper()
	if got := c.s.Demanded(c.now); got != want {
		c.t.Fatalf("layers %03b are wanted, want %03b", got, want)
	}
}

func TestDemandIsTheBestHintedLayer(t *testing.T) {
	c := far(t)
	c.demands(0b100)
	if c.asked[2] != 1 || c.asked[0]+c.asked[1] != 0 {
		t.Fatalf("keyframes asked for %v times", c.asked)
	}
	c.demand(10)
	c.want(2)
	c.demands(0b100)
}

func TestDemandWithoutHints(t *testing.T) {
	c := newSimulcast(t)
	c.v.attach(c.s, c.now)
	c.demands(0b100)
	c.locked(func() { c.v.track.SetTarget(1, -1, -1, -1) })
	c.demands(0b010)
	c.locked(func() { c.v.track.SetPaused(true, c.now) })
	c.demands(0)
	c.s.RemoveSink(c.v)
	c.demands(0)
}

func TestLayerThatDoesNotFlowIsWantedAndComes(t *testing.T) {
	c := far(t)
	c.locked(func() { c.v.track.SetTarget(0, -1, -1, -1) })
	c.demand(30)
	c.want(0)
	c.demands(0b001)
	before := len(c.v.got)
	asked := c.asked[1]
	c.locked(func() { c.v.track.SetTarget(1, -1, -1, -1) })
	if c.asked[1] != asked+1 {
		t.Fatal("the wanted layer's keyframe was not asked for at once")
	}
	c.demands(0b011)
	c.run(5) // the round trip: the track goes on with what it has
	c.want(0)
	if n := len(c.v.got) - before; n < 5 {
		t.Fatalf("%d packets while waiting", n)
	}
	c.demand(5)
	c.want(1)
	c.demands(0b010)
	c.v.continuous()
	c.v.monotonic()
}

// Who comes when only a lower layer flows is shown that until the one it wants is there.
func TestPictureBeforeTheWantedLayerComes(t *testing.T) {
	c := newSimulcast(t)
	c.silent = [3]bool{false, true, true}
	c.run(60, 0) // the keyframe is too old to begin with
	c.hint(0, 400_000, 1_600_000)
	c.v.attach(c.s, c.now)
	c.demands(0b100)
	if got := c.s.KeyframesWanted(); got != 0b101 {
		t.Errorf("keyframes of %03b are wanted", got)
	}
	c.run(1, 0)
	c.want(0)
	c.demands(0b101)
	c.silent[2] = false
	c.run(1, 2)
	c.want(2)
	c.v.continuous()
}

func TestAllocatorIsOfferedHintedLayers(t *testing.T) {
	c := far(t)
	c.locked(func() { c.v.track.SetTarget(0, -1, -1, -1) })
	c.demand(60)
	c.hint(100_000, 400_000, 1_600_000)
	c.locked(func() {
		c.v.track.SetTarget(-1, 1, -1, -1) // with at most two temporal layers
		offered := c.v.track.Layers(nil)
		var substreams []int8
		for _, q := range offered {
			substreams = append(substreams, q.Substream)
		}
		if !slices.Equal(substreams, []int8{0, 1, 2}) {
			t.Fatalf("offered %+v", offered)
		}
		if offered[1].Bitrate != 400_000 || offered[2].Bitrate != 1_600_000 || offered[2].Temporal != 1 {
			t.Errorf("offered %+v", offered)
		}
		c.v.track.SetLimit(offered[1])
	})
	c.demands(0b011)
	c.demand(5)
	c.want(1)
}

func TestLayerThatEndedAtTheSource(t *testing.T) {
	c := far(t)
	c.demand(30)
	c.want(2)
	for range 9 { // nothing comes any more, and nothing else flows that would show it
		c.now += 33 * ms
	}
	c.demands(0b100)
	c.hint(100_000, 400_000, 0)
	c.demands(0b110) // the one relayed last, and the next one
	c.silent = [3]bool{true, false, true}
	c.run(10, 1)
	c.want(1)
	c.demands(0b010)
	c.hint(100_000, 400_000, 1_600_000)
	c.demands(0b110)
	c.demand(5)
	c.want(2)
}

func TestHintsGrowOld(t *testing.T) {
	c := far(t)
	c.locked(func() { c.v.track.SetTarget(0, -1, -1, -1) })
	c.demand(30)
	c.locked(func() { c.v.track.SetTarget(-1, -1, -1, -1) })
	c.demands(0b101)
	for range 60 {
		c.silent = [3]bool{false, true, true}
		c.run(3)
	}
	c.demands(0b001)
}

func TestFlows(t *testing.T) {
	c := newSimulcast(t)
	c.silent = [3]bool{false, false, true}
	c.run(60, 0, 1)
	c.hint(0, 0, 1_600_000)
	flows := c.s.Flows(nil, c.now)
	if len(flows) != 3 || flows[2].Bits != 1_600_000 || flows[2].Rate != 30 {
		t.Fatalf("%+v", flows)
	}
	for l := range 2 {
		if f := flows[l]; f.Bits < 50_000 || f.Bits > 200_000 || f.Rate < 28 || f.Rate > 33 {
			t.Errorf("layer %d: %+v", l, f)
		}
	}
	c.now += 3000 * ms
	if flows = c.s.Flows(flows[:0], c.now); flows[0].Bits != 0 || flows[1].Bits != 0 || flows[2].Bits == 0 {
		t.Errorf("after 3 s of silence: %+v", flows)
	}
}

func TestAudienceIsTold(t *testing.T) {
	told := 0
	s := New(Config{Kind: plane.Audio, Codecs: []plane.Codec{opusCodec}, Audience: func() { told++ }})
	v := newViewer(t, audioConfig())
	v.attach(s, ms)
	if got := s.Demanded(ms); got != 1 || told != 1 {
		t.Errorf("layers %b, told %d times", got, told)
	}
	s.RemoveSink(v)
	s.RemoveSink(v)
	if got := s.Demanded(ms); got != 0 || told != 2 {
		t.Errorf("layers %b, told %d times", got, told)
	}
}

func TestRequestKeyframesOfLayers(t *testing.T) {
	s, _, asked := newVideo(t, 3)
	s.RequestKeyframes(0b1101)
	if got := s.KeyframesWanted(); got != 0b101 || *asked != 2 {
		t.Errorf("wanted %03b, asked %d times", got, *asked)
	}
}
