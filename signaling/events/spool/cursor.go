package spool

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"sync/atomic"
	"time"
)

// Cursor is one reader of a spool. Next, Ack and Close are for one goroutine; the rest is safe for concurrent use.
type Cursor struct {
	spool *Spool
	name  string
	more  chan struct{} // has a token when there may be something to hand out
	mask  atomic.Uint32
	place place  // owned by the goroutine of Next
	read  reader // likewise
	// Likewise: a segment that cannot be opened is waited for.
	waiting bool

	// Spool.mu guards the rest.
	acked       uint64 // everything below is confirmed, or not wanted
	given       uint64 // everything below was handed out, or not wanted
	last        uint64 // number of the entry handed out last
	highest     uint64 // everything from here on was never handed out, by no process
	dropped     uint64
	redelivered uint64
	oldest      time.Time // of the entries handed out and not confirmed
}

// CursorStats says how far a cursor is.
type CursorStats struct {
	// Lag is how many entries are kept for it, at most: those it does not select are among them until it has passed them.
	Lag uint64
	// Oldest is when the oldest entry happened that is handed out and not confirmed; zero if there is none.
	Oldest time.Time
	// Dropped counts entries that it will never hand out, though it should have. Of a mix of kinds on disk all count.
	Dropped uint64
	// Redelivered counts entries handed out by an earlier process already, which did not learn that they arrived.
	Redelivered uint64
}

// Cursor returns the cursor of a name, which is a file name's part, for entries of the kinds in mask. One that was there in an earlier
// process goes on where that one was; a new one begins with what is appended from now on. All cursors are made before [Spool.Run],
// which forgets those of earlier processes that were not made again.
func (s *Spool) Cursor(name string, mask uint16) (*Cursor, error) {
	if !isName(name) {
		return nil, fmt.Errorf("%q cannot name a cursor", name)
	}
	c := &Cursor{spool: s, name: name, more: make(chan struct{}, 1)}
	c.mask.Store(uint32(mask))
	var known bool
	if s.cfg.Dir != "" {
		var err error
		if known, err = c.place.load(s.cfg.Dir, name); err != nil {
			return nil, fmt.Errorf("spool of events: %w", err)
		}
	}
	s.mu.Lock()
	if known {
		c.acked, c.given, c.highest = c.place.acked, c.place.acked, c.place.highest
		if s.next < c.highest { // entries were handed out that the disk never got
			s.next = c.highest
			s.stored, s.taken = s.next, s.next
		}
	} else {
		c.acked, c.given, c.highest = s.next, s.next, s.next
	}
	s.cursors = append(s.cursors, c)
	s.mu.Unlock()
	if !known {
		c.save(c.acked, c.highest) // or what comes until its first Ack would be nothing to the next process
		c.Close()
	}
	return c, nil
}

