package stream

import (
	"slices"
	"testing"
	"time"

	"cardea/relay/plane"
)

// simulcast drives a stream of three encodings at 30 frames/s and one viewer.
type simulcast struct {
	t      *testing.T
	s      *Stream
	f      []*source
	asked  []int // by layer
	v      *viewer
	now    int64
	silent [3]bool
}

func newSimulcast(t *testing.T) *simulcast {
	c := &simulcast{t: t, now: 10 * ms, asked: make([]int, 3)}
	s, f, _ := newVideo(t, 3)
	c.s, c.f = s, f
	s.cfg.RequestKeyframe = func(layer int) { c.asked[layer]++ }
	c.v = newViewer(t, videoConfig())
	return c
}

// run sends n frames of all layers that are not silent; the given layers begin with a keyframe. What is behind catches up.
func (c *simulcast) run(n int, keys ...int) {
	for i := range n {
		for l, f := range c.f {
			if !c.silent[l] {
				f.frame(l+1, i == 0 && slices.Contains(keys, l), 0, c.now)
			} else {
				f.stamp += 3000
			}
		}
		c.s.Flush(c.now, nil)
		if c.v.track.Behind() {
			c.v.catchup(1<<20, c.now)
		}
		c.now += 33 * ms
	}
}

func (c *simulcast) locked(f func()) {
	c.s.Lock()
	defer c.s.Unlock()
	f()
}

func (c *simulcast) want(substream int8) {
	c.t.Helper()
	if got, _, _ := c.v.track.Current(); got != substream {
		c.t.Fatalf("substream %d flows, want %d", got, substream)
	}
}

func (c *simulcast) check() {
	c.t.Helper()
	c.v.continuous()
	c.v.monotonic()
	for i := 1; i < len(c.v.got); i++ {
		was, is := c.v.got[i-1].info, c.v.got[i].info
		if d := (is.PictureID - was.PictureID) & 0x7fff; d > 1 {
			c.t.Fatalf("packet %d: picture %d after %d", i, is.PictureID, was.PictureID)
		}
	}
}

func TestSimulcastTakesTheHighest(t *testing.T) {
	c := newSimulcast(t)
	c.v.attach(c.s, 1)
	c.run(1, 0, 1, 2)
	c.run(5)
	c.want(2)
	if n := len(c.v.got); n < 15 {
		t.Errorf("%d packets", n)
	}
	c.check()
}

func TestSimulcastBeginsLowAndClimbs(t *testing.T) {
	c := newSimulcast(t)
	c.v.attach(c.s, 1)
	c.run(3)
	c.want(-1)
	if c.asked[2] == 0 {
		t.Error("no keyframe of the highest asked for")
	}
	c.run(3, 0)
	c.want(0)
	c.run(3, 1) // on the way up nothing is passed by
	c.want(0)
	c.run(3, 2)
	c.want(2)
	c.check()
}

func TestSimulcastTargets(t *testing.T) {
	c := newSimulcast(t)
	c.v.attach(c.s, 1)
	c.run(12, 0, 1, 2)
	c.want(2)
	c.asked = make([]int, 3)
	c.locked(func() { c.v.track.SetTarget(0, -1, -1, -1) })
	c.run(5)
	c.want(2) // until there is a keyframe
	if c.asked[0] == 0 || c.asked[1]+c.asked[2] != 0 {
		t.Errorf("keyframes asked for: %v", c.asked)
	}
	c.run(3, 1) // on the way down an intermediate layer is a step in the right direction
	c.want(1)
	c.run(12, 0)
	c.want(0)
	c.locked(func() { c.v.track.SetTarget(1, -1, -1, -1) })
	c.run(12, 2)
	c.want(0)
	c.run(3, 1)
	c.want(1)
	c.check()
}

func TestSimulcastSwitchUsesKeptKeyframe(t *testing.T) {
	c := newSimulcast(t)
	c.v.track.SetTarget(0, -1, -1, -1)
	c.v.attach(c.s, 1)
	c.run(12, 0, 1, 2)
	c.want(0)
	c.run(3, 2)
	c.asked = make([]int, 3)
	c.locked(func() { c.v.track.SetTarget(2, -1, -1, -1) })
	c.run(2)
	c.want(2)
	if c.asked[2] != 0 {
		t.Error("keyframe asked for in spite of the kept one")
	}
	c.run(10)
	c.check()
}

