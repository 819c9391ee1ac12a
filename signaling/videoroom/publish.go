package videoroom

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"

	"cardea/relay/plane"
	"cardea/signaling/janus"
	"cardea/signaling/sdp"
)

// maxStreams bounds the m-lines of a publisher.
const maxStreams = 64

// extensions are the header extensions accepted from publishers on every line; rooms choose of the others.
var extensions = []string{plane.ExtMid, plane.ExtRID, plane.ExtRepairedRID}

// publish answers a publisher's offer. The reply, which the request began, is completed and sent along with the answer.
func (s *session) publish(ctx context.Context, m *janus.Message, p *participant, reply object) error {
	if !strings.EqualFold(m.JSEP.Type, "offer") {
		return refuse(codeInvalidSDPType, "Unknown SDP type '%s'", m.JSEP.Type)
	}
	d, err := p.draft(m)
	if err != nil {
		return err
	}
	r := p.room
	jsep, err := s.h.Answer(ctx, d.answer, sdp.Options{Name: r.sessionName(), E2EE: m.JSEP.E2EE})
	if err != nil {
		r.mu.Lock()
		p.unseat()
		r.mu.Unlock()
		s.h.Log().Info("offer not answered", "error", err)
		return refuse(codeInvalidSDP, "Error answering offer")
	}
	s.hungUp = false
	out := p.settle(d, m.JSEP, reply)
	if err := s.h.Publish(ctx, out.publications); err != nil {
		s.h.Log().Warn("publications not applied", "error", err)
	}
	s.h.Push(m.Transaction, reply, jsep)
	if out.renegotiated {
		r.mu.Lock()
		p.announce()
		p.tellPublished()
		p.report()
		r.mu.Unlock()
	}
	s.warnOfRecording(p)
	startForwarders(ctx, s.h.Plane(), s.h.Log(), out.forwarders)
	return nil
}

// outcome is what has to be done once a negotiation is settled.
type outcome struct {
	publications []plane.Publication
	forwarders   []*forwarder // of new streams to where the participant is remotized
	renegotiated bool         // the others can see the participant already, and have to be told
}

// settle takes over what was negotiated and completes the reply with it.
func (p *participant) settle(d *draft, offer *janus.JSEP, reply object) outcome {
	r := p.room
	r.mu.Lock()
	defer r.mu.Unlock()
	p.negotiating = false
	p.e2ee = p.e2ee || offer.E2EE
	added := p.apply(d)
	p.bind()
	infos := make([]streamInfo, 0, len(p.streams))
	for _, st := range p.streams {
		infos = append(infos, st.info())
	}
	reply["streams"] = infos
	if c := p.firstCodec(plane.Audio); c != "" {
		reply["audio_codec"] = c
	}
	if c := p.firstCodec(plane.Video); c != "" {
		reply["video_codec"] = c
	}
	p.record(r.cfg.Record || p.recording)
	p.report()
	return outcome{publications: p.publications(), forwarders: p.remotize(added), renegotiated: offer.Update && p.started}
}

// unseat says that the participant's offer could not be answered.
func (p *participant) unseat() {
	p.negotiating = false
	if len(p.streams) == 0 {
		p.shared.seat = 0
	}
	p.report()
}

// draft is what a publisher's offer comes to: the answer, and what it makes of the streams.
type draft struct {
	answer  []sdp.Media
	streams []draftStream
}

type draftStream struct {
	kind        plane.Kind
	mid         string
	description *string
	negotiated
}

// draft checks whether the participant may publish, and decides on every line of its offer. From then on the participant
// counts as a publisher.
func (p *participant) draft(m *janus.Message) (*draft, error) {
	r := p.room
	r.mu.Lock()
	defer r.mu.Unlock()
	if !p.present || r.destroyed {
		return nil, refuse(codeNoSuchRoom, "No such room")
	}
	if len(p.streams) == 0 && r.publishing(p) >= r.cfg.Publishers {
		return nil, r.full()
	}
	if r.cfg.RequireE2EE && !m.JSEP.E2EE && !p.e2ee {
		return nil, refuse(codeUnauthorized, "Room requires end-to-end encrypted media")
	}
	offer := m.JSEP.SDP
	if offer == nil || len(offer.Medias) > maxStreams {
		return nil, refuse(codeInvalidSDP, "Error parsing offer")
	}
	d := &draft{}
	choices := make([]choice, len(offer.Medias))
	for i := range offer.Medias {
		choices[i] = p.choose(i, &offer.Medias[i])
	}
	d.answer = sdp.NewAnswer(offer, func(i int, _ *sdp.Media) sdp.Choice { return choices[i].Choice })
	for i := range offer.Medias {
		d.streams = append(d.streams, p.draftStream(i, m, &d.answer[i], &choices[i]))
	}
	p.negotiating = true
	if p.shared.seat == 0 {
		p.shared.seat = r.stamp()
	}
	p.report() // others must know before the answer that the seat is taken
	return d, nil
}

