package stream

import (
	"fmt"
	"reflect"
	"testing"

	"cardea/relay/plane"
)

type diary struct{ entries []string }

func (d *diary) Appeared(n *int) { d.entries = append(d.entries, fmt.Sprintf("+%d", *n)) }
func (d *diary) Vanished(n *int) { d.entries = append(d.entries, fmt.Sprintf("-%d", *n)) }

func TestDirectoryTellsWatchers(t *testing.T) {
	one, two := 1, 2
	id, other := plane.StreamID{Room: "r", Publisher: "p", Mid: "0"}, plane.StreamID{Room: "r", Publisher: "p", Mid: "1"}
	d := NewDirectory[*int]()
	var early, late diary
	d.Watch(id, &early)
	d.Publish(other, &two) // not ours
	d.Publish(id, &one)
	d.Watch(id, &late)
	d.Publish(id, &two) // in place of one
	d.Withdraw(id, &one)
	d.Unwatch(id, &late)
	d.Unwatch(id, &late) // once is enough
	d.Withdraw(id, &two)
	if want := []string{"+1", "+2", "-2"}; !reflect.DeepEqual(early.entries, want) {
		t.Errorf("the early watcher was told %v, want %v", early.entries, want)
	}
	if want := []string{"+1", "+2", "-2"}; !reflect.DeepEqual(late.entries, want) {
		t.Errorf("the late watcher was told %v, want %v", late.entries, want)
	}
	d.Unwatch(id, &early)
	d.Withdraw(other, &two)
	for i := range d.shards {
		if n := len(d.shards[i].entries); n != 0 {
			t.Errorf("shard %d keeps %d empty entries", i, n)
		}
	}
	if d.Len() != 0 || d.Get(id) != nil {
		t.Error("something is still published")
	}
}
