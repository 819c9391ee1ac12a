package room

import (
	"fmt"
	"testing"
	"time"

	"cardea/mesh/rendezvous"
	"cardea/relay/link"
	"cardea/relay/link/wire"
)

// follow has a node say something to another as in a conversation, without being what it seems.
func (s *sim) follow(from, to link.NodeID, seq uint64, items ...itemMessage) {
	payload := wire.Marshal(&noticeMessage{Epoch: 7, Seq: seq, Items: items})
	s.nodes[to].input(func(c *core, now time.Time) { c.notice(now, from, payload) })
}

// stage is a room on a cluster, its keeper, somebody who looks, and a node that is not to be trusted and keeps nothing of the room.
func stage(t *testing.T) (s *sim, keeper, bad link.NodeID, u *simView) {
	s, ids := cluster(t, 3, 9)
	s.must(func(done func(error)) { s.nodes[ids[0]].create("a/1", "record", false, done) })
	keepers := s.nodes[ids[0]].ranking("a/1")
	keeper, bad = keepers[0], keepers[8]
	u = s.nodes[keepers[7]].open("a/1")
	s.run(time.Second)
	u.set("honest", "entry")
	s.run(time.Second)
	return s, keeper, bad, u
}

// ranking returns all nodes in the order of a room.
func (n *simNode) ranking(room string) []link.NodeID {
	left := append(ranking(nil), n.core.ranking...)
	var ids []link.NodeID
	for len(left) > 0 {
		o := left.first(rendezvous.Hash(room), 1)
		ids = append(ids, o.nodes[0])
		for i := range left {
			if left[i].id == o.nodes[0] {
				left = append(left[:i], left[i+1:]...)
				break
			}
		}
	}
	return ids
}

// TestForged has a node write another's entries.
func TestForged(t *testing.T) {
	s, keeper, bad, u := stage(t)
	victim := string(u.node.id)
	s.follow(bad, keeper, 1, itemMessage{Room: "a/1", Up: true, Begin: true, End: true, Entries: []entryMessage{
		{Participant: "own", Claim: 1, Version: 1, Payload: []byte("mine")},
		{Participant: "ghost", Home: victim, Claim: 1, Version: 1, Payload: []byte("not mine")},
		{Participant: "honest", Home: victim, Claim: 1, Version: 1 << 62, Payload: []byte("changed")},
		{Participant: "keepers", Home: string(keeper), Claim: 1, Version: 1, Payload: []byte("not mine")},
	}, Gone: []goneMessage{{"honest", "kicked"}}})
	s.run(500 * time.Millisecond)
	k := s.nodes[keeper]
	if got := k.metrics.Forged.Load(); got != 2 {
		t.Errorf("%d counted", got)
	}
	seats := k.core.rosters["a/1"].seats
	if len(seats) != 2 || seats["own"] == nil || seats["honest"] == nil || string(seats["honest"].all.entry.payload) != "entry" {
		t.Errorf("the keeper has %v", sorted(seats))
	}
	if u.there["own"] != "mine" || len(u.there) != 1 {
		t.Errorf("others see %v", u.there)
	}
	// Those that follow take nothing from anybody but whom they follow.
	s.follow(bad, u.node.id, 1, itemMessage{Room: "a/1", Entries: []entryMessage{{Participant: "ghost", Claim: 1, Version: 1}}},
		itemMessage{Room: "a/1", Gone: []goneMessage{{"own", "kicked"}}},
		itemMessage{Room: "a/1", Record: &recordMessage{Stamp: 1 << 50, Born: 1 << 50, Ended: 1 << 50, Dead: true}})
	if u.there["own"] != "mine" || len(u.there) != 1 || u.destroyed {
		t.Errorf("others see %v", u.there)
	}
}

// TestFlood has a node send all that it can.
func TestFlood(t *testing.T) {
	s, keeper, bad, u := stage(t)
	k := s.nodes[keeper]
	k.core.limits.peerBytes = 1 << 20
	k.core.limits.seats = 500
	k.core.limits.rosters = 50
	seq := uint64(0)
	send := func(item itemMessage) {
		seq++
		item.Up = true
		s.follow(bad, keeper, seq, item)
	}
	send(itemMessage{Room: "a/1", Begin: true})
	for i := range 100 {
		send(itemMessage{Room: "a/1", Entries: []entryMessage{{Participant: fmt.Sprint(i), Claim: 1, Version: 1, Payload: make([]byte, MaxEntry)}}})
	}
	if p := k.core.peers[bad]; p.given > 1<<20 || k.metrics.Refused.Load() < 80 {
		t.Errorf("%d bytes kept, %d refused", p.given, k.metrics.Refused.Load())
	}
	for i := range 1000 {
		send(itemMessage{Room: "a/1", Entries: []entryMessage{{Participant: fmt.Sprint("n", i), Claim: 1, Version: 1}}})
		send(itemMessage{Room: fmt.Sprint("a/", i), Begin: true})
	}
	if n := len(k.core.rosters["a/1"].seats); n > 501 {
		t.Errorf("%d participants", n)
	}
	if n := len(k.core.rosters); n > 50 {
		t.Errorf("%d rooms", n)
	}
	flooded := k.metrics.Flooded.Load()
	for range 2000 {
		send(itemMessage{Room: "a/1", Entries: []entryMessage{{Participant: "x", Claim: 1, Version: 1, Payload: make([]byte, MaxEntry)}}})
	}
	if k.metrics.Flooded.Load() == flooded {
		t.Error("nothing was dropped")
	}
	// Others go on.
	u.set("honest", "news")
	s.run(time.Second)
	if e := k.core.rosters["a/1"].seats["honest"]; e == nil || string(e.all.entry.payload) != "news" {
		t.Error("others suffer")
	}
}

