package videoroom

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// workTime bounds the work on one notice: what waits in it is the offers to subscribers and the end of forwarders.
const workTime = 10 * time.Second

// inbox keeps what the mesh tells of a room until it was worked on, in order. The mesh does not wait for that: the end of a
// publisher is announced only after its subscribers got their offers. What is out of date before it was worked on is left
// out, so that no more waits than three notices for each participant, however much comes.
type inbox struct {
	room *room // set once

	mu      sync.Mutex
	waiting []*notice
	last    map[string]*notice // of waiting, by participant: the last one about it
	stale   bool               // the record has changed, and a notice that waits says so
	open    bool               // a goroutine may work on it
	running bool               // one does
	closed  bool               // nothing is taken any more
}

// notice is one call of the watcher, or a time that is over.
type notice struct {
	what        happening
	participant string
	entry       []byte  // of present
	why         string  // of gone
	before      *notice // the one about the same participant that waits, too
}

type happening uint8

const (
	edited happening = iota
	destroyed
	present
	gone
	lost
	overdue // nobody took up a participant that was awaited
)

// watcher is what the mesh calls.
func (b *inbox) watcher() MeshWatcher {
	return MeshWatcher{
		Edited:    func([]byte) { b.put(&notice{what: edited}) },
		Destroyed: func() { b.put(&notice{what: destroyed}) },
		Present: func(participant string, entry []byte) {
			b.put(&notice{what: present, participant: participant, entry: entry})
		},
		Gone:  func(participant, why string) { b.put(&notice{what: gone, participant: participant, why: why}) },
		Lost:  func(participant string) { b.put(&notice{what: lost, participant: participant}) },
		Asked: b.asked,
	}
}

// put takes a notice, and starts the goroutine if there is none.
func (b *inbox) put(n *notice) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed || b.covered(n) {
		return
	}
	b.waiting = append(b.waiting, n)
	switch n.what {
	case edited:
		b.stale = true
	case present, gone, lost:
		if b.last == nil {
			b.last = make(map[string]*notice)
		}
		n.before = b.last[n.participant]
		b.last[n.participant] = n
	case destroyed, overdue:
	}
	b.start()
}

// covered tells whether a notice need not wait, because one that waits says as much or was made to. Called with mu held.
func (b *inbox) covered(n *notice) bool {
	if n.what == edited {
		return b.stale
	}
	l := b.last[n.participant]
	switch {
	case n.what == destroyed || n.what == overdue || l == nil:
		return false
	case l.what == n.what:
		l.entry, l.why = n.entry, n.why
		return true
	case n.what == gone && l.what == present && l.before != nil && l.before.what == gone:
		b.waiting = slices.DeleteFunc(b.waiting, func(w *notice) bool { return w == l })
		b.last[n.participant] = l.before
		return true
	case n.what == gone && l.what == present:
		l.what, l.entry, l.why = gone, nil, n.why
		return true
	}
	return false
}

// start starts the goroutine if there is none and something to do. Called with mu held.
func (b *inbox) start() {
	if !b.open || b.running || len(b.waiting) == 0 {
		return
	}
	b.running = true
	b.room.held.plugin.workers.Go(func() {
		b.work()
	})
}

// begin lets a goroutine work from now on.
func (b *inbox) begin() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.open = true
	b.start()
}

// close throws away what waits and takes nothing more.
func (b *inbox) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed, b.waiting, b.last = true, nil, nil
}

// take returns the next notice, nil when there is none: then the goroutine ends.
func (b *inbox) take() *notice {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.waiting) == 0 {
		b.waiting, b.last, b.running = nil, nil, false
		return nil
	}
	n := b.waiting[0]
	b.waiting[0] = nil
	b.waiting = b.waiting[1:]
	switch l := b.last[n.participant]; {
	case n.what == edited:
		b.stale = false
	case l == n:
		delete(b.last, n.participant)
	case l != nil && l.before == n:
		l.before = nil
	}
	return n
}

// work works on everything that waits.
func (b *inbox) work() {
	for n := b.take(); n != nil; n = b.take() {
		b.room.learn(n)
	}
}

// learn takes over what happened elsewhere.
func (r *room) learn(n *notice) {
	ctx, cancel := context.WithTimeout(context.Background(), workTime)
	defer cancel()
	h := r.held
	switch n.what {
	case edited:
		r.refresh()
		return
	case destroyed:
		r.end(ctx)
		return
	case present, gone, lost, overdue:
	}
	id, ok := h.plugin.ids.read(n.participant)
	if !ok {
		h.complain(fmt.Errorf("participant %q has no valid id", n.participant))
		return
	}
	switch n.what {
	case present:
		e, err := readEntry(n.entry)
		if err != nil {
			h.complain(fmt.Errorf("participant %q: %w", n.participant, err))
			return
		}
		r.present(ctx, id, e)
	case gone:
		r.gone(ctx, id, n.why)
	case lost:
		r.lose(id)
	case overdue:
		r.giveUp(ctx, id)
	case edited, destroyed:
	}
}
