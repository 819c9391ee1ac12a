package peer

import (
	"encoding/binary"
	"slices"
	"time"

	"cardea/relay/bwe"
	"cardea/relay/codec"
	"cardea/relay/plane"
	"cardea/relay/quality"
	"cardea/relay/rtcp"
	"cardea/relay/rtp"
	"cardea/relay/stream"
)

const (
	// defaultQualityInterval is how often it is told what a client's user saw and heard.
	defaultQualityInterval = 10 * time.Second
	// feedbackFresh is how long transport-wide feedback counts as in use, ns.
	feedbackFresh = int64(5 * time.Second)
	// burstTime is how long, at most, packets of one burst and the clock they were stamped by lie apart, ns.
	burstTime = int64(2 * time.Millisecond)
)

// watch is what the peer keeps to reckon what its client sees. Guarded by Peer.mu.
type watch struct {
	began    int64 // ns, of the first session description; 0 before
	ended    bool  // the outcome was told
	connect  int64 // ns it took; 0 when it was told, or there is none
	told     int64 // ns of the last report
	arrivals quality.Arrivals
	feedback int64 // ns of the last transport-wide feedback
	remote   []candidate
}

// begin notes that there is a session description of each end.
func (w *watch) begin(now int64) {
	if w.began == 0 {
		w.began, w.told = now, now
	}
}

// A tag says of a sent packet, in transport-wide feedback, which line's it is and under which number.
const (
	tagShift  = 16
	tagRepeat = 1 << 31 // it was sent again
	maxTag    = 255
)

// newTag returns a tag for another sent line, 0 when there are none left.
func (p *Peer) newTag() uint32 {
	for t := uint32(1); t <= maxTag; t++ {
		if !slices.ContainsFunc(p.lines, func(l *line) bool { return l.down != nil && l.down.tag == t<<tagShift }) {
			return t << tagShift
		}
	}
	return 0
}

// tagOf returns the tag of a packet of the line's.
func (d *downTrack) tagOf(seq uint16, repeat bool) uint32 {
	if d.viewer == nil || d.tag == 0 {
		return 0
	}
	t := d.tag | uint32(seq)
	if repeat {
		t |= tagRepeat
	}
	return t
}

// sees tells the viewer of a packet that leaves, given as it is before encryption.
func (d *downTrack) sees(packet *stream.Packet, b []byte, index uint64, now int64) {
	if d.viewer == nil {
		return
	}
	i := &packet.Info
	d.viewer.Sent(&quality.Packet{
		Number: int64(index), Stamp: binary.BigEndian.Uint32(b[4:]), End: b[1]&0x80 != 0, //nolint:gosec // 48 bits
		Keyframe: i.Keyframe, Sync: i.LayerSync, Spare: i.Discardable, Temporal: i.Temporal,
	}, now)
}

// acknowledged tells the viewers what transport-wide feedback says.
func (p *Peer) acknowledged(results []bwe.Result, now int64) {
	if len(results) == 0 {
		return
	}
	w := &p.watch
	w.feedback = now
	var fastest *bwe.Result
	last, tagged := int64(0), uint32(0)
	for i := range results {
		r := &results[i]
		last, tagged = max(last, r.Sent), tagged|r.Tag
		if r.Received && (fastest == nil || r.Arrival-r.Sent < fastest.Arrival-fastest.Sent) {
			fastest = r
		}
	}
	if fastest != nil {
		w.arrivals.Message(fastest.Sent, fastest.Arrival, now, p.feedback.rtt)
	}
	if tagged == 0 {
		return
	}
	for _, l := range p.lines {
		if d := l.down; d != nil && d.viewer != nil && d.tag != 0 && d.tag&^tagged == 0 {
			d.locked(func() { d.heard(results, &w.arrivals, last-burstTime, now) })
		}
	}
}

// heard takes what of the feedback concerns the line.
func (d *downTrack) heard(results []bwe.Result, arrivals *quality.Arrivals, passed, now int64) {
	for i := range results {
		r := &results[i]
		switch {
		case r.Tag&(maxTag<<tagShift) != d.tag:
		case r.Received:
			d.viewer.Came(uint16(r.Tag), arrivals.At(r.Sent, r.Arrival, now)) //nolint:gosec // the low half
		default:
			d.viewer.Missed(uint16(r.Tag), r.Tag&tagRepeat != 0) //nolint:gosec // the low half
		}
	}
	d.viewer.Passed(passed, arrivals.OneWay(), now)
}

// reports takes what a receiver report says of a sent line.
func (p *Peer) reports(d *downTrack, b *rtcp.ReportBlock, now int64) {
	d.losses.Total(int64(b.HighestSequence), int64(b.Lost))
	if d.viewer == nil || d.counted && p.watch.feedback != 0 && now-p.watch.feedback < feedbackFresh {
		return
	}
	d.locked(func() {
		d.viewer.PassedNumber(uint16(b.HighestSequence), p.feedback.rtt/2, now) //nolint:gosec // low bits
	})
}

// owe makes the viewer wait for the first picture of what the line is to be sent. It is not attached to a stream now.
func (d *downTrack) owe(s *stream.Stream) {
	if s == d.owed {
		return
	}
	d.owed = s
	switch {
	case d.viewer == nil:
	case s == nil:
		d.viewer.Pause()
	default:
		d.viewer.Begin(d.p.env.Clock.Now())
	}
}

