package events

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// DefaultLabel is the label of user events unless configured.
const DefaultLabel = "TGG_USER_EVENT"

// Config configures a [Bus].
type Config struct {
	// Emitter is the node's name in events.
	Emitter string
	// Label is the name under which user events have their object; "" means [DefaultLabel].
	Label string
	// Types are those that may be emitted at all; None means All.
	Types Type
	// QueueEvents bounds the events that wait for the subscribers; 0 means 65536. Subscribers take events as fast as memory does,
	// so it is a bound for the case of a fault.
	QueueEvents int
	// QueueBytes bounds the bodies of the events that wait; 0 means 64 MiB.
	QueueBytes int
	// Now tells the time; nil means time.Now.
	Now func() time.Time
}

// Bus orders events and hands them to its subscribers. A nil Bus takes no events. Its methods may be called from any goroutine.
type Bus struct {
	cfg  Config        // set once
	wake chan struct{} // holds one while there may be events that Run has not taken

	wanted      atomic.Uint32 // Types that somebody takes
	unencodable atomic.Uint64 // events whose body was no JSON

	mu     sync.Mutex // guards below
	queue  []Event
	bytes  int // of the bodies in queue
	counts [typeCount]Count

	subscribing   sync.Mutex // guards below; before mu
	subscriptions []*Subscription
}

// Subscription is one that takes events of a bus.
type Subscription struct {
	bus  *Bus
	mask atomic.Uint32
	take func(batch []Event)
	own  []Event // batch of this subscription when its mask leaves out some, owned by Run
}

// Count counts events of a type.
type Count struct {
	Emitted uint64 // taken by the bus
	Dropped uint64 // not taken, since too many waited
}

// New makes a bus. It takes events of a type once somebody subscribed to it; Run hands them on.
func New(cfg Config) *Bus {
	if cfg.Label == "" {
		cfg.Label = DefaultLabel
	}
	if cfg.Types == None {
		cfg.Types = All
	}
	if cfg.QueueEvents <= 0 {
		cfg.QueueEvents = 1 << 16
	}
	if cfg.QueueBytes <= 0 {
		cfg.QueueBytes = 64 << 20
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Bus{cfg: cfg, wake: make(chan struct{}, 1)}
}

// Emitter returns the node's name in events.
func (b *Bus) Emitter() string { return b.cfg.Emitter }

// Label returns the label of user events.
func (b *Bus) Label() string { return b.cfg.Label }

// Wants tells whether any of the types is taken by a subscriber. It costs next to nothing: ask before building a body.
func (b *Bus) Wants(t Type) bool { return b != nil && Type(b.wanted.Load())&t != 0 } //nolint:gosec // a Type was stored

// Emit hands an event to the subscribers that take its type. It never waits; an event too many is dropped and counted.
// The body must not be changed afterwards.
func (b *Bus) Emit(e Event) {
	if !b.Wants(e.Type) {
		return
	}
	index, one := e.Type.index()
	if !one {
		return
	}
	b.mu.Lock()
	if len(b.queue) >= b.cfg.QueueEvents || b.bytes+len(e.Body) > b.cfg.QueueBytes {
		b.counts[index].Dropped++
		b.mu.Unlock()
		return
	}
	if e.Time.IsZero() {
		e.Time = b.cfg.Now() // with the lock held, so that timestamps are in order as well
	}
	b.counts[index].Emitted++
	b.queue = append(b.queue, e)
	b.bytes += len(e.Body)
	first := len(b.queue) == 1
	b.mu.Unlock()
	if first {
		select {
		case b.wake <- struct{}{}:
		default:
		}
	}
}

// Subscribe has f called with all events of the types in mask, in order and in batches of what is there, by one goroutine that all
// subscribers share: f must not wait for a network. The batch is the bus's again when f returns; the events' bodies may be kept.
// All subscriptions are made before Run.
func (b *Bus) Subscribe(mask Type, f func(batch []Event)) *Subscription {
	s := &Subscription{bus: b, take: f}
	b.subscribing.Lock()
	b.subscriptions = append(b.subscriptions, s)
	b.subscribing.Unlock()
	s.SetMask(mask)
	return s
}

// Mask returns the types that the subscription takes.
func (s *Subscription) Mask() Type { return Type(s.mask.Load()) } //nolint:gosec // a Type was stored

// SetMask changes the types that the subscription takes, also while the bus runs. Events that wait already are judged by the new mask.
func (s *Subscription) SetMask(mask Type) {
	b := s.bus
	b.subscribing.Lock()
	defer b.subscribing.Unlock()
	s.mask.Store(uint32(mask & b.cfg.Types))
	var wanted Type
	for _, other := range b.subscriptions {
		wanted |= other.Mask()
	}
	b.wanted.Store(uint32(wanted))
}

// Run hands events to the subscribers until the context ends, and then those that were emitted before.
func (b *Bus) Run(ctx context.Context) error {
	var batch []Event
	for {
		select {
		case <-b.wake:
			batch = b.deliver(batch)
		case <-ctx.Done():
			b.deliver(batch)
			return ctx.Err()
		}
	}
}

// spareBatch is the room for events that is kept between batches; a burst leaves no more behind.
const spareBatch = 1024

// deliver hands what waits to the subscribers. The spare slice is used for what comes next; it returns one to spare.
func (b *Bus) deliver(spare []Event) []Event {
	b.mu.Lock()
	batch := b.queue
	b.queue, b.bytes = spare[:0], 0
	b.mu.Unlock()
	if len(batch) == 0 {
		return batch
	}
	b.subscribing.Lock()
	subscriptions := b.subscriptions
	b.subscribing.Unlock()
	for _, s := range subscriptions {
		s.deliver(batch)
	}
	if cap(batch) > spareBatch {
		return nil
	}
	clear(batch) // lets go of the bodies
	return batch
}

// deliver hands the subscription its part of the batch.
func (s *Subscription) deliver(batch []Event) {
	mask := s.Mask()
	part := s.own[:0]
	for i := range batch {
		if batch[i].Type&mask != 0 {
			part = append(part, batch[i])
		}
	}
	if len(part) > 0 {
		s.take(part)
	}
	clear(part)
	s.own = part
	if cap(part) > spareBatch {
		s.own = nil
	}
}

// Counts returns how many events of each type were emitted and dropped, by label ("sessions", "handles", ...).
func (b *Bus) Counts() map[string]Count {
	counts := make(map[string]Count, typeCount)
	if b == nil {
		return counts
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, name := range typeNames {
		counts[name] = b.counts[i]
	}
	return counts
}

// Unencodable returns how many events were left out because their bodies were no JSON, which is a fault of who made them.
func (b *Bus) Unencodable() uint64 {
	if b == nil {
		return 0
	}
	return b.unencodable.Load()
}

// Waiting returns the number of events that wait for the subscribers.
func (b *Bus) Waiting() int {
	if b == nil {
		return 0
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.queue)
}
