package spool

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

const (
	session = 1
	plugin  = 64
	all     = 0xffff
)

// at is when all entries of these tests happen.
var at = time.UnixMicro(1_700_000_000_123_456)

// numbered makes entries whose values are numbers from a to b.
func numbered(a, b int) []Entry {
	var batch []Entry
	for i := a; i <= b; i++ {
		batch = append(batch, Entry{Kind: session, Time: at, Key: "videoroom/1", Value: []byte(strconv.Itoa(i))})
	}
	return batch
}

func values(batch []Entry) []string {
	var all []string
	for _, e := range batch {
		all = append(all, string(e.Value))
	}
	return all
}

// span returns the numbers from a to b as values.
func span(a, b int) []string { return values(numbered(a, b)) }

func open(t *testing.T, cfg Config) *Spool {
	t.Helper()
	s, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func cursor(t *testing.T, s *Spool, name string, mask uint16) *Cursor {
	t.Helper()
	c, err := s.Cursor(name, mask)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// running runs the spool and returns what ends it.
func running(t *testing.T, s *Spool) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := s.Run(ctx); err != nil {
			t.Error(err)
		}
	}()
	stop = sync.OnceFunc(func() { cancel(); <-done })
	t.Cleanup(stop)
	return stop
}

// drain confirms and returns everything that a cursor hands out until there is nothing for the moment.
func drain(t *testing.T, c *Cursor, confirm bool) []string {
	t.Helper()
	var got []string
	for {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		if c.idle() {
			cancel()
			return got
		}
		batch, err := c.Next(ctx, 7, 1<<20)
		cancel()
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, values(batch)...)
		if confirm {
			c.Ack(batch[len(batch)-1].Seq)
		}
	}
}

// idle tells whether there is nothing left that the cursor wants.
func (c *Cursor) idle() bool {
	c.spool.mu.Lock()
	defer c.spool.mu.Unlock()
	for _, g := range c.spool.segments {
		if g.end > c.given && c.given < c.spool.first() {
			return false
		}
	}
	for i := range c.spool.tail {
		if e := &c.spool.tail[i]; e.Seq >= c.given && c.wants(e.Kind) {
			return false
		}
	}
	return true
}

func want(t *testing.T, what string, got, want any) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

func TestDelivery(t *testing.T) {
	for name, dir := range map[string]string{"disk": t.TempDir(), "memory": ""} {
		t.Run(name, func(t *testing.T) {
			s := open(t, Config{Dir: dir})
			quick, slow := cursor(t, s, "quick", all), cursor(t, s, "slow", plugin)
			stop := running(t, s)
			s.Append(numbered(1, 20)...)
			s.Append(Entry{Kind: plugin, Time: at, Value: []byte("p")})
			want(t, "all", drain(t, quick, true), append(span(1, 20), "p"))
			want(t, "selected", drain(t, slow, true), []string{"p"})
			want(t, "lag", slow.Stats(), CursorStats{})
			want(t, "memory", s.Stats().Memory, int64(0))
			s.Append(numbered(21, 22)...)
			s.Finish()
			want(t, "rest", drain(t, quick, true), span(21, 22))
			for _, c := range []*Cursor{quick, slow} {
				if batch, err := c.Next(t.Context(), 1, 1); !errors.Is(err, io.EOF) {
					t.Errorf("%s after the end: %v, %v", c.Name(), values(batch), err)
				}
			}
			s.Append(numbered(23, 23)...)
			want(t, "taken after the end", s.Stats().Appended, uint64(23))
			stop()
			if dir != "" {
				files, _ := filepath.Glob(filepath.Join(dir, "*"+segmentSuffix))
				want(t, "files after all was confirmed", len(files), 0)
			}
		})
	}
}

