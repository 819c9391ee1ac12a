package wan

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

func packet4(protocol byte, size int) []byte {
	b := make([]byte, size)
	datagram(b, 0, 1, 7)
	b[9] = protocol
	return b
}

func packet6(protocol byte, size int) []byte {
	b := make([]byte, size)
	b[0], b[6], b[7] = 0x60, protocol, 64
	binary.BigEndian.PutUint16(b[4:], uint16(size-40))
	copy(b[8:], netip.MustParseAddr("fd00:1::1").AsSlice())
	copy(b[24:], netip.MustParseAddr("fd00:2::1").AsSlice())
	return b
}

func TestNotice4(t *testing.T) {
	for _, reason := range []notice{prohibited, tooLarge} {
		packet := packet4(protoUDP, 1400)
		b := appendNotice(nil, packet, reason, 1280)
		h, err := ipv4.ParseHeader(b)
		if err != nil {
			t.Fatal(err)
		}
		if h.TotalLen != len(b) || !h.Dst.Equal(packet[12:16]) || h.Src.String() != "192.0.2.1" || h.Protocol != protoICMP {
			t.Errorf("header %v", h)
		}
		if checksum(0, b[:20]) != 0 || checksum(0, b[20:]) != 0 {
			t.Error("wrong checksum")
		}
		m, err := icmp.ParseMessage(protoICMP, b[20:])
		if err != nil {
			t.Fatal(err)
		}
		code, mtu := 13, uint16(0)
		if reason == tooLarge {
			code, mtu = 4, 1280
		}
		quote := m.Body.(*icmp.DstUnreach).Data
		if m.Type != ipv4.ICMPTypeDestinationUnreachable || m.Code != code || binary.BigEndian.Uint16(b[26:]) != mtu ||
			!bytes.HasPrefix(packet, quote) || len(quote) != 84 {
			t.Errorf("message %+v, MTU %d", m, binary.BigEndian.Uint16(b[26:]))
		}
	}
}

func TestNotice6(t *testing.T) {
	for _, reason := range []notice{prohibited, tooLarge} {
		packet := packet6(protoTCP, 1401)
		b := appendNotice(nil, packet, reason, 1300)
		h, err := ipv6.ParseHeader(b)
		if err != nil {
			t.Fatal(err)
		}
		if h.PayloadLen != len(b)-40 || len(b) != 1280 || !h.Dst.Equal(packet[8:24]) || h.NextHeader != protoICMPv6 {
			t.Errorf("header %v, %d bytes", h, len(b))
		}
		pseudo := icmp.IPv6PseudoHeader(h.Src, h.Dst) // with a length of zero
		binary.BigEndian.PutUint32(pseudo[32:], uint32(h.PayloadLen))
		if checksum(0, append(pseudo, b[40:]...)) != 0 {
			t.Error("wrong checksum")
		}
		m, err := icmp.ParseMessage(protoICMPv6, b[40:])
		if err != nil {
			t.Fatal(err)
		}
		if reason == tooLarge {
			body := m.Body.(*icmp.PacketTooBig)
			if m.Type != ipv6.ICMPTypePacketTooBig || body.MTU != 1300 || !bytes.HasPrefix(packet, body.Data) {
				t.Errorf("message %+v", m)
			}
		} else if body := m.Body.(*icmp.DstUnreach); m.Type != ipv6.ICMPTypeDestinationUnreachable || m.Code != 1 || !bytes.HasPrefix(packet, body.Data) {
			t.Errorf("message %+v", m)
		}
	}
}

func TestNoNotice(t *testing.T) {
	change := func(b []byte, f func([]byte)) []byte { f(b); return b }
	for name, packet := range map[string][]byte{
		"nothing":         nil,
		"echo":            packet4(protoICMP, 100),
		"v6 echo":         packet6(protoICMPv6, 100),
		"short":           packet4(protoUDP, 32)[:27],
		"v6 short":        packet6(protoUDP, 48)[:47],
		"later fragment":  change(packet4(protoUDP, 100), func(b []byte) { b[7] = 1 }),
		"multicast":       change(packet4(protoUDP, 100), func(b []byte) { b[16] = 224 }),
		"broadcast":       change(packet4(protoUDP, 100), func(b []byte) { copy(b[16:], "\xff\xff\xff\xff") }),
		"v6 multicast":    change(packet6(protoUDP, 100), func(b []byte) { b[24] = 0xff }),
		"lying header":    change(packet4(protoUDP, 32), func(b []byte) { b[0] = 0x4f }),
		"no header":       change(packet4(protoUDP, 32), func(b []byte) { b[0] = 0x41 }),
		"another version": change(packet4(protoUDP, 32), func(b []byte) { b[0] = 0x55 }),
	} {
		if b := appendNotice(nil, packet, prohibited, 0); len(b) != 0 {
			t.Errorf("%s is answered: %x", name, b)
		}
	}
}

// Processes at a site may send any bytes.
func FuzzEnter(f *testing.F) {
	f.Add(packet4(protoUDP, 60), true)
	f.Add(packet6(protoTCP, 60), false)
	f.Add([]byte{0x4f}, true)
	f.Fuzz(func(t *testing.T, b []byte, large bool) {
		mtu := MinMTU
		if !large {
			mtu = 0
		}
		v := newVirtual(pairOf(Conditions{MTU: mtu}))
		p := v.take()
		p.size = copy(p.data, b)
		v.enter(0, 0, p)
		v.drain()
		if len(v.arrivals) > 1 {
			t.Fatalf("%x became %+v", b, v.arrivals)
		}
		for _, a := range v.arrivals {
			if a.site == 0 && a.size > 1280 {
				t.Fatalf("a notice of %d bytes", a.size)
			}
		}
	})
}
