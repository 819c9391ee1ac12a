package echotest

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"cardea/relay/plane"
	"cardea/signaling/events"
	"cardea/signaling/janus"
	"cardea/signaling/sdp"
)

// defaultBitrate is what the client is asked for when no bitrate is set, bits/s.
const defaultBitrate = 10_000_000

// dataLabel is the label of the data channel that messages come back on.
const dataLabel = "JanusDataChannel"

// textPrefix stands before text that comes back; Janus's demos and tests look for it.
const textPrefix = "Janus EchoTest here! You wrote: "

// extensions are the header extensions the echo agrees to: all that the media plane knows.
var extensions = []string{
	plane.ExtAudioLevel, plane.ExtAbsSendTime, plane.ExtTransportCC, plane.ExtMid, plane.ExtRID, plane.ExtRepairedRID,
	plane.ExtAbsCaptureTime, plane.ExtPlayoutDelay, plane.ExtVideoOrientation, plane.ExtDependencyDescriptor,
}

// echo is one handle. The core calls its methods one at a time, but for Query.
type echo struct {
	handle *janus.Handle
	settings
	lines     []line // of the PeerConnection, in the order of the m-lines; empty without one
	e2ee      bool
	slowLinks int
	info      atomic.Pointer[object] // what Query shows
}

// settings are what the client asked for; hangup resets them.
type settings struct {
	audio, video bool // echoed
	bitrate      uint32
	substream    int8 // targets
	temporal     int8
	spatialSVC   int8
	temporalSVC  int8
	fallback     time.Duration
	delay        playoutDelay
}

// line is one negotiated line.
type line struct {
	mid       string
	kind      plane.Kind
	direction plane.Direction
	codec     string // name in the Janus API
	red       bool
	simulcast bool
	svc       bool
	layers    layers
}

type object = map[string]any

var _ janus.Instance = (*echo)(nil)

func (e *echo) reset() {
	e.settings = settings{audio: true, video: true, substream: 2, temporal: 2, spatialSVC: 2, temporalSVC: 2, delay: noDelay}
	e.lines, e.e2ee = nil, false
}

// Sync handles nothing: all requests are asynchronous.
func (e *echo) Sync(context.Context, *janus.Message) (any, bool) { return nil, false }

// Async handles the one request there is.
func (e *echo) Async(ctx context.Context, m *janus.Message) {
	defer e.publishInfo()
	jsep, f := e.request(ctx, m)
	if f == nil {
		e.report()
	}
	if f != nil {
		e.handle.Push(m.Transaction, object{"echotest": "event", "error_code": f.code, "error": f.text}, nil)
		return
	}
	e.handle.Push(m.Transaction, object{"echotest": "event", "result": "ok"}, jsep)
}

func (e *echo) request(ctx context.Context, m *janus.Message) (*janus.JSEP, *fault) {
	if f := check(m.Body); f != nil {
		return nil, f
	}
	if m.JSEP == nil && idle(m.Body) {
		return nil, &fault{codeInvalidElement, "Message error: no supported attributes found"}
	}
	e.configure(ctx, m.Body)
	if m.JSEP == nil {
		if err := e.apply(ctx); err != nil {
			e.handle.Log().Warn("echo not changed", "error", err)
		}
		return nil, nil
	}
	e.e2ee = e.e2ee || m.JSEP.E2EE
	answer, err := e.answer(ctx, m)
	if err != nil {
		e.handle.Log().Warn("offer not answered", "error", err)
		return nil, &fault{codeInvalidSDP, "Error processing the offer"}
	}
	return answer, nil
}

// configure takes over what the request sets and tells the client of layers that it already gets.
func (e *echo) configure(ctx context.Context, body janus.Object) {
	e.audio = body.Bool("audio", e.audio)
	if video := body.Bool("video", e.video); video != e.video {
		e.video = video
		if video {
			e.keyframe(ctx)
		}
	}
	if body.Has("bitrate") {
		e.bitrate = bits(body, "bitrate")
	}
	if body.Has("fallback") {
		e.fallback = microseconds(body, "fallback")
	}
	e.delay.set(body)
	for _, t := range [...]struct {
		name   string
		target *int8
		now    func(*layers) int8
	}{
		{"substream", &e.substream, func(l *layers) int8 { return l.substream }},
		{"temporal", &e.temporal, func(l *layers) int8 { return l.temporal }},
		{"spatial_layer", &e.spatialSVC, func(l *layers) int8 { return l.spatialSVC }},
		{"temporal_layer", &e.temporalSVC, func(l *layers) int8 { return l.temporalSVC }},
	} {
		if !body.Has(t.name) {
			continue
		}
		*t.target = layer(body, t.name)
		for i := range e.lines {
			if l := &e.lines[i]; l.kind == plane.Video && t.now(&l.layers) == *t.target {
				e.handle.Push("", object{"echotest": "event", "videocodec": l.codec, t.name: *t.target}, nil)
			}
		}
	}
	if body.Bool("record", false) {
		e.handle.Log().Info("recording is not available")
	}
}

// answer answers the client's offer and starts, or changes, the echo.
func (e *echo) answer(ctx context.Context, m *janus.Message) (*janus.JSEP, error) {
	offer := m.JSEP.SDP
	answer := sdp.NewAnswer(offer, func(_ int, o *sdp.Media) sdp.Choice {
		c := sdp.Choice{Direction: plane.SendRecv, OpusFEC: true, OpusDTX: true, OpusStereo: true, Extensions: extensions}
		if m.Body.Bool("opusred", false) {
			c.RED = sdp.PreferRED
		}
		if o.Direction == plane.RecvOnly {
			c.Direction = plane.Inactive // there would be nothing to echo
		}
		wanted := m.Body.String("audiocodec")
		if o.Kind == plane.Video {
			wanted = m.Body.String("videocodec")
			c.H264Profile = m.Body.String("videoprofile")
			c.VP9Profile = c.H264Profile
		}
		if wanted != "" {
			c.Codecs = []string{wanted}
		}
		return c
	})
	jsep, err := e.handle.Answer(ctx, answer, sdp.Options{Name: offer.Name, E2EE: m.JSEP.E2EE})
	if err != nil {
		return nil, err
	}
	e.negotiated(answer, m.JSEP)
	if err := e.apply(ctx); err != nil {
		return nil, err
	}
	return jsep, nil
}

