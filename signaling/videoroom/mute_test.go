package videoroom

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"cardea/relay/plane"
	"cardea/signaling/events"
	"cardea/signaling/janus"
	"cardea/signaling/janus/janustest"
)

// TestMuteEnds mutes a publisher for a minute and looks at what the media plane is told: nothing of it passes, whatever the client
// does, until the minute is over.
func TestMuteEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, err := New(Config{Rooms: []RoomConfig{DefaultRoom("1")}})
		if err != nil {
			t.Fatal(err)
		}
		server, media := janustest.NewServer(t, func(c *janus.Config) { c.SessionTimeout = -1 }, p)
		muted := func() string {
			synctest.Wait()
			peers := media.Peers()
			var l []string
			for _, pub := range peers[len(peers)-1].Publications {
				l = append(l, fmt.Sprint(pub.Mid, " ", pub.Muted))
			}
			return strings.Join(l, ", ")
		}
		operator := janustest.Open(t, server, Package)
		moderate := func(body m) {
			reply := janustest.Data(operator.Message(with(body, m{"request": "moderate", "room": 1, "id": 5}), nil))
			if reply["videoroom"] != "success" {
				t.Fatal(reply)
			}
		}
		publish := func() *janustest.Handle {
			h := janustest.Open(t, server, Package)
			h.Message(m{"request": "join", "ptype": "publisher", "room": 1, "id": 5}, nil)
			h.Message(m{"request": "publish"}, janustest.Offer("audio", "video", "data"))
			return h
		}
		h := publish()
		began := time.Now()
		moderate(m{"kind": "audio", "mute": true, "duration": 60})
		moderate(m{"mid": "2", "mute": true, "duration": 120})
		if got := muted(); got != "0 true, 1 false, 2 true" {
			t.Error("muted:", got)
		}
		h.Message(m{"request": "configure", "audio": false}, nil)
		h.Message(m{"request": "configure", "audio": true}, nil)
		if got := muted(); got != "0 true, 1 false, 2 true" {
			t.Error("after the client asked for its voice:", got)
		}
		moderate(m{"mid": "1", "mute": true})
		if got := muted(); got != "0 true, 1 true, 2 true" {
			t.Error("with a mute of Janus's:", got)
		}
		h.Request(m{"janus": "detach"})
		synctest.Wait()
		publish()
		if got := muted(); got != "0 true, 1 false, 2 true" {
			t.Error("come again, when a mute of Janus's is forgotten:", got)
		}
		time.Sleep(time.Until(began.Add(60*time.Second - time.Millisecond)))
		if got := muted(); got != "0 true, 1 false, 2 true" {
			t.Error("just before the end:", got)
		}
		time.Sleep(2 * time.Millisecond)
		if got := muted(); got != "0 false, 1 false, 2 true" {
			t.Error("at the end:", got)
		}
		time.Sleep(time.Minute)
		if got := muted(); got != "0 false, 1 false, 2 false" {
			t.Error("after all of them:", got)
		}
		p.Close()
	})
}

// TestRecognisedBy wants the strongest thing that tells a user from others, and no other to be taken for it.
func TestRecognisedBy(t *testing.T) {
	r := newRoom(numberID(1), 1, RoomConfig{})
	join := func(id uint64, display, token string, chosen bool) *participant {
		p := newParticipant(numberID(id))
		if display != "" {
			p.display = &display
		}
		p.userTag = userTag(r.id, token, chosen)
		r.add(p)
		return p
	}
	alice := join(1, "alice", "secret token", false)
	bob, other := join(2, "bob", "shared", false), join(3, "carol", "shared", false)
	dave := join(4, "dave", "", true)
	twin, twins := join(5, "twin", "", false), join(6, "twin", "", false)
	nobody := join(7, "", "", false)
	long := join(8, strings.Repeat("x", 300), "", false)
	for _, tt := range []struct {
		p      *participant
		prefix string
	}{
		{alice, byToken},
		{bob, "display:bob"}, // the token is others', too
		{other, "display:carol"},
		{dave, ""}, // it comes with its id
		{twin, ""},
		{twins, ""},
		{nobody, ""},
		{long, byDisplay},
	} {
		name := tt.p.recognisedBy()
		if !strings.HasPrefix(name, tt.prefix) || tt.prefix == "" && name != "" || len(name) > maxMuteUser {
			t.Errorf("%s is recognised by %q", tt.p.id, name)
		}
		if strings.Contains(name, "secret") {
			t.Errorf("%q shows a token", name)
		}
		mute := Mute{ID: tt.p.id.String(), User: name, Kind: "audio"}
		for _, o := range r.members {
			if mute.of(o) != (o == tt.p) {
				t.Errorf("the mute of %s is of %s: %v", tt.p.id, o.id, mute.of(o))
			}
		}
	}
}

// TestSetMute wants one mute a user and kind, and no more than there is room for.
func TestSetMute(t *testing.T) {
	now := time.Unix(1000, 0)
	c := RoomConfig{Mutes: []Mute{{ID: "9", Kind: "audio", Until: now.UnixMicro()}}}
	for i := range maxMutes {
		if err := c.setMute(Mute{ID: fmt.Sprint(i + 10), Kind: "audio"}, nil, true, now); err != nil {
			t.Fatal(i, err)
		}
	}
	before := len(c.Mutes)
	if err := c.setMute(Mute{ID: "1", Kind: "audio"}, nil, true, now); err == nil || before != maxMutes || len(c.Mutes) != maxMutes {
		t.Errorf("%d mutes of %d, %v", len(c.Mutes), before, err)
	}
	if err := c.setMute(Mute{ID: "10", Kind: "audio", Until: 5e9}, nil, true, now); err != nil || len(c.Mutes) != maxMutes {
		t.Errorf("another mute in place of one: %d, %v", len(c.Mutes), err)
	}
	if err := c.setMute(Mute{ID: "10", Kind: "audio"}, nil, false, now); err != nil || len(c.Mutes) != maxMutes-1 {
		t.Errorf("taken away: %d, %v", len(c.Mutes), err)
	}
	if err := checkMutes(append(c.Mutes, Mute{Kind: "smell"})); err == nil {
		t.Error("a mute of nothing")
	}
	if err := checkMutes(make([]Mute, maxMutes+1)); err == nil {
		t.Error("mutes without end")
	}
}

// TestMutesSurviveOldNodes wants a node that knows no mutes to leave them in the record.
func TestMutesSurviveOldNodes(t *testing.T) {
	c := DefaultRoom("1")
	c.Mutes = []Mute{{ID: "5", User: "display:bob", Kind: plane.Audio.String(), Until: 7}}
	b, err := writeRecord(c)
	if err != nil {
		t.Fatal(err)
	}
	got, err := readRecord(numberID(1), b)
	if err != nil || len(got.Mutes) != 1 || got.Mutes[0] != c.Mutes[0] {
		t.Errorf("%+v, %v", got.Mutes, err)
	}
	if !recordFields["mutes"] {
		t.Error("mutes are carried over as something unknown")
	}
}

// TestNobodyAsks wants nothing to be told, and nothing to fail, without a bus.
func TestNobodyAsks(t *testing.T) {
	p, err := New(Config{Rooms: []RoomConfig{DefaultRoom("1")}})
	if err != nil {
		t.Fatal(err)
	}
	if p.wants(events.All) {
		t.Error("it wants events for nobody")
	}
	p.tellRequest(nil, "create", object{}, object{})
}
