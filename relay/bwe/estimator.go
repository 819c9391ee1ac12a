package bwe

import (
	"time"

	"cardea/relay/rtcp"
)

// Config configures an [Estimator]. Zero values mean the defaults. All are bits/s.
type Config struct {
	// Start is the estimate before anything is known. A higher one shows newcomers more at once and floods slow
	// paths for a moment. Default 1 Mbit/s, and probing begins at three times as much.
	Start uint64
	// Min is the lowest estimate; voice still passes there. Default 50 kbit/s.
	Min uint64
	// Max is the highest. Default 100 Mbit/s.
	Max uint64
}

func (c Config) withDefaults() Config {
	if c.Start == 0 {
		c.Start = 1e6
	}
	if c.Min == 0 {
		c.Min = 50e3
	}
	if c.Max == 0 {
		c.Max = 100e6
	}
	c.Max = max(c.Max, c.Min)
	c.Start = min(max(c.Start, c.Min), c.Max)
	return c
}

const (
	// limitedShare of the estimate is what an application must send to learn from the path.
	limitedShare = 0.7
	// feedbackFresh is how long TWCC counts as in use.
	feedbackFresh = int64(5 * time.Second)
	// feedbackTimeout is the silence after which the client is thought not to receive, besides two round trips.
	feedbackTimeout = int64(time.Second)
	timeoutInterval = int64(500 * time.Millisecond)
	timeoutFactor   = 0.8
	// wantedMargin is how much more than the estimate must be wanted for a probe to pay.
	wantedMargin = 1.05
	// probeRest is how long the path is left alone after an overuse.
	probeRest = int64(2 * time.Second)
	// trendFresh is how long the trend of the delay holds without news.
	trendFresh = int64(2 * time.Second)
	// fullQueue is the standing delay above which even a few losses mean that a queue overflows.
	fullQueue  = int64(50 * time.Millisecond)
	initialRTT = int64(100 * time.Millisecond)
)

// Estimator estimates the bandwidth to one client. Its methods must not run at the same time; Sent.Add may run any time.
type Estimator struct {
	// Sent remembers what was sent: Add to it every packet that carries a transport sequence number.
	Sent History

	cfg    Config
	wanted float64
	rtt    int64

	trend trend
	delay rateControl
	loss  lossControl
	probe prober
	queue queueGauge
	acked meter // client's clock
	sent  meter // our clock

	standing int64 // queueing delay at the last feedback, ns
	feedback int64 // time of the last TWCC, or never
	timeout  int64 // time of the last decrease for want of it
	remb     float64
}

// New makes an estimator.
func New(cfg Config, now int64) *Estimator {
	cfg = cfg.withDefaults()
	start := float64(cfg.Start)
	return &Estimator{
		cfg:      cfg,
		rtt:      initialRTT,
		trend:    newTrend(),
		delay:    newRateControl(start, now),
		loss:     newLossControl(start, now),
		probe:    prober{next: never},
		feedback: never,
		timeout:  now,
	}
}

// Estimate returns what may be sent, bits/s, between the configured bounds.
func (e *Estimator) Estimate() uint64 {
	rate := min(e.delay.rate, e.loss.rate)
	if e.remb > 0 {
		rate = min(e.remb, e.loss.rate)
	}
	return uint64(min(max(rate, float64(e.cfg.Min)), float64(e.cfg.Max)))
}

// RTT returns the smoothed time from sending a packet to having feedback on it, which includes the client's waiting.
func (e *Estimator) RTT() time.Duration { return time.Duration(e.rtt) }

// LossFraction returns the part of packets lately lost, 0 to 1.
func (e *Estimator) LossFraction() float64 { return e.loss.fraction }

// Want tells what would be sent if the estimate allowed it, bits/s, headroom included. Probing stops there.
func (e *Estimator) Want(rate uint64) { e.wanted = min(float64(rate), float64(e.cfg.Max)) }

// TransportFeedback takes a message of transport-wide feedback from the client. It appends to dst what the message says of
// each packet, as [History.Resolve] does.
func (e *Estimator) TransportFeedback(f *rtcp.TransportFeedback, now int64, dst []Result) []Result {
	n := len(dst)
	dst = e.Sent.Resolve(f, now, dst)
	e.Feedback(dst[n:], now)
	return dst
}

