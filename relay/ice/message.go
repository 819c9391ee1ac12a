package ice

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"net/netip"
)

// Layout of a STUN message (RFC 8489 section 5): 2 bytes of class and method, 2 bytes of length without the header,
// the magic cookie, 12 bytes of transaction id; then attributes of 2 bytes type, 2 bytes length, value, padding to 4.
const (
	headerLen     = 20
	magicCookie   = 0x2112A442
	integrityLen  = 20 // HMAC-SHA1
	fingerprintX  = 0x5354554E
	maxUsername   = 509 // bytes, RFC 8489 section 14.3
	maxUnknown    = 8   // unknown attributes remembered for an UNKNOWN-ATTRIBUTES
	attrHeaderLen = 4
)

// Attribute types (RFC 8489 section 18.3, RFC 8445 section 16.1).
const (
	attrMappedAddress    = 0x0001
	attrUsername         = 0x0006
	attrIntegrity        = 0x0008
	attrErrorCode        = 0x0009
	attrUnknown          = 0x000A
	attrRealm            = 0x0014
	attrNonce            = 0x0015
	attrXORMappedAddress = 0x0020
	attrPriority         = 0x0024
	attrUseCandidate     = 0x0025
	attrFingerprint      = 0x8028
	attrControlled       = 0x8029
	attrControlling      = 0x802A
)

// MethodBinding is the STUN method of connectivity checks.
const MethodBinding = 0x001

// Class is the class of a STUN message.
type Class uint8

// The classes of STUN messages (RFC 8489 section 5).
const (
	Request Class = iota
	Indication
	Success
	Failure
)

// String names the class.
func (c Class) String() string {
	switch c {
	case Request:
		return "request"
	case Indication:
		return "indication"
	case Success:
		return "success"
	case Failure:
		return "failure"
	}
	return "unknown"
}

// Errors of [Parse].
var (
	// ErrNotSTUN says that the bytes are no STUN message.
	ErrNotSTUN = errors.New("not a STUN message")
	// ErrMalformed says that a STUN message is cut short or contradicts itself.
	ErrMalformed = errors.New("malformed STUN message")
	// ErrFingerprint says that the FINGERPRINT is wrong.
	ErrFingerprint = errors.New("wrong STUN fingerprint")
)

// Message is a parsed STUN message. Its slices point into the parsed bytes and live as long as those do.
type Message struct {
	Class         Class
	Method        uint16 // 12 bits; see [MethodBinding]
	TransactionID [12]byte

	Username     []byte // nil when absent
	Priority     uint32 // 0 when absent
	UseCandidate bool
	Controlling  bool   // ICE-CONTROLLING is present
	Controlled   bool   // ICE-CONTROLLED is present
	TieBreaker   uint64 // of either
	Fingerprint  bool   // FINGERPRINT is present (and right)

	Mapped    netip.AddrPort // XOR-MAPPED-ADDRESS, zero when absent
	ErrorCode int            // 300 to 699, 0 when absent

	raw       []byte
	integrity int // offset of the MESSAGE-INTEGRITY attribute in raw, 0 when absent
	unknown   [maxUnknown]uint16
	unknowns  int
}

// IsMessage tells quickly whether b, a whole datagram or frame, looks like a STUN message: the first two bits are
// zero and the magic cookie is in its place.
func IsMessage(b []byte) bool {
	return len(b) >= headerLen && b[0]&0xC0 == 0 && binary.BigEndian.Uint32(b[4:]) == magicCookie
}