// TestRubbish has nodes say what makes no sense.
func TestRubbish(t *testing.T) {
	s, keeper, bad, _ := stage(t)
	k := s.nodes[keeper]
	for _, item := range []itemMessage{
		{},
		{Room: string(make([]byte, MaxID+1)), Up: true, Begin: true},
		{Room: "a/1", Up: true, Begin: true, Record: &recordMessage{Born: 5, Stamp: 1}},
		{Room: "a/1", Up: true, Begin: true, Entries: []entryMessage{{Claim: 1}}},
		{Room: "a/1", Up: true, Begin: true, Entries: []entryMessage{{Participant: "p"}}},
		{Room: "a/1", Up: true, Begin: true, Gone: []goneMessage{{"p", string(make([]byte, MaxID+1))}}},
	} {
		before := k.metrics.Malformed.Load()
		s.follow(bad, keeper, 1, item)
		if k.metrics.Malformed.Load() != before+1 {
			t.Errorf("%+v passed", item)
		}
		k.input(func(c *core, now time.Time) { c.peers[bad].inEpoch = 0 })
	}
	before := k.metrics.Malformed.Load()
	k.input(func(c *core, now time.Time) { c.notice(now, bad, []byte{0xff}) })
	for _, kind := range Kinds() {
		k.input(func(c *core, now time.Time) {
			if _, err := c.handleCall(now, bad, kind, []byte{0xff}); err == nil {
				t.Errorf("kind %d answers rubbish", kind)
			}
		})
	}
	if got := k.metrics.Malformed.Load() - before; got != uint64(len(Kinds())) { // ask is not the core's
		t.Errorf("%d counted", got)
	}
	// A record from the far future would win for good; one of a room that others keep is none of this node's business.
	far := stampOf(k.clock().Add(1000 * time.Hour))
	for _, rec := range []recordMessage{{ID: "a/1", Stamp: far, Born: far}, {ID: notKept(k), Stamp: 5, Born: 5}} {
		k.input(func(c *core, now time.Time) {
			if _, err := c.handleCall(now, bad, KindStore, wire.Marshal(&storeMessage{Records: []recordMessage{rec}})); err == nil {
				t.Errorf("%+v was kept", rec)
			}
		})
	}
}

// notKept is a room that is not the node's.
func notKept(n *simNode) string {
	for i := 0; ; i++ {
		if id := fmt.Sprint("b/", i); !n.core.near((&record{id: id}).seal()) {
			return id
		}
	}
}

// FuzzNotice reads notices of a member gone wrong.
func FuzzNotice(f *testing.F) {
	f.Add(wire.Marshal(&noticeMessage{Epoch: 1, Seq: 1, Items: []itemMessage{{
		Room: "a/1", Up: true, Begin: true, End: true, Record: &recordMessage{Born: 1, Stamp: 1},
		Entries: []entryMessage{{"p", "h", 1, 1, nil}}, Gone: []goneMessage{{"p", ""}},
	}}}))
	f.Add(wire.Marshal(&noticeMessage{AckEpoch: 1, Lost: true}))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, ids := cluster(t, 1, 2)
		for range 2 {
			s.nodes[ids[0]].input(func(c *core, now time.Time) { c.notice(now, ids[1], b) })
			s.nodes[ids[0]].open("a/1")
			s.run(2 * time.Second)
		}
	})
}

// FuzzCall reads calls of a member gone wrong, and its answers.
func FuzzCall(f *testing.F) {
	rec := recordMessage{ID: "a/1", Born: 5, Stamp: 5}
	for kind, m := range map[link.Kind]any{
		KindCreate: &createMessage{Record: rec}, KindStore: &storeMessage{[]recordMessage{rec}}, KindFetch: &fetchMessage{"a/1"},
		KindClaim: &claimMessage{"a/1", "p", 1}, KindDigest: &digestMessage{1}, KindList: &listMessage{"", 1, ""}, KindWhere: &whereMessage{"a/1"},
		KindOffer: &offerMessage{[]uint32{1}, []offerRecord{{"a/1", 1}}},
	} {
		f.Add(uint16(kind), wire.Marshal(m))
	}
	f.Add(uint16(1000), wire.Marshal(&offerReply{[]string{"x"}, []recordMessage{rec}, true}))
	f.Fuzz(func(t *testing.T, kind uint16, b []byte) {
		s, ids := cluster(t, 1, 2)
		n := s.nodes[ids[0]]
		n.open("a/1")
		n.input(func(c *core, now time.Time) {
			_, _ = c.handleCall(now, ids[1], link.Kind(kind), b)
			for id := range c.calls {
				c.result(now, id, b, nil)
				break
			}
		})
		s.run(time.Second)
	})
}

// FuzzRecord reads what a disk kept.
func FuzzRecord(f *testing.F) {
	f.Add((&record{id: "a", born: 5, stamp: 6, ended: 1, value: []byte("v")}).seal().encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := decodeRecord(b, time.Unix(1e9, 0))
		if err != nil {
			return
		}
		if again, err := decodeRecord(r.encode(), time.Unix(1e9, 0)); err != nil || again.sum != r.sum {
			t.Fatalf("%+v reads as %+v: %v", r, again, err)
		}
	})
}
