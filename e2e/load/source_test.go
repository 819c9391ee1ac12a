package load

import (
	"slices"
	"testing"
	"time"

	"cardea/relay/rtp"
)

const ms = int64(time.Millisecond)

func videoSource(seqs ...uint16) *source {
	s := newSource(&rtp.Header{SSRC: 1}, true, 0)
	for _, n := range seqs {
		s.note(n)
	}
	return s
}

func TestNACK(t *testing.T) {
	s := videoSource(65533, 65534, 1, 2) // 65535 and 0 are missing
	if got := s.due(nil, 10*ms); !slices.Equal(got, []uint16{65535, 0}) {
		t.Fatalf("asks for %v", got)
	}
	if got := s.due(nil, 50*ms); len(got) != 0 {
		t.Errorf("asks again too soon for %v", got)
	}
	s.note(65535)
	for i := range int64(maxNACKs - 1) {
		if got := s.due(nil, (110+100*i)*ms); !slices.Equal(got, []uint16{0}) {
			t.Fatalf("%d. asks for %v", i, got)
		}
	}
	s.frame = nil // the first picture has come
	if got := s.due(nil, 2000*ms); len(got) != 0 || !s.wantsKeyframe(2000*ms) {
		t.Errorf("does not give up: asks for %v", got)
	}
	if s.wantsKeyframe(4000 * ms) {
		t.Error("asks twice for one loss")
	}
}

// TestLongGap wants a keyframe instead of hundreds of retransmissions.
func TestLongGap(t *testing.T) {
	s := videoSource(100, 100+maxMissing+2)
	s.frame = nil
	if got := s.due(nil, 0); len(got) != 0 || !s.wantsKeyframe(1000*ms) {
		t.Errorf("asks for %d packets", len(got))
	}
}

func TestAudioIsNotAskedFor(t *testing.T) {
	s := newSource(&rtp.Header{SSRC: 1}, false, 0)
	s.note(1)
	s.note(5)
	if got := s.due(nil, 0); len(got) != 0 || s.wantsKeyframe(10_000*ms) {
		t.Errorf("asks for %v", got)
	}
}

// TestFirstKeyframeWish follows libwebrtc's patience.
func TestFirstKeyframeWish(t *testing.T) {
	s := videoSource(1)
	var asked []int64
	for now := int64(0); now < 1000*ms; now += 20 * ms {
		if s.wantsKeyframe(now) {
			asked = append(asked, now/ms)
		}
	}
	if !slices.Equal(asked, []int64{200, 400, 600, 800}) {
		t.Errorf("asks at %v ms", asked)
	}
}

func TestReceiverReport(t *testing.T) {
	s := newSource(&rtp.Header{SSRC: 9}, true, 0)
	for i := range uint16(100) {
		if i%4 == 3 {
			continue // a quarter is lost
		}
		n := 65500 + i
		s.report(&rtp.Header{SequenceNumber: n, Timestamp: 3000 * uint32(i)}, int64(i)*int64(time.Second)/30)
		s.note(n)
	}
	s.lastSR, s.lastSRAt = 77, int64(time.Second)
	b := s.block(3 * int64(time.Second))
	// The last packet lost is not known to be missing yet.
	if b.SSRC != 9 || b.Lost != 24 || b.FractionLost != 24*256/99 || b.HighestSequence != 1<<16|62 || b.LastSR != 77 || b.DelaySinceSR != 2<<16 {
		t.Errorf("%+v", b)
	}
	if b.Jitter > 10 {
		t.Errorf("jitter %d of a steady stream", b.Jitter)
	}
	if b = s.block(4 * int64(time.Second)); b.FractionLost != 0 || b.Lost != 24 {
		t.Errorf("nothing since: %+v", b)
	}
}
