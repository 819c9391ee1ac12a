package videoroom

import (
	"slices"
	"strconv"
	"time"

	"cardea/relay/plane"
	"cardea/signaling/janus"
)

// maxLines bounds the m-lines of a subscriber.
const maxLines = 512

// subscriber is one who receives streams of a room. The room's mutex guards it.
type subscriber struct {
	room      *room        // set once
	session   *session     // set once
	owner     *participant // whose private id it showed, nil for none
	privateID uint32       // set once

	useMsid    bool // name the publisher in the offers
	autoupdate bool // offer anew when streams go
	e2ee       bool
	kicked     bool

	paused   bool // nothing flows
	answered bool // the last offer was answered, so another may be made
	pending  bool // there is something to offer as soon as it is
	restart  bool // and it should restart ICE
	skipped  bool // streams went that were not told of, since autoupdate is off
	syncing  bool // a sync is on its way

	lines []*line // by index of the m-line; they never go
}

// line is one m-line of a subscriber. A data line has any number of sources, others one or none.
type line struct {
	sub     *subscriber // set once
	kind    plane.Kind  // set once
	mindex  int         // set once
	codec   string      // set once
	sources []*stream
	ready   bool // the client accepted it with its present sources
	send    bool // the subscriber wants it

	crossref           *string
	h264, vp9          string
	minDelay, maxDelay int // steps of 10 ms, -1 for none

	want     layers        // 0 lowest to 2
	now      layers        // that flow, -1 until known
	fallback time.Duration // silence of a substream after which the next lower is taken, 0 for the default
}

// layers are a line's substream and temporal layer of simulcast, and spatial and temporal layer of SVC.
type layers struct{ substream, temporal, spatial, temporalSVC int }

const maxLayer = 2

var (
	allLayers = layers{maxLayer, maxLayer, maxLayer, maxLayer}
	noLayers  = layers{-1, -1, -1, -1}
)

func newSubscriber(r *room, s *session) *subscriber {
	return &subscriber{room: r, session: s, paused: true}
}

// mid names the line to the client.
func (l *line) mid() string { return strconv.Itoa(l.mindex) }

// source is the stream of the line, nil for none; of a data line the first.
func (l *line) source() *stream {
	if len(l.sources) == 0 {
		return nil
	}
	return l.sources[0]
}

// line returns the line of a mid, nil when there is none.
func (s *subscriber) line(mid string) *line {
	i, err := strconv.Atoi(mid)
	if err != nil || i < 0 || i >= len(s.lines) || s.lines[i].mid() != mid {
		return nil
	}
	return s.lines[i]
}

// add makes a line for a stream.
func (s *subscriber) add(st *stream) *line {
	l := &line{sub: s, kind: st.kind, mindex: len(s.lines), codec: st.codec, minDelay: -1, maxDelay: -1}
	s.lines = append(s.lines, l)
	l.feed(st)
	return l
}

// attach subscribes to a stream: on an inactive line of its kind and codec if there is one, else on a new line; data goes
// to the one data line. The line is nil if nothing has to be negotiated for it.
func (s *subscriber) attach(st *stream) *line {
	for _, l := range s.lines {
		switch {
		case l.kind != st.kind:
		case l.kind == plane.Data && len(l.sources) > 0:
			l.join(st)
			return nil
		case len(l.sources) == 0 && l.codec == st.codec:
			l.feed(st)
			return l
		}
	}
	return s.add(st)
}

// feed makes a stream the line's source, with nothing said of it by the subscriber yet.
func (l *line) feed(st *stream) {
	l.join(st)
	l.send, l.crossref = true, nil
	l.h264, l.vp9 = st.h264, st.vp9
	l.reset()
}

// join adds a source to the line.
func (l *line) join(st *stream) {
	if !slices.Contains(l.sources, st) {
		l.sources = append(l.sources, st)
		st.lines[l] = struct{}{}
	}
}

// reset forgets which layers were wanted and flowed.
func (l *line) reset() {
	l.want, l.now, l.fallback = allLayers, noLayers, 0
}

// drop takes a source from the line. A line without any is inactive.
func (l *line) drop(st *stream) {
	if i := slices.Index(l.sources, st); i >= 0 {
		l.sources = slices.Delete(l.sources, i, i+1)
	}
	delete(st.lines, l)
	if len(l.sources) == 0 {
		l.ready = false
	}
}

// clear takes all sources from the line.
func (l *line) clear() {
	for len(l.sources) > 0 {
		l.drop(l.sources[0])
	}
}

// active tells whether something can flow on the line.
func (l *line) active() bool {
	st := l.source()
	return l.kind == plane.Data || st != nil && !st.disabled
}