// TestBatches wants the bounds of a batch kept, and entries as they were.
func TestBatches(t *testing.T) {
	s := open(t, Config{})
	c := cursor(t, s, "c", all)
	s.Append(numbered(1, 5)...)
	for _, step := range []struct {
		count int
		size  int64
		want  []string
	}{{2, 100, span(1, 2)}, {9, 1, span(3, 3)}, {9, 2, span(4, 5)}} {
		batch, err := c.Next(t.Context(), step.count, step.size)
		if err != nil {
			t.Fatal(err)
		}
		want(t, "batch", values(batch), step.want)
		e := batch[0]
		want(t, "entry", e, Entry{Kind: session, Time: at, Key: "videoroom/1", Value: []byte(step.want[0]), Seq: e.Seq, Run: s.run})
	}
	want(t, "lag before it is confirmed", c.Stats().Lag, uint64(5))
	c.Ack(2)
	want(t, "lag", c.Stats().Lag, uint64(3))
	c.Ack(5)
	want(t, "lag at the end", c.Stats(), CursorStats{})
	s.Append(Entry{Kind: all, Key: string(make([]byte, MaxKey+1))}, Entry{Kind: all, Value: make([]byte, MaxValue+1)})
	want(t, "dropped because too long", c.Stats().Dropped, uint64(2))
	want(t, "too long", s.Stats().TooLong, uint64(2))
}

// TestRestart stops a spool cleanly with entries that did not arrive, several times.
func TestRestart(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Config{Dir: dir})
	a, b := cursor(t, s, "a", all), cursor(t, s, "b", all)
	gone := cursor(t, s, "gone", all)
	stop := running(t, s)
	s.Append(numbered(1, 10)...)
	want(t, "a", drain(t, a, true), span(1, 10))
	want(t, "b, not confirmed", drain(t, b, false), span(1, 10))
	drain(t, gone, true)
	id := ""
	s.mu.Lock()
	id = s.tail[0].ID()
	s.mu.Unlock()
	s.Append(numbered(11, 12)...)
	stop()

	s = open(t, Config{Dir: dir})
	a, b = cursor(t, s, "a", all), cursor(t, s, "b", all)
	late := cursor(t, s, "late", all)
	want(t, "lag found", [2]uint64{a.Stats().Lag, b.Stats().Lag}, [2]uint64{2, 12})
	stop = running(t, s)
	s.Append(numbered(13, 13)...)
	want(t, "a goes on", drain(t, a, true), span(11, 13))
	first, err := b.Next(t.Context(), 1, 1)
	if err != nil {
		t.Fatal(err)
	}
	want(t, "id of what is delivered again", first[0].ID(), id)
	b.Ack(first[0].Seq)
	want(t, "b goes on", drain(t, b, true), span(2, 13))
	want(t, "redelivered", [2]uint64{a.Stats().Redelivered, b.Stats().Redelivered}, [2]uint64{0, 10})
	want(t, "a new one begins now", drain(t, late, true), span(13, 13))
	stop()
	if _, err := os.Stat(filepath.Join(dir, "gone"+placeSuffix)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the place of a cursor that is no more: %v", err)
	}
}

// TestBounded has a cursor that takes nothing while much more comes than may be kept, on disk and in memory.
func TestBounded(t *testing.T) {
	for name, dir := range map[string]string{"disk": t.TempDir(), "memory": ""} {
		t.Run(name, func(t *testing.T) {
			const n, maxDisk, maxMemory = 6000, 128 << 10, 64 << 10
			s := open(t, Config{Dir: dir, MaxDisk: maxDisk, MaxMemory: maxMemory})
			stuck, quick := cursor(t, s, "stuck", all), cursor(t, s, "quick", all)
			running(t, s)
			var got []string
			for i := 1; i <= n; i += 100 {
				s.Append(numbered(i, i+99)...)
				got = append(got, drain(t, quick, true)...)
				settle(t, s)
			}
			want(t, "what the other got", got, span(1, n))
			stats := s.Stats()
			if stats.Disk > maxDisk+maxDisk/segmentsKept || stats.Memory > maxMemory {
				t.Errorf("more kept than allowed: %+v", stats)
			}
			dropped := stuck.Stats().Dropped
			rest := drain(t, stuck, true)
			want(t, "dropped and delivered", dropped+uint64(len(rest)), uint64(n))
			want(t, "the latest", rest, span(n-len(rest)+1, n))
			want(t, "dropped of the other", quick.Stats().Dropped, uint64(0))
			if len(rest) < 500 {
				t.Errorf("only %d were kept", len(rest))
			}
		})
	}
}

