package stream

import (
	"testing"
	"time"
	"unsafe"

	"cardea/relay/plane"
	"cardea/relay/rtp"
	"cardea/relay/udp"
)

// writer is a sink that only makes packets, as a down-track does before encryption.
type writer struct {
	track *Track
	buf   []byte
	count int
}

func newWriter(s *Stream, cfg TrackConfig) *writer {
	cfg.Extensions = []plane.Extension{{ID: 2, URI: plane.ExtAbsSendTime}, {ID: 3, URI: plane.ExtTransportCC}, {ID: 4, URI: plane.ExtMid}}
	w := &writer{track: NewTrack(cfg), buf: make([]byte, 0, 2048)}
	s.Lock()
	w.track.Attach(s, 1)
	s.Unlock()
	s.AddSink(w)
	return w
}

func (w *writer) Layers(now int64) uint8 { return w.track.Wanted(now) }

func (w *writer) Forward(burst []*Packet, now int64, _ *udp.Outbox) {
	for _, p := range burst {
		if w.track.Select(p, now) == Drop {
			continue
		}
		if w.track.Size(p) > cap(w.buf) {
			continue
		}
		w.track.AppendRTP(w.buf, p, Stamp{uint32(now), uint16(w.count)}, 0)
		w.count++
	}
}

// feeder sends the packets of a 2 Mbit/s VP8 stream, 7 of 1,190 bytes a frame, without allocating.
type feeder struct {
	s      *Stream
	h      rtp.Header
	seq    int64
	now    int64
	frames int
	start  []byte
	key    []byte
	middle []byte
}

func newFeeder(s *Stream) *feeder {
	return &feeder{
		s: s, h: rtp.Header{PayloadType: 96, SSRC: 1}, now: ms,
		start: vp8(true, false, false, 0, 1, 1, 1190), key: vp8(true, true, false, 0, 1, 1, 1190), middle: vp8(false, false, false, 0, 1, 1, 1190),
	}
}

func (f *feeder) frame() {
	for i := range 7 {
		payload := f.middle
		if i == 0 {
			if payload = f.start; f.frames%300 == 0 {
				payload = f.key
			}
		}
		f.h.SequenceNumber, f.h.Marker = uint16(f.seq), i == 6
		copy(f.s.Reserve(0, len(payload)+16), payload)
		f.s.Commit(0, &f.h, f.seq, len(payload), f.now, false)
		f.seq++
	}
	f.frames++
	f.h.Timestamp += 3000
	f.now += int64(time.Second) / 30
	f.s.Flush(f.now, nil)
}

func TestForwardingAllocatesNothing(t *testing.T) {
	s, _, _ := newVideo(t, 1)
	f := newFeeder(s)
	var writers []*writer
	for range 3 {
		writers = append(writers, newWriter(s, videoConfig()))
	}
	writers[1].track.SetTarget(-1, 0, -1, -1)
	for range 200 { // until all rings have their size
		f.frame()
	}
	if n := testing.AllocsPerRun(100, f.frame); n != 0 {
		t.Errorf("%v allocations a frame", n)
	}
	buf := make([]byte, 0, 2048)
	s.Lock()
	defer s.Unlock()
	track := writers[0].track
	now := f.now
	if n := testing.AllocsPerRun(100, func() {
		now += int64(time.Second)
		if _, _, _, _, ok := track.AppendRetransmission(buf, uint16(track.numbers.next-1), Stamp{}, now, 0); !ok {
			t.Fatal("no retransmission")
		}
		track.AppendPadding(buf, 500, Stamp{})
		track.SenderInfo(now, 1)
	}); n != 0 {
		t.Errorf("%v allocations a retransmission", n)
	}
	if n := writers[0].count; n != 7*(200+101) {
		t.Errorf("%d packets written", n)
	}
}

// TestTrackIsSmall: the goal for a whole subscriber, transport included, is 100 KB.
func TestTrackIsSmall(t *testing.T) {
	if n := unsafe.Sizeof(sent{}); n != 24 {
		t.Errorf("a history entry takes %d bytes", n)
	}
	s, _, _ := newVideo(t, 1)
	f := newFeeder(s)
	w := newWriter(s, videoConfig())
	for range 600 {
		f.frame()
	}
	size := int(unsafe.Sizeof(*w.track)) + cap(w.track.history.entries)*24 + cap(w.track.numbers.spans)*16
	if size > 16<<10 {
		t.Errorf("a video track at 2 Mbit/s takes %d bytes, %d of them itself", size, unsafe.Sizeof(*w.track))
	}
	t.Logf("video track: %d bytes, %d of them itself; packet entry: %d bytes", size, unsafe.Sizeof(*w.track), unsafe.Sizeof(Packet{}))
}

func BenchmarkFlush(b *testing.B) {
	for _, bench := range []struct {
		name  string
		sinks int
	}{{"sinks=1", 1}, {"sinks=100", 100}} {
		b.Run(bench.name, func(b *testing.B) {
			s, _, _ := newVideo(b, 1)
			f := newFeeder(s)
			var writers []*writer
			for range bench.sinks {
				writers = append(writers, newWriter(s, videoConfig()))
			}
			for range 200 {
				f.frame()
			}
			b.ReportAllocs()
			before := writers[0].count
			b.ResetTimer()
			for b.Loop() {
				f.frame()
			}
			forwarded := (writers[0].count - before) * bench.sinks
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(forwarded), "ns/forwarded")
		})
	}
}