// lineInfo is what a subscriber is told of one of its lines.
type lineInfo struct {
	Type            string         `json:"type"`
	Active          bool           `json:"active"`
	MIndex          int            `json:"mindex"`
	Mid             string         `json:"mid"`
	CrossRefID      *string        `json:"crossrefid,omitempty"`
	Ready           bool           `json:"ready"`
	Send            bool           `json:"send"`
	Sources         int            `json:"sources,omitempty"`
	SourceIDs       []ID           `json:"source_ids,omitempty"`
	FeedID          *ID            `json:"feed_id,omitempty"`
	FeedDisplay     *string        `json:"feed_display,omitempty"`
	FeedMetadata    janus.Object   `json:"feed_metadata,omitempty"`
	FeedMid         string         `json:"feed_mid,omitempty"`
	FeedDescription *string        `json:"feed_description,omitempty"`
	Codec           string         `json:"codec,omitempty"`
	H264Profile     string         `json:"h264-profile,omitempty"`
	VP9Profile      string         `json:"vp9-profile,omitempty"`
	PlayoutDelay    *delayInfo     `json:"playout-delay,omitempty"`
	Simulcast       *simulcastInfo `json:"simulcast,omitempty"`
	SVC             *svcInfo       `json:"svc,omitempty"`
}

type delayInfo struct {
	Min int `json:"min-delay"`
	Max int `json:"max-delay"`
}

type simulcastInfo struct {
	Substream       int   `json:"substream"`
	SubstreamTarget int   `json:"substream-target"`
	Temporal        int   `json:"temporal-layer"`
	TemporalTarget  int   `json:"temporal-layer-target"`
	Fallback        int64 `json:"fallback,omitempty"` // microseconds
}

type svcInfo struct {
	Spatial        int `json:"spatial-layer"`
	SpatialTarget  int `json:"target-spatial-layer"`
	Temporal       int `json:"temporal-layer"`
	TemporalTarget int `json:"target-temporal-layer"`
}

// info is what the subscriber is told of the line.
func (l *line) info() lineInfo {
	st := l.source()
	i := lineInfo{
		Type: l.kind.String(), Active: st != nil || l.kind == plane.Data, MIndex: l.mindex, Mid: l.mid(),
		CrossRefID: l.crossref, Ready: l.ready, Send: l.send,
	}
	if st == nil {
		return i
	}
	if l.kind == plane.Data {
		i.Sources = len(l.sources)
		for _, st := range l.sources {
			i.SourceIDs = append(i.SourceIDs, st.owner.id)
		}
		return i
	}
	id := st.owner.id
	i.FeedID, i.FeedDisplay, i.FeedMetadata = &id, st.owner.display, st.owner.metadata
	i.FeedMid, i.FeedDescription, i.Codec = st.mid, st.description, l.codec
	if l.kind != plane.Video {
		return i
	}
	i.H264Profile, i.VP9Profile = l.h264, l.vp9
	if l.minDelay >= 0 && l.maxDelay >= 0 {
		i.PlayoutDelay = &delayInfo{Min: l.minDelay, Max: l.maxDelay}
	}
	if st.simulcast {
		i.Simulcast = &simulcastInfo{
			Substream: l.now.substream, SubstreamTarget: l.want.substream, Temporal: l.now.temporal,
			TemporalTarget: l.want.temporal, Fallback: l.fallback.Microseconds(),
		}
	}
	if st.svc {
		i.SVC = &svcInfo{
			Spatial: l.now.spatial, SpatialTarget: l.want.spatial, Temporal: l.now.temporalSVC,
			TemporalTarget: l.want.temporalSVC,
		}
	}
	return i
}

// summary is what the subscriber is told of its lines.
func (s *subscriber) summary() []lineInfo {
	infos := make([]lineInfo, 0, len(s.lines))
	for _, l := range s.lines {
		infos = append(infos, l.info())
	}
	return infos
}

// end ends the subscriptions along with the PeerConnection that carried them.
func (s *subscriber) end() {
	s.room.mu.Lock()
	defer s.room.mu.Unlock()
	s.paused, s.e2ee = true, false
	s.answered, s.pending, s.restart = false, false, false
	for _, l := range s.lines {
		l.clear()
	}
	s.lines = nil
}

// forget takes the subscriber out of the room.
func (s *subscriber) forget() {
	s.room.mu.Lock()
	defer s.room.mu.Unlock()
	delete(s.room.subscribers, s)
	if s.owner != nil {
		delete(s.owner.subscriptions, s)
	}
}
