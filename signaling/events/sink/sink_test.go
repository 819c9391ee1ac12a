package sink

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"cardea/signaling/events/spool"
)

// fake is a destination that answers as a function has it.
type fake struct {
	mu     sync.Mutex
	got    []string // what was confirmed
	calls  []int    // sizes of batches
	closed int
	answer func(call int, batch []spool.Entry) (int, error)
}

func (f *fake) Send(_ context.Context, batch []spool.Entry) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, len(batch))
	n, err := len(batch), error(nil)
	if f.answer != nil {
		n, err = f.answer(len(f.calls), batch)
	}
	for _, e := range batch[:n] {
		f.got = append(f.got, string(e.Value))
	}
	return n, err
}

func (f *fake) Close() { f.closed++ }

func numbered(a, b int) (all []spool.Entry) {
	for i := a; i <= b; i++ {
		all = append(all, spool.Entry{Kind: 1, Time: time.Now(), Value: []byte(strconv.Itoa(i))})
	}
	return all
}

func span(a, b int) (all []string) {
	for i := a; i <= b; i++ {
		all = append(all, strconv.Itoa(i))
	}
	return all
}

func want(t *testing.T, what string, got, want any) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

// runner makes a runner on a spool with entries 1 to n, which is finished, and a first one if there is a word for it.
func runner(t *testing.T, f *fake, n int, first string) *Runner {
	t.Helper()
	s, err := spool.Open(spool.Config{})
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{Sink: f, Count: 10}
	if first != "" {
		cfg.First = []spool.Entry{s.First(1, time.Now(), "", []byte(first))}
	}
	if cfg.Cursor, err = s.Cursor("test", 1); err != nil {
		t.Fatal(err)
	}
	s.Append(numbered(1, n)...)
	s.Finish()
	return New(cfg)
}

var errAway = errors.New("away")

func TestDelivery(t *testing.T) {
	tests := []struct {
		name            string
		answer          func(call int, batch []spool.Entry) (int, error)
		got             []string
		stats           Stats
		fewest, longest time.Duration // how long it takes
	}{
		{"all is well", nil, append([]string{"rooms"}, span(1, 25)...), Stats{Delivered: 26}, 0, 0},
		{
			"away for a while", func(call int, batch []spool.Entry) (int, error) {
				if call <= 5 {
					return 0, errAway
				}
				return len(batch), nil
			},
			append([]string{"rooms"}, span(1, 25)...),
			Stats{Delivered: 26, Failures: 5, CursorStats: spool.CursorStats{Redelivered: 5}},
			(100 + 200 + 400 + 800 + 1600) * time.Millisecond / 2, (100 + 200 + 400 + 800 + 1600) * time.Millisecond,
		},
		{
			"takes some of each", func(call int, batch []spool.Entry) (int, error) {
				if len(batch) > 4 {
					return 4, errAway
				}
				return len(batch), nil
			},
			append([]string{"rooms"}, span(1, 25)...),
			Stats{Delivered: 26, Failures: 5, CursorStats: spool.CursorStats{Redelivered: 6 + 2 + 6 + 2 + 1}},
			250 * time.Millisecond, 500 * time.Millisecond,
		},
		{
			"refuses one", func(_ int, batch []spool.Entry) (int, error) {
				for _, e := range batch {
					if string(e.Value) == "7" {
						return 0, fmt.Errorf("no: %w", ErrRefused)
					}
				}
				return len(batch), nil
			},
			append(append([]string{"rooms"}, span(1, 6)...), span(8, 25)...),
			Stats{Delivered: 25, Refused: 1},
			0, 0,
		},
		{
			"takes some of each before its time is over", func(_ int, batch []spool.Entry) (int, error) {
				if len(batch) > 4 {
					return 4, context.DeadlineExceeded
				}
				return len(batch), nil
			},
			append([]string{"rooms"}, span(1, 25)...),
			Stats{Delivered: 26},
			0, 0,
		},
		{
			"asks for time", func(call int, batch []spool.Entry) (int, error) {
				if call == 2 {
					return 0, fmt.Errorf("%w", &AfterError{errAway, 42 * time.Second})
				}
				return len(batch), nil
			},
			append([]string{"rooms"}, span(1, 25)...),
			Stats{Delivered: 26, Failures: 1, CursorStats: spool.CursorStats{Redelivered: 10}},
			42 * time.Second, 42 * time.Second,
		},
		{
			"says nothing of a part", func(call int, batch []spool.Entry) (int, error) {
				if call == 1 {
					return 0, nil
				}
				return len(batch), nil
			},
			append([]string{"rooms"}, span(1, 25)...),
			Stats{Delivered: 26, Failures: 1, CursorStats: spool.CursorStats{Redelivered: 1}},
			50 * time.Millisecond, 100 * time.Millisecond,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &fake{answer: tt.answer}
				r := runner(t, f, 25, "rooms")
				start := time.Now()
				if err := r.Run(t.Context()); err != nil {
					t.Fatal(err)
				}
				took := time.Since(start)
				want(t, "delivered", f.got, tt.got)
				want(t, "stats", r.Stats(), tt.stats)
				want(t, "closed", f.closed, 1)
				if took < tt.fewest || took > tt.longest {
					t.Errorf("it took %v, want %v to %v", took, tt.fewest, tt.longest)
				}
			})
		})
	}
}

