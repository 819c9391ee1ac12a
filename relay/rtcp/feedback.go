package rtcp

import (
	"encoding/binary"
	"math"
	"math/bits"
)

const (
	nackEntrySize = 4
	nackSpan      = 16 // packets that the bitmask of an entry covers behind its PID
	firEntrySize  = 8
	rembHeadSize  = 8 // identifier, count, bitrate
	rembMantissa  = 18
	maxREMBs      = math.MaxUint8

	rembIdentifier = "REMB"
)

// NACKs returns an iterator over the sequence numbers that a generic NACK asks for (RFC 4585 section 6.2.1).
func (p *Packet) NACKs() NACKs {
	if p.Kind() != NACK {
		return NACKs{}
	}
	return NACKs{rest: p.Body}
}

// NACKs iterates over sequence numbers asked for. One packet can name 17 for each four bytes, so a caller bounds how
// many it answers.
type NACKs struct {
	rest []byte
	pid  uint16
	mask uint16
}

// Next returns the next sequence number; ok is false at the end.
func (n *NACKs) Next() (seq uint16, ok bool) {
	if n.mask != 0 {
		bit := bits.TrailingZeros16(n.mask)
		n.mask &= n.mask - 1
		return n.pid + 1 + uint16(bit), true
	}
	if len(n.rest) < nackEntrySize {
		return 0, false
	}
	n.pid = binary.BigEndian.Uint16(n.rest)
	n.mask = binary.BigEndian.Uint16(n.rest[2:])
	n.rest = n.rest[nackEntrySize:]
	return n.pid, true
}

// AppendNACK appends a generic NACK by which sender asks for packets of media; nothing if there are none. The sequence
// numbers are best in ascending order (modulo 2^16): each within 16 of the last entry's first costs one bit, any other
// four bytes.
func AppendNACK(dst []byte, sender, media uint32, seqs []uint16) []byte {
	if len(seqs) == 0 {
		return dst
	}
	start := len(dst)
	dst = appendFeedbackHeader(dst, TypeTransportFeedback, FormatNACK, sender, media, feedbackSize)
	for i := 0; i < len(seqs); {
		pid, mask := seqs[i], uint16(0)
		for i++; i < len(seqs) && seqs[i]-pid-1 < nackSpan; i++ {
			mask |= 1 << (seqs[i] - pid - 1)
		}
		dst = binary.BigEndian.AppendUint16(dst, pid)
		dst = binary.BigEndian.AppendUint16(dst, mask)
	}
	binary.BigEndian.PutUint16(dst[start+2:], uint16((len(dst)-start)/4-1))
	return dst
}

// AppendPLI appends a picture loss indication that asks media for a keyframe (RFC 4585 section 6.3.1).
func AppendPLI(dst []byte, sender, media uint32) []byte {
	return appendFeedbackHeader(dst, TypePayloadFeedback, FormatPLI, sender, media, feedbackSize)
}

// FIRs returns an iterator over the entries of a full intra request (RFC 5104 section 4.3.1).
func (p *Packet) FIRs() FIRs {
	if p.Kind() != FIR {
		return FIRs{}
	}
	return FIRs{rest: p.Body}
}

// FIRs iterates over the entries of a full intra request.
type FIRs struct{ rest []byte }

// Next returns the next media source asked for a keyframe and the request's number, which stays the same when the
// request is repeated. ok is false at the end.
func (f *FIRs) Next() (ssrc uint32, number uint8, ok bool) {
	if len(f.rest) < firEntrySize {
		return 0, 0, false
	}
	ssrc, number = binary.BigEndian.Uint32(f.rest), f.rest[4]
	f.rest = f.rest[firEntrySize:]
	return ssrc, number, true
}

// AppendFIR appends a full intra request for one media source. number grows by one with each new request.
func AppendFIR(dst []byte, sender, ssrc uint32, number uint8) []byte {
	// The media field of the common header is unused and zero (RFC 5104 section 4.3.1.2).
	dst = appendFeedbackHeader(dst, TypePayloadFeedback, FormatFIR, sender, 0, feedbackSize+firEntrySize)
	dst = binary.BigEndian.AppendUint32(dst, ssrc)
	return append(dst, number, 0, 0, 0)
}

// REMB returns the bitrate (bits/s, over all) that a receiver-estimated maximum bitrate message allows, and the sources
// it speaks of. ok is false for any other application-layer message and for one that is cut short.
func (p *Packet) REMB() (bitrate uint64, ssrcs SSRCs, ok bool) {
	b := p.Body
	if p.Kind() != REMB || len(b) < rembHeadSize || string(b[:4]) != rembIdentifier || len(b) < rembHeadSize+4*int(b[4]) {
		return 0, SSRCs{}, false
	}
	exponent := b[5] >> 2
	mantissa := uint64(binary.BigEndian.Uint32(b[4:]) & (1<<rembMantissa - 1))
	bitrate = mantissa << exponent
	if bitrate>>exponent != mantissa {
		bitrate = math.MaxUint64
	}
	return bitrate, SSRCs{rest: b[rembHeadSize : rembHeadSize+4*int(b[4])]}, true
}

// AppendREMB appends a receiver-estimated maximum bitrate message about the first 255 of the sources. The bitrate
// (bits/s) is rounded down to 18 significant bits.
func AppendREMB(dst []byte, sender uint32, bitrate uint64, ssrcs []uint32) []byte {
	ssrcs = ssrcs[:min(len(ssrcs), maxREMBs)]
	exponent := max(bits.Len64(bitrate)-rembMantissa, 0)
	size := feedbackSize + rembHeadSize + 4*len(ssrcs)
	dst = appendFeedbackHeader(dst, TypePayloadFeedback, FormatREMB, sender, 0, size)
	dst = append(dst, rembIdentifier...)
	word := uint32(len(ssrcs))<<24 | uint32(exponent)<<rembMantissa | uint32(bitrate>>exponent)
	dst = binary.BigEndian.AppendUint32(dst, word)
	for _, ssrc := range ssrcs {
		dst = binary.BigEndian.AppendUint32(dst, ssrc)
	}
	return dst
}
