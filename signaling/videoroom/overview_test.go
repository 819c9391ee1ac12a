package videoroom

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cardea/signaling/janus/janustest"
)

func TestOverview(t *testing.T) {
	s := newStage(t, m{
		"description": "Alice's", "is_private": true, "secret": "hidden", "pin": "1", "publishers": 5, "community_id": "a \"b\"",
		"dummy_publisher": true,
	}, m{"pin": "1"}, "audio")
	s.ok(s.admin, m{"request": "create", "room": 2, "community_id": 7}, nil)
	viewer := janustest.Open(t, s.server, Package)
	s.ok(viewer, m{"request": "join", "ptype": "publisher", "room": 1, "pin": "1"}, nil)
	subscriber := janustest.Open(t, s.server, Package)
	s.ok(subscriber, m{"request": "join", "ptype": "subscriber", "room": 1, "pin": "1", "streams": []any{m{"feed": 1}}}, nil)
	want := []RoomInfo{
		{ID: "1", Description: "Alice's", CommunityID: `a "b"`, Private: true, Participants: 2, Publishers: 1, MaxPublishers: 5, PublishersHere: 1, Subscribers: 1},
		{ID: "2", Description: "Room 2", CommunityID: "7", MaxPublishers: 3},
	}
	s.eventually(func() string { return cmp.Diff(want, s.plugin.Overview()) })
	s.ok(s.admin, m{"request": "destroy", "room": 2}, nil)
	if d := cmp.Diff(want[:1], s.plugin.Overview()); d != "" {
		t.Error("after the end of a room:", d)
	}
}

// BenchmarkOverview takes stock of five thousand rooms.
func BenchmarkOverview(b *testing.B) {
	var cfg Config
	for i := range 5000 {
		cfg.Rooms = append(cfg.Rooms, DefaultRoom(fmt.Sprint(i+1)))
	}
	p, err := New(cfg)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if len(p.Overview()) != 5000 {
			b.Fatal("rooms are missing")
		}
	}
}
