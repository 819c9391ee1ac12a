package videoroom

import (
	"context"
	"math"
	"strings"

	"cardea/relay/plane"
	"cardea/signaling/janus"
)

var (
	publishParams = []janus.Param{
		{Name: "descriptions", Type: janus.Array},
		{Name: "audiocodec", Type: janus.String},
		{Name: "videocodec", Type: janus.String},
		{Name: "bitrate", Type: janus.PosInt},
		{Name: "keyframe", Type: janus.Bool},
		{Name: "record", Type: janus.Bool},
		{Name: "filename", Type: janus.String},
		{Name: "display", Type: janus.String},
		{Name: "metadata", Type: janus.Objects},
		{Name: "secret", Type: janus.String},
		{Name: "audio_level_average", Type: janus.PosInt},
		{Name: "audio_active_packets", Type: janus.PosInt},
		{Name: "audio", Type: janus.Bool},
		{Name: "video", Type: janus.Bool},
		{Name: "data", Type: janus.Bool},
		{Name: "streams", Type: janus.Array},
		{Name: "update", Type: janus.Bool},
		{Name: "restart", Type: janus.Bool},
	}
	publishStreamParams = []janus.Param{
		{Name: "mid", Type: janus.String},
		{Name: "send", Type: janus.Bool},
		{Name: "keyframe", Type: janus.Bool},
		{Name: "min_delay", Type: janus.Int},
		{Name: "max_delay", Type: janus.Int},
	}
)

// configurePublisher changes what a publisher sends and how, and publishes or renegotiates if there is an offer.
func (s *session) configurePublisher(ctx context.Context, m *janus.Message) error {
	p, body := s.publisher.Load(), m.Body
	if strings.EqualFold(body.String("request"), "publish") && p.isStarted() {
		return refuse(codeAlreadyPublished, "Can't publish, already published")
	}
	if err := check(body, publishParams...); err != nil {
		return err
	}
	if err := checkDescriptions(body); err != nil {
		return err
	}
	keyframes, err := p.configure(body, m.JSEP != nil)
	if err != nil {
		return err
	}
	reply := object{"videoroom": "event", "room": p.room.id, "configured": "ok"}
	if m.JSEP != nil {
		err = s.publish(ctx, m, p, reply)
	} else {
		s.syncPublications(ctx)
		s.h.Push(m.Transaction, reply, nil)
	}
	for _, id := range keyframes {
		s.requestKeyframe(ctx, id)
	}
	s.warnOfRecording(p)
	if err == nil {
		p.room.mu.Lock()
		p.tellConfigured()
		p.room.mu.Unlock()
	}
	return err
}

func (p *participant) isStarted() bool {
	p.room.mu.Lock()
	defer p.room.mu.Unlock()
	return p.started
}

// configure applies a configure request that was checked; it returns the streams of which a keyframe is wanted.
func (p *participant) configure(body janus.Object, offer bool) ([]plane.StreamID, error) {
	r := p.room
	r.mu.Lock()
	defer r.mu.Unlock()
	changes := body.Objects("streams")
	if !body.Has("streams") {
		changes = []janus.Object{legacyStream(body, "mid", "send", "keyframe", "min_delay", "max_delay")}
	}
	byKind := map[plane.Kind]bool{}
	for name, kind := range map[string]plane.Kind{"audio": plane.Audio, "video": plane.Video, "data": plane.Data} {
		if body.Has(name) {
			byKind[kind] = body.Bool(name, false)
		}
	}
	for _, c := range changes {
		if err := check(c, publishStreamParams...); err != nil {
			return nil, err
		}
		mid, named := c["mid"].(string)
		switch {
		case !named && len(changes) > 1:
			return nil, refuse(codeInvalidElement, "Invalid value (mid can't be null in a streams array)")
		case named && p.stream(mid) == nil:
			return nil, refuse(codeNoSuchFeed, "No such mid '%s' published", mid)
		case named:
			clear(byKind)
		}
	}
	if offer {
		if err := p.wish(r, body); err != nil {
			return nil, err
		}
	}
	var keyframes []plane.StreamID
	for _, st := range p.streams {
		was := st.inactive
		if send, ok := byKind[st.kind]; ok {
			st.inactive = !send
		}
		for _, c := range changes {
			if mid, named := c["mid"].(string); named && mid != st.mid {
				continue
			}
			if st.change(c) {
				keyframes = append(keyframes, st.id())
			}
		}
		if st.inactive != was {
			st.tellMuted(st.inactive, bySelf)
		}
	}
	p.configureSelf(body, offer)
	p.report()
	return keyframes, nil
}