// TestRefusesAll has a destination refuse everything, for hours: the log must tell, and not as often.
func TestRefusesAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		f := &fake{answer: func(int, []spool.Entry) (int, error) { time.Sleep(time.Second / 2); return 0, ErrRefused }}
		r := runner(t, f, 200, "")
		r.cfg.Log = slog.New(slog.NewTextHandler(&log, nil))
		start := time.Now()
		if err := r.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		want(t, "refused", r.Stats().Refused, uint64(200))
		if n, most := strings.Count(log.String(), "\n"), 1+int(time.Since(start)/refusalEvery); n < 2 || n > most {
			t.Errorf("%d lines, want 2 to %d:\n%s", n, most, &log)
		}
	})
}

// TestFirst wants nothing to overtake what goes first, and to be told when that has arrived.
func TestFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		back := false
		f := &fake{answer: func(_ int, batch []spool.Entry) (int, error) {
			if !back {
				return 0, errAway
			}
			return len(batch), nil
		}}
		r := runner(t, f, 3, "rooms")
		done := make(chan error, 1)
		go func() { done <- r.Run(t.Context()) }()
		time.Sleep(time.Hour)
		select {
		case <-r.First():
			t.Error("it is said to have arrived")
		default:
		}
		s := r.Stats()
		if !s.Away || s.Reason != "away" || s.Lag != 3 || s.Failures < 100 {
			t.Errorf("stats: %+v", s)
		}
		f.mu.Lock()
		back = true
		f.mu.Unlock()
		<-r.First()
		want(t, "the end", <-done, error(nil))
		want(t, "delivered", strings.Join(f.got, " "), "rooms 1 2 3")
		want(t, "away", r.Stats().Away, false)
	})
}

// TestStop ends a runner in every place where it waits. What has not arrived stays in the spool.
func TestStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, f := range map[string]*fake{
			"between attempts": {answer: func(int, []spool.Entry) (int, error) { return 0, errAway }},
			"in part": {answer: func(call int, _ []spool.Entry) (int, error) {
				if call == 1 {
					return 2, errAway
				}
				return 0, errAway
			}},
		} {
			ctx, cancel := context.WithCancel(t.Context())
			r := runner(t, f, 5, "")
			time.AfterFunc(time.Minute, cancel)
			want(t, name, r.Run(ctx), error(nil))
			want(t, name+": left", r.Stats().Lag, uint64(5-len(f.got)))
			want(t, name+": closed", f.closed, 1)
		}
	})
}

func TestPause(t *testing.T) {
	p := pause{least: 100 * time.Millisecond, most: time.Second}
	for i, w := range []time.Duration{100, 200, 400, 800, 1000, 1000} {
		want(t, fmt.Sprint("the most after attempt ", i), p.next(errAway, 1), w*time.Millisecond)
	}
	for range 100 {
		want(t, "the least", p.next(errAway, 0), 500*time.Millisecond)
	}
	want(t, "asked for too much", p.next(&AfterError{errAway, 24 * time.Hour}, 0), maxAfter)
	want(t, "asked for the past", p.next(&AfterError{errAway, -time.Hour}, 0), 500*time.Millisecond)
}

func TestAppendArray(t *testing.T) {
	want(t, "one", string(AppendArray([]byte("x"), numbered(1, 1))), "x[1]")
	want(t, "three", string(AppendArray(nil, numbered(1, 3))), "[1,2,3]")
	want(t, "an event", string(AppendArray(nil, []spool.Entry{{Value: []byte(`{"type":1}`), Run: 1, Seq: 2}})), `[{"id":"00000000000001-2","type":1}]`)
}
