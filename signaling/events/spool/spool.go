package spool

import (
	"cmp"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// Config configures a [Spool]. Zero values mean the defaults.
type Config struct {
	// Dir is the directory of the spool's files, made if need be. "" keeps entries in memory alone.
	Dir string
	// MaxDisk bounds the segments together, bytes; 256 MiB by default, at least 64 KiB.
	MaxDisk int64
	// MaxMemory bounds what is kept in memory, bytes; 16 MiB by default. It holds what the disk does not take, and spares
	// cursors that keep up from reading.
	MaxMemory int64
	// Bare are the kinds whose JSON does not bear the entry's ID.
	Bare uint16
	// Log is told when the disk fails and when it is well again, and of damage. nil logs nowhere.
	Log *slog.Logger

	// write writes to a segment; tests have it fail. nil is os.File's own.
	write func(f *os.File, b []byte) (int, error)
	// sync syncs a segment, likewise.
	sync func(f *os.File) error
}

const (
	defaultMaxDisk   = 256 << 20
	leastMaxDisk     = 64 << 10
	defaultMaxMemory = 16 << 20
	maxSegment       = 8 << 20
	segmentsKept     = 8 // as many share MaxDisk, unless they were larger than maxSegment
)

// Spool is a bounded log of entries with many readers. Its methods are safe for concurrent use.
type Spool struct {
	cfg     Config        // set once
	segment int64         // bytes after which another is begun
	run     uint64        // names this process; runBits
	work    chan struct{} // has a token when the writer has something to look at

	mu      sync.Mutex // guards all below
	cursors []*Cursor
	closing bool
	next    uint64 // sequence number of the next entry

	// What is in memory: the entries from next-len(tail) to next.
	tail   []Entry
	memory int64
	// Entries below stored are on disk, lost or not needed any more; those from there to taken are being written. The writer has those
	// itself: memory may let go of them.
	stored, taken uint64

	// What is on disk, oldest first. The writer appends to the last.
	segments []*segment
	failing  bool
	stats    Stats
}

// Stats says what a spool holds and what has become of entries.
type Stats struct {
	Appended     uint64 // entries taken
	TooLong      uint64 // entries not taken since key or value were too long
	Disk         int64  // bytes of segments
	Memory       int64  // bytes in memory
	Failing      bool   // the disk did not take the last write
	DiskFailures uint64 // writes that failed
	Damaged      uint64 // places in segments that could not be read
}

// Open opens the spool in a directory, and finds what earlier processes left there. It changes nothing on disk but for making
// the directory. A directory that cannot be used is an error; damaged segments are not.
func Open(cfg Config) (*Spool, error) {
	cfg.MaxDisk = max(cmp.Or(cfg.MaxDisk, defaultMaxDisk), leastMaxDisk)
	cfg.MaxMemory = cmp.Or(cfg.MaxMemory, defaultMaxMemory)
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.write == nil {
		cfg.write = (*os.File).Write
	}
	if cfg.sync == nil {
		cfg.sync = (*os.File).Sync
	}
	s := &Spool{cfg: cfg, segment: min(cfg.MaxDisk/segmentsKept, maxSegment), next: 1, work: make(chan struct{}, 1)}
	var b [8]byte
	_, _ = rand.Read(b[:]) // it never fails
	s.run = binary.LittleEndian.Uint64(b[:]) >> (64 - runBits)
	if cfg.Dir == "" {
		return s, nil
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("spool of events: %w", err)
	}
	segments, damaged, err := scan(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("spool of events: %w", err)
	}
	if damaged > 0 {
		cfg.Log.Warn("the spool of events is damaged, as by a power cut; what follows the damage in a segment is lost", "segments", damaged)
	}
	s.segments, s.stats.Damaged = segments, uint64(damaged) //nolint:gosec // not negative
	for _, g := range segments {
		s.next = max(s.next, g.end)
		s.stats.Disk += g.size
	}
	s.stored, s.taken = s.next, s.next
	return s, nil
}

// Append takes entries, which all cursors see in this order, and gives them their numbers. It waits for nobody. What is too long or
// too much is left out and counted. After [Spool.Finish] nothing is taken.
func (s *Spool) Append(batch ...Entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return
	}
	for i := range batch {
		s.append(batch[i])
	}
	s.tell()
}

// append takes one entry, or leaves it out.
func (s *Spool) append(e Entry) {
	if len(e.Key) > MaxKey || len(e.Value) > MaxValue {
		s.stats.TooLong++
		e.Seq = s.next // which all cursors are yet to see
		s.missed(&e)
		return
	}
	cost := e.cost()
	for s.memory+cost > s.cfg.MaxMemory && len(s.tail) > 0 {
		s.forget()
	}
	e.Seq, e.Run = s.next, s.run
	s.next++
	s.tail = append(s.tail, e)
	s.memory += cost
	s.stats.Appended++
}

// first returns the number of the oldest entry in memory.
func (s *Spool) first() uint64 { return s.next - uint64(len(s.tail)) }

// forget lets go of the oldest entry in memory to make room, and counts it for the cursors that have not seen it unless it is on
// disk or, perhaps, about to be.
func (s *Spool) forget() {
	if e := &s.tail[0]; e.Seq >= max(s.stored, s.taken) || len(s.segments) > 0 && e.Seq < s.segments[0].base {
		s.missed(e)
	}
	s.pop()
}

// missed counts an entry that there is no more for the cursors that have not seen it.
func (s *Spool) missed(e *Entry) {
	for _, c := range s.cursors {
		if c.given <= e.Seq && c.wants(e.Kind) {
			c.dropped++
		}
	}
}

// pop removes the oldest entry from memory.
func (s *Spool) pop() {
	s.memory -= s.tail[0].cost()
	s.tail[0] = Entry{}
	s.tail = s.tail[1:]
}

// trim lets go of what all cursors have confirmed.
func (s *Spool) trim() {
	for confirmed := s.confirmed(); len(s.tail) > 0 && s.first() < confirmed; {
		s.pop()
	}
}

// confirmed returns the number below which all cursors have confirmed everything.
func (s *Spool) confirmed() uint64 {
	least := s.next
	for _, c := range s.cursors {
		least = min(least, c.acked)
	}
	return least
}

// tell wakes the writer and the cursors.
func (s *Spool) tell() {
	token(s.work)
	for _, c := range s.cursors {
		token(c.more)
	}
}

// token puts a token into a channel that has room for one.
func token(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Finish says that nothing is appended any more: cursors that have handed out everything end with io.EOF.
func (s *Spool) Finish() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closing = true
	s.tell()
}

// Stats returns what the spool holds and counts.
func (s *Spool) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	stats := s.stats
	stats.Memory, stats.Failing = s.memory, s.failing
	return stats
}

// First makes an entry that is no part of the log, for what this process delivers before everything else. The log leaves its number
// out. It is called before [Spool.Cursor], [Spool.Append] and [Spool.Run].
func (s *Spool) First(kind uint16, at time.Time, key string, value []byte) Entry {
	e := Entry{Kind: kind, Time: at, Key: key, Value: value, Seq: s.next, Run: s.run, Bare: s.cfg.Bare&kind != 0}
	s.next++
	s.stored, s.taken = s.next, s.next
	return e
}