// settle waits until the writer has nothing to do.
func settle(t *testing.T, s *Spool) {
	t.Helper()
	if s.cfg.Dir == "" {
		return
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		s.mu.Lock()
		done := s.stored == s.next && s.stats.Disk <= s.cfg.MaxDisk
		s.mu.Unlock()
		if done {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the writer does not come to rest")
		}
	}
}

// TestFullDisk has the disk take nothing for a while: what memory holds is delivered, what it does not is counted, and what comes
// afterwards is on disk again.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		var full atomic.Bool
		s := open(t, Config{Dir: dir, MaxMemory: 1000 * (entryCost + 15), write: func(f *os.File, b []byte) (int, error) {
			if full.Load() {
				n, _ := f.Write(b[:len(b)/2]) // as a disk does that becomes full
				return n, syscall.ENOSPC
			}
			return f.Write(b)
		}})
		quick, slow := cursor(t, s, "quick", all), cursor(t, s, "slow", all)
		stop := running(t, s)
		s.Append(numbered(1, 100)...)
		synctest.Wait()
		full.Store(true)
		var got []string
		for i := 101; i < 3101; i += 100 {
			s.Append(numbered(i, i+99)...)
			got = append(got, drain(t, quick, true)...)
			time.Sleep(time.Second)
		}
		want(t, "a quick cursor", got, span(1, 3100))
		stats := s.Stats()
		if !stats.Failing || stats.DiskFailures < 3 {
			t.Errorf("stats: %+v", stats)
		}
		full.Store(false)
		time.Sleep(maxRetry)
		if stats = s.Stats(); stats.Failing {
			t.Errorf("well again: %+v", stats)
		}
		s.Append(numbered(3101, 3110)...)
		synctest.Wait()
		stop()
		dropped := slow.Stats().Dropped

		s = open(t, Config{Dir: dir})
		slow = cursor(t, s, "slow", all)
		rest := drain(t, slow, true)
		want(t, "dropped and delivered", dropped+uint64(len(rest)), uint64(3110))
		want(t, "from before", rest[:100], span(1, 100))
		want(t, "from after", rest[100:], span(3110-len(rest)+100+1, 3110))
		if n := len(rest); n < 1000 || n > 1300 {
			t.Errorf("%d were kept", n)
		}
	})
}

// TestHungDisk has a write that does not return: nobody waits but who needs what the disk is about to get.
func TestHungDisk(t *testing.T) {
	for name, result := range map[string]error{"it succeeds in the end": nil, "it fails in the end": syscall.EIO} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				hang, hung := make(chan struct{}), false
				s := open(t, Config{Dir: dir, MaxMemory: 100 * (entryCost + 14), write: func(f *os.File, b []byte) (int, error) {
					if hung {
						return f.Write(b)
					}
					hung = true
					<-hang
					if result != nil {
						return 0, result
					}
					return f.Write(b)
				}})
				quick, slow := cursor(t, s, "quick", all), cursor(t, s, "slow", all)
				running(t, s)
				s.Append(numbered(1, 50)...)
				synctest.Wait()
				var got []string
				for i := 51; i <= 500; i += 50 {
					s.Append(numbered(i, i+49)...)
					got = append(got, drain(t, quick, true)...)
				}
				want(t, "a quick cursor", got, span(1, 500))
				close(hang)
				synctest.Wait()
				late := drain(t, slow, true)
				want(t, "dropped and delivered", slow.Stats().Dropped+uint64(len(late)), uint64(500))
				if result == nil {
					want(t, "what was being written", late[:50], span(1, 50))
					late = late[50:]
				}
				want(t, "what memory held", late, span(501-len(late), 500))
			})
		})
	}
}

