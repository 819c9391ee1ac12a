package stream

import (
	"bytes"
	"encoding/hex"
	"slices"
	"testing"

	"cardea/relay/codec"
	"cardea/relay/plane"
	"cardea/relay/rtp"
)

// picture is one packet of a layer frame in filter tests.
type picture struct {
	spatial, temporal int8
	key, sync, last   bool // last: end of the picture, with the marker
	flexible          bool
}

// feed shows the filter a sequence of one-packet layer frames, a new timestamp behind every marker, and returns which of
// them are relayed.
func feed(f *filter, stamp *uint32, pictures ...picture) (relayed []bool) {
	for _, x := range pictures {
		p := Packet{Timestamp: *stamp, Marker: x.last, Info: codec.Info{
			Keyframe: x.key, FrameStart: true, FrameEnd: true, Spatial: x.spatial, Temporal: x.temporal, LayerSync: x.sync,
			Flexible: x.flexible,
		}}
		relayed = append(relayed, f.next(&p))
		if x.last {
			*stamp += 3000
		}
	}
	return relayed
}

func TestFilterTemporal(t *testing.T) {
	key := picture{spatial: -1, key: true, last: true}
	tid := func(n int8) picture { return picture{spatial: -1, temporal: n, last: true} }
	sync := func(n int8) picture { return picture{spatial: -1, temporal: n, sync: true, last: true} }
	f := filter{wantSpatial: 3, wantTemporal: 2}
	var stamp uint32
	check := func(name string, want []bool, pictures ...picture) {
		t.Helper()
		if got := feed(&f, &stamp, pictures...); !slices.Equal(got, want) {
			t.Errorf("%s: relayed %v, want %v", name, got, want)
		}
	}
	check("everything behind a keyframe", []bool{true, true, true, true, true}, key, tid(2), tid(1), tid(2), tid(0))
	f.want(3, 0)
	check("down at once", []bool{false, false, false, true}, tid(2), tid(1), tid(2), tid(0))
	f.want(3, 2)
	check("up needs a layer sync", []bool{false, false, true, true}, tid(2), tid(1), sync(2), tid(2))
	if f.needSync {
		t.Error("still waits for a layer sync")
	}
	f.want(3, 1)
	check("down by one", []bool{true, false, true}, tid(1), tid(2), tid(0))
	f.want(3, 2)
	check("no sync in sight", []bool{false, true, false}, tid(2), tid(0), tid(2))
	if !f.needSync {
		t.Error("does not tell that it waits")
	}
	check("a keyframe opens all", []bool{true, true}, key, tid(2))
}

func TestFilterTemporalLeavesFramesWhole(t *testing.T) {
	f := filter{wantSpatial: 3, wantTemporal: 1}
	var stamp uint32
	feed(&f, &stamp, picture{spatial: -1, key: true, last: true})
	part := Packet{Timestamp: stamp, Info: codec.Info{Spatial: -1, Temporal: 1, FrameStart: true}}
	rest := Packet{Timestamp: stamp, Info: codec.Info{Spatial: -1, Temporal: 1}}
	if !f.next(&part) {
		t.Fatal("not relayed")
	}
	f.want(3, 0)
	if !f.next(&rest) {
		t.Error("a frame was cut in two on the way down")
	}
	stamp += 3000
	part.Timestamp, rest.Timestamp = stamp, stamp
	if f.next(&part) {
		t.Fatal("relayed")
	}
	f.want(3, 1)
	rest.Info.LayerSync = true
	if f.next(&rest) {
		t.Error("a frame was cut in two on the way up")
	}
}

func TestFilterSpatialVP9(t *testing.T) {
	full := func(key, flexible bool) []picture {
		return []picture{
			{spatial: 0, key: key, flexible: flexible}, {spatial: 1, flexible: flexible}, {spatial: 2, last: true, flexible: flexible},
		}
	}
	f := filter{wantSpatial: 3, wantTemporal: 7}
	var stamp uint32
	check := func(name string, pictures []picture, want ...bool) {
		t.Helper()
		if got := feed(&f, &stamp, pictures...); !slices.Equal(got, want) {
			t.Errorf("%s: relayed %v, want %v", name, got, want)
		}
	}
	check("keyframe", full(true, true), true, true, true)
	f.want(1, 7)
	check("flexible: down at the next picture", full(false, true), true, true, false)
	f.want(2, 7)
	check("up not without a keyframe", full(false, true), true, true, false)
	if !f.needKey {
		t.Error("no keyframe asked for")
	}
	check("up with a keyframe", full(true, true), true, true, true)
	f.want(0, 7)
	f.needKey = false
	check("not flexible: down not without a keyframe", full(false, false), true, true, true)
	if !f.needKey {
		t.Error("no keyframe asked for")
	}
	check("down with a keyframe", full(true, false), true, false, false)
}

