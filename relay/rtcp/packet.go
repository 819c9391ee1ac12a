package rtcp

import (
	"encoding/binary"
	"errors"
)

// Packet types (RFC 3550 section 12.1, RFC 4585 section 6.1, RFC 3611).
const (
	TypeSenderReport      = 200
	TypeReceiverReport    = 201
	TypeSourceDescription = 202
	TypeGoodbye           = 203
	TypeApplication       = 204
	TypeTransportFeedback = 205
	TypePayloadFeedback   = 206
	TypeExtendedReport    = 207
)

// Feedback message types, in the place of the count.
const (
	FormatNACK = 1  // transport feedback, RFC 4585 section 6.2.1
	FormatTWCC = 15 // transport feedback, draft-holmer-rmcat-transport-wide-cc-extensions-01
	FormatPLI  = 1  // payload feedback, RFC 4585 section 6.3.1
	FormatFIR  = 4  // payload feedback, RFC 5104 section 4.3.1
	FormatREMB = 15 // payload feedback "application layer", draft-alvestrand-rmcat-remb-03
)

const (
	headerSize   = 4
	feedbackSize = 12 // header and two SSRCs

	versionBits = 2 << 6
	paddingBit  = 1 << 5
	countMask   = 1<<5 - 1
)

var (
	// ErrShort says that a packet ends before its length field or its type says it does.
	ErrShort = errors.New("rtcp: packet is too short")
	// ErrVersion says that a packet is not of RTP version 2.
	ErrVersion = errors.New("rtcp: version is not 2")
	// ErrPadding says that a packet is padded by more than there is.
	ErrPadding = errors.New("rtcp: impossible padding")
)

// Packet is one packet of a compound packet. Body points into what was parsed.
type Packet struct {
	Type   uint8  // Type constants
	Format uint8  // 5 bits: a Format constant in feedback, a count in the others
	Sender uint32 // SSRC of the sender; 0 in SDES, BYE and unknown types
	Media  uint32 // SSRC of the media source, in feedback only
	Body   []byte // what follows these fields, without padding
}

// Next returns the first packet of the compound packet b, and what follows it. After an error the rest is lost.
func Next(b []byte) (p Packet, rest []byte, err error) {
	if len(b) < headerSize {
		return Packet{}, nil, ErrShort
	}
	if b[0]&0xc0 != versionBits {
		return Packet{}, nil, ErrVersion
	}
	end := headerSize + 4*int(binary.BigEndian.Uint16(b[2:]))
	if len(b) < end {
		return Packet{}, nil, ErrShort
	}
	p = Packet{Type: b[1], Format: b[0] & countMask, Body: b[headerSize:end:end]}
	if b[0]&paddingBit != 0 {
		n := len(p.Body)
		if n == 0 || p.Body[n-1] == 0 || int(p.Body[n-1]) > n {
			return Packet{}, nil, ErrPadding
		}
		p.Body = p.Body[:n-int(p.Body[n-1])]
	}
	switch p.Type {
	case TypeTransportFeedback, TypePayloadFeedback:
		if len(p.Body) < 8 {
			return Packet{}, nil, ErrShort
		}
		p.Sender = binary.BigEndian.Uint32(p.Body)
		p.Media = binary.BigEndian.Uint32(p.Body[4:])
		p.Body = p.Body[8:]
	case TypeSenderReport, TypeReceiverReport, TypeApplication, TypeExtendedReport:
		if len(p.Body) < 4 {
			return Packet{}, nil, ErrShort
		}
		p.Sender = binary.BigEndian.Uint32(p.Body)
		p.Body = p.Body[4:]
	}
	return p, b[end:], nil
}

// IsRTCP tells RTCP from RTP on a shared port: the payload type field of an RTP packet may not be 64 to 95 (RFC 5761
// section 4). b may be encrypted.
func IsRTCP(b []byte) bool {
	return len(b) >= headerSize && b[0]&0xc0 == versionBits && b[1] >= 192 && b[1] <= 223
}

// Kind names what a packet is, over type and format.
type Kind uint8

// The kinds of packets that have an accessor, and Other.
const (
	Other Kind = iota
	SenderReport
	ReceiverReport
	SourceDescription
	Goodbye
	NACK
	TWCC
	PLI
	FIR
	REMB // or another application-layer message: [Packet.REMB] tells
)

// Kind returns the kind of the packet by its type and format alone.
func (p *Packet) Kind() Kind {
	switch p.Type {
	case TypeSenderReport:
		return SenderReport
	case TypeReceiverReport:
		return ReceiverReport
	case TypeSourceDescription:
		return SourceDescription
	case TypeGoodbye:
		return Goodbye
	case TypeTransportFeedback:
		switch p.Format {
		case FormatNACK:
			return NACK
		case FormatTWCC:
			return TWCC
		}
	case TypePayloadFeedback:
		switch p.Format {
		case FormatPLI:
			return PLI
		case FormatFIR:
			return FIR
		case FormatREMB:
			return REMB
		}
	}
	return Other
}

// appendHeader appends the header of a packet of size bytes, a multiple of four.
func appendHeader(dst []byte, packetType uint8, count uint8, size int) []byte {
	dst = append(dst, versionBits|count&countMask, packetType)
	return binary.BigEndian.AppendUint16(dst, uint16(size/4-1))
}

// appendFeedbackHeader appends the part that all feedback of size bytes has in common.
func appendFeedbackHeader(dst []byte, packetType, format uint8, sender, media uint32, size int) []byte {
	dst = appendHeader(dst, packetType, format, size)
	dst = binary.BigEndian.AppendUint32(dst, sender)
	return binary.BigEndian.AppendUint32(dst, media)
}
