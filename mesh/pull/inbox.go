package pull

import (
	"sync"
	"time"
)

// inbox is what the puller's goroutine is to do, in order. It is filled from many sides, some of which hold locks, and so
// never makes anybody wait; what neighbours put into it is bounded by their gates.
type inbox struct {
	mu      sync.Mutex
	waiting []func()
	closed  bool
	wake    chan struct{}
}

func newInbox() *inbox { return &inbox{wake: make(chan struct{}, 1)} }

// post has f called by the puller's goroutine, unless that has ended.
func (i *inbox) post(f func()) {
	i.mu.Lock()
	if !i.closed {
		i.waiting = append(i.waiting, f)
	}
	i.mu.Unlock()
	select {
	case i.wake <- struct{}{}:
	default:
	}
}

// take returns what waits.
func (i *inbox) take() []func() {
	i.mu.Lock()
	defer i.mu.Unlock()
	w := i.waiting
	i.waiting = nil
	return w
}

// close makes post do nothing.
func (i *inbox) close() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.closed, i.waiting = true, nil
}

const (
	// gateRate is how many notices a neighbour may send a second, and gateBurst how many at once: what a node with thousands
	// of subscriptions says when its parent died.
	gateRate, gateBurst = 2000, 10_000
)

// gate bounds the notices of one neighbour.
type gate struct {
	mu     sync.Mutex
	tokens float64
	last   time.Time
}

// pass takes note of a notice and tells whether it is within bounds.
func (g *gate) pass(now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.last.IsZero() {
		g.tokens = gateBurst
	} else {
		g.tokens = min(g.tokens+now.Sub(g.last).Seconds()*gateRate, gateBurst)
	}
	g.last = now
	if g.tokens < 1 {
		return false
	}
	g.tokens--
	return true
}
