package quality

import (
	"math"
	"time"
)

const (
	// playoutLeast is how long after a picture that came as fast as pictures do it is on display on a path that is calm but for
	// outages: what Chromium holds there, and takes to decode and draw (jitterBufferDelay over jitterBufferEmittedCount was 31 to
	// 38 ms).
	playoutLeast = 35 * time.Millisecond
	// playoutMost is how much longer it is at most: arrival times are the client's word.
	playoutMost = time.Second
	// What libwebrtc's JitterEstimator makes of noise in the delays: it looks back on so many pictures, takes no single one for more
	// than so many standard deviations, and holds so many of them, less an offset.
	jitterWindow   = 400
	jitterOutlier  = 15
	jitterHeld     = 2.33
	jitterOffset   = 30 * time.Millisecond
	jitterVariance = 4e12 // ns², at the beginning
	jitterLeast    = 1e12 // ns², at any time
	// baseDrift is the share of a picture's lateness by which the fastest picture is forgotten, as a power of two.
	baseDrift = 10
)

// Playout reckons when a browser shows pictures that came: it holds those that come early, so that those that come late are in time, and
// the longer the more delays vary. That large pictures take longer, which a browser reckons with, is not looked at. The zero
// value is ready to use. Times are ns.
type Playout struct {
	base  int64 // the least by which arrivals are ahead of timestamps
	ticks int64 // the timestamp of the latest picture, without wrapping
	based bool  // there is one

	lag       float64 // of the latest picture that came without repair, behind its timestamp
	lagged    bool    // there is one
	n         float64 // how many of them were looked at, up to jitterWindow
	late      float64 // mean lateness
	mean, dev float64 // of the variation: its mean and variance
}

// Due returns when a picture is on display that came at a time, by its timestamp of 90 kHz, and, as far as what it builds upon goes, could
// be shown at another. repaired says that packets of it had to be sent again: then it says nothing of jitter.
func (p *Playout) Due(stamp uint32, came, shown int64, repaired bool) int64 {
	p.ticks += int64(int32(stamp - uint32(p.ticks))) //nolint:gosec // modular
	captured := p.ticks * 100_000 / 9
	late := came - captured - p.base
	if !p.based || late < 0 {
		p.base += late
		p.based, late = true, 0
	} else {
		p.base += late >> baseDrift
	}
	if !repaired {
		p.vary(float64(came-captured), float64(late))
	}
	return max(shown, captured+p.base+p.hold())
}

// vary takes how far a picture was behind its timestamp, and behind the fastest.
func (p *Playout) vary(lag, late float64) {
	d := lag - p.lag
	p.lag = lag
	if !p.lagged {
		p.lagged, p.dev = true, jitterVariance
		return
	}
	p.n = min(p.n+1, jitterWindow)
	most := jitterOutlier * math.Sqrt(p.dev)
	d = min(max(d, -most), most)
	p.mean += (d - p.mean) / p.n
	p.dev = max(p.dev+((d-p.mean)*(d-p.mean)-p.dev)/p.n, jitterLeast)
	p.late += (min(late, most) - p.late) / p.n
}

// hold is how long after the fastest pictures others are on display.
func (p *Playout) hold() int64 {
	noise := max(jitterHeld*math.Sqrt(p.dev)-float64(jitterOffset), 0)
	return int64(playoutLeast) + min(int64(p.late+noise), int64(playoutMost))
}