// negotiated takes over the agreed lines. Layers of lines that go on are kept.
func (e *echo) negotiated(answer []sdp.Media, client *janus.JSEP) {
	before := e.lines
	e.lines = nil
	for i := range answer {
		a := &answer[i]
		if a.Rejected {
			continue
		}
		l := line{mid: a.Mid, kind: a.Kind, direction: a.Direction, red: a.RED(), simulcast: a.Simulcast(), layers: noLayers}
		if c, ok := a.Codec(); ok {
			l.codec = sdp.CodecName(a.Kind, c)
		}
		l.svc = slices.ContainsFunc(client.SVC, func(s janus.SVC) bool { return s.Mid == a.Mid || s.Mid == "" && s.MIndex == i })
		if j := slices.IndexFunc(before, func(b line) bool { return b.mid == l.mid && b.kind == l.kind }); j >= 0 {
			l.layers = before[j].layers
			l.svc = l.svc || before[j].svc && client.Update
		}
		e.lines = append(e.lines, l)
	}
}

// apply tells the media plane what comes from where and goes back.
func (e *echo) apply(ctx context.Context) error {
	if len(e.lines) == 0 {
		return nil
	}
	var publications []plane.Publication
	var subscriptions []plane.Subscription
	for i := range e.lines {
		l := &e.lines[i]
		if l.direction.Receives() {
			p := plane.Publication{Mid: l.mid, Stream: e.stream(l)}
			if l.kind == plane.Video {
				p.Bitrate = e.bitrate
				if p.Bitrate == 0 {
					p.Bitrate = defaultBitrate
				}
			}
			publications = append(publications, p)
		}
		if l.direction.Sends() {
			subscriptions = append(subscriptions, e.subscription(l))
		}
	}
	if err := e.handle.Publish(ctx, publications); err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	if err := e.handle.Subscribe(ctx, subscriptions); err != nil {
		return fmt.Errorf("subscribe: %w", err)
	}
	return nil
}

func (e *echo) subscription(l *line) plane.Subscription {
	s := plane.Subscription{
		Mid: l.mid, Stream: e.stream(l), Substream: e.substream, Temporal: e.temporal, SpatialLayer: e.spatialSVC,
		TemporalSVC: e.temporalSVC, Fallback: e.fallback,
	}
	switch l.kind {
	case plane.Audio:
		s.Paused = !e.audio
	case plane.Video:
		s.Paused = !e.video
		if e.delay.min >= 0 && e.delay.max >= 0 {
			s.PlayoutDelay = &plane.PlayoutDelay{Min: time.Duration(e.delay.min) * 10 * time.Millisecond, Max: time.Duration(e.delay.max) * 10 * time.Millisecond}
		}
	case plane.Data:
		s.Label, s.TextPrefix = dataLabel, textPrefix
	}
	return s
}

// stream names the stream of a line. Nobody else can know it: the room is the peer's own.
func (e *echo) stream(l *line) plane.StreamID {
	peer := string(e.handle.PeerID())
	return plane.StreamID{Room: "echotest/" + peer, Publisher: peer, Mid: l.mid}
}

// keyframe asks the client for a keyframe of each video line.
func (e *echo) keyframe(ctx context.Context) {
	for i := range e.lines {
		if l := &e.lines[i]; l.kind == plane.Video && l.direction.Receives() {
			if err := e.handle.Keyframe(ctx, e.stream(l)); err != nil {
				e.handle.Log().Debug("no keyframe", "mid", l.mid, "error", err)
			}
		}
	}
}

// Media tells the client of layers that changed and of packets of its own that were lost.
func (e *echo) Media(_ context.Context, ev plane.Event) {
	switch ev.Type {
	case plane.EventLayers:
		e.layersChanged(ev)
	case plane.EventSlowLink:
		if ev.Uplink {
			return
		}
		e.slowLinks++
		data := object{"echotest": "event", "event": "slow_link", "media": ev.Kind.String()}
		if ev.Kind == plane.Video {
			data["current-bitrate"] = e.bitrate
		}
		e.handle.Push("", data, nil)
	default:
		return
	}
	e.publishInfo()
}

// Hangup ends the echo and resets all settings; the handle can be used again.
func (e *echo) Hangup(context.Context) {
	e.handle.Push("", object{"echotest": "event", "result": "done"}, nil)
	e.reset()
	e.publishInfo()
}

// report tells event handlers what is echoed, in Janus's words.
func (e *echo) report() {
	bus := e.handle.Events()
	if !bus.Wants(events.Plugin) {
		return
	}
	data := object{"audio_active": e.audio, "video_active": e.video, "bitrate": e.bitrate}
	if i := slices.IndexFunc(e.lines, func(l line) bool { return l.simulcast }); i >= 0 {
		l := &e.lines[i].layers
		data["simulcast"] = object{"substream": l.substream, "substream-target": e.substream, "temporal-layer": l.temporal, "temporal-layer-target": e.temporal}
	}
	bus.EmitPlugin(e.handle.Origin(), Package, data)
}

// Detach has nothing to do: the core closes the peer, and with it the streams end.
func (e *echo) Detach(context.Context) {}
