package link

import (
	"sync/atomic"
	"time"
)

// warmth keeps QUIC's congestion window wide enough for what the link is meant to carry. quic-go lets it grow only while it is full, so what
// is missing is padding, at twice what the window lets out.
type warmth struct {
	rate atomic.Int64 // of padding, bytes/s

	// Owned by whoever calls decide.
	peak    float64 // bytes/s carried, decaying
	bytes   uint64
	at      time.Time
	carried float64 // bytes/s of late
	began   time.Time
	rests   time.Time // no padding before
	mark    uint64    // window at marked
	marked  time.Time
}

// condition is what decides.
type condition struct {
	exporting bool
	bytes     uint64        // sent so far, padding not included
	window    uint64        // bytes
	rtt       time.Duration // least
	queue     time.Duration // that packets wait on the way
	budget    int           // bit/s
}

const (
	// warmFactor is how much wider than what is carried the window is to be: one cut must leave enough.
	warmFactor = 3
	// warmRate is what a link is meant to carry at least, once it carries media, bytes/s.
	warmRate = 4e6 / 8
	// peakMemory is how long a peak is remembered, roughly.
	peakMemory = 10 * time.Minute
	// ratePeriod is over which what is carried is measured.
	ratePeriod = 500 * time.Millisecond
	// warmTime is how long padding lasts at most, and restTime how long it pauses after that.
	warmTime, restTime = 20 * time.Second, time.Minute
	// busyQueue is the wait on the way from which on padding would be the cause of congestion.
	busyQueue = 30 * time.Millisecond
	// shutTime is how long a window may not grow, though it is full and the shield would let more through.
	shutTime = 3 * time.Second
	// shutGrowth is what counts as growing.
	shutGrowth = 1.1
)

// decide returns at what rate to pad, bytes/s, and whether the window is shut: only another connection will help.
func (w *warmth) decide(c condition, now time.Time) (rate float64, shut bool) {
	if w.at.IsZero() {
		w.at, w.bytes = now, c.bytes
	}
	if d := now.Sub(w.at); d >= ratePeriod {
		w.carried = float64(c.bytes-w.bytes) / d.Seconds()
		w.at, w.bytes = now, c.bytes
		w.peak = max(w.carried, w.peak*max(1-d.Seconds()/peakMemory.Seconds(), 0))
	}
	budget := float64(c.budget) / 8
	rtt := c.rtt.Seconds()
	need := warmFactor * max(w.peak, warmRate) * rtt
	// More than the path bears is of no use.
	need = min(need, 1.5*budget*rtt)
	if !c.exporting || rtt == 0 || float64(c.window) >= need || c.queue > busyQueue || now.Before(w.rests) {
		w.began, w.marked = time.Time{}, time.Time{}
		return 0, false
	}
	if w.began.IsZero() {
		w.began = now
	}
	if now.Sub(w.began) > warmTime {
		w.began, w.rests = time.Time{}, now.Add(restTime)
		return 0, false
	}
	if w.marked.IsZero() || float64(c.window) > shutGrowth*float64(w.mark) {
		w.mark, w.marked = c.window, now
	}
	out := float64(c.window) / rtt
	shut = now.Sub(w.marked) > max(shutTime, 10*c.rtt) && out < budget/2
	return max(min(2*out, 0.95*budget)-w.carried, 0), shut
}

// warm has the link padded if need be, and another connection dialled if the window is shut.
func (l *Link) warm(row Row, now time.Time) {
	rate, shut := l.warmth.decide(condition{
		exporting: l.exports.any(), bytes: l.counters.bytesOut.Load(), window: l.out.Load().ConnectionStats().CongestionWindow,
		rtt: row.LeastRTT, queue: row.Queue, budget: row.Budget,
	}, now)
	if before := l.warmth.rate.Swap(int64(rate)); before == 0 && rate > 0 {
		l.exports.hurry()
	}
	if shut {
		l.warmth.marked = now
		l.carriers.want(l)
	}
}
