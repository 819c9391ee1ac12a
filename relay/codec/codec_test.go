package codec

import (
	"encoding/hex"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestNames(t *testing.T) {
	for _, f := range []Format{Opus, RED, PCMU, PCMA, G722, VP8, VP9, H264, H265, AV1} {
		if got := ByName(f.String()); got != f {
			t.Errorf("ByName(%q) = %v", f.String(), got)
		}
	}
	for _, name := range []string{"", "l16", "multiopus", "VP8"} {
		if got := ByName(name); got != Other {
			t.Errorf("ByName(%q) = %v", name, got)
		}
	}
	for f, want := range map[Format]bool{Opus: false, RED: false, Other: false, VP8: true, VP9: true, H264: true, H265: true, AV1: true} {
		if f.Keyed() != want {
			t.Errorf("%v keyed: %v", f, !want)
		}
	}
}

func TestParse(t *testing.T) {
	tests := []struct {
		name   string
		format Format
		hex    string
		want   Info
	}{
		{"opus", Opus, "7c0102", Info{Temporal: -1, Spatial: -1}},
		{"empty", VP8, "", Info{Temporal: -1, Spatial: -1}},

		{
			"vp8 bare keyframe, 640x480", VP8, "10 d0020 0 9d012a 8002 e001",
			Info{Keyframe: true, FrameStart: true, Temporal: -1, Spatial: -1, Width: 640, Height: 480},
		},
		{
			"vp8 scaled size", VP8, "10 100000 9d012a 8042 e0c1",
			Info{Keyframe: true, FrameStart: true, Temporal: -1, Spatial: -1, Width: 640, Height: 480},
		},
		{"vp8 interframe", VP8, "10 31", Info{FrameStart: true, Temporal: -1, Spatial: -1}},
		{"vp8 continued", VP8, "00 10", Info{Temporal: -1, Spatial: -1}},
		{"vp8 second partition", VP8, "11 10", Info{Temporal: -1, Spatial: -1}},
		{
			"vp8 15-bit picture, tl0, tid 2 with sync", VP8, "b0 f0 9234 07 a5 11",
			Info{FrameStart: true, Discardable: true, LayerSync: true, Temporal: 2, Spatial: -1, PictureBits: 15, PictureID: 0x1234, HasTL0: true, TL0: 7},
		},
		{"vp8 7-bit picture", VP8, "90 80 7f 11", Info{FrameStart: true, Temporal: -1, Spatial: -1, PictureBits: 7, PictureID: 0x7f}},
		{"vp8 keyidx alone is no tid", VP8, "90 10 c5 11", Info{FrameStart: true, Temporal: -1, Spatial: -1}},
		{"vp8 cut short", VP8, "90 f0 92", Info{Temporal: -1, Spatial: -1}},

		{
			"vp9 keyframe with structure", VP9, "8a 8123 18 0500 02d0 01 04 03 82498342",
			Info{Keyframe: true, FrameStart: true, Temporal: -1, Spatial: -1, PictureBits: 15, PictureID: 0x123, Width: 1280, Height: 720},
		},
		{
			"vp9 keyframe, size in the frame", VP9, "88 7f 82 49 83 42 00 4ff0 2cf0",
			Info{Keyframe: true, FrameStart: true, Temporal: -1, Spatial: -1, PictureBits: 7, PictureID: 0x7f, Width: 1280, Height: 720},
		},
		{"vp9 intra-only frame", VP9, "88 05 86", Info{FrameStart: true, Temporal: -1, Spatial: -1, PictureBits: 7, PictureID: 5}},
		{"vp9 encrypted keyframe", VP9, "88 05 31", Info{Keyframe: true, FrameStart: true, Temporal: -1, Spatial: -1, PictureBits: 7, PictureID: 5}},
		{
			"vp9 three layers, base of a keyframe", VP9, "ae 8001 00 07 58 0140 00b4 0280 0168 0500 02d0 01 00 82498342",
			Info{Keyframe: true, FrameStart: true, FrameEnd: true, Temporal: 0, Spatial: 0, PictureBits: 15, PictureID: 1, HasTL0: true, TL0: 7, Width: 1280, Height: 720},
		},
		{
			"vp9 upper layer of the keyframe", VP9, "ac 8001 05 07 82",
			Info{FrameStart: true, FrameEnd: true, Temporal: 0, Spatial: 2, PictureBits: 15, PictureID: 1, HasTL0: true, TL0: 7},
		},
		{
			"vp9 flexible, predicted from two", VP9, "fc 8001 52 03 04 82",
			Info{FrameStart: true, FrameEnd: true, LayerSync: true, Flexible: true, Temporal: 2, Spatial: 1, PictureBits: 15, PictureID: 1},
		},
		{"vp9 spatial id out of bounds", VP9, "a8 01 0e 00 82", Info{FrameStart: true, Temporal: 0, Spatial: -1, PictureBits: 7, PictureID: 1, HasTL0: true, Keyframe: true}},
		{"vp9 structure cut short", VP9, "8a 01 b8 0500", Info{FrameStart: true, Temporal: -1, Spatial: -1, PictureBits: 7, PictureID: 1}},

		// Parameters as libx264 writes them for 1280x720, high profile.
		{
			"h264 sps", H264, "67 64001f acd940 5005bb 011000 000300 100000 0303c0 f18319 60",
			Info{Keyframe: true, Temporal: -1, Spatial: -1, Width: 1280, Height: 720},
		},
		// Constrained baseline, 640x360 (cropped from 640x368).
		{"h264 stap with cropped sps", H264, "78 000c 6742c01e d900 a02ff970 1100 0004 68cb83cb", Info{Keyframe: true, Temporal: -1, Spatial: -1, Width: 640, Height: 360}},
		{"h264 stap without sps", H264, "78 0002 6811 0002 6511", Info{Temporal: -1, Spatial: -1}},
		{"h264 idr alone", H264, "65 8884", Info{Temporal: -1, Spatial: -1}},
		{"h264 first fragment of sps", H264, "7c 87 42", Info{Keyframe: true, Temporal: -1, Spatial: -1}},
		{"h264 later fragment of sps", H264, "7c 07 42", Info{Temporal: -1, Spatial: -1}},
		{"h264 not referenced", H264, "01 9a", Info{Discardable: true, Temporal: -1, Spatial: -1}},

		{"h265 vps", H265, "4001 0c01", Info{Keyframe: true, Temporal: -1, Spatial: -1}},
		{"h265 idr", H265, "2601 af", Info{Keyframe: true, Temporal: -1, Spatial: -1}},
		{"h265 trail", H265, "0201 d0", Info{Temporal: -1, Spatial: -1}},
		{"h265 aggregate with sps", H265, "6001 0002 0201 0003 420101", Info{Keyframe: true, Temporal: -1, Spatial: -1}},
		{"h265 aggregate without", H265, "6001 0002 0201 0002 0201", Info{Temporal: -1, Spatial: -1}},
		{"h265 first fragment of cra", H265, "6201 95", Info{Keyframe: true, Temporal: -1, Spatial: -1}},
		{"h265 later fragment of cra", H265, "6201 15", Info{Temporal: -1, Spatial: -1}},

		{"av1 new sequence", AV1, "18 30 00", Info{Keyframe: true, Temporal: -1, Spatial: -1}},
		{"av1 continued", AV1, "90 11", Info{Temporal: -1, Spatial: -1}},
		{"av1 delta", AV1, "10 30", Info{Temporal: -1, Spatial: -1}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got Info
			Parse(tt.format, unhex(t, tt.hex), &got)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestAV1Size(t *testing.T) {
	var w bitWriter
	w.put(0, 3) // seq_profile
	w.put(0, 2) // still_picture, reduced_still_picture_header
	w.put(0, 2) // timing_info_present_flag, initial_display_delay_present_flag
	w.put(1, 5) // two operating points
	w.put(0x103, 12)
	w.put(9, 5) // level above 7: a tier follows
	w.put(0, 1)
	w.put(0x101, 12)
	w.put(5, 5)
	w.put(10, 4) // 11 bits of width
	w.put(9, 4)
	w.put(1279, 11)
	w.put(719, 10)
	sequence := w.bytes()
	for _, tt := range []struct {
		name    string
		payload []byte
	}{
		{"only element", append([]byte{0x18, 0x08}, sequence...)},
		{"first of two, with a length", append(append([]byte{0x28, byte(1 + len(sequence)), 0x08}, sequence...), 0x30, 1, 2, 3)},
		{"behind a temporal delimiter, own sizes", append([]byte{0x28, 2, 0x12, 0, 0x0a, byte(len(sequence))}, sequence...)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var info Info
			Parse(AV1, tt.payload, &info)
			if !info.Keyframe || info.Width != 1280 || info.Height != 720 {
				t.Errorf("keyframe %v, %dx%d", info.Keyframe, info.Width, info.Height)
			}
		})
	}
}

func TestRewriteVP8(t *testing.T) {
	for _, tt := range []struct {
		name, in, want string
		picture        uint16
		tl0            uint8
	}{
		{"15 bits", "90 e0 8001 05 00 11", "90 e0 ffff 09 00 11", 0x7fff, 9},
		{"7 bits keep 7", "90 c0 05 05 11", "90 c0 34 09 11", 0x1234, 9},
		{"no picture", "90 60 05 00 11", "90 60 09 00 11", 0x1234, 9},
		{"no extension", "10 11", "10 11", 0x1234, 9},
		{"cut short", "90 e0 80", "90 e0 80", 0x1234, 9},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := unhex(t, tt.in)
			RewriteVP8(b, tt.picture, tt.tl0)
			if diff := cmp.Diff(unhex(t, tt.want), b); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestPrimaryBlock(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		pt       uint8
		data     string
		ok       bool
	}{
		{"primary only", "6f 6161", 111, "aa", true},
		{"one redundant", "ef 003c02 6f 6262 6161", 111, "aa", true},
		{"empty primary", "ef 003c02 6f 6262", 111, "", true},
		{"redundant runs over", "ef 003c03 6f 6262", 0, "", false},
		{"header cut short", "ef 003c", 0, "", false},
		{"nothing", "", 0, "", false},
		{"no primary header", "ef 003c00", 0, "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			pt, data, ok := PrimaryBlock(unhex(t, tt.in))
			if pt != tt.pt || string(data) != tt.data || ok != tt.ok {
				t.Errorf("%d, %q, %v", pt, data, ok)
			}
		})
	}
}

func TestParseAllocatesNothing(t *testing.T) {
	payloads := map[Format][]byte{
		VP8:  unhex(t, "b0 f0 9234 07 a5 11"),
		VP9:  unhex(t, "ae 8001 00 07 58 0140 00b4 0280 0168 0500 02d0 01 00 82498342"),
		H264: unhex(t, "67 64001f acd940 5005bb 011000 000300 100000 0303c0 f18319 60"),
		H265: unhex(t, "6001 0002 0201 0003 420101"),
		AV1:  unhex(t, "18 08 00000042 65 3f d99f"),
	}
	var info Info
	if n := testing.AllocsPerRun(100, func() {
		for f, b := range payloads {
			Parse(f, b, &info)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
