package peer

import "encoding/binary"

// DTLS records (RFC 6347 section 4.1): type, version, epoch, sequence number, length.
const (
	recordHeader    = 13
	recordCipher    = 20 // ChangeCipherSpec
	recordAlert     = 21
	recordHandshake = 22
)

// unprotected tells whether a datagram has a record in the clear, which anybody can write, once there are keys: an alert would
// end the connection, and so would much that cannot be parsed. A change of cipher is never encrypted, whatever epoch it names. Only the client's last flight may come again, because ours
// got lost; repeat says whether that is still to be expected.
func unprotected(datagram []byte, repeat bool) bool {
	for len(datagram) >= recordHeader {
		kind, epoch := datagram[0], binary.BigEndian.Uint16(datagram[3:])
		body := datagram[recordHeader:]
		body = body[:min(int(binary.BigEndian.Uint16(datagram[11:])), len(body))]
		if epoch == 0 || kind == recordCipher {
			cipher := epoch == 0 && kind == recordCipher && len(body) == 1 && body[0] == 1
			if !repeat || !cipher && kind != recordHandshake {
				return true
			}
		}
		datagram = datagram[recordHeader+len(body):]
	}
	return len(datagram) > 0
}
