package codec

// parseAV1 reads the aggregation header (AV1 RTP specification section 4.4):
//
//	|Z|Y| W |N|-|-|-|   Z: the first OBU element continues one, W: number of elements if not 0, N: a coded video sequence begins
func parseAV1(b []byte, info *Info) {
	if len(b) == 0 || b[0]&0x88 != 0x08 {
		return
	}
	info.Keyframe = true
	elements := int(b[0] >> 4 & 0x03)
	b = b[1:]
	for i := 1; len(b) > 0; i++ {
		n := len(b)
		if i != elements {
			size, read := leb128(b)
			if read == 0 || size > uint64(len(b)-read) {
				return
			}
			b, n = b[read:], int(size) //nolint:gosec // at most len(b)
		}
		if av1Size(b[:n], info) {
			return
		}
		b = b[n:]
	}
}

// leb128 reads a number of 7 bits a byte, the lowest first; read is 0 when it does not end.
func leb128(b []byte) (v uint64, read int) {
	for i := 0; i < len(b) && i < 8; i++ {
		v |= uint64(b[i]&0x7f) << (7 * i)
		if b[i]&0x80 == 0 {
			return v, i + 1
		}
	}
	return 0, 0
}

// av1Size reads the size from an OBU if it is a sequence header (AV1 bitstream specification section 5.5). Streams with
// timing information, which real-time encoders do not write, keep their size to themselves.
func av1Size(obu []byte, info *Info) bool {
	const sequenceHeader = 1
	if len(obu) == 0 || obu[0]>>3&0x0f != sequenceHeader {
		return false
	}
	at := 1
	if obu[0]&0x04 != 0 {
		at++
	}
	if obu[0]&0x02 != 0 && at < len(obu) {
		_, read := leb128(obu[at:])
		at += read
	}
	r := bits{b: obu[min(at, len(obu)):]}
	r.skip(4)
	if reduced := r.flag(); reduced {
		r.skip(5)
	} else {
		if r.flag() { // timing_info_present_flag
			return true
		}
		delays := r.flag() // initial_display_delay_present_flag
		for left := r.read(5) + 1; left > 0; left-- {
			r.skip(12)
			if level := r.read(5); level > 7 {
				r.skip(1)
			}
			if delays && r.flag() {
				r.skip(4)
			}
		}
	}
	widthBits, heightBits := int(r.read(4))+1, int(r.read(4))+1
	w, h := r.read(widthBits)+1, r.read(heightBits)+1
	if !r.bad && w <= 0xffff && h <= 0xffff {
		info.Width, info.Height = uint16(w), uint16(h)
	}
	return true
}