func TestSimulcastLimit(t *testing.T) {
	c := newSimulcast(t)
	c.v.attach(c.s, 1)
	c.run(30, 0, 1, 2)
	offers := c.v.track.Layers(nil)
	if len(offers) != 3 {
		t.Fatalf("%d qualities: %+v", len(offers), offers)
	}
	for i, q := range offers {
		// (i+1) packets of 200 bytes and overhead, 30 times a second
		want := uint32((i + 1) * (200 + overhead) * 8 * 30)
		if q.Substream != int8(i) || q.Bitrate < want*9/10 || q.Bitrate > want*12/10 {
			t.Errorf("quality %d: %+v, want about %d bits/s", i, q, want)
		}
	}
	c.locked(func() { c.v.track.SetLimit(offers[1]) })
	c.run(5, 1)
	c.want(1)
	c.locked(func() { c.v.track.SetLimit(Highest) })
	c.run(5, 2)
	c.want(2)
	c.check()
}

func TestSimulcastFallback(t *testing.T) {
	c := newSimulcast(t)
	c.v.attach(c.s, 1)
	c.run(30, 0, 1, 2)
	c.want(2)
	c.silent[2] = true
	c.asked = make([]int, 3)
	c.run(6)
	if c.asked[0]+c.asked[1] != 0 {
		t.Error("fell back too early")
	}
	c.run(5)
	if c.asked[1] == 0 {
		t.Error("no keyframe of the lower layer asked for")
	}
	c.run(2, 1)
	c.want(1)
	if got := c.v.track.Layers(nil); len(got) != 2 {
		t.Errorf("offered: %+v", got)
	}
	c.silent[2] = false
	c.run(2)
	c.want(1)
	if c.asked[2] == 0 {
		t.Error("no keyframe of the returned layer asked for")
	}
	c.run(2, 2)
	c.want(2)
	c.check()
}

func TestFallbackTime(t *testing.T) {
	c := newSimulcast(t)
	c.v.track.SetFallback(500 * time.Millisecond)
	c.v.attach(c.s, 1)
	c.run(30, 0, 1, 2)
	c.silent[2] = true
	c.asked = make([]int, 3)
	c.run(12)
	if c.asked[1] != 0 {
		t.Error("fell back too early")
	}
	c.run(6)
	if c.asked[1] == 0 {
		t.Error("did not fall back")
	}
	c.v.track.SetFallback(0)
	if c.v.track.fallback != int64(DefaultFallback) {
		t.Error("0 is not the default")
	}
}

func TestKeyframesWanted(t *testing.T) {
	c := newSimulcast(t)
	c.v.attach(c.s, 1)
	c.s.KeyframesAsked(0b111)
	c.run(10)
	if got := c.s.KeyframesWanted(); got != 1<<2 {
		t.Errorf("layers %b", got)
	}
	c.s.KeyframesAsked(1 << 2)
	if got := c.s.KeyframesWanted(); got != 0 {
		t.Errorf("layers %b wanted though they were asked for", got)
	}
	c.s.RequestKeyframe()
	if got := c.s.KeyframesWanted(); got != 0b111 {
		t.Errorf("layers %b", got)
	}
	c.run(4, 0, 1, 2)
	if got := c.s.KeyframesWanted(); got != 0 {
		t.Errorf("layers %b wanted though keyframes came", got)
	}
	c.locked(func() { c.v.track.RequestKeyframe(c.now + 1000*ms) })
	if got := c.s.KeyframesWanted(); got != 1<<2 {
		t.Errorf("layers %b, want the one relayed", got)
	}
}

func TestKeyframeWhoseFirstPacketIsRepaired(t *testing.T) {
	s, f, _ := newVideo(t, 1)
	v := newViewer(t, videoConfig())
	v.attach(s, 1)
	first := *f[0]
	f[0].seq++
	for range 3 {
		f[0].push(vp8(false, true, false, 0, f[0].picture, f[0].tl0, 100), false, ms)
	}
	s.Flush(ms, nil)
	first.push(vp8(true, true, false, 0, first.picture, first.tl0, 100), false, 20*ms)
	s.Flush(20*ms, nil)
	for v.track.Behind() {
		v.catchup(1000, 20*ms)
	}
	if got := v.numbers(); !slices.Equal(got, []int{0, 1, 2, 3}) || !v.got[0].info.Keyframe {
		t.Errorf("numbers %v", got)
	}
}