// publishing counts the publishers besides one.
func (r *room) publishing(but *participant) int {
	n := 0
	for _, p := range r.members {
		if p != but && !p.dummy && (p.negotiating || len(p.streams) > 0) {
			n++
		}
	}
	return n
}

// choice is what is wanted of an offered line, with the codec that it comes to ("" for none in common).
type choice struct {
	sdp.Choice
	codec            string
	fec, dtx, stereo bool
}

// choose decides on one line of an offer.
func (p *participant) choose(i int, m *sdp.Media) choice {
	c := &p.room.cfg
	ch := choice{Choice: sdp.Choice{Extensions: extensions}}
	var known string
	if i < len(p.streams) && p.streams[i].kind == m.Kind {
		known = p.streams[i].codec
	}
	switch m.Kind {
	case plane.Audio:
		ch.codec = pickCodec(m, cmp.Or(known, p.audioCodec), c.AudioCodecs)
		if c.AudioLevelExt {
			ch.Extensions = append(slices.Clip(ch.Extensions), plane.ExtAudioLevel)
		}
		if ch.codec == "opus" {
			fmtp := offeredFmtp(m, "opus")
			ch.fec, ch.dtx, ch.stereo = c.OpusFEC && flag(fmtp, "useinbandfec"), c.OpusDTX && flag(fmtp, "usedtx"), flag(fmtp, "stereo")
			ch.OpusFEC, ch.OpusDTX, ch.OpusStereo = ch.fec, ch.dtx, ch.stereo
			if ch.RED = sdp.OfferedRED; c.OpusRED {
				ch.RED = sdp.PreferRED
			}
		}
	case plane.Video:
		ch.codec = pickCodec(m, cmp.Or(known, p.videoCodec), c.VideoCodecs)
		ch.Extensions = append(slices.Clip(ch.Extensions), c.videoExtensions()...)
		if c.H264Profile != "" && ch.codec == "h264" && offersProfile(m, "h264", "profile-level-id", c.H264Profile) {
			ch.H264Profile = c.H264Profile
		}
		if c.VP9Profile != "" && ch.codec == "vp9" && offersProfile(m, "vp9", "profile-id", c.VP9Profile) {
			ch.VP9Profile = c.VP9Profile
		}
		if c.BitrateCap {
			ch.Bandwidth = c.Bitrate
		}
	case plane.Data:
	}
	if ch.codec != "" {
		ch.Codecs = []string{ch.codec}
		if m.Direction != plane.Inactive {
			ch.Direction = plane.RecvOnly
		}
	}
	return ch
}

// videoExtensions are the header extensions that the room takes on video lines.
func (c *RoomConfig) videoExtensions() []string {
	list := []string{plane.ExtDependencyDescriptor}
	if c.VideoOrientExt {
		list = append(list, plane.ExtVideoOrientation)
	}
	if c.PlayoutDelayExt {
		list = append(list, plane.ExtPlayoutDelay)
	}
	if c.TransportCCExt {
		list = append(list, plane.ExtTransportCC)
	}
	return list
}

// pickCodec finds the codec to use: the wanted one, else the first of the room's that is offered.
func pickCodec(m *sdp.Media, wanted string, room []string) string {
	if wanted != "" {
		room = []string{wanted}
	}
	for _, name := range room {
		for _, c := range m.Codecs {
			if sdp.CodecName(m.Kind, c) == name {
				return name
			}
		}
	}
	return ""
}

func offeredFmtp(m *sdp.Media, codec string) string {
	for _, c := range m.Codecs {
		if sdp.CodecName(m.Kind, c) == codec {
			return c.Fmtp
		}
	}
	return ""
}

func offersProfile(m *sdp.Media, codec, param, profile string) bool {
	for _, c := range m.Codecs {
		if v, _ := sdp.FmtpParam(c.Fmtp, param); sdp.CodecName(m.Kind, c) == codec && strings.EqualFold(v, profile) {
			return true
		}
	}
	return false
}

