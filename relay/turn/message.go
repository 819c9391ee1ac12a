package turn

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/binary"
	"hash/crc32"
	"net/netip"
)

// What this package reads and patches of STUN messages itself. Layout (RFC 8489 section 5):
//
//	 0                   1                   2                   3
//	 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//	+-+-+-------------------------+---------------------------------+
//	|0 0|       message type      |  length of attributes in bytes  |
//	+-+-+-------------------------+---------------------------------+
//	|                     magic cookie 0x2112A442                   |
//	|                   transaction id, 96 bits                     |
//	+---------------------------------------------------------------+
//	|  attribute type             |  length of value                |
//	|  value, padded to 4 bytes                                     |
const (
	headerSize  = 20
	magicCookie = 0x2112A442

	typeBinding             = 0x0001
	typeBindingSuccess      = 0x0101
	typeBindingError        = 0x0111
	typeAllocateSuccess     = 0x0103
	typeRefreshSuccess      = 0x0104
	typeChannelBindError    = 0x0119
	typeConnectionBindReply = 0x010B

	attrUsername          = 0x0006
	attrIntegrity         = 0x0008
	attrErrorCode         = 0x0009
	attrUnknownAttributes = 0x000A
	attrLifetime          = 0x000D
	attrXORMappedAddress  = 0x0020
	attrPriority          = 0x0024
	attrUseCandidate      = 0x0025
	attrFingerprint       = 0x8028

	// fingerprintXOR is XORed to the CRC of FINGERPRINT (RFC 8489 section 14.7).
	fingerprintXOR = 0x5354554e
)

// isMessage tells whether b is one whole STUN message with the magic cookie.
func isMessage(b []byte) bool {
	return len(b) >= headerSize && b[0]&0xC0 == 0 && len(b)%4 == 0 &&
		int(binary.BigEndian.Uint16(b[2:])) == len(b)-headerSize &&
		binary.BigEndian.Uint32(b[4:]) == magicCookie
}

func messageType(b []byte) uint16 { return binary.BigEndian.Uint16(b) }

// next returns the type and value of the attribute at offset and the offset of the one behind it; ok is false at the end
// and where an attribute does not fit.
func next(b []byte, offset int) (kind uint16, value []byte, behind int, ok bool) {
	if offset+4 > len(b) {
		return 0, nil, 0, false
	}
	kind = binary.BigEndian.Uint16(b[offset:])
	n := int(binary.BigEndian.Uint16(b[offset+2:]))
	behind = offset + 4 + (n+3)&^3
	if behind > len(b) {
		return 0, nil, 0, false
	}
	return kind, b[offset+4 : offset+4+n], behind, true
}

// find returns the value of the first attribute of a type, and where the attribute begins; nil if there is none.
func find(b []byte, kind uint16) (value []byte, at int) {
	for offset := headerSize; ; {
		k, v, behind, ok := next(b, offset)
		if !ok {
			return nil, 0
		}
		if k == kind {
			return v, offset
		}
		offset = behind
	}
}

// integrity computes MESSAGE-INTEGRITY (RFC 8489 section 14.5) of a message in which that attribute begins at the offset.
func integrity(b []byte, at int, key []byte) []byte {
	var length [2]byte
	binary.BigEndian.PutUint16(length[:], uint16(at+4+sha1.Size-headerSize))
	mac := hmac.New(sha1.New, key)
	mac.Write(b[:2])
	mac.Write(length[:])
	mac.Write(b[4:at])
	return mac.Sum(nil)
}

// verify tells whether a message is signed with the key. It takes the same time whatever the signature is.
func verify(b, key []byte) bool {
	value, at := find(b, attrIntegrity)
	return len(value) == sha1.Size && hmac.Equal(value, integrity(b, at, key))
}

// sign renews the signature of a patched message.
func sign(b, key []byte) {
	if value, at := find(b, attrIntegrity); len(value) == sha1.Size {
		copy(value, integrity(b, at, key))
	}
}

// AppendBindingResponse appends the answer to a plain STUN Binding request, which tells a client its own address, to dst.
// ok is false, and dst is returned as it was, for anything else: no Binding request, one with a user name (that is ICE's),
// one that does not parse. It needs no state and no server.
//
// The answer carries nothing but the address (FINGERPRINT too if the request had it), so that a forged source address gains
// an attacker next to nothing: a request of 20 bytes, the least there is, gets 32 back over IPv4 and 44 over IPv6. One that
// has attributes which must be understood gets error 420 and the types of the first few.
func AppendBindingResponse(dst, request []byte, from netip.AddrPort) (response []byte, ok bool) {
	if !isMessage(request) || messageType(request) != typeBinding || !from.IsValid() {
		return dst, false
	}
	fingerprint := false
	var unknown [8]uint16
	unknowns := 0
	for offset := headerSize; offset < len(request); {
		kind, _, behind, ok := next(request, offset)
		if !ok || kind == attrUsername {
			return dst, false
		}
		switch {
		case kind == attrFingerprint:
			fingerprint = true
		case kind == attrPriority || kind == attrUseCandidate: // ICE without a user name: nobody's
			return dst, false
		case kind < 0x8000 && unknowns < len(unknown):
			unknown[unknowns] = kind
			unknowns++
		}
		offset = behind
	}
	start := len(dst)
	dst = append(dst, request[:headerSize]...)
	kind := uint16(typeBindingSuccess)
	if unknowns > 0 {
		kind = typeBindingError
		dst = append(dst, 0, attrErrorCode, 0, 4, 0, 0, 4, 20)
		dst = binary.BigEndian.AppendUint16(dst, attrUnknownAttributes)
		dst = binary.BigEndian.AppendUint16(dst, uint16(2*unknowns))
		for _, u := range unknown[:unknowns] {
			dst = binary.BigEndian.AppendUint16(dst, u)
		}
		if unknowns%2 == 1 {
			dst = append(dst, 0, 0)
		}
	} else {
		dst = appendXORAddress(dst, attrXORMappedAddress, from, request)
	}
	binary.BigEndian.PutUint16(dst[start:], kind)
	binary.BigEndian.PutUint16(dst[start+2:], uint16(len(dst)-start-headerSize))
	if fingerprint {
		binary.BigEndian.PutUint16(dst[start+2:], uint16(len(dst)-start-headerSize+8))
		sum := crc32.ChecksumIEEE(dst[start:]) ^ fingerprintXOR
		dst = append(dst, attrFingerprint>>8, attrFingerprint&0xFF, 0, 4)
		dst = binary.BigEndian.AppendUint32(dst, sum)
	}
	return dst, true
}

// appendXORAddress appends an attribute with an address, XORed with the cookie and transaction id of the message
// (RFC 8489 section 14.2).
func appendXORAddress(dst []byte, kind uint16, a netip.AddrPort, message []byte) []byte {
	addr := a.Addr().Unmap()
	dst = binary.BigEndian.AppendUint16(dst, kind)
	if addr.Is4() {
		dst = append(dst, 0, 8, 0, 1)
	} else {
		dst = append(dst, 0, 20, 0, 2)
	}
	dst = binary.BigEndian.AppendUint16(dst, a.Port()^magicCookie>>16)
	ip := addr.As16()
	raw := ip[:]
	if addr.Is4() {
		raw = ip[12:]
	}
	for i, b := range raw {
		dst = append(dst, b^message[4+i])
	}
	return dst
}
