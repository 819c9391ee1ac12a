package load

import (
	"cmp"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"cardea/e2e/load/internal/measure"
	"cardea/e2e/load/internal/rtc"
	"cardea/e2e/load/internal/synth"
	"cardea/relay/codec"
	"cardea/relay/rtcp"
	"cardea/relay/rtp"
)

const (
	// receiverTick is how often a subscriber looks after its feedback; transportFeedback is the rhythm of libwebrtc's
	// transport-wide feedback at these bitrates.
	receiverTick      = 20 * time.Millisecond
	transportFeedback = 100 * time.Millisecond
	// keyframeWait is how long libwebrtc's receiver waits for a first picture before it asks, and asks again.
	keyframeWait = 200 * time.Millisecond
	// maxArrivals bounds what is kept for the next transport-wide feedback.
	maxArrivals = 4096
	// maxSources bounds the SSRCs of a subscriber.
	maxSources = 4 * maxPublishers
)

// reception is what the subscribers of a loop received in the measured interval, together.
type reception struct {
	received   uint64 // packets with media, by time of arrival: retransmissions and copies too
	delivered  uint64 // packets that came once or more, by time of sending, as all below
	bytes      uint64 // of RTP
	duplicated uint64 // came again, though not asked for
	needless   uint64 // retransmissions of what had come already
	recovered  uint64 // came by retransmission alone
	delay      measure.Histogram
	foreign    uint64 // carried no mark of this run
	nacked     uint64 // packets asked for again, each time
	keyframes  uint64 // keyframe requests sent
}

// subscriber receives all publishers of a room. Its methods are the loop's.
type subscriber struct {
	cfg       *Config
	measured  *interval
	total     *reception
	transport *rtc.Transport
	run       uint32
	first     uint32 // first stream of the room

	payloads    [128]rtc.Payload
	transport16 uint8 // extension id of the transport-wide sequence number
	repairs     map[uint32]uint32
	ssrc        uint32 // ours, in feedback

	sources  []*source
	streams  []tally // of the room, by number
	pictures []int64 // when first frames were complete
	arrivals []rtcp.Arrival
	sequence rtp.Unwrapper[uint16] // transport-wide
	base     int64                 // what the next feedback begins with; -1: with the first arrival
	number   uint8                 // of feedback
	feedback int64                 // when it is due
	report   int64                 // when the next receiver report is due
	buffer   []byte
	numbers  []uint16
	blocks   []rtcp.ReportBlock
}

// tally is what came of a stream.
type tally struct {
	window    measure.Window
	delivered uint64 // in the interval
	run       measure.Run
}

// newSubscriber makes a subscriber of the room whose first stream is given.
func newSubscriber(cfg *Config, measured *interval, total *reception, run, first uint32) *subscriber {
	return &subscriber{
		cfg: cfg, measured: measured, total: total, run: run, first: first, ssrc: rand.Uint32() | 1, base: -1,
		streams: make([]tally, cfg.Publishers*streamsPerPublisher), repairs: map[uint32]uint32{},
	}
}

// accept notes what the server's offer says. Before Connected.
func (s *subscriber) accept(offer *rtc.Description) {
	for _, m := range offer.Media {
		for pt, p := range m.Payloads {
			s.payloads[pt&127] = p
		}
		s.transport16 = cmp.Or(s.transport16, m.Extensions[rtc.TransportCCURI])
		maps.Copy(s.repairs, m.Repairs)
	}
}

// Connected implements rtc.Handler.
func (s *subscriber) Connected(now int64) {
	// Feedback is spread over time.
	s.feedback = now + rand.Int64N(int64(transportFeedback))
	s.report = now + rand.Int64N(int64(reportInterval))
}

// RTP implements rtc.Handler.
func (s *subscriber) RTP(h *rtp.Header, payload []byte, arrival int64) {
	if s.transport16 != 0 && len(s.arrivals) < maxArrivals {
		if v := h.Extension(s.transport16); len(v) >= 2 {
			s.arrivals = append(s.arrivals, rtcp.Arrival{Sequence: s.sequence.Unwrap(uint16(v[0])<<8 | uint16(v[1])), Time: arrival})
		}
	}
	if h.Padding {
		var ok bool
		if payload, ok = rtp.StripPadding(payload); !ok {
			return
		}
	}
	size := h.Len + len(payload)
	p := s.payloads[h.PayloadType]
	if p.Codec == "rtx" {
		media, ok := s.repairs[h.SSRC]
		if !ok || len(payload) <= 2 {
			return // padding to probe with
		}
		if src := s.find(media); src != nil {
			seq := uint16(payload[0])<<8 | uint16(payload[1])
			s.take(src, seq, h, payload[2:], size, arrival, true)
		}
		return
	}
	src := s.find(h.SSRC)
	if src == nil {
		if len(s.sources) == maxSources {
			return
		}
		src = newSource(h, p.Codec == "vp8", arrival)
		s.sources = append(s.sources, src)
	}
	src.report(h, arrival)
	s.take(src, h.SequenceNumber, h, payload, size, arrival, false)
}

func (s *subscriber) find(ssrc uint32) *source {
	for _, src := range s.sources {
		if src.ssrc == ssrc {
			return src
		}
	}
	return nil
}