func flag(fmtp, name string) bool {
	v, _ := sdp.FmtpParam(fmtp, name)
	return v == "1"
}

// draftStream says what becomes of the stream of a line, given the answer.
func (p *participant) draftStream(i int, m *janus.Message, answer *sdp.Media, ch *choice) draftStream {
	offered := &m.JSEP.SDP.Medias[i]
	d := draftStream{kind: offered.Kind, mid: offered.Mid}
	if d.mid == "" {
		d.mid = strconv.Itoa(i)
	}
	for _, o := range m.Body.Objects("descriptions") {
		if o.String("mid") == d.mid {
			d.description = optional(o, "description")
			break
		}
	}
	if d.kind == plane.Data {
		d.disabled = answer.Rejected || offered.Direction == plane.Inactive
		return d
	}
	d.codec = ch.codec
	d.disabled = answer.Rejected || !answer.Direction.Receives() || ch.codec == ""
	d.fec, d.dtx, d.stereo, d.red = ch.fec, ch.dtx, ch.stereo, answer.RED()
	d.audioLevel = answer.Extension(plane.ExtAudioLevel) != 0
	d.videoOrient = answer.Extension(plane.ExtVideoOrientation) != 0
	d.playoutDelay = answer.Extension(plane.ExtPlayoutDelay) != 0
	d.descriptor = answer.Extension(plane.ExtDependencyDescriptor) != 0
	if d.kind == plane.Video {
		d.video(p, i, m, answer, offered)
	}
	return d
}

// video adds what is said of video streams only.
func (d *draftStream) video(p *participant, i int, m *janus.Message, answer, offered *sdp.Media) {
	if c, ok := answer.Codec(); ok {
		d.h264, d.vp9 = profiles(d.codec, c.Fmtp)
	}
	d.simulcast, d.encodings = offered.Simulcast(), len(offered.Encodings)
	d.svc = p.room.cfg.VideoSVC && d.codec == "vp9"
	for _, v := range m.JSEP.SVC {
		if (v.MIndex == i || v.Mid != "" && v.Mid == d.mid) && (d.codec == "vp9" || d.codec == "av1") {
			d.svc = true
		}
	}
}

// profiles reads the profile of a video codec from its fmtp.
func profiles(codec, fmtp string) (h264, vp9 string) {
	switch codec {
	case "h264":
		h264, _ = sdp.FmtpParam(fmtp, "profile-level-id")
	case "vp9":
		vp9, _ = sdp.FmtpParam(fmtp, "profile-id")
	}
	return h264, vp9
}

// apply takes over what was negotiated and returns the streams that are new.
func (p *participant) apply(d *draft) (added []*stream) {
	for i, ds := range d.streams {
		if i < len(p.streams) {
			st := p.streams[i]
			st.mid, st.negotiated = ds.mid, ds.negotiated
			if ds.description != nil {
				st.description = ds.description
			}
			continue
		}
		st := newStream(p, ds.kind, i, ds.mid)
		st.negotiated, st.description = ds.negotiated, ds.description
		p.streams = append(p.streams, st)
		added = append(added, st)
	}
	return added
}

// firstCodec is the codec of the first stream of a kind that has one.
func (p *participant) firstCodec(kind plane.Kind) string {
	for _, s := range p.streams {
		if s.kind == kind && s.codec != "" {
			return s.codec
		}
	}
	return ""
}

// addDummyStream adds a silent stream to the dummy publisher.
func (p *participant) addDummyStream(kind plane.Kind, codec, fmtp string) {
	st := newStream(p, kind, len(p.streams), strconv.Itoa(len(p.streams)))
	st.codec = codec
	if kind == plane.Audio && codec == "opus" {
		st.fec, st.dtx, st.stereo = flag(fmtp, "useinbandfec"), flag(fmtp, "usedtx"), flag(fmtp, "stereo")
	}
	if kind == plane.Video {
		st.h264, st.vp9 = profiles(codec, fmtp)
		c := &p.room.cfg
		if codec == "h264" {
			st.h264 = cmp.Or(st.h264, c.H264Profile)
		} else if codec == "vp9" {
			st.vp9 = cmp.Or(st.vp9, c.VP9Profile)
		}
	}
	p.streams = append(p.streams, st)
}

// up says that the participant's PeerConnection is up: the others may subscribe.
func (p *participant) up() {
	r := p.room
	r.mu.Lock()
	defer r.mu.Unlock()
	p.started = p.present
	p.announce()
	p.tellPublished()
	p.report()
}
