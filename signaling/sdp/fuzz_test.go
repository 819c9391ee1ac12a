package sdp

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cardea/relay/plane"
)

// FuzzParse looks for panics and broken promises of Parse, and takes whatever it accepts through the answer path: what we
// write must be read by ourselves with the same meaning.
func FuzzParse(f *testing.F) {
	files, _ := filepath.Glob("testdata/*.sdp")
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(b))
	}
	f.Add(withLines(testAudio, "m=video 9 UDP/TLS/RTP/SAVPF 96\na=rtpmap:96 VP8/90000\na=rid:a send\na=simulcast:send a;~b\n"))
	f.Fuzz(func(t *testing.T, text string) {
		d, err := Parse(text)
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || e.Reason == "" {
				t.Fatalf("error %v", err)
			}
			return
		}
		check(t, d)
		lines := NewAnswer(d, func(int, *Media) Choice {
			return Choice{Direction: plane.SendRecv, Extensions: everyExtension, RED: PreferRED, OpusFEC: true, OpusStereo: true, Bandwidth: 64000}
		})
		if len(lines) != len(d.Medias) {
			t.Fatalf("%d lines answered, %d offered", len(lines), len(d.Medias))
		}
		Settle(nil, lines)
		out := Format(&Description{ID: 1, Version: 1, Medias: lines}, testTransport)
		if strings.ContainsAny(strings.ReplaceAll(out, "\r\n", ""), "\r\n") {
			t.Fatalf("stray line end in %q", out)
		}
		back, err := Parse(out)
		if err != nil {
			t.Fatalf("our own answer: %v\n%s", err, out)
		}
		for i := range lines {
			l, b := &lines[i], &back.Medias[i]
			if l.Kind == 0 || l.Rejected {
				continue
			}
			if b.Mid != l.Mid || b.Kind != l.Kind || b.Direction != l.Direction || len(b.Codecs) != len(l.Codecs) || len(b.Extensions) != len(l.Extensions) {
				t.Fatalf("line %d: wrote %+v, read %+v\n%s", i, l, b, out)
			}
		}
		for _, l := range Lines(lines, d.Medias, "hml") {
			if l.Direction.Sends() && l.Kind != plane.Data && l.SSRC == 0 {
				t.Fatalf("sending line without SSRC: %+v", l)
			}
		}
		if _, err := Accept(lines, d); err != nil {
			t.Fatalf("a description answers lines of its own shape: %v", err)
		}
	})
}

// check states what Parse promises.
func check(t *testing.T, d *Description) {
	t.Helper()
	if len(d.Medias) == 0 || len(d.Medias) > maxMedias || len(d.Transport.Candidates) > maxCandidates || len(d.Transport.Fingerprints) > maxFingerprints {
		t.Fatal("bounds")
	}
	mids := map[string]bool{}
	for _, m := range d.Medias {
		if m.Mid == "" || len(m.Mid) > maxMid || mids[m.Mid] {
			t.Fatalf("mid %q", m.Mid)
		}
		mids[m.Mid] = true
		if len(m.Extensions) > maxExtensions || len(m.Encodings) > maxEncodings || len(m.Codecs) > 128 {
			t.Fatalf("bounds of %q", m.Mid)
		}
		types, ids := map[uint8]bool{}, map[uint8]bool{}
		for _, c := range m.Codecs {
			if types[c.PayloadType] {
				t.Fatalf("payload type %d twice", c.PayloadType)
			}
			types[c.PayloadType] = true
		}
		for _, e := range m.Extensions {
			if ids[e.ID] || e.ID == 0 || e.ID == 15 {
				t.Fatalf("extension id %d", e.ID)
			}
			ids[e.ID] = true
		}
	}
}

// FuzzCandidate checks that whatever is taken is written and read again as the same candidate.
func FuzzCandidate(f *testing.F) {
	f.Add("candidate:1 1 udp 2130706431 192.0.2.1 3478 typ host")
	f.Add("a=candidate:1 1 tcp 5 2001:db8::1 9 typ srflx raddr :: rport 9 tcptype passive")
	f.Fuzz(func(t *testing.T, s string) {
		c, err := ParseCandidate(s)
		if err != nil || c.Component == 0 {
			return
		}
		again, err := ParseCandidate(FormatCandidate(c))
		if err != nil || again != c {
			t.Fatalf("%+v became %+v, %v", c, again, err)
		}
	})
}
