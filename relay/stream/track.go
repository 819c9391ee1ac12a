package stream

import (
	"math/rand/v2"
	"slices"
	"time"

	"cardea/relay/codec"
	"cardea/relay/plane"
)

// TrackConfig is what the subscriber of a track negotiated.
type TrackConfig struct {
	Kind       plane.Kind
	Codecs     []plane.Codec     // the subscriber's payload types
	Extensions []plane.Extension // the subscriber's ids
	Mid        string            // at most 16 bytes
	SSRC       uint32
	RTX        uint32 // SSRC of retransmissions (RFC 4588), 0 for none
}

// Action is what to do with a packet.
type Action uint8

// The answers of [Track.Select].
const (
	// Drop: the packet is not for this subscriber.
	Drop Action = iota
	// Forward: AppendRTP makes the packet to send.
	Forward
	// Fill: AppendRTP makes a packet without media, under a number that would be missing otherwise.
	Fill
)

// DefaultFallback is the silence of a substream after which a lower one is taken.
const DefaultFallback = 250 * time.Millisecond

// Track is one subscriber's view of a stream: it picks layers, keeps numbers continuous, and remembers what was sent. Its
// methods are called with the stream locked that it is attached to; the package doc says more.
type Track struct {
	cfg      TrackConfig
	ids      extensionIDs
	mid      []byte // what is written of cfg.Mid
	fallback int64  // ns
	delay    int32  // playout delay that replaces the publisher's, 24 bits; -1 for none

	stream *Stream // nil while detached
	codecs [maxMappings]mapping
	keyed  bool // pictures begin at keyframes; sound begins anywhere
	paused bool

	target struct{ substream, spatial, temporal int8 } // as asked for
	limit  Quality                                     // by bandwidth

	layer    int8   // substream relayed, -1 while waiting for a keyframe
	previous int8   // substream that the clock was last set by, -1 for one of another stream
	ssrc     uint32 // of the encoder that is relayed
	cursor   int64
	behind   bool  // packets from cursor on are sent by Catchup
	review   int64 // ns, when the choice of substream is looked at again without a keyframe
	asked    int64 // ns, when a keyframe was asked for, 0 for never
	askedOf  int8  // and of which layer
	unsynced int64 // ns, since when a temporal layer could not be entered

	numbers  numbering
	time     timeline
	pictures pictures
	filter   filter
	history  history
	chosen   chosen
	rtx      int64 // next number on the RTX SSRC
	sent     TrackStats
	keyStamp uint32 // timestamp of the last keyframe counted
	reported layers
}

// chosen is what Select decided for the packet that AppendRTP makes next.
type chosen struct {
	action  Action
	number  int64
	stamp   uint32
	picture uint16
	tl0     uint8
	marker  bool
}

// layers are those a subscriber is sent, -1 for what the stream does not have.
type layers struct{ substream, spatial, temporal int8 }

// TrackStats counts what a track sent.
type TrackStats struct {
	Packets       uint64 // media, without retransmissions
	Bytes         uint64 // payload of those
	Keyframes     uint64
	Retransmitted uint64 // packets
	Padding       uint64 // packets
	Width, Height int    // of the last keyframe sent, 0 when unknown
	Codec         string // lower case, of the last packet; empty before the first
}

// NewTrack returns a track that is not attached. Its first sequence numbers are random.
func NewTrack(cfg TrackConfig) *Track {
	t := &Track{
		fallback: int64(DefaultFallback), delay: -1, layer: -1, previous: -1, limit: Highest,
		rtx: rand.Int64N(1 << 15), reported: layers{-1, -1, -1},
	}
	t.Configure(cfg)
	t.numbers.next = rand.Int64N(1 << 15) // RFC 3550 section 5.1; 15 bits so that a loss before the first wrap is no harm to SRTP
	t.SetTarget(-1, -1, -1, -1)
	return t
}

// Config returns what the track was made or configured with last; its slices are not to be changed.
func (t *Track) Config() TrackConfig { return t.cfg }

