package sdp

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cardea/relay/plane"
)

var testTransport = plane.Transport{
	Ufrag: "abcdefgh", Pwd: "abcdefghijklmnopqrstuvwx", Lite: true, Setup: plane.Active, Complete: true,
	Fingerprints: []plane.Fingerprint{{Algorithm: "sha-256", Value: strings.TrimSuffix(strings.Repeat("AB:", 32), ":")}},
	Candidates: []plane.Candidate{
		{Foundation: "1", Component: 1, Protocol: "udp", Priority: 2130706431, Address: "192.0.2.9", Port: 3478, Type: "host"},
		{Foundation: "2", Component: 1, Protocol: "tcp", Priority: 1694498815, Address: "192.0.2.9", Port: 3478, Type: "host", TCPType: "passive"},
	},
}

var everyExtension = []string{
	plane.ExtAudioLevel, plane.ExtAbsSendTime, plane.ExtTransportCC, plane.ExtMid, plane.ExtRID, plane.ExtRepairedRID,
	plane.ExtAbsCaptureTime, plane.ExtPlayoutDelay, plane.ExtVideoOrientation, plane.ExtDependencyDescriptor,
}

// publish is what a room wants of a publisher's line.
func publish(codecs ...string) func(int, *Media) Choice {
	return func(_ int, m *Media) Choice {
		c := Choice{Direction: plane.RecvOnly, OpusFEC: true, Extensions: everyExtension}
		for _, name := range codecs {
			if KnownCodec(m.Kind, name) {
				c.Codecs = append(c.Codecs, name)
			}
		}
		return c
	}
}

// section returns the lines of the i-th m-line.
func section(t *testing.T, text string, i int) []string {
	t.Helper()
	parts := strings.Split(text, "\r\nm=")
	if i+1 >= len(parts) {
		t.Fatalf("no m-line %d in\n%s", i, text)
	}
	return strings.Split("m="+strings.TrimSuffix(parts[i+1], "\r\n"), "\r\n")
}

func TestAnswerText(t *testing.T) {
	offer := mustParse(t, sample(t, "firefox-simulcast"))
	lines := NewAnswer(offer, publish("h264"))
	Settle(nil, lines)
	got := Format(&Description{ID: 5, Version: 2, Name: "VideoRoom 1234", Medias: lines}, testTransport)
	want := crlf(`v=0
o=- 5 2 IN IP4 192.0.2.9
s=VideoRoom 1234
t=0 0
a=group:BUNDLE 0 1 2
a=ice-options:trickle
a=fingerprint:sha-256 ` + testTransport.Fingerprints[0].Value + `
a=extmap-allow-mixed
a=msid-semantic: WMS *
a=ice-lite
m=audio 9 UDP/TLS/RTP/SAVPF 109
c=IN IP4 192.0.2.9
a=recvonly
a=mid:0
a=rtcp-mux
a=ice-ufrag:abcdefgh
a=ice-pwd:abcdefghijklmnopqrstuvwx
a=ice-options:trickle
a=setup:active
a=rtpmap:109 opus/48000/2
a=fmtp:109 useinbandfec=1
a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level
a=extmap:3 urn:ietf:params:rtp-hdrext:sdes:mid
a=msid:janus janus0
a=candidate:1 1 udp 2130706431 192.0.2.9 3478 typ host
a=candidate:2 1 tcp 1694498815 192.0.2.9 3478 typ host tcptype passive
a=end-of-candidates
m=video 9 UDP/TLS/RTP/SAVPF 126 127
c=IN IP4 192.0.2.9
a=recvonly
a=mid:1
a=rtcp-mux
a=ice-ufrag:abcdefgh
a=ice-pwd:abcdefghijklmnopqrstuvwx
a=ice-options:trickle
a=setup:active
a=rtpmap:126 H264/90000
a=rtcp-fb:126 ccm fir
a=rtcp-fb:126 nack
a=rtcp-fb:126 nack pli
a=rtcp-fb:126 goog-remb
a=rtcp-fb:126 transport-cc
a=fmtp:126 profile-level-id=42e01f;level-asymmetry-allowed=1;packetization-mode=1
a=rtpmap:127 rtx/90000
a=fmtp:127 apt=126
a=extmap:3 urn:ietf:params:rtp-hdrext:sdes:mid
a=extmap:4 http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time
a=extmap:6/sendonly http://www.webrtc.org/experiments/rtp-hdrext/playout-delay
a=extmap:7 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01
a=extmap:8/recvonly urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id
a=extmap:9/recvonly urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id
a=msid:janus janus1
a=rid:h recv
a=rid:m recv
a=rid:l recv
a=simulcast:recv h;m;l
m=application 9 UDP/DTLS/SCTP webrtc-datachannel
c=IN IP4 192.0.2.9
a=sendrecv
a=mid:2
a=ice-ufrag:abcdefgh
a=ice-pwd:abcdefghijklmnopqrstuvwx
a=ice-options:trickle
a=setup:active
a=sctp-port:5000
`)
	if diff := cmp.Diff(strings.Split(want, "\r\n"), strings.Split(got, "\r\n")); diff != "" {
		t.Error(diff)
	}
}

