package wan

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// The heap gives events by time, those of one moment in the order of their making.
func TestEventsOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var h events
		var model []event
		var number uint64
		for _, due := range rapid.SliceOf(rapid.IntRange(-1, 20)).Draw(t, "due, or -1 to take one out") {
			if due >= 0 {
				number++
				e := event{due: time.Duration(due), number: number}
				h.push(e)
				model = append(model, e)
				slices.SortStableFunc(model, func(a, b event) int { return int(a.due - b.due) })
			} else if len(model) > 0 {
				if got := h.pop(); got != model[0] {
					t.Fatalf("got %v, want %v", got, model[0])
				}
				model = model[1:]
			}
			if len(h) != len(model) {
				t.Fatalf("%d events, want %d", len(h), len(model))
			}
		}
		for _, want := range model {
			if got := h.pop(); got != want {
				t.Fatalf("got %v, want %v", got, want)
			}
		}
	})
}
