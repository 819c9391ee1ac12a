package videoroom

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// TestInspect looks into a room from a node that has nothing to do with it.
func TestInspect(t *testing.T) {
	s := newMeshStage(t, 3, m{"secret": "s", "description": "Lobby"})
	s.publish(0, 7, "audio", "video")
	s.join(1, 8, m{"display": "Ada"})
	s.join(1, 9, m{"display": "Grace"})
	s.settle()
	tests := []struct {
		search        string
		offset, limit int
		want          []string
		matched       int
	}{
		{"", 0, 50, []string{"7", "8", "9"}, 3},
		{"", 1, 1, []string{"8"}, 3},
		{"", 5, 50, nil, 3},
		{"gRA", 0, 50, []string{"9"}, 1},
		{"8", 0, 50, []string{"8"}, 1},
		{"nobody", 0, 50, nil, 0},
		{"", 0, 0, nil, 3},
	}
	for _, tt := range tests {
		i, some, matched, err := s.nodes[2].plugin.Inspect(t.Context(), "1", tt.search, tt.offset, tt.limit)
		if err != nil || i.Description != "Lobby" || i.Participants != 3 || i.Publishers != 1 || matched != tt.matched {
			t.Errorf("%+v: %+v, %d, %v", tt, i, matched, err)
		}
		var ids []string
		for _, p := range some {
			ids = append(ids, p.ID)
		}
		if d := cmp.Diff(tt.want, ids); d != "" {
			t.Errorf("%+v: %s", tt, d)
		}
	}
	_, some, _, err := s.nodes[2].plugin.Inspect(t.Context(), "1", "", 0, 2)
	if err != nil {
		t.Fatal(err)
	}
	want := []ParticipantInfo{
		{ID: "7", Streams: []StreamInfo{{Mid: "0", Kind: "audio", Codec: "opus"}, {Mid: "1", Kind: "video", Codec: "vp8"}}},
		{ID: "8", Display: "Ada"},
	}
	if d := cmp.Diff(want, some, cmpopts.IgnoreFields(ParticipantInfo{}, "Joined")); d != "" {
		t.Error(d)
	}
	if since := time.Since(some[0].Joined); since < 0 || since > time.Hour {
		t.Errorf("joined %v ago", since)
	}
	for _, room := range []string{"2", "", "x", "-1", "18446744073709551616"} {
		if _, _, _, err := s.nodes[2].plugin.Inspect(t.Context(), room, "", 0, 1); !errors.Is(err, ErrNoRoom) {
			t.Errorf("room %q: %v", room, err)
		}
	}
}

// TestExpel has an operator throw people out, from their own node and from another, without the room's secret.
func TestExpel(t *testing.T) {
	s := newMeshStage(t, 2, m{"secret": "s"})
	anna := s.publish(0, 7, "audio")
	bert := s.join(1, 8, nil)
	s.join(1, 9, nil)
	s.settle()
	plugin := s.nodes[1].plugin
	for what, tt := range map[string]struct {
		room, participant string
		want              error
	}{
		"a room that is not there":        {"2", "7", ErrNoRoom},
		"a room that cannot be":           {"x", "7", ErrNoRoom},
		"a participant that is not there": {"1", "6", ErrNoParticipant},
		"a participant that cannot be":    {"1", "seven", ErrNoParticipant},
	} {
		if err := plugin.Expel(t.Context(), tt.room, tt.participant); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for _, id := range []string{"7", "8"} {
		if err := plugin.Expel(t.Context(), "1", id); err != nil {
			t.Errorf("participant %s: %v", id, err)
		}
	}
	anna.EventOf("hangup")
	s.settle()
	s.refused(bert, m{"request": "configure"}, nil, 426)
	if got := s.participants(0); got != "9" {
		t.Errorf("left: %s", got)
	}
}
