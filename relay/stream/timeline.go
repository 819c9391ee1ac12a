package stream

import (
	"math/rand/v2"
	"time"
)

// timeline maps the timestamps of one source after another to one clock that never runs backwards.
//
// When a source takes over with a picture that is older than what was sent last (a kept keyframe), the frames from there
// to the present are squeezed into little time, so that afterwards the mapping is the true one again and sound and picture
// stay together.
type timeline struct {
	rate    int64 // ticks/s
	started bool
	offset  uint32 // outgoing = incoming + offset, but for what is squeezed

	squeezing bool
	from      uint32 // outgoing, unsqueezed: where squeezing begins
	to        uint32 // what from becomes
	length    int64  // ticks that are squeezed

	newest   uint32 // highest outgoing timestamp
	plain    uint32 // the same, unsqueezed
	incoming uint32 // the same, as it came
	arrival  int64  // ns, of the first packet that had it
}

// squeeze is the factor of squeezed time.
const squeeze = 16

// ticks turns nanoseconds into ticks of the clock, without overflow for any span a process lives.
func ticks(ns, rate int64) int64 {
	return ns/int64(time.Second)*rate + ns%int64(time.Second)*rate/int64(time.Second)
}

// start begins the clock at a random time, which stands for now; the first packet, with timestamp ts, arrived age ns ago.
func (t *timeline) start(ts uint32, age int64) {
	t.started = true
	t.newest = rand.Uint32()
	t.plain = t.newest
	if age < int64(20*time.Millisecond) {
		age = 0
	}
	t.takeOver(ts, 1-ticks(age, t.rate))
}

// takeOver makes the clock go on with a source whose next packet has timestamp ts and was captured so many ticks after
// the newest one so far (negative: before).
func (t *timeline) takeOver(ts uint32, elapsed int64) {
	plain := t.plain + uint32(elapsed) //nolint:gosec // modular
	t.offset = plain - ts
	lead := int64(int32(t.newest-t.plain)) - elapsed //nolint:gosec // modular; what is sent is ahead of ts by this
	if t.squeezing = lead >= 0; t.squeezing {
		step := max(t.rate/1000, 1) // a frame of its own
		t.from, t.to = plain, t.newest+uint32(step)
		t.length = (lead + step) * squeeze / (squeeze - 1)
	}
}

// resume makes the clock go on with the same source, perhaps with packets from before the newest one: after a pause.
func (t *timeline) resume(ts uint32) {
	t.takeOver(ts, int64(int32(ts-t.incoming))) //nolint:gosec // modular
}

// at returns the outgoing timestamp of an incoming one.
func (t *timeline) at(ts uint32) uint32 {
	plain := ts + t.offset
	if t.squeezing {
		if d := int64(int32(plain - t.from)); d < t.length { //nolint:gosec // modular
			return t.to + uint32(d/squeeze) //nolint:gosec // modular
		}
	}
	return plain
}

// sent takes note of a packet that was given timestamp out.
func (t *timeline) sent(ts, out uint32, arrival int64) {
	if t.arrival != 0 && int32(out-t.newest) <= 0 { //nolint:gosec // modular
		return
	}
	t.newest, t.plain, t.incoming, t.arrival = out, ts+t.offset, ts, arrival
	if t.squeezing && int64(int32(t.plain-t.from)) > t.length+10*t.rate { //nolint:gosec // modular
		t.squeezing = false
	}
}

// now returns the outgoing time at the given NTP time, by the source's own pair of clocks where known.
func (t *timeline) now(now int64, ntp uint64, r senderReport) uint32 {
	byArrival := t.plain + uint32(ticks(now-t.arrival, t.rate)) //nolint:gosec // modular
	if !r.known {
		return byArrival
	}
	byReport := r.rtp + uint32(ntpTicks(ntp, r.ntp, t.rate)) + t.offset //nolint:gosec // modular
	if d := int64(int32(byReport - byArrival)); d > 10*t.rate || d < -10*t.rate {
		return byArrival // the report speaks of another clock
	}
	return byReport
}

// ntpTicks returns the time from NTP time b to a in ticks.
func ntpTicks(a, b uint64, rate int64) int64 {
	d := int64(a - b) //nolint:gosec // modular
	return (d>>32)*rate + int64(uint64(d)&0xffffffff)*rate>>32
}

// elapsedBetween returns the ticks from the newest packet sent, which came from a layer with report old, to a packet of
// another layer of the same source: by sender reports if both are known and plausible, else by arrival.
func (t *timeline) elapsedBetween(old, next senderReport, ts uint32, arrival int64) int64 {
	byArrival := ticks(arrival-t.arrival, t.rate)
	if !old.known || !next.known {
		return byArrival
	}
	sent := int64(int32(t.incoming - old.rtp)) //nolint:gosec // modular
	captured := ntpTicks(next.ntp, old.ntp, t.rate) + int64(int32(ts-next.rtp))
	elapsed := captured - sent
	if d := elapsed - byArrival; d > t.rate || d < -t.rate {
		return byArrival
	}
	return elapsed
}
