package load

import (
	"testing"
	"time"

	"cardea/e2e/load/internal/rtc"
	"cardea/e2e/load/internal/synth"
	"cardea/relay/rtp"
)

const testRun = 0xabc

// receiver is a subscriber of a room with two publishers, whose streams begin with 8.
func receiver(simulcast bool) *subscriber {
	c := Default()
	c.Publishers, c.Simulcast = 2, simulcast
	m := newInterval()
	m.set(1000, 2000)
	s := newSubscriber(&c, m, new(reception), testRun, 8)
	s.accept(&rtc.Description{Media: []rtc.Media{{
		Payloads:   map[uint8]rtc.Payload{111: {Codec: "opus"}, 96: {Codec: "vp8"}, 97: {Codec: "rtx", Apt: 96}},
		Extensions: map[string]uint8{rtc.TransportCCURI: 3},
		Repairs:    map[uint32]uint32{21: 20},
	}}})
	return s
}

// opus hands an audio packet to s.
func opus(s *subscriber, seq uint16, mark synth.Mark, arrival int64) {
	payload := synth.AppendOpus(nil, mark)
	s.RTP(&rtp.Header{PayloadType: 111, SSRC: 10, SequenceNumber: seq, Len: 12}, payload, arrival)
}

func TestCount(t *testing.T) {
	s := receiver(false)
	mark := func(stream, counter uint32, sent int64) synth.Mark {
		return synth.Mark{Run: testRun, Stream: stream, Counter: counter, Sent: sent}
	}
	opus(s, 1, mark(8, 1, 999), 1001)   // sent before the interval, came in it
	opus(s, 2, mark(8, 2, 1000), 1500)  // counts
	opus(s, 3, mark(8, 2, 1000), 1600)  // the same under another number
	opus(s, 4, mark(8, 3, 1999), 2500)  // counts, came later
	opus(s, 5, mark(8, 4, 2000), 2600)  // sent later
	opus(s, 6, mark(12, 1, 1500), 1600) // the other publisher's
	opus(s, 7, mark(16, 1, 1500), 1600) // of another room
	opus(s, 8, mark(4, 1, 1500), 1600)  // of another room
	opus(s, 9, synth.Mark{Run: 1, Stream: 8, Counter: 9, Sent: 1500}, 1600)
	s.Replayed(1700)
	s.Replayed(2700)
	r := s.total
	if r.delivered != 3 || r.duplicated != 2 || r.foreign != 3 || r.received != 8 || r.bytes != 3*92 {
		t.Errorf("%+v", r)
	}
	if r.delay.Count() != 3 || r.delay.Max() != 501 {
		t.Errorf("delays %d, max %v", r.delay.Count(), r.delay.Max())
	}
}

// TestVideo receives a keyframe of which a packet comes by retransmission.
func TestVideo(t *testing.T) {
	s := receiver(false)
	v := synth.NewVideo(synth.VideoConfig{Bitrate: 2e6, FPS: 30, KeyframeRatio: 5, MaxPayload: 1172, Width: 640, Height: 360}, 0, 1)
	f := v.Next()
	payload := func(i int) []byte {
		return f.AppendPayload(nil, i, synth.Mark{Run: testRun, Stream: 9, Counter: uint32(i), Sent: 1100})
	}
	for i := range f.Packets {
		if i != 2 {
			s.RTP(&rtp.Header{PayloadType: 96, SSRC: 20, SequenceNumber: uint16(i), Timestamp: f.Timestamp, Marker: i == f.Packets-1}, payload(i), 1200)
		}
	}
	if len(s.pictures) != 0 || s.sources[0].frame == nil {
		t.Fatal("a picture with a hole counts")
	}
	if got := s.sources[0].due(nil, 1201); len(got) != 1 || got[0] != 2 {
		t.Errorf("asks for %v", got)
	}
	repair := rtp.Header{PayloadType: 97, SSRC: 21, SequenceNumber: 700, Timestamp: f.Timestamp}
	s.RTP(&repair, nil, 1300) // padding
	for range 2 {
		s.RTP(&repair, append([]byte{0, 2}, payload(2)...), 1300)
	}
	if len(s.pictures) != 1 || s.pictures[0] != 1300 {
		t.Errorf("pictures %v", s.pictures)
	}
	if r := s.total; r.delivered != uint64(f.Packets) || r.recovered != 1 || r.needless != 1 || r.duplicated != 0 {
		t.Errorf("%+v", r)
	}
	if got := s.sources[0].due(nil, 1e9); len(got) != 0 {
		t.Errorf("still asks for %v", got)
	}
}

// TestLayers expects what the server chose to send, and no more.
func TestLayers(t *testing.T) {
	s := receiver(true)
	for _, p := range []struct{ layer, counter uint32 }{
		{3, 100}, {3, 101}, {1, 50}, {3, 102}, {1, 51}, {1, 54}, {1, 53}, {3, 300}, {3, 301},
	} {
		s.count(synth.Mark{Run: testRun, Stream: 8 + p.layer, Counter: p.counter, Sent: 1500}, 100, 1600, false)
	}
	var expected uint64
	for i := range s.streams {
		expected += s.streams[i].run.Expected()
	}
	// Layer 3: 100 to 101, then one that came while layer 1 had begun and made it begin anew, then 300 to 301; layer 1: 50, 51 to 54.
	if s.total.delivered != 9 || expected != 2+1+1+4+2 {
		t.Errorf("delivered %d of %d", s.total.delivered, expected)
	}
}

// TestTransportFeedback reports each packet once, and late ones not at all.
func TestTransportFeedback(t *testing.T) {
	s := receiver(false)
	packet := func(n uint16) {
		h := rtp.Header{PayloadType: 111, SSRC: 10, SequenceNumber: n, Profile: rtp.ProfileOneByte, Extensions: []byte{3<<4 | 1, byte(n >> 8), byte(n), 0}}
		s.RTP(&h, nil, int64(n)*int64(time.Millisecond))
	}
	for _, n := range []uint16{10, 12, 11, 14} {
		packet(n)
	}
	if b := s.appendTransport(nil); len(b) == 0 || s.base != 15 || len(s.arrivals) != 0 {
		t.Errorf("%d bytes, base %d", len(b), s.base)
	}
	packet(13)
	if b := s.appendTransport(nil); len(b) != 0 || s.base != 15 {
		t.Errorf("feedback about a late packet: %d bytes, base %d", len(b), s.base)
	}
	packet(16)
	if s.appendTransport(nil); s.base != 17 || s.number != 2 {
		t.Errorf("base %d, number %d", s.base, s.number)
	}
}
