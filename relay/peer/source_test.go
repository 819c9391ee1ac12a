package peer

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cardea/relay/plane"
	"cardea/relay/rtcp"
)

var three = []plane.Encoding{{RID: "l"}, {RID: "m"}, {RID: "h"}}

// TestBinding finds lines and layers for SSRCs as RFC 9143 section 9.2 says, and refuses what leaves a choice.
func TestBinding(t *testing.T) {
	opus := plane.Line{Mid: "a", Kind: plane.Audio, Direction: plane.RecvOnly, Codecs: []plane.Codec{testOps}, Extensions: testExtensions, Receive: []plane.Encoding{{SSRC: 10}}}
	h264 := testVP8
	h264.PayloadType, h264.RTX = 107, 108
	single := videoLine("s", plane.RecvOnly, plane.Encoding{SSRC: 20, RTX: 21})
	single.Codecs = []plane.Codec{h264}
	for name, c := range map[string]struct {
		p    packet
		line string // "" for nobody's
		want binding
	}{
		"announced":                          {p: packet{ssrc: 10, pt: 111}, line: "a"},
		"announced retransmissions":          {p: packet{ssrc: 21, pt: 108}, line: "s", want: binding{rtx: true}},
		"announced, the mid notwithstanding": {p: packet{ssrc: 10, pt: 111, mid: "v"}, line: "a"},
		"by mid and rid":                     {p: packet{ssrc: 30, mid: "v", rid: "m"}, line: "v", want: binding{layer: 1, rid: "m"}},
		"by mid and repaired rid":            {p: packet{ssrc: 31, pt: 97, mid: "v", repaired: "h"}, line: "v", want: binding{layer: 2, rid: "h", rtx: true}},
		"unknown rid":                        {p: packet{ssrc: 32, mid: "v", rid: "x"}},
		"unknown repaired rid":               {p: packet{ssrc: 32, pt: 97, mid: "v", repaired: "x"}},
		"no rid":                             {p: packet{ssrc: 33, mid: "v"}},
		"unknown mid":                        {p: packet{ssrc: 34, pt: 111, mid: "z"}},
		"rid on a line without":              {p: packet{ssrc: 35, pt: 107, mid: "s", rid: "x"}},
		"by mid":                             {p: packet{ssrc: 36, pt: 107, mid: "s"}, line: "s"},
		"by payload type":                    {p: packet{ssrc: 37, pt: 107}, line: "s"},
		"retransmission by payload type":     {p: packet{ssrc: 38, pt: 108}, line: "s", want: binding{rtx: true}},
		"payload type of two lines":          {p: packet{ssrc: 39, pt: 111}},
		"payload type of none":               {p: packet{ssrc: 40, pt: 50}},
		"payload type of a simulcast line":   {p: packet{ssrc: 41, pt: 96}},
		"on a line that does not receive":    {p: packet{ssrc: 50, pt: 111}},
		"SSRC 0":                             {p: packet{ssrc: 0, pt: 50}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStand(t)
			caller := s.newCaller("p")
			second := opus
			second.Mid, second.Receive = "b", nil
			held := opus
			held.Mid, held.Direction, held.Receive = "c", plane.RecvOnly, []plane.Encoding{{SSRC: 50}}
			caller.negotiate(1, opus, second, held, videoLine("v", plane.RecvOnly, three...), single)
			held.Direction = plane.Inactive
			caller.negotiate(2, opus, second, held, videoLine("v", plane.RecvOnly, three...), single)
			caller.send(c.p)
			src := caller.peer.sources[c.p.ssrc]
			if (src != nil) != (c.line != "") {
				t.Fatalf("bound: %v", src != nil)
			}
			if src == nil {
				if got := s.env.Metrics.Unbound.Load(); got != 1 {
					t.Errorf("%d packets unbound", got)
				}
				return
			}
			got := src.binding
			if got.line.Mid != c.line || got.layer != c.want.layer || got.rtx != c.want.rtx || got.rid != c.want.rid {
				t.Errorf("bound to line %q, %+v", got.line.Mid, got)
			}
		})
	}
}

// TestForgedPacketsBindNothing: who does not know the keys cannot take an SSRC, nor fill the table.
func TestForgedPacketsBindNothing(t *testing.T) {
	s := newStand(t)
	c := s.newCaller("p")
	c.negotiate(1, videoLine("v", plane.RecvOnly, three...))
	c.publish(publication("v"))
	for i := range uint32(1000) {
		b, _ := (&packet{ssrc: i + 1, mid: "v", rid: "h"}).write()
		c.peer.HandleRTP(append(b, make([]byte, 10)...), s.now)
	}
	if n := len(c.peer.sources) + len(c.peer.receivers); n != 0 {
		t.Errorf("%d SSRCs kept", n)
	}
	if got := s.env.Metrics.AuthFailures.Load(); got != 1000 {
		t.Errorf("%d failures counted", got)
	}
}

