package post

import (
	"sync"
	"time"
)

const (
	// delayWindow is how long messages come until the least delay before is forgotten: so soon a longer route is the measure.
	delayWindow = 2 * time.Second
	// delayMemory is for how long the least delay counts while no message comes: so long clocks run alike, to a few ms.
	delayMemory = time.Minute
)

// delays tells how much longer than others a message was on its way. Its sender says when it was said by a clock of its
// own: only differences of differences count, so the clocks' offset does not matter. It is safe for concurrent use.
type delays struct {
	mu       sync.Mutex // guards below
	since    time.Time
	now, was time.Duration // the least of this window and of the one before
}

// late returns how much longer the message took than the fastest of the last while.
func (d *delays) late(said uint64, now time.Time) time.Duration {
	delay := now.Sub(time.UnixMilli(int64(said))) //nolint:gosec // any offset is as good
	d.mu.Lock()
	defer d.mu.Unlock()
	switch age := now.Sub(d.since); {
	case age >= delayMemory:
		d.since, d.now, d.was = now, delay, delay
	case age >= delayWindow:
		d.since, d.now, d.was = now, delay, d.now
	}
	d.now = min(d.now, delay)
	return delay - min(d.now, d.was)
}
