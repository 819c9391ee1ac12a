package codec

import (
	"bytes"
	"testing"
)

// FuzzParse feeds every format's parser, and checks what callers rely on.
func FuzzParse(f *testing.F) {
	for format, seeds := range map[Format][]string{
		VP8:  {"b0f0923407a511", "10d00209d012a8002e001", "90f092"},
		VP9:  {"ae80010007580140 00b402800168050002d0010082498342", "fc800152030482", "8a01b80500", "887f824983420004ff02cf0"},
		H264: {"6764001facd9405005bb011000000300100000 0303c0f1831960", "78000c6742c01ed900a02ff9701100000468cb83cb", "7c8742"},
		H265: {"6001000202010003420101", "620195"},
		AV1:  {"18080000004265 3fd99f", "280b0800000042653fd99f30"},
		RED:  {"ef003c026f62626161"},
	} {
		for _, seed := range seeds {
			if len(seed)%2 == 0 {
				f.Add(uint8(format), unhex(f, seed))
			}
		}
	}
	f.Fuzz(func(t *testing.T, format uint8, b []byte) {
		in := bytes.Clone(b)
		var info Info
		Parse(Format(format%11), b, &info)
		PrimaryBlock(b)
		if !bytes.Equal(in, b) {
			t.Fatal("the payload was changed")
		}
		if info.Spatial < -1 || info.Spatial >= MaxSpatial || info.Temporal < -1 || info.Temporal >= MaxTemporal {
			t.Fatalf("layers out of bounds: %+v", info)
		}
		if info.PictureBits == 7 && info.PictureID > 0x7f || info.PictureID > 0x7fff {
			t.Fatalf("picture id out of bounds: %+v", info)
		}
		var vp8, again Info
		Parse(VP8, b, &vp8)
		RewriteVP8(b, 0x1234, 0x56)
		Parse(VP8, b, &again)
		if vp8.PictureBits != again.PictureBits || vp8.Keyframe != again.Keyframe || vp8.Temporal != again.Temporal {
			t.Fatalf("rewriting changed more than the numbers: %+v, %+v", vp8, again)
		}
		if again.PictureBits == 15 && again.PictureID != 0x1234 || again.HasTL0 && again.TL0 != 0x56 {
			t.Fatalf("numbers not rewritten: %+v", again)
		}
	})
}

// FuzzDescriptor feeds a sequence of descriptors, each with a length byte before it, that share a structure.
func FuzzDescriptor(f *testing.F) {
	add := func(descriptors ...[]byte) {
		var b []byte
		for _, d := range descriptors {
			b = append(append(b, byte(len(d))), d...)
		}
		f.Add(b)
	}
	add(testDescriptor{start: true, template: 60, structure: &l1t3}.bytes(), testDescriptor{template: 62}.bytes())
	add(testDescriptor{start: true, structure: &l2t1, active: 2, targets: 2}.bytes(), testDescriptor{template: 1, dtis: "-S"}.bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		var s Structure
		for len(b) > 0 {
			n := min(int(b[0]), len(b)-1)
			info := Info{Temporal: -1, Spatial: -1}
			s.Describe(b[1:1+n], &info)
			if info.Spatial < -1 || info.Spatial >= MaxSpatial || info.Temporal < -1 || info.Temporal >= MaxTemporal {
				t.Fatalf("layers out of bounds: %+v", info)
			}
			if info.Switch&^info.Needed != 0 {
				t.Fatal("switch at a frame that is not needed")
			}
			b = b[1+n:]
		}
	})
}
