package bwe

import (
	"math"
	"time"
)

// Parameters of the delay-based rate (draft-ietf-rmcat-gcc section 5.5).
const (
	decreaseFactor   = 0.85 // of what arrives, on overuse
	increasePerSec   = 1.08 // far from the capacity
	minAdditive      = 4000 // bits/s per s, near to it
	ackedHeadroom    = 1.5  // the rate never grows beyond so much of what arrives
	ackedSlack       = 10000
	averagePacket    = 1200 * 8.0 // bits
	responseExtra    = int64(100 * time.Millisecond)
	minDecreaseAfter = int64(200 * time.Millisecond)
	// softDecrease is how long an overuse must last to be believed while the application sends less than the
	// estimate. Without a queue of our own making, a growing delay is more often jitter than the end of the path.
	softDecrease = int64(time.Second)
)

// rateControl turns what the delay says into a rate: additive or multiplicative increase, multiplicative decrease.
type rateControl struct {
	rate     float64
	hold     bool  // do not increase until the delay is normal again
	updated  int64 // time of the last update
	reduced  int64 // time of the last decrease
	softened int64 // time of the last decrease that was made while limited
	capacity capacity
}

const never = math.MinInt64 / 2

func newRateControl(rate float64, now int64) rateControl {
	return rateControl{rate: rate, updated: now, reduced: never, softened: never}
}

// update applies one round of feedback. acked is the rate that arrives at the client, 0 when not known; limited tells
// that the application sends less than it may.
func (c *rateControl) update(u usage, acked float64, limited bool, rtt, now int64) {
	elapsed := min(max(float64(now-c.updated)/1e9, 0), 1)
	c.updated = now
	switch u {
	case underuse:
		c.hold = true // let the queue drain
	case normal:
		if c.hold {
			c.hold = false
			return
		}
		if !limited {
			c.increase(acked, rtt, elapsed)
		}
	case overuse:
		c.hold = true
		if now-c.reduced >= max(rtt, minDecreaseAfter) {
			c.decrease(acked, limited, now)
		}
	}
}

func (c *rateControl) increase(acked float64, rtt int64, elapsed float64) {
	if acked > c.capacity.above() {
		c.capacity = capacity{} // the path has grown
	}
	var add float64
	if c.capacity.known {
		// About one packet more in the time it takes to see what that does.
		response := float64(rtt+responseExtra) / 1e9
		add = max(minAdditive, averagePacket/response) * elapsed
	} else {
		add = max(c.rate*(math.Pow(increasePerSec, elapsed)-1), 1000*elapsed)
	}
	next := c.rate + add
	if acked > 0 {
		next = min(next, ackedHeadroom*acked+ackedSlack)
	}
	c.rate = max(c.rate, next)
}

func (c *rateControl) decrease(acked float64, limited bool, now int64) {
	c.reduced = now
	next := decreaseFactor * c.rate
	if limited && now-c.softened > softDecrease {
		c.softened = now
		c.rate = next
		return
	}
	if acked > 0 {
		next = decreaseFactor * acked
		if next > c.rate && c.capacity.known {
			next = decreaseFactor * c.capacity.estimate
		}
		if acked < c.capacity.below() {
			c.capacity = capacity{}
		}
		c.capacity.add(acked)
	}
	c.rate = min(c.rate, next)
}

// overflow brings the rate down when a queue stands full, which shows as losses and no longer as growing delay.
func (c *rateControl) overflow(acked float64, rtt, now int64) {
	if now-c.reduced >= max(rtt, minDecreaseAfter) {
		c.decrease(acked, false, now)
	}
}

// raise takes over what a probe found.
func (c *rateControl) raise(rate float64, now int64) {
	if rate > c.rate {
		c.rate, c.updated = rate, now
		if rate > c.capacity.above() {
			c.capacity = capacity{}
		}
	}
}

// capacity remembers at which rates the path was full: average and relative variance.
type capacity struct {
	known    bool
	estimate float64
	variance float64
}

func (c *capacity) add(acked float64) {
	const weight = 0.05
	if !c.known {
		*c = capacity{known: true, estimate: acked, variance: 0.4}
		return
	}
	diff := c.estimate - acked
	c.estimate += weight * (acked - c.estimate)
	c.variance = (1-weight)*c.variance + weight*diff*diff/max(c.estimate, 1)/1000
	c.variance = min(max(c.variance, 0.4), 2.5)
}

// deviation is the standard deviation in bits/s; the variance is kept in kbit/s relative to the estimate.
func (c *capacity) deviation() float64 { return math.Sqrt(c.variance*c.estimate/1000) * 1000 }

// above and below are the bounds outside of which what was learned no longer holds.
func (c *capacity) above() float64 {
	if !c.known {
		return math.Inf(1)
	}
	return c.estimate + 3*c.deviation()
}

func (c *capacity) below() float64 {
	if !c.known {
		return 0
	}
	return max(c.estimate-3*c.deviation(), 0)
}