func TestAnswerCodecs(t *testing.T) {
	chromium := sample(t, "chromium-offer")
	safari := sample(t, "safari-offer")
	firefox := sample(t, "firefox-simulcast")
	mode0 := withLines(testAudio, "m=video 9 UDP/TLS/RTP/SAVPF 97 98\na=rtpmap:97 H264/90000\na=fmtp:97 packetization-mode=0\na=rtpmap:98 H264/90000\na=fmtp:98 profile-level-id=42001f\n")
	profile := func(h264, vp9 string) func(*Choice) {
		return func(c *Choice) { c.H264Profile, c.VP9Profile = h264, vp9 }
	}
	tests := []struct {
		name   string
		offer  string
		codecs []string
		more   func(*Choice)
		want   string // name and fmtp of the video line, "" when it is refused
	}{
		{"VP8 is preferred, whatever the client prefers", safari, nil, nil, "vp8 "},
		{"the wanted one", chromium, []string{"av1"}, nil, "av1 level-idx=5;profile=0;tier=0"},
		{"the first of a list", chromium, []string{"h265x", "vp9", "vp8"}, nil, "vp9 profile-id=0"},
		{"names in any case", chromium, []string{"VP9"}, nil, "vp9 profile-id=0"},
		{"not offered", safari, []string{"av1"}, nil, ""},
		{"unknown", chromium, []string{"foo"}, nil, ""},
		{"first H.264", safari, []string{"h264"}, nil, "h264 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=640c1f"},
		{"H.264 profile", safari, []string{"h264"}, profile("42E01F", ""), "h264 profile-level-id=42E01F;packetization-mode=1"},
		{"H.264 profile not offered", safari, []string{"h264"}, profile("4d0032", ""), ""},
		{"H.264 profile does not matter to VP8", safari, []string{"vp8"}, profile("4d0032", ""), "vp8 "},
		{"no H.264 in packetization mode 0", mode0, []string{"h264"}, nil, "h264 profile-level-id=42001f"},
		{"VP9 profile", chromium, []string{"vp9"}, profile("", "2"), "vp9 profile-id=2"},
		{"VP9 profile not offered", firefox, []string{"vp9"}, profile("", "2"), ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			offer := mustParse(t, tt.offer)
			m := NewAnswer(offer, func(i int, m *Media) Choice {
				c := Choice{Direction: plane.RecvOnly}
				if m.Kind == plane.Video {
					c.Codecs = tt.codecs
					if tt.more != nil {
						tt.more(&c)
					}
				}
				return c
			})[1]
			got := ""
			if c, ok := m.Codec(); ok {
				got = c.Name + " " + c.Fmtp
			}
			if got != tt.want || m.Rejected != (tt.want == "") || len(m.Codecs) > 1 {
				t.Errorf("got %q rejected %v, want %q; codecs %v", got, m.Rejected, tt.want, names(&m))
			}
			if o := offer.Media(m.Mid); !m.Rejected {
				for _, c := range o.Codecs {
					if c.PayloadType == m.Codecs[0].PayloadType && c.RTX != m.Codecs[0].RTX {
						t.Errorf("payload type of retransmissions %d, offered %d", m.Codecs[0].RTX, c.RTX)
					}
				}
			}
		})
	}
}

