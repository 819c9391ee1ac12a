package post

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"cardea/relay/data"
	"cardea/relay/plane"
)

const (
	// overhead is what an empty message counts in a room's memory.
	overhead = 256
	// staleAfter is how long a message with limited retransmissions waits to be sent for the first time.
	staleAfter = time.Second
	// quantum is how many bytes, with overhead, a subscriber may hand to SCTP until it is another's turn.
	quantum = 16 << 10
)

// quota is what the data channels of a room may take. It is set once.
type quota struct {
	bytes  int     // kept for all subscribers together, each message counted once with its overhead
	rate   float64 // messages a second, and in a burst
	total  int64   // bytes kept for all rooms
	kept   *atomic.Int64
	counts *counters
}

// room is the memory of a room's messages that are published here: what some subscriber has not taken yet. It does no I/O;
// it is safe for concurrent use.
type room struct {
	quota quota // set once

	mu      sync.Mutex // guards below, and outlets and subscribers
	bucket  *rate.Limiter
	kept    []*letter // oldest first; those that are nobody's any more linger for a while
	idle    int       // of kept, those that are nobody's
	bytes   int
	outlets map[plane.StreamID]*outlet
}

// letter is a message on its way to the subscribers of its line.
type letter struct {
	message data.Message
	outlet  *outlet
	number  uint64 // 0 unless reliable
	said    time.Time
	holders int // subscribers that are not done with it
}

func (l *letter) size() int { return len(l.message.Data) + overhead }

// dead says that nobody needs the letter any more, or that it was dropped.
func (l *letter) dead() bool { return l.holders == 0 }

// outlet is a published line with subscribers on other nodes.
type outlet struct {
	id          plane.StreamID
	room        *room
	incarnation uint64 // of its numbers
	watch       *watch

	// Guarded by room.mu.
	ordered, unordered uint64 // numbers given last
	subscribers        []*subscriber
}

// subscriber is a node that subscribed to an outlet.
type subscriber struct {
	outlet  *outlet
	address address // of the node
	number  uint64  // of the subscription

	// Guarded by room.mu.
	line     *line // takes the letters; nil while there is no association
	detached time.Time
	sent     []*letter // reliable, taken, and not acknowledged
	queue    []*letter // not taken
	floor    uint64    // unordered numbers below are settled
	progress uint64    // of the acknowledgements: how many numbers they have covered
}

// parcel is a letter addressed to a subscriber.
type parcel struct {
	message data.Message
	said    time.Time
	number  uint64
	floor   uint64
}

func newRoom(q quota) *room {
	return &room{quota: q, bucket: rate.NewLimiter(rate.Limit(q.rate), max(1, int(q.rate))), outlets: make(map[plane.StreamID]*outlet)}
}

// say has a message sent to the outlet's subscribers, unless the room says too much.
func (r *room) say(o *outlet, m data.Message, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(o.subscribers) == 0 {
		return
	}
	l := &letter{message: m, outlet: o, said: now, holders: len(o.subscribers)}
	if len(m.Data) > MaxMessage || max(len(m.Label), len(m.Protocol)) > data.MaxName || m.Reliability.Partial > data.Lifetime ||
		!r.bucket.AllowN(now, 1) || !r.makeRoom(l.size()) {
		r.quota.counts.overQuota.Add(1)
		return
	}
	switch {
	case m.Reliability.Partial != data.Reliable:
	case m.Reliability.Unordered:
		o.unordered++
		l.number = o.unordered
	default:
		o.ordered++
		l.number = o.ordered
	}
	r.keep(l)
	for _, s := range o.subscribers {
		s.queue = append(s.queue, l)
		if s.line != nil {
			s.line.serve(s)
		}
	}
	r.quota.counts.said.Add(1)
}

func (r *room) keep(l *letter) {
	r.kept = append(r.kept, l)
	r.bytes += l.size()
	r.quota.kept.Add(int64(l.size()))
}

// makeRoom drops the room's oldest messages until there is room for n bytes; false if there cannot be.
func (r *room) makeRoom(n int) bool {
	if r.quota.kept.Load()+int64(n) > r.quota.total && r.bytes == 0 {
		return false // others have taken it all
	}
	for r.bytes > 0 && (r.bytes+n > r.quota.bytes || r.quota.kept.Load()+int64(n) > r.quota.total) {
		oldest := r.kept[0]
		r.kept = r.kept[1:]
		if oldest.dead() {
			r.idle--
			continue
		}
		r.quota.counts.forgotten.Add(uint64(oldest.holders))
		subscribers := oldest.outlet.subscribers
		r.free(oldest)
		for _, s := range subscribers {
			s.prune()
		}
	}
	return n <= r.quota.bytes
}

// free lets go of a letter's bytes; it is dead then.
func (r *room) free(l *letter) {
	r.bytes -= l.size()
	r.quota.kept.Add(-int64(l.size()))
	*l = letter{}
}

