package wan

import (
	"encoding/binary"
	"net/netip"
)

// notice is what the link tells the sender of a packet that it does not carry.
type notice int

const (
	prohibited notice = iota // no such site. "Administratively prohibited" fails at once in sockets, where "no route" lets them wait
	tooLarge                 // with the MTU
)

// Where the link's own messages come from: documentation addresses (RFC 5737, RFC 3849), so no site can have them.
var (
	link4 = netip.MustParseAddr("192.0.2.1").As4()
	link6 = netip.MustParseAddr("2001:db8::1").As16()
)

const (
	protoICMP   = 1
	protoTCP    = 6
	protoUDP    = 17
	protoICMPv6 = 58
)

// appendNotice appends to dst the ICMP message (RFC 792, RFC 1191, RFC 4443) about packet, or nothing if there must be none: only the first
// fragments of TCP and UDP packets to one receiver are answered, so never an ICMP message, a broadcast or a multicast.
func appendNotice(dst, packet []byte, reason notice, mtu int) []byte {
	switch {
	case len(packet) >= 20 && packet[0]>>4 == 4:
		return appendNotice4(dst, packet, reason, mtu)
	case len(packet) >= 40 && packet[0]>>4 == 6:
		return appendNotice6(dst, packet, reason, mtu)
	}
	return dst
}

func appendNotice4(dst, packet []byte, reason notice, mtu int) []byte {
	header := int(packet[0]&0x0f) * 4
	fragment := binary.BigEndian.Uint16(packet[6:]) & 0x1fff
	protocol := packet[9]
	if header < 20 || len(packet) < header+8 || fragment != 0 || protocol != protoTCP && protocol != protoUDP || packet[16] >= 224 {
		return dst
	}
	quote := packet[:min(len(packet), header+64)] // eight bytes behind the header must be there (RFC 792), more may
	start := len(dst)
	dst = append(dst,
		0x45, 0, 0, 0, // total length below
		0, 0, 0x40, 0, // don't fragment
		64, protoICMP, 0, 0)
	dst = append(dst, link4[:]...)
	dst = append(dst, packet[12:16]...)
	code := byte(13) // communication administratively prohibited (RFC 1812)
	if reason == tooLarge {
		code = 4
	} else {
		mtu = 0
	}
	dst = append(dst, 3, code, 0, 0, 0, 0, byte(mtu>>8), byte(mtu))
	dst = append(dst, quote...)
	message := dst[start:]
	binary.BigEndian.PutUint16(message[2:], uint16(len(message)))
	binary.BigEndian.PutUint16(message[10:], checksum(0, message[:20]))
	binary.BigEndian.PutUint16(message[22:], checksum(0, message[20:]))
	return dst
}

func appendNotice6(dst, packet []byte, reason notice, mtu int) []byte {
	protocol := packet[6] // an extension header is not answered; nobody here sends one but for fragments
	if len(packet) < 48 || protocol != protoTCP && protocol != protoUDP || packet[24] == 0xff {
		return dst
	}
	quote := packet[:min(len(packet), 1280-48)] // the message must fit into the least MTU (RFC 4443 section 2.4)
	start := len(dst)
	dst = append(dst, 0x60, 0, 0, 0, 0, 0, protoICMPv6, 64)
	dst = append(dst, link6[:]...)
	dst = append(dst, packet[8:24]...)
	if reason == tooLarge {
		dst = append(dst, 2, 0, 0, 0)
		dst = binary.BigEndian.AppendUint32(dst, uint32(mtu))
	} else {
		dst = append(dst, 1, 1, 0, 0, 0, 0, 0, 0) // communication administratively prohibited
	}
	dst = append(dst, quote...)
	message := dst[start:]
	length := len(message) - 40
	binary.BigEndian.PutUint16(message[4:], uint16(length))
	// The pseudo-header of RFC 8200 section 8.1: both addresses, the length, and the next header.
	sum := uint32(length) + protoICMPv6
	for i := 8; i < 40; i += 2 {
		sum += uint32(binary.BigEndian.Uint16(message[i:]))
	}
	binary.BigEndian.PutUint16(message[42:], checksum(sum, message[40:]))
	return dst
}

// checksum is the Internet checksum (RFC 1071) of b and what has been summed up before.
func checksum(sum uint32, b []byte) uint16 {
	for ; len(b) >= 2; b = b[2:] {
		sum += uint32(binary.BigEndian.Uint16(b))
	}
	if len(b) == 1 {
		sum += uint32(b[0]) << 8
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