// Feedback takes what a message of feedback says, as [History.Resolve] returns it.
func (e *Estimator) Feedback(results []Result, now int64) {
	if len(results) == 0 {
		return
	}
	e.feedback = now
	e.remb = 0 // the client estimates by TWCC after all
	packets, lost, received, rtt, oneWay := 0, 0, 0, int64(-1), int64(0)
	for i := range results {
		r := &results[i]
		if !r.Late {
			packets++
			e.sent.add(r.Sent, r.Size)
		}
		if !r.Received {
			lost++
			continue
		}
		if r.Late {
			lost--
		}
		if age := now - r.Sent; rtt < 0 || age < rtt {
			rtt = age
		}
		if d := r.Arrival - r.Sent; received == 0 || d < oneWay {
			oneWay = d
		}
		received++
		e.acked.add(r.Arrival, r.Size)
		e.probe.add(r)
		if r.Cluster == 0 { // a probe overfills the path on purpose
			e.trend.add(r.Sent, r.Arrival)
		}
	}
	if received > 0 {
		e.rtt += (max(rtt, 0) - e.rtt) / 8
		e.standing = e.queue.add(oneWay, now)
	}
	e.control(packets, lost, now)
}

// control brings the rates up to date after feedback.
func (e *Estimator) control(packets, lost int, now int64) {
	acked, sent := e.acked.rate(), e.sent.rate()
	limited := sent < limitedShare*float64(e.Estimate())
	before := e.delay.rate
	e.delay.update(e.trend.usage, acked, limited, e.rtt, now)
	if e.delay.rate < before {
		e.probe.next = max(e.probe.next, now+probeRest)
	}
	judged := e.loss.add(packets, lost, e.rtt, now)
	if judged && e.loss.fraction > lowLoss && e.standing > fullQueue {
		e.delay.overflow(acked, e.rtt, now)
	}
	e.applyProbe(now)
	// The loss-based rate is to fall from where we are, not from where it would have got to without a path.
	e.delay.rate = min(max(e.delay.rate, float64(e.cfg.Min)), float64(e.cfg.Max))
	e.loss.rate = min(max(e.loss.rate, float64(e.cfg.Min)), e.delay.rate)
}

// applyProbe takes over what a probe found, if one is done.
func (e *Estimator) applyProbe(now int64) {
	if rate, ok := e.probe.result(e.rtt, now); ok && e.trend.usage != overuse {
		e.delay.raise(rate, now)
		e.loss.rate = max(e.loss.rate, rate)
	}
}

// Padding returns how many bytes of padding should be sent right now, mostly 0. It is to be asked every 5 to 10 ms as
// long as padding can be sent on packets with transport sequence numbers; what it asks for and is not sent is asked for
// again. It also brings the estimate down when feedback stays away.
func (e *Estimator) Padding(now int64) int {
	e.checkFeedback(now)
	if e.feedback != never && now-e.feedback > trendFresh {
		e.trend.restart() // what it says is out of date
	}
	e.applyProbe(now)
	estimate := float64(e.Estimate())
	if e.wanted > wantedMargin*estimate && e.trend.usage != overuse {
		e.probe.begin(min(e.probe.factor()*estimate, e.wanted), &e.Sent, now)
	}
	return e.probe.padding(&e.Sent, now)
}

// Probing tells whether a probe is being sent, so that Padding is to be asked again soon.
func (e *Estimator) Probing() bool { return e.probe.state == probeSending }

// checkFeedback lowers the estimate while packets are sent and nothing is heard of them.
func (e *Estimator) checkFeedback(now int64) {
	if e.feedback == never || now-e.feedback < feedbackTimeout+2*e.rtt || now-e.timeout < timeoutInterval {
		return
	}
	if last := e.Sent.last.Load(); last <= e.feedback || now-last > feedbackTimeout {
		return // nothing sent, so nothing to be heard
	}
	e.timeout = now
	e.delay.rate = max(e.delay.rate*timeoutFactor, float64(e.cfg.Min))
	e.loss.rate = min(e.loss.rate, e.delay.rate)
}

// REMB takes the estimate of a client without TWCC, bits/s. While TWCC comes in it is ignored.
func (e *Estimator) REMB(rate uint64, now int64) {
	if e.feedback != never && now-e.feedback < feedbackFresh || rate == 0 {
		return
	}
	e.remb = min(max(float64(rate), float64(e.cfg.Min)), float64(e.cfg.Max))
	// Losses lower it from where it is.
	e.loss.rate = min(e.loss.rate, e.remb)
	if e.loss.fraction <= highLoss {
		e.loss.rate = e.remb
	}
}

// Report takes the fraction lost (in 256ths) of a receiver report from a client without TWCC, and the rate at which was
// sent meanwhile, bits/s. While TWCC comes in it is ignored.
func (e *Estimator) Report(fraction uint8, sent uint64, now int64) {
	if e.feedback != never && now-e.feedback < feedbackFresh {
		return
	}
	e.loss.judge(float64(fraction)/256, e.rtt, now)
	ceiling := max(float64(e.cfg.Start), ackedHeadroom*float64(sent)+ackedSlack)
	if e.remb > 0 {
		ceiling = e.remb
	}
	e.loss.rate = min(max(e.loss.rate, float64(e.cfg.Min)), ceiling, float64(e.cfg.Max))
	e.delay.rate = e.loss.rate // nothing else is known
}
