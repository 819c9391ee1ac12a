package spool

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// syncInterval is how often what was written is made to survive a power cut.
	syncInterval = time.Second
	// writeSize is how many bytes are written at a time, about.
	writeSize = 256 << 10
	// After a write that failed the next one waits, longer each time.
	leastRetry = 250 * time.Millisecond
	maxRetry   = 15 * time.Second
)

// writer puts entries on disk. It is owned by [Spool.Run].
type writer struct {
	*Spool
	syncer syncer
	file   *os.File         // of the last segment; nil: the next write begins one
	dirty  bool             // written and not synced
	fresh  bool             // made and its directory not synced
	retry  time.Duration    // how long the next write waits; 0: it does not
	again  <-chan time.Time // when it is tried again
	buf    []byte
}

// Run writes what is appended to disk, and removes what is not needed or too much, until ctx ends; then it writes what is left. A
// failing disk is no error: it is logged and tried again.
func (s *Spool) Run(ctx context.Context) error {
	if s.cfg.Dir == "" {
		<-ctx.Done()
		return nil
	}
	s.tidy()
	w := &writer{Spool: s, syncer: syncer{spool: s, jobs: make(chan syncJob, syncQueue)}}
	var syncing sync.WaitGroup
	syncing.Go(w.syncer.run)
	clock := time.NewTicker(syncInterval)
	defer clock.Stop()
	for {
		work := s.work
		if w.retry > 0 {
			work = nil
		}
		select {
		case <-ctx.Done():
			w.write()
			w.close()
			close(w.syncer.jobs)
			syncing.Wait()
			w.retain()
			return nil
		case <-work:
			w.write()
		case <-w.again:
			w.write()
		case <-clock.C:
			w.sync()
		}
		w.retain()
	}
}

// write writes what waits, as far as the disk takes it.
func (w *writer) write() {
	for {
		batch := w.take()
		if len(batch) == 0 {
			return
		}
		written, err := w.put(batch)
		w.note(batch, written, err)
		if err != nil {
			w.abandon()
			return
		}
	}
}

// take returns what is to be written next.
func (w *writer) take() []Entry {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.trim()
	first, size := w.first(), int64(0)
	w.stored = max(w.stored, first)
	for w.taken = w.stored; w.taken < w.next && size < min(writeSize, w.segment); w.taken++ {
		size += w.tail[w.taken-first].cost()
	}
	return slices.Clone(w.tail[w.stored-first : w.taken-first])
}

// put writes entries of one batch to the segment at hand or to a new one. It returns how many bytes of records are written for good.
func (w *writer) put(batch []Entry) (int64, error) {
	w.buf = w.buf[:0]
	for i := range batch {
		w.buf = appendRecord(w.buf, &batch[i])
	}
	g := w.current()
	full := g != nil && g.size+int64(len(w.buf)) > w.segment && g.size > headerSize
	if doubtful := w.syncer.failed.Swap(false); w.file == nil || g == nil || full || doubtful {
		w.close()
		if err := w.begin(batch[0].Seq); err != nil {
			return 0, err
		}
		g = w.current()
	}
	n, err := w.cfg.write(w.file, w.buf)
	if err != nil {
		_ = w.file.Truncate(g.size) // or scan finds that the next segment begins before the end of this one
		return 0, fmt.Errorf("write %s: %w", g.path, err)
	}
	w.dirty = true
	return int64(n), nil
}

// current returns the segment that is written to.
func (w *writer) current() *segment {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.segments) == 0 {
		return nil
	}
	return w.segments[len(w.segments)-1]
}

