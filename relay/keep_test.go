package relay

import (
	"bytes"
	"errors"
	"testing"

	"cardea/relay/plane"
)

func TestShelf(t *testing.T) {
	s := newShelf()
	s.add("a", "one")
	s.add("b", "one")
	s.add("c", "")
	for _, step := range []struct {
		id      plane.PeerID
		version uint64
		text    string
		err     error
	}{
		{"a", 1, "first", nil},
		{"a", 1, "again", nil},
		{"a", 3, "third", nil},
		{"a", 2, "late", plane.ErrStale},
		{"b", 7, "other", nil},
		{"c", 1, "of no session", plane.ErrInvalid},
		{"d", 1, "of no peer", plane.ErrNoPeer},
		{"b", 8, string(make([]byte, plane.MaxSnapshot+1)), plane.ErrInvalid},
	} {
		if err := s.keep(step.id, step.version, []byte(step.text)); !errors.Is(err, step.err) {
			t.Errorf("%s %d: %v, want %v", step.id, step.version, err, step.err)
		}
	}
	l := s.kept("one")
	if len(l) != 2 || l[0].Peer != "a" || l[0].Version != 3 || !bytes.Equal(l[0].Snapshot, []byte("third")) || l[1].Peer != "b" {
		t.Errorf("kept %+v", l)
	}
	if l := append(s.kept(""), s.kept("two")...); len(l) != 0 {
		t.Errorf("kept for nobody: %+v", l)
	}
	s.remove("a")
	s.remove("a")
	if l := s.kept("one"); len(l) != 1 || l[0].Peer != "b" {
		t.Errorf("kept after a was closed: %+v", l)
	}
	s.remove("b")
	s.remove("c")
	if s.bytes != 0 || len(s.peers)+len(s.sessions) != 0 {
		t.Errorf("left behind: %+v", s)
	}
}

func TestShelfBound(t *testing.T) {
	s := newShelf()
	s.add("a", "one")
	s.bytes = maxKeptBytes
	if err := s.keep("a", 1, []byte("x")); !errors.Is(err, plane.ErrOverloaded) {
		t.Errorf("kept beyond the bound: %v", err)
	}
}

func TestShelfEpochs(t *testing.T) {
	s := newShelf()
	s.add("a", "one")
	for _, step := range []struct {
		epoch uint64
		err   error
	}{{2, nil}, {2, nil}, {5, nil}, {4, plane.ErrStale}} {
		if err := s.adopt("a", step.epoch); !errors.Is(err, step.err) {
			t.Errorf("epoch %d: %v, want %v", step.epoch, err, step.err)
		}
	}
	if err := s.adopt("b", 9); !errors.Is(err, plane.ErrNoPeer) {
		t.Errorf("adopt a peer that is not there: %v", err)
	}
}