// TestOversizedPacketIsDropped: what could not be passed on in one datagram must not reach the cache.
func TestOversizedPacketIsDropped(t *testing.T) {
	s := newStand(t)
	c := s.newCaller("p")
	c.negotiate(1, videoLine("v", plane.RecvOnly))
	c.publish(publication("v"))
	if c.send(packet{ssrc: 1, payload: append(picture(true), make([]byte, 1600)...)}) || s.env.Metrics.Malformed.Load() != 1 {
		t.Error("taken")
	}
	if !c.send(packet{ssrc: 1, payload: append(picture(true), make([]byte, 1400)...)}) {
		t.Error("a packet of ordinary size is not taken")
	}
}

// TestReplacedEncoder: an encoder that starts anew under another SSRC goes on in the numbers and the time of the old one.
// Its retransmissions, numbered by itself, find their places, and those of the old one do not.
func TestReplacedEncoder(t *testing.T) {
	s := newStand(t)
	c := s.newCaller("p")
	c.negotiate(1, videoLine("v", plane.RecvOnly, plane.Encoding{SSRC: 1, RTX: 2}))
	c.publish(publication("v"))
	r := s.record("v")
	for i := range uint16(5) {
		c.send(packet{ssrc: 1, seq: 65533 + i, rollover: uint64((65533 + uint32(i)) >> 16), stamp: 1000 + 3000*uint32(i), key: i == 0})
		s.now += int64(time.Second / 30)
	}
	c.negotiate(2, videoLine("v", plane.RecvOnly, plane.Encoding{SSRC: 11, RTX: 12}))
	for _, seq := range []uint16{500, 501, 504} {
		c.send(packet{ssrc: 11, seq: seq, stamp: 77_000_000 + 3000*uint32(seq), key: seq == 500})
		s.now += int64(time.Second / 30)
	}
	if c.send(packet{ssrc: 2, pt: 97, seq: 1, payload: rtxPayload(65534, picture(false))}) {
		t.Error("a retransmission of the old encoder is taken")
	}
	c.peer.Drain(s.now, s.out)
	_, control := c.got()
	var asked []uint16
	for _, p := range control {
		if p.Kind() == rtcp.NACK && p.Media == 11 {
			for seqs := p.NACKs(); ; {
				seq, ok := seqs.Next()
				if !ok {
					break
				}
				asked = append(asked, seq)
			}
		}
	}
	if diff := cmp.Diff([]uint16{502, 503}, asked); diff != "" {
		t.Errorf("asked for other numbers than the new encoder's (-want +got):\n%s", diff)
	}
	s.now += int64(30 * time.Millisecond)
	if !c.send(packet{ssrc: 12, pt: 97, seq: 9, stamp: 77_000_000 + 3000*503, payload: rtxPayload(503, picture(false))}) {
		t.Error("a retransmission is not taken")
	}
	if c.send(packet{ssrc: 12, pt: 97, seq: 10, stamp: 77_000_000 + 3000*503, payload: rtxPayload(503, picture(false))}) {
		t.Error("a second copy is taken")
	}
	first := r.seqs[0]
	var seqs []int64
	for _, v := range r.seqs {
		seqs = append(seqs, v-first)
	}
	if diff := cmp.Diff([]int64{0, 1, 2, 3, 4, 5, 6, 9, 8}, seqs); diff != "" {
		t.Errorf("numbers (-want +got):\n%s", diff)
	}
	if d := r.stamps[5] - r.stamps[4]; d < 2500 || d > 3500 {
		t.Errorf("the new encoder begins %d ticks after the old one, want a frame", d)
	}
	if d := r.stamps[8] - r.stamps[5]; d != 9000 {
		t.Errorf("a repaired packet is %d ticks after the first", d)
	}
	if st := c.peer.Stats().Lines[0]; st.Packets != 8 || st.Repaired != 1 || st.NACKs != 2 {
		t.Errorf("statistics run over the change of encoder: %+v", st)
	}
	if n := len(s.told(plane.EventReceiving)); n != 1 {
		t.Errorf("%d events of receiving", n)
	}
}

