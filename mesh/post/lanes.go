package post

import (
	"time"

	"cardea/relay/data"
)

// SCTP streams go one way here. The streams that a node sends on have even identifiers if its id is the lower of the two,
// else odd ones; halved they are the lane's number. What a lane is for follows from its number, so that both ends agree.
const (
	controlLane = 0
	// The ordered reliable messages of a line always take the same of these lanes, so that they cannot overtake each other.
	// Lines that share a lane wait for each other's lost packets, a round trip at most.
	firstOrderedLane = 1
	orderedLanes     = 32
	// Unordered reliable messages wait for nothing, so one lane is enough.
	unorderedLane = firstOrderedLane + orderedLanes
	// The others have limits, which are the stream's in SCTP: each line has a lane for each limit, while there are enough.
	firstPartialLane = 64
	partialLanes     = 128 // ordered
	firstLooseLane   = firstPartialLane + partialLanes
	looseLanes       = partialLanes // unordered
	lanesEnd         = firstLooseLane + looseLanes

	// laneRest is how long a lane with limits is not used until it may be given another use.
	laneRest = 5 * time.Second
)

// unorderedOn says that a lane is for unordered messages.
func unorderedOn(lane int) bool { return lane == unorderedLane || lane >= firstLooseLane }

// laneOf returns the stream's lane, and whether it is one of those that a node with the lower id sends on.
func laneOf(stream uint16) (lane int, lower bool) { return int(stream / 2), stream%2 == 0 }

// streamOf is the inverse of laneOf.
func streamOf(lane int, lower bool) uint16 {
	id := uint16(2 * lane) //nolint:gosec // lanes are few
	if !lower {
		id++
	}
	return id
}

// lanes allots lanes to messages. It is pure.
type lanes struct {
	inUse map[use]int
	uses  [lanesEnd]struct {
		use
		last time.Time // zero: never used
	}
}

// use is what a lane with limits is used for.
type use struct {
	subscription uint64
	reliability  data.Reliability
}

// pick returns the lane for a message, and whether the lane's limits are to be set first. busy tells whether SCTP still holds
// messages of a lane, whose limits must not change then. All lanes being busy, the message shares one with the same limits;
// if there is none either, it cannot be sent.
func (l *lanes) pick(u use, now time.Time, busy func(lane int) bool) (lane int, set, ok bool) {
	if u.reliability.Partial == data.Reliable {
		if u.reliability.Unordered {
			return unorderedLane, false, true
		}
		return firstOrderedLane + int(u.subscription%orderedLanes), false, true
	}
	lane, found := l.inUse[u]
	if !found {
		if lane, set = l.free(u, now, busy); !set {
			lane, ok = l.shared(u.reliability)
			return lane, false, ok
		}
		if l.inUse == nil {
			l.inUse = make(map[use]int)
		}
		delete(l.inUse, l.uses[lane].use)
		l.inUse[u], l.uses[lane].use = lane, u
	}
	l.uses[lane].last = now
	return lane, set, true
}

// free returns a lane that has no use, or has rested the longest of those that rest.
func (l *lanes) free(u use, now time.Time, busy func(lane int) bool) (lane int, ok bool) {
	first := firstPartialLane
	if u.reliability.Unordered {
		first = firstLooseLane
	}
	for i := first; i < first+partialLanes; i++ {
		last := l.uses[i].last
		if last.IsZero() {
			return i, true
		}
		if now.Sub(last) >= laneRest && (!ok || last.Before(l.uses[lane].last)) && !busy(i) {
			lane, ok = i, true
		}
	}
	return lane, ok
}

// shared returns a lane with the same limits.
func (l *lanes) shared(r data.Reliability) (lane int, ok bool) {
	for i := firstPartialLane; i < lanesEnd; i++ {
		if l.uses[i].reliability == r && !l.uses[i].last.IsZero() {
			return i, true
		}
	}
	return 0, false
}