// TestHungSync has a sync that does not return: what comes is written all the same, where a kill -9 leaves it.
func TestHungSync(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		hang, syncs := make(chan struct{}), atomic.Int32{}
		s := open(t, Config{Dir: dir, MaxDisk: leastMaxDisk, sync: func(*os.File) error {
			if syncs.Add(1) == 1 {
				<-hang
				return syscall.EIO
			}
			return nil
		}})
		stuck := cursor(t, s, "stuck", all)
		stop := running(t, s)
		s.Append(numbered(1, 5)...)
		time.Sleep(2 * syncInterval)
		s.Append(numbered(6, 300)...) // more than a segment
		synctest.Wait()
		s.mu.Lock()
		stored, segments := s.stored, len(s.segments)
		s.mu.Unlock()
		want(t, "written", stored, uint64(301))
		want(t, "segments", segments, 2)
		close(hang)
		synctest.Wait()
		want(t, "failures", s.Stats().DiskFailures, uint64(1))
		s.Append(numbered(301, 301)...)
		stop()
		want(t, "delivered", drain(t, stuck, true), span(1, 301))
		want(t, "syncs: in vain, of a whole segment, of one that is not certain any more, at the end", syncs.Load(), int32(4))
	})
}

// TestUnopened has a segment that cannot be opened for a while, as when the process has too many files: nothing of it is lost.
func TestUnopened(t *testing.T) {
	dir := t.TempDir()
	log := &bytes.Buffer{}
	synctest.Test(t, func(t *testing.T) {
		s := open(t, Config{Dir: dir, MaxMemory: 2000, Log: slog.New(slog.NewTextHandler(log, nil))})
		c := cursor(t, s, "c", all)
		stop := running(t, s)
		put := func(a, b int) {
			for ; a <= b; a += 10 { // no more at a time than memory holds
				s.Append(numbered(a, a+9)...)
				synctest.Wait()
			}
		}
		put(1, 50)
		files, _ := filepath.Glob(filepath.Join(dir, "*"+segmentSuffix))
		// A link to itself: there, and not to be opened.
		if err := os.Rename(files[0], files[0]+".away"); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(files[0], files[0]); err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(5*openRetry, func() {
			if err := os.Rename(files[0]+".away", files[0]); err != nil {
				t.Error(err)
			}
		})
		put(51, 100)
		want(t, "delivered", drain(t, c, true), span(1, 100))
		want(t, "stats", c.Stats(), CursorStats{})
		stop()
	})
	if n := strings.Count(log.String(), "\n"); n != 1 || !strings.Contains(log.String(), "cannot be opened") {
		t.Errorf("log:\n%s", log)
	}
}

