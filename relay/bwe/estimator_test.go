package bwe

import (
	"fmt"
	"testing"
	"time"

	"cardea/relay/rtcp"

	"pgregory.net/rapid"
)

func pathOf(rate float64) *link {
	return &link{rate: rate, delay: 25 * time.Millisecond, queue: 200 * time.Millisecond}
}

// between checks a measured figure.
func between(t *testing.T, what string, got, low, high float64) {
	t.Helper()
	if got < low || got > high {
		t.Errorf("%s: %.3g, want %.3g to %.3g", what, got, low, high)
	}
}

// A clean path is used, from the first second on, without a standing queue, whatever its rate and round trip.
func TestCleanPath(t *testing.T) {
	for _, x := range []struct {
		rate  float64
		delay time.Duration
	}{{300e3, 25 * time.Millisecond}, {1e6, 25 * time.Millisecond}, {5e6, 5 * time.Millisecond}, {5e6, 25 * time.Millisecond}, {5e6, 150 * time.Millisecond}, {30e6, 25 * time.Millisecond}} {
		t.Run(fmt.Sprintf("%.1f Mbit/s, %v", x.rate/1e6, x.delay), func(t *testing.T) {
			l := pathOf(x.rate)
			l.delay = x.delay
			c := newCall(t, l, Config{})
			c.e.Want(60e6)
			c.run(3 * time.Second)
			o := c.run(time.Minute)
			between(t, "rate", o.rate/x.rate, 0.85, 1)
			between(t, "average queue, s", o.queue.Seconds(), 0, 0.05)
			between(t, "padding", o.padding/x.rate, 0, 0.03)
		})
	}
}

// The first second: a newcomer's picture must not wait for a slow climb.
func TestNewcomer(t *testing.T) {
	c := newCall(t, pathOf(5e6), Config{})
	o := c.run(time.Second)
	between(t, "first second", o.rate, 3e6, 5e6)

	c = newCall(t, pathOf(100e6), Config{})
	c.video = func(*call) float64 { return 2e6 }
	c.e.Want(2.4e6)
	c.run(500 * time.Millisecond)
	between(t, "estimate after half a second", float64(c.e.Estimate()), 2.2e6, 4e6)
}

// Random loss is not congestion.
func TestRandomLoss(t *testing.T) {
	for loss, share := range map[float64]float64{0.01: 0.87, 0.02: 0.87, 0.05: 0.8} {
		l := pathOf(5e6)
		l.loss = loss
		c := newCall(t, l, Config{})
		c.run(5 * time.Second)
		o := c.run(time.Minute)
		between(t, fmt.Sprintf("%v lost", loss), o.estimate/l.rate, share, 1)
		between(t, "never below", o.lowest/l.rate, 0.7, 1)
	}
}

// Jitter and packets that come in lumps are not congestion.
func TestJitter(t *testing.T) {
	for _, x := range []struct{ jitter, lumps time.Duration }{
		{jitter: 5 * time.Millisecond},
		{jitter: 20 * time.Millisecond},
		{jitter: 40 * time.Millisecond},
		{lumps: 10 * time.Millisecond},
		{lumps: 20 * time.Millisecond},
		{lumps: 40 * time.Millisecond},
	} {
		l := jittery(x.jitter, x.lumps)
		c := newCall(t, l, Config{})
		c.run(12 * time.Second)
		o := c.run(time.Minute)
		between(t, fmt.Sprintf("%+v", x), o.estimate/l.rate, 0.85, 1.02)
		between(t, "never below", o.lowest/l.rate, 0.6, 1)
		between(t, "average queue, s", o.queue.Seconds(), 0, 0.06)

		// The same while little is sent: jitter must not talk the estimate down.
		c = newCall(t, jittery(x.jitter, x.lumps), Config{})
		c.video = func(*call) float64 { return 500e3 }
		c.e.Want(2.5e6)
		c.run(12 * time.Second)
		o = c.run(time.Minute)
		between(t, fmt.Sprintf("%+v, limited", x), o.estimate, 2.2e6, 3e6)
	}
}

func jittery(jitter, lumps time.Duration) *link {
	l := pathOf(5e6)
	l.jitter, l.lumps = jitter, lumps
	return l
}

