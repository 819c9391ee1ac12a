package jsonlog

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cardea/signaling/events/spool"
)

func entries(a, b int) (all []spool.Entry) {
	for i := a; i <= b; i++ {
		all = append(all, spool.Entry{Value: []byte(`{"n":` + strconv.Itoa(i) + `}`), Seq: uint64(i)})
	}
	return all
}

func lines(a, b int) string {
	var text strings.Builder
	for i := a; i <= b; i++ {
		fmt.Fprintf(&text, `{"id":"00000000000000-%d","n":%d}`+"\n", i, i)
	}
	return text.String()
}

func send(t *testing.T, l *Log, a, b int) {
	t.Helper()
	if n, err := l.Send(t.Context(), entries(a, b)); n != b-a+1 || err != nil {
		t.Fatalf("sent: %d, %v", n, err)
	}
}

func want(t *testing.T, path, text string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(text, string(b)); d != "" {
		t.Errorf("%s (-want +got):\n%s", filepath.Base(path), d)
	}
}

func TestRenamed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.json")
	l := New(Config{Path: path})
	defer l.Close()
	send(t, l, 1, 2)
	if err := os.Rename(path, path+".old"); err != nil { // as logrotate does
		t.Fatal(err)
	}
	send(t, l, 3, 4)
	send(t, l, 5, 5)
	want(t, path+".old", lines(1, 2))
	want(t, path, lines(3, 5))
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode: %v, %v", info.Mode(), err)
	}
}

func TestTooLong(t *testing.T) {
	for keep, left := range map[int][]int{0: {7}, 1: {7, 5}, 3: {7, 5, 3, 1}} {
		path := filepath.Join(t.TempDir(), "events.json")
		l := New(Config{Path: path, MaxSize: 40, Keep: keep})
		for i := 1; i <= 8; i++ { // two lines are too long for a third
			send(t, l, i, i)
		}
		l.Close()
		want(t, path, lines(left[0], left[0]+1))
		for i, first := range left[1:] {
			want(t, path+"."+strconv.Itoa(i+1), lines(first, first+1))
		}
		if files, _ := filepath.Glob(path + "*"); len(files) != len(left) {
			t.Errorf("kept: %v", files)
		}
	}
}

// TestTorn goes on behind a line that a crash cut off.
func TestTorn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.json")
	if err := os.WriteFile(path, []byte(lines(1, 1)+`{"n":`), 0o600); err != nil {
		t.Fatal(err)
	}
	l := New(Config{Path: path})
	defer l.Close()
	send(t, l, 2, 3)
	want(t, path, lines(1, 1)+`{"n":`+"\n"+lines(2, 3))
}

// TestPipe writes to a pipe that nobody reads: it must not outlast its time, and who reads later finds every event in a line of its own.
func TestPipe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	l := New(Config{Path: path})
	defer l.Close()
	reader, err := os.OpenFile(path, os.O_RDWR, 0) // what is in a pipe goes with the last that has it open
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	const count = 10_000 // far more than a pipe holds
	ctx, cancel := context.WithCancel(t.Context())
	var first [1]byte
	go func() {
		defer cancel() // when the write has begun
		if _, err := reader.Read(first[:]); err != nil {
			t.Error(err)
		}
	}()
	n, err := l.Send(ctx, entries(1, count))
	if n == 0 || n == count || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("sent: %d, %v", n, err)
	}
	read := make(chan string)
	go func() {
		b := append(make([]byte, 0, 1<<20), first[0])
		for !strings.HasSuffix(string(b), lines(count, count)) {
			m, err := reader.Read(b[len(b):cap(b)])
			if err != nil {
				break
			}
			b = b[:len(b)+m]
		}
		read <- string(b)
	}()
	send(t, l, n+1, count)
	text := <-read
	if !strings.HasPrefix(text, lines(1, n)) || !strings.HasSuffix(text, "\n"+lines(n+1, count)) {
		t.Errorf("of %d lines %d were there first, and what followed is not whole", count, n)
	}
}

// TestFull writes to a device that is full, and then to none.
func TestFull(t *testing.T) {
	for _, path := range []string{"/dev/full", "/nowhere/events.json"} {
		l := New(Config{Path: path})
		if n, err := l.Send(t.Context(), entries(1, 3)); n != 0 || err == nil {
			t.Errorf("%s: %d, %v", path, n, err)
		}
	}
}
