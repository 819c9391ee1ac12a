package link

import (
	"sync"
	"sync/atomic"

	"cardea/relay/stream"
)

// feeds knows which links feed which streams. While two feed one, as when its parent changes, their goroutines have to send
// what it brings in the order in which it was flushed.
type feeds struct {
	mu sync.Mutex
	of map[*stream.Stream]*feed
}

// feed is one stream's.
type feed struct {
	mu     sync.Mutex // held from Flush until the outbox was sent, while shared
	shared atomic.Bool
	links  map[*Link]int // imports of each; guarded by feeds.mu
}

// add notes that a link feeds the stream. When it returns, whoever feeds it too knows.
func (f *feeds) add(s *stream.Stream, l *Link) *feed {
	f.mu.Lock()
	x := f.of[s]
	if x == nil {
		x = &feed{links: map[*Link]int{}}
		f.of[s] = x
	}
	x.links[l]++
	var others []*Link
	if len(x.links) > 1 && !x.shared.Swap(true) {
		for o := range x.links {
			if o != l {
				others = append(others, o)
			}
		}
	}
	f.mu.Unlock()
	for _, o := range others { // what it is sending just now it began to send alone
		o.flows.mu.Lock()
		o.flows.mu.Unlock() //nolint:staticcheck // a barrier
	}
	return x
}

// remove undoes add.
func (f *feeds) remove(s *stream.Stream, l *Link) {
	f.mu.Lock()
	defer f.mu.Unlock()
	x := f.of[s]
	if x == nil {
		return
	}
	if x.links[l]--; x.links[l] <= 0 {
		delete(x.links, l)
	}
	switch len(x.links) {
	case 0:
		delete(f.of, s)
	case 1:
		x.shared.Store(false)
	}
}