func TestAnswerFeedback(t *testing.T) {
	video := "m=video 9 UDP/TLS/RTP/SAVPF 96 97\na=rtpmap:96 VP8/90000\na=rtpmap:97 rtx/90000\na=fmtp:97 apt=96\na=extmap:3 " + plane.ExtTransportCC + "\n"
	answer := func(lines string, extensions ...string) plane.Codec {
		d := mustParse(t, withLines(testAudio, video+lines))
		m := NewAnswer(d, func(int, *Media) Choice { return Choice{Direction: plane.RecvOnly, Extensions: extensions} })[1]
		return m.Codecs[0]
	}
	if c := answer("a=rtcp-fb:96 transport-cc\na=rtcp-fb:96 nack\n", plane.ExtTransportCC); !c.TransportCC || !c.NACK || c.RTX != 97 || c.PLI || c.REMB || c.FIR {
		t.Errorf("answer is not what was offered: %+v", c)
	}
	if c := answer("a=rtcp-fb:96 transport-cc\na=rtcp-fb:96 nack\n"); c.TransportCC {
		t.Error("transport-cc without its extension")
	}
	if c := answer("a=rtcp-fb:96 transport-cc\n"); c.RTX != 0 {
		t.Error("retransmissions without NACK")
	}
}

func TestAnswerOpus(t *testing.T) {
	offer := withLines("m=audio 9 UDP/TLS/RTP/SAVPF 111 63\na=rtpmap:111 opus/48000/2\na=fmtp:111 minptime=10;stereo=1;useinbandfec=1;usedtx=1\na=rtcp-fb:111 nack\na=rtpmap:63 red/48000/2\na=fmtp:63 111/111\n")
	answer := func(offer string, c Choice) Media {
		return NewAnswer(mustParse(t, offer), func(int, *Media) Choice { return c })[0]
	}
	tests := []struct {
		choice Choice
		fmtp   string
	}{
		{Choice{}, ""},
		{Choice{OpusFEC: true}, "useinbandfec=1"},
		{Choice{OpusFEC: true, OpusDTX: true}, "useinbandfec=1;usedtx=1"},
		{Choice{OpusFEC: true, OpusDTX: true, OpusStereo: true}, "useinbandfec=1;usedtx=1;stereo=1"},
	}
	for _, tt := range tests {
		m := answer(offer, tt.choice)
		if c := m.Codecs[0]; len(m.Codecs) != 1 || c.Fmtp != tt.fmtp || !c.NACK {
			t.Errorf("%+v: %+v", tt.choice, m.Codecs)
		}
	}
	m := answer(offer, Choice{RED: PreferRED})
	if got := names(&m); !cmp.Equal(got, []string{"red", "opus"}) || m.Codecs[0].PayloadType != 63 || m.Codecs[0].Fmtp != "111/111" {
		t.Errorf("RED: %+v", m.Codecs)
	}
	m = answer(offer, Choice{RED: OfferedRED})
	if got := names(&m); !cmp.Equal(got, []string{"opus", "red"}) {
		t.Errorf("RED as offered, behind Opus: %v", got)
	}
	m = answer(strings.Replace(offer, "SAVPF 111 63", "SAVPF 63 111", 1), Choice{RED: OfferedRED})
	if got := names(&m); !cmp.Equal(got, []string{"red", "opus"}) {
		t.Errorf("RED as offered, before Opus: %v", got)
	}
	if m := answer(offer, Choice{RED: PreferRED, Codecs: []string{"pcmu"}}); !m.Rejected {
		t.Error("RED is no way around a codec that is not offered")
	}
	if m := answer(strings.Replace(offer, "111/111", "112/112", 1), Choice{RED: PreferRED}); m.RED() {
		t.Error("RED of another payload type taken")
	}
	multi := answer(withLines("m=audio 9 UDP/TLS/RTP/SAVPF 96\na=rtpmap:96 multiopus/48000/6\na=fmtp:96 channel_mapping=0,4,1,2,3,5;num_streams=4;coupled_streams=2\n"), Choice{})
	if c := multi.Codecs[0]; c.Channels != 6 || !strings.HasPrefix(c.Fmtp, "channel_mapping") {
		t.Errorf("multiopus %+v", c)
	}
	if m := answer(withLines("m=audio 9 UDP/TLS/RTP/SAVPF 96 97\na=rtpmap:96 L16/16000\na=rtpmap:97 L16/48000/2\n"), Choice{Codecs: []string{"l16-48"}}); m.Codecs[0].PayloadType != 97 || CodecName(plane.Audio, m.Codecs[0]) != "l16-48" {
		t.Errorf("l16-48 is told by its clock rate: %+v", m.Codecs)
	}
}

