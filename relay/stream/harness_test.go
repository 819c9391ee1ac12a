package stream

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"

	"cardea/relay/codec"
	"cardea/relay/plane"
	"cardea/relay/rtp"
	"cardea/relay/udp"
)

const ms = int64(time.Millisecond)

var (
	vp8Codec  = plane.Codec{Name: "vp8", PayloadType: 96, ClockRate: 90000, RTX: 97}
	opusCodec = plane.Codec{Name: "opus", PayloadType: 111, ClockRate: 48000, Channels: 2}
)

// source is an encoder that feeds a layer of a stream.
type source struct {
	t       testing.TB
	s       *Stream
	layer   int
	pt      uint8
	ssrc    uint32
	seq     int64
	stamp   uint32
	picture uint16
	tl0     uint8
	ext     func(dst []byte) []byte // appends extensions to a header
}

func (f *source) header(marker bool) rtp.Header {
	b := rtp.AppendHeader(nil, &rtp.Header{
		PayloadType: f.pt, SSRC: f.ssrc, SequenceNumber: uint16(f.seq), Timestamp: f.stamp, Marker: marker,
	})
	if f.ext != nil {
		b = f.ext(b)
	}
	var h rtp.Header
	if err := rtp.Parse(b, &h); err != nil {
		f.t.Fatal(err)
	}
	return h
}

// push commits one packet and counts on.
func (f *source) push(payload []byte, marker bool, now int64) {
	h := f.header(marker)
	slot := f.s.Reserve(f.layer, len(payload)+16)
	copy(slot, payload)
	f.s.Commit(f.layer, &h, f.seq, len(payload), now, false)
	f.seq++
}

// vp8 makes a VP8 payload with a 15-bit PictureID, TL0PICIDX and TID.
func vp8(start, key, sync bool, tid uint8, picture uint16, tl0 uint8, size int) []byte {
	b := []byte{0x80, 0xe0, 0x80 | byte(picture>>8), byte(picture), tl0, tid << 6}
	if start {
		b[0] |= 0x10
	}
	if sync {
		b[5] |= 0x20
	}
	if start {
		if key {
			b = append(b, 0x10, 0, 0, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0xe0, 0x01) // 640x480
		} else {
			b = append(b, 0x11)
		}
	}
	for len(b) < size {
		b = append(b, byte(len(b)))
	}
	return b
}

// frame sends a VP8 frame of n packets.
func (f *source) frame(n int, key bool, tid uint8, now int64) {
	f.syncFrame(n, key, tid, false, now)
}

func (f *source) syncFrame(n int, key bool, tid uint8, sync bool, now int64) {
	if tid == 0 {
		f.tl0++
	}
	for i := range n {
		f.push(vp8(i == 0, key, sync, tid, f.picture&0x7fff, f.tl0, 200), i == n-1, now)
	}
	f.picture++
	f.stamp += 3000
}

// viewer is a subscriber: it keeps all packets it was sent and checks what must always hold.
type viewer struct {
	t     testing.TB
	track *Track
	got   []rtpPacket
	seen  map[uint64][]byte // by index: the bytes sent under it
	fills int
	lossy bool // does not call AppendRTP for every third packet
	calls int
}

type rtpPacket struct {
	rtp.Header
	index   uint64
	payload []byte
	raw     []byte
	info    codec.Info
	padding int
}

func newViewer(t testing.TB, cfg TrackConfig) *viewer {
	return &viewer{t: t, track: NewTrack(cfg), seen: make(map[uint64][]byte)}
}

func videoConfig() TrackConfig {
	return TrackConfig{Kind: plane.Video, Codecs: []plane.Codec{vp8Codec}, Mid: "1", SSRC: 7, RTX: 8}
}

func audioConfig() TrackConfig {
	return TrackConfig{Kind: plane.Audio, Codecs: []plane.Codec{opusCodec}, Mid: "0", SSRC: 5}
}

func (v *viewer) attach(s *Stream, now int64) {
	if old := v.track.Stream(); old != nil {
		old.RemoveSink(v)
		old.Lock()
		v.track.Detach()
		old.Unlock()
	}
	s.Lock()
	v.track.Attach(s, now)
	s.Unlock()
	s.AddSink(v)
}

func (v *viewer) Layers(now int64) uint8 { return v.track.Wanted(now) }

