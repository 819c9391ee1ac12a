package ice

import (
	"crypto/hmac"
	"crypto/sha1" // RFC 8489 section 14.5 demands it
	"encoding/binary"
	"hash"
	"net/netip"
)

const (
	familyIPv4 = 1
	familyIPv6 = 2
)

// Error codes of STUN and ICE that the node answers with.
const (
	CodeBadRequest       = 400
	CodeUnauthenticated  = 401
	CodeUnknownAttribute = 420
	CodeRoleConflict     = 487
)

// ReplyLen is room enough for any reply this package builds, bytes.
const ReplyLen = 128

// reason is the phrase that goes with a code, short enough to keep replies below [ReplyLen].
func reason(code int) string {
	switch code {
	case CodeBadRequest:
		return "Bad Request"
	case CodeUnauthenticated:
		return "Unauthenticated"
	case CodeUnknownAttribute:
		return "Unknown Attribute"
	case CodeRoleConflict:
		return "Role Conflict"
	}
	return ""
}

// Key is a short-term password made ready for MESSAGE-INTEGRITY, so that a check costs no allocation.
// It is not safe for concurrent use.
type Key struct {
	mac hash.Hash
	buf [headerLen]byte // here because what is handed to an interface would else be allocated each time
	sum [integrityLen]byte
}

// NewKey prepares a password, which must consist of ice-chars (others would need SASLprep).
func NewKey(password string) *Key {
	return &Key{mac: hmac.New(sha1.New, []byte(password))}
}

// compute leaves in k.sum the HMAC of b up to its MESSAGE-INTEGRITY attribute at offset at. The length in the header
// counts as if the message ended with that attribute.
func (k *Key) compute(b []byte, at int) {
	copy(k.buf[:], b)
	binary.BigEndian.PutUint16(k.buf[2:], uint16(at+attrHeaderLen+integrityLen-headerLen))
	k.mac.Reset()
	k.mac.Write(k.buf[:])
	k.mac.Write(b[headerLen:at])
	k.mac.Sum(k.sum[:0])
}

// HasIntegrity tells whether the message carries a MESSAGE-INTEGRITY.
func (m *Message) HasIntegrity() bool { return m.integrity != 0 }

// Authentic tells, in constant time, whether the message carries the MESSAGE-INTEGRITY that the key makes. The parsed
// bytes must not have changed since.
func (m *Message) Authentic(k *Key) bool {
	if m.integrity == 0 {
		return false
	}
	k.compute(m.raw, m.integrity)
	at := m.integrity + attrHeaderLen
	return hmac.Equal(k.sum[:], m.raw[at:at+integrityLen])
}

// AppendSuccess appends the success response to request m, saying that it came from the given address, to dst.
func AppendSuccess(dst []byte, m *Message, from netip.AddrPort, k *Key) []byte {
	start := len(dst)
	dst = appendHeader(dst, m, Success)
	dst = appendMapped(dst, from, dst[start+4:start+headerLen])
	return finish(dst, start, k)
}

// AppendFailure appends the error response to request m to dst. Code 420 lists what m had of unknown attributes. With
// a nil key the response has no MESSAGE-INTEGRITY, as it must be when the request was not authenticated.
func AppendFailure(dst []byte, m *Message, code int, k *Key) []byte {
	start := len(dst)
	dst = appendHeader(dst, m, Failure)
	phrase := reason(code)
	dst = appendAttribute(dst, attrErrorCode, 4+len(phrase))
	dst = append(dst, 0, 0, byte(code/100), byte(code%100))
	dst = append(dst, phrase...)
	dst = appendPadding(dst, len(phrase))
	if code == CodeUnknownAttribute {
		dst = appendAttribute(dst, attrUnknown, 2*m.unknowns)
		for _, t := range m.Unknown() {
			dst = binary.BigEndian.AppendUint16(dst, t)
		}
		dst = appendPadding(dst, 2*m.unknowns)
	}
	return finish(dst, start, k)
}

// appendHeader begins a response to m; the length is filled in by finish.
func appendHeader(dst []byte, m *Message, c Class) []byte {
	t := m.Method&0xF | m.Method&0x70<<1 | m.Method&0xF80<<2 | uint16(c)&1<<4 | uint16(c)&2<<7
	dst = binary.BigEndian.AppendUint16(dst, t)
	dst = append(dst, 0, 0)
	dst = binary.BigEndian.AppendUint32(dst, magicCookie)
	return append(dst, m.TransactionID[:]...)
}

func appendAttribute(dst []byte, typ uint16, n int) []byte {
	dst = binary.BigEndian.AppendUint16(dst, typ)
	return binary.BigEndian.AppendUint16(dst, uint16(n))
}

func appendPadding(dst []byte, n int) []byte {
	for ; n%4 != 0; n++ {
		dst = append(dst, 0)
	}
	return dst
}

// appendMapped appends an XOR-MAPPED-ADDRESS; pad is the message's cookie and transaction id.
func appendMapped(dst []byte, from netip.AddrPort, pad []byte) []byte {
	addr := from.Addr().Unmap()
	var ip [16]byte
	n, family := 16, byte(familyIPv6)
	if addr.Is4() {
		a := addr.As4()
		n, family = copy(ip[:], a[:]), familyIPv4
	} else {
		ip = addr.As16()
	}
	var mask [16]byte
	copy(mask[:], pad) // dst may move
	dst = appendAttribute(dst, attrXORMappedAddress, 4+n)
	dst = append(dst, 0, family)
	dst = binary.BigEndian.AppendUint16(dst, from.Port()^magicCookie>>16)
	xor(ip[:n], ip[:n], mask[:])
	return append(dst, ip[:n]...)
}

// finish adds MESSAGE-INTEGRITY (unless the key is nil) and FINGERPRINT to the message at start and sets its length.
func finish(dst []byte, start int, k *Key) []byte {
	if k != nil {
		at := len(dst) - start
		k.compute(dst[start:], at)
		dst = appendAttribute(dst, attrIntegrity, integrityLen)
		dst = append(dst, k.sum[:]...)
	}
	n := len(dst) - start
	binary.BigEndian.PutUint16(dst[start+2:], uint16(n+attrHeaderLen+4-headerLen))
	f := fingerprint(dst[start:])
	dst = appendAttribute(dst, attrFingerprint, 4)
	return binary.BigEndian.AppendUint32(dst, f)
}