// The path drops to a third and recovers.
func TestDropAndRecovery(t *testing.T) {
	for _, delay := range []time.Duration{10 * time.Millisecond, 25 * time.Millisecond, 100 * time.Millisecond} {
		t.Run(delay.String(), func(t *testing.T) {
			l := pathOf(5e6)
			l.delay = delay
			c := newCall(t, l, Config{})
			c.run(30 * time.Second)
			l.rate = 5e6 / 3
			c.run(1500 * time.Millisecond)
			between(t, "estimate 1.5 s after the drop", float64(c.e.Estimate())/l.rate, 0.5, 1)
			c.run(time.Second)
			o := c.run(15 * time.Second)
			between(t, "rate after the drop", o.rate/l.rate, 0.85, 1)
			between(t, "average queue after the drop, s", o.queue.Seconds(), 0, 0.05)
			l.rate = 5e6
			c.run(8 * time.Second)
			between(t, "estimate 8 s after the recovery", float64(c.e.Estimate())/l.rate, 0.8, 1.15)
		})
	}
}

// The path drops below what is sent although that was far less than the estimate.
func TestDropWhileLimited(t *testing.T) {
	l := pathOf(10e6)
	c := newCall(t, l, Config{})
	c.video = func(c *call) float64 { return min(1.5e6, float64(c.e.Estimate())-64e3) }
	c.e.Want(6e6)
	c.run(10 * time.Second)
	between(t, "estimate", float64(c.e.Estimate()), 5e6, 8e6)
	l.rate = 600e3
	c.run(2500 * time.Millisecond)
	between(t, "estimate 2.5 s after the drop", float64(c.e.Estimate())/l.rate, 0.5, 1)
}

// A bulk TCP flow at the same bottleneck: neither starves the other.
func TestBesideTCP(t *testing.T) {
	for _, queue := range []int{60, 120, 200} {
		for _, later := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d ms, later %v", queue, later), func(t *testing.T) {
				l := pathOf(5e6)
				l.queue = time.Duration(queue) * time.Millisecond
				c := newCall(t, l, Config{})
				if later {
					c.run(10 * time.Second)
				}
				c.tcp = newReno()
				c.run(10 * time.Second)
				o := c.run(100 * time.Second)
				between(t, "ours", o.rate/l.rate, 0.2, 0.75)
				between(t, "TCP's", o.tcp/l.rate, 0.2, 0.75)
			})
		}
	}
}

// A queue shorter than a frame loses packets every frame and never shows a delay.
func TestShallowQueue(t *testing.T) {
	l := pathOf(5e6)
	l.queue = 20 * time.Millisecond
	c := newCall(t, l, Config{})
	c.run(5 * time.Second)
	o := c.run(time.Minute)
	between(t, "rate", o.rate/l.rate, 0.5, 1)
	between(t, "losses", 1-o.rate/o.estimate, -0.05, highLoss)
}

// While little is sent, probes find out whether what is wanted fits; where it does not, they disturb little.
func TestProbing(t *testing.T) {
	c := newCall(t, pathOf(5e6), Config{})
	c.video = func(*call) float64 { return 500e3 }
	c.e.Want(2.5e6)
	c.run(2 * time.Second)
	between(t, "estimate", float64(c.e.Estimate()), 2.5e6/wantedMargin, 3e6)
	o := c.run(30 * time.Second)
	between(t, "padding once it is known", o.padding, 0, 0)
	c.e.Want(4e6)
	c.run(6 * time.Second)
	between(t, "estimate when more is wanted", float64(c.e.Estimate()), 4e6/wantedMargin, 4.5e6)

	l := pathOf(1e6)
	c = newCall(t, l, Config{})
	c.video = func(*call) float64 { return 500e3 }
	c.e.Want(2.5e6)
	c.run(3 * time.Second)
	o = c.run(time.Minute)
	between(t, "estimate where it does not fit", o.estimate/l.rate, 0.7, 1.1)
	between(t, "padding where it does not fit", o.padding/l.rate, 0, 0.02)
	between(t, "worst queue, s", o.worst.Seconds(), 0, 0.08)
	if c.lost > 5 {
		t.Errorf("%d packets lost to probes", c.lost)
	}
}

// A caller that cannot pad is asked again, in vain, and nothing else happens.
func TestCallerCannotPad(t *testing.T) {
	e := New(Config{}, 0)
	e.Want(5e6)
	asked := 0
	for now := int64(0); now < int64(10*time.Second); now += 5 * ms {
		if n := e.Padding(now); n < 0 || n > 6000 {
			t.Fatalf("%d bytes of padding", n)
		} else if n > 0 {
			asked++
		}
	}
	if asked == 0 || e.Estimate() != 1e6 {
		t.Errorf("asked %d times, estimate %d", asked, e.Estimate())
	}
}

