package srtp

import "testing"

func BenchmarkProtect(b *testing.B) {
	for _, p := range profiles {
		b.Run(p.String(), func(b *testing.B) {
			s := testKeys(b, p).NewSender(1)
			buf := rtpPacket(1, 0, 1200, 40)
			b.ReportAllocs()
			b.SetBytes(1200)
			for i := uint64(0); b.Loop(); i++ {
				s.Protect(buf[:1200], 12, i)
			}
		})
	}
}

func BenchmarkOpen(b *testing.B) {
	for _, p := range profiles {
		b.Run(p.String(), func(b *testing.B) {
			packet := testKeys(b, p).NewSender(1).Protect(rtpPacket(1, 0, 1200, 40), 12, 0)
			r := testKeys(b, p).NewReceiver(1)
			dst := make([]byte, 1500)
			b.ReportAllocs()
			b.SetBytes(1200)
			for b.Loop() {
				if _, _, err := r.Open(dst, packet, 12); err != nil {
					b.Fatal(err)
				}
				r.seen = replay{}
			}
		})
	}
}

func BenchmarkPionProtect(b *testing.B) {
	for _, p := range profiles {
		b.Run(p.String(), func(b *testing.B) {
			c := pionContext(b, p)
			packet := rtpPacket(1, 0, 1200, 0)
			out := make([]byte, 0, 1500)
			b.ReportAllocs()
			b.SetBytes(1200)
			for i := uint16(0); b.Loop(); i++ {
				packet[2], packet[3] = byte(i>>8), byte(i)
				if _, err := c.EncryptRTP(out, packet, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkProtectRTCP(b *testing.B) {
	for _, p := range profiles {
		b.Run(p.String(), func(b *testing.B) {
			k := testKeys(b, p)
			packet, out := rtcpPacket(1, 100), make([]byte, 0, 200)
			b.ReportAllocs()
			for b.Loop() {
				k.ProtectRTCP(out, packet)
			}
		})
	}
}