func TestSlowLayersAreNotDead(t *testing.T) {
	c := newSimulcast(t)
	c.v.attach(c.s, 1)
	c.run(1, 0, 1, 2)
	for range 10 { // a screen share: two frames a second
		c.now += 500 * ms
		c.run(1)
		c.want(2)
	}
	if got := c.v.track.Layers(nil); len(got) != 3 {
		t.Errorf("offered: %+v", got)
	}
}

func TestOnlyLayerAboveTheTarget(t *testing.T) {
	c := newSimulcast(t)
	c.silent[0], c.silent[1] = true, true
	c.v.track.SetTarget(0, -1, -1, -1)
	c.v.attach(c.s, 1)
	c.run(3, 2)
	c.want(2)
	c.silent[0] = false
	c.run(3, 0)
	c.want(0)
	c.check()
}

func TestChanged(t *testing.T) {
	c := newSimulcast(t)
	c.v.attach(c.s, 1)
	if _, _, _, ok := c.v.track.Changed(); ok {
		t.Error("change before anything flows")
	}
	c.run(12, 0, 1, 2)
	if sub, spatial, temporal, ok := c.v.track.Changed(); !ok || sub != 2 || spatial != -1 || temporal != 0 {
		t.Errorf("changed to %d, %d, %d, %v", sub, spatial, temporal, ok)
	}
	if _, _, _, ok := c.v.track.Changed(); ok {
		t.Error("the same change twice")
	}
	c.locked(func() { c.v.track.SetTarget(0, -1, -1, -1) })
	c.run(1, 0)
	if sub, _, temporal, ok := c.v.track.Changed(); !ok || sub != 0 || temporal != -1 {
		t.Errorf("changed to %d, temporal %d, %v", sub, temporal, ok)
	}
}

func TestLatePacketFillsItsHole(t *testing.T) {
	s, f, _ := newVideo(t, 1)
	v := newViewer(t, videoConfig())
	v.attach(s, 1)
	f[0].frame(2, true, 0, ms)
	lost := *f[0]
	f[0].seq += 2 // a whole frame is missing
	f[0].stamp += 3000
	f[0].picture++
	f[0].frame(2, false, 0, 2*ms)
	s.Flush(2*ms, nil)
	lost.frame(2, false, 0, 3*ms)
	s.Flush(3*ms, nil)
	if got := v.numbers(); !slices.Equal(got, []int{0, 1, 4, 5, 2, 3}) {
		t.Fatalf("numbers %v", got)
	}
	if a, b := v.got[2], v.got[4]; b.Timestamp+3000 != a.Timestamp || b.info.PictureID+1 != a.info.PictureID {
		t.Errorf("late packet: time %d, picture %d; the one after it: %d, %d", b.Timestamp, b.info.PictureID, a.Timestamp, a.info.PictureID)
	}
	lost.seq -= 2
	lost.frame(2, false, 0, 4*ms) // and once more
	s.Flush(4*ms, nil)
	if len(v.got) != 6 {
		t.Error("a duplicate was relayed")
	}
}

func TestLatePacketOfDroppedLayerIsFilled(t *testing.T) {
	s, f, _ := newVideo(t, 1)
	v := newViewer(t, videoConfig())
	v.track.SetTarget(-1, 0, -1, -1)
	v.attach(s, 1)
	f[0].frame(2, true, 0, ms)
	lost := *f[0]
	f[0].seq += 2
	f[0].stamp += 3000
	f[0].picture++
	f[0].frame(2, false, 0, 2*ms)
	f[0].frame(2, false, 1, 2*ms) // dropped
	f[0].frame(2, false, 0, 2*ms)
	s.Flush(2*ms, nil)
	lost.frame(2, false, 1, 3*ms)
	s.Flush(3*ms, nil)
	if got := v.numbers(); !slices.Equal(got, []int{0, 1, 4, 5, 6, 7, 2, 3}) {
		t.Fatalf("numbers %v", got)
	}
	if v.fills != 2 || len(v.got[6].payload) != 0 {
		t.Errorf("%d packets without media", v.fills)
	}
	v.continuous()
}