func isName(name string) bool {
	for i := range len(name) {
		if c := name[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return name != "" && len(name) <= 64
}

// Name returns the cursor's name.
func (c *Cursor) Name() string { return c.name }

// Mask returns the kinds of entries that the cursor hands out.
func (c *Cursor) Mask() uint16 { return uint16(c.mask.Load()) } //nolint:gosec // 16 bits were stored

// SetMask changes the kinds of entries that the cursor hands out from now on.
func (c *Cursor) SetMask(mask uint16) { c.mask.Store(uint32(mask)) }

func (c *Cursor) wants(kind uint16) bool { return c.Mask()&kind != 0 }

// Stats returns how far the cursor is.
func (c *Cursor) Stats() CursorStats {
	c.spool.mu.Lock()
	defer c.spool.mu.Unlock()
	return CursorStats{Lag: c.spool.next - c.acked, Oldest: c.oldest, Dropped: c.dropped, Redelivered: c.redelivered}
}

// Next returns the entries after those that it returned last: at least one, at most count, and as many as there are up to size bytes of
// values and beyond. It waits for the first until ctx ends. After [Spool.Finish] it returns io.EOF when there are no more.
func (c *Cursor) Next(ctx context.Context, count int, size int64) ([]Entry, error) {
	s := c.spool
	for ctx.Err() == nil {
		s.mu.Lock()
		batch, g := c.look(count, size)
		s.trim()
		limit, from, end := uint64(0), c.given, s.closing && c.given == s.next
		if g != nil {
			limit = g.end
		}
		s.mu.Unlock()
		switch {
		case len(batch) > 0:
			return c.hand(batch), nil
		case g != nil:
			batch, wait := c.load(g, from, limit, count, size)
			if len(batch) > 0 {
				return c.hand(batch), nil
			}
			if wait {
				pause(ctx, openRetry)
			}
			continue
		case end:
			return nil, io.EOF
		}
		select {
		case <-c.more:
		case <-ctx.Done():
		}
	}
	return nil, ctx.Err()
}

// Close lets go of the cursor's files. Its place stays.
func (c *Cursor) Close() {
	c.read.close()
	c.place.close()
}

// look returns what memory has for the cursor, or else the segment to read on in. Spool.mu is held.
func (c *Cursor) look(count int, size int64) (batch []Entry, g *segment) {
	s := c.spool
	first := s.first()
	if c.given < first {
		for _, g := range s.segments {
			if g.end > c.given && g.base < first {
				return nil, g
			}
		}
		if c.given >= s.stored && c.given < s.taken {
			return nil, nil // the writer has it; in a moment it is on disk
		}
		c.advance(first, nil) // what was missed has been counted
	}
	at := c.given
	for ; at < s.next && len(batch) < count && size > 0; at++ {
		if e := &s.tail[at-first]; c.wants(e.Kind) {
			batch = append(batch, *e)
			size -= int64(len(e.Value))
		}
	}
	c.advance(at, batch)
	return batch, nil
}

// advance notes that everything below a number was handed out, the batch last. Spool.mu is held.
func (c *Cursor) advance(to uint64, batch []Entry) {
	idle := c.acked == c.given // nothing is unconfirmed: what is not wanted need not wait for anything
	c.given = to
	if !idle {
		return
	}
	if c.acked = to; len(batch) > 0 {
		c.acked = batch[0].Seq
		c.oldest = batch[0].Time
	}
}

// openRetry is how long a cursor waits before it tries again to open a segment.
const openRetry = time.Second

// pause waits, at most until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// load reads a batch from a segment, of entries with numbers from from up to limit. Without one it has passed over what it did not
// find, or is to wait since the segment cannot be opened now.
func (c *Cursor) load(g *segment, from, limit uint64, count int, size int64) (batch []Entry, wait bool) {
	var failed error
	at := max(from, g.base)
	for at < limit && len(batch) < count && size > 0 {
		e, err := c.read.read(g, at)
		if err != nil {
			failed = err
			break
		}
		if e.Seq >= limit {
			at = limit
			break
		}
		at = e.Seq + 1
		if c.wants(e.Kind) {
			batch = append(batch, e)
			size -= int64(len(e.Value))
		}
	}
	s := c.spool
	s.mu.Lock()
	defer s.mu.Unlock()
	wait = errors.Is(failed, errUnopened)
	switch {
	case wait && !c.waiting:
		s.stats.DiskFailures++
		s.cfg.Log.Warn("a segment of events cannot be opened; it is tried again", "file", filepath.Base(g.path), "error", failed)
	case failed == nil || wait || gone(failed):
	default:
		s.damaged(g, at, failed)
	}
	c.waiting = wait
	if len(batch) == 0 && failed != nil && !wait {
		at = limit // removed or damaged: there is nothing more
	}
	c.advance(at, batch)
	s.trim()
	return batch, wait
}

// hand notes what is handed out before it is.
func (c *Cursor) hand(batch []Entry) []Entry {
	end := batch[len(batch)-1].Seq + 1
	c.spool.mu.Lock()
	for i := range batch {
		if batch[i].Seq < c.highest {
			c.redelivered++
		}
		batch[i].Bare = c.spool.cfg.Bare&batch[i].Kind != 0
	}
	c.last, c.highest = end-1, max(c.highest, end)
	acked, highest := c.acked, c.highest
	c.spool.mu.Unlock()
	c.save(acked, highest)
	return batch
}

// Ack confirms that all entries handed out have arrived up to the given one and with it.
func (c *Cursor) Ack(seq uint64) {
	s := c.spool
	s.mu.Lock()
	if seq >= c.last {
		c.acked = c.given // what lies between was not wanted
		c.oldest = time.Time{}
	} else {
		c.acked = max(c.acked, seq+1)
	}
	acked, highest := c.acked, c.highest
	s.trim()
	token(s.work)
	s.mu.Unlock()
	c.save(acked, highest)
}

// save puts the place on disk. A failure costs repetitions after a crash, and is counted.
func (c *Cursor) save(acked, highest uint64) {
	s := c.spool
	if s.cfg.Dir == "" {
		return
	}
	if err := c.place.save(acked, highest); err != nil {
		s.mu.Lock()
		s.stats.DiskFailures++
		s.mu.Unlock()
	}
}
