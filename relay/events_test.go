package relay

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"cardea/relay/plane"
)

func TestEventsAreNumberedAndRepeatable(t *testing.T) {
	l := newEventLog()
	for range 3 {
		l.add(plane.Event{Type: plane.EventUp})
	}
	for range 2 { // asking again does no harm
		got, err := l.after(t.Context(), 1)
		if err != nil || len(got) != 2 || got[0].Number != 2 || got[1].Number != 3 {
			t.Fatalf("after(1) = %v, %v; want events 2 and 3", got, err)
		}
	}
}

func TestEventsWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newEventLog()
		go func() {
			time.Sleep(time.Second)
			l.add(plane.Event{Type: plane.EventDown})
		}()
		began := time.Now()
		got, err := l.after(t.Context(), 0)
		if err != nil || len(got) != 1 || got[0].Type != plane.EventDown {
			t.Fatalf("after(0) = %v, %v", got, err)
		}
		if waited := time.Since(began); waited != time.Second {
			t.Errorf("waited %v, want 1 s", waited)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := l.after(ctx, 1); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("after the last event: %v, want a deadline", err)
		}
	})
}

func TestEventsLost(t *testing.T) {
	l := newEventLog()
	for range eventsKept + 1 {
		l.add(plane.Event{Type: plane.EventUp})
	}
	got, err := l.after(t.Context(), 1)
	if !errors.Is(err, plane.ErrEventsLost) || len(got) != 1 || got[0].Number != eventsKept+1 {
		t.Fatalf("from too long ago: %v, %v; want ErrEventsLost and the number to go on from", got, err)
	}
	if _, err := l.after(t.Context(), eventsKept+7); !errors.Is(err, plane.ErrEventsLost) {
		t.Errorf("from the future, as after a restart: %v, want ErrEventsLost", err)
	}
	if got, err := l.after(t.Context(), eventsKept); err != nil || len(got) != 1 {
		t.Errorf("the last event: %v, %v", got, err)
	}
	if len(l.events) > eventsKept {
		t.Errorf("%d events kept, at most %d", len(l.events), eventsKept)
	}
}