func TestLatePacketBeforeADroppedOneIsFilled(t *testing.T) {
	s, f, _ := newVideo(t, 1)
	v := newViewer(t, videoConfig())
	v.track.SetTarget(-1, 0, -1, -1)
	v.attach(s, 1)
	f[0].frame(2, true, 0, ms)
	lost := *f[0]
	f[0].seq++
	f[0].push(vp8(false, false, false, 1, f[0].picture, f[0].tl0, 50), true, 2*ms) // its frame is dropped
	f[0].picture++
	f[0].stamp += 3000
	f[0].frame(2, false, 0, 2*ms)
	s.Flush(2*ms, nil)
	lost.push(vp8(true, false, false, 1, lost.picture, lost.tl0, 50), false, 3*ms)
	s.Flush(3*ms, nil)
	if got := v.numbers(); !slices.Equal(got, []int{0, 1, 3, 4, 2}) || v.fills != 1 {
		t.Fatalf("numbers %v, %d without media", got, v.fills)
	}
}

func TestLimitBelowTheSubstreamDropsTemporalLayersAtOnce(t *testing.T) {
	c := newSimulcast(t)
	c.v.attach(c.s, 1)
	c.run(12, 0, 1, 2)
	c.locked(func() { c.v.track.SetLimit(Quality{Substream: 0, Spatial: 0, Temporal: 2}) })
	before := len(c.v.got)
	c.f[2].frame(3, false, 1, c.now)
	c.s.Flush(c.now, nil)
	if len(c.v.got) != before {
		t.Error("an upper temporal layer is relayed although not even the substream fits")
	}
	c.run(3, 0)
	c.want(0)
	c.f[0].frame(3, false, 1, c.now)
	before = len(c.v.got)
	c.s.Flush(c.now, nil)
	if len(c.v.got) != before+3 {
		t.Error("temporal layers of the substream that fits are missing")
	}
}

func TestUnknownPayloadTypeIsDropped(t *testing.T) {
	s, f := newAudio(t)
	v := newViewer(t, audioConfig())
	v.attach(s, 1)
	f.opus(20 * ms)
	f.pt = 126 // telephone events
	f.opus(20 * ms)
	f.pt = 111
	f.opus(40 * ms)
	s.Flush(40*ms, nil)
	if got := v.numbers(); !slices.Equal(got, []int{0, 1}) {
		t.Errorf("numbers %v", got)
	}
}

func TestPaddingOnlyPacketsAreDropped(t *testing.T) {
	s, f, _ := newVideo(t, 1)
	v := newViewer(t, videoConfig())
	v.attach(s, 1)
	f[0].frame(2, true, 0, ms)
	for range 5 {
		f[0].push(nil, false, ms)
	}
	f[0].frame(2, false, 0, ms)
	s.Flush(ms, nil)
	if got := v.numbers(); !slices.Equal(got, []int{0, 1, 2, 3}) {
		t.Errorf("numbers %v", got)
	}
}

func TestWideGapNeedsAKeyframe(t *testing.T) {
	s, f, asked := newVideo(t, 1)
	v := newViewer(t, videoConfig())
	v.attach(s, 1)
	f[0].frame(2, true, 0, ms)
	s.Flush(ms, nil)
	f[0].seq += 5000
	*asked = 0
	f[0].frame(2, false, 0, 400*ms)
	s.Flush(400*ms, nil)
	if len(v.got) != 2 || *asked == 0 {
		t.Fatalf("%d packets, %d keyframes asked for", len(v.got), *asked)
	}
	f[0].frame(2, true, 0, 500*ms)
	s.Flush(500*ms, nil)
	if got := v.numbers(); !slices.Equal(got, []int{0, 1, 2, 3}) {
		t.Errorf("numbers %v", got)
	}
}

func TestSourceThatStartsAnewIsFollowed(t *testing.T) {
	s, f := newAudio(t)
	f.seq = 1 << 20
	v := newViewer(t, audioConfig())
	v.attach(s, 1)
	f.opus(20 * ms)
	f.seq = 17
	for i := range int64(strayLimit + 10) {
		f.opus(20*ms + 20*ms*i)
		s.Flush(20*ms+20*ms*i, nil)
	}
	if len(v.got) != 11 {
		t.Errorf("%d packets", len(v.got))
	}
	v.continuous()
}

