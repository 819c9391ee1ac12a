package node

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestNotifier looks at what comes out of the service manager's socket.
func TestNotifier(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	t.Setenv("WATCHDOG_USEC", "3000000")
	n := newNotifier(quiet())
	if n == nil || n.watchdog != 3*time.Second {
		t.Fatalf("notifier %+v", n)
	}
	n.ready("ready")
	n.reloading()
	n.stopping(10 * time.Second)
	b := make([]byte, 1024)
	for _, want := range []string{"READY=1\nSTATUS=ready", "RELOADING=1\nMONOTONIC_USEC=", "STOPPING=1\nSTATUS=stopping\nEXTEND_TIMEOUT_USEC=15000000"} {
		if err := socket.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		k, err := socket.Read(b)
		if err != nil || !strings.HasPrefix(string(b[:k]), want) {
			t.Errorf("%q, %v, want %q", b[:k], err, want)
		}
	}
	if monotonic() <= 0 {
		t.Error("no time for reloads")
	}
	t.Setenv("NOTIFY_SOCKET", "")
	if n = newNotifier(quiet()); n != nil {
		t.Error("a notifier with nobody to notify")
	}
	n.ready("nobody hears") // and nothing happens
}

// TestNotifierFails wants one line in the log, and the node to go on.
func TestNotifierFails(t *testing.T) {
	var out strings.Builder
	n := &notifier{log: slog.New(slog.NewTextHandler(&out, nil)), send: func(string) error { return errors.New("no socket") }}
	n.ready("ready")
	n.stopping(time.Second)
	if got := strings.Count(out.String(), "cannot notify the service manager"); got != 1 {
		t.Errorf("%d lines: %s", got, &out)
	}
}

// TestWatchdog wants a sign of life three times in what the service manager bears, and none from a node that stands still.
func TestWatchdog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told atomic.Int64
		var stuck atomic.Bool
		free := make(chan struct{})
		n := &notifier{watchdog: 3 * time.Second, log: quiet(), send: func(string) error { told.Add(1); return nil }}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() {
			done <- n.watch(ctx, func() {
				if stuck.Load() {
					<-free
				}
			})
		}()
		time.Sleep(9*time.Second + time.Millisecond)
		synctest.Wait()
		if told.Load() != 9 {
			t.Errorf("told %d times in nine seconds", told.Load())
		}
		stuck.Store(true)
		time.Sleep(time.Minute)
		synctest.Wait()
		if told.Load() != 9 {
			t.Errorf("told %d times although the node stands still", told.Load()-9)
		}
		close(free)
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// TestNoWatchdog wants nothing told where nobody waits for it.
func TestNoWatchdog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithTimeout(t.Context(), time.Hour)
		defer stop()
		var nobody *notifier
		silent := &notifier{log: quiet(), send: func(s string) error { t.Errorf("told %q", s); return nil }}
		for _, n := range []*notifier{nobody, silent} {
			if err := n.watch(ctx, func() { t.Error("looked for nobody") }); err != nil {
				t.Error(err)
			}
		}
	})
}
