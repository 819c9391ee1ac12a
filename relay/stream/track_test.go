package stream

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cardea/relay/plane"
)

func TestAudioFlowsAtOnce(t *testing.T) {
	s, f := newAudio(t)
	v := newViewer(t, audioConfig())
	for i := range 5 {
		f.opus(int64(i+1) * 20 * ms)
	}
	s.Flush(100*ms, nil)
	v.attach(s, 101*ms)
	if v.track.Behind() {
		t.Fatal("sound is replayed")
	}
	for i := range 10 {
		f.opus(int64(i+6) * 20 * ms)
		s.Flush(int64(i+6)*20*ms, nil)
	}
	if len(v.got) != 10 {
		t.Fatalf("%d packets", len(v.got))
	}
	v.continuous()
	for i := 1; i < len(v.got); i++ {
		if d := v.got[i].Timestamp - v.got[i-1].Timestamp; d != 960 {
			t.Errorf("timestamp step %d", d)
		}
	}
	if v.got[0].index >= 1<<15 {
		t.Errorf("first number %d has more than 15 bits", v.got[0].index)
	}
}

func TestPicturesBeginAtKeyframe(t *testing.T) {
	s, f, asked := newVideo(t, 1)
	v := newViewer(t, videoConfig())
	v.attach(s, 1)
	if *asked == 0 {
		t.Error("no keyframe asked for")
	}
	now := 10 * ms
	for i := range 6 {
		f[0].frame(3, i == 3, 0, now)
		s.Flush(now, nil)
		now += 33 * ms
	}
	if len(v.got) != 9 || !v.got[0].info.Keyframe {
		t.Fatalf("%d packets, first is keyframe: %v", len(v.got), len(v.got) > 0 && v.got[0].info.Keyframe)
	}
	v.continuous()
	v.monotonic()
}

func TestLateJoinerIsReplayedTheKeyframe(t *testing.T) {
	s, f, asked := newVideo(t, 1)
	now := 10 * ms
	for i := range 20 {
		f[0].frame(3, i == 2, 0, now)
		s.Flush(now, nil)
		now += 33 * ms
	}
	v := newViewer(t, videoConfig())
	v.attach(s, now)
	if !v.track.Behind() {
		t.Fatal("nothing to catch up with")
	}
	if *asked != 0 {
		t.Errorf("%d keyframes asked for in spite of the kept one", *asked)
	}
	// Live packets wait while the track is behind, and come in order after the others.
	f[0].frame(3, false, 0, now)
	s.Flush(now, nil)
	if len(v.got) != 0 {
		t.Fatal("live packet overtook the keyframe")
	}
	sent := v.catchup(1500, now)
	if sent < 1500 || sent > 2000 || !v.track.Behind() {
		t.Errorf("sent %d bytes of a budget of 1500, behind: %v", sent, v.track.Behind())
	}
	for v.track.Behind() {
		v.catchup(4000, now)
	}
	for range 4 {
		now += 33 * ms
		f[0].frame(3, false, 0, now)
		s.Flush(now, nil)
	}
	if len(v.got) != 3*23 {
		t.Fatalf("%d packets, want from the keyframe on", len(v.got))
	}
	if !v.got[0].info.Keyframe {
		t.Error("first packet is no keyframe")
	}
	v.continuous()
	v.monotonic()
	// What is live again is not early: the replayed second took little of the clock.
	if d := int32(v.got[3*18-1].Timestamp - v.got[0].Timestamp); d < 0 || d > 9000 {
		t.Errorf("replayed frames span %d ticks", d)
	}
	if d := v.got[3*23-1].Timestamp - v.got[3*22-1].Timestamp; d != 3000 {
		t.Errorf("live frames are %d ticks apart", d)
	}
}

func TestOldKeyframeIsNotReplayed(t *testing.T) {
	for _, tt := range []struct {
		name   string
		frames int
		size   int
		lose   bool
	}{
		{"older than a second", 40, 3, false},
		{"hole behind it", 20, 3, true},
		{"larger than 512 KB", 20, 200, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, f, asked := newVideo(t, 1)
			now := 10 * ms
			for i := range tt.frames {
				if tt.lose && i == 5 {
					f[0].seq++
				}
				f[0].frame(tt.size, i == 0, 0, now)
				s.Flush(now, nil)
				now += 33 * ms
			}
			v := newViewer(t, videoConfig())
			v.attach(s, now)
			if v.track.Behind() || *asked == 0 {
				t.Errorf("behind: %v, keyframes asked for: %d", v.track.Behind(), *asked)
			}
		})
	}
}