// begin begins a segment.
func (w *writer) begin(base uint64) error {
	g := &segment{path: segmentPath(w.cfg.Dir, base), base: base, end: base, size: headerSize}
	// A file of that name has nothing in it that counts: its first record would be this one.
	f, err := os.OpenFile(g.path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	if _, err := w.cfg.write(f, header{run: w.run, base: base}.bytes()); err != nil {
		_ = f.Close()
		_ = os.Remove(g.path) // or it is overwritten
		return fmt.Errorf("begin %s: %w", g.path, err)
	}
	w.file, w.fresh = f, true
	w.mu.Lock()
	defer w.mu.Unlock()
	w.segments = append(w.segments, g)
	w.stats.Disk += g.size
	return nil
}

// note notes what has become of a batch.
func (w *writer) note(batch []Entry, size int64, err error) {
	w.mu.Lock()
	was := w.failing
	w.failing = err != nil
	if err != nil {
		w.taken = w.stored
		w.stats.DiskFailures++
		for i := range batch {
			if batch[i].Seq < w.first() { // memory has let go of it meanwhile
				w.missed(&batch[i])
			}
		}
	} else {
		g := w.segments[len(w.segments)-1]
		w.stored = w.taken
		g.end, g.count = w.stored, g.count+uint64(len(batch))
		g.size += size
		w.stats.Disk += size
	}
	w.Spool.tell()
	w.mu.Unlock()
	switch {
	case err != nil:
		w.retry = min(max(2*w.retry, leastRetry), maxRetry)
		w.again = time.After(w.retry)
		if !was {
			w.cfg.Log.Warn("the disk does not take events; they are kept in memory, the latest ones", "error", err)
		}
	case was:
		w.retry, w.again = 0, nil
		w.cfg.Log.Info("the disk takes events again")
	}
}

// abandon lets go of the segment at hand: readers may have seen a part of what was written to it in vain, and must not see
// something else in its place. If there is nothing in it, it goes.
func (w *writer) abandon() {
	w.close()
	g := w.current()
	if g == nil || g.count > 0 {
		return
	}
	w.mu.Lock()
	w.segments = w.segments[:len(w.segments)-1]
	w.stats.Disk -= g.size
	w.mu.Unlock()
	_ = os.Remove(g.path) // or the next process finds nothing in it
}

// sync has what was written synced, unless that is being done.
func (w *writer) sync() {
	if w.file == nil || !w.dirty || len(w.syncer.jobs) > 0 {
		return
	}
	w.syncer.jobs <- syncJob{file: w.file, fresh: w.fresh}
	w.dirty, w.fresh = false, false
}

// close lets go of the segment at hand, once it is synced.
func (w *writer) close() {
	if w.file != nil {
		w.syncer.jobs <- syncJob{file: w.file, fresh: w.fresh, last: true}
		w.file, w.dirty, w.fresh = nil, false, false
	}
}

// retain removes segments that all cursors have passed, and the oldest ones while there is more than the bound.
func (w *writer) retain() {
	for {
		w.mu.Lock()
		g := w.superfluous()
		w.mu.Unlock()
		if g == nil {
			return
		}
		// A cursor that reads it reads on.
		if err := os.Remove(g.path); err != nil && !errors.Is(err, os.ErrNotExist) {
			w.cfg.Log.Warn("a segment of events cannot be removed", "file", filepath.Base(g.path), "error", err)
		}
	}
}

// tidy removes files that nobody will read: of cursors that there are no more, and segments in which there is nothing to be read.
func (s *Spool) tidy() {
	names, err := os.ReadDir(s.cfg.Dir)
	if err != nil {
		return // the first write tells
	}
	used := map[string]bool{}
	s.mu.Lock()
	for _, c := range s.cursors {
		used[c.name+placeSuffix] = true
	}
	for _, g := range s.segments {
		used[filepath.Base(g.path)] = true
	}
	s.mu.Unlock()
	for _, n := range names {
		ours := strings.HasSuffix(n.Name(), placeSuffix) || strings.HasSuffix(n.Name(), segmentSuffix)
		if ours && !used[n.Name()] {
			_ = os.Remove(filepath.Join(s.cfg.Dir, n.Name())) // or at the next start
		}
	}
}

// superfluous takes the oldest segment out if it is not needed, or too much.
func (s *Spool) superfluous() *segment {
	if len(s.segments) == 0 {
		return nil
	}
	g := s.segments[0]
	// The one that is written to stays until it is done with.
	used := len(s.segments) == 1 && g.size < s.segment && !s.closing
	if g.end > s.confirmed() {
		if s.stats.Disk <= s.cfg.MaxDisk || len(s.segments) == 1 {
			return nil
		}
		s.lose(g, g.base)
	} else if used {
		return nil
	}
	s.segments = s.segments[1:]
	s.stats.Disk -= g.size
	return g
}

// lose counts what is missed of a segment from a number on by the cursors that have not got so far.
func (s *Spool) lose(g *segment, from uint64) {
	end := min(g.end, max(s.first(), from)) // memory has the rest
	for _, c := range s.cursors {
		if start := max(c.given, from); start < end {
			c.dropped += min(end-start, g.count)
		}
	}
}

// damaged notes that a segment cannot be read from a number on.
func (s *Spool) damaged(g *segment, from uint64, err error) {
	if from >= g.end {
		return // another cursor was faster
	}
	s.lose(g, from)
	g.end = max(from, g.base)
	s.stats.Damaged++
	s.cfg.Log.Warn("a segment of events is damaged; what follows the damage in it is lost", "file", filepath.Base(g.path), "error", err)
}
