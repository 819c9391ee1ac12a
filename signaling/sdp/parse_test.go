package sdp

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cardea/relay/plane"
)

// sample reads a browser's description; files are kept with LF and read as the browser wrote them.
func sample(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name+".sdp"))
	if err != nil {
		t.Fatal(err)
	}
	return crlf(string(b))
}

func crlf(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\n", "\r\n")
}

func mustParse(t testing.TB, text string) *Description {
	t.Helper()
	d, err := Parse(text)
	if err != nil {
		t.Fatalf("Parse: %v\n%s", err, text)
	}
	return d
}

const (
	testSession = `v=0
o=- 7 3 IN IP4 127.0.0.1
s=test
t=0 0
a=group:BUNDLE 0 1 2 3
a=fingerprint:sha-256 7A:45:10:9B:EF:02:3C:D8:61:F4:AA:90:0E:55:B3:2C:71:88:19:4D:C6:E0:3F:5B:92:A7:6E:14:8D:D9:20:BC
a=ice-ufrag:Qb3x
a=ice-pwd:t2mN5VbG7kLpXr9wYs1cZd4f
a=setup:actpass
`
	testAudio = `m=audio 9 UDP/TLS/RTP/SAVPF 111 0
c=IN IP4 0.0.0.0
a=rtpmap:111 opus/48000/2
`
)

// withLines makes a description of testSession and these media sections.
func withLines(sections ...string) string { return crlf(testSession + strings.Join(sections, "")) }

func names(m *Media) []string {
	var out []string
	for _, c := range m.Codecs {
		out = append(out, c.Name)
	}
	return out
}

func TestParseErrors(t *testing.T) {
	head := "v=0\no=- 1 1 IN IP4 127.0.0.1\ns=-\nt=0 0\n"
	fingerprint := "a=fingerprint:sha-256 " + strings.TrimSuffix(strings.Repeat("AB:", 32), ":") + "\n"
	audio := "m=audio 9 UDP/TLS/RTP/SAVPF 111\nc=IN IP4 127.0.0.1\n"
	credentials := "a=ice-ufrag:abcd\na=ice-pwd:abcdefghijklmnopqrstuvwx\n"
	tests := []struct{ name, text, reason string }{
		{"empty", "", reasonStart},
		{"garbage", "garbage", reasonStart},
		{"version only", "v=0", reasonMissing},
		{"no m-lines", head, reasonMissing},
		{"syntax", head + "m=audio\n", reasonSyntax},
		{"bare CR", head + audio + credentials + fingerprint + "a=rtpmap:111 opus/48000/2\na=fmtp:111 x\ra=ice-lite\n", reasonSyntax},
		{"NUL", head + audio + "a=fmtp:111 \x00\n", reasonSyntax},
		{"too long", head + audio + credentials + fingerprint + strings.Repeat("a=x\n", maxSize/4), reasonSyntax},
		{"too many lines", head + credentials + fingerprint + strings.Repeat(audio, maxMedias+1), reasonSyntax},
		{"nothing", head + "m=audio 9 RTP/AVP 0\nc=IN IP4 127.0.0.1\n", reasonProcessing},
		{"no fingerprint", head + audio + credentials, reasonProcessing},
		{"no credentials", head + audio + fingerprint, reasonProcessing},
		{"no password", head + audio + fingerprint + "a=ice-ufrag:abcd\n", reasonProcessing},
		{"short password", head + audio + fingerprint + "a=ice-ufrag:abcd\na=ice-pwd:abcdefgh\n", reasonProcessing},
		{"short fingerprint", head + audio + credentials + "a=fingerprint:sha-256 AA:BB\n", reasonProcessing},
		{"malformed fingerprint", head + audio + credentials + strings.Replace(fingerprint, "AB:", "ABX", 1), reasonProcessing},
		{"unknown hash", head + audio + credentials + strings.Replace(fingerprint, "sha-256", "md5", 1), reasonProcessing},
		{"long mid", head + audio + credentials + fingerprint + "a=mid:12345678901234567\n", reasonProcessing},
		{"mid with space", head + audio + credentials + fingerprint + "a=mid:a b\n", reasonProcessing},
		{"mid twice", head + audio + credentials + fingerprint + "a=mid:0\n" + audio + "a=mid:0\n", reasonProcessing},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse(tt.text)
			var e *Error
			if !errors.As(err, &e) || e.Reason != tt.reason {
				t.Fatalf("got %v, want reason %q", err, tt.reason)
			}
		})
	}
}