// TestIDs wants names of entries to differ in every process, also where numbers are used again, and those that go first to have
// their own; and an old segment's to be read.
func TestIDs(t *testing.T) {
	seen := map[string]bool{}
	see := func(e Entry) {
		t.Helper()
		if seen[e.ID()] {
			t.Errorf("%s is used twice", e.ID())
		}
		seen[e.ID()] = true
	}
	for range 3 {
		dir := t.TempDir() // so numbers begin anew
		s := open(t, Config{Dir: dir})
		for range 3 {
			see(s.First(session, at, "", []byte("{}")))
		}
		c := cursor(t, s, "c", all)
		stop := running(t, s)
		s.Append(numbered(1, 3)...)
		batch, err := c.Next(t.Context(), 9, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range batch {
			see(e)
		}
		stop()
		s = open(t, Config{Dir: dir})
		again, err := cursor(t, s, "c", all).Next(t.Context(), 9, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		want(t, "delivered again", again, batch)
	}
	want(t, "the name", (&Entry{Run: 0xab, Seq: 12}).ID(), "000000000000ab-12")
	for value, text := range map[string]string{
		`{"emitter":"n"}`: `{"id":"00000000000001-2","emitter":"n"}`, `{}`: `{"id":"00000000000001-2"}`, `{`: `{`, ``: ``, `[1]`: `[1]`,
	} {
		e := Entry{Run: 1, Seq: 2, Value: []byte(value)}
		want(t, "JSON of "+value, string(e.AppendJSON([]byte("x"))), "x"+text)
		e.Bare = true
		want(t, "bare JSON of "+value, string(e.AppendJSON([]byte("x"))), "x"+value)
	}
}

// damages change the bytes of a segment.
var damages = map[string]func(b []byte) []byte{
	"cut in a record":   func(b []byte) []byte { return b[:len(b)-3] },
	"cut in a length":   func(b []byte) []byte { return b[:len(b)-frameSize-fixedSize-len("videoroom/1")-1] },
	"zeros at the end":  func(b []byte) []byte { return append(b[:len(b)-30], make([]byte, 500)...) },
	"a bit":             func(b []byte) []byte { b[len(b)-1] ^= 4; return b },
	"a length":          func(b []byte) []byte { b[bytes.LastIndex(b, []byte("videoroom/1"))-fixedSize-5] = 0xff; return b },
	"rubbish after it":  func(b []byte) []byte { return append(b, "some rubbish"...) },
	"repeated":          func(b []byte) []byte { return append(b, b[headerSize:]...) },
	"the header":        func(b []byte) []byte { b[9]++; return b },
	"empty":             func([]byte) []byte { return nil },
	"half a header":     func(b []byte) []byte { return b[:11] },
	"of another number": func([]byte) []byte { return header{run: 1, base: 77}.bytes() },
}

// TestDamage damages the second of two segments, as a power cut or a bad disk may, and wants everything else delivered, before and after.
func TestDamage(t *testing.T) {
	for name, damage := range damages {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for i := range 2 { // each process writes a segment of its own
				s := open(t, Config{Dir: dir})
				c := cursor(t, s, "c", all)
				stop := running(t, s)
				s.Append(numbered(10*i+1, 10*i+10)...)
				if i == 0 {
					batch, err := c.Next(t.Context(), 1, 1)
					if err != nil {
						t.Fatal(err)
					}
					c.Ack(batch[0].Seq)
				}
				stop()
				c.Close()
			}
			files, _ := filepath.Glob(filepath.Join(dir, "*"+segmentSuffix))
			want(t, "segments", len(files), 2)
			b, err := os.ReadFile(files[1])
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(files[1], damage(b), 0o600); err != nil {
				t.Fatal(err)
			}
			s := open(t, Config{Dir: dir})
			c := cursor(t, s, "c", all)
			running(t, s)
			s.Append(numbered(21, 25)...)
			got := drain(t, c, true)
			want(t, "noticed", s.Stats().Damaged, uint64(1))
			n := len(got) - 9 - 5
			if n < 0 || n > 10 {
				t.Fatalf("delivered: %v", got)
			}
			want(t, "delivered", got, append(span(2, 10+n), span(21, 25)...))
		})
	}
}

// TestDamageWhileRunning damages a segment that was found whole.
func TestDamageWhileRunning(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Config{Dir: dir, MaxDisk: 64 << 10, MaxMemory: 2000})
	c, other := cursor(t, s, "c", all), cursor(t, s, "other", all)
	running(t, s)
	var n int
	for files := []string(nil); len(files) < 3; files, _ = filepath.Glob(filepath.Join(dir, "*"+segmentSuffix)) {
		s.Append(numbered(n+1, n+10)...)
		n += 10
		settle(t, s)
	}
	files, _ := filepath.Glob(filepath.Join(dir, "*"+segmentSuffix))
	b, err := os.ReadFile(files[1])
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2]++
	if err := os.WriteFile(files[1], b, 0o600); err != nil {
		t.Fatal(err)
	}
	got, gotToo := drain(t, c, true), drain(t, other, true)
	want(t, "both got", gotToo, got)
	want(t, "noticed", s.Stats().Damaged, uint64(1))
	for _, c := range []*Cursor{c, other} {
		want(t, "dropped and delivered by "+c.Name(), c.Stats().Dropped+uint64(len(got)), uint64(n))
	}
	want(t, "the first", got[0], "1")
	want(t, "the last", got[len(got)-1], strconv.Itoa(n))
}