// Configure takes over what was negotiated anew. Numbers go on; what was sent before under other terms is not sent again.
func (t *Track) Configure(cfg TrackConfig) {
	if t.cfg.equal(&cfg) {
		return
	}
	t.cfg, t.ids, t.mid = cfg, newExtensionIDs(cfg.Extensions), nil
	if len(cfg.Mid) <= maxMid && t.ids.mid != 0 {
		t.mid = []byte(cfg.Mid)
	}
	t.setRate(0)
	if len(cfg.Codecs) > 0 {
		t.setRate(cfg.Codecs[0].ClockRate)
	}
	t.history.max = audioHistoryMax
	if cfg.Kind == plane.Video {
		t.history.max = videoHistoryMax
	}
	t.history.forget()
	t.chosen.action = Drop
	if t.stream != nil {
		t.mapCodecs()
	}
}

// setRate sets the rate of the RTP clock, in Hz; 0 stands for that of pictures.
func (t *Track) setRate(hz uint32) {
	if hz == 0 {
		hz = 90000
	}
	t.time.rate = int64(hz)
}

func (c *TrackConfig) equal(o *TrackConfig) bool {
	return c.Kind == o.Kind && c.Mid == o.Mid && c.SSRC == o.SSRC && c.RTX == o.RTX &&
		slices.Equal(c.Codecs, o.Codecs) && slices.Equal(c.Extensions, o.Extensions)
}

// maxMid is the longest mid that is written into packets, bytes.
const maxMid = 16

// Stream returns the stream the track is attached to, or nil. The caller is the track's owner.
func (t *Track) Stream() *Stream { return t.stream }

// Attach makes s, which is locked, the track's stream; before, the track must be detached or its stream locked as well.
// Numbers, timestamps and picture ids go on. Sound flows with the next packet. Pictures begin at once if there is a kept
// keyframe: the track is then [Track.Behind]. Otherwise they begin with the next keyframe, which is asked for.
func (t *Track) Attach(s *Stream, now int64) {
	t.Detach()
	t.stream = s
	t.mapCodecs()
	if t.layer = -1; !t.paused {
		t.begin(now)
	}
}

// Detach leaves the stream, which is locked. It may be repeated.
func (t *Track) Detach() {
	t.stream = nil
	t.layer, t.previous, t.behind = -1, -1, false
	t.chosen.action = Drop
	t.numbers.restart()
	t.history.forget()
}

// SetPaused stops the track, or makes it go on: with the next packet of sound, with a keyframe of the picture.
func (t *Track) SetPaused(on bool, now int64) {
	if t.paused == on {
		return
	}
	t.paused = on
	t.layer, t.behind = -1, false
	t.numbers.restart()
	if !on && t.stream != nil {
		t.begin(now)
	}
}

// SetTarget sets the highest layers asked for: simulcast substream, temporal layer, SVC spatial layer and SVC temporal
// layer; -1 for the highest there is.
func (t *Track) SetTarget(substream, temporal, spatial, temporalSVC int8) {
	high := func(v, top int8) int8 {
		if v < 0 || v > top {
			return top
		}
		return v
	}
	t.target.substream = high(substream, MaxLayers-1)
	t.target.spatial = high(spatial, codec.MaxSpatial-1)
	t.target.temporal = min(high(temporal, codec.MaxTemporal-1), high(temporalSVC, codec.MaxTemporal-1))
	t.retarget()
	t.invite()
}

// SetLimit sets the highest layers that the subscriber's bandwidth allows: one of [Track.Layers], or [Highest].
func (t *Track) SetLimit(q Quality) {
	t.limit = q
	t.retarget()
	t.invite()
}

// SetFallback sets the silence of a substream after which a lower one is taken; 0 means [DefaultFallback].
func (t *Track) SetFallback(d time.Duration) {
	if d <= 0 {
		d = DefaultFallback
	}
	t.fallback = int64(d)
}

