package videoroom

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"cardea/signaling/janus"
	"cardea/signaling/janus/janustest"
)

// Whatever a client says, on a fresh handle, as publisher or as subscriber, it gets an answer and nothing panics.
func FuzzRequests(f *testing.F) {
	for _, table := range []map[string]asyncRequest{newcomerRequests, publisherRequests, subscriberRequests} {
		for name := range table {
			f.Add(`{"request":"`+name+`","room":1,"ptype":"publisher","streams":[{"feed":1,"mid":"0","sub_mid":"0","substream":1}]}`, uint8(0))
			f.Add(`{"request":"`+name+`","streams":[null,5,{"mid":"0","send":true}],"display":"x","bitrate":-1}`, uint8(1))
			f.Add(`{"request":"`+name+`","feed":1,"subscribe":[{"feed":1}],"unsubscribe":[{"feed":1}],"restart":true}`, uint8(2))
		}
	}
	for name := range syncRequests {
		f.Add(`{"request":"`+name+`","room":1,"id":1,"publisher_id":1,"mid":"0","mute":true,"host":"127.0.0.1","remote_id":"x","port":5,"streams":[{"mid":"0","port":5}],"stream_id":1,"action":"add","allowed":["x"]}`, uint8(0))
	}
	f.Fuzz(func(t *testing.T, body string, role uint8) {
		if !json.Valid([]byte(body)) || !strings.HasPrefix(body, "{") || strings.Contains(body, "host") && !strings.Contains(body, "127.0.0.1") {
			t.Skip() // no names to be looked up
		}
		if _, fault := janus.Parse([]byte(body)); fault != nil {
			t.Skip()
		}
		p, err := New(Config{Rooms: []RoomConfig{DefaultRoom("1")}})
		if err != nil {
			t.Fatal(err)
		}
		server, media := janustest.NewServer(t, nil, p)
		alice := janustest.Open(t, server, Package)
		alice.Message(janustest.M{"request": "joinandconfigure", "ptype": "publisher", "room": 1, "id": 1}, janustest.Offer("audio", "simulcast", "data"))
		media.Up(media.Peers()[0].ID)
		alice.EventOf("webrtcup")
		h := janustest.Open(t, server, Package)
		switch role % 3 {
		case 1:
			h = alice
		case 2:
			h.Message(janustest.M{"request": "join", "ptype": "subscriber", "room": 1, "feed": 1}, nil)
		}
		var b janustest.M
		if err := json.Unmarshal([]byte(body), &b); err != nil {
			t.Skip()
		}
		answer := h.Request(janustest.M{"janus": "message", "body": json.RawMessage(body)})
		if k := answer["janus"]; k != "ack" && k != "success" && k != "error" {
			t.Errorf("%s: %v", body, answer)
		}
		// The next request is answered after all that the first came to.
		h.Message(janustest.M{"request": "exists", "room": 1}, nil)
		alice.Message(janustest.M{"request": "exists", "room": 1}, nil)
		if n := server.Metrics().Panics.Load(); n != 0 {
			t.Fatalf("%s: %d panics", body, n)
		}
		for _, r := range p.all() {
			checkRoom(t, r)
		}
		_ = p.Admin(context.Background(), b)
	})
}

// checkRoom checks that a room's books agree.
func checkRoom(t *testing.T, r *room) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.members) != len(r.byID) {
		t.Errorf("%d members, %d by id", len(r.members), len(r.byID))
	}
	for _, p := range r.members {
		if r.byID[p.id] != p || !p.present || p.room != r {
			t.Errorf("participant %s is not where it should be", p.id)
		}
	}
	for s := range r.subscribers {
		for _, l := range s.lines {
			for _, st := range l.sources {
				if !l.has(st) {
					t.Errorf("line %s is not known to its source", l.mid())
				}
			}
		}
	}
}
