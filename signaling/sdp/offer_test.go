package sdp

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cardea/relay/plane"
)

func offerText(lines []Media) string {
	t := testTransport
	t.Setup = plane.ActPass
	return Format(&Description{ID: 1, Version: 1, Name: "VideoRoom 1", Medias: lines}, t)
}

func TestOfferText(t *testing.T) {
	lines := []Media{
		NewOffer(Feed{Kind: plane.Audio, Mid: "0", Direction: plane.SendOnly, Codec: "opus", Fmtp: "useinbandfec=1", RED: true, Extensions: []string{plane.ExtAudioLevel, plane.ExtMid}}),
		NewOffer(Feed{
			Kind: plane.Video, Mid: "1", Direction: plane.SendOnly, Codec: "vp9", Fmtp: "profile-id=0",
			Extensions: []string{plane.ExtVideoOrientation, plane.ExtPlayoutDelay, plane.ExtDependencyDescriptor, "urn:unknown"},
		}),
		NewOffer(Feed{Kind: plane.Video, Mid: "2", Direction: plane.Inactive, Codec: "vp8", Extensions: []string{plane.ExtDependencyDescriptor}}),
		NewOffer(Feed{Kind: plane.Data, Mid: "3", Direction: plane.SendOnly}),
	}
	Settle(nil, lines)
	lines[0].SSRC, lines[1].SSRC, lines[1].RTX = 11, 12, 13
	got := offerText(lines)
	transport := `c=IN IP4 192.0.2.9
a=DIRECTION
a=mid:MID
a=rtcp-mux
a=ice-ufrag:abcdefgh
a=ice-pwd:abcdefghijklmnopqrstuvwx
a=ice-options:trickle
a=setup:actpass
`
	head := func(direction, mid string) string {
		return strings.NewReplacer("DIRECTION", direction, "MID", mid).Replace(transport)
	}
	want := []string{
		`m=audio 9 UDP/TLS/RTP/SAVPF 120 111
` + head("sendonly", "0") + `a=rtpmap:120 red/48000/2
a=rtcp-fb:120 transport-cc
a=fmtp:120 111/111
a=rtpmap:111 opus/48000/2
a=rtcp-fb:111 transport-cc
a=fmtp:111 useinbandfec=1
a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level
a=extmap:3 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01
a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid
a=msid:janus janus0
a=ssrc:11 cname:janus
a=candidate:1 1 udp 2130706431 192.0.2.9 3478 typ host
a=candidate:2 1 tcp 1694498815 192.0.2.9 3478 typ host tcptype passive
a=end-of-candidates`,
		`m=video 9 UDP/TLS/RTP/SAVPF 101 102
` + head("sendonly", "1") + `a=rtpmap:101 VP9/90000
a=rtcp-fb:101 ccm fir
a=rtcp-fb:101 nack
a=rtcp-fb:101 nack pli
a=rtcp-fb:101 goog-remb
a=rtcp-fb:101 transport-cc
a=fmtp:101 profile-id=0
a=rtpmap:102 rtx/90000
a=fmtp:102 apt=101
a=extmap:2 http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time
a=extmap:3 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01
a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid
a=extmap:11 https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension
a=extmap:12 http://www.webrtc.org/experiments/rtp-hdrext/playout-delay
a=extmap:13 urn:3gpp:video-orientation
a=msid:janus janus1
a=ssrc-group:FID 12 13
a=ssrc:12 cname:janus
a=ssrc:13 cname:janus`,
		`m=video 9 UDP/TLS/RTP/SAVPF 96 97
` + head("inactive", "2") + `a=rtpmap:96 VP8/90000
a=rtcp-fb:96 ccm fir
a=rtcp-fb:96 nack
a=rtcp-fb:96 nack pli
a=rtcp-fb:96 goog-remb
a=rtcp-fb:96 transport-cc
a=rtpmap:97 rtx/90000
a=fmtp:97 apt=96
a=extmap:2 http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time
a=extmap:3 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01
a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid`,
		`m=application 9 UDP/DTLS/SCTP webrtc-datachannel
` + strings.Replace(head("sendonly", "3"), "a=rtcp-mux\n", "", 1) + `a=sctp-port:5000`,
	}
	for i, w := range want {
		if diff := cmp.Diff(strings.Split(w, "\n"), section(t, got, i)); diff != "" {
			t.Errorf("line %d: %s", i, diff)
		}
	}
	if !strings.Contains(got, "a=group:BUNDLE 0 1 2 3\r\n") || !strings.Contains(got, "s=VideoRoom 1\r\n") {
		t.Error(got)
	}
}

