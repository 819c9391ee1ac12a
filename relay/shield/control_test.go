package shield

import (
	"testing"
	"time"
)

// rounds feeds a controller rounds of 100 ms of the same outcome. received and sent are in bytes/s, 0: as much as the rate allows.
func rounds(c *control, n int, now *int64, o outcome, share float64) {
	const rtt = int64(100 * time.Millisecond)
	for range n * 5 {
		*now += rtt / 5
		r := o
		if r.sent == 0 {
			r.sent = c.rate
		}
		if r.received == 0 {
			r.received = r.sent
		}
		r.sent, r.received = r.sent/50, r.received/50
		r.packets = r.sent / 1300
		r.lost = r.packets * share
		c.report(r, rtt, *now)
	}
}

func TestControl(t *testing.T) {
	ms := int64(time.Millisecond)
	for _, tc := range []struct {
		name   string
		rounds int
		o      outcome
		share  float64
		most   float64 // of the rate before
		least  float64
	}{
		{"an empty path that is used carries more", 5, outcome{}, 0, 4, 1.3},
		{"an empty path that is not used is not known to", 5, outcome{sent: 1e5}, 0, 1.15, 1},
		{"3 % of loss without delay is none of ours", 10, outcome{mean: 2 * ms}, 0.03, 4, 1.3},
		{"a policer is", 20, outcome{mean: 2 * ms}, 0.3, 0.6, 0.05},
		{"loss with delay is congestion", 3, outcome{delay: 15 * ms, mean: 40 * ms}, 0.01, 0.75, 0.2},
		{"delay alone makes it yield", 4, outcome{delay: 40 * ms, mean: 45 * ms}, 0, 0.95, 0.5},
		{"a little delay lets it grow slowly", 5, outcome{delay: 15 * ms, mean: 16 * ms}, 0, 1.2, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := newControl(2e6, 4e4, 1e8)
			c.starting = false
			now := int64(time.Second)
			rounds(&c, 2, &now, outcome{delay: 15 * ms, mean: 10 * ms}, 0)
			before := c.rate
			rounds(&c, tc.rounds, &now, tc.o, tc.share)
			if c.rate > tc.most*before || c.rate < tc.least*before {
				t.Errorf("rate went from %.0f to %.0f kB/s", before/1e3, c.rate/1e3)
			}
		})
	}
}

// A queue that does not empty though we yield is somebody else's: then only loss brings the rate down.
func TestControlCompetes(t *testing.T) {
	ms := int64(time.Millisecond)
	c := newControl(2e6, 4e4, 1e8)
	now := int64(time.Second)
	rounds(&c, 2*patience+4, &now, outcome{delay: 40 * ms, mean: 45 * ms}, 0)
	if !c.competing {
		t.Fatal("does not compete")
	}
	before := c.rate
	rounds(&c, 10, &now, outcome{delay: 40 * ms, mean: 45 * ms}, 0)
	if c.rate <= before {
		t.Error("does not grow while it competes")
	}
	rounds(&c, 2, &now, outcome{delay: 40 * ms, mean: 45 * ms}, 0.02)
	if c.rate > 0.8*before {
		t.Error("does not yield to loss while it competes")
	}
	rounds(&c, 3, &now, outcome{delay: 2 * ms, mean: 3 * ms}, 0)
	if c.competing {
		t.Error("still competes for an empty queue")
	}
}

func TestControlStaysInBounds(t *testing.T) {
	c := newControl(2e6, 1e5, 3e6)
	now := int64(time.Second)
	rounds(&c, 50, &now, outcome{}, 0)
	if c.rate != 3e6 {
		t.Errorf("rate %g above the most", c.rate)
	}
	rounds(&c, 100, &now, outcome{delay: int64(time.Second), mean: int64(time.Second)}, 0.5)
	if c.rate != 1e5 {
		t.Errorf("rate %g, not the least", c.rate)
	}
}

func TestPolice(t *testing.T) {
	c := newControl(1e6, 1e5, 1e7)
	now, admitted := int64(time.Second), 0
	for range 4000 { // 4 s of four times the rate
		now += int64(time.Millisecond)
		for range 4 {
			if c.admit(1000, now) {
				admitted += 1000
			}
		}
	}
	if admitted < 4.9e6 || admitted > 5.5e6 {
		t.Errorf("%d bytes of 16 MB admitted in 4 s at 1 MB/s", admitted)
	}
}

// Parity stays within what the mesh allows it: three times the loss and 5 %, 15 % with bursts; nothing where nothing is lost.
func TestParityForLoss(t *testing.T) {
	for _, tc := range []struct{ loss, burst, least, most float64 }{
		{0, 1, 0, 0},
		{0.00001, 1, 0, 0.001},
		{0.001, 1, 0.02, 0.053},
		{0.01, 1, 0.04, 0.08},
		{0.03, 1, 0.08, 0.14},
		{0.1, 1, 0.2, 0.35},
		{0.01, 5, 0.12, 0.14},
		{0.002, 3, 0.04, 0.14},
		{0.5, 1, 0.3, 0.35},
	} {
		var l losses
		l.add(longMemory, longMemory*tc.loss, longMemory*tc.loss/tc.burst)
		if got := l.parity(); got < tc.least || got > tc.most {
			t.Errorf("loss %g in runs of %g: parity %.4f, not %g to %g", tc.loss, tc.burst, got, tc.least, tc.most)
		}
	}
	var l losses
	if l.parity() == 0 {
		t.Error("no parity before anything is known")
	}
	for range 100 {
		l.add(1000, 0, 0)
	}
	if got := l.parity(); got != 0 {
		t.Errorf("parity %g after 100,000 packets without loss", got)
	}
}

// A link that is idle, or nearly, keeps its rate: what a few keepalives meet says nothing about it.
func TestIdleKeepsItsRate(t *testing.T) {
	for _, starting := range []bool{true, false} {
		c := newControl(2e6, 4e4, 1e8)
		c.starting = starting
		now := int64(time.Second)
		rounds(&c, 3, &now, outcome{}, 0)
		rounds(&c, 2, &now, outcome{sent: 2000}, 0)
		before := c.rate
		rounds(&c, 50, &now, outcome{sent: 2000, delay: 30e6, mean: 30e6}, 0)
		if c.rate < before {
			t.Errorf("rate went from %.0f to %.0f kB/s while idle", before/1e3, c.rate/1e3)
		}
	}
}
