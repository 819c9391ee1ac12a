package videoroom

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"

	"cardea/relay/plane"
	"cardea/signaling/janus"
	"cardea/signaling/sdp"
)

// Bounds on what other nodes say of their participants; what is beyond is not believed.
const (
	maxEncodings = 16
	maxProfile   = 64 // bytes
)

// entry is what a participant's node tells the others of it, as JSON: its state, and how often it was announced, so that they
// announce it as often. Fields may be added; what is not known is skipped. No secrets are in it.
type entry struct {
	Version uint64 `json:"version"` // counts the changes of one stay
	Joined  int64  `json:"joined"`  // when it joined, microseconds of the Unix clock; tells stays apart
	Left    string `json:"left,omitempty"`
	Seat    int64  `json:"seat,omitempty"` // since when it counts as a publisher, like Joined; 0 when it does not
	Started bool   `json:"started,omitempty"`

	Display    *string          `json:"display,omitempty"`
	Metadata   janus.Object     `json:"metadata,omitempty"`
	E2EE       bool             `json:"e2ee,omitempty"`
	PrivateTag string           `json:"private_tag,omitempty"`
	UserTag    string           `json:"user_tag,omitempty"`
	Streams    []streamEntry    `json:"streams,omitempty"`
	Forwarders []forwarderEntry `json:"forwarders,omitempty"`

	Announced   uint64 `json:"announced,omitempty"`   // how often it was told what it publishes,
	Unpublished uint64 `json:"unpublished,omitempty"` // that it publishes no more,
	Renamed     uint64 `json:"renamed,omitempty"`     // and that its display name or metadata are others
}

// streamEntry is one stream of an entry.
type streamEntry struct {
	Kind         string     `json:"type"`
	Mid          string     `json:"mid"`
	Codec        string     `json:"codec,omitempty"`
	Description  *string    `json:"description,omitempty"`
	Disabled     bool       `json:"disabled,omitempty"`
	FEC          bool       `json:"fec,omitempty"`
	DTX          bool       `json:"dtx,omitempty"`
	Stereo       bool       `json:"stereo,omitempty"`
	RED          bool       `json:"red,omitempty"`
	H264Profile  string     `json:"h264_profile,omitempty"`
	VP9Profile   string     `json:"vp9_profile,omitempty"`
	Simulcast    bool       `json:"simulcast,omitempty"`
	SVC          bool       `json:"svc,omitempty"`
	Encodings    int        `json:"encodings,omitempty"`
	AudioLevel   bool       `json:"audio_level,omitempty"`
	VideoOrient  bool       `json:"video_orientation,omitempty"`
	PlayoutDelay bool       `json:"playout_delay,omitempty"`
	Descriptor   bool       `json:"dependency_descriptor,omitempty"`
	Delay        *delayInfo `json:"delay,omitempty"`
	Muted        bool       `json:"muted,omitempty"`
	Moderated    uint64     `json:"moderated,omitempty"` // how often a moderator muted it or let it through
	Talking      bool       `json:"talking,omitempty"`
	Level        float64    `json:"level,omitempty"` // that it was when it last began or stopped talking
}

// entry is what the other nodes are told of the participant.
func (p *participant) entry() entry {
	e := entry{
		Version: p.shared.version, Joined: p.shared.joined, Left: p.shared.left, Seat: p.shared.seat, Started: p.started,
		Display: p.display, Metadata: p.metadata, E2EE: p.e2ee, PrivateTag: privateTag(p.room.id, p.id, p.privateID), UserTag: p.userTag,
		Announced: p.shared.announced, Unpublished: p.shared.unpublished, Renamed: p.shared.renamed,
	}
	for _, st := range p.streams {
		e.Streams = append(e.Streams, st.entry())
	}
	e.Forwarders = p.forwarderEntries()
	return e
}

func (st *stream) entry() streamEntry {
	e := streamEntry{
		Kind: st.kind.String(), Mid: st.mid, Codec: st.codec, Description: st.description, Disabled: st.disabled,
		FEC: st.fec, DTX: st.dtx, Stereo: st.stereo, RED: st.red, H264Profile: plainly(st.h264), VP9Profile: plainly(st.vp9),
		Simulcast: st.simulcast, SVC: st.svc, Encodings: st.encodings, AudioLevel: st.audioLevel, VideoOrient: st.videoOrient,
		PlayoutDelay: st.playoutDelay, Descriptor: st.descriptor, Muted: st.muted, Moderated: st.moderated, Talking: st.talking,
		Level: st.level,
	}
	if st.minDelay >= 0 && st.maxDelay >= 0 {
		e.Delay = &delayInfo{Min: st.minDelay, Max: st.maxDelay}
	}
	return e
}

// negotiated is the same as the home of the stream knows it.
func (e *streamEntry) negotiated() negotiated {
	return negotiated{
		codec: e.Codec, disabled: e.Disabled, fec: e.FEC, dtx: e.DTX, stereo: e.Stereo, red: e.RED, h264: e.H264Profile,
		vp9: e.VP9Profile, simulcast: e.Simulcast, svc: e.SVC, encodings: e.Encodings, audioLevel: e.AudioLevel,
		videoOrient: e.VideoOrient, playoutDelay: e.PlayoutDelay, descriptor: e.Descriptor,
	}
}

