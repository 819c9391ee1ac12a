package bwe

import (
	"math"
	"time"
)

// usage is what the delay says of the path.
type usage uint8

const (
	normal   usage = iota
	underuse       // a queue drains
	overuse        // a queue grows
)

// Parameters of the delay's trend (draft-ietf-rmcat-gcc section 5, and the trendline that replaced its Kalman filter in
// libwebrtc).
const (
	burst        = int64(5 * time.Millisecond)   // packets sent within it are one group
	maxBurst     = int64(100 * time.Millisecond) // of arrivals that a group may take in
	trendWindow  = 20                            // groups
	smoothing    = 0.9
	trendGain    = 4.0
	maxDeltas    = 60
	overuseTime  = 10.0 // ms the trend must stay above the threshold
	thresholdMin = 6.0
	thresholdMax = 600.0
	thresholdUp  = 0.0087 // per ms
	thresholdDn  = 0.002  // between the draft's, which bullies, and libwebrtc's, which starves beside TCP in a short queue
	thresholdIn  = 12.5
	maxExcess    = 15.0                   // above the threshold, ms: more is a sudden change of path, not learned from
	maxDelta     = int64(3 * time.Second) // between groups: more is a jump of a clock
)

// group is a burst of packets that were sent together.
type group struct {
	firstSent, lastSent       int64
	firstArrival, lastArrival int64
}

// trend watches the delay between groups of packets and tells when it grows.
type trend struct {
	current, before       group
	haveCurrent, haveLast bool

	deltas   int
	delay    float64 // accumulated, ms
	smooth   float64
	points   [trendWindow]point
	n        int // points seen, of which the last trendWindow are kept
	epoch    int64
	previous float64 // slope

	threshold float64
	updated   int64   // arrival time of the last change of the threshold
	over      float64 // ms above the threshold, negative for not
	overs     int
	usage     usage
}

type point struct{ x, y float64 } // arrival and smoothed delay, ms

func newTrend() trend { return trend{threshold: thresholdIn, over: -1} }

// restart forgets everything about the path but the threshold.
func (t *trend) restart() {
	*t = trend{threshold: t.threshold, over: -1}
}

// add takes a received packet, in the order of arrival.
func (t *trend) add(sent, arrival int64) {
	switch {
	case !t.haveCurrent:
		t.current, t.haveCurrent = group{sent, sent, arrival, arrival}, true
		return
	case sent < t.current.firstSent: // overtaken by a later group
		return
	case t.sameGroup(sent, arrival):
		t.current.lastSent = max(t.current.lastSent, sent)
		t.current.lastArrival = max(t.current.lastArrival, arrival)
		return
	}
	if t.haveLast {
		sentDelta := t.current.lastSent - t.before.lastSent
		arrivalDelta := t.current.lastArrival - t.before.lastArrival
		if arrivalDelta < 0 || arrivalDelta-sentDelta > maxDelta || sentDelta-arrivalDelta > maxDelta {
			t.restart()
			t.current, t.haveCurrent = group{sent, sent, arrival, arrival}, true
			return
		}
		t.update(float64(arrivalDelta-sentDelta)/1e6, float64(sentDelta)/1e6, t.current.lastArrival)
	}
	t.before, t.haveLast = t.current, true
	t.current = group{sent, sent, arrival, arrival}
}

// sameGroup tells whether a packet belongs to the current group: it was sent with it, or it came in right behind it
// although it was sent later, as when a radio link delivers in lumps.
func (t *trend) sameGroup(sent, arrival int64) bool {
	c := &t.current
	if sent-c.firstSent <= burst {
		return true
	}
	arrivalDelta := arrival - c.lastArrival
	return arrivalDelta <= burst && arrivalDelta < sent-c.lastSent && arrival-c.firstArrival < maxBurst
}

// update takes one change of delay, ms.
func (t *trend) update(delta, sentDelta float64, arrival int64) {
	t.deltas = min(t.deltas+1, maxDeltas)
	t.delay += delta
	t.smooth = smoothing*t.smooth + (1-smoothing)*t.delay
	if t.n == 0 {
		t.epoch, t.updated = arrival, arrival
	}
	t.points[t.n%trendWindow] = point{float64(arrival-t.epoch) / 1e6, t.smooth}
	t.n++
	if t.n == 2*trendWindow {
		t.n = trendWindow // keeps the place in the ring and the count small
	}
	slope := t.previous
	if t.n >= trendWindow {
		slope = t.slope(slope)
	}
	t.detect(slope, sentDelta, arrival)
}

// slope fits a line through the points.
func (t *trend) slope(otherwise float64) float64 {
	var mx, my float64
	for _, p := range t.points {
		mx += p.x
		my += p.y
	}
	mx /= trendWindow
	my /= trendWindow
	var num, den float64
	for _, p := range t.points {
		num += (p.x - mx) * (p.y - my)
		den += (p.x - mx) * (p.x - mx)
	}
	if den == 0 {
		return otherwise
	}
	return num / den
}

// detect compares the trend with the threshold and adapts the threshold to it.
func (t *trend) detect(slope, sentDelta float64, arrival int64) {
	trend := float64(t.deltas) * slope * trendGain
	switch {
	case trend > t.threshold:
		if t.over < 0 {
			t.over = sentDelta / 2
		} else {
			t.over += sentDelta
		}
		t.overs++
		if t.over > overuseTime && t.overs > 1 && slope >= t.previous {
			t.over, t.overs = 0, 0
			t.usage = overuse
		}
	case trend < -t.threshold:
		t.over, t.overs = -1, 0
		t.usage = underuse
	default:
		t.over, t.overs = -1, 0
		t.usage = normal
	}
	t.previous = slope

	// A threshold that follows the trend slowly lets us hold our own beside flows that keep the queue full.
	size := math.Abs(trend)
	if size <= t.threshold+maxExcess {
		k := thresholdDn
		if size > t.threshold {
			k = thresholdUp
		}
		elapsed := min(max(float64(arrival-t.updated)/1e6, 0), 100)
		t.threshold = min(max(t.threshold+k*(size-t.threshold)*elapsed, thresholdMin), thresholdMax)
	}
	t.updated = arrival
}
