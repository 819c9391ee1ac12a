package bwe

import (
	"math/rand/v2"
	"testing"
	"time"

	"cardea/relay/rtcp"
)

// step is the resolution at which the simulation sends; the link works continuously.
const step = int64(time.Millisecond)

// link is a path with a bottleneck: a drop-tail queue, then a fixed delay, jitter and random loss.
type link struct {
	rate   float64       // bits/s
	delay  time.Duration // one way, without the queue
	queue  time.Duration // at most so much, at the present rate
	loss   float64
	jitter time.Duration // up to, more delay behind the queue; never reorders
	lumps  time.Duration // packets come out at multiples of it only, as from a radio link; 0 for none
	rng    *rand.Rand

	waiting []packet
	bytes   int
	busy    int64 // until when the packet before is being sent
	last    int64 // last arrival
}

type packet struct {
	seq     int64 // of its flow
	size    int
	tcp     bool
	sent    int64
	arrival int64
}

// send offers a packet to the queue and tells whether it was taken.
func (l *link) send(p packet, now int64) bool {
	if float64((l.bytes+p.size)*8)/l.rate > l.queue.Seconds() && l.bytes > 0 {
		return false
	}
	p.sent = now
	l.waiting = append(l.waiting, p)
	l.bytes += p.size
	return true
}

// run hands out what leaves the link by now, with arrival times that may lie ahead.
func (l *link) run(now int64, out func(packet)) {
	for len(l.waiting) > 0 {
		p := l.waiting[0]
		start := max(l.busy, p.sent)
		end := start + int64(float64(p.size*8)*1e9/l.rate)
		if end > now {
			return
		}
		l.busy = end
		l.waiting = l.waiting[1:]
		l.bytes -= p.size
		if l.rng.Float64() < l.loss {
			continue
		}
		p.arrival = end + int64(l.delay)
		if l.jitter > 0 {
			p.arrival += l.rng.Int64N(int64(l.jitter))
		}
		if l.lumps > 0 {
			p.arrival = (p.arrival/int64(l.lumps) + 1) * int64(l.lumps)
		}
		p.arrival = max(p.arrival, l.last)
		l.last = p.arrival
		out(p)
	}
}

func (l *link) queued() time.Duration {
	return time.Duration(float64(l.bytes*8) / l.rate * 1e9)
}

// reno is a bulk TCP flow, simplified: what it knows of a packet it knows a round trip after sending it.
type reno struct {
	window, threshold float64 // packets
	inFlight          int
	seq               int64
	recovery          int64 // no second cut before this time
	delivered         int64
	events            []renoEvent
}

type renoEvent struct {
	at   int64
	lost bool
}

const renoPacket = 1500

func newReno() *reno { return &reno{window: 10, threshold: 1e9} }

func (r *reno) run(now int64, l *link) {
	kept := r.events[:0]
	for _, e := range r.events {
		switch {
		case e.at > now:
			kept = append(kept, e)
			continue
		case e.lost:
			if now > r.recovery {
				r.threshold = max(r.window/2, 2)
				r.window = r.threshold
				r.recovery = now + int64(2*l.delay+l.queued())
			}
		case r.window < r.threshold:
			r.window++
		default:
			r.window += 1 / r.window
		}
		r.inFlight--
	}
	r.events = kept
	for r.inFlight < int(r.window) {
		r.inFlight++
		r.seq++
		if !l.send(packet{seq: r.seq, size: renoPacket, tcp: true}, now) {
			r.events = append(r.events, renoEvent{at: now + int64(2*l.delay+l.queued()), lost: true})
			return
		}
	}
}

func (r *reno) arrived(p packet, l *link) {
	r.delivered += int64(p.size)
	r.events = append(r.events, renoEvent{at: p.arrival + int64(l.delay)})
}

// message is feedback on its way back.
type message struct {
	at    int64
	bytes []byte
}

