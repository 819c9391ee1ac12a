package videoroom

import (
	"cmp"
	"context"
	"math"
	"slices"
	"strings"

	"cardea/relay/plane"
	"cardea/signaling/janus"
)

var (
	joinParams = []janus.Param{
		{Name: "ptype", Type: janus.String, Required: true},
		{Name: "audio", Type: janus.Bool},
		{Name: "video", Type: janus.Bool},
		{Name: "data", Type: janus.Bool},
		{Name: "bitrate", Type: janus.PosInt},
		{Name: "record", Type: janus.Bool},
		{Name: "filename", Type: janus.String},
		{Name: "token", Type: janus.String},
	}
	publisherParams = []janus.Param{
		{Name: "display", Type: janus.String},
		{Name: "metadata", Type: janus.Objects},
		{Name: "audio_active_packets", Type: janus.PosInt},
		{Name: "audio_level_average", Type: janus.PosInt},
		{Name: "descriptions", Type: janus.Array},
		{Name: "audiocodec", Type: janus.String},
		{Name: "videocodec", Type: janus.String},
	}
	descriptionParams = []janus.Param{
		{Name: "mid", Type: janus.String, Required: true}, {Name: "description", Type: janus.String, Required: true},
	}
)

// join makes a publisher or a subscriber of the handle.
func (s *session) join(ctx context.Context, m *janus.Message) error {
	p, body := s.plugin, m.Body
	if err := check(body, p.ids.param("room", true)); err != nil {
		return err
	}
	if err := check(body, joinParams...); err != nil {
		return err
	}
	_, err := p.visit(ctx, body, func(r *room) (object, error) { return nil, r.admit(s.h, body) })
	if err != nil {
		return err
	}
	switch strings.ToLower(body.String("ptype")) {
	case "publisher":
		return s.joinPublisher(ctx, m)
	case "subscriber":
		return s.joinSubscriber(ctx, m)
	}
	return refuse(codeInvalidElement, "Invalid element (ptype)")
}

// joinPublisher makes a publisher of the handle, and publishes if there is an offer.
func (s *session) joinPublisher(ctx context.Context, m *janus.Message) error {
	body := m.Body
	if err := check(body, publisherParams...); err != nil {
		return err
	}
	if err := check(body, s.plugin.ids.param("id", false)); err != nil {
		return err
	}
	if err := checkDescriptions(body); err != nil {
		return err
	}
	joined, reply, err := s.enter(ctx, m)
	if err != nil {
		return err
	}
	s.publisher.Store(joined)
	if m.JSEP == nil {
		return nil
	}
	err = s.publish(ctx, m, joined, reply)
	if err != nil {
		s.h.Push(m.Transaction, refusal(err), nil)
	}
	joined.room.mu.Lock()
	defer joined.room.mu.Unlock()
	joined.greet()
	if err == nil {
		joined.tellConfigured()
	}
	return nil
}

// enter takes the client into the room; the reply is what it is told of it.
func (s *session) enter(ctx context.Context, m *janus.Message) (joined *participant, reply object, err error) {
	c, err := s.claim(ctx, m)
	if err != nil {
		return nil, nil, err
	}
	defer c.settle()
	reply, err = s.plugin.visit(ctx, m.Body, func(r *room) (object, error) {
		p, err := r.newcomer(s, m, c)
		if err != nil {
			return nil, err
		}
		r.makeWay(p.id)
		r.add(p)
		p.report() // before the client knows, so that what it does next finds it there
		joined = p
		reply := p.welcome()
		if m.JSEP == nil {
			s.h.Push(m.Transaction, reply, nil) // before anything of what happens in the room from now on
			p.greet()
		}
		p.tellJoined(m.Body)
		return reply, nil
	})
	return joined, reply, err
}

// newcomer makes a participant of a join request, not in the room yet. The claim is nil where the request needs none, or has
// none yet.
func (r *room) newcomer(s *session, m *janus.Message, c *claim) (*participant, error) {
	body, k := m.Body, s.plugin.ids
	if r.cfg.CheckAllowed {
		if _, ok := r.allowed[body.String("token")]; !ok {
			return nil, refuse(codeUnauthorized, "Unauthorized (not in the allowed list)")
		}
	}
	taken := func(id ID) bool { return r.byID[id] != nil || r.claimed(id, c) }
	id := k.get(body, "id")
	if k.absent(body, "id") {
		id = k.random(taken)
	} else if taken(id) {
		return nil, refuse(codeIDExists, "User ID %s already exists", id)
	}
	p := newParticipant(id)
	p.session, p.shared.joined = s, r.stamp()
	p.privateID = random32(func(n uint32) bool { return r.byPrivateID[n] != nil })
	p.display, p.metadata = optional(body, "display"), body.Object("metadata")
	p.userTag = userTag(r.id, cmp.Or(body.String("token"), s.h.Token()), !k.absent(body, "id"))
	p.bitrate = r.cfg.Bitrate
	p.activePackets, _ = number(body, "audio_active_packets", math.MaxInt16)
	p.levelAvg, _ = number(body, "audio_level_average", math.MaxInt16)
	if strings.EqualFold(body.String("request"), "joinandconfigure") {
		if m.JSEP != nil {
			if err := p.wish(r, body); err != nil {
				return nil, err
			}
		}
		if n, ok := number(body, "bitrate", math.MaxUint32); ok {
			p.bitrate = uint32(n)
		}
		p.record(body.Bool("record", false))
		p.recordingBase = body.String("filename")
	}
	return p, nil
}

