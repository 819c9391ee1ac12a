package janustest

import (
	"fmt"
	"strings"
)

const fingerprint = "AB:CD:EF:01:23:45:67:89:AB:CD:EF:01:23:45:67:89:AB:CD:EF:01:23:45:67:89:AB:CD:EF:01:23:45:67:89"

// Offer returns a client's offer as a JSEP object, with one line of each kind: "audio" (Opus), "video" (VP8 with
// retransmissions and H.264), "simulcast" (video in three rids) or "data". A direction may follow a colon:
// "audio:sendonly"; without, lines are sendrecv. Mids are "0", "1", and so on.
func Offer(kinds ...string) M { return M{"type": "offer", "sdp": OfferSDP("clnt", kinds...)} }

// OfferSDP returns the offer's text, with that ICE ufrag, which tells an ICE restart.
func OfferSDP(ufrag string, kinds ...string) string {
	var b strings.Builder
	mids := make([]string, len(kinds))
	for i := range mids {
		mids[i] = fmt.Sprint(i)
	}
	head(&b, mids)
	for i, k := range kinds {
		kind, direction, ok := strings.Cut(k, ":")
		if !ok {
			direction = "sendrecv"
		}
		switch kind {
		case "audio":
			line(&b, "audio 9 UDP/TLS/RTP/SAVPF 111 0", ufrag, "actpass", fmt.Sprint(i), direction)
			b.WriteString("a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level\r\na=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid\r\n" +
				"a=rtpmap:111 opus/48000/2\r\na=rtcp-fb:111 transport-cc\r\na=fmtp:111 minptime=10;useinbandfec=1\r\na=rtpmap:0 PCMU/8000\r\n")
			fmt.Fprintf(&b, "a=ssrc:%d cname:client\r\n", 1000+i)
		case "video", "simulcast":
			line(&b, "video 9 UDP/TLS/RTP/SAVPF 96 97 102", ufrag, "actpass", fmt.Sprint(i), direction)
			b.WriteString("a=extmap:3 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01\r\na=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid\r\n" +
				"a=extmap:10 urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id\r\na=extmap:11 urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id\r\n" +
				"a=rtpmap:96 VP8/90000\r\na=rtcp-fb:96 goog-remb\r\na=rtcp-fb:96 transport-cc\r\na=rtcp-fb:96 ccm fir\r\na=rtcp-fb:96 nack\r\na=rtcp-fb:96 nack pli\r\n" +
				"a=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\n" +
				"a=rtpmap:102 H264/90000\r\na=fmtp:102 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f\r\na=rtcp-fb:102 nack pli\r\n")
			if kind == "simulcast" {
				b.WriteString("a=rid:h send\r\na=rid:m send\r\na=rid:l send\r\na=simulcast:send h;m;l\r\n")
			} else {
				fmt.Fprintf(&b, "a=ssrc-group:FID %d %d\r\na=ssrc:%d cname:client\r\na=ssrc:%d cname:client\r\n", 1000+i, 2000+i, 1000+i, 2000+i)
			}
		case "data":
			line(&b, "application 9 UDP/DTLS/SCTP webrtc-datachannel", ufrag, "actpass", fmt.Sprint(i), "")
			b.WriteString("a=sctp-port:5000\r\na=max-message-size:262144\r\n")
		}
	}
	return b.String()
}

// Answer returns the client's answer to the server's offer as a JSEP object: it takes every line with its first format
// and receives what it is sent.
func Answer(offer string) M {
	sections := strings.Split(offer, "\r\nm=")[1:]
	var b strings.Builder
	mids := make([]string, len(sections))
	for i, s := range sections {
		mids[i] = attribute(s, "mid:")
	}
	head(&b, mids)
	for _, s := range sections {
		mline, rest, _ := strings.Cut(s, "\r\n")
		f := strings.Fields(mline)
		if f[1] == "0" {
			fmt.Fprintf(&b, "m=%s 0 %s %s\r\nc=IN IP4 0.0.0.0\r\na=mid:%s\r\na=inactive\r\n", f[0], f[2], f[3], attribute(rest, "mid:"))
			continue
		}
		direction := ""
		switch {
		case f[0] == "application":
		case strings.Contains(rest, "a=sendonly"):
			direction = "recvonly"
		case strings.Contains(rest, "a=sendrecv"):
			direction = "sendrecv"
		case strings.Contains(rest, "a=recvonly"):
			direction = "sendonly"
		default:
			direction = "inactive"
		}
		line(&b, strings.Join(f[:4], " "), "clnt", "active", attribute(rest, "mid:"), direction)
		for l := range strings.SplitSeq(rest, "\r\n") {
			pt := f[3]
			switch {
			case strings.HasPrefix(l, "a=extmap:"), strings.HasPrefix(l, "a=sctp-port:"),
				strings.HasPrefix(l, "a=rtpmap:"+pt+" "), strings.HasPrefix(l, "a=fmtp:"+pt+" "), strings.HasPrefix(l, "a=rtcp-fb:"+pt+" "):
				b.WriteString(l + "\r\n")
			}
		}
	}
	return M{"type": "answer", "sdp": b.String()}
}

// attribute returns the value of the first attribute of that name.
func attribute(section, name string) string {
	_, v, _ := strings.Cut(section, "a="+name)
	v, _, _ = strings.Cut(v, "\r\n")
	return v
}

func head(b *strings.Builder, mids []string) {
	fmt.Fprintf(b, "v=0\r\no=- 4711 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE %s\r\na=extmap-allow-mixed\r\na=msid-semantic: WMS\r\n", strings.Join(mids, " "))
}

func line(b *strings.Builder, mline, ufrag, setup, mid, direction string) {
	fmt.Fprintf(b, "m=%s\r\nc=IN IP4 0.0.0.0\r\na=ice-ufrag:%s\r\na=ice-pwd:clientpasswordclientpwd\r\na=ice-options:trickle\r\na=fingerprint:sha-256 %s\r\na=setup:%s\r\na=mid:%s\r\n",
		mline, ufrag, fingerprint, setup, mid)
	if direction != "" {
		fmt.Fprintf(b, "a=%s\r\na=rtcp-mux\r\n", direction)
	}
}
