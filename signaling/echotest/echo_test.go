package echotest

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"cardea/relay/plane"
	"cardea/signaling/janus"
	"cardea/signaling/janus/janustest"
	"cardea/signaling/sdp"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type m = janustest.M

func open(t *testing.T) (*janustest.Handle, *janustest.Plane) {
	t.Helper()
	s, p := janustest.NewServer(t, nil, Plugin{})
	return janustest.Open(t, s, Package), p
}

// data is what the plugin answers a message without an offer.
func data(h *janustest.Handle, body m) m { return janustest.Data(h.Message(body, nil)) }

var ok = m{"echotest": "event", "result": "ok"}

type number = json.Number

func refused(text string) m {
	return m{"echotest": "event", "error_code": number("413"), "error": text}
}

func TestMessagesWithoutOffer(t *testing.T) {
	h, p := open(t)
	tests := []struct{ body, want m }{
		{m{"audio": true}, ok},
		{m{"audio": false, "video": false}, ok},
		{m{"bitrate": 128000}, ok},
		{m{"bitrate": 0}, ok},
		{m{"record": false}, ok},
		{m{"substream": 1}, ok},
		{m{"temporal": 1}, ok},
		{m{"spatial_layer": 2}, ok},
		{m{"temporal_layer": 0}, ok},
		{m{"fallback": 100}, ok},
		{m{"videocodec": "vp8"}, ok},
		{m{"videoprofile": "42e01f"}, ok},
		{m{"opusred": true}, ok},
		{m{"max_delay": 10, "min_delay": 0}, ok},
		{m{"min_delay": -1}, ok},
		{m{}, refused("Message error: no supported attributes found")},
		{m{"unknown": 1}, refused("Message error: no supported attributes found")},
		{m{"audiocodec": "opus"}, refused("Message error: no supported attributes found")},
		{m{"filename": "x"}, refused("Message error: no supported attributes found")},
		{m{"svc": true}, refused("Message error: no supported attributes found")},
		{m{"audio": "x"}, refused("Invalid element type (audio should be a boolean)")},
		{m{"video": 5}, refused("Invalid element type (video should be a boolean)")},
		{m{"bitrate": "x"}, refused("Invalid element type (bitrate should be a positive integer)")},
		{m{"bitrate": -1}, refused("Invalid element type (bitrate should be a positive integer)")},
		{m{"record": "x"}, refused("Invalid element type (record should be a boolean)")},
		{m{"filename": 5}, refused("Invalid element type (filename should be a string)")},
		{m{"substream": "x"}, refused("Invalid element type (substream should be a positive integer)")},
		{m{"substream": 9}, refused("Invalid value (substream should be 0, 1 or 2)")},
		{m{"substream": 300}, refused("Invalid value (substream should be 0, 1 or 2)")},
		{m{"temporal": 3}, refused("Invalid value (temporal should be 0, 1 or 2)")},
		{m{"spatial_layer": 3}, refused("Invalid value (spatial_layer should be 0, 1 or 2)")},
		{m{"temporal_layer": 3}, refused("Invalid value (temporal_layer should be 0, 1 or 2)")},
		{m{"audiocodec": 5}, refused("Invalid element type (audiocodec should be a string)")},
		{m{"videocodec": 5}, refused("Invalid element type (videocodec should be a string)")},
		{m{"min_delay": "x"}, refused("Invalid element type (min_delay should be an integer)")},
	}
	for _, tt := range tests {
		if diff := cmp.Diff(tt.want, data(h, tt.body)); diff != "" {
			t.Errorf("%v: %s", tt.body, diff)
		}
	}
	if len(p.Peers()) != 0 {
		t.Error("a peer was opened without an offer")
	}
}

// start negotiates and returns the answer and the peer.
func start(t *testing.T, h *janustest.Handle, p *janustest.Plane, body, offer m) (*sdp.Description, janustest.Peer) {
	t.Helper()
	r := h.Message(body, offer)
	if diff := cmp.Diff(ok, janustest.Data(r)); diff != "" {
		t.Fatalf("answer: %s", diff)
	}
	jsep, _ := r["jsep"].(m)
	if jsep["type"] != "answer" {
		t.Fatalf("jsep %v", jsep)
	}
	d, err := sdp.Parse(jsep["sdp"].(string))
	if err != nil {
		t.Fatal(err)
	}
	peers := p.Peers()
	return d, peers[len(peers)-1]
}