// take takes a packet of a media stream, as it came or by retransmission.
func (s *subscriber) take(src *source, number uint16, h *rtp.Header, payload []byte, size int, arrival int64, repaired bool) {
	seq := src.note(number)
	if len(payload) == 0 {
		return // padding that keeps the numbers continuous
	}
	var info codec.Info
	var mark synth.Mark
	var ok bool
	if src.video {
		mark, ok = synth.ReadVP8(payload, &info)
	} else {
		mark, ok = synth.ReadOpus(payload)
	}
	if s.measured.contains(arrival) {
		s.total.received++
	}
	if !ok || mark.Run != s.run {
		s.total.foreign++
		return
	}
	if src.frame != nil && src.frame.Add(seq, h.Timestamp, h.Marker, info.Keyframe, arrival) {
		s.pictures = append(s.pictures, arrival)
		src.frame = nil
	}
	s.count(mark, size, arrival, repaired)
}

// count counts a marked packet.
func (s *subscriber) count(mark synth.Mark, size int, arrival int64, repaired bool) {
	i := mark.Stream - s.first
	if i >= uint32(len(s.streams)) {
		s.total.foreign++ // another room's: the server mixed them up
		return
	}
	st := &s.streams[i]
	if s.cfg.Simulcast && i%streamsPerPublisher != 0 {
		s.follow(i, mark)
	}
	fresh := st.window.Add(mark.Counter)
	if !s.measured.contains(mark.Sent) {
		return
	}
	switch {
	case fresh:
		st.delivered++
		s.total.delivered++
		s.total.bytes += uint64(size)
		s.total.delay.Add(time.Duration(arrival - mark.Sent))
		if repaired {
			s.total.recovered++
		}
	case repaired:
		s.total.needless++
	default:
		s.total.duplicated++
	}
}

// follow keeps account of what should come of a layered video: the layer that came last is the one being sent.
func (s *subscriber) follow(i uint32, mark synth.Mark) {
	if !s.measured.contains(mark.Sent) {
		return
	}
	st := &s.streams[i]
	if !st.run.Newer(mark.Counter) {
		return
	}
	if !st.run.Open() {
		video := i - i%streamsPerPublisher + 1
		for k := range s.streams[video : video+uint32(len(layers))] {
			s.streams[video+uint32(k)].run.Close()
		}
	}
	st.run.Extend(mark.Counter)
}

// Replayed implements rtc.Handler.
func (s *subscriber) Replayed(arrival int64) {
	if s.measured.contains(arrival) {
		s.total.received++
		s.total.duplicated++
	}
}

// RTCP implements rtc.Handler.
func (s *subscriber) RTCP(b []byte, arrival int64) {
	for len(b) > 0 {
		packet, rest, err := rtcp.Next(b)
		if err != nil {
			return
		}
		b = rest
		if info, ok := packet.SenderInfo(); ok {
			if src := s.find(packet.Sender); src != nil {
				src.lastSR, src.lastSRAt = rtcp.CompactNTP(info.NTP), arrival
			}
		}
	}
}

// Tick implements rtc.Handler: it sends the feedback that is due.
func (s *subscriber) Tick(now int64) (next int64) {
	b := s.buffer[:0]
	for _, src := range s.sources {
		if !src.video {
			continue
		}
		s.numbers = src.due(s.numbers[:0], now)
		s.total.nacked += uint64(len(s.numbers))
		b = rtcp.AppendNACK(b, s.ssrc, src.ssrc, s.numbers)
		if src.wantsKeyframe(now) {
			s.total.keyframes++
			b = rtcp.AppendPLI(b, s.ssrc, src.ssrc)
		}
	}
	if now >= s.feedback {
		s.feedback = max(s.feedback+int64(transportFeedback), now)
		b = s.appendTransport(b)
	}
	if now >= s.report && len(s.sources) > 0 {
		s.report = max(s.report+int64(reportInterval), now)
		b = s.appendReport(b, now)
	}
	if len(b) > 0 {
		s.transport.SendRTCP(b)
	}
	s.buffer = b
	return now + int64(receiverTick)
}

// appendTransport appends transport-wide feedback about what came since the last.
func (s *subscriber) appendTransport(b []byte) []byte {
	slices.SortFunc(s.arrivals, func(a, b rtcp.Arrival) int { return cmp.Compare(a.Sequence, b.Sequence) })
	s.arrivals = slices.CompactFunc(s.arrivals, func(a, b rtcp.Arrival) bool { return a.Sequence == b.Sequence })
	late := 0 // reported lost already
	for late < len(s.arrivals) && s.arrivals[late].Sequence < s.base {
		late++
	}
	rest := s.arrivals[late:]
	var media uint32
	if len(s.sources) > 0 {
		media = s.sources[0].ssrc
	}
	for len(rest) > 0 {
		if s.base < 0 {
			s.base = rest[0].Sequence
		}
		var used int
		b, used = rtcp.AppendTWCC(b, s.ssrc, media, s.number, s.base, rest)
		if used == 0 {
			break
		}
		s.number++
		s.base = rest[used-1].Sequence + 1
		rest = rest[used:]
	}
	s.arrivals = s.arrivals[:0]
	return b
}

func (s *subscriber) appendReport(b []byte, now int64) []byte {
	for batch := range slices.Chunk(s.sources, rtcp.MaxReports) {
		s.blocks = s.blocks[:0]
		for _, src := range batch {
			s.blocks = append(s.blocks, src.block(now))
		}
		b = rtcp.AppendReceiverReport(b, s.ssrc, s.blocks)
	}
	return b
}
