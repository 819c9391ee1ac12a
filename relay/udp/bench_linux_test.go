package udp

import (
	"fmt"
	"net"
	"net/netip"
	"testing"
)

// The benchmarks send 1,200-byte packets to 16 sockets that nobody reads, so that what is measured is sending: once their buffers are
// full the kernel drops at the door. One op is one packet.
const benchSize, benchDestinations = 1200, 16

func destinations(b *testing.B) []netip.AddrPort {
	to := make([]netip.AddrPort, benchDestinations)
	for i := range to {
		s, err := Listen(Config{Address: loopbacks["IPv4"], ReadBuffer: 4096})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { s[0].Close() })
		to[i] = s[0].LocalAddr()
	}
	return to
}

func BenchmarkSend(b *testing.B) {
	b.Run("WriteToUDPAddrPort", func(b *testing.B) {
		to := destinations(b)
		c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			b.Fatal(err)
		}
		defer c.Close()
		p := make([]byte, benchSize)
		b.SetBytes(benchSize)
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			if _, err := c.WriteToUDPAddrPort(p, to[i%len(to)]); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("WriteTo", func(b *testing.B) {
		to, s := destinations(b), listen(b, loopbacks["IPv4"])
		p := make([]byte, benchSize)
		b.SetBytes(benchSize)
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			if err := s.WriteTo(p, to[i%len(to)]); err != nil {
				b.Fatal(err)
			}
		}
	})
	// burst is how many packets in a row go to one destination: 1 is plain sendmmsg.
	for _, burst := range []int{1, 4, 8, 16} {
		b.Run(fmt.Sprintf("Batch/burst=%d", burst), func(b *testing.B) {
			to, s := destinations(b), listen(b, loopbacks["IPv4"])
			batch := s.NewBatch()
			b.SetBytes(benchSize)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				batch.Reserve(to[i/burst%len(to)], benchSize)
				batch.Commit(benchSize)
				if i%64 == 63 {
					_ = batch.Flush()
				}
			}
			_ = batch.Flush()
		})
	}
}

// BenchmarkReceive sends bursts of packets to one socket and reads them back; compare with BenchmarkSend of the same burst.
func BenchmarkReceive(b *testing.B) {
	for _, burst := range []int{1, 4, 16} {
		b.Run(fmt.Sprintf("burst=%d", burst), func(b *testing.B) {
			to := listen(b, loopbacks["IPv4"])
			senders := make([]*Batch, 64/burst) // GRO joins only packets of one sender
			for i := range senders {
				senders[i] = listen(b, loopbacks["IPv4"]).NewBatch()
			}
			in := make([]Datagram, 64)
			b.SetBytes(benchSize)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				batch := senders[i/burst%len(senders)]
				batch.Reserve(to.LocalAddr(), benchSize)
				batch.Commit(benchSize)
				if i%burst == burst-1 {
					_ = batch.Flush()
				}
				if i%64 != 63 {
					continue
				}
				for n := 0; n < 64; {
					k, err := to.ReadBatch(in)
					if err != nil {
						b.Fatal(err)
					}
					n += k
				}
			}
		})
	}
}
