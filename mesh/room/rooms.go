package room

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"sync"
	"time"

	"cardea/relay/link"
)

// Errors of requests. What else a request returns wraps one of them, or is the context's.
var (
	// ErrExists says that there is such a room already.
	ErrExists = errors.New("the room exists")
	// ErrNoRoom says that there is no such room, or not any more.
	ErrNoRoom = errors.New("no such room")
	// ErrTaken says that another participant has the id.
	ErrTaken = errors.New("the id is taken")
	// ErrNoParticipant says that nobody of that id is in the room, as far as this node knows.
	ErrNoParticipant = errors.New("no such participant")
	// ErrUnreachable says that the nodes which are to know did not answer in time. Whether a change was made is not known.
	ErrUnreachable = errors.New("the nodes that keep the room do not answer")
	// ErrPartial says that a list lacks the rooms of nodes that did not answer.
	ErrPartial = errors.New("some nodes did not answer")
	// ErrTooLong says that an id, a record or an entry is longer than what is kept.
	ErrTooLong = errors.New("too long")
	// ErrFull says that this node keeps as many rooms as it can.
	ErrFull = errors.New("too many rooms")
	// ErrBusy says that too many requests wait for the participant's user.
	ErrBusy = errors.New("too many requests wait")
	// ErrAsked says that the participant's user answered with an error, whose text follows.
	ErrAsked = errors.New("the participant's node refused")
)

// Config is what [New] needs. Self, Call and Notify are required.
type Config struct {
	Self link.NodeID
	// Call asks another node and returns its answer. It obeys the context's deadline. It is called from many goroutines.
	Call func(ctx context.Context, to link.NodeID, kind link.Kind, request []byte) ([]byte, error)
	// Notify sends another node something that arrives in order while a link lives. Without a link it begins to dial, and keeps the
	// notice or returns an error; it is tried again when [Rooms.LinkChanged] says that the link is up, or soon after. It does not wait.
	// It is called by one goroutine, without a lock held.
	Notify func(to link.NodeID, kind link.Kind, payload []byte) error
	// Store keeps permanent rooms. Without it they are kept in memory like others.
	Store Store
	// Now is the time of day, with Go's monotonic reading; nil: time.Now.
	Now func() time.Time
	// Log takes what an operator should know; nil: nothing is logged.
	Log *slog.Logger
}

// Store keeps records on disk. Its functions are called one at a time.
type Store struct {
	// Save makes all changes and returns when they are on disk.
	Save func(changes []Change) error
	// Load calls f with all that was saved.
	Load func(f func(id string, record []byte) error) error
}

// Change is a room's record to be kept in place of what was kept of the room.
type Change struct {
	ID     string
	Record []byte // nil: forget the room
}

// Listing is a room in the answer to [Rooms.List].
type Listing struct {
	ID           string
	Record       []byte
	Participants int // on all nodes
	Permanent    bool
}

// Rooms is a node's part in keeping rooms. It is safe for concurrent use.
type Rooms struct {
	cfg     Config
	metrics Metrics
	loaded  error
	disk    disk
	kick    chan struct{} // to Run: there is something to send, or to do earlier than it thinks
	tasks   sync.WaitGroup

	mu      sync.Mutex // guards below; nothing that waits is called with it held
	core    *core
	out     []output
	stopped bool
}

// New returns a node's rooms: those that the store has, at first. It is alone until [Rooms.SetNodes] says otherwise. What other
// nodes are asked and told waits until [Rooms.Run].
func New(cfg Config) *Rooms {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	r := &Rooms{cfg: cfg, kick: make(chan struct{}, 1)}
	r.disk.init()
	var seed [32]byte
	_, _ = rand.Read(seed[:]) // never fails
	r.core = newCore(cfg.Self, cfg.Now(), mathrand.New(mathrand.NewChaCha8(seed)), &r.metrics, cfg.Log)
	if cfg.Store.Load == nil {
		return r
	}
	err := cfg.Store.Load(func(id string, record []byte) error {
		if err := r.core.load(record); err != nil {
			cfg.Log.Warn("a kept room cannot be read and is left out", "room", id, "error", err)
		}
		return nil
	})
	if err != nil {
		r.loaded = fmt.Errorf("read kept rooms: %w", err)
	}
	return r
}

// Metrics returns the figures. They go on counting.
func (r *Rooms) Metrics() *Metrics { return &r.metrics }

// do runs the core and takes what it wants done.
func (r *Rooms) do(f func(now time.Time)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f(r.cfg.Now())
	r.collect()
}

// collect takes what the core wants done; mu is held.
func (r *Rooms) collect() {
	out, woken, saves := r.core.take()
	r.out = append(r.out, out...)
	for _, v := range woken {
		if v.owner != nil && !r.stopped {
			r.tasks.Go(v.owner.deliver)
		}
	}
	if r.cfg.Store.Save != nil {
		r.disk.add(saves)
	}
	select {
	case r.kick <- struct{}{}:
	default:
	}
}

// SetNodes says which nodes live, this one included or not, and which of these are about to leave: they are to keep nothing, but
// their participants are still there. What nodes say that do not live is held back.
func (r *Rooms) SetNodes(live []link.NodeID, retiring ...link.NodeID) {
	r.do(func(now time.Time) { r.core.setNodes(now, live, retiring) })
}

// LinkChanged says that the link to a node came up or broke. It makes things faster; nothing depends on it.
func (r *Rooms) LinkChanged(id link.NodeID, up bool) {
	r.do(func(now time.Time) { r.core.linkChanged(now, id, up) })
}

