package load

import (
	"time"

	"cardea/e2e/load/internal/measure"
	"cardea/e2e/load/internal/synth"
	"cardea/relay/rtcp"
	"cardea/relay/rtp"
)

const (
	// maxMissing bounds the packets being asked for again; beyond it a keyframe is asked for instead, as libwebrtc does.
	maxMissing = 300
	// nackInterval and maxNACKs say how often, and how many times, a packet is asked for.
	nackInterval = 100 * time.Millisecond
	maxNACKs     = 10
	// giveUpPause is the least time between keyframe requests for packets given up.
	giveUpPause = time.Second
	// firstSequence is where extended sequence numbers begin: above 0 even if earlier packets come later.
	firstSequence = 1 << 16
)

// source is an SSRC that a subscriber receives: what feedback about it needs. The loop's.
type source struct {
	ssrc  uint32
	video bool
	clock int64

	numbers rtp.Unwrapper[uint16]
	highest int64
	missing []missing
	frame   *measure.FirstFrame // until the first picture is complete, of video
	since   int64               // when the first packet came
	asked   int64               // when a keyframe was last asked for
	gaveUp  bool                // packets will not come any more

	begun    int64 // first extended sequence number, for reports
	packets  int64 // received
	expected int64 // at the last report
	counted  int64 // packets at the last report
	transit  int64 // of the last packet, RTP units
	jitter   float64
	lastSR   uint32
	lastSRAt int64
}

type missing struct {
	seq   int64
	asked int64 // when last; 0 never
	tries int
}

// newSource begins with the packet that came first.
func newSource(h *rtp.Header, video bool, arrival int64) *source {
	s := &source{ssrc: h.SSRC, video: video, clock: synth.AudioClock, since: arrival}
	if video {
		s.clock = synth.VideoClock
		s.frame = new(measure.FirstFrame)
	}
	return s
}

// note takes the number of a packet that came, however it came, and returns the extended one.
func (s *source) note(number uint16) int64 {
	seq := s.numbers.Unwrap(number) + firstSequence
	switch {
	case s.highest == 0:
		s.highest, s.begun = seq, seq
	case seq > s.highest:
		if s.video {
			s.miss(s.highest+1, seq)
		}
		s.highest = seq
	case s.video:
		for i := range s.missing {
			if s.missing[i].seq == seq {
				s.missing = append(s.missing[:i], s.missing[i+1:]...)
				break
			}
		}
	}
	return seq
}

// miss notes that the packets from from to before to have not come.
func (s *source) miss(from, to int64) {
	if int64(len(s.missing))+to-from > maxMissing {
		s.missing = s.missing[:0]
		s.gaveUp = true
		return
	}
	for ; from < to; from++ {
		s.missing = append(s.missing, missing{seq: from})
	}
}

// due appends the numbers of the packets to ask for now.
func (s *source) due(dst []uint16, now int64) []uint16 {
	kept := s.missing[:0]
	for _, m := range s.missing {
		if m.tries == maxNACKs {
			s.gaveUp = true
			continue
		}
		if m.asked == 0 || now-m.asked >= int64(nackInterval) {
			m.asked = now
			m.tries++
			dst = append(dst, uint16(m.seq))
		}
		kept = append(kept, m)
	}
	s.missing = kept
	return dst
}

// wantsKeyframe tells whether to ask for a keyframe now, which it takes as done.
func (s *source) wantsKeyframe(now int64) bool {
	wait := now - max(s.since, s.asked)
	waiting := s.frame != nil && wait >= int64(keyframeWait)
	broken := s.frame == nil && s.gaveUp && wait >= int64(giveUpPause)
	if waiting || broken {
		s.asked, s.gaveUp = now, false
		return true
	}
	return false
}

// report takes what receiver reports need (RFC 3550 appendix A.8).
func (s *source) report(h *rtp.Header, arrival int64) {
	s.packets++
	transit := arrival/1000*s.clock/1_000_000 - int64(h.Timestamp)
	if s.packets > 1 {
		if d := float64(int32(transit - s.transit)); d < 0 {
			s.jitter += (-d - s.jitter) / 16
		} else {
			s.jitter += (d - s.jitter) / 16
		}
	}
	s.transit = transit
}

// block makes the report block of the time since the last one.
func (s *source) block(now int64) rtcp.ReportBlock {
	expected := s.highest - s.begun + 1
	lost := max(expected-s.packets, 0)
	r := rtcp.ReportBlock{SSRC: s.ssrc, Lost: int32(lost), HighestSequence: uint32(s.highest - firstSequence), Jitter: uint32(s.jitter), LastSR: s.lastSR}
	if n := expected - s.expected; n > 0 {
		r.FractionLost = uint8(min(max(n-(s.packets-s.counted), 0)*256/n, 255))
	}
	s.expected, s.counted = expected, s.packets
	if s.lastSRAt != 0 {
		r.DelaySinceSR = uint32((now - s.lastSRAt) * 65536 / int64(time.Second))
	}
	return r
}
