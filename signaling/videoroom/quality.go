package videoroom

import (
	"context"
	"encoding/json"
	"math"
	"slices"
	"time"

	"cardea/relay/plane"
	"cardea/signaling/events"
	"cardea/signaling/janus"
)

// What users see and hear: the media plane reckons it, and clients may say what they count themselves, by a request:
//
//	{"request": "quality", "span_ms": 10000, "rtt_ms": 80, "lines": [
//	  {"mid": "1", "first_frame_ms": 350, "watched_ms": 9900, "frozen_ms": 700, "stalls": 1, "frames": 190,
//	   "packets": 900, "loss": 0.01, "jitter_ms": 4}]}
//
// All figures are of the time since the report before, but first_frame_ms: from the subscription to the first picture, once, when
// there is one. What is left out is not known. It is answered by {"videoroom": "event", "quality": "ok"}, or "ignored" for reports
// that come too fast. The console serves quality.js, which makes them from getStats.
//
// Both are told as user events (network_quality), and to [Config].Quality.

// QualityReport is what one client's user saw and heard.
type QualityReport struct {
	Room            string // key: "videoroom/1234"
	Participant     string // id; "" for a subscriber of whom it is not known whose it is
	Session, Handle uint64
	Subscriber      bool // it is about what the client is sent; else about what it sends
	Client          bool // the client says so; else the media plane does
	Quality         plane.Quality
}

// Bounds on what clients report.
const (
	maxQualityLines = 64
	maxQualitySpan  = 10 * time.Minute
	maxQualityCount = 1 << 20
	// qualityPause is how long a client should wait between two reports, and qualityBurst how many may come at once.
	qualityPause = 2 * time.Second
	qualityBurst = 5
)

// reportLimit admits a client's reports: a token bucket. It is touched in the handle's turn.
type reportLimit struct {
	until time.Time // when the bucket is full
}

func (l *reportLimit) admit(now time.Time) bool {
	if l.until.Before(now) {
		l.until = now
	}
	if l.until.Sub(now) > (qualityBurst-1)*qualityPause {
		return false
	}
	l.until = l.until.Add(qualityPause)
	return true
}

// quality takes what the media plane reckons.
func (s *session) quality(q *plane.Quality) {
	if q != nil {
		s.tellQuality(*q, false)
	}
}

// clientQuality takes what the client says.
func (s *session) clientQuality(_ context.Context, m *janus.Message) error {
	answer := object{"videoroom": "event", "quality": "ignored"}
	if s.reports.admit(time.Now()) {
		q, err := s.readQuality(m.Body)
		if err != nil {
			return err
		}
		s.tellQuality(q, true)
		answer["quality"] = "ok"
	}
	s.h.Push(m.Transaction, answer, nil)
	return nil
}

// readQuality reads a client's report of the lines that it has.
func (s *session) readQuality(body janus.Object) (q plane.Quality, err error) {
	lines := janus.Param{Name: "lines", Type: janus.Array, Required: true}
	if err := check(body, lines); err != nil {
		return q, err
	}
	if len(body.Array("lines")) > maxQualityLines {
		return q, refuse(codeInvalidElement, "Invalid element value (lines: more than %d)", maxQualityLines)
	}
	f := figures{body, nil}
	q.Span, q.RTT = f.duration("span_ms"), f.duration("rtt_ms")
	for _, o := range body.Objects("lines") {
		if err := check(o, janus.Param{Name: "mid", Type: janus.String, Required: true}); err != nil {
			return q, err
		}
		if slices.ContainsFunc(q.Lines, func(l plane.LineQuality) bool { return l.Mid == o.String("mid") }) {
			return q, refuse(codeInvalidElement, "Invalid element value (lines: mid '%s' twice)", o.String("mid"))
		}
		l, ok := s.reported(o.String("mid"))
		if !ok {
			return q, refuse(codeInvalidElement, "Invalid element value (lines: no mid '%s')", o.String("mid"))
		}
		f.from = o
		l.FirstFrame, l.Watched, l.Frozen = f.duration("first_frame_ms"), f.duration("watched_ms"), f.duration("frozen_ms")
		l.Stalls, l.Frames, l.Packets = f.count("stalls"), f.count("frames"), f.count("packets")
		l.Loss, l.Jitter = f.number("loss", 1), f.duration("jitter_ms")
		l.Frozen = min(l.Frozen, l.Watched)
		q.Lines = append(q.Lines, l)
	}
	return q, f.err
}

// reported returns what is known of a line that the client reports on: mid and kind are the room's to say.
func (s *session) reported(mid string) (l plane.LineQuality, ok bool) {
	if p := s.publisher.Load(); p != nil {
		p.room.mu.Lock()
		defer p.room.mu.Unlock()
		if st := p.stream(mid); st != nil {
			return plane.LineQuality{Mid: mid, Kind: st.kind, Codec: st.codec, Stream: st.id()}, true
		}
		return l, false
	}
	sub := s.subscriber.Load()
	if sub == nil {
		return l, false
	}
	sub.room.mu.Lock()
	defer sub.room.mu.Unlock()
	line := sub.line(mid)
	if line == nil {
		return l, false
	}
	l = plane.LineQuality{Mid: mid, Kind: line.kind, Codec: line.codec, Sending: true}
	if st := line.source(); st != nil {
		l.Stream = st.id()
	}
	return l, true
}

// figures reads numbers that a client reports; the first that is impossible makes the error.
type figures struct {
	from janus.Object
	err  error
}

