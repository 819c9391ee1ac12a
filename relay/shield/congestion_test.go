package shield

import (
	"context"
	"encoding/binary"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"text/tabwriter"
	"time"

	"cardea/relay/shield/queue"
)

// bulk sends as much as QUIC's Reno lets it until ctx ends, and counts what arrives.
type bulk struct {
	mu    sync.Mutex
	bytes int
}

func (f *bulk) read() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.bytes
}

func (f *bulk) run(ctx context.Context, a, b *node) {
	var wg sync.WaitGroup
	wg.Go(func() {
		s, err := b.conn.AcceptUniStream(ctx)
		if err != nil {
			return
		}
		buf := make([]byte, 64<<10)
		for {
			n, err := s.Read(buf)
			f.mu.Lock()
			f.bytes += n
			f.mu.Unlock()
			if err != nil {
				return
			}
		}
	})
	s, err := a.conn.OpenUniStream()
	if err == nil {
		buf := make([]byte, 64<<10)
		for ctx.Err() == nil {
			if _, err := s.Write(buf); err != nil {
				break
			}
		}
		s.CancelWrite(0)
	}
	a.conn.CloseWithError(0, "")
	wg.Wait()
}

// call is audio and two layers of video through the queue and a link.
type call struct {
	mu sync.Mutex
	counts
}

// counts are packets of each kind, and bytes that arrived.
type counts struct {
	sent, got [3]int // got: within 300 ms
	bytes     int
}

func (k *call) read() counts {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.counts
}

func (c counts) minus(o counts) counts {
	for i := range c.sent {
		c.sent[i] -= o.sent[i]
		c.got[i] -= o.got[i]
	}
	c.bytes -= o.bytes
	return c
}

// share of the packets of a kind that did not arrive. What was on its way at either end counts too, some packets.
func (c counts) share(i int) float64 { return max(1-float64(c.got[i])/float64(max(c.sent[i], 1)), 0) }

var classes = [3]queue.Class{queue.Audio, queue.Base, queue.Enhancement}

// run sends 64 kbit/s of audio, 2 Mbit/s of base layers and the rest of rate as enhancements.
func (k *call) run(ctx context.Context, a, b *node, rate float64) {
	q := queue.New(1e6)
	var wg sync.WaitGroup
	to := b.shield.socket.LocalAddr()
	wg.Go(func() { _ = q.Run(ctx, a.conn.SendDatagram, func() int { return a.shield.Budget(to) }) })
	wg.Go(func() {
		for {
			p, err := b.conn.ReceiveDatagram(ctx)
			if err != nil {
				return
			}
			if len(p) < 9 || p[0] > 2 {
				continue
			}
			k.mu.Lock()
			k.bytes += len(p)
			if time.Since(time.Unix(0, int64(binary.BigEndian.Uint64(p[1:])))) <= 300*time.Millisecond {
				k.got[p[0]]++
			}
			k.mu.Unlock()
		}
	})
	stream := func(class byte, size int, rate float64, burst int) {
		wg.Go(func() {
			gap := time.Duration(float64(size*burst*8) / rate * 1e9)
			for next := time.Now(); ctx.Err() == nil; next = next.Add(gap) {
				time.Sleep(time.Until(next))
				for range burst {
					p := make([]byte, size)
					p[0] = class
					binary.BigEndian.PutUint64(p[1:], uint64(time.Now().UnixNano()))
					k.mu.Lock()
					k.sent[class]++
					k.mu.Unlock()
					q.Push(p, classes[class])
				}
			}
		})
	}
	stream(0, 160, 64e3, 1)
	stream(1, 1250, 2e6, 7)
	stream(2, 1250, rate-2e6, 7)
	// padding, until the window is open
	for range 3000 {
		if a.conn.ConnectionStats().CongestionWindow > 1.5e6 || ctx.Err() != nil {
			break
		}
		q.Push(append([]byte{9}, make([]byte, 1200)...), queue.Padding)
		time.Sleep(time.Millisecond)
	}
	<-ctx.Done()
	wg.Wait()
}

