package synth

import (
	"encoding/binary"
	"math/rand/v2"
	"time"
)

// Lengths in a VP8 payload: the descriptor with a 15-bit PictureID, TL0PICIDX and TID/KEYIDX (RFC 7741 section 4.2), and
// of the frame (RFC 6386 section 9.1) the tag and, in keyframes, start code and size.
const (
	descriptorLen  = 6
	frameTag       = 3
	keyframeHeader = 10
)

// VideoClock is the RTP clock rate of video, Hz.
const VideoClock = 90000

// MinPayload is the smallest MaxPayload that holds all headers and a mark.
const MinPayload = descriptorLen + keyframeHeader + MarkLen

// Rate control: frames vary by spread, and what was sent too much or too little is made up for by at most repay of a frame each.
const (
	spread = 0.15
	repay  = 0.25
)

// VideoConfig is the shape of a video.
type VideoConfig struct {
	Bitrate          int           // of the RTP packets, bit/s, keyframes included
	FPS              int           // frames per second
	KeyframeRatio    float64       // size of a keyframe, average frames
	KeyframeInterval time.Duration // keyframes come at least so often; 0: only on request
	KeyframeSpacing  time.Duration // and on request at most so often
	Width, Height    uint16        // pixels
	MaxPayload       int           // largest RTP payload, bytes, at least MinPayload
	Overhead         int           // bytes of RTP header and extensions in each packet
}

// Video makes frames as an encoder at a constant bitrate would. Not safe for concurrent use.
type Video struct {
	cfg     VideoConfig
	rand    *rand.Rand
	start   int64   // when frame 0 is due
	frames  int64   // made so far
	target  float64 // bytes of a frame, on average
	debt    float64 // bytes sent above that so far
	picture uint16
	tl0     uint8
	base    uint32 // RTP timestamp of frame 0
	wanted  bool   // a keyframe was asked for
	lastKey int64
	keys    int
}

// NewVideo makes a video whose first frame, a keyframe, is due at start. The seed decides what a browser leaves to chance:
// first numbers, and how frames vary in size.
func NewVideo(cfg VideoConfig, start int64, seed uint64) *Video {
	r := rand.New(rand.NewPCG(seed, 0x5eed)) //nolint:gosec // no secret depends on it
	v := &Video{cfg: cfg, rand: r, start: start, wanted: true, lastKey: start - int64(time.Hour)}
	v.picture, v.base, v.tl0 = uint16(r.Uint32N(1<<15)), r.Uint32(), uint8(r.Uint32N(256))
	v.target = float64(cfg.Bitrate) / 8 / float64(cfg.FPS)
	return v
}

// Due returns when the next frame is due.
func (v *Video) Due() int64 { return v.start + v.frames*int64(time.Second)/int64(v.cfg.FPS) }

// RequestKeyframe asks for a keyframe, as a PLI or FIR does. It comes with the next frame that the spacing allows.
func (v *Video) RequestKeyframe() { v.wanted = true }

// Keyframes returns how many keyframes were made.
func (v *Video) Keyframes() int { return v.keys }

// Next makes the frame that is due at [Video.Due].
func (v *Video) Next() Frame {
	due := v.Due()
	since := time.Duration(due - v.lastKey)
	f := Frame{
		Keyframe:  v.wanted && since >= v.cfg.KeyframeSpacing || v.cfg.KeyframeInterval > 0 && since >= v.cfg.KeyframeInterval,
		Timestamp: v.base + uint32(v.frames*VideoClock/int64(v.cfg.FPS)),
		picture:   v.picture,
		tl0:       v.tl0,
		width:     v.cfg.Width,
		height:    v.cfg.Height,
	}
	size := v.target*(1-spread+2*spread*v.rand.Float64()) - min(max(v.debt, -repay*v.target), repay*v.target)
	if f.Keyframe {
		size = v.target * v.cfg.KeyframeRatio
		v.wanted, v.lastKey = false, due
		v.keys++
	}
	v.debt += size - v.target
	f.split(int(size), v.cfg.MaxPayload, v.cfg.Overhead)
	v.frames++
	v.picture = (v.picture + 1) & 0x7fff
	v.tl0++
	return f
}

// Frame is one encoded frame, cut into packets.
type Frame struct {
	Keyframe  bool
	Timestamp uint32
	Packets   int // how many RTP packets it takes

	small, larger int // payload bytes of a packet, and how many of the first packets have one byte more
	picture       uint16
	tl0           uint8
	width, height uint16
}

// split cuts a frame of so many bytes, RTP headers included, into packets whose sizes differ by a byte at most, as
// libwebrtc's packetizer does.
func (f *Frame) split(bytes, maxPayload, overhead int) {
	f.Packets = max(1, (bytes+maxPayload+overhead-1)/(maxPayload+overhead))
	payload := max(bytes-f.Packets*overhead, f.Packets*MinPayload)
	f.small, f.larger = payload/f.Packets, payload%f.Packets
}

// Size returns the length of the payload of packet i.
func (f *Frame) Size(i int) int {
	if i < f.larger {
		return f.small + 1
	}
	return f.small
}

// AppendPayload appends the RTP payload of packet i, from 0 to f.Packets-1, to dst.
func (f *Frame) AppendPayload(dst []byte, i int, mark Mark) []byte {
	at := len(dst)
	dst = appendFiller(dst, f.Size(i))
	b := dst[at:]
	b[0] = 0x80 // X
	if i == 0 {
		b[0] |= 0x10 // S, of partition 0
	}
	b[1] = 0xF0 // I, L, T, K
	binary.BigEndian.PutUint16(b[2:], 0x8000|f.picture)
	b[4] = f.tl0
	b[5] = 0x20 // TID 0, Y, KEYIDX 0
	b = b[descriptorLen:]
	if i == 0 {
		// Frame tag: inverse keyframe flag, version 0, shown, and the size of the first partition, whose value nobody checks.
		tag := uint32(1)<<4 | uint32(f.small)<<5
		if !f.Keyframe {
			tag |= 1
		}
		b[0], b[1], b[2] = byte(tag), byte(tag>>8), byte(tag>>16)
		b = b[frameTag:]
	}
	if i == 0 && f.Keyframe {
		b[0], b[1], b[2] = 0x9d, 0x01, 0x2a
		binary.LittleEndian.PutUint16(b[3:], f.width)
		binary.LittleEndian.PutUint16(b[5:], f.height)
		b = b[keyframeHeader-frameTag:]
	}
	mark.put(b)
	return dst
}

// filler looks like encoded media: without structure.
var filler = func() (b [2048]byte) {
	r := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // no secret depends on it
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}()

// appendFiller appends n bytes that mean nothing.
func appendFiller(dst []byte, n int) []byte {
	for n > 0 {
		k := min(n, len(filler))
		dst = append(dst, filler[:k]...)
		n -= k
	}
	return dst
}
