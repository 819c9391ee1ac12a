package synth

import (
	"math"
	"time"
)

const (
	// AudioClock is the RTP clock rate of Opus, Hz (RFC 7587 section 4.1).
	AudioClock = 48000
	// AudioPeriod is the length of an Opus packet, libwebrtc's.
	AudioPeriod = 20 * time.Millisecond

	opusHeader = 1
	// opusTOC is hybrid fullband, 20 ms, mono, one frame (RFC 6716 section 3.1).
	opusTOC = 15 << 3
	// opusBytes is a packet of 32 kbit/s.
	opusBytes = 80
)

// Audio tells the times of a microphone's packets. Not safe for concurrent use.
type Audio struct {
	start   int64
	base    uint32
	packets int64
}

// NewAudio makes a microphone whose first packet is due at start.
func NewAudio(start int64, seed uint64) *Audio {
	return &Audio{start: start, base: uint32(seed * 2654435761)}
}

// Due returns when the next packet is due.
func (a *Audio) Due() int64 { return a.start + a.packets*int64(AudioPeriod) }

// Next returns the RTP timestamp of the packet due at [Audio.Due], and its level in -dBov with the voice flag (RFC 6464):
// somebody who talks for two seconds, then listens for one.
func (a *Audio) Next() (timestamp uint32, level byte) {
	n := a.packets
	a.packets++
	level = 127
	if second := n * int64(AudioPeriod) / int64(time.Second); second%3 != 2 {
		level = 0x80 | byte(35+15*math.Sin(float64(n)/4))
	}
	return a.base + uint32(n*AudioClock*int64(AudioPeriod)/int64(time.Second)), level
}

// AppendOpus appends an Opus payload with the mark to dst.
func AppendOpus(dst []byte, mark Mark) []byte {
	at := len(dst)
	dst = appendFiller(dst, opusBytes)
	dst[at] = opusTOC
	mark.put(dst[at+opusHeader:])
	return dst
}