// Parse reads the STUN message that fills b into m, overwriting all of m. It checks the FINGERPRINT when there is one;
// integrity is checked by [Message.Authentic]. Attributes behind MESSAGE-INTEGRITY are ignored, as RFC 8489
// section 14.5 wants, FINGERPRINT excepted; of a repeated attribute the first one counts.
func Parse(b []byte, m *Message) error {
	if !IsMessage(b) {
		return ErrNotSTUN
	}
	if n := int(binary.BigEndian.Uint16(b[2:])); n%4 != 0 || n != len(b)-headerLen {
		return ErrMalformed
	}
	t := binary.BigEndian.Uint16(b)
	*m = Message{
		Class:         Class(t>>4&1 | t>>7&2),
		Method:        t&0xF | t>>1&0x70 | t>>2&0xF80,
		TransactionID: [12]byte(b[8:headerLen]),
		raw:           b,
	}
	for at := headerLen; at < len(b); {
		// All lengths are multiples of four, so the attribute's header is there.
		typ, n := binary.BigEndian.Uint16(b[at:]), int(binary.BigEndian.Uint16(b[at+2:]))
		start := at + attrHeaderLen
		next := start + (n+3)&^3
		if next > len(b) {
			return ErrMalformed
		}
		value := b[start : start+n : start+n]
		switch {
		case typ == attrFingerprint:
			if n != 4 || next != len(b) { // it must be the last one
				return ErrMalformed
			}
			if binary.BigEndian.Uint32(value) != fingerprint(b[:at]) {
				return ErrFingerprint
			}
			m.Fingerprint = true
		case m.integrity != 0:
		case typ == attrIntegrity:
			if n != integrityLen {
				return ErrMalformed
			}
			m.integrity = at
		default:
			if !m.attribute(typ, value) {
				return ErrMalformed
			}
		}
		at = next
	}
	return nil
}

// attribute takes note of one attribute and tells whether its form is right.
func (m *Message) attribute(typ uint16, v []byte) bool {
	switch typ {
	case attrUsername:
		if len(v) > maxUsername {
			return false
		}
		if m.Username == nil {
			m.Username = v
		}
	case attrPriority:
		if len(v) != 4 {
			return false
		}
		if m.Priority == 0 {
			m.Priority = binary.BigEndian.Uint32(v)
		}
	case attrUseCandidate:
		m.UseCandidate = true
	case attrControlling, attrControlled:
		if len(v) != 8 {
			return false
		}
		if !m.Controlling && !m.Controlled {
			m.Controlling, m.Controlled = typ == attrControlling, typ == attrControlled
			m.TieBreaker = binary.BigEndian.Uint64(v)
		}
	case attrXORMappedAddress:
		if !m.Mapped.IsValid() {
			return m.readMapped(v)
		}
	case attrErrorCode:
		if len(v) < 4 {
			return false
		}
		m.ErrorCode = int(v[2]&7)*100 + int(v[3])
	case attrMappedAddress, attrUnknown, attrRealm, attrNonce:
	default:
		if typ < 0x8000 && m.unknowns < maxUnknown { // comprehension-required
			m.unknown[m.unknowns] = typ
			m.unknowns++
		}
	}
	return true
}

// readMapped decodes an XOR-MAPPED-ADDRESS (RFC 8489 section 14.2).
func (m *Message) readMapped(v []byte) bool {
	if len(v) < 8 {
		return false
	}
	port := binary.BigEndian.Uint16(v[2:]) ^ magicCookie>>16
	pad := m.raw[4:headerLen] // cookie and transaction id
	switch {
	case v[1] == familyIPv4 && len(v) == 8:
		var a [4]byte
		xor(a[:], v[4:], pad)
		m.Mapped = netip.AddrPortFrom(netip.AddrFrom4(a), port)
	case v[1] == familyIPv6 && len(v) == 20:
		var a [16]byte
		xor(a[:], v[4:], pad)
		m.Mapped = netip.AddrPortFrom(netip.AddrFrom16(a), port)
	default:
		return false
	}
	return true
}

// Unknown returns the attributes that had to be understood and were not, at most eight of them. They are to be
// answered with error 420.
func (m *Message) Unknown() []uint16 { return m.unknown[:m.unknowns] }

// Username splits the USERNAME of a check into the ufrag of the side that receives the check and that of the side
// which sent it (RFC 8445 section 7.2.2). Both are nil if the message has no USERNAME of that form; then it is not a
// connectivity check. The slices point into the message.
func Username(m *Message) (local, remote []byte) {
	for i, c := range m.Username {
		if c == ':' {
			return m.Username[:i:i], m.Username[i+1:]
		}
	}
	return nil, nil
}

// fingerprint computes the FINGERPRINT of the bytes before that attribute (RFC 8489 section 14.7).
func fingerprint(b []byte) uint32 { return crc32.ChecksumIEEE(b) ^ fingerprintX }

func xor(dst, a, b []byte) {
	for i := range dst {
		dst[i] = a[i] ^ b[i]
	}
}
