package data

import (
	"encoding/binary"

	"github.com/pion/sctp"
)

// The data channel establishment protocol (RFC 8832 section 5). An open message:
//
//	0                   1                   2                   3
//	0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|    type = 3   | channel type  |           priority            |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|        reliability: retransmissions or milliseconds           |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|         length of label       |      length of protocol       |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|  label, protocol                                              |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//
// An acknowledgement is the one byte 2.
const (
	messageAck  = 0x02
	messageOpen = 0x03

	openHeaderSize   = 12
	channelUnordered = 0x80

	priorityNormal = 256 // RFC 8831 section 6.4
)

// Partial says when the sender of a message gives up on it.
type Partial uint8

// The kinds of partial reliability; their values are those on the wire.
const (
	Reliable    Partial = 0 // never
	Retransmits Partial = 1 // after so many retransmissions
	Lifetime    Partial = 2 // after so many milliseconds
)

// Reliability is how a channel delivers its messages. The zero value is ordered and reliable.
type Reliability struct {
	Unordered bool
	Partial   Partial
	Limit     uint32 // retransmissions or milliseconds; 0 with Reliable
}

// apply makes the stream send so.
func (r Reliability) apply(s *sctp.Stream) {
	s.SetReliabilityParams(r.Unordered, byte(r.Partial), r.Limit)
}

// parseOpen reads an open message; false if it is none, malformed, or names are too long.
func parseOpen(b []byte) (r Reliability, label, protocol string, ok bool) {
	if len(b) < openHeaderSize || b[0] != messageOpen {
		return Reliability{}, "", "", false
	}
	r = Reliability{
		Unordered: b[1]&channelUnordered != 0,
		Partial:   Partial(b[1] &^ channelUnordered),
		Limit:     binary.BigEndian.Uint32(b[4:]),
	}
	if r.Partial == Reliable {
		r.Limit = 0 // to be ignored, RFC 8832 section 5.1
	}
	names := b[openHeaderSize:]
	n, m := int(binary.BigEndian.Uint16(b[8:])), int(binary.BigEndian.Uint16(b[10:]))
	if r.Partial > Lifetime || n > MaxName || m > MaxName || n+m != len(names) {
		return Reliability{}, "", "", false
	}
	return r, string(names[:n]), string(names[n:]), true
}

// openMessage makes an open message; the names are at most [MaxName] bytes.
func openMessage(r Reliability, label, protocol string) []byte {
	kind := byte(r.Partial)
	if r.Unordered {
		kind |= channelUnordered
	}
	dst := append(make([]byte, 0, openHeaderSize+len(label)+len(protocol)), messageOpen, kind)
	dst = binary.BigEndian.AppendUint16(dst, priorityNormal)
	dst = binary.BigEndian.AppendUint32(dst, r.Limit)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(label)))
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(protocol)))
	dst = append(dst, label...)
	return append(dst, protocol...)
}