func TestSwitchOfSource(t *testing.T) {
	a, fa, _ := newVideo(t, 1)
	b, fb, _ := newVideo(t, 1)
	fb[0].stamp, fb[0].seq, fb[0].picture = 4_000_000_000, 40, 0x7ffe
	v := newViewer(t, videoConfig())
	v.attach(a, 1)
	now := 10 * ms
	for i := range 5 {
		fa[0].frame(2, i == 0, 0, now)
		a.Flush(now, nil)
		now += 33 * ms
	}
	v.attach(b, now)
	for i := range 5 {
		fb[0].frame(2, i == 1, 0, now)
		b.Flush(now, nil)
		now += 33 * ms
	}
	if len(v.got) != 18 {
		t.Fatalf("%d packets", len(v.got))
	}
	v.continuous()
	v.monotonic()
	// The first picture of b came two frames after the last of a.
	if d := v.got[10].Timestamp - v.got[9].Timestamp; d < 5900 || d > 6000 {
		t.Errorf("timestamp advanced by %d ticks over 66 ms", d)
	}
	for i := 1; i < len(v.got); i++ {
		was, is := v.got[i-1].info, v.got[i].info
		if d := (is.PictureID - was.PictureID) & 0x7fff; d > 1 {
			t.Errorf("packet %d: picture %d after %d", i, is.PictureID, was.PictureID)
		}
		if d := is.TL0 - was.TL0; d > 1 {
			t.Errorf("packet %d: TL0PICIDX %d after %d", i, is.TL0, was.TL0)
		}
	}
}

func TestSwitchOfEncoder(t *testing.T) {
	// The source's SSRC changes in the middle: its numbers and timestamps are continued by whoever feeds the stream, its
	// picture ids are not.
	s, f, _ := newVideo(t, 1)
	v := newViewer(t, videoConfig())
	v.attach(s, 1)
	now := ms
	for i := range 6 {
		if i == 3 {
			f[0].ssrc, f[0].picture, f[0].tl0 = 4711, 9999, 99
		}
		f[0].frame(2, i%3 == 0, 0, now)
		s.Flush(now, nil)
		now += 33 * ms
	}
	v.continuous()
	v.monotonic()
	for i := 2; i < len(v.got); i += 2 {
		was, is := v.got[i-2].info, v.got[i].info
		if is.PictureID != was.PictureID+1 || is.TL0 != was.TL0+1 {
			t.Errorf("picture %d, TL0PICIDX %d after %d, %d", is.PictureID, is.TL0, was.PictureID, was.TL0)
		}
	}
}

func TestClockRateIsThatOfTheCodecSent(t *testing.T) {
	pcmu := plane.Codec{Name: "pcmu", PayloadType: 0, ClockRate: 8000}
	s := New(Config{Kind: plane.Audio, Codecs: []plane.Codec{pcmu}, Layers: 1})
	cfg := audioConfig()
	cfg.Codecs = []plane.Codec{opusCodec, pcmu}
	v := newViewer(t, cfg)
	v.attach(s, 1)
	f := &source{t: t, s: s, stamp: 800}
	f.push(make([]byte, 160), false, ms)
	s.Flush(ms, nil)
	a, _, _, _ := v.track.SenderInfo(ms, 0)
	b, _, _, _ := v.track.SenderInfo(1001*ms, 0)
	if b-a != 8000 {
		t.Errorf("the clock runs at %d ticks/s", b-a)
	}
}

func TestPause(t *testing.T) {
	s, f, asked := newVideo(t, 1)
	v := newViewer(t, videoConfig())
	v.attach(s, 1)
	now := 10 * ms
	send := func(n int, key bool) {
		for i := range n {
			f[0].frame(2, key && i == 0, 0, now)
			s.Flush(now, nil)
			now += 33 * ms
		}
	}
	send(3, true)
	s.Lock()
	v.track.SetPaused(true, now)
	s.Unlock()
	send(60, true)
	*asked = 0
	s.Lock()
	v.track.SetPaused(false, now)
	s.Unlock()
	if *asked == 0 {
		t.Error("no keyframe asked for")
	}
	send(2, false)
	send(2, true)
	if len(v.got) != 10 {
		t.Fatalf("%d packets", len(v.got))
	}
	v.continuous()
	if d := v.got[6].Timestamp - v.got[5].Timestamp; d != 63*3000 {
		t.Errorf("timestamp advanced by %d ticks over the pause", d)
	}
}

func TestMuted(t *testing.T) {
	s, f, asked := newVideo(t, 1)
	v := newViewer(t, videoConfig())
	v.attach(s, 1)
	now := 10 * ms
	send := func(n int, key bool) {
		for i := range n {
			f[0].frame(2, key && i == 0, 0, now)
			s.Flush(now, nil)
			now += 33 * ms
		}
	}
	send(3, true)
	s.SetMuted(true)
	send(5, false)
	*asked = 0
	s.SetMuted(false)
	if *asked != 1 {
		t.Errorf("%d keyframes asked for", *asked)
	}
	send(2, false) // not decodable
	send(2, true)
	if len(v.got) != 10 || !v.got[6].info.Keyframe {
		t.Fatalf("%d packets", len(v.got))
	}
	v.continuous()
	v.monotonic()
}

