package videoroom

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"cardea/relay/plane"
	"cardea/signaling/sdp"
)

// maxState bounds a snapshot, bytes. It goes to the media plane, in what plane.MaxSnapshot bounds, beside what the core keeps.
const maxState = 128 << 10

// state is an instance as another node reads it, as JSON: what is not known is skipped, and what is missing is as if it had never
// been changed. What it holds of secrets is a publisher's private id, which its own subscriptions show, and the SRTP keys of
// its forwarders, without which they could not go on.
type state struct {
	Peer       plane.PeerID     `json:"peer,omitempty"` // whose the streams or lines are
	HungUp     bool             `json:"hung_up,omitempty"`
	Publisher  *publisherState  `json:"publisher,omitempty"`
	Subscriber *subscriberState `json:"subscriber,omitempty"`
}

// publisherState is a participant: what other nodes know anyway, and what only its own does.
type publisherState struct {
	Room          string           `json:"room"`
	ID            string           `json:"id"`
	PrivateID     uint32           `json:"private_id"`
	Absent        bool             `json:"absent,omitempty"` // it left, or was kicked, or the room is gone
	Entry         entry            `json:"entry"`            // without private tag and forwarders
	Bitrate       uint32           `json:"bitrate,omitempty"`
	AudioCodec    string           `json:"audio_codec,omitempty"`
	VideoCodec    string           `json:"video_codec,omitempty"`
	ActivePackets int              `json:"audio_active_packets,omitempty"`
	LevelAverage  int              `json:"audio_level_average,omitempty"`
	Recording     bool             `json:"recording,omitempty"`
	RecordingBase string           `json:"recording_base,omitempty"`
	Inactive      []int            `json:"inactive,omitempty"` // indices of streams that it stopped sending
	Forwarders    []forwarderState `json:"forwarders,omitempty"`
	Remotes       []remoteState    `json:"remotes,omitempty"`
}

type forwarderState struct {
	forwarderEntry
	Elsewhere bool   `json:"elsewhere,omitempty"`
	Hidden    bool   `json:"hidden,omitempty"`
	Key       []byte `json:"key,omitempty"`
	Remote    string `json:"remote,omitempty"`
}

type remoteState struct {
	ID       string `json:"id"`
	Host     string `json:"host"`
	Port     uint16 `json:"port"`
	RTCPPort uint16 `json:"rtcp_port,omitempty"`
	Suite    int    `json:"srtp_suite,omitempty"`
	Key      []byte `json:"key,omitempty"`
}

// subscriberState is a subscriber. Flags are named so that they are rarely set.
type subscriberState struct {
	Room      string      `json:"room"`
	Over      bool        `json:"over,omitempty"` // the room is gone
	PrivateID uint32      `json:"private_id,omitempty"`
	UseMsid   bool        `json:"use_msid,omitempty"`
	Unasked   bool        `json:"no_autoupdate,omitempty"`
	E2EE      bool        `json:"e2ee,omitempty"`
	Kicked    bool        `json:"kicked,omitempty"`
	Paused    bool        `json:"paused,omitempty"`
	Answered  bool        `json:"answered,omitempty"`
	Pending   bool        `json:"pending,omitempty"`
	Restart   bool        `json:"restart,omitempty"`
	Skipped   bool        `json:"skipped,omitempty"`
	Lines     []lineState `json:"lines,omitempty"` // by index of the m-line
}

type lineState struct {
	Kind     string        `json:"type"`
	Codec    string        `json:"codec,omitempty"`
	Sources  []sourceState `json:"sources,omitempty"`
	Ready    bool          `json:"ready,omitempty"`
	Unsent   bool          `json:"unsent,omitempty"`
	CrossRef *string       `json:"crossrefid,omitempty"`
	H264     string        `json:"h264_profile,omitempty"`
	VP9      string        `json:"vp9_profile,omitempty"`
	Delay    *delayInfo    `json:"delay,omitempty"`
	Want     *layerState   `json:"want,omitempty"`
	Now      *layerState   `json:"now,omitempty"`
	Fallback time.Duration `json:"fallback,omitempty"`
}

