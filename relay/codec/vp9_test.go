package codec

import "testing"

func TestVP9SizeInTheFrame(t *testing.T) {
	for _, tt := range []struct {
		name    string
		profile uint32
		color   func(w *bitWriter)
	}{
		{"profile 0", 0, func(w *bitWriter) { w.put(1, 3); w.put(0, 1) }},
		{"profile 1", 1, func(w *bitWriter) { w.put(1, 3); w.put(0, 1); w.put(0, 3) }},
		{"profile 1, RGB", 1, func(w *bitWriter) { w.put(7, 3); w.put(0, 1) }},
		{"profile 2", 2, func(w *bitWriter) { w.put(0, 1); w.put(1, 3); w.put(0, 1) }},
		{"profile 3", 3, func(w *bitWriter) { w.put(1, 1); w.put(1, 3); w.put(0, 1); w.put(0, 3) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var w bitWriter
			w.put(0x08, 8) // descriptor: beginning of a frame and nothing else
			w.put(2, 2)
			w.put(tt.profile&1, 1)
			w.put(tt.profile>>1, 1)
			if tt.profile == 3 {
				w.put(0, 1)
			}
			w.put(0, 2)
			w.put(2, 2)
			w.put(0x498342, 24)
			tt.color(&w)
			w.put(1919, 16)
			w.put(1079, 16)
			var info Info
			Parse(VP9, w.bytes(), &info)
			if !info.Keyframe || info.Width != 1920 || info.Height != 1080 {
				t.Errorf("keyframe %v, %dx%d", info.Keyframe, info.Width, info.Height)
			}
			for n := range w.bytes() { // cut anywhere it is no larger, and nothing is read outside
				Parse(VP9, w.bytes()[:n], &info)
				if n < len(w.bytes())-1 && info.Width != 0 {
					t.Errorf("size %dx%d from %d bytes", info.Width, info.Height, n)
				}
			}
		})
	}
	var info Info
	Parse(VP9, []byte{0x08, 0x88}, &info) // show_existing_frame
	if info.Keyframe {
		t.Error("a frame that shows another is no keyframe")
	}
}
