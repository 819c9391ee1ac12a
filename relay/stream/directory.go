package stream

import (
	"hash/maphash"
	"slices"
	"sync"

	"cardea/relay/plane"
)

// Watcher waits for a published thing of a [Directory]: a stream, or a data channel's messages. Its methods are called in
// order for one id, with that part of the directory locked: they must not call the directory.
type Watcher[T comparable] interface {
	// Appeared tells that t is published under the watched id, perhaps in place of an earlier one.
	Appeared(t T)
	// Vanished tells that t is no longer published.
	Vanished(t T)
}

const directoryShards = 64

// Directory knows what is published under which id, and who waits for it: a subscription may come before its stream and
// outlives it. It is safe for concurrent use; no packet passes through it.
type Directory[T comparable] struct {
	seed   maphash.Seed
	demand func(id plane.StreamID, wanted bool) // set once; nil if nobody wants to know
	shards [directoryShards]directoryShard[T]
}

type directoryShard[T comparable] struct {
	mu      sync.Mutex
	entries map[plane.StreamID]*directoryEntry[T]
}

type directoryEntry[T comparable] struct {
	published T // the zero value while nobody publishes
	watchers  []Watcher[T]
}

// NewDirectory returns an empty directory.
func NewDirectory[T comparable]() *Directory[T] {
	d := &Directory[T]{seed: maphash.MakeSeed()}
	for i := range d.shards {
		d.shards[i].entries = make(map[plane.StreamID]*directoryEntry[T])
	}
	return d
}

// Demand makes f be told when the first watcher of an id came and when the last one went, whether or not anything is
// published under it. It is set once, before anybody watches. f is called with that part of the directory locked, in order
// for one id: it must only take note.
func (d *Directory[T]) Demand(f func(id plane.StreamID, wanted bool)) { d.demand = f }

func (d *Directory[T]) shard(id plane.StreamID) *directoryShard[T] {
	return &d.shards[maphash.Comparable(d.seed, id)%directoryShards]
}

// with calls f with the entry of id, made if need be, and forgets it afterwards if it is empty.
func (d *Directory[T]) with(id plane.StreamID, f func(e *directoryEntry[T])) {
	var zero T
	s := d.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entries[id]
	if e == nil {
		e = &directoryEntry[T]{}
		s.entries[id] = e
	}
	before := len(e.watchers)
	f(e)
	if wanted := len(e.watchers) > 0; d.demand != nil && wanted != (before > 0) {
		d.demand(id, wanted)
	}
	if e.published == zero && len(e.watchers) == 0 {
		delete(s.entries, id)
	}
}

// Publish puts t under id, in place of whatever was there.
func (d *Directory[T]) Publish(id plane.StreamID, t T) {
	d.with(id, func(e *directoryEntry[T]) {
		e.published = t
		for _, w := range e.watchers {
			w.Appeared(t)
		}
	})
}

// Withdraw removes t from id unless something else has taken its place.
func (d *Directory[T]) Withdraw(id plane.StreamID, t T) {
	var zero T
	d.with(id, func(e *directoryEntry[T]) {
		if e.published != t {
			return
		}
		e.published = zero
		for _, w := range e.watchers {
			w.Vanished(t)
		}
	})
}

// Get returns what is published under id, or the zero value.
func (d *Directory[T]) Get(id plane.StreamID) T {
	var t T
	s := d.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.entries[id]; e != nil {
		t = e.published
	}
	return t
}

// Watch makes w wait for id; what is published already is told before Watch returns.
func (d *Directory[T]) Watch(id plane.StreamID, w Watcher[T]) {
	var zero T
	d.with(id, func(e *directoryEntry[T]) {
		e.watchers = append(e.watchers, w)
		if e.published != zero {
			w.Appeared(e.published)
		}
	})
}

// Unwatch ends Watch; w is told that what is published vanished.
func (d *Directory[T]) Unwatch(id plane.StreamID, w Watcher[T]) {
	var zero T
	d.with(id, func(e *directoryEntry[T]) {
		i := slices.Index(e.watchers, w)
		if i < 0 {
			return
		}
		e.watchers = slices.Delete(e.watchers, i, i+1)
		if e.published != zero {
			w.Vanished(e.published)
		}
	})
}

// Len returns how many ids something is published under.
func (d *Directory[T]) Len() int {
	var zero T
	n := 0
	for i := range d.shards {
		s := &d.shards[i]
		s.mu.Lock()
		for _, e := range s.entries {
			if e.published != zero {
				n++
			}
		}
		s.mu.Unlock()
	}
	return n
}
