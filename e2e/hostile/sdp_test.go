package hostile

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"cardea/e2e/internal/caller"
	"cardea/node/config"
)

// header and transport are the beginnings of a session description and of a line in it that a browser might have written.
const (
	header    = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n"
	transport = "c=IN IP4 0.0.0.0\r\na=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuvwx\r\n" +
		"a=fingerprint:sha-256 00:01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:00:01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F\r\n" +
		"a=setup:actpass\r\na=rtcp-mux\r\na=sendrecv\r\n"
	opus = "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\n" + transport + "a=rtpmap:111 opus/48000/2\r\n"
	vp8  = "m=video 9 UDP/TLS/RTP/SAVPF 96\r\n" + transport + "a=rtpmap:96 VP8/90000\r\na=rtcp-fb:96 nack\r\na=rtcp-fb:96 nack pli\r\n"
	sctp = "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n" + transport
)

// lies are descriptions that no browser writes. The node may refuse them or make the best of them.
func lies() map[string]string {
	repeat := func(n int, f func(i int) string) string {
		var b strings.Builder
		for i := range n {
			b.WriteString(f(i))
		}
		return b.String()
	}
	return map[string]string{
		"256 lines":    header + repeat(256, func(i int) string { return opus + fmt.Sprintf("a=mid:%d\r\n", i) }),
		"128 lines":    header + repeat(128, func(i int) string { return opus + fmt.Sprintf("a=mid:%d\r\n", i) }),
		"64 lines":     header + repeat(64, func(i int) string { return vp8 + fmt.Sprintf("a=mid:%d\r\n", i) }),
		"a mid twice":  header + opus + "a=mid:0\r\n" + vp8 + "a=mid:0\r\n",
		"a long mid":   header + opus + "a=mid:" + strings.Repeat("m", 1000) + "\r\n",
		"an empty mid": header + opus + "a=mid:\r\n",
		"many mids":    header + opus + repeat(2000, func(i int) string { return fmt.Sprintf("a=mid:%d\r\n", i) }),
		"candidates galore": header + opus + repeat(3000, func(i int) string {
			return fmt.Sprintf("a=candidate:%d 1 udp %d 10.0.0.1 %d typ host\r\n", i, i, i%65536)
		}),
		"bad candidates":       header + opus + "a=candidate:\r\na=candidate:1 1 udp -1 10.0.0.1 99999 typ host\r\na=candidate:1 1 udp 1 not-an-address 1 typ host\r\n",
		"a negative port":      header + strings.Replace(opus, "m=audio 9 ", "m=audio -9 ", 1),
		"a huge port":          header + strings.Replace(opus, "m=audio 9 ", "m=audio 99999999999 ", 1),
		"extension ids":        header + opus + "a=extmap:0 urn:a\r\na=extmap:15 urn:b\r\na=extmap:255 urn:ietf:params:rtp-hdrext:sdes:mid\r\na=extmap:256 urn:c\r\na=extmap:-1 urn:d\r\na=extmap:14 urn:ietf:params:rtp-hdrext:ssrc-audio-level\r\na=extmap:14 urn:e\r\n",
		"one id for all":       header + opus + "a=extmap:1 urn:ietf:params:rtp-hdrext:sdes:mid\r\na=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level\r\n" + vp8 + "a=mid:v\r\na=extmap:1 urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id\r\n",
		"extensions galore":    header + opus + repeat(1000, func(i int) string { return fmt.Sprintf("a=extmap:%d urn:x:%d\r\n", i%255, i) }),
		"payload type 200":     header + strings.ReplaceAll(vp8, "96", "200"),
		"payload types galore": header + "m=video 9 UDP/TLS/RTP/SAVPF" + repeat(2000, func(i int) string { return fmt.Sprintf(" %d", i%128) }) + "\r\n" + transport + repeat(2000, func(i int) string { return fmt.Sprintf("a=rtpmap:%d VP8/90000\r\n", i%128) }),
		"a clock rate of 0":    header + strings.Replace(vp8, "VP8/90000", "VP8/0", 1) + strings.Replace(opus, "opus/48000/2", "opus/0/0", 1) + "a=mid:a\r\n",
		"RTX of itself":        header + vp8 + "a=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=97\r\na=fmtp:96 apt=96\r\n",
		"SSRC 0":               header + vp8 + "a=ssrc:0 cname:x\r\na=ssrc-group:FID 0 0\r\n",
		"one SSRC everywhere":  header + vp8 + "a=mid:0\r\na=ssrc:7 cname:x\r\na=ssrc-group:SIM 7 7 7\r\na=ssrc-group:FID 7 7\r\n" + opus + "a=mid:1\r\na=ssrc:7 cname:x\r\n",
		"SSRC groups galore": header + vp8 + "a=ssrc-group:SIM" + repeat(5000, func(i int) string { return fmt.Sprintf(" %d", i+1) }) + "\r\n" + repeat(3000, func(i int) string {
			return fmt.Sprintf("a=ssrc-group:FID %d %d\r\na=ssrc:%d cname:x\r\n", i+1, i+2, i+1)
		}),
		"50 rids":               header + vp8 + repeat(50, func(i int) string { return fmt.Sprintf("a=rid:r%d send\r\n", i) }) + "a=simulcast:send r0" + repeat(49, func(i int) string { return fmt.Sprintf(";r%d", i+1) }) + "\r\n",
		"rids of nobody":        header + vp8 + "a=simulcast:send x;y;z recv a,b;c\r\na=simulcast:send ;;;,,,;~;~~\r\n",
		"data channels, port 0": header + sctp + "a=mid:0\r\na=sctp-port:0\r\na=max-message-size:0\r\n",
		"huge messages":         header + sctp + "a=mid:0\r\na=sctp-port:5000\r\na=max-message-size:99999999999999999999\r\n",
		"many data lines":       header + repeat(40, func(i int) string { return sctp + fmt.Sprintf("a=mid:%d\r\na=sctp-port:%d\r\n", i, i) }),
		"no credentials":        header + strings.ReplaceAll(opus, "a=ice-", "a=x-"),
		"long credentials":      header + strings.ReplaceAll(opus, "a=ice-ufrag:abcd", "a=ice-ufrag:"+strings.Repeat("u", 10000)),
		"fingerprint of a kind": header + strings.ReplaceAll(opus, "sha-256", "md5"),
		"fingerprints galore": header + opus + repeat(500, func(i int) string {
			return fmt.Sprintf("a=fingerprint:sha-1 %s%02X\r\n", strings.Repeat("AB:", 19), i%256)
		}),
		"a bundle of others":   header + "a=group:BUNDLE a b c\r\n" + opus + "a=mid:x\r\n",
		"bundles galore":       header + "a=group:BUNDLE" + repeat(5000, func(i int) string { return fmt.Sprintf(" %d", i) }) + "\r\n" + opus + "a=mid:0\r\n",
		"bandwidth":            header + "m=video 9 UDP/TLS/RTP/SAVPF 96\r\nb=TIAS:18446744073709551615\r\nb=AS:99999999999\r\n" + transport + "a=rtpmap:96 VP8/90000\r\n",
		"a long fmtp":          header + vp8 + "a=fmtp:96 " + strings.Repeat("x=1;", 20000) + "\r\n",
		"lines of other kinds": header + "m=image 9 udptl t38\r\n" + transport + "m=text 9 UDP/TLS/RTP/SAVPF 98\r\n" + transport + "m=message 9 TCP/MSRP *\r\n" + transport,
		"all rejected":         header + strings.Replace(opus, " 9 ", " 0 ", 1),
		"no lines":             header,
		"nothing":              "",
		"only a beginning":     "v=0",
		"control characters":   header + opus + "a=mid:0\r\na=fmtp:111 a\rm=video\x01\x7f\r\n",
		"bare line feeds":      strings.ReplaceAll(header+opus+"a=mid:0\r\n", "\r\n", "\n"),
		"a long line":          header + opus + "a=mid:0\r\na=x:" + strings.Repeat("y", 200<<10) + "\r\n",
		"many lines":           header + opus + "a=mid:0\r\n" + repeat(20000, func(int) string { return "a=x\r\n" }),
	}
}

