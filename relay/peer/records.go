package peer

import "encoding/binary"

// DTLS records (RFC 6347 section 4.1): type, version, epoch, sequence number, length.
const (
	recordHeader    = 13
	recordAlert     = 21
	recordHandshake = 22
	recordCipher    = 20 // ChangeCipherSpec
)

// unprotected tells whether a datagram has a record that nobody who knows the keys sends once there are any. Anybody can write
// an alert in the clear, and it would end the connection; handshake messages in the clear may be the last flight again,
// which got lost on its way.
func unprotected(datagram []byte) bool {
	for len(datagram) >= recordHeader {
		kind, epoch := datagram[0], binary.BigEndian.Uint16(datagram[3:])
		if epoch == 0 && kind != recordHandshake && kind != recordCipher {
			return true
		}
		datagram = datagram[min(recordHeader+int(binary.BigEndian.Uint16(datagram[11:])), len(datagram)):]
	}
	return len(datagram) > 0
}