// TestHold: a line that is put on hold and taken up again keeps the rollover counters of its SSRCs, which nobody would tell
// us again, and what was seen of them.
func TestHold(t *testing.T) {
	s := newStand(t)
	c := s.newCaller("p")
	line := videoLine("v", plane.RecvOnly, plane.Encoding{SSRC: 1})
	c.negotiate(1, line)
	c.publish(publication("v"))
	c.send(packet{ssrc: 1, seq: 65535, key: true})
	c.send(packet{ssrc: 1, seq: 0, rollover: 1})
	held := line
	held.Direction, held.Receive = plane.Inactive, nil
	c.negotiate(2, held)
	if s.env.Streams.Len() != 0 {
		t.Fatal("still published")
	}
	c.send(packet{ssrc: 1, seq: 5, rollover: 1}) // under way
	c.negotiate(3, line)
	if !c.send(packet{ssrc: 1, seq: 9, rollover: 1}) {
		t.Error("the rollover counter was forgotten")
	}
	for _, old := range []uint16{5, 0} {
		if c.send(packet{ssrc: 1, seq: old, rollover: 1}) {
			t.Errorf("packet %d is taken a second time", old)
		}
	}
}

// TestOldEncoderReturns: a client that goes back to an SSRC goes on with its rollover counter, but what of it is still
// under way at the first change does not bring it back.
func TestOldEncoderReturns(t *testing.T) {
	s := newStand(t)
	c := s.newCaller("p")
	c.negotiate(1, videoLine("v", plane.RecvOnly))
	c.publish(publication("v"))
	c.send(packet{ssrc: 1, seq: 65535, key: true})
	c.send(packet{ssrc: 1, seq: 0, rollover: 1})
	c.send(packet{ssrc: 2, seq: 7, key: true})
	if c.send(packet{ssrc: 1, seq: 1, rollover: 1}) {
		t.Error("a packet that was under way brought the old encoder back")
	}
	s.now += retireTime
	if !c.send(packet{ssrc: 1, seq: 2, rollover: 1, key: true}) {
		t.Error("the old encoder cannot come back")
	}
	if got := c.peer.lines[0].layers[0].ssrc; got != 1 || len(c.peer.sources) != 1 {
		t.Errorf("SSRC %d feeds the line, %d sources", got, len(c.peer.sources))
	}
}

// TestChangingSSRCs: a client that changes its SSRCs for ever neither fills the tables nor locks itself out.
func TestChangingSSRCs(t *testing.T) {
	s := newStand(t)
	c := s.newCaller("p")
	c.negotiate(1, videoLine("v", plane.RecvOnly))
	c.publish(publication("v"))
	for i := range uint32(1000) {
		s.now += retireTime
		if !c.send(packet{ssrc: 1 + 2*i, seq: 7, key: true}) {
			t.Fatalf("SSRC %d is not taken", i)
		}
		c.send(packet{ssrc: 2 + 2*i, seq: 7, pt: 97, payload: rtxPayload(1, picture(false))})
	}
	if n, m := len(c.peer.sources), len(c.peer.receivers); n > 2 || m > 2*maxSources {
		t.Errorf("%d sources, %d receivers", n, m)
	}
}

// TestReorderedEncodings: when the client lists its encodings in another order, what it sends feeds other layers.
func TestReorderedEncodings(t *testing.T) {
	s := newStand(t)
	c := s.newCaller("p")
	c.negotiate(1, videoLine("v", plane.RecvOnly, three...))
	c.publish(publication("v"))
	for i, rid := range []string{"l", "m", "h"} {
		c.send(packet{ssrc: uint32(i + 1), seq: uint16(100 * i), mid: "v", rid: rid, key: true}) //nolint:gosec // small
	}
	was := s.env.Streams.Get(publication("v").Stream)
	c.negotiate(2, videoLine("v", plane.RecvOnly, three...))
	if s.env.Streams.Get(publication("v").Stream) != was {
		t.Error("a renegotiation that changes nothing made another stream")
	}
	c.negotiate(3, videoLine("v", plane.RecvOnly, plane.Encoding{RID: "h"}, plane.Encoding{RID: "m"}, plane.Encoding{RID: "l"}))
	r := s.record("v")
	for i := range 3 { // without mid and rid, as once the client knows that we have them
		c.send(packet{ssrc: uint32(i + 1), seq: uint16(100*i + 1), key: true}) //nolint:gosec // small
	}
	if diff := cmp.Diff([]uint8{2, 1, 0}, r.layers); diff != "" {
		t.Errorf("layers (-want +got):\n%s", diff)
	}
}