// Without any feedback probing ends soon.
func TestUnansweredProbes(t *testing.T) {
	e := New(Config{}, 0)
	e.Want(5e6)
	padding := 0
	for now := int64(0); now < int64(time.Minute); now += 5 * ms {
		if n := e.Padding(now); n > 0 {
			padding += n
			e.Sent.Add(uint16(now/ms), now, n, 0)
		}
	}
	if padding == 0 || padding > 60000 {
		t.Errorf("%d bytes of padding", padding)
	}
}

// When feedback stays away while packets are sent, the estimate comes down, and it comes back.
func TestFeedbackStops(t *testing.T) {
	c := newCall(t, pathOf(5e6), Config{})
	c.run(10 * time.Second)
	before := float64(c.e.Estimate())
	c.link.loss = 1
	c.run(4 * time.Second)
	between(t, "estimate without feedback", float64(c.e.Estimate())/before, 0.05, 0.5)
	c.link.loss = 0
	c.run(10 * time.Second)
	between(t, "estimate afterwards", float64(c.e.Estimate()), 4e6, 5.5e6)

	e := New(Config{}, 0) // but not when nothing is sent
	e.Sent.Add(1, 0, 100, 0)
	e.TransportFeedback(feedback(t, 1, rtcp.Arrival{Sequence: 1}), 50*ms, nil)
	for now := int64(0); now < int64(time.Minute); now += 5 * ms {
		e.Padding(now)
	}
	if e.Estimate() != 1e6 {
		t.Errorf("estimate %d after silence", e.Estimate())
	}
}

func TestREMB(t *testing.T) {
	e := New(Config{Min: 100e3, Max: 10e6}, 0)
	second := int64(time.Second)
	e.REMB(0, second)
	if e.Estimate() != 1e6 {
		t.Errorf("estimate %d", e.Estimate())
	}
	for rate, want := range map[uint64]uint64{2e6: 2e6, 700e3: 700e3, 1: 100e3, 1 << 63: 10e6} {
		e.REMB(rate, second)
		if e.Estimate() != want {
			t.Errorf("REMB %d: estimate %d", rate, e.Estimate())
		}
	}
	e.REMB(2e6, second)
	e.Report(64, 2e6, 2*second) // a quarter lost
	between(t, "estimate with losses", float64(e.Estimate()), 1.7e6, 1.8e6)
	e.REMB(2e6, 2*second) // which the client has not noticed yet
	between(t, "estimate with losses", float64(e.Estimate()), 1.7e6, 1.8e6)
	for i := range int64(20) {
		e.Report(0, 2e6, (3+i)*second)
	}
	if e.Estimate() != 2e6 {
		t.Errorf("estimate %d after the losses", e.Estimate())
	}
	// TWCC takes over.
	e.Sent.Add(1, 30*second, 100, 0)
	e.TransportFeedback(feedback(t, 1, rtcp.Arrival{Sequence: 1}), 30*second+50*ms, nil)
	before := e.Estimate()
	e.REMB(300e3, 31*second)
	e.Report(255, 0, 31*second)
	if e.Estimate() != before {
		t.Errorf("estimate %d, with TWCC %d", e.Estimate(), before)
	}
}

// Without TWCC and REMB, receiver reports are all there is.
func TestReports(t *testing.T) {
	e := New(Config{}, 0)
	now := int64(0)
	report := func(n int, fraction uint8) float64 {
		for range n {
			now += int64(time.Second)
			e.Report(fraction, e.Estimate(), now)
		}
		return float64(e.Estimate())
	}
	between(t, "after 10 s without losses", report(10, 0), 2e6, 2.4e6)
	between(t, "after 5 s of 5 %", report(5, 13), 2e6, 2.4e6)
	between(t, "after 5 s of 25 %", report(5, 64), 0.9e6, 1.3e6)
	for range 100 { // little is sent: nothing is learned
		now += int64(time.Second)
		e.Report(0, 100e3, now)
	}
	if e.Estimate() > 1e6 {
		t.Errorf("estimate %d", e.Estimate())
	}
}

