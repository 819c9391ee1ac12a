package spool

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// TestFullFileSystem fills a real file system, small enough for that, and makes room in it again.
func TestFullFileSystem(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=256k"); err != nil {
		t.Skipf("no file system to fill: mount: %v", err)
	}
	defer func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	}()
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 128<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	s := open(t, Config{Dir: dir, MaxDisk: 1 << 20, MaxMemory: 64 << 10})
	quick, slow := cursor(t, s, "quick", all), cursor(t, s, "slow", all)
	stop := running(t, s)
	defer func() { stop(); quick.Close(); slow.Close() }()
	const n = 4000 // some 240 KB of records
	var got []string
	for i := 1; i <= n; i += 100 {
		s.Append(numbered(i, i+99)...)
		got = append(got, drain(t, quick, true)...)
		time.Sleep(time.Millisecond)
	}
	want(t, "a quick cursor", got, span(1, n))
	failing := func() bool { return s.Stats().Failing }
	for deadline := time.Now().Add(10 * time.Second); !failing() && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	if !failing() {
		t.Fatalf("the disk is not full: %+v", s.Stats())
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); failing() && time.Now().Before(deadline); {
		time.Sleep(10 * time.Millisecond)
	}
	if failing() {
		t.Fatalf("the disk is not used again: %+v", s.Stats())
	}
	settle(t, s)
	rest := drain(t, slow, true)
	want(t, "dropped and delivered", slow.Stats().Dropped+uint64(len(rest)), uint64(n))
	want(t, "the first", rest[0], "1")
	want(t, "the last", rest[len(rest)-1], span(n, n)[0])
}