func (v *viewer) Forward(burst []*Packet, now int64, _ *udp.Outbox) {
	for _, p := range burst {
		if v.track.Select(p, now) != Drop {
			v.send(p)
		}
	}
}

func (v *viewer) catchup(budget int, now int64) int {
	s := v.track.Stream()
	s.Lock()
	defer s.Unlock()
	return v.track.Catchup(budget, now, v.send)
}

func (v *viewer) send(p *Packet) {
	if v.calls++; v.lossy && v.calls%3 == 0 {
		return
	}
	size := v.track.Size(p)
	fill := v.track.chosen.action == Fill
	pkt, header, index := v.track.AppendRTP(make([]byte, 0, 2048), p, Stamp{0x123456, uint16(len(v.got))}, 0)
	if pkt == nil {
		v.t.Fatal("nothing to send after Select")
	}
	if len(pkt) != size {
		v.t.Fatalf("size %d, announced %d", len(pkt), size)
	}
	if fill {
		v.fills++
	}
	v.receive(pkt, header, index, p.Format)
}

func (v *viewer) receive(pkt []byte, header int, index uint64, f codec.Format) {
	v.t.Helper()
	if old, twice := v.seen[index]; twice && !bytes.Equal(old, pkt) {
		v.t.Fatalf("number %d used for two packets", index)
	}
	v.seen[index] = bytes.Clone(pkt)
	var got rtpPacket
	if err := rtp.Parse(pkt, &got.Header); err != nil {
		v.t.Fatal(err)
	}
	if got.Len != header {
		v.t.Fatalf("header length %d, want %d", header, got.Len)
	}
	if got.SequenceNumber != uint16(index) {
		v.t.Fatalf("sequence number %d under index %d", got.SequenceNumber, index)
	}
	got.index, got.raw, got.payload = index, pkt, pkt[got.Len:]
	if got.Padding {
		body, ok := rtp.StripPadding(got.payload)
		if !ok {
			v.t.Fatal("bad padding")
		}
		got.padding = len(got.payload) - len(body)
		got.payload = body
	}
	codec.Parse(f, got.payload, &got.info)
	v.got = append(v.got, got)
}

// numbersFrom returns outgoing numbers relative to the first.
func (v *viewer) numbers() []int {
	var n []int
	for _, p := range v.got {
		n = append(n, int(p.index)-int(v.got[0].index))
	}
	return n
}

// continuous checks that the numbers are 0, 1, 2, ... when sorted: nothing skipped, nothing twice.
func (v *viewer) continuous() {
	v.t.Helper()
	if len(v.got) == 0 {
		v.t.Fatal("nothing received")
	}
	low, high := v.got[0].index, v.got[0].index
	for _, p := range v.got {
		low, high = min(low, p.index), max(high, p.index)
	}
	if int(high-low)+1 != len(v.seen) {
		v.t.Fatalf("%d numbers from %d to %d", len(v.seen), low, high)
	}
}

// monotonic checks that timestamps never run backwards.
func (v *viewer) monotonic() {
	v.t.Helper()
	for i := 1; i < len(v.got); i++ {
		if d := int32(v.got[i].Timestamp - v.got[i-1].Timestamp); d < 0 {
			v.t.Fatalf("packet %d: timestamp runs back by %d", i, -d)
		}
	}
}

func newVideo(t testing.TB, layers int) (*Stream, []*source, *int) {
	asked := new(int)
	s := New(Config{Kind: plane.Video, Codecs: []plane.Codec{vp8Codec}, Layers: layers, RequestKeyframe: func(int) { *asked++ }})
	var f []*source
	for i := range layers {
		f = append(f, &source{
			t: t, s: s, layer: i, pt: 96, ssrc: uint32(100 + i), seq: int64(1000 * (i + 1)), stamp: uint32(70000 * (i + 1)),
			picture: uint16(500 * (i + 1)), tl0: uint8(10 * (i + 1)),
		})
	}
	return s, f, asked
}

func newAudio(t testing.TB) (*Stream, *source) {
	s := New(Config{Kind: plane.Audio, Codecs: []plane.Codec{opusCodec}, Layers: 1})
	return s, &source{t: t, s: s, pt: 111, ssrc: 50, seq: 65530, stamp: 1 << 31}
}

func (f *source) opus(now int64) {
	b := make([]byte, 80)
	binary.BigEndian.PutUint64(b, uint64(f.seq))
	f.push(b, false, now)
	f.stamp += 960
}
