package codec

import "testing"

func (w *bitWriter) golomb(v uint32) {
	bits := 0
	for x := v + 1; x > 1; x >>= 1 {
		bits++
	}
	w.put(0, bits)
	w.put(v+1, bits+1)
}

// escaped returns the bits with emulation prevention bytes.
func (w *bitWriter) escaped() (b []byte) {
	zeros := 0
	for _, c := range w.b {
		if zeros >= 2 && c <= 3 {
			b = append(b, 3)
			zeros = 0
		}
		if b = append(b, c); c == 0 {
			zeros++
		} else {
			zeros = 0
		}
	}
	return b
}

func TestH264Size(t *testing.T) {
	for _, tt := range []struct {
		name          string
		write         func(w *bitWriter)
		width, height uint16
		ok            bool
	}{
		{"baseline", func(w *bitWriter) {
			w.put(66, 8)
			w.put(0, 16)
			w.golomb(0)
			w.golomb(0)
			w.golomb(0)
			w.golomb(0)
			putH264Frame(w, 40, 30, true, nil)
		}, 640, 480, true},
		{"high, 4:2:0, scaling lists, order type 1, cropped", func(w *bitWriter) {
			w.put(100, 8)
			w.put(0, 16)
			w.golomb(0)
			w.golomb(1)
			w.golomb(0)
			w.golomb(0)
			w.put(0, 1)
			w.put(1, 1) // scaling matrix
			for i := range 8 {
				w.put(1, 1)
				if i == 3 { // falls back at once: 8 + delta = 0
					w.golomb(16)
					continue
				}
				for range map[bool]int{true: 16, false: 64}[i < 6] {
					w.golomb(0)
				}
			}
			w.golomb(0)
			w.golomb(1)
			w.put(0, 1)
			w.golomb(0)
			w.golomb(0)
			w.golomb(2)
			w.golomb(0)
			w.golomb(0)
			putH264Frame(w, 120, 68, true, []uint32{0, 0, 0, 4})
		}, 1920, 1080, true},
		{"4:4:4, order type 2, fields", func(w *bitWriter) {
			w.put(244, 8)
			w.put(0, 16)
			w.golomb(0)
			w.golomb(3)
			w.put(0, 1)
			w.golomb(0)
			w.golomb(0)
			w.put(0, 2)
			w.golomb(0)
			w.golomb(2)
			putH264Frame(w, 45, 18, false, []uint32{1, 1, 1, 2})
		}, 718, 570, true},
		{"cropped to nothing", func(w *bitWriter) {
			w.put(66, 8)
			w.put(0, 16)
			w.golomb(0)
			w.golomb(0)
			w.golomb(2)
			putH264Frame(w, 2, 2, true, []uint32{0, 16, 0, 0})
		}, 0, 0, false},
		{"as large as golomb codes go", func(w *bitWriter) {
			w.put(66, 8)
			w.put(0, 16)
			w.golomb(0)
			w.golomb(0)
			w.golomb(2)
			putH264Frame(w, 1<<20, 2, true, nil)
		}, 0, 0, false},
		{"endless order cycle", func(w *bitWriter) {
			w.put(66, 8)
			w.put(0, 16)
			w.golomb(0)
			w.golomb(0)
			w.golomb(1)
			w.put(0, 1)
			w.golomb(0)
			w.golomb(0)
			w.golomb(1 << 20)
		}, 0, 0, false},
		{"cut short", func(w *bitWriter) { w.put(66, 8) }, 0, 0, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var w bitWriter
			tt.write(&w)
			width, height, ok := h264Size(w.escaped())
			if width != tt.width || height != tt.height || ok != tt.ok {
				t.Errorf("%dx%d, %v; want %dx%d, %v", width, height, ok, tt.width, tt.height, tt.ok)
			}
		})
	}
}

// putH264Frame writes the sequence parameters from max_num_ref_frames on, sizes in macroblocks; crop is left, right, top,
// bottom.
func putH264Frame(w *bitWriter, width, height uint32, progressive bool, crop []uint32) {
	w.golomb(1)
	w.put(0, 1)
	w.golomb(width - 1)
	w.golomb(height - 1)
	if progressive {
		w.put(1, 1)
	} else {
		w.put(0, 2)
	}
	w.put(1, 1)
	if crop == nil {
		w.put(0, 1)
	} else {
		w.put(1, 1)
		for _, c := range crop {
			w.golomb(c)
		}
	}
	w.put(1, 1)
}
