package rtc

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"
)

// period is how often a loop looks at its sockets and its handlers.
const period = time.Millisecond

// Loop reads and drives many transports. [Loop.Run] is its goroutine; handlers are called from there.
type Loop struct {
	poller *poller

	mu     sync.Mutex
	tasks  []func() // for the loop to do
	closed bool

	// Owned by the loop.
	transports []*Transport // by number; nil where one was closed
	free       []int32
	running    []func()
	ready      []int32
	offset     int64 // wall clock minus monotonic clock
	last       int64
	stalled    time.Duration
}

// NewLoop makes a loop. It must be run, which also frees what it holds.
func NewLoop() (*Loop, error) {
	p, err := newPoller()
	if err != nil {
		return nil, err
	}
	return &Loop{poller: p}, nil
}

// Run drives the transports until ctx ends, then closes those left.
func (l *Loop) Run(ctx context.Context) error {
	defer l.shutDown()
	ticker := time.NewTicker(period)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		if err := l.turn(Now()); err != nil {
			return err
		}
	}
}

// turn is what a loop does each period.
func (l *Loop) turn(now int64) error {
	if l.last != 0 {
		l.stalled = max(l.stalled, time.Duration(now-l.last))
	}
	l.last, l.offset = now, realOffset()
	l.runTasks()
	l.ready = l.ready[:0]
	if err := l.poller.ready(func(n int32) { l.ready = append(l.ready, n) }); err != nil {
		return err
	}
	for _, n := range l.ready {
		if t := l.transports[n]; t != nil {
			l.poller.read(t.socket, t.datagram)
		}
	}
	for _, t := range l.transports {
		if t != nil && now >= t.due {
			t.tick(now)
		}
	}
	return nil
}

func (l *Loop) runTasks() {
	l.mu.Lock()
	l.running, l.tasks = l.tasks, l.running[:0]
	l.mu.Unlock()
	for i, task := range l.running {
		task()
		l.running[i] = nil
	}
}

// shutDown closes everything; tasks that come later are refused.
func (l *Loop) shutDown() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.runTasks()
	for _, t := range l.transports {
		if t != nil {
			t.remove()
		}
	}
	_ = l.poller.close() // nothing was written
}

// do has the loop run a task soon; false when it has ended.
func (l *Loop) do(task func()) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	l.tasks = append(l.tasks, task)
	return true
}

// Do runs a task on the loop and waits until it is done.
func (l *Loop) Do(ctx context.Context, task func()) error {
	done := make(chan struct{})
	if !l.do(func() { defer close(done); task() }) {
		return net.ErrClosed
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Stalled returns the longest time between two rounds: it is the error of when things are sent, and none of when they came.
// Only after Run has returned.
func (l *Loop) Stalled() time.Duration { return l.stalled }

// Open makes a transport with a socket at the given address, driven by the loop. Close it in the end.
func (l *Loop) Open(ctx context.Context, local netip.Addr, identity *Identity, h Handler) (*Transport, error) {
	s, err := openSocket(local)
	if err != nil {
		return nil, err
	}
	t := newTransport(l, s, identity, h)
	var added error
	err = l.Do(ctx, func() { added = l.insert(t) })
	if err = errors.Join(err, added); err != nil {
		l.abandon(t)
		return nil, err
	}
	return t, nil
}

// insert gives a transport its number.
func (l *Loop) insert(t *Transport) error {
	if t.removed {
		return net.ErrClosed
	}
	n := int32(len(l.transports))
	if k := len(l.free); k > 0 {
		n, l.free = l.free[k-1], l.free[:k-1]
	} else {
		l.transports = append(l.transports, nil)
	}
	if err := l.poller.add(t.socket, n); err != nil {
		l.free = append(l.free, n)
		return err
	}
	t.number = n
	l.transports[n] = t
	return nil
}

// abandon closes a transport's socket, on the loop while that runs.
func (l *Loop) abandon(t *Transport) {
	if !l.do(t.remove) {
		t.remove()
	}
}
