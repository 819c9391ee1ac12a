package synth

import (
	"math"
	"testing"
	"time"

	"cardea/relay/codec"
)

func testVideo(interval time.Duration) *Video {
	return NewVideo(VideoConfig{
		Bitrate: 2_000_000, FPS: 30, KeyframeRatio: 5, KeyframeInterval: interval, KeyframeSpacing: 300 * time.Millisecond,
		Width: 1280, Height: 720, MaxPayload: 1172, Overhead: 28,
	}, int64(time.Second), 7)
}

// TestVP8 reads back, as a server does, what the packets of two frames say.
func TestVP8(t *testing.T) {
	v := testVideo(10 * time.Second)
	var last codec.Info
	for n := range 2 {
		f := v.Next()
		if f.Keyframe != (n == 0) {
			t.Fatalf("frame %d: keyframe %v", n, f.Keyframe)
		}
		if f.Packets < 2 {
			t.Fatalf("frame %d has %d packets; the test needs several", n, f.Packets)
		}
		for i := range f.Packets {
			want := Mark{Run: 0xfeed, Stream: 9, Counter: uint32(100*n + i), Sent: 1 << 40}
			payload := f.AppendPayload(nil, i, want)
			if len(payload) != f.Size(i) || len(payload) > 1172 {
				t.Errorf("frame %d, packet %d: %d bytes, want %d", n, i, len(payload), f.Size(i))
			}
			var info codec.Info
			mark, ok := ReadVP8(payload, &info)
			if !ok || mark != want {
				t.Errorf("frame %d, packet %d: mark %+v %v", n, i, mark, ok)
			}
			if info.FrameStart != (i == 0) || info.Keyframe != (n == 0 && i == 0) || info.Temporal != 0 || info.PictureBits != 15 || !info.HasTL0 {
				t.Errorf("frame %d, packet %d: %+v", n, i, info)
			}
			if info.Keyframe && (info.Width != 1280 || info.Height != 720) {
				t.Errorf("size %d x %d", info.Width, info.Height)
			}
			switch same := info.PictureID == last.PictureID && info.TL0 == last.TL0; {
			case i > 0 && !same:
				t.Errorf("frame %d, packet %d: picture %d, TL0PICIDX %d in a frame of %d, %d", n, i, info.PictureID, info.TL0, last.PictureID, last.TL0)
			case i == 0 && n > 0 && (info.PictureID != (last.PictureID+1)&0x7fff || info.TL0 != last.TL0+1):
				t.Errorf("picture %d, TL0PICIDX %d after %d, %d", info.PictureID, info.TL0, last.PictureID, last.TL0)
			}
			last = info

			codec.RewriteVP8(payload, 0x1234, 0x56)
			if mark, ok := ReadVP8(payload, &info); !ok || mark != want || info.PictureID != 0x1234 || info.TL0 != 0x56 {
				t.Errorf("rewritten as servers do: %+v %v %+v", mark, ok, info)
			}
		}
		if d := f.Size(0) - f.Size(f.Packets-1); d < 0 || d > 1 {
			t.Errorf("sizes differ by %d", d)
		}
	}
}

// TestBitrate lets two minutes pass.
func TestBitrate(t *testing.T) {
	for _, asked := range []bool{false, true} {
		v := testVideo(10 * time.Second)
		bytes, frames, packets := 0, 0, 0
		for v.Due() < int64(121*time.Second) {
			if asked && frames%45 == 0 {
				v.RequestKeyframe()
			}
			f := v.Next()
			frames++
			for i := range f.Packets {
				bytes += f.Size(i) + 28
				packets++
			}
		}
		if rate := float64(8*bytes) / 120; math.Abs(rate-2e6) > 0.02*2e6 {
			t.Errorf("%.0f bit/s", rate)
		}
		if frames != 3600 {
			t.Errorf("%d frames in 120 s", frames)
		}
		want := 12
		if asked {
			want = 80
		}
		if got := v.Keyframes(); got < want || got > want+1 {
			t.Errorf("%d keyframes, want %d", got, want)
		}
	}
}

