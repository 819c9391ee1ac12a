package quality

import "time"

const (
	// clockJump is a difference between two readings of a client's clock that no network makes: it was set, or began anew.
	clockJump = int64(30 * time.Second)
	// clockDrift is the share of a packet's lateness by which the fastest packet is forgotten with each message, as a power of
	// two: clocks drift apart by some 50 us a second.
	clockDrift = 10
)

// Arrivals brings the times at which a client received packets onto the node's clock. All lines of a client share one clock. The zero value
// is ready to use.
type Arrivals struct {
	offset  int64 // client's clock less ours, plus the least time on the way
	started bool
	oneWay  int64 // ns, the least time on the way
}

// Message tells of a message of feedback: of the packet in it that came fastest, by when it was sent (our clock) and when
// it arrived (the client's), and of the round-trip time, 0 if it is not known. It is to be called before At for what the message says.
func (a *Arrivals) Message(sent, arrival, now, rtt int64) {
	if rtt <= 0 {
		rtt = now - sent // the client's waiting is in it
	}
	if a.oneWay == 0 || rtt/2 < a.oneWay {
		a.oneWay = max(rtt/2, 1)
	} else {
		a.oneWay += (rtt/2 - a.oneWay) >> clockDrift
	}
	sample := arrival - sent
	switch late := sample - a.offset; {
	case !a.started, late < 0, late > clockJump:
		a.offset, a.started = sample, true
	default:
		a.offset += late >> clockDrift
	}
}

// At returns when a packet arrived, on our clock: not before it was sent, and not after now.
func (a *Arrivals) At(sent, arrival, now int64) int64 {
	return min(max(arrival-a.offset+a.oneWay, sent), now)
}

// OneWay returns the least time that packets need to the client, ns.
func (a *Arrivals) OneWay() int64 { return a.oneWay }
