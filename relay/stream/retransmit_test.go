package stream

import (
	"bytes"
	"encoding/binary"
	"testing"

	"cardea/relay/codec"
	"cardea/relay/plane"
	"cardea/relay/rtp"
)

func (v *viewer) nack(seq uint16, now, rtt int64) (pkt []byte, headerLen int, index uint64, rtx, ok bool) {
	s := v.track.Stream()
	s.Lock()
	defer s.Unlock()
	return v.track.AppendRetransmission(make([]byte, 0, 2048), seq, Stamp{0x654321, 999}, now, rtt)
}

func TestRetransmissionRTX(t *testing.T) {
	s, f, _ := newVideo(t, 1)
	cfg := videoConfig()
	cfg.Extensions = []plane.Extension{{ID: 2, URI: plane.ExtAbsSendTime}, {ID: 3, URI: plane.ExtTransportCC}}
	v := newViewer(t, cfg)
	v.attach(s, 1)
	now := ms
	for i := range 10 {
		f[0].frame(3, i == 0, 0, now)
		s.Flush(now, nil)
		now += 33 * ms
	}
	var last uint64
	for i, want := range []rtpPacket{v.got[3], v.got[29]} {
		pkt, header, index, rtx, ok := v.nack(want.SequenceNumber, now, 0)
		if !ok || !rtx {
			t.Fatal("not sent again")
		}
		var h rtp.Header
		if err := rtp.Parse(pkt, &h); err != nil || h.Len != header {
			t.Fatal(err)
		}
		if h.SSRC != 8 || h.PayloadType != 97 || h.Timestamp != want.Timestamp || h.Marker != want.Marker || h.SequenceNumber != uint16(index) {
			t.Errorf("%+v", h)
		}
		if i > 0 && index != last+1 {
			t.Errorf("RTX number %d after %d", index, last)
		}
		last = index
		if osn := binary.BigEndian.Uint16(pkt[header:]); osn != want.SequenceNumber || !bytes.Equal(pkt[header+2:], want.payload) {
			t.Errorf("original number %d, want %d", osn, want.SequenceNumber)
		}
		if got := h.Extension(2); !bytes.Equal(got, []byte{0x65, 0x43, 0x21}) {
			t.Errorf("abs-send-time %x: not that of the repeat", got)
		}
	}
}

func TestRetransmissionWithoutRTXIsIdentical(t *testing.T) {
	s, f, _ := newVideo(t, 1)
	cfg := videoConfig()
	cfg.RTX = 0
	cfg.Extensions = []plane.Extension{{ID: 2, URI: plane.ExtAbsSendTime}, {ID: 3, URI: plane.ExtTransportCC}, {ID: 4, URI: plane.ExtMid}}
	v := newViewer(t, cfg)
	v.attach(s, 1)
	f[0].frame(3, true, 0, ms)
	s.Flush(ms, nil)
	for _, want := range v.got {
		pkt, _, index, rtx, ok := v.nack(want.SequenceNumber, ms, 0)
		if !ok || rtx || index != want.index || !bytes.Equal(pkt, want.raw) {
			t.Errorf("packet %d: ok %v, rtx %v, same number: %v, same bytes: %v", want.index, ok, rtx, index == want.index, bytes.Equal(pkt, want.raw))
		}
	}
	s.Lock()
	v.track.SetPlayoutDelay(&plane.PlayoutDelay{})
	s.Unlock()
	if _, _, _, _, ok := v.nack(v.got[0].SequenceNumber, 2000*ms, 0); ok {
		t.Error("sent again although its bytes cannot be the same")
	}
}

func TestRetransmissionIsLimited(t *testing.T) {
	s, f, _ := newVideo(t, 1)
	v := newViewer(t, videoConfig())
	v.attach(s, 1)
	f[0].frame(1, true, 0, ms)
	s.Flush(ms, nil)
	seq := v.got[0].SequenceNumber
	for _, tt := range []struct {
		at   int64 // ms
		rtt  int64 // ms
		want bool
	}{
		{10, 20, true}, {30, 20, false}, {51, 20, true}, // 40 ms at least
		{100, 20, false}, {132, 20, true}, // then double
		{250, 100, false}, {533, 100, true}, // by the round trip
	} {
		if _, _, _, _, ok := v.nack(seq, tt.at*ms, tt.rtt*ms); ok != tt.want {
			t.Errorf("at %d ms: %v", tt.at, ok)
		}
	}
	if got := v.track.Stats().Retransmitted; got != 4 {
		t.Errorf("%d retransmissions counted", got)
	}
}

