package videoroom

import (
	"context"
	"math"
	"time"

	"cardea/relay/plane"
	"cardea/signaling/janus"
)

// participant is one who joined a room as publisher, whether or not it publishes. The room's mutex guards it.
type participant struct {
	room      *room    // set when it joins
	session   *session // set once; nil for a dummy publisher and for a participant of another node
	id        ID       // set once
	privateID uint32   // set once; names the participant to its own subscriptions
	dummy     bool     // set once
	remote    bool     // of another node; set once
	shared    shared
	until     time.Time // of one whose node gave it up or is gone: when it counts as gone, too. See await
	unseen    bool      // it is not known here, but subscribers were fed by it. See expect
	moved     bool      // it came from another node; set once
	contested bool      // that node seems to have it, too. See insist

	present  bool // in the room: neither left, kicked nor is the room gone
	started  bool // its PeerConnection is up: it can be subscribed to
	display  *string
	metadata janus.Object
	e2ee     bool   // its media is encrypted end to end
	bitrate  uint32 // that it asked for, bits/s; 0 for no limit

	negotiating bool // its offer is being answered
	yielding    bool // it is about to publish no more, for the sake of one on another node

	userTag string // what it showed of itself when it joined; see userTag
	shown   bool   // events have told that it publishes

	greeted bool  // its request to join was answered
	early   []any // events that came before, which it must not see first

	audioCodec, videoCodec  string // it wants to use, "" for the room's choice
	activePackets, levelAvg int    // its own values of the detection of talkers, 0 for the room's
	recording               bool
	recordingBase           string
	warnRecording           bool // recording began, which is not available: the log has to be told

	streams       []*stream // by index of the m-line
	forwarders    map[uint32]*forwarder
	remotes       map[string]*remote
	subscriptions map[*subscriber]struct{} // that showed its private id
}

// push sends the participant's client an event.
func (p *participant) push(event any) {
	switch {
	case p.session == nil:
	case p.greeted:
		p.session.h.Push("", event, nil)
	case len(p.early) < maxEarly:
		p.early = append(p.early, event)
	}
}

// greet notes that the request to join was answered.
func (p *participant) greet() {
	p.greeted = true
	for _, e := range p.early {
		p.push(e)
	}
	p.early = nil
}

// maxEarly bounds the events that wait for the answer to a request to join with an offer, which the media plane may
// delay.
const maxEarly = 1000

// closePeer closes the participant's PeerConnection in its handle's turn.
func (p *participant) closePeer() {
	if p.session != nil {
		p.session.h.ClosePeer(context.Background(), "Close PC") // does not wait
	}
}

// stream returns the participant's stream of a mid, nil when there is none.
func (p *participant) stream(mid string) *stream {
	for _, s := range p.streams {
		if s.mid == mid {
			return s
		}
	}
	return nil
}

// talking tells whether the participant talks; nil when it has no stream that tells.
func (p *participant) talking() *bool {
	var found, talking bool
	for _, s := range p.streams {
		if s.kind == plane.Audio && s.audioLevel && !s.disabled {
			found = true
			talking = talking || s.talking
		}
	}
	if !found {
		return nil
	}
	return &talking
}

// limit is the bitrate asked of the participant, bits/s; 0 for none. A capped room's bitrate is the most that it can be.
func (p *participant) limit() uint32 {
	c := &p.room.cfg
	if c.BitrateCap && c.Bitrate > 0 && (p.bitrate == 0 || p.bitrate > c.Bitrate) {
		return c.Bitrate
	}
	return p.bitrate
}

// stream is one published m-line. The room's mutex guards it.
type stream struct {
	owner  *participant // set once
	kind   plane.Kind   // set once
	mindex int          // set once

	mid string
	negotiated
	description        *string
	inactive           bool   // the publisher stopped sending it
	muted              bool   // by a moderator, for one of two reasons, which only its own node knows:
	silenced           bool   // until a moderator lets it through
	bound              bool   // by a mute that lasts
	moderated          uint64 // how often
	talking            bool
	level              float64 // that it was when it last began or stopped talking
	minDelay, maxDelay int     // steps of 10 ms, -1 for none
	lines              map[*line]struct{}
}

// negotiated is what a negotiation says of a stream.
type negotiated struct {
	codec            string // as the Janus API names it, "" for data or when there is none in common
	disabled         bool   // nothing can come of it
	fec, dtx, stereo bool   // of Opus
	red              bool   // Opus may come as RED
	h264, vp9        string // profiles
	simulcast, svc   bool
	encodings        int  // simulcast encodings
	audioLevel       bool // agreed header extensions
	videoOrient      bool
	playoutDelay     bool
	descriptor       bool
}

func newStream(p *participant, kind plane.Kind, mindex int, mid string) *stream {
	return &stream{owner: p, kind: kind, mindex: mindex, mid: mid, minDelay: -1, maxDelay: -1, lines: make(map[*line]struct{})}
}

// id names the stream in the media plane.
func (s *stream) id() plane.StreamID {
	return plane.StreamID{Room: s.owner.room.name(), Publisher: s.owner.id.String(), Mid: s.mid}
}

// maxDelay is the longest playout delay, in steps of 10 ms: the extension has 12 bits for each.
const maxDelay = 1<<12 - 1

