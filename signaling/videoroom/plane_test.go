package videoroom

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cardea/relay/plane"
	"cardea/signaling/janus"
	"cardea/signaling/janus/janustest"
)

type m = janustest.M

// stage is a server with the plugin and one publisher, "alice" of room 1.
type stage struct {
	*testing.T
	plugin *Plugin
	server *janus.Server
	plane  *janustest.Plane
	admin  *janustest.Handle
	alice  *janustest.Handle
}

func newStage(t *testing.T, room m, join m, lines ...string) *stage {
	t.Helper()
	p, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	s := &stage{T: t, plugin: p}
	s.server, s.plane = janustest.NewServer(t, nil, p)
	s.admin = janustest.Open(t, s.server, Package)
	s.ok(s.admin, with(room, m{"request": "create", "room": 1}), nil)
	s.alice = janustest.Open(t, s.server, Package)
	s.ok(s.alice, with(join, m{"request": "joinandconfigure", "ptype": "publisher", "room": 1, "id": 1}), janustest.Offer(lines...))
	s.plane.Up(s.plane.Peers()[0].ID)
	s.alice.EventOf("webrtcup")
	return s
}

func with(a, b m) m {
	maps.Copy(b, a)
	return b
}

// ok sends a message that must not be refused.
func (s *stage) ok(h *janustest.Handle, body, jsep m) m {
	s.Helper()
	r := h.Message(body, jsep)
	if d := janustest.Data(r); d == nil || d["error_code"] != nil {
		s.Fatalf("%v: %v", body, r)
	}
	return r
}

// subscribe makes a subscriber of alice and answers the offer.
func (s *stage) subscribe(stream m) (*janustest.Handle, plane.PeerID) {
	s.Helper()
	h := janustest.Open(s, s.server, Package)
	r := s.ok(h, m{"request": "join", "ptype": "subscriber", "room": 1, "streams": []any{with(stream, m{"feed": 1})}}, nil)
	s.ok(h, m{"request": "start"}, janustest.Answer(r["jsep"].(m)["sdp"].(string)))
	peers := s.plane.Peers()
	return h, peers[len(peers)-1].ID
}

// eventually waits until f agrees.
func (s *stage) eventually(f func() string) {
	s.Helper()
	deadline := time.Now().Add(5 * time.Second)
	for {
		d := f()
		if d == "" {
			return
		}
		if time.Now().After(deadline) {
			s.Fatal(d)
		}
		time.Sleep(time.Millisecond)
	}
}

func (s *stage) publications(want []plane.Publication) {
	s.Helper()
	s.eventually(func() string { return cmp.Diff(want, s.plane.Peers()[0].Publications) })
}

func TestPublicationsFollowTheRoomAndThePublisher(t *testing.T) {
	s := newStage(t, m{"bitrate": 500000, "bitrate_cap": true, "fir_freq": 5, "audiolevel_event": true, "audio_active_packets": 20},
		m{"bitrate": 2000000, "audio_level_average": 50}, "audio", "video", "data")
	id := func(mid string) plane.StreamID { return plane.StreamID{Room: "videoroom/1", Publisher: "1", Mid: mid} }
	want := []plane.Publication{
		{Mid: "0", Stream: id("0"), Talking: &plane.Talking{Packets: 20, Level: 50}},
		{Mid: "1", Stream: id("1"), Bitrate: 500000, KeyframeInterval: 5 * time.Second},
		{Mid: "2", Stream: id("2")},
	}
	s.publications(want)
	s.ok(s.alice, m{"request": "configure", "bitrate": 100000}, nil)
	want[1].Bitrate = 100000
	s.publications(want)
	s.ok(s.alice, m{"request": "configure", "bitrate": 0}, nil)
	want[1].Bitrate = 500000 // no limit is more than the cap
	s.publications(want)
	s.ok(s.admin, m{"request": "moderate", "room": 1, "id": 1, "mid": "0", "mute": true}, nil)
	want[0].Muted = true
	s.publications(want)
	s.ok(s.alice, m{"request": "configure", "video": false}, nil)
	want[1].Muted = true
	s.publications(want)
	s.ok(s.admin, m{"request": "edit", "room": 1, "new_bitrate": 300000, "new_fir_freq": 0}, nil)
	want[1].Bitrate, want[1].KeyframeInterval = 300000, 0
	s.publications(want)
}