func TestRetransmissionOfUnknown(t *testing.T) {
	s, f := newAudio(t)
	v := newViewer(t, audioConfig())
	v.attach(s, 1)
	for i := range int64(1000) {
		f.opus(i * 20 * ms)
		s.Flush(i*20*ms, nil)
	}
	if _, _, _, _, ok := v.nack(v.got[999].SequenceNumber+1, 20001*ms, 0); ok {
		t.Error("sent a packet of the future")
	}
	if _, _, _, _, ok := v.nack(v.got[0].SequenceNumber, 20001*ms, 0); ok {
		t.Error("sent a packet of 20 s ago")
	}
	if _, _, _, _, ok := v.nack(v.got[990].SequenceNumber, 20001*ms, 0); !ok {
		t.Error("a packet of 200 ms ago is forgotten")
	}
	other, _ := newAudio(t)
	v.attach(other, 20002*ms)
	if _, _, _, _, ok := v.nack(v.got[995].SequenceNumber, 20003*ms, 0); ok {
		t.Error("sent a packet of a stream that was left")
	}
}

func TestRetransmissionOfWhatCameLate(t *testing.T) {
	s, f, _ := newVideo(t, 1)
	v := newViewer(t, videoConfig())
	v.attach(s, 1)
	f[0].frame(2, true, 0, ms)
	lost := *f[0]
	f[0].seq++
	f[0].frame(2, false, 0, ms)
	s.Flush(ms, nil)
	hole := v.got[1].SequenceNumber + 1
	if _, _, _, _, ok := v.nack(hole, 2*ms, 0); ok {
		t.Error("sent what is not there")
	}
	lost.push(vp8(false, false, false, 0, lost.picture, lost.tl0, 100), false, 3*ms)
	s.RemoveSink(v) // it does not see the late packet
	s.Flush(3*ms, nil)
	pkt, header, index, rtx, ok := v.nack(hole, 4*ms, 0)
	if !ok || rtx || uint16(index) != hole {
		t.Fatalf("ok %v, rtx %v, number %d, want %d", ok, rtx, uint16(index), hole)
	}
	v.receive(pkt, header, index, codec.VP8)
	v.continuous()
	if _, _, _, rtx, ok := v.nack(hole, 5*ms, 0); !ok || !rtx {
		t.Error("asked for again it is a retransmission like any other")
	}
}

func TestPaddingProbes(t *testing.T) {
	s, f, _ := newVideo(t, 1)
	v := newViewer(t, videoConfig())
	v.attach(s, 1)
	probe := func(n int) ([]byte, int, bool) {
		s.Lock()
		defer s.Unlock()
		pkt, header, _, ok := v.track.AppendPadding(make([]byte, 0, 2048), n, Stamp{})
		return pkt, header, ok
	}
	if _, _, ok := probe(300); ok {
		t.Error("padding before media")
	}
	f[0].frame(3, true, 0, ms)
	s.Flush(ms, nil)
	pkt, header, ok := probe(300)
	if !ok || len(pkt) < 200 || len(pkt) > 300 || pkt[0]&0x20 != 0 {
		t.Errorf("%d bytes: no repeat of media", len(pkt))
	}
	if osn := binary.BigEndian.Uint16(pkt[header:]); osn != v.got[0].SequenceNumber && osn != v.got[2].SequenceNumber {
		t.Errorf("original number %d", osn)
	}
	pkt, header, ok = probe(120)
	if !ok || len(pkt) != 120 || pkt[0]&0x20 == 0 || int(pkt[119]) != 120-header {
		t.Errorf("%d bytes: no padding", len(pkt))
	}
	if pkt, header, _ = probe(5000); len(pkt) != header+255 {
		t.Errorf("%d bytes", len(pkt))
	}
}
