package rtc

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const serverOffer = `v=0
o=- 1 1 IN IP4 192.0.2.1
s=VideoRoom 1
t=0 0
a=ice-lite
a=group:BUNDLE 0 1 2
m=audio 9 UDP/TLS/RTP/SAVPF 111
c=IN IP4 192.0.2.1
a=sendonly
a=mid:0
a=rtcp-mux
a=ice-ufrag:abcd
a=ice-pwd:0123456789012345678901
a=setup:actpass
a=fingerprint:sha-256 AA:BB
a=rtpmap:111 opus/48000/2
a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level
a=extmap:3 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01
a=ssrc:5 cname:x
a=candidate:1 1 udp 2013266431 192.0.2.1 40000 typ host
a=candidate:2 1 tcp 1000 192.0.2.1 40000 typ host tcptype passive
a=candidate:3 1 udp 1000 some.local 40000 typ host
a=candidate:4 2 udp 1000 192.0.2.1 40001 typ host
a=candidate:5 1 udp 1000 2001:db8::1 40002 typ host
a=end-of-candidates
m=video 9 UDP/TLS/RTP/SAVPF 96 97
c=IN IP4 192.0.2.1
a=sendonly
a=mid:1
a=rtcp-mux
a=rtpmap:96 VP8/90000
a=rtcp-fb:96 nack pli
a=rtpmap:97 rtx/90000
a=fmtp:97 apt=96
a=extmap:4/sendonly urn:ietf:params:rtp-hdrext:sdes:mid
a=extmap:13 urn:3gpp:video-orientation
a=ssrc-group:FID 6 7
m=application 9 UDP/DTLS/SCTP webrtc-datachannel
c=IN IP4 192.0.2.1
a=mid:2
`

func TestParseDescription(t *testing.T) {
	d, err := ParseDescription(strings.ReplaceAll(serverOffer, "\n", "\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := Remote{
		Ufrag: "abcd", Pwd: "0123456789012345678901", Fingerprints: []string{"AA:BB"}, Lite: true,
		Candidates: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:40000"), netip.MustParseAddrPort("[2001:db8::1]:40002")},
	}
	if diff := cmp.Diff(want, d.Remote, cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
	if len(d.Media) != 3 || d.Bundle != "0 1 2" {
		t.Fatalf("%+v", d)
	}
	v := d.Media[1]
	if v.Mid != "1" || v.Payloads[96].Codec != "vp8" || v.Payloads[97] != (Payload{"rtx", 96}) || v.Extensions[MidURI] != 4 || v.Repairs[7] != 6 {
		t.Errorf("%+v", v)
	}
	for _, bad := range []string{"", "v=0", "v=0\r\no=- 1 1 IN IP4 1.1.1.1\r\ns=-\r\nt=0 0\r\n", strings.ReplaceAll(serverOffer, "a=ice-pwd", "a=x-pwd"), strings.ReplaceAll(serverOffer, "sha-256", "md5")} {
		if _, err := ParseDescription(bad); err == nil {
			t.Errorf("taken for a description: %.40q", bad)
		}
	}
}

func TestAnswer(t *testing.T) {
	offer, err := ParseDescription(serverOffer)
	if err != nil {
		t.Fatal(err)
	}
	tr := newTransport(nil, &socket{local: netip.MustParseAddrPort("192.0.2.5:5000")}, &Identity{Fingerprint: "CC:DD"}, nil)
	text := tr.Answer(offer, false)
	answer, err := ParseDescription(text)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	if r := answer.Remote; !r.Active || len(r.Candidates) == 0 || r.Candidates[0] != tr.Local() || r.Fingerprints[0] != "CC:DD" {
		t.Errorf("%+v", r)
	}
	for i, m := range answer.Media {
		if o := offer.Media[i]; m.Kind != o.Kind || m.Mid != o.Mid || m.Rejected != (i == 2) {
			t.Errorf("%d: %+v", i, m)
		}
	}
	v := answer.Media[1]
	if diff := cmp.Diff(offer.Media[1].Payloads, v.Payloads); diff != "" {
		t.Error(diff)
	}
	if len(v.Extensions) != 1 || v.Extensions[MidURI] != 4 {
		t.Errorf("extensions %v", v.Extensions)
	}
	if strings.Count(text, "a=recvonly") != 2 || !strings.Contains(text, "m=application 0 ") {
		t.Error(text)
	}
	if text = tr.Answer(offer, true); strings.Contains(text, "candidate") {
		t.Error("candidates although they are trickled")
	}
}

func TestOffer(t *testing.T) {
	tr := newTransport(nil, &socket{local: netip.MustParseAddrPort("192.0.2.5:5000")}, &Identity{Fingerprint: "CC:DD"}, nil)
	tests := []struct {
		name  string
		offer PublisherOffer
		want  []string
		not   string
	}{
		{"plain", PublisherOffer{AudioSSRC: 1, VideoSSRC: 2, RTXSSRC: 3}, []string{"a=ssrc-group:FID 2 3\r\n", "a=ssrc:1 cname"}, "simulcast"},
		{"simulcast", PublisherOffer{AudioSSRC: 1, RIDs: []string{"h", "m", "l"}}, []string{"a=simulcast:send h;m;l\r\n", "a=rid:m send\r\n"}, "FID"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			text := tr.Offer(tt.offer, false)
			d, err := ParseDescription(text)
			if err != nil {
				t.Fatal(err)
			}
			if len(d.Media) != 2 || d.Media[0].Kind != "audio" || d.Media[1].Payloads[VP8Type].Codec != "vp8" || d.Media[1].Extensions[RIDURI] == 0 {
				t.Errorf("%+v", d.Media)
			}
			for _, w := range tt.want {
				if !strings.Contains(text, w) {
					t.Errorf("no %q", w)
				}
			}
			if strings.Contains(text, tt.not) {
				t.Errorf("contains %q", tt.not)
			}
		})
	}
}

func FuzzParseDescription(f *testing.F) {
	f.Add(serverOffer)
	tr := newTransport(nil, &socket{}, &Identity{}, nil)
	f.Fuzz(func(_ *testing.T, s string) {
		if d, err := ParseDescription(s); err == nil {
			tr.Answer(d, true)
		}
	})
}
