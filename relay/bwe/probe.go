package bwe

import "time"

// Parameters of probing: how fast and how long, ...
const (
	firstProbe = 3.0 // times the starting rate: a newcomer shall see a picture soon
	probeStep  = 2.0 // times the estimate
	// probeCareful is the same after a probe that failed: the path is likely as full as it was.
	probeCareful = 1.3
	probeTime    = 25e-3 // s
	// probeCarefulTime is longer, since packets may have come in lumps; at the lower rate it fills a queue no more.
	probeCarefulTime = 50e-3
	minProbeBytes    = 5000                        // of a probe, so that there is something to measure
	probeTick        = int64(5 * time.Millisecond) // the caller's, about
	probeBurst       = 15e-3                       // s: of padding at a time, should the caller come late
	probeGrace       = int64(100 * time.Millisecond)
)

// ... what is made of the answer, ...
const (
	probeTimeout  = int64(600 * time.Millisecond) // for the feedback, and two round trips
	probeReported = 0.7                           // of the bytes must have been received to judge
	probeSpan     = int64(time.Second)            // a longer one measures nothing
	probeSuccess  = 0.7                           // of the probed rate: then the next one follows at once
	// probeCarefulSuccess is the same of a careful probe, which must find more than the estimate.
	probeCarefulSuccess = 0.9
	probeSaturated      = 0.9  // of the rate sent: less arrived, so the path is full
	probeUtilised       = 0.95 // of a full path's rate is taken
)

// ... and when the next one follows.
const (
	probeRetry    = int64(2 * time.Second) // after a failure, more after several
	probeRetryMax = int64(5 * time.Second)
	probeSoon     = int64(250 * time.Millisecond) // after one that could not be sent
	maxUnanswered = 3
)

// prober sends bursts faster than the estimate and measures how fast they arrive.
type prober struct {
	state   probeState
	cluster uint8
	rate    float64 // bits/s asked for
	bytes   int64   // asked for
	sent    int64   // in fact
	begun   int64
	ended   int64
	next    int64 // time before which no other begins
	wait    int64 // after a failure

	unanswered int  // probes without any feedback in a row
	tried      bool // at least one
	careful    bool // the last one failed

	count                     int
	received                  int64 // bytes
	firstSent, lastSent       int64
	firstArrival, lastArrival int64
	firstSize, lastSize       int32 // of the first to arrive, and of the last sent
}

type probeState uint8

const (
	probeIdle probeState = iota
	probeSending
	probeWaiting
)

// factor tells how many times the estimate the next probe should be sent at.
func (p *prober) factor() float64 {
	switch {
	case !p.tried:
		return firstProbe
	case p.careful:
		return probeCareful
	}
	return probeStep
}

// begin starts a probe at a rate if it is time for one.
func (p *prober) begin(rate float64, h *History, now int64) bool {
	if p.state != probeIdle || now < p.next || p.unanswered >= maxUnanswered {
		return false
	}
	length := probeTime
	if p.careful {
		length = probeCarefulTime
	}
	cluster := p.cluster%maxClusters + 1
	*p = prober{
		state: probeSending, cluster: cluster, rate: rate, bytes: max(int64(rate*length/8), minProbeBytes), begun: now,
		next: now, wait: p.wait, unanswered: p.unanswered, tried: true, careful: p.careful,
	}
	h.begin(cluster)
	return true
}

// padding returns how many bytes of padding are due, knowing what else was sent meanwhile.
func (p *prober) padding(h *History, now int64) int {
	switch p.state {
	case probeSending:
		sent := h.bytes.Load()
		length := int64(float64(p.bytes) * 8e9 / p.rate)
		if sent >= p.bytes || now-p.begun > 2*length+probeGrace {
			h.begin(0)
			p.state, p.sent, p.ended = probeWaiting, sent, now
			if sent < p.bytes/2 { // the caller cannot pad just now
				p.state, p.next = probeIdle, now+probeSoon
			}
			return 0
		}
		due := min(int64(p.rate*float64(now-p.begun+probeTick)/8e9), p.bytes)
		return int(min(max(due-sent, 0), int64(p.rate*probeBurst/8)))
	case probeIdle, probeWaiting:
	}
	return 0
}

// add takes note of a received packet.
func (p *prober) add(r *Result) {
	if p.state == probeIdle || r.Cluster != p.cluster || r.Late {
		return
	}
	if p.count == 0 || r.Arrival < p.firstArrival {
		p.firstArrival, p.firstSize = r.Arrival, r.Size
	}
	if p.count == 0 || r.Sent < p.firstSent {
		p.firstSent = r.Sent
	}
	if p.count == 0 || r.Sent >= p.lastSent {
		p.lastSent, p.lastSize = r.Sent, r.Size
	}
	if p.count == 0 || r.Arrival > p.lastArrival {
		p.lastArrival = r.Arrival
	}
	p.count++
	p.received += int64(r.Size)
}

// result returns what a finished probe found, bits/s, once.
func (p *prober) result(rtt, now int64) (rate float64, ok bool) {
	if p.state != probeWaiting {
		return 0, false
	}
	if float64(p.received) >= probeReported*float64(p.sent) {
		p.state, p.unanswered = probeIdle, 0
		rate = p.measure()
	} else if now-p.ended < probeTimeout+2*rtt {
		return 0, false
	} else if p.state = probeIdle; p.count == 0 {
		p.unanswered++
	}
	if p.success(rate) {
		p.next, p.wait, p.careful = now, 0, false
	} else {
		p.fail(now)
	}
	return rate, rate > 0
}

// success tells whether a probe found about what it asked for.
func (p *prober) success(rate float64) bool {
	share := probeSuccess
	if p.careful {
		share = probeCarefulSuccess
	}
	return rate >= share*p.rate
}

// fail puts the next probe off.
func (p *prober) fail(now int64) {
	p.careful = true
	p.wait = min(p.wait+probeRetry, probeRetryMax)
	p.next = max(p.next, now+p.wait)
}

// measure compares how fast packets were sent and how fast they arrived.
func (p *prober) measure() float64 {
	sentSpan, arrivalSpan := p.lastSent-p.firstSent, p.lastArrival-p.firstArrival
	if p.count < 3 || sentSpan <= 0 || arrivalSpan <= 0 || sentSpan > probeSpan || arrivalSpan > probeSpan {
		return 0
	}
	sent := float64(p.received-int64(p.lastSize)) * 8e9 / float64(sentSpan)
	received := float64(p.received-int64(p.firstSize)) * 8e9 / float64(arrivalSpan)
	rate := min(sent, received, p.rate)
	if received < probeSaturated*min(sent, p.rate) {
		rate = probeUtilised * received
	}
	return rate
}