func TestEcho(t *testing.T) {
	h, p := open(t)
	d, peer := start(t, h, p, m{"audio": true, "video": true, "bitrate": 64000}, janustest.Offer("audio", "video", "data"))
	for i, want := range []struct {
		kind  plane.Kind
		codec string
	}{{plane.Audio, "opus"}, {plane.Video, "vp8"}, {plane.Data, ""}} {
		l := d.Medias[i]
		if c, _ := l.Codec(); l.Kind != want.kind || c.Name != want.codec || l.Rejected {
			t.Errorf("line %d: %+v", i, l)
		}
		if line := peer.Session.Lines[i]; line.Direction&sdp.Reverse(plane.SendRecv) == 0 {
			t.Errorf("line %d: direction %v", i, line.Direction)
		}
	}
	if len(peer.Publications) == 0 || len(peer.Publications) != len(peer.Subscriptions) {
		t.Fatalf("%d publications, %d subscriptions", len(peer.Publications), len(peer.Subscriptions))
	}
	for i, pub := range peer.Publications {
		sub := peer.Subscriptions[i]
		if pub.Mid != sub.Mid || pub.Stream != sub.Stream || pub.Stream.Mid != pub.Mid || pub.Stream.Room != "echotest/"+string(peer.ID) || sub.Paused {
			t.Errorf("%+v does not come back as %+v", pub, sub)
		}
		if video := pub.Mid == "1"; video && pub.Bitrate != 64000 || !video && pub.Bitrate != 0 {
			t.Errorf("bitrate of %s: %d", pub.Mid, pub.Bitrate)
		}
		if sub.Substream != 2 || sub.Temporal != 2 || sub.SpatialLayer != 2 || sub.TemporalSVC != 2 {
			t.Errorf("targets %+v", sub)
		}
	}

	data(h, m{"video": false, "bitrate": 0, "fallback": 100_000, "min_delay": 5})
	peer, _ = p.Peer(peer.ID)
	if s := peer.Subscriptions; s[0].Paused || !s[1].Paused || s[1].Fallback != 100*time.Millisecond ||
		!cmp.Equal(s[1].PlayoutDelay, &plane.PlayoutDelay{Min: 50 * time.Millisecond, Max: 50 * time.Millisecond}) {
		t.Errorf("subscriptions %+v", s)
	}
	if b := peer.Publications[1].Bitrate; b != defaultBitrate {
		t.Errorf("bitrate %d", b)
	}
	if len(p.Keyframes()) != 0 {
		t.Error("keyframe asked for")
	}
	data(h, m{"video": true, "audio": false})
	peer, _ = p.Peer(peer.ID)
	if s := peer.Subscriptions; !s[0].Paused || s[1].Paused {
		t.Errorf("subscriptions %+v", s)
	}
	if k := p.Keyframes(); !cmp.Equal(k, []plane.StreamID{peer.Publications[1].Stream}) {
		t.Errorf("keyframes asked of %v", k)
	}
}

func TestCodecChoice(t *testing.T) {
	tests := []struct {
		body         m
		audio, video string // "" when the line is refused
	}{
		{m{"videocodec": "vp8"}, "opus", "vp8"},
		{m{"videocodec": "h264"}, "opus", "h264"},
		{m{"videocodec": "h264", "videoprofile": "42E01F"}, "opus", "h264"},
		{m{"videocodec": "h264", "videoprofile": "640032"}, "opus", ""},
		{m{"videocodec": "av1"}, "opus", ""},
		{m{"audiocodec": "pcmu", "audio": true}, "pcmu", "vp8"},
		{m{"audiocodec": "foo", "audio": true}, "", "vp8"},
	}
	for _, tt := range tests {
		h, p := open(t)
		d, peer := start(t, h, p, tt.body, janustest.Offer("audio", "video"))
		for i, want := range []string{tt.audio, tt.video} {
			c, _ := d.Medias[i].Codec()
			// A refused first line still carries the transport: it is written with payload type 0 and inactive.
			if open := d.Medias[i].Direction != plane.Inactive; open != (want != "") || open && c.Name != want {
				t.Errorf("%v: line %d is %q, want %q", tt.body, i, c.Name, want)
			}
			if got := peer.Session.Lines[i].Direction; (got == plane.SendRecv) != (want != "") {
				t.Errorf("%v: line %d has direction %v", tt.body, i, got)
			}
		}
		if n := len(peer.Publications); (tt.audio == "" || tt.video == "") && n != 1 {
			t.Errorf("%v: %d publications", tt.body, n)
		}
	}
}

