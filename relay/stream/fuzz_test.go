package stream

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"
	"time"

	"cardea/relay/codec"
	"cardea/relay/plane"
	"cardea/relay/rtp"
)

// script reads decisions from fuzzed bytes; zeros follow the end.
type script []byte

func (s *script) next(n int) int {
	if len(*s) == 0 {
		return 0
	}
	v := int((*s)[0])
	*s = (*s)[1:]
	return v % n
}

func (s *script) bytes(n int) []byte {
	n = min(n, len(*s))
	b := (*s)[:n]
	*s = (*s)[n:]
	return b
}

// FuzzTrack drives a stream and a subscriber with whatever the bytes say: packets with any payload, numbers, timestamps
// and extensions, and every call of the API in any order. Nothing panics, and no number stands for two packets.
func FuzzTrack(f *testing.F) {
	f.Add([]byte{1, 0, 0, 1, 40, 16, 0, 0, 0, 1, 0, 5, 5, 5, 5, 5, 2, 3, 4, 5, 6, 7, 8, 9, 10})
	seed := []byte{0, 2}
	for range 10 {
		seed = append(seed, 0, 0, 1, 0, 1, 40, 12)
		seed = append(seed, vp8(true, true, true, 1, 5, 6, 30)...)
		seed = append(seed, 9, 0, 20, 8, 1, 5, 3)
	}
	f.Add(seed)
	f.Fuzz(func(t *testing.T, b []byte) { follow(t, b) })
}

// TestTrackSurvivesNoise follows long scripts of random bytes, which the fuzzer finds hard to come by.
func TestTrackSurvivesNoise(t *testing.T) {
	for seed := range uint64(300) {
		noise := rand.New(rand.NewPCG(seed, 1))
		b := make([]byte, 8192)
		for i := range b {
			b[i] = byte(noise.Uint32())
		}
		follow(t, b)
	}
}

// follow does what the script says.
func follow(t *testing.T, b []byte) {
	names := []string{"vp8", "vp9", "h264", "h265", "av1", "opus", "red"}
	in := script(b)
	kind := plane.Video
	name := names[in.next(len(names))]
	if name == "opus" || name == "red" {
		kind = plane.Audio
	}
	codecs := []plane.Codec{{Name: name, PayloadType: 96, ClockRate: 90000}, {Name: "opus", PayloadType: 97, ClockRate: 90000}}
	cfg := Config{Kind: kind, Codecs: codecs, Extensions: publisherExtensions, Layers: 1 + in.next(3)}
	streams := [2]*Stream{New(cfg), New(cfg)}
	own := TrackConfig{Kind: kind, Codecs: codecs[:1+in.next(2)], Extensions: publisherExtensions, Mid: "m", SSRC: 1}
	v := newViewer(t, own)
	v.attach(streams[0], 1)
	seqs := [2][3]int64{}
	now := ms
	stamp := uint32(0)
	for ops := 0; len(in) > 0 && ops < 500; ops++ {
		s := v.track.Stream()
		switch op := in.next(12); op {
		case 0, 1, 2, 3:
			which, layer := in.next(2), in.next(cfg.Layers)
			seq := &seqs[which][layer]
			*seq += int64(in.next(8) - 2)
			if in.next(50) == 49 {
				*seq += int64(int8(in.next(256))) << in.next(20)
			}
			stamp += uint32(in.next(3)) * 3000
			fuzzCommit(streams[which], layer, *seq, stamp, now, &in)
		case 4, 5:
			streams[in.next(2)].Flush(now, nil)
		case 6:
			now += int64(in.next(256)) * int64(time.Millisecond)
		case 7:
			v.catchup(in.next(256)*10, now)
		case 8:
			pkt, header, index, rtx, ok := v.nack(uint16(v.track.numbers.next-int64(in.next(100))), now, 0)
			if ok && !rtx {
				v.receive(pkt, header, index, codec.Other)
			}
		case 9:
			s.Lock()
			v.track.SetTarget(int8(in.next(4)-1), int8(in.next(4)-1), int8(in.next(4)-1), int8(in.next(4)-1))
			if offers := v.track.Layers(nil); len(offers) > 0 {
				v.track.SetLimit(offers[in.next(len(offers))])
			}
			v.track.Changed()
			v.track.SenderInfo(now, uint64(now))
			s.Unlock()
			s.SenderReport(in.next(3), binary.BigEndian.Uint64(append(in.bytes(8), make([]byte, 8)...)), stamp, now)
			s.Stats(now)
		case 10:
			s.Lock()
			switch in.next(4) {
			case 0:
				v.track.Hold()
			case 1:
				v.track.SetPaused(in.next(2) == 0, now)
			case 2:
				v.track.RequestKeyframe(now)
			case 3:
				v.track.SetPlayoutDelay(&plane.PlayoutDelay{Max: time.Duration(in.next(256)) * time.Millisecond})
			}
			s.Unlock()
			s.SetMuted(in.next(4) == 0)
		case 11:
			v.attach(streams[in.next(2)], now)
		}
	}
}

// fuzzCommit puts a packet with the script's payload and extensions into a stream.
func fuzzCommit(s *Stream, layer int, seq int64, stamp uint32, now int64, in *script) {
	b := rtp.AppendHeader(nil, &rtp.Header{
		Marker: in.next(2) == 0, PayloadType: uint8(96 + in.next(8)/7), SequenceNumber: uint16(seq), Timestamp: stamp,
	})
	if in.next(3) == 0 {
		w := rtp.NewExtWriter(b)
		for range in.next(4) {
			w.Add(uint8(in.next(12)), in.bytes(in.next(40)))
		}
		b = w.End()
	}
	var h rtp.Header
	if rtp.Parse(b, &h) != nil {
		return
	}
	payload := in.bytes(in.next(60))
	slot := s.Reserve(layer, len(payload))
	copy(slot, payload)
	if in.next(30) == 29 {
		s.Abort()
		return
	}
	s.Commit(layer, &h, seq, len(payload), now, in.next(5) == 0)
}