func TestHoldAndCatchup(t *testing.T) {
	s, f, _ := newVideo(t, 1)
	v := newViewer(t, videoConfig())
	v.attach(s, 1)
	now := ms
	f[0].frame(3, true, 0, now)
	s.Flush(now, nil)
	s.Lock()
	v.track.Hold()
	s.Unlock()
	for range 5 {
		now += 33 * ms
		f[0].frame(3, false, 0, now)
		s.Flush(now, nil)
	}
	if len(v.got) != 3 || !v.track.Behind() {
		t.Fatalf("%d packets sent", len(v.got))
	}
	if v.catchup(0, now) != 0 {
		t.Error("sent without a budget")
	}
	for v.track.Behind() {
		v.catchup(500, now)
	}
	now += 33 * ms
	f[0].frame(3, false, 0, now)
	s.Flush(now, nil)
	if len(v.got) != 21 || !slices.IsSorted(v.numbers()) {
		t.Errorf("numbers %v", v.numbers())
	}
	v.continuous()
	for i := 3; i < len(v.got); i += 3 {
		if d := v.got[i].Timestamp - v.got[i-3].Timestamp; d != 3000 {
			t.Errorf("frames are %d ticks apart", d)
		}
	}
}

func TestCatchupJumpsToANewerKeyframe(t *testing.T) {
	s, f, _ := newVideo(t, 1)
	v := newViewer(t, videoConfig())
	v.attach(s, 1)
	now := ms
	f[0].frame(3, true, 0, now)
	s.Flush(now, nil)
	s.Lock()
	v.track.Hold()
	s.Unlock()
	for i := range 30 {
		now += 33 * ms
		f[0].frame(3, i == 20, 0, now)
		s.Flush(now, nil)
	}
	for v.track.Behind() {
		v.catchup(1000, now)
	}
	if len(v.got) != 3+30 || !v.got[3].info.Keyframe {
		t.Errorf("%d packets", len(v.got))
	}
	v.continuous()
	v.monotonic()
}

func TestTrackOvertakenByTheCacheBeginsAnew(t *testing.T) {
	s, f, asked := newVideo(t, 1)
	v := newViewer(t, videoConfig())
	v.attach(s, 1)
	now := ms
	f[0].frame(3, true, 0, now)
	s.Flush(now, nil)
	s.Lock()
	v.track.Hold()
	s.Unlock()
	for range 2000 { // a minute
		now += 33 * ms
		f[0].frame(3, false, 0, now)
		s.Flush(now, nil)
	}
	*asked = 0
	if n := v.catchup(1<<20, now); n != 0 || v.track.Behind() || *asked == 0 {
		t.Errorf("sent %d bytes, behind: %v, keyframes asked for: %d", n, v.track.Behind(), *asked)
	}
	now += 33 * ms
	f[0].frame(3, true, 0, now)
	s.Flush(now, nil)
	if len(v.got) != 6 {
		t.Errorf("%d packets", len(v.got))
	}
	v.continuous()
}

func TestREDMapping(t *testing.T) {
	red := plane.Codec{Name: "red", PayloadType: 63, ClockRate: 48000}
	// Two redundant blocks of 2 and 3 bytes, then the primary.
	payload := []byte{0x80 | 111, 0, 0, 2, 0x80 | 111, 0, 0, 3, 111, 'a', 'a', 'b', 'b', 'b', 'n', 'e', 'w'}
	other := opusCodec
	other.PayloadType = 96
	for _, tt := range []struct {
		name string
		own  []plane.Codec
		pt   uint8
		want string
	}{
		{"subscriber has red", []plane.Codec{opusCodec, {Name: "red", PayloadType: 120, ClockRate: 48000}}, 120, string(payload)},
		{"subscriber has none", []plane.Codec{opusCodec}, 111, "new"},
		{"blocks have another payload type", []plane.Codec{other, red}, 96, "new"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := New(Config{Kind: plane.Audio, Codecs: []plane.Codec{red, opusCodec}, Layers: 1})
			f := &source{t: t, s: s, pt: 63}
			cfg := audioConfig()
			cfg.Codecs = tt.own
			v := newViewer(t, cfg)
			v.attach(s, 1)
			f.push(payload, false, ms)
			f.push([]byte{0x80, 0}, false, ms) // malformed
			s.Flush(ms, nil)
			got := v.got[0]
			if got.PayloadType != tt.pt || string(got.payload) != tt.want {
				t.Errorf("payload type %d: %q, want %d: %q", got.PayloadType, got.payload, tt.pt, tt.want)
			}
		})
	}
}
