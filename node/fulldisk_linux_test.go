package node

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"cardea/node/config"
	"cardea/signaling/events"
)

// logLines keeps a node's log.
type logLines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logLines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

// having returns how many lines have a text in them.
func (l *logLines) having(text string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.text.String()) {
		if strings.Contains(line, text) {
			n++
		}
	}
	return n
}

// fill takes what room a file system has, and returns what gives it back.
func fill(t *testing.T, dir string) (free func()) {
	t.Helper()
	name := filepath.Join(dir, "ballast")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for size := 64 << 10; size > 0; {
		if _, err = f.Write(make([]byte, size)); errors.Is(err, syscall.ENOSPC) {
			size /= 2
		} else if err != nil {
			t.Fatal(err)
		}
	}
	return func() {
		if err := os.Remove(name); err != nil {
			t.Error(err)
		}
	}
}

// TestFullDisk fills the data directory's disk under a serving node whose webhook is away. Clients must be answered all the same, what
// cannot be kept be counted, the log say so once, and all be well when there is room again.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=16m"); err != nil {
		t.Skipf("no file system to fill: mount: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	hook := newWebhookServer(t)
	log := &logLines{}
	c := new(config.Default())
	c.Node.DataDir, c.Node.Bind, c.Node.StopTimeout = dir, netip.MustParseAddr("127.0.7.44"), 5*time.Second
	c.Events.Webhook.URL, c.Events.MaxMemory, c.Events.MaxDisk, c.Events.FlushTimeout = hook.URL, 2<<20, 16<<20, 2*time.Second
	c.Events.IDs = true
	n, err := Listen(t.Context(), c, slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- n.Serve(ctx) }()
	stopped := sync.OnceFunc(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stopped)
	api := apiClient{t, client(t), "http://127.0.7.44:8088/janus"}
	until(t, "the node answers", api.answers)

	hook.set(true)
	free := fill(t, dir)
	load := func(count int) {
		body := map[string]any{"schema": "load", "data": map[string]any{"text": strings.Repeat("x", 50<<10)}}
		for range count {
			n.events.EmitBody(events.External, 0, events.Origin{}, body)
		}
	}
	load(100) // more than memory may hold
	api.room(1, true)
	dropped := func() uint64 { return n.eventPath.runners[0].Stats().Dropped }
	until(t, "the disk is found full", func() bool { return n.eventPath.spool.Stats().Failing })
	until(t, "events are dropped and counted", func() bool { return dropped() > 0 })
	load(100)
	api.room(2, true)
	until(t, "more are", func() bool { return dropped() > 50 })
	if s := n.eventPath.spool.Stats(); s.Memory > 2<<20 || s.DiskFailures == 0 {
		t.Errorf("%+v", s)
	}

	free()
	until(t, "the disk is used again", func() bool { return !n.eventPath.spool.Stats().Failing })
	was := dropped()
	api.room(3, true)
	hook.set(false)
	until(t, "the latest events arrive", func() bool {
		return slices.ContainsFunc(hook.took(), func(e map[string]json.RawMessage) bool {
			return bytes.Contains(e["TGG_USER_EVENT"], []byte(`"joined"`)) && bytes.Contains(e["TGG_USER_EVENT"], []byte(`"room":3`))
		})
	})
	until(t, "the list of rooms is whole", func() bool {
		b, err := os.ReadFile(filepath.Join(dir, eventsDir, roomListFile))
		return err == nil && bytes.Contains(b, []byte(`"videoroom/2"`)) && bytes.Contains(b, []byte(`"videoroom/3"`))
	})
	if now := dropped(); now != was {
		t.Errorf("%d events were dropped when there was room, before that %d", now-was, was)
	}
	ids := map[string]bool{}
	for _, e := range hook.took() {
		ids[string(e["id"])] = true
	}
	if len(ids) != len(hook.took()) || ids[""] {
		t.Errorf("%d events have %d ids", len(hook.took()), len(ids))
	}
	stopped()
	for text, most := range map[string]int{"the disk does not take events": 1, "the disk takes events again": 1, "list of rooms is not written": 1, "level=ERROR": 0} {
		if n := log.having(text); n > most || most > 0 && n == 0 && !strings.Contains(text, "rooms") {
			t.Errorf("%d lines say %q:\n%s", n, text, &log.text)
		}
	}
	if n := log.having("level=WARN") - log.having("new sessions are refused"); n > 6 {
		t.Errorf("%d warnings:\n%s", n, &log.text)
	}
}