func TestSubscriptionsFollowTheSubscriber(t *testing.T) {
	s := newStage(t, nil, nil, "simulcast")
	h, peer := s.subscribe(m{"substream": 1, "fallback": 500000, "max_delay": 40})
	want := []plane.Subscription{{
		Mid: "0", Stream: plane.StreamID{Room: "videoroom/1", Publisher: "1", Mid: "0"}, Substream: 1,
		Temporal: 2, SpatialLayer: 2, TemporalSVC: 2, Fallback: 500 * time.Millisecond,
	}}
	subscriptions := func() {
		t.Helper()
		s.eventually(func() string {
			p, _ := s.plane.Peer(peer)
			return cmp.Diff(want, p.Subscriptions)
		})
	}
	want[0].PlayoutDelay = nil // a most without a least says nothing
	subscriptions()
	s.ok(h, m{"request": "configure", "streams": []any{m{"mid": "0", "substream": 0, "temporal": 1, "min_delay": 2, "max_delay": 40}}}, nil)
	want[0].Substream, want[0].Temporal = 0, 1
	want[0].PlayoutDelay = &plane.PlayoutDelay{Min: 20 * time.Millisecond, Max: 400 * time.Millisecond}
	subscriptions()
	s.ok(h, m{"request": "pause"}, nil)
	want[0].Paused = true
	subscriptions()
	before := len(s.plane.Keyframes())
	s.ok(h, m{"request": "start"}, nil)
	want[0].Paused = false
	subscriptions()
	if got := len(s.plane.Keyframes()); got == before {
		t.Error("no keyframe was asked for when the subscriber resumed")
	}
}

func TestForwardersReachTheMediaPlane(t *testing.T) {
	s := newStage(t, nil, nil, "audio", "simulcast")
	s.ok(s.admin, m{"request": "rtp_forward", "room": 1, "publisher_id": 1, "host": "127.0.0.1", "streams": []any{
		m{"mid": "0", "port": 1000, "pt": 100, "ssrc": 7, "srtp_suite": 32, "srtp_crypto": "WbTBosdVUZqEb6Htqhn+m3z7wUh4RJVR8nE15GbN"},
		m{"mid": "1", "port": 1002, "port_3": 1004, "rtcp_port": 9},
		m{"mid": "1", "port": 1006, "simulcast": true},
	}}, nil)
	byPort := map[string]plane.Forwarder{}
	for _, f := range s.plane.Forwarders() {
		byPort[f.Address] = f
	}
	if len(byPort) != 4 {
		t.Fatalf("%d forwarders: %v", len(byPort), byPort)
	}
	if f := byPort["127.0.0.1:1000"]; f.PayloadType != 100 || f.SSRC != 7 || f.SRTPSuite != 32 || len(f.SRTPKey) != 30 || f.Substream != -1 {
		t.Errorf("audio: %+v", f)
	}
	if f := byPort["127.0.0.1:1002"]; f.Substream != 0 || f.RTCPPort != 9 || f.SSRC != 0 {
		t.Errorf("substream 0: %+v", f)
	}
	if f := byPort["127.0.0.1:1004"]; f.Substream != 2 || f.RTCPPort != 9 {
		t.Errorf("substream 2: %+v", f)
	}
	if f := byPort["127.0.0.1:1006"]; f.Substream != -1 || f.SSRC == 0 {
		t.Errorf("best substream: %+v", f)
	}
	s.ok(s.admin, m{"request": "publish_remotely", "room": 1, "publisher_id": 1, "remote_id": "n", "host": "127.0.0.1", "port": 2000}, nil)
	ssrcs := map[uint32]uint8{}
	for _, f := range s.plane.Forwarders() {
		if f.Address == "127.0.0.1:2000" {
			ssrcs[f.SSRC] = f.PayloadType
		}
	}
	if d := cmp.Diff(map[uint32]uint8{1000: 111, 1010: 96, 1011: 96, 1012: 96}, ssrcs); d != "" {
		t.Errorf("remotized streams: -want +got\n%s", d)
	}
	// All end with the publisher.
	s.ok(s.alice, m{"request": "unpublish"}, nil)
	if left := s.plane.Forwarders(); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}