func TestAnswerDirections(t *testing.T) {
	word := map[plane.Direction]string{plane.SendRecv: "sendrecv", plane.SendOnly: "sendonly", plane.RecvOnly: "recvonly", plane.Inactive: "inactive"}
	want := map[[2]plane.Direction]plane.Direction{ // offered, wanted
		{plane.SendRecv, plane.RecvOnly}: plane.RecvOnly,
		{plane.SendRecv, plane.SendOnly}: plane.SendOnly,
		{plane.SendRecv, plane.SendRecv}: plane.SendRecv,
		{plane.SendOnly, plane.RecvOnly}: plane.RecvOnly,
		{plane.SendOnly, plane.SendRecv}: plane.RecvOnly,
		{plane.RecvOnly, plane.SendOnly}: plane.SendOnly,
		{plane.RecvOnly, plane.SendRecv}: plane.SendOnly,
	}
	for offered := plane.Inactive; offered <= plane.SendRecv; offered++ {
		for wanted := plane.Inactive; wanted <= plane.SendRecv; wanted++ {
			d := mustParse(t, withLines(testAudio+"a="+word[offered]+"\n"))
			m := NewAnswer(d, func(int, *Media) Choice { return Choice{Direction: wanted} })[0]
			if m.Direction != want[[2]plane.Direction{offered, wanted}] || m.Rejected {
				t.Errorf("offered %s, wanted %s: %s", word[offered], word[wanted], word[m.Direction])
			}
		}
	}
}

func TestAnswerExtensions(t *testing.T) {
	d := mustParse(t, sample(t, "chromium-offer"))
	video := &d.Medias[1]
	if video.Extension(plane.ExtDependencyDescriptor) == 0 {
		// Only offered by pages that ask for it.
		video.Extensions = append(video.Extensions, plane.Extension{ID: 15, URI: plane.ExtDependencyDescriptor})
	}
	for codec, descriptor := range map[string]bool{"vp8": false, "h264": false, "vp9": true, "av1": true} {
		m := NewAnswer(d, publish("opus", codec))[1]
		if (m.Extension(plane.ExtDependencyDescriptor) != 0) != descriptor {
			t.Errorf("%s: dependency descriptor %v", codec, !descriptor)
		}
		for _, e := range m.Extensions {
			if video.Extension(e.URI) != e.ID {
				t.Errorf("%s: id %d, offered %d", e.URI, e.ID, video.Extension(e.URI))
			}
		}
	}
	if m := NewAnswer(d, func(int, *Media) Choice { return Choice{} })[1]; len(m.Extensions) != 0 {
		t.Errorf("extensions nobody asked for: %v", m.Extensions)
	}
}

