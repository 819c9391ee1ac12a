package codec

import "encoding/binary"

// The VP8 payload descriptor (RFC 7741 section 4.2):
//
//	 0 1 2 3 4 5 6 7
//	+-+-+-+-+-+-+-+-+
//	|X|R|N|S|R| PID |   X: extension follows, N: non-reference frame, S: start of partition PID
//	+-+-+-+-+-+-+-+-+
//	|I|L|T|K| RSV   |   I: PictureID, L: TL0PICIDX, T: TID and Y, K: KEYIDX follow
//	+-+-+-+-+-+-+-+-+
//	|M| PictureID   |   M: 15 bits, with the next byte
//	|   PictureID   |
//	|   TL0PICIDX   |
//	|TID|Y| KEYIDX  |
//	+-+-+-+-+-+-+-+-+
type vp8Descriptor struct {
	size      int // bytes; the payload header follows
	pictureID int // offset of PictureID, 0 for none
	bits      uint8
	tl0       int // offset of TL0PICIDX, 0 for none
	tid       int // offset of TID, Y and KEYIDX, 0 for none
}

// readVP8 finds the fields of the descriptor; ok is false when the packet is too short for them.
func readVP8(b []byte) (d vp8Descriptor, ok bool) {
	if len(b) < 1 {
		return d, false
	}
	d.size = 1
	if b[0]&0x80 == 0 {
		return d, true
	}
	if len(b) < 2 {
		return d, false
	}
	flags := b[1]
	d.size = 2
	if flags&0x80 != 0 {
		if len(b) < d.size+1 {
			return d, false
		}
		d.pictureID, d.bits = d.size, 7
		if b[d.size]&0x80 != 0 {
			d.bits = 15
			d.size++
		}
		d.size++
	}
	if flags&0x40 != 0 {
		d.tl0 = d.size
		d.size++
	}
	if flags&0x30 != 0 {
		d.tid = d.size
		d.size++
	}
	return d, len(b) >= d.size
}

func parseVP8(b []byte, info *Info) {
	d, ok := readVP8(b)
	if !ok {
		return
	}
	info.FrameStart = b[0]&0x10 != 0 && b[0]&0x07 == 0
	info.Discardable = b[0]&0x20 != 0
	if d.pictureID > 0 {
		info.PictureBits = d.bits
		if d.bits == 15 {
			info.PictureID = binary.BigEndian.Uint16(b[d.pictureID:]) & 0x7fff
		} else {
			info.PictureID = uint16(b[d.pictureID] & 0x7f)
		}
	}
	if d.tl0 > 0 {
		info.HasTL0, info.TL0 = true, b[d.tl0]
	}
	if d.tid > 0 && b[1]&0x20 != 0 {
		info.Temporal = int8(b[d.tid] >> 6)
		info.LayerSync = b[d.tid]&0x20 != 0
	}
	// RFC 7741 section 4.3: the lowest bit of the payload header is the inverse key frame flag. RFC 6386 section 9.1: the
	// frame tag is followed by a start code and the size, whose two upper bits each are the scale.
	frame := b[d.size:]
	if info.FrameStart && len(frame) > 0 && frame[0]&0x01 == 0 {
		info.Keyframe = true
		if len(frame) >= 10 && frame[3] == 0x9d && frame[4] == 0x01 && frame[5] == 0x2a {
			info.Width = binary.LittleEndian.Uint16(frame[6:]) & 0x3fff
			info.Height = binary.LittleEndian.Uint16(frame[8:]) & 0x3fff
		}
	}
}

// RewriteVP8 overwrites the PictureID and TL0PICIDX of a VP8 payload in place, each where the descriptor has one; the
// PictureID keeps its width. A payload without a whole descriptor is left alone.
func RewriteVP8(payload []byte, pictureID uint16, tl0 uint8) {
	d, ok := readVP8(payload)
	if !ok {
		return
	}
	switch {
	case d.pictureID == 0:
	case d.bits == 15:
		binary.BigEndian.PutUint16(payload[d.pictureID:], 0x8000|pictureID)
	default:
		payload[d.pictureID] = byte(pictureID & 0x7f)
	}
	if d.tl0 > 0 {
		payload[d.tl0] = tl0
	}
}
