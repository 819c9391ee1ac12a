package stream

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cardea/relay/plane"
	"cardea/relay/rtp"
)

var publisherExtensions = []plane.Extension{
	{ID: 1, URI: plane.ExtAudioLevel},
	{ID: 2, URI: plane.ExtAbsSendTime},
	{ID: 3, URI: plane.ExtTransportCC},
	{ID: 4, URI: plane.ExtMid},
	{ID: 5, URI: plane.ExtPlayoutDelay},
	{ID: 6, URI: plane.ExtVideoOrientation},
	{ID: 7, URI: plane.ExtAbsCaptureTime},
	{ID: 8, URI: plane.ExtDependencyDescriptor},
	{ID: 9, URI: plane.ExtRID},
	{ID: 10, URI: "urn:somebody's own"},
}

// decorate appends all of them.
func decorate(b []byte) []byte {
	w := rtp.NewExtWriter(b)
	for id, v := range []string{"", "\x85", "abc", "de", "mid", "\x01\x20\x03", "\x09", "captured", "dependencydescriptor", "h", "own"} {
		w.Add(uint8(id), []byte(v))
	}
	return w.End()
}

func TestExtensionsAreRewritten(t *testing.T) {
	long := slices.Clone(publisherExtensions)
	for i := range long {
		long[i].ID += 20 // the two-byte form
	}
	var few []plane.Extension
	for _, e := range publisherExtensions {
		if e.URI == plane.ExtMid || e.URI == plane.ExtPlayoutDelay {
			few = append(few, e)
		}
	}
	for _, tt := range []struct {
		name  string
		own   []plane.Extension
		delay *plane.PlayoutDelay
		want  map[uint8]string
	}{
		{"none", nil, nil, map[uint8]string{}},
		{"few", few, nil, map[uint8]string{4: "1", 5: "\x01\x20\x03"}},
		{"own playout delay", few, &plane.PlayoutDelay{Min: 50 * time.Millisecond, Max: time.Hour}, map[uint8]string{4: "1", 5: "\x00\x5f\xff"}},
		{"all", long, nil, map[uint8]string{
			21: "\x85", 22: "\x12\x34\x56", 23: "\x00\x00", 24: "1", 25: "\x01\x20\x03", 26: "\x09", 27: "captured", 28: "dependencydescriptor",
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := New(Config{Kind: plane.Video, Codecs: []plane.Codec{vp8Codec}, Extensions: publisherExtensions, Layers: 1})
			f := &source{t: t, s: s, pt: 96, ssrc: 3, ext: decorate}
			cfg := videoConfig()
			cfg.Extensions = tt.own
			v := newViewer(t, cfg)
			v.track.SetPlayoutDelay(tt.delay)
			v.attach(s, 1)
			f.frame(1, true, 0, ms)
			s.Flush(ms, nil)
			got := map[uint8]string{}
			for e := v.got[0].Elements(); ; {
				id, value, ok := e.Next()
				if !ok {
					break
				}
				got[id] = string(value)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
			if v.got[0].SSRC != 7 || v.got[0].PayloadType != 96 || !v.got[0].Marker || len(v.got[0].payload) != 200 {
				t.Errorf("%+v", v.got[0].Header)
			}
		})
	}
}

func TestPacketAccessors(t *testing.T) {
	s := New(Config{Kind: plane.Video, Codecs: []plane.Codec{vp8Codec}, Extensions: publisherExtensions, Layers: 1})
	f := &source{t: t, s: s, pt: 96, ssrc: 3, ext: decorate}
	f.frame(1, true, 0, ms)
	f.ext = nil
	f.frame(1, false, 0, ms)
	p := s.burst[0]
	level, ok1 := p.AudioLevel()
	orientation, ok2 := p.Orientation()
	delay, ok3 := p.PlayoutDelay()
	if !ok1 || !ok2 || !ok3 || level != 0x85 || orientation != 9 || delay != 0x012003 {
		t.Errorf("%#x, %#x, %#x", level, orientation, delay)
	}
	if string(p.Descriptor()) != "dependencydescriptor" || string(p.CaptureTime()) != "captured" {
		t.Errorf("%q, %q", p.Descriptor(), p.CaptureTime())
	}
	bare := s.burst[1]
	_, ok1 = bare.AudioLevel()
	_, ok2 = bare.Orientation()
	_, ok3 = bare.PlayoutDelay()
	if ok1 || ok2 || ok3 || bare.Descriptor() != nil || bare.CaptureTime() != nil {
		t.Error("a bare packet has extensions")
	}
}

func TestPadding(t *testing.T) {
	s, f, _ := newVideo(t, 1)
	track := NewTrack(videoConfig())
	s.Lock()
	track.Attach(s, 1)
	s.Unlock()
	f[0].frame(1, true, 0, ms)
	s.Lock()
	defer s.Unlock()
	p := s.burst[0]
	if track.Select(p, ms) != Forward {
		t.Fatal("not forwarded")
	}
	size := track.Size(p)
	pkt, header, index := track.AppendRTP(make([]byte, 0, 1500), p, Stamp{}, 40)
	if len(pkt) != size+40 || pkt[len(pkt)-1] != 40 || pkt[0]&0x20 == 0 {
		t.Errorf("%d bytes, last is %d", len(pkt), pkt[len(pkt)-1])
	}
	again, _, sameIndex, rtx, ok := track.AppendRetransmission(make([]byte, 0, 1500), uint16(index), Stamp{}, ms, 0)
	if !ok || !rtx || sameIndex == index {
		t.Fatalf("retransmission: rtx %v, ok %v", rtx, ok)
	}
	if body := again[header+2:]; again[0]&0x20 != 0 || !bytes.Equal(body, pkt[header:len(pkt)-40]) {
		t.Error("retransmission carries padding, or other media")
	}
	if pkt, _, _ := track.AppendRTP(make([]byte, 0, 1500), p, Stamp{}, 0); pkt != nil {
		t.Error("a packet without a choice")
	}
}

func TestOverheadSuffices(t *testing.T) {
	s := New(Config{Kind: plane.Video, Codecs: []plane.Codec{vp8Codec}, Extensions: publisherExtensions, Layers: 1})
	f := &source{t: t, s: s, pt: 96, ssrc: 3, ext: func(b []byte) []byte {
		w := rtp.NewExtWriter(b)
		w.Add(1, []byte{1})
		w.Add(5, []byte{1, 2, 3})
		w.Add(6, []byte{1})
		w.Add(7, make([]byte, captureTimeMax))
		w.Add(8, make([]byte, descriptorMax))
		return w.End()
	}}
	cfg := videoConfig()
	cfg.Mid = "sixteen bytes mid"[:16]
	cfg.Extensions = publisherExtensions
	v := newViewer(t, cfg)
	v.attach(s, 1)
	f.frame(1, true, 0, ms)
	s.Flush(ms, nil)
	if n := len(v.got[0].raw) - 200; n+2 > Overhead {
		t.Errorf("%d bytes over the payload, Overhead is %d", n, Overhead)
	}
}