// number returns a number from 0 to most; 0 when it is not there.
func (f *figures) number(name string, most float64) float64 {
	if !f.from.Has(name) {
		return 0
	}
	n, ok := f.from.Float(name)
	if ok && n >= 0 && n <= most { // NaN is not
		return n
	}
	if f.err == nil {
		f.err = refuse(codeInvalidElement, "Invalid element value (%s: want a number from 0 to %v)", name, most)
	}
	return 0
}

func (f *figures) count(name string) int { return int(f.number(name, maxQualityCount)) }

// duration returns a number of milliseconds.
func (f *figures) duration(name string) time.Duration {
	return time.Duration(f.number(name, float64(maxQualitySpan/time.Millisecond)) * float64(time.Millisecond))
}

// viewer returns the participant whose client subscribes: the one whose private id it showed, else the only one of this room in its
// session, as plain clients have it; nil where neither is known. The room is locked.
func (s *subscriber) viewer() (found *participant) {
	if s.owner != nil {
		return s.owner
	}
	if p := s.room.byPrivateID[s.privateID]; p != nil {
		return p
	}
	for _, p := range s.room.members {
		if p.session == nil || p.session.h.Session() != s.session.h.Session() {
			continue
		}
		if found != nil {
			return nil // several users share the session: an application's gateway
		}
		found = p
	}
	return found
}

// tellQuality tells the node, and whoever takes user events.
func (s *session) tellQuality(q plane.Quality, client bool) {
	report := QualityReport{Client: client, Quality: q}
	report.Session, report.Handle = s.h.Session().ID(), s.h.ID()
	p, sub := s.publisher.Load(), s.subscriber.Load()
	var r *room
	switch {
	case p != nil:
		r = p.room
	case sub != nil:
		r, report.Subscriber = sub.room, true
		r.mu.Lock()
		p = sub.viewer()
		r.mu.Unlock()
	default:
		return
	}
	report.Room = r.name()
	if p != nil {
		report.Participant = p.id.String()
	}
	if f := s.plugin.cfg.Quality; f != nil {
		f(report)
	}
	if !s.plugin.wants(events.User) {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	told, _ := json.Marshal(qualityEvent(&report)) // numbers are finite, and texts always can be
	if !report.Subscriber {
		p.userEvent(events.NetworkQuality, func(e *events.UserEvent) { e.Quality = told })
		return
	}
	e := events.UserEvent{Event: events.NetworkQuality, Quality: told}
	e.Room, _ = json.Marshal(r.id)
	if p != nil {
		e.ID, _ = json.Marshal(p.id)
		if p.display != nil {
			e.Display = *p.display
		}
	}
	s.plugin.cfg.Events.EmitUser(r.origin(s), e)
}

// qualitySummary is a report in events. Times are in milliseconds.
type qualitySummary struct {
	Source    string             `json:"source"` // "server" or "client"
	Role      string             `json:"role"`   // "publisher" or "subscriber"
	SpanMS    float64            `json:"span_ms"`
	ConnectMS float64            `json:"connect_ms,omitempty"`
	RTTMS     float64            `json:"rtt_ms,omitempty"`
	Network   string             `json:"network,omitempty"`
	Path      string             `json:"path,omitempty"` // type of the client's candidate
	Protocol  string             `json:"protocol,omitempty"`
	Lines     []qualityLineEvent `json:"lines"`
}

type qualityLineEvent struct {
	Mid          string  `json:"mid"`
	Kind         string  `json:"kind"`
	Codec        string  `json:"codec,omitempty"`
	Feed         string  `json:"feed,omitempty"` // whose stream it is
	FirstFrameMS float64 `json:"first_frame_ms,omitempty"`
	WatchedMS    float64 `json:"watched_ms,omitempty"`
	FrozenMS     float64 `json:"frozen_ms,omitempty"`
	Stalls       int     `json:"stalls,omitempty"`
	Frames       int     `json:"frames,omitempty"`
	Packets      int     `json:"packets,omitempty"`
	Loss         float64 `json:"loss,omitempty"`
	JitterMS     float64 `json:"jitter_ms,omitempty"`
	MOS          float64 `json:"mos,omitempty"`
}

func qualityEvent(r *QualityReport) qualitySummary {
	q := &r.Quality
	e := qualitySummary{
		Source: "server", Role: "publisher", SpanMS: inMS(q.Span), ConnectMS: inMS(q.Connect), RTTMS: inMS(q.RTT),
		Network: q.Path.Network, Path: q.Path.Kind, Protocol: q.Path.Protocol, Lines: make([]qualityLineEvent, 0, len(q.Lines)),
	}
	if r.Client {
		e.Source = "client"
	}
	if r.Subscriber {
		e.Role = "subscriber"
	}
	for i := range q.Lines {
		l := &q.Lines[i]
		e.Lines = append(e.Lines, qualityLineEvent{
			Mid: l.Mid, Kind: l.Kind.String(), Codec: l.Codec, Feed: l.Stream.Publisher, FirstFrameMS: inMS(l.FirstFrame),
			WatchedMS: inMS(l.Watched), FrozenMS: inMS(l.Frozen), Stalls: l.Stalls, Frames: l.Frames, Packets: l.Packets,
			Loss: rounded(l.Loss, 1e4), JitterMS: inMS(l.Jitter), MOS: rounded(l.MOS, 100),
		})
	}
	return e
}

// inMS is a duration in milliseconds, to a tenth.
func inMS(d time.Duration) float64 { return rounded(float64(d)/float64(time.Millisecond), 10) }

func rounded(v, per float64) float64 { return math.Round(v*per) / per }