// privateTag is what others are told of a participant's private id: enough to recognise it. "" for those without one.
func privateTag(room, participant ID, privateID uint32) string {
	if privateID == 0 {
		return ""
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "private id\x00%s\x00%s\x00%d", room, participant, privateID))
	return hex.EncodeToString(sum[:16])
}

// report tells the other nodes of the participant if anything about it is new.
func (p *participant) report() {
	r := p.room
	if r.held == nil || p.remote || p.dummy || p.shared.lost || !p.present && r.departed[p.id] != p {
		return
	}
	if b, changed := p.encode(); changed {
		r.held.mesh.Put(p.id.String(), b)
	}
}

// encode writes the participant's entry; changed tells whether it says anything new.
func (p *participant) encode() (b []byte, changed bool) {
	e := p.entry()
	b, err := e.encode()
	if err != nil || bytes.Equal(b, p.shared.reported) {
		return p.shared.reported, false // an entry is made of what can be encoded
	}
	p.shared.version++
	e.Version = p.shared.version
	b, _ = e.encode()
	p.shared.reported = b
	return b, true
}

// encode writes the entry. Of one that is too large for the mesh the texts are left out that a client may say as much in as it
// likes: the others miss a description rather than the participant.
func (e *entry) encode() ([]byte, error) {
	const room = 64 // for a longer version
	b, err := json.Marshal(e)
	for _, shorten := range e.shortenings() {
		if err != nil || len(b) <= MaxMeshEntry-room {
			break
		}
		shorten()
		b, err = json.Marshal(e)
	}
	if err != nil {
		return nil, fmt.Errorf("encode entry: %w", err)
	}
	return b, nil
}

// shortenings are what makes the entry smaller, what is missed least first.
func (e *entry) shortenings() []func() {
	return []func(){
		func() {
			for i := range e.Streams {
				e.Streams[i].Description = nil
			}
		},
		func() { e.Metadata = nil },
		func() { e.Display = nil },
		func() { e.Forwarders = nil },
	}
}

// readEntry decodes another node's entry and checks that it is one that a node of good will could send: what is in it ends up in
// session descriptions and events.
func readEntry(b []byte) (*entry, error) {
	if len(b) > MaxMeshEntry {
		return nil, fmt.Errorf("entry of %d bytes", len(b))
	}
	e := &entry{}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber() // metadata goes to clients as it came
	if err := d.Decode(e); err != nil {
		return nil, fmt.Errorf("decode entry: %w", err)
	}
	if err := e.check(); err != nil {
		return nil, err
	}
	return e, nil
}

func (e *entry) check() error {
	if e.Left != "" && e.Left != partLeaving && e.Left != partKicked {
		return fmt.Errorf("entry of one that left by %q", e.Left)
	}
	if len(e.Streams) > maxStreams || len(e.Forwarders) > maxForwarders {
		return fmt.Errorf("entry of %d streams and %d forwarders", len(e.Streams), len(e.Forwarders))
	}
	if len(e.UserTag) > maxMuteUser {
		return fmt.Errorf("entry with a user tag of %d bytes", len(e.UserTag))
	}
	if err := checkSize(map[string]any(e.Metadata), "metadata"); err != nil {
		return fmt.Errorf("entry: %w", err)
	}
	for i := range e.Streams {
		if err := e.Streams[i].check(); err != nil {
			return fmt.Errorf("entry's stream %d: %w", i, err)
		}
	}
	for i := range e.Forwarders {
		if err := e.Forwarders[i].check(); err != nil {
			return fmt.Errorf("entry's forwarder %d: %w", i, err)
		}
	}
	return nil
}

func (e *streamEntry) check() error {
	kind, ok := kindOf(e.Kind)
	switch {
	case !ok:
		return fmt.Errorf("kind %q", e.Kind)
	case e.Codec != "" && (kind == plane.Data || !sdp.KnownCodec(kind, e.Codec)):
		return fmt.Errorf("codec %q", e.Codec)
	case !plain(e.H264Profile) || !plain(e.VP9Profile):
		return fmt.Errorf("profile %q %q", e.H264Profile, e.VP9Profile)
	case e.Encodings < 0 || e.Encodings > maxEncodings:
		return fmt.Errorf("%d encodings", e.Encodings)
	case e.Delay != nil && (e.Delay.Min < 0 || e.Delay.Max < e.Delay.Min || e.Delay.Max > maxDelay):
		return fmt.Errorf("delay %d to %d", e.Delay.Min, e.Delay.Max)
	}
	return nil
}

// kindOf is the kind of that name.
func kindOf(name string) (plane.Kind, bool) {
	for _, k := range []plane.Kind{plane.Audio, plane.Video, plane.Data} {
		if k.String() == name {
			return k, true
		}
	}
	return 0, false
}

// plain tells whether a profile may stand in an fmtp.
func plain(profile string) bool {
	return len(profile) <= maxProfile && strings.IndexFunc(profile, func(r rune) bool { return r <= ' ' || r > '~' || r == ';' }) < 0
}

// plainly is a profile if it is plain: clients may say anything.
func plainly(profile string) string {
	if plain(profile) {
		return profile
	}
	return ""
}