// Whatever a client says, the estimate stays within bounds and probing does too.
func TestHostileFeedback(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := New(Config{Max: 20e6}, 0)
		e.Want(1e12)
		now, seq := int64(0), uint16(0)
		hostile := rapid.SampledFrom([]int64{0, 1, ms, int64(time.Hour), -int64(time.Hour), 1 << 62, -1 << 62})
		for range rapid.IntRange(1, 60).Draw(t, "rounds") {
			now += int64(rapid.IntRange(0, 1000).Draw(t, "ms")) * ms
			for range rapid.IntRange(0, 30).Draw(t, "packets") {
				seq++
				e.Sent.Add(seq, now, rapid.IntRange(-1, 70000).Draw(t, "size"), 0)
			}
			if n := e.Padding(now); n < 0 || n > 20e6*probeBurst/8 {
				t.Fatalf("%d bytes of padding", n)
			}
			switch rapid.IntRange(0, 2).Draw(t, "what") {
			case 0:
				b := rapid.SliceOfN(rapid.Byte(), 8, 80).Draw(t, "body")
				p := rtcp.Packet{Type: rtcp.TypeTransportFeedback, Format: rtcp.FormatTWCC, Body: b}
				if f, ok := p.TransportFeedback(); ok {
					f.Base = seq - uint16(rapid.IntRange(0, 100).Draw(t, "base"))
					e.TransportFeedback(&f, now, nil)
				}
			case 1:
				var results []Result
				for range rapid.IntRange(0, 40).Draw(t, "results") {
					results = append(results, Result{
						Sent: now - int64(rapid.IntRange(0, 1e9).Draw(t, "ago")), Arrival: hostile.Draw(t, "arrival") + rapid.Int64Range(-1e9, 1e9).Draw(t, "jitter"),
						Size: rapid.Int32Range(1, 65535).Draw(t, "bytes"), Received: rapid.Bool().Draw(t, "received"),
						Late: rapid.Bool().Draw(t, "was lost"), Cluster: uint8(rapid.IntRange(0, 3).Draw(t, "cluster")),
					})
				}
				e.Feedback(results, now)
			case 2:
				e.REMB(rapid.Uint64().Draw(t, "remb"), now)
				e.Report(rapid.Byte().Draw(t, "fraction"), rapid.Uint64().Draw(t, "sent"), now)
			}
			if got := e.Estimate(); got < 50e3 || got > 20e6 {
				t.Fatalf("estimate %d", got)
			}
			if f := e.LossFraction(); f < 0 || f > 1 {
				t.Fatalf("loss %v", f)
			}
		}
	})
}

// Unfit figures in the configuration are put right.
func TestConfig(t *testing.T) {
	for _, c := range []struct {
		cfg  Config
		want uint64
	}{{Config{}, 1e6}, {Config{Start: 1}, 50e3}, {Config{Start: 1e9}, 100e6}, {Config{Min: 5e6, Max: 2e6}, 5e6}} {
		if got := New(c.cfg, 0).Estimate(); got != c.want {
			t.Errorf("%+v: %d, want %d", c.cfg, got, c.want)
		}
	}
}

// warm returns a call in full swing and a function that sends 40 packets and returns feedback about them.
func warm(t testing.TB) (*call, func() *rtcp.TransportFeedback) {
	c := newCall(t, pathOf(5e6), Config{})
	c.run(10 * time.Second)
	var buf []byte
	arrivals := make([]rtcp.Arrival, 40)
	var f rtcp.TransportFeedback
	n := int64(c.seq)
	return c, func() *rtcp.TransportFeedback {
		base := n + 1
		for i := range arrivals {
			n++
			c.now += 2 * ms
			c.e.Sent.Add(uint16(n), c.now, 1200, 0)
			arrivals[i] = rtcp.Arrival{Sequence: n, Time: c.now + 30*ms + int64(i%3)*ms}
		}
		buf, _ = rtcp.AppendTWCC(buf[:0], 1, 2, 0, base, arrivals[1:]) // the first one is lost
		p, _, _ := rtcp.Next(buf)
		f, _ = p.TransportFeedback()
		return &f
	}
}

func TestFeedbackDoesNotAllocate(t *testing.T) {
	c, next := warm(t)
	var results []Result
	if n := testing.AllocsPerRun(100, func() {
		results = c.e.TransportFeedback(next(), c.now+60*ms, results[:0])
		c.e.Padding(c.now)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkFeedback is the cost of sending 40 packets and of the feedback on them, as ten times a second at 4 Mbit/s.
func BenchmarkFeedback(b *testing.B) {
	c, next := warm(b)
	var results []Result
	b.ReportAllocs()
	for b.Loop() {
		results = c.e.TransportFeedback(next(), c.now+60*ms, results[:0])
	}
}

// BenchmarkAdd is the cost per packet sent.
func BenchmarkAdd(b *testing.B) {
	var h History
	now, seq := int64(0), uint16(0)
	b.ReportAllocs()
	for b.Loop() {
		now += ms
		seq++
		h.Add(seq, now, 1200, 0)
	}
}