// makeWay ends the PeerConnection of somebody of that id who left without ending it: two cannot feed the same streams.
func (r *room) makeWay(id ID) {
	if old := r.departed[id]; old != nil {
		delete(r.departed, id)
		old.closePeer()
	}
}

func newParticipant(id ID) *participant {
	return &participant{
		id: id, forwarders: make(map[uint32]*forwarder), remotes: make(map[string]*remote),
		subscriptions: make(map[*subscriber]struct{}),
	}
}

// wish takes the codecs that a request asks for, which the room must allow.
func (p *participant) wish(r *room, body janus.Object) error {
	if c := strings.ToLower(body.String("audiocodec")); body.Has("audiocodec") {
		if !slices.Contains(r.cfg.AudioCodecs, c) {
			return refuse(codeInvalidElement, "Audio codec unavailable in this room")
		}
		p.audioCodec = c
	}
	if c := strings.ToLower(body.String("videocodec")); body.Has("videocodec") {
		if !slices.Contains(r.cfg.VideoCodecs, c) {
			return refuse(codeInvalidElement, "Video codec unavailable in this room")
		}
		p.videoCodec = c
	}
	return nil
}

// attendeeInfo is what is told of a participant who does not publish.
type attendeeInfo struct {
	ID       ID           `json:"id"`
	Display  *string      `json:"display,omitempty"`
	Metadata janus.Object `json:"metadata,omitempty"`
}

// welcome announces the new participant where the room wants that, and returns what it is told of the room.
func (p *participant) welcome() object {
	r := p.room
	publishers, attendees := []publisherInfo{}, []attendeeInfo{}
	for _, o := range r.members {
		switch {
		case o == p:
		case o.started && len(o.streams) > 0:
			publishers = append(publishers, o.info(true))
		default:
			attendees = append(attendees, o.attendee())
		}
	}
	reply := object{
		"videoroom": "joined", "room": r.id, "description": r.cfg.Description, "id": p.id, "private_id": p.privateID,
		"publishers": publishers,
	}
	if p.activePackets > 0 {
		reply["audio_active_packets"] = p.activePackets
	}
	if p.levelAvg > 0 {
		reply["audio_level_average"] = p.levelAvg
	}
	if r.cfg.NotifyJoining {
		reply["attendees"] = attendees
		p.announceJoining()
	}
	return reply
}

// announceJoining tells the others that the participant is in the room.
func (p *participant) announceJoining() {
	e := p.room.event()
	e["joining"] = p.attendee()
	p.room.broadcast(e, p)
}

func (p *participant) attendee() attendeeInfo {
	return attendeeInfo{ID: p.id, Display: p.display, Metadata: p.metadata}
}

// checkDescriptions checks the descriptions of streams in a request.
func checkDescriptions(body janus.Object) error {
	for _, d := range body.Objects("descriptions") {
		if err := check(d, descriptionParams...); err != nil {
			return err
		}
	}
	return nil
}

// addDummy adds the dummy publisher to a room that has one: it offers silent streams to which subscribers can hold on to
// lines that they fill later by switching.
func (r *room) addDummy(k ids) {
	if !r.cfg.DummyPublisher {
		return
	}
	p := newParticipant(k.derived("dummy publisher of " + r.name())) // all nodes have it
	name := "Dummy publisher"
	p.display, p.dummy, p.started = &name, true, true
	p.e2ee = r.cfg.RequireE2EE || r.cfg.DummyE2EE
	r.add(p)
	for kind, codecs := range [][]string{plane.Audio: r.cfg.AudioCodecs, plane.Video: r.cfg.VideoCodecs} {
		for _, codec := range codecs {
			if fmtp, ok := r.cfg.dummyStream(codec); ok {
				p.addDummyStream(plane.Kind(kind), codec, fmtp)
			}
		}
	}
}

// dummyStream tells whether the dummy publisher has a stream of a codec, and its fmtp.
func (c *RoomConfig) dummyStream(codec string) (fmtp string, ok bool) {
	if len(c.DummyStreams) == 0 {
		return "", true
	}
	for _, d := range c.DummyStreams {
		if d.Codec == codec {
			return d.Fmtp, true
		}
	}
	return "", false
}