// TestLies makes offers and answers that contradict themselves, in rooms and in echo tests.
func TestLies(t *testing.T) {
	s := open(t, "127.0.0.46", func(c *config.Config) { c.Limits.RequestsPerSecond = 10_000 })
	all := lies()
	g := s.attack(func(ctx context.Context) {
		client := s.client(ctx)
		for name, text := range all {
			publisher := attach(ctx, t, client, caller.VideoRoom)
			message(ctx, t, publisher, name, caller.M{"request": "join", "ptype": "publisher", "room": room}, nil)
			offer := caller.M{"type": "offer", "sdp": text}
			message(ctx, t, publisher, name, caller.M{"request": "configure"}, offer)
			message(ctx, t, publisher, name, caller.M{"request": "configure"}, offer) // as a renegotiation
			message(ctx, t, publisher, name, caller.M{"request": "configure"}, caller.M{"type": "answer", "sdp": text})
			candidates := make([]caller.M, 1000)
			for i := range candidates {
				line := fmt.Sprintf("candidate:%d 1 udp 1 10.0.0.%d 1 typ host", i, i)
				candidates[i] = caller.M{"sdpMid": "0", "candidate": line}
			}
			if _, err := publisher.Request(ctx, caller.M{"janus": "trickle", "candidates": candidates}); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			subscriber := attach(ctx, t, client, caller.VideoRoom)
			message(ctx, t, subscriber, name, caller.M{"request": "join", "ptype": "subscriber", "room": room, "streams": []caller.M{{"feed": s.publisher.ID}}}, nil)
			message(ctx, t, subscriber, name, caller.M{"request": "start"}, caller.M{"type": "answer", "sdp": text})
			echo := attach(ctx, t, client, "janus.plugin.echotest")
			message(ctx, t, echo, name, caller.M{"audio": true, "video": true}, offer)
			for _, h := range []*caller.Handle{publisher, subscriber, echo} {
				if err := h.Detach(ctx); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
		}
		if err := client.Destroy(ctx); err != nil {
			t.Error(err)
		}
	})
	g.atLeast(float64(len(all))/4, "cardea_janus_errors_total")
	if n := g.of("cardea_janus_panics_total"); n != 0 {
		t.Errorf("%v panics", n)
	}
}

func attach(ctx context.Context, t *testing.T, c *caller.Client, plugin string) *caller.Handle {
	t.Helper()
	h, err := c.Attach(ctx, plugin)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// message sends a message that may well be refused, but must be answered, and without a fault of the node's.
func message(ctx context.Context, t *testing.T, h *caller.Handle, about string, body, jsep caller.M) {
	t.Helper()
	_, err := h.Message(ctx, body, jsep)
	refused, isRefused := errors.AsType[*caller.RefusedError](err)
	switch {
	case err == nil:
	case !isRefused:
		t.Errorf("%s: %v: %v", about, body["request"], err)
	case refused.Code == json.Number("490"):
		t.Errorf("%s: %v: %v", about, body["request"], err)
	}
}
