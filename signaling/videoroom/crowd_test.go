package videoroom

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"cardea/signaling/janus/janustest"
)

// Many clients do everything at once. Afterwards the books agree, and when all have gone nothing is left of them.
func TestCrowd(t *testing.T) {
	p, err := New(Config{Rooms: []RoomConfig{DefaultRoom("1")}})
	if err != nil {
		t.Fatal(err)
	}
	r := p.find(numberID(1))
	r.cfg.Publishers, r.cfg.RequirePrivateID, r.cfg.NotifyJoining = 100, false, true
	server, media := janustest.NewServer(t, nil, p)
	const workers, rounds = 6, 25
	var crowd sync.WaitGroup
	for w := range workers {
		crowd.Go(func() {
			random := rand.New(rand.NewPCG(uint64(w), 1))
			for range rounds {
				visit(media, janustest.Connect(t, server).Create(), random)
			}
		})
	}
	crowd.Wait()
	if n := server.Metrics().Panics.Load(); n != 0 {
		t.Errorf("%d panics", n)
	}
	checkRoom(t, r)
	s := &stage{T: t, plane: media}
	s.eventually(func() string {
		r.mu.Lock()
		defer r.mu.Unlock()
		if len(r.members)+len(r.byPrivateID)+len(r.subscribers)+len(r.departed) > 0 {
			return fmt.Sprintf("left: %d members, %d private ids, %d subscribers, %d departed", len(r.members), len(r.byPrivateID), len(r.subscribers), len(r.departed))
		}
		return ""
	})
	s.eventually(func() string {
		for _, peer := range media.Peers() {
			if !peer.Closed {
				return "peer " + string(peer.ID) + " is open"
			}
		}
		return ""
	})
}

// visit is one client's stay: it publishes, subscribes to whom it finds, meddles, and goes in one way or another.
func visit(media *janustest.Plane, c *janustest.Client, random *rand.Rand) {
	pub := c.Attach(Package)
	joined := janustest.Data(pub.Message(m{"request": "joinandconfigure", "ptype": "publisher", "room": 1}, janustest.Offer("audio", "simulcast", "data")))
	id := joined["id"]
	for _, peer := range media.Peers() {
		if !peer.Closed && len(peer.Publications) > 0 {
			media.Up(peer.ID) // anybody's: once more does no harm
		}
	}
	pub.EventOf("webrtcup")
	sub := c.Attach(Package)
	var feeds []any
	publishers, _ := joined["publishers"].([]any)
	for _, o := range append(publishers, m{"id": id}) {
		feeds = append(feeds, m{"feed": o.(m)["id"]})
	}
	attached := sub.Message(m{"request": "join", "ptype": "subscriber", "room": 1, "streams": feeds[len(feeds)-1:]}, nil)
	if jsep, ok := attached["jsep"].(m); ok {
		sub.Message(m{"request": "start"}, janustest.Answer(jsep["sdp"].(string)))
	}
	for range 4 {
		feed := feeds[random.IntN(len(feeds))].(m)["feed"]
		switch random.IntN(7) {
		case 0:
			sub.Message(m{"request": "subscribe", "streams": []any{m{"feed": feed}}}, nil)
		case 1:
			sub.Message(m{"request": "switch", "streams": []any{m{"feed": feed, "mid": "0", "sub_mid": "0"}}}, nil)
		case 2:
			pub.Message(m{"request": "kick", "room": 1, "id": feed}, nil)
		case 3:
			pub.Message(m{"request": "moderate", "room": 1, "id": feed, "mid": "0", "mute": random.IntN(2) == 0}, nil)
		case 4:
			pub.Message(m{"request": "configure", "display": "x", "bitrate": random.IntN(1e6)}, nil)
		case 5:
			pub.Message(m{"request": "listparticipants", "room": 1}, nil)
		case 6:
			pub.Message(m{"request": "rtp_forward", "room": 1, "publisher_id": feed, "host": "127.0.0.1", "streams": []any{m{"mid": "1", "port": 9}}}, nil)
		}
	}
	switch random.IntN(4) {
	case 0:
		pub.Message(m{"request": "unpublish"}, nil)
	case 1:
		pub.Message(m{"request": "leave"}, nil)
	case 2:
		pub.Request(m{"janus": "hangup"})
	}
	c.Request(m{"janus": "destroy"})
}

// Who joins is told so before anything else, even if the media plane takes its time for the answer to its offer.
func TestJoinedComesFirst(t *testing.T) {
	s := newStage(t, m{"notify_joining": true}, m{}, "audio")
	joined := make(chan struct{})
	var once sync.Once
	s.plane.Hook("Open", func() {
		once.Do(func() { // bob's peer is not open yet, and others come and go
			carol := janustest.Open(t, s.server, Package)
			s.ok(carol, m{"request": "join", "ptype": "publisher", "room": 1, "id": 3}, nil)
			s.ok(carol, m{"request": "leave"}, nil)
			close(joined)
		})
	})
	bob := janustest.Open(t, s.server, Package)
	bob.Send(m{
		"janus": "message", "handle_id": bob.ID, "body": m{"request": "joinandconfigure", "ptype": "publisher", "room": 1, "id": 2},
		"jsep": janustest.Offer("audio"),
	})
	<-joined
	var got []string
	for range 3 {
		d := janustest.Data(bob.Await(func(e janustest.M) bool { return e["janus"] == "event" }))
		switch {
		case d["videoroom"] == "joined":
			got = append(got, "joined")
		case d["joining"] != nil:
			got = append(got, "joining")
		case d["leaving"] != nil:
			got = append(got, "leaving")
		}
	}
	if fmt.Sprint(got) != "[joined joining leaving]" {
		t.Error(got)
	}
}