// change applies what a request says of a stream, and tells whether it wants a keyframe of it.
func (st *stream) change(c janus.Object) (keyframe bool) {
	if _, named := c["mid"]; named && c.Has("send") {
		st.inactive = !c.Bool("send", true)
	}
	if st.kind != plane.Video {
		return false
	}
	least, most := st.minDelay, st.maxDelay
	delays(c, &least, &most)
	st.delay(least, most)
	return c.Bool("keyframe", false)
}

// delay changes the stream's playout delay.
func (st *stream) delay(least, most int) {
	if st.minDelay == least && st.maxDelay == most {
		return
	}
	st.minDelay, st.maxDelay = least, most
	for l := range st.lines {
		l.sub.sync()
	}
}

// legacyStream collects what a request says at its top level instead of in a streams array, as far as it is of the right
// type: Janus is lenient there.
func legacyStream(body janus.Object, names ...string) janus.Object {
	o := janus.Object{}
	for _, name := range names {
		v, ok := body[name]
		if !ok {
			continue
		}
		switch name {
		case "mid":
			if s, isString := v.(string); isString {
				o[name] = s
			}
		case "send", "keyframe":
			o[name] = v == true
		default:
			n, _ := number(body, name, math.MaxInt16)
			o[name] = jsonInt(n)
		}
	}
	return o
}

// configureSelf applies what a request says of the publisher itself.
func (p *participant) configureSelf(body janus.Object, offer bool) {
	r := p.room
	if n, ok := number(body, "bitrate", math.MaxUint32); ok {
		p.bitrate = uint32(n)
	}
	if n, ok := number(body, "audio_active_packets", math.MaxInt16); ok {
		p.activePackets = n
	}
	if n, ok := number(body, "audio_level_average", math.MaxInt16); ok {
		p.levelAvg = n
	}
	locked := r.cfg.LockRecord && checkSecret(r.cfg.Secret, body, "secret") != nil
	if !locked {
		p.record(body.Bool("record", p.recording))
		if f := optional(body, "filename"); f != nil {
			p.recordingBase = *f
		}
	}
	p.rename(body)
	if offer {
		return // descriptions come with the new streams
	}
	described := false
	for _, d := range body.Objects("descriptions") {
		if st := p.stream(d.String("mid")); st != nil {
			st.description = optional(d, "description")
			described = true
		}
	}
	if described {
		p.announce()
	}
}

// record says whether the participant is recorded. Recordings are not made yet, so the log is told when one would begin.
func (p *participant) record(on bool) {
	p.warnRecording = p.warnRecording || on && !p.recording
	p.recording = on
}

// warnOfRecording tells the log of recordings that began.
func (s *session) warnOfRecording(p *participant) {
	p.room.mu.Lock()
	warn := p.warnRecording
	p.warnRecording = false
	p.room.mu.Unlock()
	if warn {
		s.h.Log().Warn("recording is not available", "room", p.room.id.String(), "participant", p.id.String())
	}
}

// rename takes a new display name and metadata. The others are told if there were some before.
func (p *participant) rename(body janus.Object) {
	display, metadata := optional(body, "display"), body.Object("metadata")
	tell := display != nil && p.display != nil || metadata != nil && p.metadata != nil
	if display != nil {
		p.display = display
	}
	if metadata != nil {
		p.metadata = metadata
	}
	if tell {
		p.announceName()
	}
}

// announceName tells the others the participant's display name and metadata.
func (p *participant) announceName() {
	e := object{"videoroom": "event", "id": p.id}
	if p.display != nil {
		e["display"] = *p.display
	}
	if p.metadata != nil {
		e["metadata"] = p.metadata
	}
	p.room.broadcast(e, p)
	p.shared.renamed++
}