// SetPlayoutDelay replaces the publisher's playout delay; nil passes the publisher's.
func (t *Track) SetPlayoutDelay(d *plane.PlayoutDelay) {
	v := int32(-1)
	if d != nil {
		const unit, top = 10 * time.Millisecond, 1<<12 - 1
		v = int32(min(max(d.Min/unit, 0), top)<<12 | min(max(d.Max/unit, 0), top))
	}
	if v != t.delay {
		t.delay = v
		t.history.forget() // what was sent had other bytes
	}
}

// retarget applies target and limit. Below the substream that the limit names nothing else is limited; above it, until a
// keyframe lets the track come down, as little flows as can.
func (t *Track) retarget() {
	spatial, temporal := t.target.spatial, t.target.temporal
	switch {
	case t.layer > t.limit.Substream:
		spatial, temporal = min(spatial, t.limit.Spatial), 0
	case t.layer < 0 || t.layer == t.limit.Substream:
		spatial, temporal = min(spatial, t.limit.Spatial), min(temporal, t.limit.Temporal)
	}
	if spatial != t.filter.wantSpatial || temporal != t.filter.wantTemporal {
		t.filter.want(spatial, temporal)
	}
	t.review = 0
}

// Layers appends to dst what the stream offers now, the lowest first: what flows, and what flows elsewhere and would here if
// it were wanted. Streams that are silent offer nothing.
func (t *Track) Layers(dst []Quality) []Quality {
	if t.stream == nil {
		return dst
	}
	return t.stream.appendQualities(dst, t.stream.clock, t.fallback, Quality{
		Spatial: t.target.spatial, Temporal: t.target.temporal,
	})
}

// RequestKeyframe asks the source for a keyframe of what the track relays or waits for.
func (t *Track) RequestKeyframe(now int64) {
	if t.stream == nil || !t.keyed {
		return
	}
	layer := t.layer
	if layer < 0 {
		layer = t.desired(now)
	}
	t.ask(max(layer, 0), now)
}

// Stats returns what the track sent so far.
func (t *Track) Stats() TrackStats { return t.sent }

// Current returns the layers that are relayed now, each -1 when the stream has none of its kind or nothing flows yet.
func (t *Track) Current() (substream, spatial, temporal int8) {
	c := t.current()
	return c.substream, c.spatial, c.temporal
}

func (t *Track) current() layers {
	c := layers{-1, -1, -1}
	if t.stream == nil || t.layer < 0 {
		return c
	}
	if len(t.stream.layers) > 1 {
		c.substream = t.layer
	}
	l := &t.stream.layers[t.layer]
	if top := l.topSpatial(t.stream.clock, goneTime); top >= 0 {
		c.spatial = min(top, t.filter.spatial)
	}
	if top := l.rates.topTemporal(); top >= 0 {
		c.temporal = min(top, t.filter.temporal)
	}
	return c
}

// Changed returns those layers that differ from the last report, which this call makes; the others are -1. ok is false
// when nothing changed or nothing flows.
func (t *Track) Changed() (substream, spatial, temporal int8, ok bool) {
	c, was := t.current(), t.reported
	if t.layer < 0 || c == was {
		return -1, -1, -1, false
	}
	t.reported = c
	if c.substream == was.substream {
		c.substream = -1
	}
	if c.spatial == was.spatial {
		c.spatial = -1
	}
	if c.temporal == was.temporal {
		c.temporal = -1
	}
	return c.substream, c.spatial, c.temporal, c != layers{-1, -1, -1}
}

// SenderInfo returns what a sender report (RFC 3550 section 6.4.1) says at time now, which is ntp on the node's clock: the
// RTP time, and packets and payload bytes sent. ok is false before the first packet, and while detached.
func (t *Track) SenderInfo(now int64, ntp uint64) (rtp uint32, packets, octets uint32, ok bool) {
	if t.stream == nil || !t.time.started || t.layer < 0 || t.previous != t.layer {
		return 0, 0, 0, false
	}
	rtp = t.time.now(now, ntp, t.stream.layers[t.layer].report)
	return rtp, uint32(t.sent.Packets), uint32(t.sent.Bytes), true //nolint:gosec // modular
}