// sourceState is a stream that feeds a line, with what an offer would say of it.
type sourceState struct {
	Feed   string      `json:"feed"`
	Joined int64       `json:"joined,omitempty"` // which stay of the feed's it is of,
	Seat   int64       `json:"seat,omitempty"`   // and since when it published in it
	E2EE   bool        `json:"e2ee,omitempty"`
	Stream streamEntry `json:"stream"`
}

type layerState struct {
	Substream   int `json:"substream"`
	Temporal    int `json:"temporal"`
	Spatial     int `json:"spatial"`
	TemporalSVC int `json:"temporal_svc"`
}

// encode writes the state. Of one that is too large the texts are left out that a client may say as much in as it likes.
func (s *state) encode() ([]byte, error) {
	b, err := json.Marshal(s)
	for _, shorten := range s.shortenings() {
		if err != nil || len(b) <= maxState {
			break
		}
		shorten()
		b, err = json.Marshal(s)
	}
	switch {
	case err != nil:
		return nil, fmt.Errorf("encode state: %w", err)
	case len(b) > maxState:
		return nil, fmt.Errorf("state of %d bytes", len(b))
	}
	return b, nil
}

// shortenings are what makes the state smaller, what is missed least first.
func (s *state) shortenings() []func() {
	if p := s.Publisher; p != nil {
		return append([]func(){func() { p.RecordingBase = "" }}, p.Entry.shortenings()...)
	}
	if sub := s.Subscriber; sub != nil {
		return []func(){func() {
			for i := range sub.Lines {
				sub.Lines[i].CrossRef = nil
			}
		}}
	}
	return nil
}

// readState decodes a snapshot that another node took, and checks it as entries are checked.
func readState(b []byte) (*state, error) {
	if len(b) > maxState {
		return nil, fmt.Errorf("state of %d bytes", len(b))
	}
	s := &state{}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber() // metadata goes to clients as it came
	err := d.Decode(s)
	switch {
	case err != nil:
		return nil, fmt.Errorf("decode state: %w", err)
	case s.Publisher != nil && s.Subscriber != nil:
		return nil, errors.New("state of a publisher and a subscriber in one")
	case s.Publisher != nil:
		err = s.Publisher.check()
	case s.Subscriber != nil:
		err = s.Subscriber.check()
	}
	if err != nil {
		return nil, fmt.Errorf("state: %w", err)
	}
	return s, nil
}

func (p *publisherState) check() error {
	if err := p.Entry.check(); err != nil {
		return err
	}
	if p.AudioCodec != "" && !sdp.KnownCodec(plane.Audio, p.AudioCodec) || p.VideoCodec != "" && !sdp.KnownCodec(plane.Video, p.VideoCodec) {
		return fmt.Errorf("codecs %q and %q", p.AudioCodec, p.VideoCodec)
	}
	if len(p.Forwarders) > maxForwarders || len(p.Remotes) > maxRemotes {
		return fmt.Errorf("%d forwarders and %d remotizations", len(p.Forwarders), len(p.Remotes))
	}
	for i := range p.Forwarders {
		f := &p.Forwarders[i]
		if err := f.check(); err != nil {
			return fmt.Errorf("forwarder %d: %w", i, err)
		}
		if s := (srtp{suite: f.Suite, key: f.Key}); !f.Elsewhere && !s.valid() {
			return fmt.Errorf("forwarder %d: SRTP suite %d with a key of %d bytes", i, f.Suite, len(f.Key))
		}
	}
	for i := range p.Remotes {
		r := &p.Remotes[i]
		if _, err := netip.ParseAddr(r.Host); err != nil || !(srtp{suite: r.Suite, key: r.Key}).valid() {
			return fmt.Errorf("remotization %d to %q", i, r.Host)
		}
	}
	return nil
}

// valid tells whether a forwarder can encrypt so.
func (s srtp) valid() bool {
	return s.suite == 0 && len(s.key) == 0 || (s.suite == 32 || s.suite == 80) && len(s.key) == srtpKeyLength
}