// call is a simulated call: a server that sends audio and video as the estimate allows, and a client that sends
// feedback, both with the real code.
type call struct {
	t    testing.TB
	link *link
	tcp  *reno
	e    *Estimator
	now  int64

	video func(c *call) float64 // bits/s of video to send now

	seq       uint16
	arriving  []packet
	client    Recorder
	skew      int64 // of the client's clock
	messages  []message
	delivered int64 // bytes of ours
	padding   int64 // bytes
	lost      int
	sent      int
}

func newCall(t testing.TB, l *link, cfg Config) *call {
	l.rng = rand.New(rand.NewPCG(1, 2))
	c := &call{t: t, link: l, e: New(cfg, 0), skew: int64(77 * time.Hour), seq: 65000}
	c.video = func(c *call) float64 { return float64(c.e.Estimate()) - 64e3 }
	c.e.Want(20e6)
	return c
}

func (c *call) send(size int) {
	c.seq++
	c.sent++
	c.e.Sent.Add(c.seq, c.now, size, 0)
	if !c.link.send(packet{seq: int64(c.seq), size: size}, c.now) {
		c.lost++
	}
}

// run goes on for a while and returns what happened in it.
func (c *call) run(d time.Duration) outcome {
	var o outcome
	delivered, padding, tcp := c.delivered, c.padding, int64(0)
	if c.tcp != nil {
		tcp = c.tcp.delivered
	}
	end := c.now + int64(d)
	steps := 0.0
	for ; c.now < end; c.now += step {
		c.step()
		est, q := float64(c.e.Estimate()), c.link.queued()
		o.estimate += est
		o.queue += q
		o.worst = max(o.worst, q)
		if steps == 0 || est < o.lowest {
			o.lowest = est
		}
		steps++
	}
	o.estimate /= steps
	o.queue /= time.Duration(steps)
	o.rate = float64(c.delivered-delivered) * 8 / d.Seconds()
	o.padding = float64(c.padding-padding) * 8 / d.Seconds()
	if c.tcp != nil {
		o.tcp = float64(c.tcp.delivered-tcp) * 8 / d.Seconds()
	}
	return o
}

// outcome is what happened in a span of time.
type outcome struct {
	estimate float64 // average
	lowest   float64
	rate     float64 // bits/s delivered
	padding  float64
	tcp      float64
	queue    time.Duration // average
	worst    time.Duration
}

func (c *call) step() {
	const frame, audio = int64(33 * time.Millisecond), int64(20 * time.Millisecond)
	if c.now%audio == 0 {
		c.send(160)
	}
	rate := max(c.video(c), 0)
	if c.now%frame == 0 {
		for n := rate * float64(frame) / 8e9; n > 0; n -= 1200 {
			c.send(int(min(max(n, 50), 1200)))
		}
	}
	if c.now%int64(5*time.Millisecond) == 0 {
		for n := c.e.Padding(c.now); n > 0; n -= 1000 {
			size := max(min(n, 1000), 50)
			c.padding += int64(size)
			c.send(size)
		}
	}
	if c.tcp != nil {
		c.tcp.run(c.now, c.link)
	}
	c.link.run(c.now, func(p packet) {
		if p.tcp {
			c.tcp.arrived(p, c.link)
			return
		}
		c.arriving = append(c.arriving, p)
	})
	for len(c.arriving) > 0 && c.arriving[0].arrival <= c.now {
		p := c.arriving[0]
		c.arriving = c.arriving[1:]
		c.delivered += int64(p.size)
		c.client.Record(uint16(p.seq), p.arrival+c.skew)
	}
	if b := c.client.Append(nil, 1, 2, c.now+c.skew); len(b) > 0 {
		c.messages = append(c.messages, message{c.now + int64(c.link.delay), b})
	}
	for len(c.messages) > 0 && c.messages[0].at <= c.now {
		p, _, err := rtcp.Next(c.messages[0].bytes)
		if err != nil {
			c.t.Fatal(err)
		}
		f, ok := p.TransportFeedback()
		if !ok {
			c.t.Fatal("no feedback")
		}
		c.e.TransportFeedback(&f, c.now, nil)
		c.messages = c.messages[1:]
	}
}