// TestPlace damages the file that says how far a cursor is: of two slots one is left, and of none the cursor begins anew.
func TestPlace(t *testing.T) {
	dir := t.TempDir()
	var p place
	if known, err := p.load(dir, "c"); known || err != nil {
		t.Fatalf("nothing: %v, %v", known, err)
	}
	for _, at := range [][2]uint64{{1, 5}, {3, 5}, {3, 9}} {
		if err := p.save(at[0], at[1]); err != nil {
			t.Fatal(err)
		}
	}
	p.close()
	b, err := os.ReadFile(p.path)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		b      []byte
		known  bool
		places [2]uint64
	}{
		"whole":            {b, true, [2]uint64{3, 9}},
		"the second only":  {append(make([]byte, slotSize), b[slotSize:]...), true, [2]uint64{3, 5}},
		"the first only":   {b[:slotSize], true, [2]uint64{3, 9}},
		"cut in the first": {b[:slotSize-1], false, [2]uint64{}},
		"rubbish":          {bytes.Repeat([]byte("x"), 100), false, [2]uint64{}},
		"more":             {append(bytes.Clone(b), b...), true, [2]uint64{3, 9}},
	} {
		if err := os.WriteFile(p.path, c.b, 0o600); err != nil {
			t.Fatal(err)
		}
		var q place
		known, err := q.load(dir, "c")
		if err != nil {
			t.Fatal(err)
		}
		want(t, name, fmt.Sprint(known, q.acked, q.highest), fmt.Sprint(c.known, c.places[0], c.places[1]))
	}
}

// TestOpenSaysWhatIsWrong wants one clear error where there can be no spool.
func TestOpenSaysWhatIsWrong(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Config{Dir: filepath.Join(file, "below")}); err == nil {
		t.Error("a directory below a file was made")
	}
	s := open(t, Config{})
	for _, name := range []string{"", "..", "a/b", "A", "a b"} {
		if _, err := s.Cursor(name, all); err == nil {
			t.Errorf("%q names a cursor", name)
		}
	}
}

// FuzzSegment reads rubbish as a segment: whatever is read of it is what its bytes say, written again.
func FuzzSegment(f *testing.F) {
	whole := header{run: 7, base: 3}.bytes()
	for i, e := range numbered(1, 3) {
		e.Seq = uint64(3 + 2*i)
		whole = appendRecord(whole, &e)
	}
	f.Add(whole)
	for _, damage := range damages {
		f.Add(damage(bytes.Clone(whole)))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		rs, err := newRecords(bytes.NewReader(b))
		if err != nil {
			return
		}
		again := rs.header.bytes()
		var e Entry
		for last := uint64(0); ; last = e.Seq {
			if e, err = rs.next(); err != nil {
				break
			}
			if e.Seq < rs.base || e.Seq <= last || len(e.Key) > MaxKey || len(e.Value) > MaxValue {
				t.Fatalf("entry: %+v after %d", e, last)
			}
			again = appendRecord(again, &e)
		}
		if !errors.Is(err, io.EOF) && !errors.Is(err, errDamaged) {
			t.Fatalf("error: %v", err)
		}
		if rs.read != int64(len(again)) || !bytes.Equal(again, b[:rs.read]) || errors.Is(err, io.EOF) != (len(again) == len(b)) {
			t.Fatalf("read %d bytes of %x: %x, %v", rs.read, b, again, err)
		}
	})
}
