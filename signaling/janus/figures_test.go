package janus

import (
	"encoding/json"
	"testing"
	"time"

	"cardea/relay/plane"
	"cardea/signaling/sdp"
)

// TestSample looks at a peer twice, two seconds apart: what flowed since counts for rates and qualities, all of it for the rest.
func TestSample(t *testing.T) {
	opus := plane.Codec{Name: "opus", PayloadType: 111, ClockRate: 48000, Channels: 2}
	vp8 := plane.Codec{Name: "vp8", PayloadType: 96, ClockRate: 90000}
	lines := []sdp.Media{
		{Mid: "a", Kind: plane.Audio, Codecs: []plane.Codec{opus}},
		{Mid: "gone", Kind: plane.Video, Rejected: true},
		{Mid: "v", Kind: plane.Video, Codecs: []plane.Codec{vp8}},
		{Mid: "d", Kind: plane.Data},
	}
	layer := func(substream int8, packets, bytes uint64) plane.LayerStats {
		return plane.LayerStats{Substream: substream, Packets: packets, Bytes: bytes}
	}
	now := time.Unix(100, 0)
	var s sample
	s.take(lines, &plane.PeerStats{Lines: []plane.LineStats{
		{Mid: "a", Packets: 100, Bytes: 1000, Lost: 10},
		{Mid: "v", Packets: 100, Bytes: 9000, Layers: []plane.LayerStats{layer(0, 40, 2000), layer(1, 60, 7000)}},
	}}, now)
	if len(s.told) != 4 {
		t.Fatalf("%d entries", len(s.told))
	}
	for _, e := range s.told {
		if f, ok := e.(mediaFigures); ok && (f.BytesReceivedLastSec != 0 || f.BytesSentLastSec != 0) {
			t.Errorf("a rate of %+v before anything is known of the time", f)
		}
	}
	s.take(lines, &plane.PeerStats{RTT: 30 * time.Millisecond, Lines: []plane.LineStats{
		{Mid: "a", Packets: 190, Bytes: 3000, Lost: 20, Repaired: 40, NACKs: 7, Jitter: 5 * time.Millisecond},
		{Mid: "a", Sending: true, Packets: 100, Bytes: 800, Lost: 25, Repaired: 5, NACKs: 3, Jitter: 9 * time.Millisecond},
		{Mid: "v", Packets: 300, Bytes: 29000, Layers: []plane.LayerStats{layer(0, 100, 6000), layer(1, 200, 23000)}},
		{Mid: "d", Packets: 4, Bytes: 50},
		{Mid: "d", Sending: true, Packets: 6, Bytes: 70},
	}}, now.Add(2*time.Second))
	b, err := json.Marshal(s.told)
	if err != nil {
		t.Fatal(err)
	}
	const want = `[` +
		`{"mid":"a","mindex":0,"media":"audio","codec":"opus","base":48000,"rtt":30,"lost":20,"lost-by-remote":25,"jitter-local":5,"jitter-remote":9,` +
		`"in-link-quality":50,"in-media-link-quality":90,"out-link-quality":75,"out-media-link-quality":80,` +
		`"packets-received":190,"packets-sent":100,"bytes-received":3000,"bytes-sent":800,"bytes-received-lastsec":1000,"bytes-sent-lastsec":400,` +
		`"nacks-received":3,"nacks-sent":7,"retransmissions-received":40},` +
		`{"mid":"v","mindex":2,"media":"video","codec":"vp8","base":90000,"rtt":30,"lost":0,"lost-by-remote":0,"jitter-local":0,"jitter-remote":0,` +
		`"in-link-quality":100,"in-media-link-quality":100,"out-link-quality":0,"out-media-link-quality":0,` +
		`"packets-received":100,"packets-sent":0,"bytes-received":6000,"bytes-sent":0,"bytes-received-lastsec":2000,"bytes-sent-lastsec":0,` +
		`"nacks-received":0,"nacks-sent":0,"retransmissions-received":0},` +
		`{"mid":"v","mindex":2,"media":"video-sim1","codec":"vp8","base":90000,"rtt":0,"lost":0,"lost-by-remote":0,"jitter-local":0,"jitter-remote":0,` +
		`"in-link-quality":100,"in-media-link-quality":100,"out-link-quality":0,"out-media-link-quality":0,` +
		`"packets-received":200,"packets-sent":0,"bytes-received":23000,"bytes-sent":0,"bytes-received-lastsec":8000,"bytes-sent-lastsec":0,` +
		`"nacks-received":0,"nacks-sent":0,"retransmissions-received":0},` +
		`{"mid":"d","mindex":3,"media":"data","packets-received":4,"packets-sent":6,"bytes-received":50,"bytes-sent":70}]`
	if string(b) != want {
		t.Errorf("got  %s\nwant %s", b, want)
	}
}

// TestServerFigures wants what changes told at once, and what does not once a minute.
func TestServerFigures(t *testing.T) {
	start := time.Unix(100, 0)
	after := func(d time.Duration, sessions, handles, peers int64) serverFigures {
		return serverFigures{sessions, handles, peers, start.Add(d)}
	}
	last := after(0, 1, 2, 3)
	for _, tt := range []struct {
		now serverFigures
		due bool
	}{
		{after(time.Second, 1, 2, 3), false},
		{after(59*time.Second, 1, 2, 3), false},
		{after(time.Minute, 1, 2, 3), true},
		{after(time.Second, 0, 2, 3), true},
		{after(time.Second, 1, 3, 3), true},
		{after(time.Second, 1, 2, 0), true},
	} {
		if due := tt.now.due(last); due != tt.due {
			t.Errorf("%+v after %+v: %v", tt.now, last, due)
		}
	}
	if !after(0, 0, 0, 0).due(serverFigures{}) {
		t.Error("the first are not told")
	}
}

// TestQuality pins that a counter which began anew, or more losses than packets, make no figure beyond 0 to 100.
func TestQuality(t *testing.T) {
	for _, tt := range []struct {
		now, before            plane.LineStats
		in, inAll, out, outAll int
	}{
		{plane.LineStats{}, plane.LineStats{}, 0, 0, 0, 0},
		{plane.LineStats{Packets: 10}, plane.LineStats{Packets: 10}, 100, 100, 100, 100},
		{plane.LineStats{Packets: 10, Lost: 30}, plane.LineStats{}, 25, 25, 0, 0},
		{plane.LineStats{Packets: 5}, plane.LineStats{Packets: 100, Lost: 50, Repaired: 10}, 100, 100, 100, 100},
		{plane.LineStats{Packets: 10, Repaired: 90, Lost: 10}, plane.LineStats{}, 0, 50, 0, 100},
	} {
		in, inAll := received(tt.now, tt.before)
		out, outAll := arrived(tt.now, tt.before)
		if in != tt.in || inAll != tt.inAll || out != tt.out || outAll != tt.outAll {
			t.Errorf("%+v after %+v: %d %d %d %d", tt.now, tt.before, in, inAll, out, outAll)
		}
	}
}
