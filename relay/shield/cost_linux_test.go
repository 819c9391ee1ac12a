package shield

import (
	"context"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/quic-go/quic-go"

	"cardea/relay/udp"
)

func cpu() time.Duration {
	var r unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_SELF, &r)
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// lossy is a socket that loses a share of what it sends.
type lossy struct {
	*udp.Socket
	share float64
}

func (l *lossy) WriteTo(b []byte, to netip.AddrPort) error {
	if l.share > 0 && rand.Float64() < l.share {
		return nil
	}
	return l.Socket.WriteTo(b, to)
}

func loopback(b *testing.B, shielded bool, share float64) *node {
	b.Helper()
	if !shielded {
		pc, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			b.Fatal(err)
		}
		return &node{transport: &quic.Transport{Conn: pc}}
	}
	s, err := udp.Listen(udp.Config{Address: netip.MustParseAddrPort("127.0.0.1:0"), ReadBuffer: 7 << 20, WriteBuffer: 7 << 20})
	if err != nil {
		b.Fatal(err)
	}
	c, err := New(&lossy{s[0], share}, Config{InitialRate: 1e9})
	if err != nil {
		b.Fatal(err)
	}
	return &node{shield: c, transport: &quic.Transport{Conn: c}}
}

// BenchmarkLink sends datagrams of 1,250 bytes over loopback in bursts of seven, 20 Mbit/s in all, and counts the CPU time of the process per
// datagram, sender and receiver together. Run it with -benchtime 20000x.
func BenchmarkLink(b *testing.B) {
	for _, bc := range []struct {
		name     string
		shielded bool
		share    float64
	}{{"bare", false, 0}, {"shield", true, 0}, {"shield-1%", true, 0.01}, {"shield-3%", true, 0.03}} {
		b.Run(bc.name, func(b *testing.B) {
			x, y := loopback(b, bc.shielded, bc.share), loopback(b, bc.shielded, bc.share)
			connect(b, x, y)
			grow(b, x.conn, 1250)
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			var got atomic.Int64
			done := make(chan struct{})
			go func() {
				defer close(done)
				for {
					if _, err := y.conn.ReceiveDatagram(ctx); err != nil {
						return
					}
					got.Add(1)
				}
			}()
			p := make([]byte, 1250)
			send := func(n int) {
				start := time.Now()
				for i := 0; i < n; i += 7 {
					for range 7 {
						if err := x.conn.SendDatagram(p); err != nil {
							b.Fatal(err)
						}
					}
					time.Sleep(time.Until(start.Add(time.Duration(i+7) * 500 * time.Microsecond)))
				}
			}
			send(4000)
			got.Store(0)
			b.ReportAllocs()
			b.ResetTimer()
			before := cpu()
			send(b.N)
			time.Sleep(20 * time.Millisecond)
			used := cpu() - before
			b.StopTimer()
			b.ReportMetric(float64(used.Nanoseconds())/1e3/float64(b.N), "cpu-us/packet")
			b.ReportMetric(float64(got.Load())/float64(b.N)*100, "%arrived")
			b.ReportMetric(0, "ns/op")
			cancel()
			<-done
			x.close()
			y.close()
		})
	}
}