// One who left but still sends makes way for another of the same id.
func TestDepartedMakesWay(t *testing.T) {
	s := newStage(t, nil, nil, "audio")
	_, peer := s.subscribe(m{})
	s.eventually(func() string {
		p, _ := s.plane.Peer(peer)
		return cmp.Diff(1, len(p.Subscriptions))
	})
	s.ok(s.alice, m{"request": "leave"}, nil)
	if p, _ := s.plane.Peer(peer); len(p.Subscriptions) != 1 {
		t.Errorf("the subscription ended with the stay in the room: %v", p.Subscriptions)
	}
	b := janustest.Open(t, s.server, Package)
	s.ok(b, m{"request": "join", "ptype": "publisher", "room": 1, "id": 1}, nil)
	if e := s.alice.EventOf("hangup"); e["reason"] != "Close PC" {
		t.Errorf("hangup: %v", e)
	}
	s.eventually(func() string {
		p, _ := s.plane.Peer(peer)
		return cmp.Diff(0, len(p.Subscriptions))
	})
}

func TestMediaPlaneFailures(t *testing.T) {
	s := newStage(t, nil, nil, "audio")
	s.plane.Fail("Open", errors.New("no"))
	h := janustest.Open(t, s.server, Package)
	join := m{"request": "join", "ptype": "subscriber", "room": 1, "feed": 1}
	if d := janustest.Data(h.Message(join, nil)); d["error_code"] != json.Number("499") {
		t.Errorf("join: %v", d)
	}
	b := janustest.Open(t, s.server, Package)
	s.ok(b, m{"request": "join", "ptype": "publisher", "room": 1}, nil)
	if d := janustest.Data(b.Message(m{"request": "publish"}, janustest.Offer("audio"))); d["error_code"] != json.Number("437") {
		t.Errorf("publish: %v", d)
	}
	s.plane.Fail("Open", nil)
	s.ok(h, join, nil) // the handle is as new
	s.ok(b, m{"request": "publish"}, janustest.Offer("audio"))
}

func TestQueryAndAdmin(t *testing.T) {
	s := newStage(t, nil, m{"display": "A"}, "audio", "simulcast")
	p := s.plugin.find(numberID(1)).members[0]
	sub, _ := s.subscribe(m{})
	_ = sub
	info := p.session.Query().(object)
	if info["type"] != "publisher" || info["display"] != "A" || len(info["streams"].([]publishedInfo)) != 2 {
		t.Errorf("publisher: %v", info)
	}
	if n := info["streams"].([]publishedInfo)[0].Subscribers; n != 1 {
		t.Errorf("%d subscribers", n)
	}
	for sub := range p.room.subscribers {
		if info := sub.session.Query().(object); info["type"] != "subscriber" || info["answered"] != true {
			t.Errorf("subscriber: %v", info)
		}
	}
	if info := (&session{plugin: s.plugin}).Query().(object); len(info) != 2 {
		t.Errorf("newcomer: %v", info)
	}
	for body, want := range map[string]any{`{"request":"exists","room":1}`: nil, `{"request":"join","room":1}`: 423, `{}`: 429} {
		l, _ := janus.Parse([]byte(body))
		reply := s.plugin.Admin(context.Background(), l[0]).(object)
		if reply["error_code"] != want {
			t.Errorf("%s: %v", body, reply)
		}
	}
}
