package videoroom

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"cardea/signaling/events"

	"github.com/google/go-cmp/cmp"
)

// listener takes the plugin and user events of a bus.
type listener struct {
	bus *events.Bus

	mu   sync.Mutex
	told map[events.Type][]events.Event
}

func listen(t *testing.T) *listener {
	t.Helper()
	l := &listener{bus: events.New(events.Config{Emitter: "n"}), told: map[events.Type][]events.Event{}}
	l.bus.Subscribe(events.Plugin|events.User, func(batch []events.Event) {
		l.mu.Lock()
		defer l.mu.Unlock()
		for _, e := range batch {
			l.told[e.Type] = append(l.told[e.Type], e)
		}
	})
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = l.bus.Run(t.Context())
	}()
	t.Cleanup(func() { <-done })
	return l
}

// next waits for the next event of a type.
func (l *listener) next(t events.Type) (e events.Event, ok bool) {
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		l.mu.Lock()
		if len(l.told[t]) > 0 {
			e, ok = l.told[t][0], true
			l.told[t] = slices.Delete(l.told[t], 0, 1)
		}
		l.mu.Unlock()
		if ok {
			break
		}
	}
	return e, ok
}

// compareTold compares an event with what the script expects of it.
func (s *script) compareTold(text string) {
	s.t.Helper()
	kind, rest, _ := strings.Cut(text, " ")
	if kind == "nothing" {
		s.told.mu.Lock()
		defer s.told.mu.Unlock()
		for _, list := range s.told.told {
			for _, e := range list {
				s.t.Errorf("%s: was also told %s", s.where, e.Body)
			}
		}
		return
	}
	want, whose := s.parse(rest)
	e, ok := s.told.next(map[string]events.Type{"plugin": events.Plugin, "user": events.User}[kind])
	if !ok {
		s.t.Fatalf("%s: nothing was told", s.where)
	}
	var is any
	d := json.NewDecoder(bytes.NewReader(e.Body))
	d.UseNumber()
	if err := d.Decode(&is); err != nil {
		s.t.Fatalf("%s: %v in %s", s.where, err, e.Body)
	}
	if m, ok := is.(map[string]any); ok && kind == "plugin" {
		is = m["data"]
	}
	s.bind(want, is)
	if diff := cmp.Diff(s.fill(want), is); diff != "" {
		s.t.Errorf("%s: -want +got\n%s", s.where, diff)
	}
	handle := "0"
	if c := s.clients[whose]; c != nil {
		handle = c.ID.String()
	}
	if got := fmt.Sprint(e.Handle); got != handle || (e.Session == 0) != (e.Handle == 0) || !strings.HasPrefix(e.Room, "videoroom/") {
		s.t.Errorf("%s: of handle %s, session %d, room %q; want %q's (%s)", s.where, got, e.Session, e.Room, whose, handle)
	}
}
