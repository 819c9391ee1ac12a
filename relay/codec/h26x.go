package codec

import "encoding/binary"

// NAL unit types of H.264 (RFC 6184 section 5.2) and H.265 (RFC 7798 section 4.4).
const (
	h264SPS  = 7
	h264STAP = 24 // STAP-A
	h264FUA  = 28
	h264FUB  = 29

	h265FirstIRAP = 16
	h265LastIRAP  = 21
	h265VPS       = 32
	h265PPS       = 34
	h265AP        = 48
	h265FU        = 49
)

func parseH264(b []byte, info *Info) {
	if len(b) == 0 {
		return
	}
	info.Discardable = b[0]&0x60 == 0
	switch t := b[0] & 0x1f; {
	case t == h264STAP:
		for b = b[1:]; len(b) > 2; {
			n := int(binary.BigEndian.Uint16(b))
			if b = b[2:]; n == 0 || n > len(b) {
				return
			}
			h264NAL(b[0]&0x1f, b[1:n], info)
			b = b[n:]
		}
	case t == h264FUA || t == h264FUB:
		if len(b) > 1 && b[1]&0x80 != 0 {
			h264NAL(b[1]&0x1f, nil, info)
		}
	default:
		h264NAL(t, b[1:], info)
	}
}

// h264NAL takes a NAL unit without its header: decoding begins at sequence parameters.
func h264NAL(t byte, body []byte, info *Info) {
	if t != h264SPS {
		return
	}
	info.Keyframe = true
	if w, h, ok := h264Size(body); ok {
		info.Width, info.Height = w, h
	}
}

// h264Size reads the cropped size from sequence parameters (ITU-T H.264 section 7.3.2.1.1).
func h264Size(sps []byte) (width, height uint16, ok bool) {
	var clean [64]byte // the size comes early
	r := bits{b: unescape(clean[:0], sps)}
	profile := r.read(8)
	r.skip(16)
	r.golomb() // seq_parameter_set_id
	chroma := uint32(1)
	switch profile {
	case 100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135:
		chroma = h264Chroma(&r)
	}
	r.golomb() // log2_max_frame_num_minus4
	if !h264Order(&r) {
		return 0, 0, false
	}
	r.golomb() // max_num_ref_frames
	r.skip(1)
	w := 16 * (uint64(r.golomb()) + 1)
	h := 16 * (uint64(r.golomb()) + 1)
	unitX, unitY := uint64(1), uint64(1) // of the cropping rectangle
	if chroma == 1 || chroma == 2 {
		unitX = 2
	}
	if chroma == 1 {
		unitY = 2
	}
	if !r.flag() { // frame_mbs_only_flag
		h, unitY = 2*h, 2*unitY
		r.skip(1)
	}
	r.skip(1)
	if r.flag() { // frame_cropping_flag
		cropX := unitX * (uint64(r.golomb()) + uint64(r.golomb()))
		cropY := unitY * (uint64(r.golomb()) + uint64(r.golomb()))
		if cropX >= w || cropY >= h {
			return 0, 0, false
		}
		w, h = w-cropX, h-cropY
	}
	if r.bad || w > 0xffff || h > 0xffff {
		return 0, 0, false
	}
	return uint16(w), uint16(h), true
}

// h264Chroma skips what high profiles have in addition and returns chroma_format_idc.
func h264Chroma(r *bits) uint32 {
	chroma := r.golomb()
	lists := 8
	if chroma == 3 {
		r.skip(1)
		lists = 12
	}
	r.golomb()
	r.golomb()
	r.skip(1)
	if !r.flag() { // seq_scaling_matrix_present_flag
		return chroma
	}
	for i := range lists {
		if !r.flag() {
			continue
		}
		size := 16
		if i >= 6 {
			size = 64
		}
		last, next := int32(8), int32(8)
		for j := 0; j < size && !r.bad; j++ {
			if next != 0 {
				next = (last + r.signedGolomb()) & 0xff
			}
			if next != 0 {
				last = next
			}
		}
	}
	return chroma
}

// h264Order skips the picture order count fields.
func h264Order(r *bits) bool {
	switch r.golomb() {
	case 0:
		r.golomb()
	case 1:
		r.skip(1)
		r.golomb()
		r.golomb()
		for n := r.golomb(); n > 0; n-- {
			if r.bad || n > 255 {
				return false
			}
			r.golomb()
		}
	}
	return !r.bad
}

// unescape appends b to dst, as far as its capacity goes, without emulation prevention bytes (ITU-T H.264 section 7.4.1).
func unescape(dst, b []byte) []byte {
	zeros := 0
	for _, c := range b {
		if zeros >= 2 && c == 3 {
			zeros = 0
			continue
		}
		if len(dst) == cap(dst) {
			break
		}
		dst = append(dst, c)
		if c == 0 {
			zeros++
		} else {
			zeros = 0
		}
	}
	return dst
}

func parseH265(b []byte, info *Info) {
	if len(b) < 2 {
		return
	}
	switch t := b[0] >> 1 & 0x3f; t {
	case h265AP:
		for b = b[2:]; len(b) > 2; {
			n := int(binary.BigEndian.Uint16(b))
			if b = b[2:]; n == 0 || n > len(b) {
				return
			}
			info.Keyframe = info.Keyframe || h265Keyframe(b[0]>>1&0x3f)
			b = b[n:]
		}
	case h265FU:
		if len(b) > 2 && b[2]&0x80 != 0 {
			info.Keyframe = h265Keyframe(b[2] & 0x3f)
		}
	default:
		info.Keyframe = h265Keyframe(t)
	}
}

func h265Keyframe(t byte) bool {
	return t >= h265VPS && t <= h265PPS || t >= h265FirstIRAP && t <= h265LastIRAP
}