// done takes note that a subscriber needs the letter no more.
func (r *room) done(l *letter) {
	switch {
	case l.dead():
	case l.holders > 1:
		l.holders--
	default:
		r.free(l)
		if r.idle++; r.idle > 64 && r.idle > len(r.kept)/2 {
			r.kept = slices.DeleteFunc(r.kept, (*letter).dead)
			r.idle = 0
		}
	}
}

// prune lets go of what was dropped. What is dropped is the room's oldest, so it stands in front.
func (s *subscriber) prune() {
	for len(s.sent) > 0 && s.sent[0].dead() {
		s.sent = s.sent[1:]
	}
	for len(s.queue) > 0 && s.queue[0].dead() {
		s.queue = s.queue[1:]
	}
}

// take returns what the line is to send next to the subscriber, about a quantum of it, and whether there is more.
func (r *room) take(s *subscriber, by *line, now time.Time) (parcels []parcel, more bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s.line != by {
		return nil, false // detached meanwhile
	}
	for taken := 0; len(s.queue) > 0 && taken < quantum; {
		l := s.queue[0]
		s.queue[0] = nil
		s.queue = s.queue[1:]
		switch {
		case l.dead():
			continue
		case l.expired(now):
			r.quota.counts.expired.Add(1)
			r.done(l)
			continue
		}
		taken += l.size()
		parcels = append(parcels, parcel{l.message, l.said, l.number, s.floor})
		if l.number > 0 {
			s.sent = append(s.sent, l)
		} else {
			r.done(l)
		}
	}
	return parcels, len(s.queue) > 0
}

// expired says that a message has waited for longer than its sender wants it to.
func (l *letter) expired(now time.Time) bool {
	switch l.message.Reliability.Partial {
	case data.Lifetime:
		return now.Sub(l.said) > time.Duration(l.message.Reliability.Limit)*time.Millisecond
	case data.Retransmits:
		return now.Sub(l.said) > staleAfter
	default:
		return false
	}
}

// enter adds an outlet.
func (r *room) enter(o *outlet) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.outlets[o.id] = o
}

// remove removes an outlet; it tells whether the room has no other.
func (r *room) remove(o *outlet) (empty bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.outlets, o.id)
	return len(r.outlets) == 0
}

// subscribersOf returns the subscribers of an outlet.
func (r *room) subscribersOf(id plane.StreamID) []*subscriber {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.outlets[id].subscribers)
}

// subscribe adds a subscriber, whose letters from now on the line takes.
func (r *room) subscribe(o *outlet, node address, number uint64, by *line) *subscriber {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := &subscriber{outlet: o, address: node, number: number, line: by, floor: o.unordered + 1}
	o.subscribers = append(o.subscribers, s)
	return s
}

// acknowledge takes notice of what the subscriber's node has.
func (r *room) acknowledge(s *subscriber, has tally) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if has.covers() > s.progress { // a node that repeats itself costs no search
		r.settle(s, &has)
	}
}

func (r *room) settle(s *subscriber, has *tally) {
	if has.Incarnation != s.outlet.incarnation {
		return
	}
	s.progress = has.covers()
	settled := func(l *letter) bool {
		if l.message.Reliability.Unordered {
			return has.has(l.number)
		}
		return l.number <= has.Ordered
	}
	drop := func(l *letter) bool {
		if !l.dead() && (l.number == 0 || !settled(l)) {
			return false
		}
		r.done(l)
		return true
	}
	s.sent, s.queue = slices.DeleteFunc(s.sent, drop), slices.DeleteFunc(s.queue, drop)
	s.floor = s.outlet.unordered + 1
	for _, list := range [][]*letter{s.sent, s.queue} {
		for _, l := range list {
			if !l.dead() && l.number > 0 && l.message.Reliability.Unordered {
				s.floor = min(s.floor, l.number)
			}
		}
	}
}

// attach has what was sent before and is not in the tally sent again, by the line.
func (r *room) attach(s *subscriber, has tally, by *line) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.settle(s, &has)
	s.queue = append(s.sent, s.queue...)
	s.sent, s.line = nil, by
	if len(s.queue) > 0 {
		by.serve(s)
	}
}

// detach keeps what the subscriber has not got until it comes back, if it is the line's.
func (r *room) detach(s *subscriber, from *line, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s.line == from {
		s.line, s.detached = nil, now
	}
}

// gone says that the subscriber has been without an association since before then.
func (r *room) gone(s *subscriber, then time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return s.line == nil && s.detached.Before(then)
}

// unsubscribe forgets a subscriber; it tells whether the outlet has others.
func (r *room) unsubscribe(s *subscriber) (others bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	o := s.outlet
	if i := slices.Index(o.subscribers, s); i >= 0 {
		o.subscribers = slices.Delete(o.subscribers, i, i+1)
		for _, list := range [][]*letter{s.sent, s.queue} {
			for _, l := range list {
				r.done(l)
			}
		}
		s.sent, s.queue, s.line = nil, nil, nil
	}
	return len(o.subscribers) > 0
}