// Lines of one BUNDLE group share payload types and extension ids: each must mean one thing only (RFC 9143 section 7.1).
func TestOffersDoNotCollide(t *testing.T) {
	types := map[uint8]string{}
	use := func(pt uint8, name string) {
		if was, ok := types[pt]; ok && was != name {
			t.Errorf("payload type %d is %s and %s", pt, was, name)
		}
		types[pt] = name
	}
	for _, k := range []plane.Kind{plane.Audio, plane.Video} {
		for _, f := range formats(k) {
			m := NewOffer(Feed{Kind: k, Mid: "0", Codec: f.name, RED: true})
			for _, c := range m.Codecs {
				name := c.Name
				if name == "multiopus" {
					name = "opus" // as in Janus; no room mixes them
				}
				use(c.PayloadType, name)
				if c.RTX != 0 {
					use(c.RTX, "rtx of "+name)
				}
			}
		}
	}
	ids := map[uint8]string{}
	for _, uri := range everyExtension {
		id := offerID(uri)
		if id == 0 || ids[id] != "" {
			t.Errorf("id %d of %s", id, uri)
		}
		ids[id] = uri
	}
}

func TestOfferUnknownCodec(t *testing.T) {
	if m := NewOffer(Feed{Kind: plane.Video, Mid: "0", Direction: plane.SendOnly, Codec: "theora"}); !m.Rejected {
		t.Errorf("%+v", m)
	}
	m := NewOffer(Feed{Kind: plane.Audio, Mid: "0", Codec: "multiopus", Fmtp: "channel_mapping=0,1,4,5,2,3,6,7;num_streams=5;coupled_streams=3"})
	if m.Codecs[0].Channels != 8 {
		t.Errorf("multiopus of %d channels", m.Codecs[0].Channels)
	}
}

func subscriber(kinds ...string) []Media {
	var out []Media
	for i, k := range kinds {
		f := Feed{Kind: plane.Video, Mid: string(rune('0' + i)), Direction: plane.SendOnly, Codec: k}
		if KnownCodec(plane.Audio, k) {
			f.Kind, f.Extensions = plane.Audio, []string{plane.ExtAudioLevel}
		}
		if k == "data" {
			f.Kind = plane.Data
		}
		out = append(out, NewOffer(f))
	}
	return out
}

func TestAcceptChromium(t *testing.T) {
	lines := []Media{
		NewOffer(Feed{Kind: plane.Audio, Mid: "0", Direction: plane.SendOnly, Codec: "opus", RED: true}),
		NewOffer(Feed{Kind: plane.Audio, Mid: "1", Direction: plane.SendOnly, Codec: "opus"}),
		NewOffer(Feed{Kind: plane.Video, Mid: "2", Direction: plane.Inactive, Codec: "vp8"}),
	}
	Settle(nil, lines)
	answer := mustParse(t, sample(t, "chromium-answer-red"))
	agreed, err := Accept(lines, answer)
	if err != nil {
		t.Fatal(err)
	}
	if got := names(&agreed[0]); !cmp.Equal(got, []string{"red", "opus"}) {
		t.Errorf("codecs %v", got)
	}
	if agreed[2].Direction != plane.Inactive || agreed[2].Rejected || agreed[2].Codecs[0].RTX != 97 {
		t.Errorf("inactive line %+v", agreed[2])
	}
	for i, l := range Lines(agreed, answer.Medias, "hml") {
		if i < 2 && (l.Direction != plane.SendOnly || l.SSRC != lines[i].SSRC || len(l.Receive) != 0) {
			t.Errorf("line %+v", l)
		}
	}
}