// vp9 makes a VP9 payload in flexible mode: one packet is one layer frame.
func vp9(key, upSwitch bool, spatial, temporal uint8, size int) []byte {
	b := []byte{0x80 | 0x20 | 0x10 | 0x08 | 0x04, 0x80, 1, temporal<<5 | spatial<<1}
	if upSwitch {
		b[3] |= 0x10
	}
	if !key {
		b[0] |= 0x40
		b = append(b, 3<<1)
	}
	if key && spatial == 0 {
		b[0] |= 0x02
		b = append(b, 2<<5|0x10, 1, 64, 0, 180, 2, 128, 1, 104, 5, 0, 2, 208) // 320x180, 640x360, 1280x720
	}
	for len(b) < size {
		b = append(b, 0x82)
	}
	return b
}

func TestVP9SVC(t *testing.T) {
	vp9Codec := plane.Codec{Name: "vp9", PayloadType: 98, ClockRate: 90000}
	asked := 0
	s := New(Config{Kind: plane.Video, Codecs: []plane.Codec{vp9Codec}, Layers: 1, SVC: true, RequestKeyframe: func(int) { asked++ }})
	f := &source{t: t, s: s, pt: 98, ssrc: 1, seq: 100, stamp: 5}
	v := newViewer(t, TrackConfig{Kind: plane.Video, Codecs: []plane.Codec{vp9Codec}, SSRC: 9})
	v.attach(s, 1)
	now := ms
	run := func(n int, key bool) {
		for i := range n {
			for spatial := range uint8(3) {
				k := key && i == 0
				f.push(vp9(k, true, spatial, uint8(i%2), 100*int(spatial+1)), spatial == 2, now)
			}
			f.stamp += 3000
			s.Flush(now, nil)
			now += 33 * ms
		}
	}
	run(30, true)
	if len(v.got) != 90 {
		t.Fatalf("%d packets", len(v.got))
	}
	if _, spatial, temporal := v.track.Current(); spatial != 2 || temporal != 1 {
		t.Errorf("spatial layer %d, temporal layer %d", spatial, temporal)
	}
	st := s.Stats(now)
	if st.Width != 1280 || st.Height != 720 || st.Codec != "vp9" || st.Keyframes != 1 {
		t.Errorf("stats %+v", st)
	}
	offers := v.track.Layers(nil)
	if len(offers) != 6 {
		t.Fatalf("offers %+v", offers)
	}
	for i := 1; i < len(offers); i++ {
		if offers[i].Bitrate <= offers[i-1].Bitrate && offers[i].Temporal != 0 {
			t.Errorf("offers are not in order: %+v", offers)
		}
	}
	s.Lock()
	v.track.SetTarget(-1, -1, 1, 0)
	s.Unlock()
	v.got = v.got[:0]
	run(10, false)
	for _, p := range v.got {
		if p.info.Spatial > 1 || p.info.Temporal > 0 {
			t.Fatalf("layers %d, %d relayed", p.info.Spatial, p.info.Temporal)
		}
		if p.Marker != (p.info.Spatial == 1) {
			t.Fatalf("marker %v on spatial layer %d", p.Marker, p.info.Spatial)
		}
	}
	if len(v.got) != 10 {
		t.Errorf("%d packets", len(v.got))
	}
	s.Lock()
	v.track.SetTarget(-1, -1, 2, -1)
	s.Unlock()
	asked = 0
	run(2, false)
	if asked == 0 {
		t.Error("no keyframe asked for to go up")
	}
	run(2, true)
	if _, spatial, temporal := v.track.Current(); spatial != 2 || temporal != 1 {
		t.Errorf("spatial layer %d, temporal layer %d", spatial, temporal)
	}
	if len(v.seen) != int(v.got[len(v.got)-1].index-minIndex(v))+1 {
		t.Error("numbers are not continuous")
	}
}