func TestKeyframeSpacing(t *testing.T) {
	v := testVideo(0)
	var keys []time.Duration
	for v.Due() < int64(4*time.Second) {
		v.RequestKeyframe()
		due := v.Due()
		if v.Next().Keyframe {
			keys = append(keys, time.Duration(due))
		}
	}
	if len(keys) != 10 { // one every 300 ms of 3 s
		t.Fatalf("keyframes at %v", keys)
	}
	for i, k := range keys[1:] {
		if k-keys[i] < 299*time.Millisecond {
			t.Errorf("keyframes at %v", keys)
		}
	}
}

// TestSplit holds the bounds on packets for all sizes, small ones too.
func TestSplit(t *testing.T) {
	for _, overhead := range []int{0, 28} {
		for bytes := range 20_000 {
			var f Frame
			f.split(bytes, 1000, overhead)
			total := 0
			for i := range f.Packets {
				total += f.Size(i) + overhead
				if f.Size(i) > 1000 || f.Size(i) < MinPayload {
					t.Fatalf("%d bytes: packet of %d", bytes, f.Size(i))
				}
			}
			if want := max(bytes, f.Packets*(MinPayload+overhead)); total != want {
				t.Fatalf("%d bytes became %d", bytes, total)
			}
		}
	}
}

func TestOpus(t *testing.T) {
	a := NewAudio(500, 3)
	first, _ := a.Next()
	if a.Due() != 500+int64(AudioPeriod) {
		t.Errorf("next due at %d", a.Due())
	}
	voice := map[bool]int{}
	for n := uint32(1); n < 300; n++ {
		stamp, level := a.Next()
		if stamp != first+960*n {
			t.Fatalf("timestamp %d of packet %d after %d", stamp, n, first)
		}
		if talks := level&0x80 != 0; talks && level&0x7f > 60 || !talks && level != 127 {
			t.Fatalf("level %#x", level)
		}
		voice[level&0x80 != 0]++
	}
	if voice[true] < 150 || voice[false] < 90 {
		t.Errorf("talks and listens: %v", voice)
	}
	want := Mark{1, 2, 3, 4}
	if got, ok := ReadOpus(AppendOpus(nil, want)); !ok || got != want {
		t.Errorf("mark %+v %v", got, ok)
	}
}

// TestPacer sends a frame and a keyframe in virtual time.
func TestPacer(t *testing.T) {
	p := NewPacer(2_000_000)
	const size = 1190
	var bursts []int
	now := int64(time.Hour)
	for left := 7; left > 0; now += int64(time.Millisecond) {
		if !p.Begin(now) {
			continue
		}
		n := 0
		for left > 0 && p.Take(size) {
			n++
			left--
		}
		bursts = append(bursts, n)
	}
	// 5 Mbit/s for 5 ms are 3,125 bytes: the third packet begins within them.
	if len(bursts) != 3 || bursts[0] != 3 || bursts[1] < 2 || bursts[1] > 3 {
		t.Errorf("7 packets left in bursts of %v", bursts)
	}

	now += int64(time.Second) // an idle second earns no credit
	sent, start := 0, now
	for ; now < start+int64(time.Second); now += int64(time.Millisecond) {
		if p.Begin(now) {
			for p.Take(size) {
				sent += size
			}
		}
	}
	if rate := 8 * sent; math.Abs(float64(rate)-5e6) > 0.02*5e6 {
		t.Errorf("a backlog leaves at %d bit/s, want 2.5 times 2,000,000", rate)
	}
}

// FuzzRead must not panic, nor find marks that were not made.
func FuzzRead(f *testing.F) {
	v := testVideo(0)
	frame := v.Next()
	f.Add(frame.AppendPayload(nil, 0, Mark{}))
	f.Add(frame.AppendPayload(nil, 1, Mark{}))
	f.Add(AppendOpus(nil, Mark{}))
	f.Add([]byte{0x80})
	f.Fuzz(func(t *testing.T, b []byte) {
		var info codec.Info
		if _, ok := ReadVP8(b, &info); ok && len(b) < descriptorLen+MarkLen {
			t.Error("mark in a payload too short for one")
		}
		if _, ok := ReadOpus(b); ok && len(b) < opusHeader+MarkLen {
			t.Error("mark in a payload too short for one")
		}
	})
}