func TestAnswerRefusals(t *testing.T) {
	text := withLines(testAudio, "m=video 9 UDP/TLS/RTP/SAVPF 96\na=rtpmap:96 VP8/90000\na=mid:1\n", "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\na=mid:2\na=sctp-port:5000\n",
		"m=application 9 UDP/DTLS/SCTP webrtc-datachannel\na=mid:3\na=sctp-port:5000\n")
	reject := func(kinds ...plane.Kind) func(int, *Media) Choice {
		return func(_ int, m *Media) Choice {
			if slices.Contains(kinds, m.Kind) {
				return Choice{Reject: true}
			}
			return Choice{Direction: plane.RecvOnly}
		}
	}
	format := func(lines []Media) string {
		Settle(nil, lines)
		return Format(&Description{Medias: lines}, testTransport)
	}
	first := func(text string, i int) string { return section(t, text, i)[0] }

	got := format(NewAnswer(mustParse(t, text), reject(plane.Video)))
	if !strings.Contains(got, "a=group:BUNDLE 0 2\r\n") {
		t.Errorf("group of\n%s", got)
	}
	if s := section(t, got, 1); !cmp.Equal(s, []string{"m=video 0 UDP/TLS/RTP/SAVPF 0", "c=IN IP4 192.0.2.9", "a=inactive", "a=mid:1"}) {
		t.Errorf("refused line %q", s)
	}
	if s := first(got, 3); s != "m=application 0 UDP/DTLS/SCTP webrtc-datachannel" {
		t.Errorf("second data channel line %q", s)
	}

	got = format(NewAnswer(mustParse(t, text), reject(plane.Audio)))
	s := section(t, got, 0)
	if s[0] != "m=audio 9 UDP/TLS/RTP/SAVPF 0" || !strings.Contains(got, "a=group:BUNDLE 0 1 2\r\n") {
		t.Errorf("the first line keeps the transport: %q", s)
	}
	joined := strings.Join(s, "\n")
	for _, needed := range []string{"a=inactive", "a=ice-ufrag:", "a=setup:active", "a=candidate:", "a=end-of-candidates"} {
		if !strings.Contains(joined, needed) {
			t.Errorf("first line lacks %s", needed)
		}
	}
	if strings.Count(got, "a=end-of-candidates") != 1 {
		t.Error("candidates are written once")
	}

	// A first line that the client itself stopped stays away, and the transport moves to the next.
	stopped := mustParse(t, strings.Replace(text, "m=audio 9", "m=audio 0", 1))
	stopped.Bundle = []string{"1", "2"}
	got = format(NewAnswer(stopped, reject()))
	if first(got, 0) != "m=audio 0 UDP/TLS/RTP/SAVPF 0" || !strings.Contains(got, "a=group:BUNDLE 1 2\r\n") || !strings.Contains(strings.Join(section(t, got, 1), "\n"), "a=candidate") {
		t.Errorf("stopped first line:\n%s", got)
	}

	// Lines outside of the BUNDLE group would need a transport of their own.
	outside := mustParse(t, text)
	outside.Bundle = []string{"0"}
	if m := NewAnswer(outside, reject()); m[0].Rejected || !m[1].Rejected || !m[2].Rejected {
		t.Error("lines outside of the group are refused")
	}
	if m := NewAnswer(mustParse(t, withLines(testAudio, "m=text 9 UDP/TLS/RTP/SAVPF 98\na=mid:1\n")), reject()); !m[1].Rejected {
		t.Error("unknown kinds are refused")
	}
}

func TestAnswerData(t *testing.T) {
	d := mustParse(t, sample(t, "legacy-data"))
	lines := NewAnswer(d, func(int, *Media) Choice { return Choice{} })
	local := testTransport
	local.Setup = AnswerSetup(d.Transport.Setup)
	s := section(t, Format(&Description{Medias: lines}, local), 0)
	joined := strings.Join(s, "\n")
	if s[0] != "m=application 9 DTLS/SCTP 5000" || !strings.Contains(joined, "a=sctpmap:5000 webrtc-datachannel 16") || !strings.Contains(joined, "a=setup:passive") {
		t.Errorf("legacy form %q", s)
	}
	if l := Lines(lines, d.Medias, "")[0]; l.Direction != plane.SendRecv || l.SCTPPort != 5000 || l.Kind != plane.Data {
		t.Errorf("line %+v", l)
	}
}

func TestSettleKeepsSSRCs(t *testing.T) {
	d := mustParse(t, sample(t, "chromium-offer"))
	echo := func(int, *Media) Choice { return Choice{Direction: plane.SendRecv} }
	one := NewAnswer(d, echo)
	Settle(nil, one)
	seen := map[uint32]bool{}
	for _, m := range one[:2] {
		if m.SSRC == 0 || seen[m.SSRC] {
			t.Errorf("SSRC %d", m.SSRC)
		}
		seen[m.SSRC] = true
	}
	if one[1].RTX == 0 || seen[one[1].RTX] || one[0].RTX != 0 {
		t.Errorf("RTX %d and %d", one[0].RTX, one[1].RTX)
	}
	// An inactive line in between does not lose its SSRC.
	two := NewAnswer(d, func(int, *Media) Choice { return Choice{} })
	Settle(one, two)
	for i := range 2 { // nor its mention, without which Chromium does not play it when it comes back
		text := Format(&Description{Medias: two}, plane.Transport{})
		if want := fmt.Sprintf("a=ssrc:%d cname:", one[i].SSRC); !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
	three := NewAnswer(d, echo)
	Settle(two, three)
	for i := range 2 {
		if one[i].SSRC != three[i].SSRC || one[i].RTX != three[i].RTX {
			t.Errorf("line %d: SSRC %d became %d", i, one[i].SSRC, three[i].SSRC)
		}
		if l := Lines(two, d.Medias, "")[i]; l.SSRC != 0 || l.RTX != 0 {
			t.Errorf("line %d sends nothing but has SSRC %d", i, l.SSRC)
		}
	}
}