// HandleNotice takes a notice of [KindNotice] from another node, whom the link has authenticated. It does not wait.
func (r *Rooms) HandleNotice(from link.NodeID, kind link.Kind, payload []byte) {
	if kind == KindNotice {
		r.do(func(now time.Time) { r.core.notice(now, from, payload) })
	}
}

// HandleCall answers another node's call of one of [Kinds]. What it confirms is kept, on disk if it is to be.
func (r *Rooms) HandleCall(ctx context.Context, from link.NodeID, kind link.Kind, payload []byte) ([]byte, error) {
	if kind == KindAsk {
		return r.handleAsk(ctx, from, payload)
	}
	var reply []byte
	var err error
	var written *batch
	r.do(func(now time.Time) {
		reply, err = r.core.handleCall(now, from, kind, payload)
		r.collect()
		written = r.disk.latest()
	})
	if err != nil || kind != KindStore && kind != KindCreate {
		return reply, err
	}
	if err := written.wait(ctx); err != nil {
		return nil, err
	}
	return reply, nil
}

// Configure makes a room of the configuration: it exists, with the oldest of clocks, so that any edit of it wins, and also that it
// was destroyed for good. All nodes may have the same configuration.
func (r *Rooms) Configure(id string, record []byte) {
	r.do(func(now time.Time) {
		r.core.enter(now)
		r.core.configure(id, record)
		r.core.settle()
	})
}

// wait starts a request and waits for its end.
func (r *Rooms) wait(ctx context.Context, start func(now time.Time, done func(error))) error {
	answer := make(chan error, 1)
	r.do(func(now time.Time) { start(now, func(err error) { answer <- err }) })
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Create makes a room. When it returns nil, the keeper and another node have the record (or this node alone, if there is no
// other), on disk if the room is permanent. It takes a second at most. After [ErrUnreachable] the room may exist.
func (r *Rooms) Create(ctx context.Context, id string, record []byte, permanent bool) error {
	if id == "" || len(id) > MaxID || len(record) > MaxRecord {
		return fmt.Errorf("create room: %w", ErrTooLong)
	}
	err := r.wait(ctx, func(now time.Time, done func(error)) { r.core.create(now, id, record, permanent, done) })
	if err != nil {
		return fmt.Errorf("create room %q: %w", id, err)
	}
	return nil
}

// List returns the rooms whose ids begin with the prefix, sorted by id, from all nodes. It takes two seconds at most. With
// [ErrPartial] the list is what is known without the nodes that did not answer.
func (r *Rooms) List(ctx context.Context, prefix string) ([]Listing, error) {
	type answer struct {
		rooms []Listing
		whole bool
	}
	answers := make(chan answer, 1)
	r.do(func(now time.Time) {
		r.core.list(now, prefix, func(rooms []Listing, whole bool) { answers <- answer{rooms, whole} })
	})
	select {
	case a := <-answers:
		if !a.whole {
			return a.rooms, fmt.Errorf("list rooms: %w", ErrPartial)
		}
		return a.rooms, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("list rooms: %w", ctx.Err())
	}
}

// Home returns the node whose client a participant is, in a room that is open here.
func (r *Rooms) Home(room, participant string) (link.NodeID, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.core.home(room, participant)
}

// Keeper returns the node that keeps a room's roster just now, as far as this one knows; "" if no node is known to live.
func (r *Rooms) Keeper(room string) link.NodeID {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.core.keeper(room)
}

// Orphans returns how many records this node keeps for others who may not have them yet.
func (r *Rooms) Orphans() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.core.orphans)
}

// Run sends, asks and keeps until ctx ends, and returns when nothing of it runs any more. It fails at once if the store could not be
// read.
func (r *Rooms) Run(ctx context.Context) error {
	if r.loaded != nil {
		return r.loaded
	}
	ctx, cancel := context.WithCancel(ctx)
	var writing sync.WaitGroup
	writing.Go(func() { r.write(ctx) })
	r.loop(ctx)
	cancel()
	r.mu.Lock()
	r.stopped = true
	r.mu.Unlock()
	r.tasks.Wait()
	writing.Wait()
	return nil
}

func (r *Rooms) loop(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.kick:
		case <-timer.C:
			r.do(r.core.tick)
		}
		r.mu.Lock()
		out := r.out
		r.out = nil
		timer.Reset(max(0, r.core.wake().Sub(r.cfg.Now())))
		r.mu.Unlock()
		for i := range out {
			r.send(ctx, &out[i])
		}
	}
}

// send does what the core wants done.
func (r *Rooms) send(ctx context.Context, o *output) {
	if o.call != 0 {
		call := *o
		r.tasks.Go(func() { r.call(ctx, &call) })
		return
	}
	if err := r.cfg.Notify(o.to, o.kind, o.payload); err != nil {
		r.cfg.Log.Debug("a notice could not be sent", "node", o.to, "error", err)
		r.do(func(now time.Time) { r.core.notifyFailed(now, o.to) })
	}
}

func (r *Rooms) call(ctx context.Context, o *output) {
	ctx, cancel := context.WithTimeout(ctx, o.within)
	defer cancel()
	var reply []byte
	var err error
	if o.to == r.cfg.Self {
		reply, err = r.HandleCall(ctx, o.to, o.kind, o.payload)
	} else {
		reply, err = r.cfg.Call(ctx, o.to, o.kind, o.payload)
	}
	r.do(func(now time.Time) { r.core.result(now, o.call, reply, err) })
}
