package bwe

import (
	"math"
	"time"
)

// Parameters of the loss-based rate (draft-ietf-rmcat-gcc section 6).
const (
	lowLoss  = 0.02 // below it the rate grows
	highLoss = 0.10 // above it the rate falls
	// Losses are judged by as many packets, or by fewer after a while: 1 or 2 % at random must not look like more.
	enoughPackets = 100
	leastPackets  = 20
	lossInterval  = int64(500 * time.Millisecond)
	lossDecrease  = int64(300 * time.Millisecond) // between decreases, and a round trip
)

// lossControl bounds the rate by what is lost. It matters on paths that drop rather than queue.
type lossControl struct {
	rate     float64
	packets  int
	lost     int
	begun    int64 // of the present count
	updated  int64
	reduced  int64
	fraction float64 // lost, of the last whole count
}

func newLossControl(rate float64, now int64) lossControl {
	return lossControl{rate: rate, begun: now, updated: now, reduced: never}
}

// add counts packets; lost may be negative when packets turn up after all. It tells whether the count was judged.
func (c *lossControl) add(packets, lost int, rtt, now int64) (judged bool) {
	c.packets += packets
	c.lost = max(c.lost+lost, 0)
	if c.packets < enoughPackets && (c.packets < leastPackets || now-c.begun < lossInterval) {
		return false
	}
	fraction := min(float64(c.lost)/float64(c.packets), 1)
	c.packets, c.lost, c.begun = 0, 0, now
	c.judge(fraction, rtt, now)
	return true
}

// judge applies the fraction lost of a fair number of packets.
func (c *lossControl) judge(fraction float64, rtt, now int64) {
	elapsed := min(max(float64(now-c.updated)/1e9, 0), 1)
	c.updated, c.fraction = now, fraction
	switch {
	case fraction < lowLoss:
		c.rate = c.rate*math.Pow(increasePerSec, elapsed) + 1000*elapsed
	case fraction > highLoss && now-c.reduced >= lossDecrease+rtt:
		c.rate *= 1 - fraction/2
		c.reduced = now
	}
}