// sees tells the viewer of a packet that came. Which picture builds upon which is not looked at.
func (s *source) sees(seq int64, h *rtp.Header, now int64) {
	if s.line.Kind != plane.Video || s.line.stream == nil {
		return
	}
	if s.viewer == nil {
		s.viewer = quality.NewIntake()
		s.viewer.Begin(s.line.publishedAt)
	}
	s.viewer.Sent(&quality.Packet{Number: seq, Stamp: h.Timestamp, End: h.Marker}, now)
	s.viewer.Came(uint16(seq), now) //nolint:gosec // low bits
}

// anew forgets what was seen of what the line fed before.
func (l *line) anew() {
	for _, src := range l.layers {
		if src != nil {
			src.viewer, src.told = nil, told{}
		}
	}
}

// told is what of a line was told already. Counters run from the line's start.
type told struct {
	freezes quality.Freezes
	first   int64 // ns, that was noticed
	due     int64 // ns, that was not told yet; 0 for none
}

// notice keeps the first frame of a viewer until it is told: by then there may be another subscription.
func (t *told) notice(v *quality.Viewer) {
	if first := v.FirstFrame(); first != t.first {
		t.first = first
		if first != 0 {
			t.due = first
		}
	}
}

// take fills in what was seen since the last time.
func (t *told) take(v *quality.Viewer, q *plane.LineQuality) {
	t.notice(v)
	was := &t.freezes
	q.FirstFrame, t.due = time.Duration(t.due), 0
	q.Watched, q.Frozen = time.Duration(v.Watched-was.Watched), time.Duration(v.Frozen-was.Frozen)
	q.Stalls, q.Frames = v.Count-was.Count, v.Frames-was.Frames
	t.freezes = v.Freezes
}

// watched reports what was seen and heard when it is time, and notices every second what will be gone by then.
func (p *Peer) watched(now int64) {
	every := p.env.QualityInterval
	if every <= 0 {
		every = defaultQualityInterval
	}
	if now-p.watch.told >= int64(every) {
		if q := p.takeQuality(now); q != nil {
			p.env.Emit(plane.Event{Peer: p.id, Type: plane.EventQuality, Quality: q})
		}
		return
	}
	for _, l := range p.lines {
		if d := l.down; d != nil && d.viewer != nil {
			d.locked(func() { d.told.notice(d.viewer) })
		}
	}
}

// takeQuality makes a report of the time since the last one, and tells the node; nil when there is nothing to say.
func (p *Peer) takeQuality(now int64) *plane.Quality {
	w := &p.watch
	q := &plane.Quality{
		Span: time.Duration(now - w.told), Connect: time.Duration(w.connect), Path: p.path(), RTT: time.Duration(p.feedback.rtt),
		ReceivedRate: uint32(p.bandwidth.receivedRate), SentRate: uint32(p.bandwidth.sentRate), //nolint:gosec // bits/s of one client
	}
	for _, l := range p.lines {
		if r := l.quality(q.RTT); r.Packets > 0 || r.Frames > 0 {
			q.Lines = append(q.Lines, r)
		}
		if l.down == nil {
			continue
		}
		if r := l.down.quality(l, q.RTT); r.Packets > 0 || r.Frames > 0 || r.FirstFrame > 0 {
			q.Lines = append(q.Lines, r)
		}
	}
	w.told, w.connect = now, 0
	if q.Connect == 0 && len(q.Lines) == 0 {
		return nil
	}
	if p.env.Quality != nil {
		p.env.Quality(q)
	}
	return q
}

// quality returns what the client saw and heard of a sent line.
func (d *downTrack) quality(l *line, rtt time.Duration) plane.LineQuality {
	q := plane.LineQuality{Mid: l.Mid, Kind: l.Kind, Sending: true}
	q.Packets, q.Loss = d.losses.Take()
	if rate := l.clockRate(); rate > 0 {
		q.Jitter = time.Duration(d.lost.Jitter) * time.Second / time.Duration(rate)
	}
	d.locked(func() {
		q.Stream, q.Codec = d.sub.Stream, d.track.Stats().Codec
		if d.viewer != nil {
			d.told.take(d.viewer, &q)
		}
	})
	if l.Kind == plane.Audio {
		q.MOS = quality.Heard(codec.ByName(q.Codec), q.Packets, q.Loss, rtt, q.Jitter)
	}
	return q
}

// quality returns what came of a received line: of a simulcast one, of the encoding that most pictures came of.
func (l *line) quality(rtt time.Duration) plane.LineQuality {
	best := plane.LineQuality{Mid: l.Mid, Kind: l.Kind, Stream: l.pub.Stream}
	if l.stream == nil || l.Kind == plane.Data {
		return best
	}
	name := codecName(l)
	for _, src := range l.layers {
		if src == nil || !src.reception.started {
			continue
		}
		q, r := plane.LineQuality{Mid: l.Mid, Kind: l.Kind, Stream: l.pub.Stream, Codec: name}, &src.reception
		r.count()
		q.Packets, q.Loss = r.arrived.Take()
		_, unrepaired := r.repairs.Take()
		q.Jitter = time.Duration(r.jitter * float64(time.Second) / float64(l.clockRate()))
		if src.viewer != nil {
			src.told.take(src.viewer, &q)
		}
		if l.Kind == plane.Audio {
			q.MOS = quality.Heard(codec.ByName(name), q.Packets, unrepaired, rtt, q.Jitter)
		}
		if q.Frames > best.Frames || best.Codec == "" {
			best = q
		}
	}
	return best
}

// codecName is the codec that a received line is taken to use: the first that was agreed.
func codecName(l *line) string {
	if len(l.Codecs) == 0 {
		return ""
	}
	return l.Codecs[0].Name
}
