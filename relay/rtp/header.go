package rtp

import (
	"encoding/binary"
	"errors"
)

// Sizes and numbers of the header.
const (
	HeaderSize = 12 // bytes of the fixed header

	ProfileOneByte uint16 = 0xBEDE // RFC 8285 section 4.2
	ProfileTwoByte uint16 = 0x1000 // RFC 8285 section 4.3; the low four bits are the application's

	extensionHeaderSize = 4

	versionBits  = 2 << 6
	paddingBit   = 1 << 5
	extensionBit = 1 << 4
	markerBit    = 1 << 7
)

var (
	// ErrShort says that a packet ends before its header does.
	ErrShort = errors.New("rtp: packet shorter than its header")
	// ErrVersion says that a packet is not of RTP version 2.
	ErrVersion = errors.New("rtp: version is not 2")
)

// Header is a parsed RTP header. Extensions points into the packet it was parsed from and lives no longer than that.
type Header struct {
	Padding        bool // the payload ends with padding, see [StripPadding]; under SRTP only after decryption
	Marker         bool
	PayloadType    uint8 // 7 bits
	SequenceNumber uint16
	Timestamp      uint32
	SSRC           uint32
	Len            int    // bytes of the whole header: the payload begins here
	Profile        uint16 // "defined by profile" field of the extension; 0 without one
	Extensions     []byte // body of the extension, a multiple of four bytes; nil without one
}

// Parse reads the header of the packet b into h, which is overwritten. After an error h is unspecified.
// The elements of the extension are not looked at: a malformed one must not cost the media, see [Elements.Next].
func Parse(b []byte, h *Header) error {
	if len(b) < HeaderSize {
		return ErrShort
	}
	if b[0]&0xc0 != versionBits {
		return ErrVersion
	}
	n := HeaderSize + 4*int(b[0]&0x0f)
	h.Profile, h.Extensions = 0, nil
	if b[0]&extensionBit != 0 {
		if len(b) < n+extensionHeaderSize {
			return ErrShort
		}
		body := n + extensionHeaderSize
		end := body + 4*int(binary.BigEndian.Uint16(b[n+2:]))
		if len(b) < end {
			return ErrShort
		}
		h.Profile = binary.BigEndian.Uint16(b[n:])
		h.Extensions = b[body:end:end]
		n = end
	}
	if len(b) < n {
		return ErrShort
	}
	h.Padding = b[0]&paddingBit != 0
	h.Marker = b[1]&markerBit != 0
	h.PayloadType = b[1] &^ markerBit
	h.SequenceNumber = binary.BigEndian.Uint16(b[2:])
	h.Timestamp = binary.BigEndian.Uint32(b[4:])
	h.SSRC = binary.BigEndian.Uint32(b[8:])
	h.Len = n
	return nil
}

// AppendHeader appends the fixed header of h to dst: no CSRCs and no extension, which an [ExtWriter] adds.
func AppendHeader(dst []byte, h *Header) []byte {
	first, second := byte(versionBits), h.PayloadType&^markerBit
	if h.Padding {
		first |= paddingBit
	}
	if h.Marker {
		second |= markerBit
	}
	dst = append(dst, first, second)
	dst = binary.BigEndian.AppendUint16(dst, h.SequenceNumber)
	dst = binary.BigEndian.AppendUint32(dst, h.Timestamp)
	return binary.BigEndian.AppendUint32(dst, h.SSRC)
}

// StripPadding takes the padding off the payload of a packet whose header has [Header.Padding] set (RFC 3550 section
// 5.1: the last byte counts the padding, itself included). ok is false when that count is impossible; the payload is
// then not to be trusted.
func StripPadding(payload []byte) (stripped []byte, ok bool) {
	if len(payload) == 0 {
		return payload, false
	}
	n := int(payload[len(payload)-1])
	if n == 0 || n > len(payload) {
		return payload, false
	}
	return payload[:len(payload)-n], true
}