func TestAV1SVC(t *testing.T) {
	// Structure L2T1 of the AV1 RTP specification, section A.6.2: template 0 begins, 2 and 3 are the base and upper layer
	// where a receiver may switch, 1 and 4 where it may not.
	structure, err := hex.DecodeString("c00000800108ebaa311450460e002121111100")
	if err != nil {
		t.Fatal(err)
	}
	av1 := plane.Codec{Name: "av1", PayloadType: 98, ClockRate: 90000}
	extensions := []plane.Extension{{ID: 11, URI: plane.ExtDependencyDescriptor}}
	s := New(Config{Kind: plane.Video, Codecs: []plane.Codec{av1}, Extensions: extensions, Layers: 1, SVC: true})
	f := &source{t: t, s: s, pt: 98, ssrc: 1, seq: 100, stamp: 5}
	extensions = []plane.Extension{{ID: 3, URI: plane.ExtDependencyDescriptor}}
	v := newViewer(t, TrackConfig{Kind: plane.Video, Codecs: []plane.Codec{av1}, Extensions: extensions, SSRC: 9})
	v.attach(s, 1)
	now := ms
	frame := func(descriptor []byte, key, last bool) {
		f.ext = func(b []byte) []byte {
			w := rtp.NewExtWriter(b)
			w.Add(11, descriptor)
			return w.End()
		}
		payload := []byte{0x10, 0x30, 1, 2, 3}
		if key {
			payload[0] |= 0x08
		}
		f.push(payload, last, now)
	}
	run := func(n int, key bool) {
		for i := range n {
			if key && i == 0 {
				frame(structure, true, false)
				frame([]byte{0xc3, 0, 1}, false, true)
			} else {
				frame([]byte{0xc1, 0, 2}, false, false)
				frame([]byte{0xc4, 0, 3}, false, true)
			}
			f.stamp += 3000
			s.Flush(now, nil)
			now += 33 * ms
		}
	}
	run(5, true)
	if len(v.got) != 10 {
		t.Fatalf("%d packets", len(v.got))
	}
	if got := v.got[0].Extension(3); !bytes.Equal(got, structure) {
		t.Errorf("descriptor %x", got)
	}
	s.Lock()
	v.track.SetTarget(-1, -1, 0, -1)
	s.Unlock()
	run(5, false)
	if len(v.got) != 15 {
		t.Fatalf("%d packets, want only the base layer's", len(v.got))
	}
	for i, p := range v.got[10:] {
		if !p.Marker || p.Extension(3)[0] != 0xc1 {
			t.Errorf("packet %d: marker %v, template %d", i, p.Marker, p.Extension(3)[0]&0x3f)
		}
	}
	s.Lock()
	v.track.SetTarget(-1, -1, -1, -1)
	s.Unlock()
	run(5, false)
	if len(v.got) != 20 {
		t.Errorf("%d packets: the upper layer came without a keyframe", len(v.got))
	}
	run(5, true)
	if len(v.got) != 30 {
		t.Errorf("%d packets: the upper layer is missing", len(v.got))
	}
	v.continuous()
}

func minIndex(v *viewer) uint64 {
	low := ^uint64(0)
	for i := range v.seen {
		low = min(low, i)
	}
	return low
}

func TestFilterByTargets(t *testing.T) {
	// L1T3 by dependency descriptor: what each quality needs is told, not derived from layer ids.
	all := func(temporal int8) (mask uint32) {
		for n := temporal; n < codec.MaxTemporal; n++ {
			for s := range int8(codec.MaxSpatial) {
				mask |= codec.Target(s, n)
			}
		}
		return mask
	}
	packet := func(stamp uint32, temporal int8, key bool, switches uint32) *Packet {
		return &Packet{Timestamp: stamp, Info: codec.Info{
			Keyframe: key, FrameStart: true, FrameEnd: true, Temporal: temporal, HasTargets: true, Needed: all(temporal), Switch: switches,
		}}
	}
	f := filter{wantSpatial: 3, wantTemporal: 2}
	for i, temporal := range []int8{0, 2, 1, 2} {
		if !f.next(packet(uint32(i), temporal, i == 0, all(0))) {
			t.Fatalf("frame %d is not relayed", i)
		}
	}
	f.want(3, 0)
	if f.next(packet(10, 2, false, 0)) || !f.next(packet(11, 0, false, all(0))) {
		t.Error("not down at once")
	}
	f.want(3, 2)
	if f.next(packet(12, 2, false, 0)) || !f.needSync {
		t.Error("up without a switch indication")
	}
	if !f.next(packet(13, 0, false, all(0))) || !f.next(packet(14, 2, false, 0)) {
		t.Error("not up at a switch indication")
	}
}
