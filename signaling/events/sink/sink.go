package sink

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"cardea/signaling/events/spool"
)

// Sink delivers events to one destination. Its methods are called by one goroutine.
type Sink interface {
	// Send delivers a batch, which is not empty, in order. It returns how many of the first have arrived for certain, and with fewer
	// than all an error: one that wraps [ErrRefused] is about the events themselves, any other about the destination,
	// and an [*AfterError] says when it wants to be asked again.
	Send(ctx context.Context, batch []spool.Entry) (int, error)
	// Close lets go of connections and files.
	Close()
}

// ErrRefused says that the destination will never take what it was given.
var ErrRefused = errors.New("refused")

// AfterError is an error of a destination that wants to be left alone for a while.
type AfterError struct {
	Err   error
	After time.Duration
}

// Error returns the text of the error itself.
func (e *AfterError) Error() string { return e.Err.Error() }

// Unwrap returns the error itself.
func (e *AfterError) Unwrap() error { return e.Err }

// Config configures a [Runner].
type Config struct {
	Sink   Sink
	Cursor *spool.Cursor
	// First is delivered before everything else.
	First []spool.Entry
	// Count bounds a batch, entries; 100 by default.
	Count int
	// Size bounds a batch, bytes of values; an entry beyond may be in it. 1 MiB by default.
	Size int64
	// Timeout bounds one attempt; 30 s by default.
	Timeout time.Duration
	// LeastWait and MaxWait bound the time between attempts, which doubles; 100 ms and 30 s by default.
	LeastWait, MaxWait time.Duration
	// Log is told when the destination goes away and comes back, and of events that are given up. nil logs nowhere.
	Log *slog.Logger
}

// Runner delivers to one destination. Make it with [New].
type Runner struct {
	cfg   Config
	first chan struct{} // closed when First has arrived

	refusal time.Time // when one was logged last; owned by Run

	delivered, redelivered, refused, failures atomic.Uint64
	away                                      atomic.Bool
	mu                                        sync.Mutex
	reason                                    string // why it is away
}

// Stats counts what became of events.
type Stats struct {
	spool.CursorStats
	Delivered uint64 // events that have arrived
	Refused   uint64 // events that the destination will never take
	Failures  uint64 // attempts that failed
	Away      bool   // the last attempt failed
	Reason    string // and why
}

// New makes a runner.
func New(cfg Config) *Runner {
	cfg.Count = cmp.Or(cfg.Count, 100)
	cfg.Size = cmp.Or(cfg.Size, 1<<20)
	cfg.Timeout = cmp.Or(cfg.Timeout, 30*time.Second)
	cfg.LeastWait = cmp.Or(cfg.LeastWait, 100*time.Millisecond)
	cfg.MaxWait = max(cmp.Or(cfg.MaxWait, 30*time.Second), cfg.LeastWait)
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	cfg.Log = cfg.Log.With("sink", cfg.Cursor.Name())
	return &Runner{cfg: cfg, first: make(chan struct{})}
}

// Name returns the name of the cursor that it delivers from.
func (r *Runner) Name() string { return r.cfg.Cursor.Name() }

// First is closed when what goes first has arrived.
func (r *Runner) First() <-chan struct{} { return r.first }

// Stats returns the counts. Redelivered are events given to the destination more than once, by this process or by earlier ones.
func (r *Runner) Stats() Stats {
	s := Stats{
		CursorStats: r.cfg.Cursor.Stats(), Delivered: r.delivered.Load(), Refused: r.refused.Load(), Failures: r.failures.Load(),
		Away: r.away.Load(),
	}
	s.Redelivered += r.redelivered.Load()
	r.mu.Lock()
	s.Reason = r.reason
	r.mu.Unlock()
	return s
}

// Run delivers until the spool is finished and everything has arrived, or until ctx ends.
func (r *Runner) Run(ctx context.Context) error {
	defer r.cfg.Cursor.Close()
	defer r.cfg.Sink.Close()
	if len(r.cfg.First) > 0 && !r.deliver(ctx, r.cfg.First, nil) {
		return nil
	}
	close(r.first)
	for {
		batch, err := r.cfg.Cursor.Next(ctx, r.cfg.Count, r.cfg.Size)
		switch {
		case errors.Is(err, io.EOF) || ctx.Err() != nil:
			return nil
		case err != nil:
			return fmt.Errorf("events for %s: %w", r.Name(), err)
		}
		if !r.deliver(ctx, batch, r.cfg.Cursor.Ack) {
			return nil
		}
	}
}