func TestDetachedTrackTakesNothing(t *testing.T) {
	s, f := newAudio(t)
	v := newViewer(t, audioConfig())
	s.AddSink(v)
	f.opus(ms)
	s.Flush(ms, nil)
	if len(v.got) != 0 {
		t.Error("packet without a stream")
	}
	if _, _, _, ok := v.track.SenderInfo(ms, 1); ok {
		t.Error("sender info without a stream")
	}
	if _, _, _, _, ok := v.track.AppendRetransmission(nil, 1, Stamp{}, ms, 0); ok {
		t.Error("retransmission without a stream")
	}
	v.track.RequestKeyframe(ms)
	v.track.Hold()
	if v.track.Behind() || v.track.Layers(nil) != nil {
		t.Error("detached track claims a stream")
	}
}

func TestClosedStream(t *testing.T) {
	s, f, _ := newVideo(t, 1)
	v := newViewer(t, videoConfig())
	v.attach(s, 1)
	f[0].frame(3, true, 0, ms)
	s.Flush(ms, nil)
	s.Close()
	f[0].frame(3, true, 0, 2*ms)
	s.Flush(2*ms, nil)
	if len(v.got) != 3 || s.Sinks() != 0 {
		t.Errorf("%d packets, %d sinks", len(v.got), s.Sinks())
	}
	s.Lock()
	defer s.Unlock()
	if _, _, _, _, ok := v.track.AppendRetransmission(make([]byte, 2000), v.got[0].SequenceNumber, Stamp{}, ms, 0); ok {
		t.Error("closed stream sends again")
	}
	v.track.Hold()
	if v.track.Catchup(1000, 3*ms, func(*Packet) {}) != 0 {
		t.Error("closed stream has something to catch up with")
	}
}

func TestSenderInfoKeepsLipsTogether(t *testing.T) {
	// Two layers with unrelated clocks, both reported against the node's: the outgoing clock must stay on the same line
	// whichever layer flows.
	s, f, _ := newVideo(t, 2)
	const start = uint64(1) << 40
	ntp := func(now int64) uint64 { return start + uint64(now)<<32/uint64(time.Second) }
	origin := [2]uint32{f[0].stamp, f[1].stamp}
	v := newViewer(t, videoConfig())
	v.track.SetTarget(0, -1, -1, -1)
	v.attach(s, 1)
	now := 100 * ms
	for i := range 2 {
		s.SenderReport(i, ntp(now), origin[i], now)
	}
	send := func(n int, key bool) {
		for i := range n {
			f[0].frame(2, key && i == 0, 0, now+7*ms) // the network takes its time
			f[1].frame(2, key && i == 0, 0, now+31*ms)
			s.Flush(now+31*ms, nil)
			now += int64(time.Second) / 30
		}
	}
	send(10, true)
	rtp, packets, octets, ok := v.track.SenderInfo(now, ntp(now))
	if !ok || packets != 20 || octets != 20*200 {
		t.Fatalf("sender info: %d packets, %d bytes, ok %v", packets, octets, ok)
	}
	if d := int32(rtp - v.got[len(v.got)-1].Timestamp); d < 2990 || d > 3010 {
		t.Errorf("reported time is %d ticks after the last frame, want 3000", d)
	}
	s.Lock()
	v.track.SetTarget(1, -1, -1, -1)
	s.Unlock()
	send(10, true)
	if sub, _, _ := v.track.Current(); sub != 1 {
		t.Fatalf("substream %d", sub)
	}
	after, _, _, _ := v.track.SenderInfo(now, ntp(now))
	if d := int32(after-rtp) - 10*3000; d < -10 || d > 10 {
		t.Errorf("the outgoing clock moved by %d ticks with the switch", d)
	}
	v.monotonic()
}

func TestTrackConfigure(t *testing.T) {
	s, f := newAudio(t)
	v := newViewer(t, audioConfig())
	v.attach(s, 1)
	f.opus(20 * ms)
	s.Flush(20*ms, nil)
	cfg := audioConfig()
	cfg.Codecs = []plane.Codec{{Name: "opus", PayloadType: 63, ClockRate: 48000}}
	cfg.Extensions = []plane.Extension{{ID: 4, URI: plane.ExtMid}}
	s.Lock()
	v.track.Configure(cfg)
	_, _, _, _, ok := v.track.AppendRetransmission(make([]byte, 2000), v.got[0].SequenceNumber, Stamp{}, 30*ms, 0)
	s.Unlock()
	if ok {
		t.Error("a packet was made again with other bytes")
	}
	f.opus(40 * ms)
	s.Flush(40*ms, nil)
	v.continuous()
	if got := v.got[1]; got.PayloadType != 63 || string(got.Extension(4)) != "0" {
		t.Errorf("payload type %d, mid %q", got.PayloadType, got.Extension(4))
	}
	if diff := cmp.Diff(cfg, v.track.Config()); diff != "" {
		t.Error(diff)
	}
}