func TestNothingToEcho(t *testing.T) {
	h, p := open(t)
	offer := janustest.Offer("audio")
	offer["sdp"] = strings.ReplaceAll(strings.ReplaceAll(offer["sdp"].(string), "a=sendrecv", "a=recvonly"), "a=sendonly", "a=recvonly")
	d, peer := start(t, h, p, m{"audio": true}, offer)
	if d.Medias[0].Direction != plane.Inactive || d.Medias[0].Rejected || len(peer.Subscriptions)+len(peer.Publications) != 0 {
		t.Errorf("%+v %+v", d.Medias[0], peer)
	}
}

func TestLayers(t *testing.T) {
	h, p := open(t)
	_, peer := start(t, h, p, m{"video": true}, janustest.Offer("simulcast"))
	event := func(substream, temporal int8) plane.Event {
		e := janustest.Event(peer.ID, plane.EventLayers)
		e.Mid, e.Substream, e.Temporal = "0", substream, temporal
		return e
	}
	told := func(want m) {
		t.Helper()
		want["echotest"], want["videocodec"] = "event", "vp8"
		if diff := cmp.Diff(want, janustest.Data(h.EventOf("event"))); diff != "" {
			t.Error(diff)
		}
	}
	p.Emit(event(2, -1))
	told(m{"substream": number("2")})
	p.Emit(event(2, 1))
	told(m{"substream": number("2"), "temporal": number("1")})
	p.Emit(event(1, 2))
	told(m{"substream": number("1"), "temporal": number("2")})
	// What the client gets already is told at once, before the reply.
	data(h, m{"substream": 1})
	told(m{"substream": number("1")})
	data(h, m{"temporal": 2})
	told(m{"temporal": number("2")})
	data(h, m{"substream": 0})
	if peer, _ = p.Peer(peer.ID); peer.Subscriptions[0].Substream != 0 {
		t.Errorf("subscription %+v", peer.Subscriptions[0])
	}
	svc := janustest.Event(peer.ID, plane.EventLayers)
	svc.Mid, svc.SpatialLayer, svc.TemporalSVC = "0", 1, 0
	p.Emit(svc)
	told(m{"spatial_layer": number("1"), "temporal_layer": number("0")})
	p.Emit(svc) // nothing new
	data(h, m{"spatial_layer": 1})
	told(m{"spatial_layer": number("1")})
	if rest := h.Inbox(); len(rest) != 0 {
		t.Errorf("also came %v", rest)
	}
}

func TestSlowLink(t *testing.T) {
	h, p := open(t)
	_, peer := start(t, h, p, m{"bitrate": 5000}, janustest.Offer("audio", "video"))
	slow := func(mid string, k plane.Kind, uplink bool) {
		e := janustest.Event(peer.ID, plane.EventSlowLink)
		e.Mid, e.Kind, e.Uplink, e.Lost = mid, k, uplink, 9
		p.Emit(e)
	}
	slow("1", plane.Video, true) // the node's packets: nothing from the plugin
	slow("1", plane.Video, false)
	want := m{"echotest": "event", "event": "slow_link", "media": "video", "current-bitrate": number("5000")}
	if diff := cmp.Diff(want, janustest.Data(h.EventOf("event"))); diff != "" {
		t.Error(diff)
	}
	slow("0", plane.Audio, false)
	if diff := cmp.Diff(m{"echotest": "event", "event": "slow_link", "media": "audio"}, janustest.Data(h.EventOf("event"))); diff != "" {
		t.Error(diff)
	}
}