// deliver gives a batch to the destination until all of it has arrived or was refused. It returns false if ctx ends before. arrived is
// told how far it is.
func (r *Runner) deliver(ctx context.Context, batch []spool.Entry, arrived func(seq uint64)) bool {
	wait := pause{least: r.cfg.LeastWait, most: r.cfg.MaxWait}
	size := len(batch) // of a part that is not refused for what is in it
	for len(batch) > 0 {
		size = min(size, len(batch))
		n, err := r.send(ctx, batch[:size])
		n = min(max(n, 0), size)
		r.delivered.Add(uint64(n))
		if err != nil && ctx.Err() != nil && n < size {
			r.confirm(batch[:n], arrived)
			return false
		}
		refused := err != nil && errors.Is(err, ErrRefused)
		if refused && n == 0 && size == 1 {
			r.refuse(&batch[0], err)
			n = 1
		}
		r.confirm(batch[:n], arrived)
		batch = batch[n:]
		switch {
		case refused:
			r.note(nil) // it is there, and answers
			if n == 0 {
				size = (size + 1) / 2
			}
		case n > 0 && errors.Is(err, context.DeadlineExceeded):
			r.note(nil) // it is slow, and takes them
			wait.attempts = 0
		case err != nil:
			r.failures.Add(1)
			r.redelivered.Add(uint64(len(batch[:size-n]))) //nolint:gosec // not negative
			r.note(err)
			if n > 0 {
				wait.attempts = 0
			}
			if !sleep(ctx, wait.next(err, rand.Float64())) {
				return false
			}
		default:
			r.note(nil)
			wait.attempts = 0
			size *= 2
		}
	}
	return true
}

// send makes one attempt.
func (r *Runner) send(ctx context.Context, batch []spool.Entry) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, r.cfg.Timeout)
	defer cancel()
	n, err := r.cfg.Sink.Send(ctx, batch)
	if err == nil && n < len(batch) {
		err = io.ErrShortWrite
	}
	return n, err
}

// refuse gives an event up.
func (r *Runner) refuse(e *spool.Entry, err error) {
	count := r.refused.Add(1)
	if now := time.Now(); r.refusal.IsZero() || now.Sub(r.refusal) >= refusalEvery {
		r.refusal = now
		r.cfg.Log.Warn("an event was refused, and is given up", "event", e.ID(), "error", err, "refused", count)
	}
}

func (r *Runner) confirm(batch []spool.Entry, arrived func(seq uint64)) {
	if arrived != nil && len(batch) > 0 {
		arrived(batch[len(batch)-1].Seq)
	}
}

// refusalEvery is how often a destination's refusals are logged at most: it may refuse everything.
const refusalEvery = time.Minute

// note logs that the destination went away or came back.
func (r *Runner) note(err error) {
	was := r.away.Swap(err != nil)
	if err == nil && !was {
		return
	}
	r.mu.Lock()
	r.reason = ""
	if err != nil {
		r.reason = err.Error()
	}
	r.mu.Unlock()
	switch {
	case err != nil && !was:
		r.cfg.Log.Warn("events cannot be delivered; they are kept and tried again", "error", err)
	case err == nil:
		r.cfg.Log.Info("events are delivered again")
	}
}

// pause decides how long to wait between attempts.
type pause struct {
	least, most time.Duration
	attempts    int // that failed in a row
}

// next returns how long to wait after an attempt that failed with err: twice as long as after the one before, and between half of that
// and all, as chance (0 to 1) has it; or as long as the destination asks for, if that is longer and not out of all measure.
func (p *pause) next(err error, chance float64) time.Duration {
	d := p.most
	if p.attempts < 30 { // more would overflow
		d = min(p.least<<p.attempts, p.most)
	}
	p.attempts++
	d = d/2 + time.Duration(chance*float64(d/2))
	if after, ok := errors.AsType[*AfterError](err); ok {
		d = max(d, min(after.After, maxAfter))
	}
	return d
}

// maxAfter bounds what a destination may ask for.
const maxAfter = 5 * time.Minute

// sleep waits, and returns false if ctx ends before.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// AppendArray appends events as Janus's event handlers group them: a JSON array, also of one.
func AppendArray(dst []byte, batch []spool.Entry) []byte {
	dst = append(dst, '[')
	for i := range batch {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = batch[i].AppendJSON(dst)
	}
	return append(dst, ']')
}
