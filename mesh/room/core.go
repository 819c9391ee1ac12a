package room

import (
	"container/heap"
	"errors"
	"log/slog"
	"math/rand/v2"
	"time"

	"cardea/relay/link"
	"cardea/relay/link/wire"
)

// limits are the bounds of what grows. They are far above honest use.
type limits struct {
	records     int // records a node keeps, tombstones included
	recordBytes int // bytes of all records' values
	graves      int // tombstones among the records; the oldest go first
	rosters     int // rooms with a roster
	followers   int // nodes that follow one room here
	seats       int // participants of one room
	peerBytes   int // bytes of entries that one node gives
	window      int // bytes of notices to one node that it has not acknowledged
	notices     int // their number
	rate        int // bytes/s that a node is read with; it may be twice that at once
	reserved    int // claimed ids of one room that have no entry yet
	peers       int // nodes that are known at all
	queued      int // calls of watchers that wait, beside what is merged
	listed      int // rooms in the answer to List
}

func defaultLimits() limits {
	return limits{
		records: 2_000_000, recordBytes: 1 << 30, graves: 1_000_000, rosters: 200_000, followers: 4096, seats: 20_000, peerBytes: 128 << 20,
		window: 1 << 20, notices: 512, rate: 16 << 20, reserved: 1000, peers: 8192, queued: 4096, listed: 200_000,
	}
}

// Times of the protocol.
const (
	// answerWithin is the longest that a user waits for other nodes.
	answerWithin = time.Second
	// hedge is how long the first node asked may take until the next one is asked as well.
	hedge = 400 * time.Millisecond
	// pingEvery is the longest that a node says nothing to one that it follows.
	pingEvery = 250 * time.Millisecond
	// silence is after how long a node that says nothing is taken for dead, and another followed.
	silence = time.Second
	// probeEvery is how often a silent node is tried.
	probeEvery = 500 * time.Millisecond
	// trustAfter is how long a node must have been heard again until it is followed again.
	trustAfter = 500 * time.Millisecond
	// stuckAfter is how long nothing may be acknowledged, while the node is heard, until what was said counts as lost.
	stuckAfter = 5 * time.Second
	// linger is how long entries stay whose way here was lost: until everybody has told the next keeper. Together with silence it
	// is how long a participant can be seen that is gone.
	linger = 2500 * time.Millisecond
	// overlap is how long the former keeper is followed along with the next one, if it still lives.
	overlap = 5 * time.Second
	// closeAfter is how long a room is followed after its last user.
	closeAfter = 10 * time.Second
	// ackAfter is the longest that an acknowledgement waits for something to go along with.
	ackAfter = 100 * time.Millisecond
	// reserveFor is how long a claimed id waits for its entry.
	reserveFor = 10 * time.Second
	// digestEvery is how often a node compares its records with other nodes', two at a time.
	digestEvery = 5 * time.Second
	// sweepEvery is how often a bucket of records is looked through for old tombstones.
	sweepEvery = 2 * time.Second
)

var (
	errTimeout = errors.New("no answer in time")
	errRefused = errors.New("refused")
)

// output is something that the core wants done.
type output struct {
	to      link.NodeID
	kind    link.Kind
	payload []byte
	call    uint64 // of a call; 0: a notice
	within  time.Duration
}

// core is what one node knows of rooms and all that it decides. It has no lock, no goroutine and no clock: whoever runs it calls
// one method at a time with the time of day, then takes what it wants done, and calls tick at the time that wake says.
//
// What it does depends on its inputs alone, in their order, so a simulation of many nodes can be run again from its seed.
type core struct {
	self   link.NodeID
	limits limits
	m      *Metrics
	log    *slog.Logger
	rand   *rand.Rand
	now    time.Time
	clock  clock

	out    []output            // wanted, in order
	saves  map[string]struct{} // ids of records that are to be on disk before anything that was asked is confirmed
	woken  []*view             // that have something to deliver
	timers timers
	timed  uint64
	calls  map[uint64]func(reply []byte, err error)
	called uint64

	peers   map[link.NodeID]*peer
	ranking ranking // those that may hold records

	table    table
	rosters  map[string]*roster
	orphans  map[string]struct{} // ids of records kept here that belong to others, who may not have them
	pinned   map[string]struct{} // ids of rooms of the own configuration
	handing  bool
	robin    link.NodeID // the last one compared with
	sweeping int
	busy     []*peer // that have something queued
}

func newCore(self link.NodeID, now time.Time, random *rand.Rand, m *Metrics, log *slog.Logger) *core {
	c := &core{
		self: self, limits: defaultLimits(), m: m, log: log, rand: random, now: now,
		saves: map[string]struct{}{}, calls: map[uint64]func([]byte, error){}, peers: map[link.NodeID]*peer{},
		rosters: map[string]*roster{}, orphans: map[string]struct{}{}, pinned: map[string]struct{}{},
	}
	c.table.init()
	c.setNodes(now, []link.NodeID{self}, nil)
	c.after(digestEvery, c.compareNext)
	c.after(sweepEvery, c.sweep)
	return c
}