func TestAcceptNarrows(t *testing.T) {
	lines := subscriber("opus", "vp8", "h264", "data")
	Settle(nil, lines)
	answer := mustParse(t, withLines(`m=audio 9 UDP/TLS/RTP/SAVPF 111
a=rtpmap:111 opus/48000/2
a=recvonly
a=mid:0
a=extmap:4 `+plane.ExtMid+`
`, `m=video 9 UDP/TLS/RTP/SAVPF 100
a=rtpmap:100 VP8/90000
a=rtcp-fb:100 nack
a=rtcp-fb:100 transport-cc
a=recvonly
a=mid:1
`, `m=video 0 UDP/TLS/RTP/SAVPF 107
a=mid:2
`, `m=application 9 UDP/DTLS/SCTP webrtc-datachannel
a=mid:3
a=sctp-port:5001
a=max-message-size:1000
`))
	agreed, err := Accept(lines, answer)
	if err != nil {
		t.Fatal(err)
	}
	got := Lines(agreed, answer.Medias, "")
	want := []plane.Line{
		{
			Mid: "0", Kind: plane.Audio, Direction: plane.SendOnly, SSRC: lines[0].SSRC, Extensions: []plane.Extension{{ID: 4, URI: plane.ExtMid}},
			Codecs: []plane.Codec{{Name: "opus", PayloadType: 111, ClockRate: 48000, Channels: 2}},
		},
		// The client moved VP8 to payload type 100, refused retransmissions and left out the extension of transport-cc.
		{
			Mid: "1", Kind: plane.Video, Direction: plane.SendOnly, SSRC: lines[1].SSRC,
			Codecs: []plane.Codec{{Name: "vp8", PayloadType: 100, ClockRate: 90000, NACK: true}},
		},
		{Mid: "2", Kind: plane.Video},
		{Mid: "3", Kind: plane.Data, Direction: plane.SendRecv, SCTPPort: 5001, MaxMessage: 1000},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}

	// The next offer keeps what was refused for the same codec, and asks anew for the rejected line.
	again := subscriber("opus", "vp8", "h264", "data")
	Settle(agreed, again)
	if again[1].Codecs[0].RTX != 0 || again[1].RTX != 0 || again[1].SSRC != lines[1].SSRC {
		t.Errorf("retransmissions offered again: %+v", again[1])
	}
	if again[2].Rejected || again[2].Codecs[0].RTX == 0 || again[2].SSRC != lines[2].SSRC {
		t.Errorf("rejected line: %+v", again[2])
	}
	other := subscriber("opus", "vp9")
	Settle(agreed, other)
	if other[1].Codecs[0].RTX == 0 {
		t.Error("another codec may have retransmissions")
	}
}

func TestAcceptErrors(t *testing.T) {
	lines := subscriber("opus", "vp8")
	if _, err := Accept(lines, mustParse(t, withLines(testAudio))); err == nil {
		t.Error("missing m-line accepted")
	}
	if _, err := Accept(lines, mustParse(t, withLines(testAudio, testAudio))); err == nil {
		t.Error("audio accepted in place of video")
	}
	none, err := Accept(lines, mustParse(t, withLines(testAudio, "m=video 9 UDP/TLS/RTP/SAVPF 99\na=rtpmap:99 theora/90000\n")))
	if err != nil || none[1].Direction != plane.Inactive {
		t.Errorf("line without a codec: %+v, %v", none, err)
	}
}

func TestReverse(t *testing.T) {
	for d := plane.Inactive; d <= plane.SendRecv; d++ {
		if Reverse(Reverse(d)) != d || Reverse(d).Sends() != d.Receives() {
			t.Errorf("%v", d)
		}
	}
}
