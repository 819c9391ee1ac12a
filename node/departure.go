package node

import (
	"math"
	"slices"
	"time"

	"cardea/node/console"
	"cardea/relay/link"
)

// Times of a departure.
const (
	// settleTime is what the others need to know that this node drains: until then they would send its clients back.
	settleTime = time.Second
	// moveTime is over how long clients that can move are told to, at most; and half the time there is.
	moveTime = time.Minute
	// signalingTime is how long before the end connections are closed whose clients' media is here; at most half the time there is.
	signalingTime = 30 * time.Second
	// quietTime is how long a node without calls waits for clients who are between two of them.
	quietTime = 2 * time.Second
	// handTime is how long it waits, beyond that, for other nodes to find elsewhere what they have of it.
	handTime = 10 * time.Second
	// hangUpTime is for clients to be told that their calls are over.
	hangUpTime = time.Second
)

// presence is what is still on a node.
type presence struct {
	movable     int // clients that wait to be told to move
	connections int // from before the drain, whose clients have sessions here
	clients     int // with media on this node, or asked for by its sessions
	relays      int // of TURN, by which somebody sends
	streams     int // that other nodes have of this one, and will find elsewhere, one for each node
	records     int // of rooms, which those who are to keep them may not have
}

// calls counts what would be cut off.
func (p presence) calls() int { return p.clients + p.relays }

// waiting is what of it a draining node waits for, as the console says it.
func (p presence) waiting() console.Waiting {
	return console.Waiting{Clients: p.clients, Relays: p.relays, Streams: p.streams, Records: p.records}
}

// act is what a draining node is to do now.
type act struct {
	move   int  // clients to tell to move
	depart int  // connections to close
	hangUp bool // all calls
	over   bool // the node ends
}

// departure decides what a draining node does when. It is pure: no clock, no clients.
type departure struct {
	begun, deadline time.Time
	// media says that clients' media is on this node, so that closing their connections spares nobody the end of it.
	media bool
	// alone says that there is no other node to go to: clients stay until they leave, or until the end.
	alone bool

	last  time.Time // when it was looked last
	owed  float64   // shares of clients to move that come to whole ones
	quiet time.Time // since when there are no calls; zero: there are
	hung  time.Time // when calls were hung up; zero: not yet
}

// step looks at what is there, a few times a second, and says what to do.
func (d *departure) step(now time.Time, p presence) (a act) {
	elapsed := now.Sub(d.last)
	if d.last.IsZero() {
		elapsed = 0
	}
	d.last = now
	if p.calls() > 0 {
		d.quiet = time.Time{}
	} else if d.quiet.IsZero() {
		d.quiet = now
	}
	switch {
	case !d.hung.IsZero():
		a.over = p.calls() == 0 || now.Sub(d.hung) >= hangUpTime
		return a
	case !now.Before(d.deadline):
		d.hung, a.hangUp = now, true
		return a
	case now.Sub(d.begun) < settleTime:
		return a
	case !d.quiet.IsZero() && now.Sub(d.quiet) >= quietTime && (p.streams+p.records == 0 || now.Sub(d.quiet) >= quietTime+handTime):
		a.over = true
		return a
	case d.alone:
		return a
	}
	whole := d.deadline.Sub(d.begun)
	a.move = d.moves(elapsed, d.begun.Add(min(moveTime, whole/2)).Sub(now), p.movable)
	if d.media {
		before := min(signalingTime, whole/2)
		if until := d.deadline.Add(-before); !now.Before(until) {
			a.depart = share(elapsed, until.Add(before/2).Sub(now), p.connections)
		}
		return a
	}
	a.depart = share(elapsed, d.begun.Add(min(moveTime, whole/2)).Sub(now), p.connections)
	return a
}

// departures are those of other nodes, as far as clients of this one are concerned.
type departures struct {
	departure
	nodes []link.NodeID
}

// drain says which nodes drain just now. When one more begins to, its clients are given the time that the first one's had.
func (d *departures) drain(now time.Time, nodes []link.NodeID, within time.Duration) {
	if slices.ContainsFunc(nodes, func(id link.NodeID) bool { return !slices.Contains(d.nodes, id) }) {
		d.departure = departure{begun: now, deadline: now.Add(within)}
	}
	d.nodes = nodes
}

// pace returns how many of n clients to tell to move whom that concerns.
func (d *departures) pace(now time.Time, n int) int {
	elapsed := now.Sub(d.last)
	if d.last.IsZero() {
		elapsed = 0
	}
	d.last = now
	if now.Sub(d.begun) < settleTime {
		return 0
	}
	return d.moves(elapsed, d.begun.Add(min(moveTime, d.deadline.Sub(d.begun)/2)).Sub(now), n)
}

// moves returns how many clients to tell to move, so that all are told when left is over: one by one, and no two within a quarter of a
// second unless there are more of them than that.
func (d *departure) moves(elapsed, left time.Duration, n int) int {
	if n == 0 {
		return 0
	}
	d.owed += max(elapsed.Seconds()/drainTick.Seconds(), portion(elapsed, left, n))
	k := min(int(d.owed), n)
	d.owed = min(d.owed-float64(k), 1)
	return k
}

// share returns how many of n to deal with in a time, so that all are when left is over.
func share(elapsed, left time.Duration, n int) int {
	return min(int(math.Ceil(portion(elapsed, left, n))), n)
}

func portion(elapsed, left time.Duration, n int) float64 {
	if left <= elapsed {
		return float64(n)
	}
	return float64(n) * elapsed.Seconds() / left.Seconds()
}
