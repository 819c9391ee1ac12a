package shield

import "time"

const (
	// packetSize is what one step of additive increase adds, in bytes.
	packetSize = 1300

	// emptyDelay is a queue that counts as empty, fullDelay one that no sender alone should keep, ns.
	emptyDelay = int64(8 * time.Millisecond)
	fullDelay  = int64(25 * time.Millisecond)
	// lossDelay is the mean delay from which on a loss is a sign of congestion.
	lossDelay = int64(12 * time.Millisecond)
	// heavyLoss is a sign of congestion without any delay: a policer, or a queue too short to measure.
	heavyLoss = 0.12

	// patience is for how many rounds the rate comes down for delay alone. If that does not empty the queue, somebody else fills it,
	// who yields to loss only; then so do we, or we would be left with nothing.
	patience = 5

	backoff = 0.7 // Reno's and CUBIC's, in effect
	yield   = 0.9
	gain    = 1.1 // a round, while the queue is empty

	startGain = 1.5 // the same before there was any sign of congestion
	// idleShare is the share of the rate below which a link does not count as used at all.
	idleShare = 0.2
	// heavySpan is over how many rounds heavy loss is averaged.
	heavySpan = 6
)

// control decides how much the link may put on the wire: what a TCP flow would do with the same losses and delays, but for
// losses that come without delay. Once a round trip it looks at what the far end reported.
type control struct {
	rate        float64 // bytes/s, all that is sent
	least, most float64
	starting    bool // no sign of congestion yet
	competing   bool // the queue is not ours alone
	waiting     int  // rounds with delay and without loss

	ends           int64 // of the round
	began          int64
	delay          int64   // least in the round, -1: none
	mean           float64 // sum over the reports of the round
	reports        float64
	packets, lost  float64
	sent, received float64 // bytes
	peak           float64 // most sent a second in the last rounds
	congested      int64   // when congestion was last seen
	yielded        int64   // when the rate last came down for delay alone
	lastReceived   float64 // bytes/s received in the last round
	lastSent       float64 // and sent
	heavy          float64 // loss averaged over rounds

	tokens float64 // bytes that may still be sent
	filled int64
}

func newControl(initial, least, most float64) control {
	return control{rate: initial, lastReceived: initial, least: least, most: most, starting: true, delay: -1}
}

const (
	// policeFactor and policeSpan leave room for what the sender above could not know yet. They are no pacer: who obeys the budget
	// does not meet them.
	policeFactor = 1.25
	policeSpan   = 0.25 // s
	policeLeast  = 64 << 10
)

// admit tells whether a packet may be sent. What exceeds the rate for long is QUIC streams, which are ruled by Reno; and since the
// shield hides the network's losses from it, it has to be shown some.
func (c *control) admit(n int, now int64) bool {
	most := max(c.rate*policeSpan, policeLeast)
	c.tokens = min(c.tokens+policeFactor*c.rate*float64(now-c.filled)/1e9, most)
	c.filled = now
	if c.tokens < float64(n) {
		return false
	}
	c.tokens -= float64(n)
	return true
}

// outcome is what a report says about the time since the one before it.
type outcome struct {
	delay, mean    int64   // ns
	packets, lost  float64 // settled
	sent, received float64 // bytes
}

// congestive tells whether loss that comes with such delay is to be answered by less instead of by parity.
func congestive(mean int64) bool { return mean > lossDelay }

// report takes what a report says.
func (c *control) report(o outcome, rtt, now int64) {
	if c.delay < 0 || o.delay < c.delay {
		c.delay = o.delay
	}
	c.mean += float64(o.mean)
	c.reports++
	c.packets += o.packets
	c.lost += o.lost
	c.sent += o.sent
	c.received += o.received
	// A queue on a path that we hardly use is not ours, and a few packets tell little about it.
	busy := c.lastSent > idleShare*c.rate
	if c.starting && busy && o.delay > emptyDelay {
		// Doubling goes too far by nature; no need to wait for the end of the round.
		c.starting = false
		c.congested = now
		c.rate = min(c.rate, c.lastReceived)
	}
	if busy && o.delay > fullDelay && !c.competing && now-c.yielded > rtt+o.delay {
		c.yielded, c.congested = now, now
		c.rate = min(c.rate, yield*c.lastReceived)
		if c.waiting++; c.waiting > patience {
			c.competing, c.waiting = true, 0
		}
	}
	if now < c.ends {
		c.clamp()
		return
	}
	if c.began > 0 {
		c.round(float64(now-c.began)/1e9, now)
	}
	c.began, c.ends = now, now+max(rtt, int64(50*time.Millisecond))
	c.delay, c.mean, c.reports, c.packets, c.lost, c.sent, c.received = -1, 0, 0, 0, 0, 0, 0
}

// round decides at the end of a round of so many seconds.
func (c *control) round(seconds float64, now int64) {
	sent, received := c.sent/seconds, c.received/seconds
	c.peak = max(sent, c.peak*0.98)
	used := sent > 0.75*c.rate
	mean := int64(c.mean / c.reports)
	c.lastReceived, c.lastSent = max(received, c.least), sent
	if c.packets > 20 {
		c.heavy += (c.lost/c.packets - c.heavy) / heavySpan
	}
	switch {
	case c.lost > 0 && congestive(mean) || c.heavy > heavyLoss:
		c.starting, c.waiting = false, 0
		c.congested = now
		c.rate = min(c.rate, backoff*max(sent, received, c.rate/2))
		c.heavy /= 2
	case c.delay > fullDelay && !c.competing: // has yielded already
	case c.delay < emptyDelay:
		c.competing, c.waiting = false, 0
		if !used {
			break
		}
		if c.starting {
			c.rate *= startGain
		} else {
			c.rate *= gain
		}
	case used || c.competing:
		c.starting = false
		c.rate += packetSize / seconds
	}
	c.clamp()
}

func (c *control) clamp() { c.rate = min(max(c.rate, c.least), c.most) }
