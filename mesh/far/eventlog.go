package far

import (
	"context"
	"slices"
	"sync"

	"cardea/relay/plane"
)

// maxEvents bounds the events of one answer.
const maxEvents = 1024

// eventLog numbers events and keeps the latest for one reader.
type eventLog struct {
	bound int // how many are kept

	mu     sync.Mutex
	events []plane.Event
	last   uint64        // number of the latest event, or of what stands for lost ones
	more   chan struct{} // closed when there are more; nil when nobody waits
}

func newEventLog(bound int) *eventLog { return &eventLog{bound: bound} }

// add numbers and keeps an event.
func (l *eventLog) add(e plane.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last++
	e.Number = l.last
	if len(l.events) >= l.bound {
		l.events = slices.Delete(l.events, 0, l.bound/2+1)
	}
	l.events = append(l.events, e)
	l.signal()
}

// lose says that events are missing: the reader is told so whatever its position is.
func (l *eventLog) lose() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last++
	l.events = nil
	l.signal()
}

// signal wakes who waits. Called with mu held.
func (l *eventLog) signal() {
	if l.more != nil {
		close(l.more)
		l.more = nil
	}
}

// after returns events above a number, waiting for one if need be. Whoever asks has taken all up to that number, so they
// are kept no longer.
func (l *eventLog) after(ctx context.Context, number uint64) ([]plane.Event, error) {
	for {
		events, more, err := l.next(number)
		if err != nil || len(events) > 0 {
			return events, err
		}
		select {
		case <-more:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// next returns the events above a number, or a channel that is closed when there are some.
func (l *eventLog) next(number uint64) ([]plane.Event, <-chan struct{}, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	oldest := l.last + 1 - uint64(len(l.events))
	switch {
	case number > l.last || number+1 < oldest:
		// From another life of ours, too long ago, or lost.
		return []plane.Event{{Number: l.last}}, nil, plane.ErrEventsLost
	case number == l.last:
		l.events = nil // a burst of events leaves nothing behind
		if l.more == nil {
			l.more = make(chan struct{})
		}
		return nil, l.more, nil
	}
	l.events = slices.Delete(l.events, 0, int(number+1-oldest)) //nolint:gosec // at most bound
	return slices.Clone(l.events[:min(len(l.events), maxEvents)]), nil, nil
}
