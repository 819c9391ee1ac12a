// Package queue holds what a link wants to send next: the most urgent first, and nothing that has become too late.
//
// It stands above QUIC's SendDatagram, whose own queue of 32 is first in, first out and blocks. Packets leave at the rate that the
// shield's budget allows, so that QUIC's queue and the network's stay short and a choice remains: audio overtakes video, a base
// layer overtakes enhancements, and what has waited longer than its class may wait is dropped, never sent late. When the rate
// comes down, the least urgent class starves first.
//
// A [Queue] decides, without a clock or a goroutine of its own; [Queue.Run] is the one sender of a link.
package queue

import (
	"context"
	"sync"
	"time"
)

// Class says how urgent a packet is and how long it may wait.
type Class uint8

// The classes, most urgent first.
const (
	Feedback    Class = iota // RTCP and what else steers
	Audio                    //
	Data                     // data channels
	Base                     // video that other video needs
	Enhancement              // video that makes a picture better
	Padding                  // what keeps a window open, sent if nothing else is
	classes
)

// limits are the bounds of a class.
type limits struct {
	wait    time.Duration // longest
	packets int           // most that wait
	credit  bool          // may leave ahead of the budget, up to overdraft
}

// The waits of video add to what the network takes, before the picture is shown; audio is so little that its wait is only ever
// that of a link that stalls.
var bounds = [classes]limits{
	Feedback:    {500 * time.Millisecond, 256, true},
	Audio:       {200 * time.Millisecond, 512, true},
	Data:        {time.Second, 512, false},
	Base:        {120 * time.Millisecond, 2048, false},
	Enhancement: {60 * time.Millisecond, 2048, false},
	Padding:     {20 * time.Millisecond, 64, false},
}

const (
	// MaxPacket is the longest packet taken.
	MaxPacket = 1452

	// burst is what may leave at once after a pause, in time at the budget's rate; a frame's packets should not be spread far.
	burst = 5 * time.Millisecond
	// leastBurst is the same in bytes where the rate is low.
	leastBurst = 4 * MaxPacket
	// overdraft is how far, in time, feedback and audio may leave ahead of the budget.
	overdraft = 50 * time.Millisecond
	// forever is longer than anything waits.
	forever = time.Hour
)

// packet is one that waits. Its memory is the queue's.
type packet struct {
	at  int64
	n   int
	buf *[MaxPacket]byte
}

// Stats counts packets of one class.
type Stats struct {
	Sent  uint64 // handed to the sender
	Late  uint64 // dropped: waited too long
	Full  uint64 // dropped: too many waited
	Bytes uint64 // sent
}

// Queue orders packets. It is safe for concurrent use.
type Queue struct {
	start  time.Time
	notify chan struct{}

	mu     sync.Mutex
	waits  [classes]fifo
	stats  [classes]Stats
	free   []*[MaxPacket]byte
	rate   float64 // bytes/s
	tokens float64 // bytes that may leave now; below 0: sent ahead
	filled int64
}

// New returns an empty queue with a budget of so many bit/s.
func New(rate int) *Queue {
	return &Queue{start: time.Now(), notify: make(chan struct{}, 1), rate: float64(rate) / 8}
}

func (q *Queue) now() int64 { return int64(time.Since(q.start)) }

// fifo is a bounded queue in a ring that grows.
type fifo struct {
	ring []packet
	head int
	n    int
}

func (f *fifo) push(p packet) {
	if f.n == len(f.ring) {
		ring := make([]packet, max(16, 2*len(f.ring)))
		for i := range f.n {
			ring[i] = f.ring[(f.head+i)%len(f.ring)]
		}
		f.ring, f.head = ring, 0
	}
	f.ring[(f.head+f.n)%len(f.ring)] = p
	f.n++
}

func (f *fifo) pop() packet {
	p := f.ring[f.head]
	f.head = (f.head + 1) % len(f.ring)
	f.n--
	return p
}

// setRate sets the budget in bit/s from now on.
func (q *Queue) setRate(rate int, now int64) {
	q.mu.Lock()
	q.fill(now)
	q.rate = float64(rate) / 8
	q.mu.Unlock()
}

// fill adds the tokens of the time that has passed.
func (q *Queue) fill(now int64) {
	passed := now - q.filled
	q.filled = now
	most := max(q.rate*burst.Seconds(), leastBurst)
	q.tokens = min(q.tokens+q.rate*float64(passed)/1e9, most)
}

// Push queues a copy of p. Where too many of its class wait, the one that has waited longest is dropped for it. Packets longer
// than [MaxPacket], and empty ones, are dropped.
func (q *Queue) Push(p []byte, c Class) {
	q.push(p, c, q.now())
	select {
	case q.notify <- struct{}{}:
	default:
	}
}

func (q *Queue) push(p []byte, c Class, now int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	w := &q.waits[c]
	if len(p) == 0 || len(p) > MaxPacket {
		q.stats[c].Full++
		return
	}
	if w.n == bounds[c].packets {
		q.free = append(q.free, w.pop().buf)
		q.stats[c].Full++
	}
	var buf *[MaxPacket]byte
	if n := len(q.free); n > 0 {
		buf, q.free = q.free[n-1], q.free[:n-1]
	} else {
		buf = new([MaxPacket]byte)
	}
	w.push(packet{at: now, n: copy(buf[:], p), buf: buf})
}

// pop copies the packet to be sent now into dst, which has room for [MaxPacket], and returns its length; 0 if there is none yet, and then how
// long to wait for one to come due, if no other is pushed.
func (q *Queue) pop(dst []byte, now int64) (n int, wait time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.fill(now)
	for c := range q.waits {
		w := &q.waits[c]
		for w.n > 0 && now-w.ring[w.head].at > int64(bounds[c].wait) {
			q.free = append(q.free, w.pop().buf)
			q.stats[c].Late++
		}
		if w.n == 0 {
			continue
		}
		need := 0.0
		if bounds[c].credit {
			need = -q.rate * overdraft.Seconds()
		}
		if q.tokens < need {
			return 0, time.Duration((need-q.tokens)/max(q.rate, 1)*1e9) + time.Microsecond
		}
		p := w.pop()
		n = copy(dst, p.buf[:p.n])
		q.free = append(q.free, p.buf)
		q.tokens -= float64(n)
		q.stats[c].Sent++
		q.stats[c].Bytes += uint64(n)
		return n, 0
	}
	return 0, forever
}

// Waiting returns how many packets of a class wait.
func (q *Queue) Waiting(c Class) int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.waits[c].n
}

// Stats returns the counters of a class.
func (q *Queue) Stats(c Class) Stats {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.stats[c]
}

// Run hands packets to send as they come due, until ctx ends or send fails, whose error it returns. budget tells the rate, in bit/s, and
// is asked every few packets.
func (q *Queue) Run(ctx context.Context, send func([]byte) error, budget func() int) error {
	timer := time.NewTimer(forever)
	defer timer.Stop()
	buf := make([]byte, MaxPacket)
	for sent := 0; ; {
		if sent%16 == 0 {
			q.setRate(budget(), q.now())
		}
		n, wait := q.pop(buf, q.now())
		if n > 0 {
			sent++
			if err := send(buf[:n]); err != nil {
				return err
			}
			continue
		}
		sent = 0
		timer.Reset(wait)
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-timer.C:
		case <-q.notify:
		}
	}
}