func TestParseChromium(t *testing.T) {
	d := mustParse(t, sample(t, "chromium-offer"))
	if len(d.Medias) != 3 || !cmp.Equal(d.Bundle, []string{"0", "1", "2"}) {
		t.Fatalf("%d lines in group %v", len(d.Medias), d.Bundle)
	}
	if d.Transport.Ufrag == "" || d.Transport.Pwd == "" || len(d.Transport.Fingerprints) != 1 || d.Transport.Setup != plane.ActPass || d.Transport.Complete {
		t.Errorf("transport %+v", d.Transport)
	}
	audio, video, data := &d.Medias[0], &d.Medias[1], &d.Medias[2]
	if got, want := names(audio), []string{"opus", "red", "g722", "pcmu", "pcma"}; !cmp.Equal(got, want) {
		t.Errorf("audio codecs %v, want %v", got, want)
	}
	if c, ok := audio.Codec(); !ok || c.Name != "opus" || !c.TransportCC || c.NACK || c.RTX != 0 || c.Channels != 2 {
		t.Errorf("audio codec %+v", c)
	}
	if !audio.RED() || video.RED() {
		t.Error("RED is of audio")
	}
	h264, profiles := 0, map[string]bool{}
	for _, c := range video.Codecs {
		if c.RTX == 0 || !c.NACK || !c.PLI || !c.FIR || !c.REMB || !c.TransportCC {
			t.Errorf("codec lacks feedback or retransmissions: %+v", c)
		}
		if c.Name == "h264" {
			h264++
			p, _ := FmtpParam(c.Fmtp, "profile-level-id")
			profiles[p] = true
		}
	}
	if h264 < 4 || len(profiles) < 3 {
		t.Errorf("%d H.264 formats of %d profiles", h264, len(profiles))
	}
	if video.SSRC == 0 || video.RTX == 0 || !cmp.Equal(video.Encodings, []plane.Encoding{{SSRC: video.SSRC, RTX: video.RTX}}) {
		t.Errorf("video SSRC %d RTX %d encodings %v", video.SSRC, video.RTX, video.Encodings)
	}
	if video.Extension(plane.ExtTransportCC) == 0 || video.Extension(plane.ExtMid) == 0 || video.Extension("urn:x") != 0 {
		t.Errorf("video extensions %v", video.Extensions)
	}
	if data.Kind != plane.Data || data.SCTPPort != 5000 || data.MaxMessage != 262144 || data.LegacySCTP {
		t.Errorf("data line %+v", data)
	}
}

