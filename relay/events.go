package relay

import (
	"context"
	"slices"
	"sync"

	"cardea/relay/plane"
)

// eventsKept bounds the events kept for a signaling process that is away; older ones are lost to it.
const eventsKept = 1 << 14

// eventLog numbers events and keeps the latest.
type eventLog struct {
	mu     sync.Mutex
	events []plane.Event
	last   uint64        // number of the latest event
	more   chan struct{} // closed when there are more
}

func newEventLog() *eventLog { return &eventLog{more: make(chan struct{})} }

// add numbers and keeps an event.
func (l *eventLog) add(e plane.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last++
	e.Number = l.last
	if len(l.events) == eventsKept {
		l.events = append(l.events[:0], l.events[eventsKept/2:]...)
	}
	l.events = append(l.events, e)
	close(l.more)
	l.more = make(chan struct{})
}

// after returns the events above a number, waiting for one if need be. Whoever asks has taken all up to that number, so they
// are kept no longer.
func (l *eventLog) after(ctx context.Context, number uint64) ([]plane.Event, error) {
	for {
		l.mu.Lock()
		oldest := l.last + 1 - uint64(len(l.events))
		switch {
		case number > l.last || number+1 < oldest:
			// From before a restart of ours, or too long ago.
			last := l.last
			l.mu.Unlock()
			return []plane.Event{{Number: last}}, plane.ErrEventsLost
		case number < l.last:
			l.events = slices.Delete(l.events, 0, int(number+1-oldest)) //nolint:gosec // at most eventsKept
			found := slices.Clone(l.events)
			l.mu.Unlock()
			return found, nil
		}
		l.events = nil // a burst of events leaves nothing behind
		more := l.more
		l.mu.Unlock()
		select {
		case <-more:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
