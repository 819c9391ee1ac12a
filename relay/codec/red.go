package codec

import "encoding/binary"

// PrimaryBlock returns the payload type and the data of the primary block of a RED payload (RFC 2198 section 3): the
// newest one, which comes last. ok is false when the payload is malformed.
//
//	|1| block PT (7) | timestamp offset (14) | block length (10) |   for each redundant block
//	|0| block PT (7) |                                               for the primary one
func PrimaryBlock(payload []byte) (pt uint8, data []byte, ok bool) {
	redundant := 0
	for len(payload) > 0 && payload[0]&0x80 != 0 {
		if len(payload) < 4 {
			return 0, nil, false
		}
		redundant += int(binary.BigEndian.Uint16(payload[2:]) & 0x03ff)
		payload = payload[4:]
	}
	if len(payload) < 1+redundant {
		return 0, nil, false
	}
	return payload[0] & 0x7f, payload[1+redundant:], true
}
