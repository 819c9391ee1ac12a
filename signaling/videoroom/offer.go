package videoroom

import (
	"context"
	"slices"

	"cardea/relay/plane"
	"cardea/signaling/sdp"
)

// offer is what the subscriber's next offer carries.
func (s *subscriber) offer() []sdp.Media {
	medias := make([]sdp.Media, 0, len(s.lines))
	for _, l := range s.lines {
		medias = append(medias, sdp.NewOffer(l.offered()))
	}
	if !s.room.cfg.TransportCCExt {
		for i := range medias {
			withoutTransportCC(&medias[i])
		}
	}
	return medias
}

// withoutTransportCC takes transport-wide congestion control out of an offered line.
func withoutTransportCC(m *sdp.Media) {
	m.Extensions = slices.DeleteFunc(m.Extensions, func(e plane.Extension) bool { return e.URI == plane.ExtTransportCC })
	for i := range m.Codecs {
		m.Codecs[i].TransportCC = false
	}
}

// offered is what the line is in an offer.
func (l *line) offered() sdp.Feed {
	f := sdp.Feed{Kind: l.kind, Mid: l.mid(), Codec: l.codec, Direction: plane.Inactive}
	if l.active() {
		f.Direction = plane.SendOnly
	}
	st := l.source()
	switch {
	case l.kind == plane.Video && l.codec == "h264" && l.h264 != "":
		f.Fmtp = "profile-level-id=" + l.h264 + ";packetization-mode=1"
	case l.kind == plane.Video && l.codec == "vp9" && l.vp9 != "":
		f.Fmtp = "profile-id=" + l.vp9
	case l.kind == plane.Audio && st != nil:
		f.Fmtp, f.RED = st.audioFmtp(), st.red
	}
	if st == nil {
		return f
	}
	f.Extensions = st.extensions()
	if l.sub.useMsid && !st.disabled && l.kind != plane.Data {
		f.Msid = st.owner.id.String() + " " + l.mid()
	}
	return f
}

// audioFmtp is what an offer says of an audio stream.
func (st *stream) audioFmtp() string {
	var fmtp string
	for _, p := range []struct {
		on   bool
		text string
	}{{st.fec, "useinbandfec=1"}, {st.dtx, "usedtx=1"}, {st.stereo, "stereo=1"}} {
		if p.on && fmtp != "" {
			fmtp += ";"
		}
		if p.on {
			fmtp += p.text
		}
	}
	return fmtp
}

// extensions are the header extensions of a stream that subscribers can have, too.
func (st *stream) extensions() []string {
	var list []string
	for _, e := range []struct {
		on  bool
		uri string
	}{
		{st.audioLevel, plane.ExtAudioLevel},
		{st.videoOrient, plane.ExtVideoOrientation},
		{st.playoutDelay, plane.ExtPlayoutDelay},
		{st.descriptor, plane.ExtDependencyDescriptor},
	} {
		if e.on {
			list = append(list, e.uri)
		}
	}
	return list
}

// renegotiate sends the subscriber an offer of its lines as they are, or later if one is not answered yet.
func (s *session) renegotiate(ctx context.Context, sub *subscriber, transaction string) {
	r := sub.room
	r.mu.Lock()
	if !sub.answered {
		sub.pending = true
		r.mu.Unlock()
		return
	}
	restart := sub.restart
	sub.answered, sub.pending, sub.restart = false, false, false
	event := object{"videoroom": "updated", "room": r.id, "streams": sub.summary()}
	lines := sub.offer()
	r.mu.Unlock()
	if s.offer(ctx, sub, transaction, event, lines, restart) {
		return
	}
	r.mu.Lock()
	sub.answered = true // no answer will come to an offer that was not made
	r.mu.Unlock()
}

// offer makes an offer and sends it with an event.
func (s *session) offer(ctx context.Context, sub *subscriber, transaction string, event object, lines []sdp.Media, restart bool) bool {
	jsep, err := s.h.Offer(ctx, lines, sdp.Options{Name: sub.room.sessionName(), Restart: restart})
	if err != nil {
		s.h.Log().Warn("offer not made", "error", err)
		return false
	}
	s.hungUp = false
	s.h.Push(transaction, event, jsep)
	s.syncSubscriptions(ctx)
	return true
}