// delays changes a pair of playout delays (steps of 10 ms) as a request says: a negative value takes both away, and
// neither may overtake the other.
func delays(body janus.Object, least, most *int) {
	const limit = maxDelay
	if n, ok := number(body, "min_delay", limit); ok {
		if n < 0 {
			*least, *most = -1, -1
		} else {
			*least, *most = n, max(n, *most)
		}
	}
	if n, ok := number(body, "max_delay", limit); ok {
		if n < 0 {
			*least, *most = -1, -1
		} else {
			*least, *most = min(n, *least), n
		}
	}
}

// streamInfo is what is told of a published stream.
type streamInfo struct {
	Type        string  `json:"type"`
	MIndex      int     `json:"mindex"`
	Mid         string  `json:"mid"`
	Disabled    bool    `json:"disabled,omitempty"`
	Description *string `json:"description,omitempty"`
	Codec       string  `json:"codec,omitempty"`
	Stereo      bool    `json:"stereo,omitempty"`
	FEC         bool    `json:"fec,omitempty"`
	DTX         bool    `json:"dtx,omitempty"`
	H264Profile string  `json:"h264_profile,omitempty"`
	VP9Profile  string  `json:"vp9_profile,omitempty"`
	Simulcast   bool    `json:"simulcast,omitempty"`
	SVC         bool    `json:"svc,omitempty"`
	Moderated   bool    `json:"moderated,omitempty"`
	Talking     *bool   `json:"talking,omitempty"`
}

// info is what the publisher itself is told of the stream.
func (s *stream) info() streamInfo {
	i := streamInfo{Type: s.kind.String(), MIndex: s.mindex, Mid: s.mid}
	if s.disabled {
		i.Disabled = true
		return i
	}
	i.Description, i.Codec = s.description, s.codec
	switch s.kind {
	case plane.Audio:
		if s.codec == "opus" {
			i.Stereo, i.FEC, i.DTX = s.stereo, s.fec, s.dtx
		}
	case plane.Video:
		i.H264Profile, i.VP9Profile = s.h264, s.vp9
		i.Simulcast, i.SVC = s.simulcast, s.svc
	case plane.Data:
	}
	return i
}

// publisherInfo is what others are told of a publisher.
type publisherInfo struct {
	ID         ID           `json:"id"`
	Display    *string      `json:"display,omitempty"`
	Metadata   janus.Object `json:"metadata,omitempty"`
	Dummy      bool         `json:"dummy,omitempty"`
	AudioCodec string       `json:"audio_codec,omitempty"`
	VideoCodec string       `json:"video_codec,omitempty"`
	Streams    []streamInfo `json:"streams"`
	Talking    *bool        `json:"talking,omitempty"`
}

// info is what others are told of the publisher: with those who talk when they join, without when it is news.
func (p *participant) info(withTalking bool) publisherInfo {
	i := publisherInfo{ID: p.id, Display: p.display, Metadata: p.metadata, Streams: make([]streamInfo, 0, len(p.streams))}
	for _, s := range p.streams {
		si := s.info()
		if !s.disabled {
			si.Moderated = s.muted
			if withTalking && s.kind == plane.Audio && s.audioLevel {
				talking := s.talking
				si.Talking = &talking
			}
			if s.kind == plane.Audio && i.AudioCodec == "" {
				i.AudioCodec = s.codec
			}
			if s.kind == plane.Video && i.VideoCodec == "" {
				i.VideoCodec = s.codec
			}
		}
		i.Streams = append(i.Streams, si)
	}
	if withTalking {
		i.Dummy, i.Talking = p.dummy, p.talking()
	}
	return i
}

// announce tells the others what the participant publishes.
func (p *participant) announce() {
	if !p.present {
		return
	}
	e := p.room.event()
	e["publishers"] = []publisherInfo{p.info(false)}
	p.room.broadcast(e, p)
	p.shared.announced++
}

// publications are what the media plane has to know of the participant's streams.
func (p *participant) publications() []plane.Publication {
	pubs := make([]plane.Publication, 0, len(p.streams))
	c := &p.room.cfg
	for _, s := range p.streams {
		if s.disabled {
			continue
		}
		pub := plane.Publication{Mid: s.mid, Stream: s.id(), Muted: s.muted || s.inactive}
		switch s.kind {
		case plane.Audio:
			if c.AudioLevelEvent && s.audioLevel {
				pub.Talking = &plane.Talking{
					Packets: first(p.activePackets, c.AudioActivePackets, defaultActivePackets),
					Level:   uint8(min(first(p.levelAvg, c.AudioLevelAverage, defaultLevelAverage), math.MaxInt8)),
				}
			}
		case plane.Video:
			pub.Bitrate = p.limit()
			pub.KeyframeInterval = seconds(c.FIRFreq)
		case plane.Data:
		}
		pubs = append(pubs, pub)
	}
	return pubs
}

// sync tells the media plane of the participant's streams, in its handle's turn.
func (p *participant) sync() {
	if p.session != nil && len(p.streams) > 0 {
		p.session.h.Do(p.session.syncPublications)
	}
}

// syncPublishers does so for everybody who publishes.
func (r *room) syncPublishers() {
	for _, p := range r.members {
		p.sync()
	}
}

// first returns the first that is positive.
func first(values ...int) int {
	for _, v := range values {
		if v > 0 {
			return v
		}
	}
	return 0
}
