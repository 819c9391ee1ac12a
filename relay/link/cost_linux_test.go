package link

import (
	"context"
	"crypto/tls"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"golang.org/x/sys/unix"

	"cardea/relay/plane"
	"cardea/relay/stream"
	"cardea/relay/udp"
)

func cpu() time.Duration {
	var r unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_SELF, &r)
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// BenchmarkFlow carries 20 Mbit/s of video over loopback, packets of 1,200 bytes in bursts of seven, and counts the CPU time of the process per packet and
// side: as a flow from stream to stream, and as bare datagrams of quic-go. Run it with -benchtime 20000x.
func BenchmarkFlow(b *testing.B) {
	const size = 1200
	run := func(b *testing.B, send func(n int64), flush func(), arrived func() uint64) {
		var n int64
		offer := func(count int) {
			start := time.Now()
			for i := 0; i < count; i += 7 {
				for range 7 {
					send(n)
					n++
				}
				flush()
				time.Sleep(time.Until(start.Add(time.Duration(i+7) * 500 * time.Microsecond)))
			}
		}
		offer(4000)
		before, cpuBefore := arrived(), time.Duration(0)
		b.ReportAllocs()
		b.ResetTimer()
		cpuBefore = cpu()
		offer(b.N)
		time.Sleep(20 * time.Millisecond)
		used := cpu() - cpuBefore
		b.StopTimer()
		b.ReportMetric(float64(used.Nanoseconds())/2e3/float64(b.N), "cpu-us/packet/side")
		b.ReportMetric(float64(arrived()-before)/float64(b.N)*100, "%arrived")
		b.ReportMetric(0, "ns/op")
	}
	b.Run("bare", func(b *testing.B) {
		from, to := bare(b)
		var got atomic.Uint64
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() {
			defer close(done)
			for {
				if _, err := to.ReceiveDatagram(ctx); err != nil {
					return
				}
				got.Add(1)
			}
		}()
		p := make([]byte, size)
		run(b, func(int64) {
			if err := from.SendDatagram(p); err != nil {
				b.Fatal(err)
			}
		}, func() {}, got.Load)
		cancel()
		<-done
	})
	b.Run("flow", func(b *testing.B) {
		c := newCluster(b)
		x, y := c.node(), c.node()
		s := stream.New(config(plane.Video, 1, false))
		_, i, _ := hop(b, x, y, s, 1)
		now := testClock().Now
		run(b, func(n int64) { publish(s, 0, n, size-40, now()) }, func() { s.Flush(now(), nil) }, func() uint64 { return i.Stats().Packets })
		b.ReportMetric(100*x.to(b, y).Row().Overhead, "%parity")
	})
	b.Run("publish", func(b *testing.B) { // what the test itself costs
		s := stream.New(config(plane.Video, 1, false))
		now := testClock().Now
		var n atomic.Uint64
		run(b, func(seq int64) { publish(s, 0, seq, size-40, now()); n.Add(1) }, func() { s.Flush(now(), nil) }, n.Load)
	})
}

// bare returns both ends of a QUIC connection without shield.
func bare(b *testing.B) (from, to *quic.Conn) {
	ca := newAuthority(b)
	cert, _ := ca.issue(b)
	var transports [2]*quic.Transport
	for i := range transports {
		pc, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			b.Fatal(err)
		}
		transports[i] = &quic.Transport{Conn: pc}
		b.Cleanup(func() {
			transports[i].Close()
			pc.Close()
		})
	}
	cfg := &quic.Config{EnableDatagrams: true, InitialPacketSize: 1280}
	ln, err := transports[1].Listen(&tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"x"}}, cfg)
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if from, err = transports[0].Dial(ctx, ln.Addr(), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"x"}}, cfg); err != nil {
		b.Fatal(err)
	}
	if to, err = ln.Accept(ctx); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		from.CloseWithError(0, "")
		to.CloseWithError(0, "")
	})
	return from, to
}

// TestNoGarbage: in the steady state a packet costs what quic-go allocates for it, and nothing of ours.
func TestNoGarbage(t *testing.T) {
	c := newCluster(t)
	x, y := c.node(), c.node()
	l, back := x.to(t, y), y.to(t, x)
	s := stream.New(config(plane.Video, 1, false))
	next := stream.New(config(plane.Video, 1, true))
	flow := back.NewFlow()
	in := back.Import(flow, next)
	out := l.Export(flow, s, 1)
	seq := int64(1 << 20)
	k := &capture{flow: flow}
	s.AddSink(k)
	publish(s, 0, seq, 1100, 1)
	s.Flush(1, nil)
	packet := append([]byte(nil), k.b...)
	s.RemoveSink(k)
	var burst []*stream.Packet
	s.AddSink(take{&burst})
	publish(s, 0, seq+1, 1100, 1)
	s.Flush(1, nil)
	out.Close() // its own goroutine allocates in QUIC
	x.Endpoint.Drop("nobody")
	s.Lock()
	defer s.Unlock()
	out.live, out.layers = 1, 1
	for range 5000 { // the queue has its memory, and drops what is too much
		out.Forward(burst, 1, nil)
	}
	if n := testing.AllocsPerRun(1000, func() { out.Forward(burst, 1, nil) }); n >= 1 {
		t.Errorf("%v allocations a packet sent", n)
	}
	f := &back.flows
	f.mu.Lock()
	defer f.mu.Unlock()
	now := int64(1)
	if n := testing.AllocsPerRun(1000, func() {
		seq++
		now += 1e6
		packet[2+2], packet[2+3] = byte(seq>>8), byte(seq)
		back.datagram(packet, now)
		back.flush(now)
	}); n >= 1 {
		t.Errorf("%v allocations a packet received", n)
	}
	if in.Stats().Packets < 900 {
		t.Errorf("%+v", in.Stats())
	}
}

// take keeps the packets it is shown, which is only good while nothing else comes.
type take struct{ burst *[]*stream.Packet }

func (k take) Forward(burst []*stream.Packet, _ int64, _ *udp.Outbox) {
	*k.burst = append((*k.burst)[:0], burst...)
}
func (k take) Layers(int64) uint8 { return 1 }
