package media_test

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"cardea/relay"
	"cardea/relay/plane"
)

// patience is how long anything may take. It is only used up by what fails.
const patience = 15 * time.Second

// await polls until the condition holds.
func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %v", what, patience)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// world is a media plane with what it reported.
type world struct {
	t     *testing.T
	relay *relay.Relay
	port  uint16

	mu     sync.Mutex
	events []plane.Event
}

// newWorld starts a media plane on a port of its own.
func newWorld(t *testing.T, adjust ...func(*relay.Config)) *world {
	t.Helper()
	w := &world{t: t}
	for try := 0; w.relay == nil; try++ {
		cfg := relay.Config{
			Addresses: []netip.Addr{netip.MustParseAddr("127.0.0.1")}, Port: uint16(20000 + rand.IntN(20000)), //nolint:gosec // small
			TCP: true, Log: slog.New(slog.DiscardHandler),
		}
		for _, f := range adjust {
			f(&cfg)
		}
		r, err := relay.New(cfg)
		if err != nil {
			if try == 10 {
				t.Fatal(err)
			}
			continue // somebody has the port
		}
		w.relay, w.port = r, cfg.Port
	}
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := w.relay.Run(ctx); err != nil {
			t.Errorf("media plane: %v", err)
		}
	})
	running.Go(func() { w.listen(ctx) })
	t.Cleanup(func() {
		stop()
		running.Wait()
		if n := w.relay.Metrics().Faults.Load(); n != 0 {
			t.Errorf("%d panics in the media plane", n)
		}
	})
	return w
}

func (w *world) listen(ctx context.Context) {
	for last := uint64(0); ; {
		events, err := w.relay.Events(ctx, last)
		if err != nil {
			return
		}
		last = events[len(events)-1].Number
		w.mu.Lock()
		w.events = append(w.events, events...)
		w.mu.Unlock()
	}
}

// told returns the events of a peer and type so far.
func (w *world) told(id plane.PeerID, what plane.EventType) []plane.Event {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []plane.Event
	for _, e := range w.events {
		if e.Peer == id && e.Type == what {
			out = append(out, e)
		}
	}
	return out
}

// awaitEvent waits for an event that satisfies the condition, and returns it.
func (w *world) awaitEvent(id plane.PeerID, what plane.EventType, is func(plane.Event) bool) (found plane.Event) {
	w.t.Helper()
	await(w.t, "event "+string(id), func() bool {
		events := w.told(id, what)
		i := slices.IndexFunc(events, is)
		if i >= 0 {
			found = events[i]
		}
		return i >= 0
	})
	return found
}

func any1(plane.Event) bool { return true }

// stream names what a client publishes on a line.
func stream(c *client, mid string) plane.StreamID {
	return plane.StreamID{Room: "test", Publisher: string(c.id), Mid: mid}
}

// line returns the statistics of a line, the sending side or the receiving.
func (w *world) line(c *client, mid string, sending bool) plane.LineStats {
	w.t.Helper()
	st, err := w.relay.Stats(w.t.Context(), c.id)
	if err != nil {
		w.t.Fatal(err)
	}
	i := slices.IndexFunc(st.Lines, func(l plane.LineStats) bool { return l.Mid == mid && l.Sending == sending })
	if i < 0 {
		return plane.LineStats{}
	}
	return st.Lines[i]
}
