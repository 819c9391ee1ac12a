package sdp

import (
	"runtime"
	"strings"
	"testing"
)

// TestParseDetaches wants what is taken from a description to keep itself, and not the text around it.
func TestParseDetaches(t *testing.T) {
	text := "v=0\r\no=user 1 1 IN IP4 127.0.0.1\r\ns=name\r\nt=0 0\r\na=group:BUNDLE audio video\r\n" +
		"m=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\na=mid:audio\r\na=msid:stream track\r\na=sendrecv\r\n" +
		"a=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuvwx\r\na=fingerprint:sha-1 " + strings.Repeat("AB:", 19) + "AB\r\n" +
		"a=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\na=setup:actpass\r\na=rtpmap:111 opus/48000/2\r\na=fmtp:111 useinbandfec=1\r\n" +
		"a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level\r\n" +
		"m=video 9 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\na=mid:video\r\na=sendonly\r\na=rtpmap:96 vp8/90000\r\n" +
		"a=rid:low send\r\na=rid:high send\r\na=simulcast:send low;high\r\n" +
		strings.Repeat("a=filler:"+strings.Repeat("x", 90)+"\r\n", 50)
	const (
		copies  = 1000
		allowed = 1 << 20 // bytes; the texts take 6 MB
	)
	live := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := live()
	kept := make([]string, copies)
	for i := range kept {
		d, err := Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		kept[i] = d.Medias[1].Mid
	}
	if grown := int64(live()) - int64(before); grown > allowed { //nolint:gosec // heaps are smaller than that
		t.Errorf("%d mids keep %d KiB, at most %d allowed", copies, grown>>10, allowed>>10)
	}
	runtime.KeepAlive(kept)
}