func TestParseSimulcast(t *testing.T) {
	tests := []struct {
		name  string
		text  string
		order string
		want  []plane.Encoding // lowest quality first
	}{
		{"chromium", sample(t, "chromium-simulcast"), "hml", []plane.Encoding{{RID: "l", Disabled: true}, {RID: "m"}, {RID: "h"}}},
		{"chromium lmh", sample(t, "chromium-simulcast"), "lmh", []plane.Encoding{{RID: "h"}, {RID: "m"}, {RID: "l", Disabled: true}}},
		{"firefox", sample(t, "firefox-simulcast"), "", []plane.Encoding{{RID: "l"}, {RID: "m"}, {RID: "h"}}},
		{
			"SSRC groups are lowest first whatever the order", sample(t, "safari-offer"), "hml",
			[]plane.Encoding{{SSRC: 1000001, RTX: 2000001}, {SSRC: 1000002, RTX: 2000002}, {SSRC: 1000003, RTX: 2000003}},
		},
		{
			"form of the drafts", withLines(testAudio, "m=video 9 UDP/TLS/RTP/SAVPF 96\na=rtpmap:96 VP8/90000\na=rid:a send\na=rid:b send\na=simulcast: send rid=b;a\n"),
			"hml",
			[]plane.Encoding{{RID: "a"}, {RID: "b"}},
		},
		{
			"no simulcast line", withLines(testAudio, "m=video 9 UDP/TLS/RTP/SAVPF 96\na=rtpmap:96 VP8/90000\na=rid:a send pt=96\na=rid:b send\n"),
			"hml",
			[]plane.Encoding{{RID: "b"}, {RID: "a"}},
		},
		{
			"alternatives, unknown and doubled rids", withLines(testAudio, "m=video 9 UDP/TLS/RTP/SAVPF 96\na=rtpmap:96 VP8/90000\na=rid:a send\na=rid:b send\na=rid:c recv\na=simulcast:recv c send a,b;x;a;b\n"),
			"hml",
			[]plane.Encoding{{RID: "b"}, {RID: "a"}},
		},
		{
			"at most three", withLines(testAudio, "m=video 9 UDP/TLS/RTP/SAVPF 96\na=rtpmap:96 VP8/90000\na=rid:a send\na=rid:b send\na=rid:c send\na=rid:d send\na=simulcast:send a;b;c;d\n"),
			"lmh",
			[]plane.Encoding{{RID: "a"}, {RID: "b"}, {RID: "c"}},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := mustParse(t, tt.text)
			answer := NewAnswer(d, func(int, *Media) Choice { return Choice{Direction: plane.RecvOnly} })
			got := Lines(answer, d.Medias, tt.order)[1].Receive
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestParseStopped(t *testing.T) {
	d := mustParse(t, sample(t, "chromium-stopped"))
	if d.Medias[0].Rejected || !d.Medias[1].Rejected || d.Medias[2].Rejected {
		t.Fatalf("rejected: %v %v %v", d.Medias[0].Rejected, d.Medias[1].Rejected, d.Medias[2].Rejected)
	}
	if len(d.Transport.Candidates) != 2 || d.Transport.Candidates[0].Address != "192.0.2.2" {
		t.Errorf("candidates %v, want those of the first line alone", d.Transport.Candidates)
	}
}

func TestParseFirefox(t *testing.T) {
	d := mustParse(t, sample(t, "firefox-simulcast"))
	if !strings.HasPrefix(d.Username, "mozilla") {
		t.Errorf("user name %q", d.Username)
	}
	video := &d.Medias[1]
	// Both H.264 formats are kept, in packetization mode 1 and 0; RED and FEC of video are not.
	if got, want := names(video), []string{"vp8", "vp9", "h264", "h264"}; !cmp.Equal(got, want) {
		t.Errorf("video codecs %v, want %v", got, want)
	}
	if c, _ := video.Codec(); c.PayloadType != 120 || c.RTX != 124 {
		t.Errorf("VP8 %+v", c)
	}
	if d.Medias[2].MaxMessage != 1073741823 {
		t.Errorf("max-message-size %d", d.Medias[2].MaxMessage)
	}
}

func TestParseBoundsAndOddities(t *testing.T) {
	video := "m=video 9 UDP/TLS/RTP/SAVPF 96\na=rtpmap:96 VP8/90000\n"
	one := func(lines string) *Media {
		t.Helper()
		return &mustParse(t, withLines(testAudio, video+lines)).Medias[1]
	}
	m := one("a=extmap:15 urn:a\na=extmap:0 urn:b\na=extmap:256 urn:c\na=extmap:3 urn:d\na=extmap:3 urn:e\na=extmap:4 urn:d\na=extmap:5/inactive urn:f\n" +
		"a=extmap:6 urn:ietf:params:rtp-hdrext:encrypt urn:g 5\na=extmap:16/sendonly urn:h\na=extmap:7\n")
	if want := []plane.Extension{{ID: 3, URI: "urn:d"}, {ID: 16, URI: "urn:h"}}; !cmp.Equal(m.Extensions, want) {
		t.Errorf("extensions %v, want %v", m.Extensions, want)
	}
	if m := one("a=rtcp-fb:* nack\na=rtcp-fb:* ccm fir\n"); !m.Codecs[0].NACK || !m.Codecs[0].FIR || m.Codecs[0].PLI {
		t.Errorf("wildcard feedback %+v", m.Codecs[0])
	}
	if m := one("a=recvonly\na=mid:x\n"); m.Direction != plane.RecvOnly || m.Mid != "x" {
		t.Errorf("direction %v mid %q", m.Direction, m.Mid)
	}
	if m := one(""); m.Direction != plane.SendRecv || m.Mid != "1" {
		t.Errorf("defaults: direction %v mid %q", m.Direction, m.Mid)
	}
	if m := one("a=rid:ab/c send\na=rid:12345678901234567 send\n"); len(m.Encodings) != 0 {
		t.Errorf("malformed rids taken: %v", m.Encodings)
	}
	if d := mustParse(t, withLines(testAudio, "m=text 9 UDP/TLS/RTP/SAVPF 98\n")); d.Medias[1].Kind != 0 || d.Medias[1].Type != "text" {
		t.Errorf("text line %+v", d.Medias[1])
	}
	audio := mustParse(t, withLines("m=audio 9 UDP/TLS/RTP/SAVPF 0 8 9 96 13 300 -1\n")).Medias[0]
	if got, want := names(&audio), []string{"pcmu", "pcma", "g722"}; !cmp.Equal(got, want) {
		t.Errorf("static payload types: %v, want %v", got, want)
	}
	bw := mustParse(t, withLines("m=audio 9 UDP/TLS/RTP/SAVPF 0\nb=AS:64\nb=TIAS:60000\n")).Medias[0]
	if bw.Bandwidth != 60000 {
		t.Errorf("bandwidth %d", bw.Bandwidth)
	}
	bundleOnly := mustParse(t, withLines(testAudio, "m=video 0 UDP/TLS/RTP/SAVPF 96\na=rtpmap:96 VP8/90000\na=bundle-only\n"))
	if bundleOnly.Medias[1].Rejected {
		t.Error("bundle-only is not rejected")
	}
	gone := mustParse(t, crlf("v=0\no=- 1 1 IN IP4 127.0.0.1\ns=-\nt=0 0\nm=audio 0 UDP/TLS/RTP/SAVPF 0\n"))
	if !gone.Medias[0].Rejected {
		t.Error("a description of rejected lines needs no transport")
	}
}

func TestParseCandidatesBounded(t *testing.T) {
	line := "a=candidate:1 1 udp 2130706431 192.0.2.1 5000 typ host\n"
	d := mustParse(t, withLines(testAudio, strings.Repeat(line, 3*maxCandidates), "a=candidate:1 2 udp 1 192.0.2.1 9 typ host\na=candidate:bad\na=end-of-candidates\n"))
	if n := len(d.Transport.Candidates); n != maxCandidates {
		t.Errorf("%d candidates kept, want %d", n, maxCandidates)
	}
	if !d.Transport.Complete {
		t.Error("end-of-candidates not seen")
	}
}

func TestParseLegacyData(t *testing.T) {
	d := mustParse(t, sample(t, "legacy-data"))
	m := d.Medias[0]
	if m.Kind != plane.Data || !m.LegacySCTP || m.SCTPPort != 5000 || d.Transport.Setup != plane.Active {
		t.Fatalf("%+v %v", m, d.Transport.Setup)
	}
	if AnswerSetup(d.Transport.Setup) != plane.Passive || AnswerSetup(plane.ActPass) != plane.Active || AnswerSetup(plane.Passive) != plane.Active {
		t.Error("the node is the DTLS client unless the client must be")
	}
}

func TestMaxMessageSize(t *testing.T) {
	for in, want := range map[string]uint32{"": 0, "x": 0, "-1": 0, "0": math.MaxUint32, "65536": 65536, "99999999999": math.MaxUint32} {
		if got := parseMaxMessage(in); got != want {
			t.Errorf("%q: %d, want %d", in, got, want)
		}
	}
}

func TestCandidate(t *testing.T) {
	good := []struct {
		in   string
		want plane.Candidate
		out  string // "" for in
	}{
		{
			"candidate:1 1 udp 2130706431 192.0.2.1 3478 typ host",
			plane.Candidate{Foundation: "1", Component: 1, Protocol: "udp", Priority: 2130706431, Address: "192.0.2.1", Port: 3478, Type: "host"},
			"",
		},
		{
			"a=candidate:x+/ 1 UDP 1 2001:db8::1 9 typ srflx raddr :: rport 9 generation 0 ufrag abcd network-cost 999",
			plane.Candidate{Foundation: "x+/", Component: 1, Protocol: "udp", Priority: 1, Address: "2001:db8::1", Port: 9, Type: "srflx"},
			"candidate:x+/ 1 udp 1 2001:db8::1 9 typ srflx raddr :: rport 9",
		},
		{
			"2 1 tcp 5 192.0.2.1 9 typ host tcptype active",
			plane.Candidate{Foundation: "2", Component: 1, Protocol: "tcp", Priority: 5, Address: "192.0.2.1", Port: 9, Type: "host", TCPType: "active"},
			"candidate:2 1 tcp 5 192.0.2.1 9 typ host tcptype active",
		},
		{
			"candidate:1 1 udp 5 0a1b2c3d-0000.local 9 typ host",
			plane.Candidate{Foundation: "1", Component: 1, Protocol: "udp", Priority: 5, Address: "0a1b2c3d-0000.local", Port: 9, Type: "host"},
			"",
		},
	}
	for _, tt := range good {
		got, err := ParseCandidate(tt.in)
		if err != nil || got != tt.want {
			t.Errorf("%q: %+v, %v", tt.in, got, err)
			continue
		}
		want := tt.out
		if want == "" {
			want = tt.in
		}
		if s := FormatCandidate(got); s != want {
			t.Errorf("written %q, want %q", s, want)
		}
	}
	for _, bad := range []string{
		"", "garbage", "candidate:", "1 1 udp 5 192.0.2.1 9", "1 1 sctp 5 192.0.2.1 9 typ host", "1 1 udp x 192.0.2.1 9 typ host",
		"1 1 udp 5 192.0.2.1 99999 typ host", "1 1 udp 5 example.org 9 typ host", "1 1 udp 5 192.0.2.1 9 typ other", "1 1 udp 5 192.0.2.1 9 typ host " + strings.Repeat("x", maxCandidate),
	} {
		if c, err := ParseCandidate(bad); err == nil {
			t.Errorf("%q taken as %+v", bad, c)
		}
	}
}
