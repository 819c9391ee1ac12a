package session

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"cardea/relay/link"

	"github.com/google/go-cmp/cmp"
)

var begin = time.Unix(1000, 0)

// TestAnnounce wants the higher epoch to count, whoever comes first.
func TestAnnounce(t *testing.T) {
	one, two := nextEpoch(0, "a"), nextEpoch(nextEpoch(0, "a"), "b")
	for name, tt := range map[string]struct {
		said  []entry // by a and b in turn
		lost  []bool
		owner link.NodeID
	}{
		"again":     {[]entry{{Session: 1, Epoch: one}, {Session: 1, Epoch: two}, {Session: 1, Epoch: one}}, []bool{false, false, true}, "b"},
		"late":      {[]entry{{}, {Session: 1, Epoch: two}, {Session: 1, Epoch: one}}, []bool{true, false, true}, "b"},
		"over":      {[]entry{{Session: 1, Epoch: one}, {}, {Session: 1, Epoch: one, Over: true}}, []bool{false, true, false}, ""},
		"not yours": {[]entry{{Session: 1, Epoch: one}, {Session: 1, Epoch: two, Over: true}}, []bool{false, false}, "a"},
		"not now":   {[]entry{{}, {Session: 1, Epoch: two}, {Session: 1, Epoch: one, Over: true}}, []bool{true, false, false}, "b"},
		"new":       {[]entry{{Session: 1, Epoch: one, New: true}, {Session: 1, Epoch: two, New: true}}, []bool{false, true}, "a"},
	} {
		k := newKeeper()
		var lost []bool
		for i, e := range tt.said {
			lost = append(lost, k.announce([]link.NodeID{"a", "b"}[i%2], e, begin))
		}
		if !cmp.Equal(lost, tt.lost) || k.find(1).Owner != tt.owner {
			t.Errorf("%s: lost %v, owner %q", name, lost, k.find(1).Owner)
		}
	}
}

// TestKeeperBounds has one member announce all that it can.
func TestKeeperBounds(t *testing.T) {
	k := newKeeper()
	for i := range uint64(maxOwned + 10) {
		k.announce("flood", entry{Session: i + 1, Epoch: 1}, begin)
	}
	if len(k.records) != maxOwned {
		t.Errorf("%d records", len(k.records))
	}
	k.announce("a", entry{Session: 1 << 40, Epoch: 1, Places: make([]string, 100)}, begin)
	if r := k.find(1 << 40); r.Owner != "a" || len(r.Places) != maxPlaces {
		t.Errorf("another's record: %+v", r)
	}
	if r := k.take("flood", takeMessage{1 << 40, 1, 2}, begin); r.Owner != "a" {
		t.Error("taken beyond the bound")
	}
	k.sweep(begin.Add(orphanTime + 1))
	if len(k.records)+len(k.owned) != 0 {
		t.Errorf("%d records and %d owners left", len(k.records), len(k.owned))
	}
}

// TestRendezvous pins the hash, which all versions must share, and wants it to be fair.
func TestRendezvous(t *testing.T) {
	if s := score(1, "abcdefghijklmnop"); s != 0x1ef87d4d6dffb634 {
		t.Errorf("score %#x", s)
	}
	var all nodes
	for i := range 10 {
		all = append(all, link.NodeID(fmt.Sprintf("node%012d", i)))
	}
	kept := map[link.NodeID]int{}
	moved := 0
	for s := range uint64(10_000) {
		l := all.keepers(s)
		if len(l) != 2 || l[0] == l[1] {
			t.Fatalf("keepers %v", l)
		}
		kept[l[0]]++
		kept[l[1]]++
		if after := all[1:].keepers(s); l[0] != all[0] && l[1] != all[0] && !cmp.Equal(after, l) {
			moved++
		}
	}
	for id, n := range kept {
		if n < 1800 || n > 2200 {
			t.Errorf("%s keeps %d of 20000", id, n)
		}
	}
	if moved > 0 {
		t.Errorf("%d sessions moved that need not", moved)
	}
	if l := all[:1].keepers(1); len(l) != 1 {
		t.Errorf("keepers of one node: %v", l)
	}
}

func TestEpochs(t *testing.T) {
	a, b := nextEpoch(0, "a"), nextEpoch(0, "b")
	if a == b || nextEpoch(a, "b") <= a || nextEpoch(a, "b") <= b || nextEpoch(b, "a") == nextEpoch(b, "b") {
		t.Errorf("epochs %x %x", a, b)
	}
}

// TestLose wants a session given up that a keeper says is another's, if it was told of it, and not if it was this node's again meanwhile.
func TestLose(t *testing.T) {
	s := New(Config{
		Self: "a", Handle: func(link.Kind, func(context.Context, link.NodeID, []byte) ([]byte, error)) {},
		HandleNotice: func(link.Kind, func(link.NodeID, []byte)) {}, Log: slog.New(slog.DiscardHandler),
	})
	var lost []uint64
	s.Serve(Local{Lost: func(session uint64) { lost = append(lost, session) }})
	for session := range uint64(4) {
		s.own[session] = &owned{epoch: 7}
	}
	s.lose([]entry{{Session: 1, Epoch: 7}, {Session: 2, Epoch: 6}, {Session: 3, Epoch: 7}}, []uint64{0, 1, 2})
	if !slices.Equal(lost, []uint64{1}) || len(s.own) != 3 {
		t.Errorf("lost %v, left %v", lost, s.own)
	}
}
