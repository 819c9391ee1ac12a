package console

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRoomPages(t *testing.T) {
	all := []Room{
		{Room: "10", Description: "Ten", Participants: 1},
		{Room: "9", Description: "Nine <b>", Participants: 5},
		{Room: "lobby", CommunityID: "Guests", Participants: 1},
		{Room: "1", Participants: 0},
		{Room: "attic", Participants: 5},
	}
	before := slices.Clone(all)
	tests := []struct {
		query   string
		want    string // ids
		matched int
	}{
		{"limit=10", "9 attic 10 lobby 1", 5},
		{"sort=room", "1 9 10 attic lobby", 5},
		{"sort=room&offset=1&limit=2", "9 10", 5},
		{"offset=4", "1", 5},
		{"offset=5", "", 5},
		{"offset=9223372036854775807&limit=9223372036854775807", "", 5},
		{"search=gUEst", "lobby", 1},
		{"search=%20n&sort=room", "9 10", 2}, // "Nine", "Ten"
		{"search=nothing", "", 0},
		{"limit=0", "", 5},
	}
	for _, tt := range tests {
		v, err := url.ParseQuery(tt.query)
		if err != nil {
			t.Fatal(err)
		}
		q, paged, err := readRoomQuery(v)
		if err != nil || !paged {
			t.Errorf("%s: %v %v", tt.query, paged, err)
		}
		p := q.page(all)
		ids := make([]string, 0, len(p.Rooms))
		for _, r := range p.Rooms {
			ids = append(ids, r.Room)
		}
		if got := strings.Join(ids, " "); got != tt.want || p.Matched != tt.matched || p.Total != len(all) {
			t.Errorf("%s: %s, %d of %d", tt.query, got, p.Matched, p.Total)
		}
	}
	if d := cmp.Diff(before, all); d != "" {
		t.Errorf("the list was changed: %s", d)
	}
	for _, bad := range []string{"offset=-1", "limit=x", "sort=age", "search=" + strings.Repeat("a", 201), "offset=1e3"} {
		v, _ := url.ParseQuery(bad)
		if _, _, err := readRoomQuery(v); err == nil {
			t.Errorf("%.20s is taken", bad)
		}
	}
}

// TestManyRooms asks for pages of 10,000 rooms, and wants them listed once for all who ask.
func TestManyRooms(t *testing.T) {
	cfg := config()
	var listed atomic.Int32
	cfg.Rooms = func(context.Context) []Room {
		listed.Add(1)
		rooms := make([]Room, 10_000)
		for i := range rooms {
			rooms[i] = Room{Room: fmt.Sprint(i), Description: fmt.Sprintf("Room %d", i), Participants: i % 7}
		}
		return rooms
	}
	h := New(cfg)
	for i := range 20 {
		w := asking(h, "GET", fmt.Sprintf("/api/v1/rooms?limit=50&offset=%d&search=%d", 50*i, i%10), "", nil)
		var p RoomPage
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || p.Total != 10_000 || len(p.Rooms) != 50 || w.Body.Len() > 10_000 {
			t.Fatalf("page %d: %v, %d rooms of %d in %d bytes", i, err, len(p.Rooms), p.Total, w.Body.Len())
		}
	}
	if n := listed.Load(); n > 2 { // two only where this took longer than a list is kept
		t.Errorf("listed %d times", n)
	}
	if w := asking(h, "GET", "/api/v1/rooms?limit=x", "", nil); w.Code != http.StatusBadRequest {
		t.Errorf("a bad page: %d", w.Code)
	}
	if w := asking(h, "GET", "/api/v1/rooms", "", nil); strings.Count(w.Body.String(), `"plugin"`) != 10_000 {
		t.Errorf("the whole list: %d", w.Code)
	}
}

func TestRoom(t *testing.T) {
	cfg := config()
	var asked ParticipantRange
	cfg.Room = func(_ context.Context, plugin, room string, p ParticipantRange) (RoomView, bool) {
		asked = p
		return RoomView{Room: Room{Plugin: plugin, Room: room}, Matched: 1}, room == "a/b"
	}
	h := New(cfg)
	tests := []struct {
		query  string
		status int
		want   ParticipantRange
	}{
		{"plugin=p&room=a/b", 200, ParticipantRange{Limit: 50}},
		{"plugin=p&room=a%2Fb&search=%20ADA&offset=7&limit=9", 200, ParticipantRange{Search: "ada", Offset: 7, Limit: 9}},
		{"plugin=p&room=a/b&limit=100000", 200, ParticipantRange{Limit: maxParticipantLimit}},
		{"plugin=p&room=other", 404, ParticipantRange{Limit: 50}},
		{"plugin=p", 400, ParticipantRange{}},
		{"plugin=p&room=a/b&offset=-1", 400, ParticipantRange{}},
	}
	for _, tt := range tests {
		asked = ParticipantRange{}
		if w := asking(h, "GET", "/api/v1/room?"+tt.query, "", nil); w.Code != tt.status || asked != tt.want {
			t.Errorf("%s: %d %+v", tt.query, w.Code, asked)
		}
	}
	if w := asking(h, "GET", "/api/v1/room?room=a/b", "", func(r *http.Request) { r.RemoteAddr = "192.0.2.1:1" }); w.Code != http.StatusUnauthorized {
		t.Errorf("to a stranger: %d", w.Code)
	}
}