func (s *subscriberState) check() error {
	if len(s.Lines) > maxLines {
		return fmt.Errorf("%d lines", len(s.Lines))
	}
	for i := range s.Lines {
		if err := s.Lines[i].check(); err != nil {
			return fmt.Errorf("line %d: %w", i, err)
		}
	}
	return nil
}

func (l *lineState) check() error {
	self := streamEntry{Kind: l.Kind, Codec: l.Codec, H264Profile: l.H264, VP9Profile: l.VP9, Delay: l.Delay}
	if err := self.check(); err != nil {
		return err
	}
	if l.Kind != plane.Data.String() && len(l.Sources) > 1 {
		return fmt.Errorf("%d sources", len(l.Sources))
	}
	if l.Want != nil && !l.Want.within(0) || l.Now != nil && !l.Now.within(-1) || l.Fallback < 0 {
		return fmt.Errorf("layers %+v of %+v", l.Want, l.Now)
	}
	for i := range l.Sources {
		st := &l.Sources[i].Stream
		if err := st.check(); err != nil {
			return fmt.Errorf("source %d: %w", i, err)
		}
		if st.Kind != l.Kind {
			return fmt.Errorf("%s that is fed by %s", l.Kind, st.Kind)
		}
	}
	return nil
}

// within tells whether there can be such layers, the lowest being of that number.
func (l *layerState) within(lowest int) bool {
	return min(l.Substream, l.Temporal, l.Spatial, l.TemporalSVC) >= lowest && max(l.Substream, l.Temporal, l.Spatial, l.TemporalSVC) <= maxLayer
}

// state is the participant as it is kept.
func (p *participant) state() *publisherState {
	s := &publisherState{
		Room: p.room.id.String(), ID: p.id.String(), PrivateID: p.privateID, Absent: !p.present, Entry: p.entry(), Bitrate: p.bitrate,
		AudioCodec: p.audioCodec, VideoCodec: p.videoCodec, ActivePackets: p.activePackets, LevelAverage: p.levelAvg,
		Recording: p.recording, RecordingBase: p.recordingBase,
	}
	s.Entry.PrivateTag, s.Entry.Forwarders = "", nil
	for i, st := range p.streams {
		if st.inactive {
			s.Inactive = append(s.Inactive, i)
		}
	}
	for _, f := range p.forwarders {
		fs := forwarderState{forwarderEntry: f.entry(), Elsewhere: f.elsewhere, Hidden: f.srtp.hidden, Key: f.srtp.key, Remote: f.remote}
		fs.Suite = f.srtp.suite
		s.Forwarders = append(s.Forwarders, fs)
	}
	slices.SortFunc(s.Forwarders, func(a, b forwarderState) int { return cmp.Compare(a.ID, b.ID) })
	for _, r := range p.remotes {
		s.Remotes = append(s.Remotes, remoteState{r.id, r.host.String(), r.port, r.rtcpPort, r.srtp.suite, r.srtp.key})
	}
	slices.SortFunc(s.Remotes, func(a, b remoteState) int { return cmp.Compare(a.ID, b.ID) })
	return s
}

// participant is the one that was kept, for a room that it is not in yet; live says that its PeerConnection goes on.
func (s *publisherState) participant(id ID, live bool) *participant {
	e := &s.Entry
	p := newParticipant(id)
	p.privateID, p.greeted = s.PrivateID, true
	p.shared = shared{
		version: e.Version, joined: e.Joined, left: e.Left, announced: e.Announced, unpublished: e.Unpublished, renamed: e.Renamed,
	}
	p.display, p.metadata, p.bitrate, p.userTag = e.Display, e.Metadata, s.Bitrate, e.UserTag
	p.activePackets, p.levelAvg = s.ActivePackets, s.LevelAverage
	p.recording, p.recordingBase = s.Recording, s.RecordingBase
	if !live {
		return p
	}
	p.shared.seat, p.started, p.e2ee = e.Seat, e.Started, e.E2EE
	p.shown = e.Started
	p.audioCodec, p.videoCodec = s.AudioCodec, s.VideoCodec
	p.copyStreams(e.Streams)
	for _, i := range s.Inactive {
		if i >= 0 && i < len(p.streams) {
			p.streams[i].inactive = true
		}
	}
	return p
}

