package bwe

import "time"

// baseSpan is how long the least delay seen counts as the path's own. Longer keeps it when a queue stands for long,
// shorter follows clocks that drift and paths that change.
const baseSpan = int64(20 * time.Second)

// queueGauge tells how much of the delay is a queue: what exceeds the least seen in the last twenty to forty seconds.
// The clocks of the two ends need not agree.
type queueGauge struct {
	base, before int64 // least of the present span and the one before
	since        int64 // of the present span
	begun        bool
}

// add takes the least delay of a round of feedback and returns the queueing delay, ns.
func (g *queueGauge) add(delay, now int64) int64 {
	switch {
	case !g.begun:
		*g = queueGauge{base: delay, before: delay, since: now, begun: true}
	case now-g.since > baseSpan:
		g.before, g.base, g.since = g.base, delay, now
	default:
		g.base = min(g.base, delay)
	}
	return delay - min(g.base, g.before)
}
