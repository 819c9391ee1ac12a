package link

import (
	"context"
	"testing"
	"time"
)

// step is a second in the life of a window.
func (w *warmth) run(t *testing.T, c condition, seconds float64, f func(c *condition, rate float64), now *time.Time) (rate float64, shut bool) {
	t.Helper()
	for range int(seconds * 10) {
		*now = now.Add(tickPeriod)
		rate, s := w.decide(c, *now)
		shut = shut || s
		if f != nil {
			f(&c, rate)
		}
	}
	rate, _ = w.decide(c, *now)
	return rate, shut
}

func TestWarmth(t *testing.T) {
	base := condition{exporting: true, window: 40 << 10, rtt: 150 * time.Millisecond, budget: 4e6}
	// growing is a path on which window and budget grow as they are used.
	growing := func(c *condition, rate float64) {
		used := rate*tickPeriod.Seconds() + 2e4
		c.bytes += 2e4 // 200 kB/s are carried
		c.window += uint64(min(used, float64(c.window)))
		c.budget = min(c.budget+c.budget/20, 100e6)
	}
	for name, c := range map[string]struct {
		change func(c *condition)
		step   func(c *condition, rate float64)
		pads   bool // in the first second
		ends   bool // no padding after 15 s
		shut   bool
	}{
		"cold":           {pads: true, ends: true, step: growing},
		"nothing sent":   {change: func(c *condition) { c.exporting = false }, ends: true},
		"near":           {change: func(c *condition) { c.rtt = 10 * time.Millisecond }, ends: true},
		"wide":           {change: func(c *condition) { c.window = 4 << 20 }, ends: true},
		"rtt unknown":    {change: func(c *condition) { c.rtt = 0 }, ends: true},
		"queue":          {change: func(c *condition) { c.queue = 50 * time.Millisecond }, ends: true},
		"narrow path":    {change: func(c *condition) { c.budget = 1e6 }, ends: true},
		"window is shut": {change: func(c *condition) { c.budget = 50e6 }, pads: true, shut: true},
	} {
		t.Run(name, func(t *testing.T) {
			var w warmth
			now := time.Now()
			in := base
			if c.change != nil {
				c.change(&in)
			}
			padded := false
			var most float64
			_, shut := w.run(t, in, 1, func(in *condition, rate float64) {
				padded = padded || rate > 0
				most = max(most, rate*8/float64(in.budget))
			}, &now)
			if padded != c.pads || most > 1 || shut {
				t.Errorf("padded %v at up to %.2f of the budget, shut %v", padded, most, shut)
			}
			rate, shut := w.run(t, in, 15, c.step, &now)
			if (rate == 0) != c.ends || shut != c.shut {
				t.Errorf("after 15 s: %.0f bytes/s, shut %v", rate, shut)
			}
		})
	}
}

// Padding that is of no use does not go on for ever.
func TestWarmthRests(t *testing.T) {
	var w warmth
	now := time.Now()
	c := condition{exporting: true, window: 40 << 10, rtt: 150 * time.Millisecond, budget: 50e6}
	padded := 0
	w.run(t, c, 160, func(_ *condition, rate float64) {
		if rate > 0 {
			padded++
		}
	}, &now)
	if padded < 300 || padded > 450 {
		t.Errorf("padded in %d of 1600 ticks", padded)
	}
}

func TestOffset(t *testing.T) {
	const second = int64(1e9)
	units := func(ms int64) uint64 { return uint64(ms << 32 / 1000) }
	var o offset
	for i, step := range []struct{ at, delay, want int64 }{ // ms; the other clock is 5 s behind
		{0, 80, 80},
		{1000, 75, 75},
		{2000, 300, 75}, // this one waited somewhere
		{9000, 76, 75},
		{11000, 90, 75}, // still of the span before
		{22000, 95, 90},
		{60000, 99, 99}, // all others are long ago
	} {
		here := units(step.at + 5000)
		got := o.add(units(step.at)-units(step.delay), here, step.at*second/1000)
		if d := int64(got-here) * 1000 >> 32; d-(step.want-step.delay) > 1 || (step.want-step.delay)-d > 1 {
			t.Errorf("report %d: %d ms, want %d", i, d, step.want-step.delay)
		}
	}
}

// The look for what is there already keeps a context's promises.
func TestPresent(t *testing.T) {
	var p present
	if p.Err() != nil || context.Cause(&p) != nil || p.Value(0) != nil {
		t.Error("over before somebody waits")
	}
	<-p.Done()
	if p.Err() == nil || context.Cause(&p) == nil {
		t.Error("not over though somebody waits")
	}
}

// A link whose window is shut is given another connection, which carries its datagrams from then on; if that ends the first does again.
func TestCarrier(t *testing.T) {
	c := newCluster(t)
	a, b := c.node(), c.node()
	l, back := a.to(t, b), b.to(t, a)
	for range maxCarriers + 2 {
		before := l.carriers.dialled.Load()
		if l.carriers.want(l); l.out.Load() == nil {
			t.Fatal("nothing carries datagrams")
		}
		eventually(t, "no further connection", func() bool { return l.carriers.dialled.Load() > before && !l.carriers.wanted.Load() })
		if err := l.SendDatagram(0, []byte("by another way")); err != nil {
			t.Error(err)
		}
		if got := <-b.raw; got != "by another way" {
			t.Errorf("%q", got)
		}
	}
	if err := back.SendDatagram(0, []byte("back")); err != nil || <-a.raw != "back" {
		t.Error(err)
	}
	back.carriers.mu.Lock()
	n := len(back.carriers.conns)
	back.carriers.mu.Unlock()
	if n > maxCarriers {
		t.Errorf("%d further connections", n)
	}
	out := l.out.Load()
	if out == l.conn {
		t.Error("the further connection is not used")
	}
	closeConn(out, codeShutdown)
	eventually(t, "its end is not seen", func() bool { return l.out.Load() == l.conn })
	if err := l.SendDatagram(0, []byte("again")); err != nil || <-b.raw != "again" {
		t.Error(err)
	}
	eventually(t, "the shield is not at work", func() bool { return l.Row().RTT > 0 })
	if l.closed() {
		t.Error(l.Err())
	}
}