func TestHangupResets(t *testing.T) {
	h, p := open(t)
	_, peer := start(t, h, p, m{"audio": false, "substream": 0}, janustest.Offer("audio"))
	h.Request(m{"janus": "hangup"})
	done := h.Event()
	if diff := cmp.Diff(m{"echotest": "event", "result": "done"}, janustest.Data(done)); diff != "" {
		t.Error(diff)
	}
	if e := h.Event(); e["janus"] != "hangup" {
		t.Errorf("after done came %v", e)
	}
	if again, _ := p.Peer(peer.ID); !again.Closed {
		t.Error("peer left open")
	}
	if diff := cmp.Diff(ok, data(h, m{"audio": true})); diff != "" {
		t.Error(diff)
	}
	_, second := start(t, h, p, m{"video": true}, janustest.Offer("audio"))
	if second.ID == peer.ID || second.Subscriptions[0].Paused || second.Subscriptions[0].Substream != 2 {
		t.Errorf("settings outlived the PeerConnection: %+v", second.Subscriptions[0])
	}
}

func TestRenegotiation(t *testing.T) {
	h, p := open(t)
	start(t, h, p, m{"audio": true}, janustest.Offer("audio"))
	_, peer := start(t, h, p, m{"audio": true, "video": true}, janustest.Offer("audio", "video"))
	if len(p.Peers()) != 1 || len(peer.Publications) != 2 || len(peer.Sessions) != 2 {
		t.Errorf("%d peers, %+v", len(p.Peers()), peer.Publications)
	}
	if peer.Sessions[0].Lines[0].SSRC != peer.Sessions[1].Lines[0].SSRC {
		t.Error("the SSRC changed")
	}
}

func TestPlaneFails(t *testing.T) {
	h, p := open(t)
	for _, method := range []string{"Open", "Negotiate", "Publish", "Subscribe"} {
		p.Fail(method, errors.New("out of order"))
		d := janustest.Data(h.Message(m{"audio": true}, janustest.Offer("audio")))
		if d["error_code"] != number("414") || strings.Contains(d["error"].(string), "out of order") {
			t.Errorf("%s: %v", method, d)
		}
		p.Fail(method, nil)
	}
}

func TestQuery(t *testing.T) {
	e := &echo{}
	e.reset()
	e.lines = []line{{kind: plane.Audio, codec: "opus", red: true}, {kind: plane.Video, codec: "vp9", simulcast: true, svc: true, layers: layers{1, 2, 0, 1}}}
	e.fallback, e.e2ee = time.Millisecond, true
	e.publishInfo()
	got := e.Query().(object)
	want := object{
		"audio_active": true, "audio_codec": "opus", "audio_red": true, "video_codec": "vp9", "simulcast": true, "svc": true,
		"substream": int8(1), "substream-target": int8(2), "fallback": int64(1000), "spatial-layer": int8(0), "e2ee": true,
	}
	for k, want := range want {
		if got[k] != want {
			t.Errorf("%s is %v, want %v", k, got[k], want)
		}
	}
}

func TestPlayoutDelay(t *testing.T) {
	tests := []struct {
		body janus.Object
		want playoutDelay
	}{
		{janus.Object{}, noDelay},
		{janus.Object{"min_delay": number("3")}, playoutDelay{3, 3}},
		{janus.Object{"max_delay": number("3")}, playoutDelay{-1, 3}}, // as in Janus: not written until both are known
		{janus.Object{"min_delay": number("3"), "max_delay": number("9")}, playoutDelay{3, 9}},
		{janus.Object{"min_delay": number("9"), "max_delay": number("3")}, playoutDelay{3, 3}},
		{janus.Object{"min_delay": number("3"), "max_delay": number("-1")}, noDelay},
		{janus.Object{"min_delay": number("0"), "max_delay": number("999999")}, playoutDelay{0, maxDelay}},
	}
	for _, tt := range tests {
		d := noDelay
		d.set(tt.body)
		if d != tt.want {
			t.Errorf("%v: %+v, want %+v", tt.body, d, tt.want)
		}
	}
}
