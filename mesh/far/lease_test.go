package far

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"cardea/relay/link"
	"cardea/relay/plane"
)

var begin = time.Unix(1000, 0)

// TestLateCalls wants calls that were made before others and come after them refused.
func TestLateCalls(t *testing.T) {
	r := newRegister(time.Minute, 10)
	l := must[*lease](t)(r.lease(leaseName{"s", 1}, begin))
	for i, step := range []struct {
		do  func() error
		err error
	}{
		{func() error { return r.open(l, "a", 5) }, nil},
		{func() error { return r.open(l, "a", 5) }, nil},
		{func() error { return r.change(l, "a", 7) }, nil},
		{func() error { return r.change(l, "a", 7) }, nil},
		{func() error { return r.change(l, "a", 6) }, plane.ErrStale},
		{func() error { return r.open(l, "a", 5) }, plane.ErrStale},
		{func() error { _, err := r.closing(l, "a", 6); return err }, plane.ErrStale},
		{func() error { _, err := r.closing(l, "a", 8); r.closed("a"); return err }, nil},
		{func() error { return r.open(l, "a", 5) }, plane.ErrStale}, // it must not come back
		{func() error { return r.change(l, "a", 9) }, plane.ErrNoPeer},
		{func() error { _, err := r.closing(l, "b", 12); return err }, nil}, // the close overtook the open
		{func() error { return r.open(l, "b", 11) }, plane.ErrStale},
		{func() error { return r.forward(l, "f", 14) }, nil},
		{func() error { r.stopForward(l, "f", 16); return r.forward(l, "f", 15) }, plane.ErrStale},
		{func() error { return r.forward(l, "f", 17) }, nil},
	} {
		if err := step.do(); !errors.Is(err, step.err) {
			t.Errorf("step %d: %v, want %v", i, err, step.err)
		}
	}
}

// TestBounds has one member take all that it can get.
func TestBounds(t *testing.T) {
	r := newRegister(time.Minute, 3)
	l := must[*lease](t)(r.lease(leaseName{"s", 1}, begin))
	for i := range 3 {
		ok(t, r.open(l, plane.PeerID(fmt.Sprint(i)), 1))
	}
	is(t, r.open(l, "more", 1), plane.ErrOverloaded)
	other := must[*lease](t)(r.lease(leaseName{"o", 1}, begin))
	ok(t, r.open(other, "more", 1))
	is(t, r.adopt(l, "more", 1, 1), plane.ErrOverloaded)
	for i := range maxForwarders {
		ok(t, r.forward(l, fmt.Sprint(i), 1))
	}
	is(t, r.forward(l, "more", 1), plane.ErrOverloaded)
	ok(t, r.forward(other, "more", 1))
	ok(t, r.forward(other, "0", 1)) // another's forwarder is taken over
	if r.stopForward(l, "0", 2) || !r.stopForward(other, "0", 2) {
		t.Error("the forwarder is still its first owner's")
	}
	for i := range 3 * maxClosed {
		l.closed.add(fmt.Sprint("x", i), 1)
	}
	if len(l.closed.names) > maxClosed || len(l.closed.numbers) != len(l.closed.names) || !l.closed.late(fmt.Sprint("x", 3*maxClosed-1), 0) {
		t.Errorf("%d names of what was closed", len(l.closed.names))
	}
	refused := 0
	for i := range 20 {
		if _, err := r.lease(leaseName{"s", uint64(i + 2)}, begin); err != nil {
			refused++
		}
	}
	if len(r.leases) > maxLeases+3 || refused == 0 {
		t.Errorf("%d leases, %d refused", len(r.leases), refused)
	}
	r.sweep(begin)
	if _, err := r.lease(leaseName{"s", 99}, begin); err != nil {
		t.Errorf("after a sweep: %v", err)
	}
}

// TestPast wants calls under a lease refused once its node has drawn another.
func TestPast(t *testing.T) {
	r := newRegister(time.Minute, 10)
	old := must[*lease](t)(r.lease(leaseName{"s", 1}, begin))
	ok(t, r.open(old, "a", 1))
	ok(t, r.open(old, "b", 2))
	now := must[*lease](t)(r.lease(leaseName{"s", 2}, begin))
	_, err := r.lease(leaseName{"s", 1}, begin)
	is(t, err, plane.ErrNoPeer)
	is(t, r.open(now, "a", 1), plane.ErrStale)
	ok(t, r.adopt(now, "a", 2, 1))
	is(t, r.adopt(old, "a", 2, 9), plane.ErrStale)
	if peers, _ := r.sweep(begin.Add(time.Second)); len(peers) != 0 {
		t.Errorf("closed within the grace: %v", peers)
	}
	now.heard = begin.Add(2 * time.Minute)
	if peers, _ := r.sweep(begin.Add(2 * time.Minute)); len(peers) != 1 || peers[0] != "b" {
		t.Errorf("closed: %v", peers)
	}
	now.polls = 1
	if peers, _ := r.sweep(begin.Add(time.Hour)); len(peers) != 0 || r.leases[leaseName{"s", 2}] == nil || r.leases[leaseName{}] == nil {
		t.Errorf("a lease that waits for events ended, with %v", peers)
	}
}

func TestEventLogBounds(t *testing.T) {
	l := newEventLog(10)
	for range 25 {
		l.add(plane.Event{})
	}
	_, _, err := l.next(0)
	is(t, err, plane.ErrEventsLost)
	events, _, err := l.next(24)
	if len(events) != 1 || events[0].Number != 25 || err != nil || len(l.events) > 10 {
		t.Errorf("%v %v", events, err)
	}
	if again, _, err := l.next(24); len(again) != 1 || err != nil {
		t.Errorf("asked again: %v %v", again, err)
	}
	l.lose()
	_, _, err = l.next(25)
	is(t, err, plane.ErrEventsLost)
	_, _, err = l.next(99)
	is(t, err, plane.ErrEventsLost)
}

func TestPlaces(t *testing.T) {
	s := newPlaces()
	for _, step := range []struct {
		id    plane.PeerID
		node  link.NodeID
		moved bool
	}{{"a", "x", true}, {"b", "x", false}, {"c", "y", true}} {
		if moved := s.add(step.id, step.node, "one"); moved != step.moved {
			t.Errorf("add %s: moved %v", step.id, moved)
		}
	}
	if at := s.session("one"); len(at) != 2 || at[0] != "x" {
		t.Errorf("the session is at %v", at)
	}
	stream := plane.StreamID{Room: "r", Publisher: "p", Mid: "0"}
	s.subscribe("c", []plane.StreamID{stream, stream})
	if at, there := s.stream(stream); at != "y" || !there {
		t.Errorf("the stream is at %q", at)
	}
	s.publish("a", []plane.StreamID{stream})
	if at, there := s.stream(stream); at != "x" || !there {
		t.Errorf("the stream is published at %q", at)
	}
	if at, there := s.forward("f", stream); at != "x" || !there {
		t.Errorf("the forwarder is at %q", at)
	}
	s.publish("b", []plane.StreamID{stream}) // a new connection of the same participant
	s.publish("a", nil)
	if at, there := s.stream(stream); at != "x" || !there {
		t.Errorf("the stream is published at %q", at)
	}
	for _, id := range []plane.PeerID{"a", "b", "c", "c", "unknown"} {
		s.remove(id)
	}
	if n := len(s.peers) + len(s.nodes) + len(s.sessions) + len(s.published) + len(s.publishers) + len(s.wanted) + len(s.forwarders); n != 0 {
		t.Errorf("left: %+v", s)
	}
}