// restoreForwarders gives the participant, who is in a room, the forwarders that were kept, and returns those that are its own
// node's to run. Other nodes know whether they still run theirs.
func (s *publisherState) restoreForwarders(p *participant) (list []*forwarder) {
	for i := range s.Remotes {
		r := &s.Remotes[i]
		host, _ := netip.ParseAddr(r.Host) // checked
		p.remotes[r.ID] = &remote{r.ID, host, r.Port, r.RTCPPort, srtp{suite: r.Suite, key: r.Key}}
	}
	for i := range s.Forwarders {
		e := &s.Forwarders[i]
		st := p.stream(e.Mid)
		if st == nil || p.forwarders[e.ID] != nil {
			continue
		}
		f := e.forwarder(st)
		f.elsewhere, f.remote, f.srtp.hidden, f.srtp.key = e.Elsewhere, e.Remote, e.Hidden, e.Key
		p.keepForwarder(f)
		if !f.elsewhere {
			list = append(list, f)
		}
	}
	return list
}

// state is the subscriber as it is kept.
func (s *subscriber) state() *subscriberState {
	st := &subscriberState{
		Room: s.room.id.String(), Over: s.room.destroyed, PrivateID: s.privateID, UseMsid: s.useMsid, Unasked: !s.autoupdate,
		E2EE: s.e2ee, Kicked: s.kicked, Paused: s.paused, Answered: s.answered, Pending: s.pending, Restart: s.restart, Skipped: s.skipped,
	}
	for _, l := range s.lines {
		st.Lines = append(st.Lines, l.state())
	}
	return st
}

func (l *line) state() lineState {
	s := lineState{
		Kind: l.kind.String(), Codec: l.codec, Ready: l.ready, Unsent: !l.send, CrossRef: l.crossref, H264: plainly(l.h264),
		VP9: plainly(l.vp9), Fallback: l.fallback,
	}
	if l.minDelay >= 0 && l.maxDelay >= 0 {
		s.Delay = &delayInfo{Min: l.minDelay, Max: l.maxDelay}
	}
	if l.want != allLayers {
		s.Want = &layerState{l.want.substream, l.want.temporal, l.want.spatial, l.want.temporalSVC}
	}
	if l.now != noLayers {
		s.Now = &layerState{l.now.substream, l.now.temporal, l.now.spatial, l.now.temporalSVC}
	}
	for _, st := range l.sources {
		e := st.entry()
		e.Description, e.Muted, e.Moderated, e.Talking, e.Level = nil, false, 0, false, 0
		p := st.owner
		s.Sources = append(s.Sources, sourceState{Feed: p.id.String(), Joined: p.shared.joined, Seat: p.shared.seat, E2EE: p.e2ee, Stream: e})
	}
	return s
}

// line is the line that was kept, without its sources.
func (s *lineState) line(sub *subscriber) *line {
	kind, _ := kindOf(s.Kind) // checked
	l := &line{
		sub: sub, kind: kind, mindex: len(sub.lines), codec: s.Codec, ready: s.Ready, send: !s.Unsent, crossref: s.CrossRef, h264: s.H264,
		vp9: s.VP9, minDelay: -1, maxDelay: -1, want: allLayers, now: noLayers, fallback: s.Fallback,
	}
	if s.Delay != nil {
		l.minDelay, l.maxDelay = s.Delay.Min, s.Delay.Max
	}
	if w := s.Want; w != nil {
		l.want = layers{w.Substream, w.Temporal, w.Spatial, w.TemporalSVC}
	}
	if n := s.Now; n != nil {
		l.now = layers{n.Substream, n.Temporal, n.Spatial, n.TemporalSVC}
	}
	return l
}