// A bottleneck of 25 Mbit/s with a drop-tail queue of 60 ms, 150 ms of round trip: a link that is offered 20 Mbit/s, first alone, then
// beside a TCP-like flow (a stream of bare QUIC, whose controller is Reno), then alone again.
func TestBottleneck(t *testing.T) {
	if !full {
		t.Skip("takes minutes: make ocean")
	}
	var out strings.Builder
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(sinceBubblesBegin)
		ab, ba := newPipe(3), newPipe(4)
		ab.delay, ba.delay = 75*time.Millisecond, 75*time.Millisecond
		ab.rate, ab.queue = 25e6, 60*time.Millisecond
		a := newNode(t, newEndpoint("10.0.0.1:7947", ab, ba), false, Config{})
		b := newNode(t, newEndpoint("10.0.0.2:7947", ba, ab), false, Config{})
		c := newNode(t, newEndpoint("10.0.0.3:80", ab, ba), true, Config{})
		d := newNode(t, newEndpoint("10.0.0.4:80", ba, ab), true, Config{})
		to := b.shield.socket.LocalAddr()
		connect(t, a, b)
		grow(t, a.conn, 1250)
		ctx, cancel := context.WithCancel(context.Background())
		var wg sync.WaitGroup
		k, f := &call{}, &bulk{}
		wg.Go(func() { k.run(ctx, a, b, 20e6) })
		fmt.Fprintln(&out, "25 Mbit/s bottleneck, drop-tail queue of 60 ms, 150 ms round trip: a link offered 20 Mbit/s, and a TCP-like flow")
		table := tabwriter.NewWriter(&out, 0, 0, 2, ' ', tabwriter.AlignRight)
		fmt.Fprintln(table, "seconds\tTCP\tlink\tqueue\tdropped\taudio lost\tbase lost\tenhancement lost\tparity\t")
		second := 0
		// phase measures some seconds, in steps, and returns the mean rates and the share of audio lost or late.
		phase := func(seconds int) (tcp, link, audio float64) {
			start, first := f.read(), k.read()
			const step = 10
			for range seconds / step {
				b0, k0, dropped := f.read(), k.read(), ab.drops()
				time.Sleep(step * time.Second)
				b1, k1, row := f.read(), k.read(), Row{}
				row, _ = a.shield.Row(to)
				lost := k1.minus(k0)
				fmt.Fprintf(table, "%d-%d\t%.1f\t%.1f Mbit/s\t%d ms\t%d\t%.2f %%\t%.2f %%\t%.1f %%\t%.1f %%\t\n", second, second+step, float64(b1-b0)*8/step/1e6,
					float64(k1.bytes-k0.bytes)*8/step/1e6, row.Queue.Milliseconds(), ab.drops()-dropped, 100*lost.share(0), 100*lost.share(1), 100*lost.share(2), 100*row.Parity)
				second += step
			}
			all := k.read().minus(first)
			return float64(f.read()-start) * 8 / float64(seconds) / 1e6, float64(all.bytes) * 8 / float64(seconds) / 1e6, all.share(0)
		}
		phase(20)
		if _, link, audio := phase(20); link < 19 || audio > 0.005 {
			t.Errorf("alone the link carries %.1f Mbit/s and loses %.2f %% of audio", link, 100*audio)
		}
		connect(t, c, d)
		fctx, fcancel := context.WithCancel(ctx)
		fdone := make(chan struct{})
		go func() {
			f.run(fctx, c, d)
			close(fdone)
		}()
		if tcp, link, audio := phase(120); tcp < 6 || link < 6 || tcp+link < 21 || audio > 0.005 {
			t.Errorf("beside TCP: %.1f Mbit/s, the link has %.1f and loses %.2f %% of audio", tcp, link, 100*audio)
		}
		fcancel()
		<-fdone
		phase(10)
		if _, link, audio := phase(20); link < 19 || audio > 0.005 {
			t.Errorf("alone again the link carries %.1f Mbit/s and loses %.2f %% of audio", link, 100*audio)
		}
		table.Flush()
		cancel()
		wg.Wait()
		for _, n := range []*node{a, b, c, d} {
			n.close()
		}
		ab.close()
		ba.close()
	})
	show(t, out.String())
}

// What goes through the shield as a QUIC stream, which knows no budget, is held to it: the queue of the bottleneck is no fuller than a TCP flow's,
// and the stream gets along.
func TestStreamUnderShield(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(sinceBubblesBegin)
		ab, ba := newPipe(5), newPipe(6)
		ab.delay, ba.delay = 75*time.Millisecond, 75*time.Millisecond
		ab.rate, ab.queue = 25e6, 60*time.Millisecond
		a := newNode(t, newEndpoint("10.0.0.1:7947", ab, ba), false, Config{})
		b := newNode(t, newEndpoint("10.0.0.2:7947", ba, ab), false, Config{})
		connect(t, a, b)
		time.Sleep(time.Second)
		ctx, cancel := context.WithCancel(context.Background())
		f := &bulk{}
		done := make(chan struct{})
		go func() {
			f.run(ctx, a, b)
			close(done)
		}()
		seconds := 40
		if raceEnabled {
			seconds = 10
		}
		time.Sleep(10 * time.Second)
		got, sent, dropped := f.read(), ab.total(), ab.drops()
		time.Sleep(time.Duration(seconds) * time.Second)
		rate := float64(f.read()-got) * 8 / float64(seconds) / 1e6
		share := float64(ab.drops()-dropped) * 1300 / float64(ab.total()-sent)
		t.Logf("%.1f Mbit/s, %.3f %% dropped at the bottleneck", rate, 100*share)
		if rate < 10 || share > 0.01 {
			t.Errorf("%.1f Mbit/s of 25, %.2f %% dropped", rate, 100*share)
		}
		cancel()
		<-done
		a.close()
		b.close()
		ab.close()
		ba.close()
	})
}
