package codec

import "encoding/binary"

// parseVP9 reads the VP9 payload descriptor (RFC 9628 section 4.2):
//
//	|I|P|L|F|B|E|V|Z|   P: inter-picture predicted, F: flexible mode, B/E: begin/end of a layer frame
//	|M| PICTURE ID  |   with I; M: 15 bits, with the next byte
//	| TID |U| SID |D|   with L; U: temporal up-switch
//	|   TL0PICIDX   |   with L and not F
//	|   P_DIFF    |N|   with F and P, up to three, N: one more
//	| SS ..         |   with V: scalability structure
func parseVP9(b []byte, info *Info) {
	if len(b) == 0 {
		return
	}
	flags := b[0]
	predicted := flags&0x40 != 0
	info.Flexible = flags&0x10 != 0
	pos := 1
	if flags&0x80 != 0 {
		if pos = readVP9PictureID(b, pos, info); pos < 0 {
			return
		}
	}
	if flags&0x20 != 0 {
		if pos = readVP9Layers(b, pos, info); pos < 0 {
			return
		}
	}
	for more := info.Flexible && predicted; more; pos++ {
		if pos >= len(b) {
			return
		}
		more = b[pos]&0x01 != 0
	}
	info.FrameStart, info.FrameEnd = flags&0x08 != 0, flags&0x04 != 0
	sized := false
	if flags&0x02 != 0 {
		var ok bool
		if pos, sized, ok = readVP9Structure(b, pos, info); !ok {
			return
		}
	}
	if info.FrameStart && !predicted && info.Spatial <= 0 {
		info.Keyframe = vp9Keyframe(b[pos:], info) || sized
	}
	if !info.Keyframe {
		info.Width, info.Height = 0, 0
	}
}

func readVP9PictureID(b []byte, pos int, info *Info) int {
	if pos >= len(b) {
		return -1
	}
	if b[pos]&0x80 == 0 {
		info.PictureBits, info.PictureID = 7, uint16(b[pos])
		return pos + 1
	}
	if pos+2 > len(b) {
		return -1
	}
	info.PictureBits, info.PictureID = 15, binary.BigEndian.Uint16(b[pos:])&0x7fff
	return pos + 2
}

func readVP9Layers(b []byte, pos int, info *Info) int {
	if pos >= len(b) {
		return -1
	}
	info.Temporal = int8(b[pos] >> 5)
	if spatial := int8(b[pos] >> 1 & 0x07); spatial < MaxSpatial {
		info.Spatial = spatial
	}
	info.LayerSync = b[pos]&0x10 != 0
	if info.Flexible {
		return pos + 1
	}
	if pos+2 > len(b) {
		return -1
	}
	info.HasTL0, info.TL0 = true, b[pos+1]
	return pos + 2
}

// readVP9Structure reads the scalability structure; sized says that it tells the size of the picture.
//
//	| N_S |Y|G|-|-|-|   N_S: spatial layers less one, Y: sizes follow, G: a picture group follows
//	|  WIDTH, HEIGHT|   16 bits each, for every spatial layer
//	|      N_G      |   pictures of the group
//	| TID |U| R |-|-|   for each, with R times P_DIFF (8 bits)
func readVP9Structure(b []byte, pos int, info *Info) (next int, sized, ok bool) {
	if pos >= len(b) {
		return pos, false, false
	}
	head := b[pos]
	pos++
	if head&0x10 != 0 {
		n := 4 * (int(head>>5) + 1)
		if pos+n > len(b) {
			return pos, false, false
		}
		pos += n
		info.Width, info.Height = binary.BigEndian.Uint16(b[pos-4:]), binary.BigEndian.Uint16(b[pos-2:])
		sized = info.Width > 0 && info.Height > 0
	}
	if head&0x08 == 0 {
		return pos, sized, true
	}
	if pos >= len(b) {
		return pos, sized, false
	}
	for left := int(b[pos]); left > 0; left-- {
		pos++
		if pos >= len(b) {
			return pos, sized, false
		}
		pos += int(b[pos] >> 2 & 0x03)
	}
	pos++
	return pos, sized, pos <= len(b)
}

// vp9Keyframe looks into a frame that is not predicted from other pictures, since it may also be an intra-only one (VP9
// bitstream specification section 6.2). What cannot be read, as when encrypted end to end, is taken for a keyframe.
func vp9Keyframe(b []byte, info *Info) bool {
	r := bits{b: b}
	if r.read(2) != 2 { // frame_marker
		return true
	}
	profile := r.read(1) | r.read(1)<<1
	if profile == 3 {
		r.skip(1)
	}
	if r.flag() { // show_existing_frame
		return false
	}
	if r.flag() || r.bad { // frame_type: non-key
		return false
	}
	r.skip(2)
	if r.read(24) != 0x498342 || info.Width > 0 {
		return true
	}
	if profile >= 2 {
		r.skip(1) // ten_or_twelve_bit
	}
	const rgb = 7
	if space := r.read(3); space != rgb {
		r.skip(1)
		if profile&1 == 1 {
			r.skip(3)
		}
	} else if profile&1 == 1 {
		r.skip(1)
	}
	w, h := r.read(16), r.read(16)
	if !r.bad {
		info.Width, info.Height = uint16(w+1), uint16(h+1) //nolint:gosec // 16 bits; 65536 wraps to unknown
	}
	return true
}