// timer is something to do later.
type timer struct {
	at    time.Time
	seq   uint64 // of timers of the same time the first made is the first
	index int
	do    func() // nil: stopped
}

type timers []*timer

func (t timers) Len() int { return len(t) }
func (t timers) Less(i, j int) bool {
	return t[i].at.Before(t[j].at) || t[i].at.Equal(t[j].at) && t[i].seq < t[j].seq
}
func (t timers) Swap(i, j int) { t[i], t[j] = t[j], t[i]; t[i].index, t[j].index = i, j }
func (t *timers) Push(x any)   { n := x.(*timer); n.index = len(*t); *t = append(*t, n) } //nolint:forcetypeassert // heap's
func (t *timers) Pop() any {
	old := *t
	n := old[len(old)-1]
	old[len(old)-1] = nil
	*t = old[:len(old)-1]
	n.index = -1
	return n
}

// after has f called in d.
func (c *core) after(d time.Duration, f func()) *timer {
	c.timed++
	t := &timer{at: c.now.Add(d), seq: c.timed, do: f}
	heap.Push(&c.timers, t)
	return t
}

// stop takes a timer back; nil is none.
func (c *core) stop(t *timer) {
	if t != nil && t.index >= 0 {
		heap.Remove(&c.timers, t.index)
	}
}

// wake returns when tick is due.
func (c *core) wake() time.Time { return c.timers[0].at } // comparing never ends, so there is always one

// enter is the beginning of every input.
func (c *core) enter(now time.Time) {
	if now.After(c.now) { // a clock that is set back stands still for the timers
		c.now = now
	}
}

// tick does what is due.
func (c *core) tick(now time.Time) {
	c.enter(now)
	for len(c.timers) > 0 && !c.timers[0].at.After(c.now) {
		t := heap.Pop(&c.timers).(*timer) //nolint:forcetypeassert // only these
		t.do()
	}
	c.settle()
}

// settle is the end of every input: what is queued for other nodes goes out.
func (c *core) settle() {
	for len(c.busy) > 0 {
		p := c.busy[0]
		c.busy = c.busy[1:]
		p.isBusy = false
		p.flush()
	}
}

// take returns what the core wants done since the last time, in order.
func (c *core) take() (out []output, woken []*view, saves map[string]struct{}) {
	out, woken, saves = c.out, c.woken, c.saves
	c.out, c.woken = nil, nil
	if len(saves) > 0 {
		c.saves = map[string]struct{}{}
	}
	return out, woken, saves
}

// call asks another node, or this one, for which whoever runs the core calls handleCall as well: so that what is confirmed here,
// too, is on disk before.
func (c *core) call(to link.NodeID, kind link.Kind, request any, within time.Duration, f func(reply []byte, err error)) {
	c.called++
	id := c.called
	t := c.after(within, func() { c.answer(id, nil, errTimeout) })
	c.calls[id] = func(reply []byte, err error) {
		c.stop(t)
		if p := c.peers[to]; p != nil && err == nil && to != c.self {
			p.alive()
		}
		f(reply, err)
	}
	payload := wire.Marshal(request)
	c.m.Calls.Add(1)
	c.m.BytesSent.Add(uint64(len(payload)))
	c.out = append(c.out, output{to: to, kind: kind, payload: payload, call: id, within: within})
}

func (c *core) answer(id uint64, reply []byte, err error) {
	if f := c.calls[id]; f != nil {
		delete(c.calls, id)
		f(reply, err)
	}
}

// result is the input of a call's answer.
func (c *core) result(now time.Time, id uint64, reply []byte, err error) {
	c.enter(now)
	c.answer(id, reply, err)
	c.settle()
}

// handleCall answers another node's call, or one of this node's to itself. What saves has then is to be on disk before the answer
// goes.
func (c *core) handleCall(now time.Time, from link.NodeID, kind link.Kind, payload []byte) ([]byte, error) {
	c.enter(now)
	defer c.settle()
	if from != c.self {
		c.m.BytesReceived.Add(uint64(len(payload)))
		p := c.peer(from)
		if p == nil || !p.afford(len(payload)) {
			c.m.Flooded.Add(1)
			return nil, errRefused
		}
	}
	reply, err := c.dispatch(from, kind, payload)
	if p := c.peers[from]; p != nil && from != c.self {
		p.alive()
		p.credit -= len(reply)
	}
	if errors.Is(err, wire.ErrMalformed) || errors.Is(err, errRecord) {
		c.m.Malformed.Add(1)
	}
	return reply, err
}

func (c *core) dispatch(from link.NodeID, kind link.Kind, payload []byte) ([]byte, error) {
	switch kind {
	case KindCreate:
		return c.onCreate(payload)
	case KindStore:
		return c.onStore(payload)
	case KindFetch:
		return c.onFetch(payload)
	case KindClaim:
		return c.onClaim(from, payload)
	case KindDigest:
		return c.onDigest(from, payload)
	case KindOffer:
		return c.onOffer(from, payload)
	case KindList:
		return c.onList(payload)
	case KindWhere:
		return c.onWhere(payload)
	default:
		return nil, errRefused
	}
}
