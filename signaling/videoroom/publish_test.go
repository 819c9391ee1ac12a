package videoroom

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cardea/relay/plane"
	"cardea/signaling/janus"
	"cardea/signaling/janus/janustest"
	"cardea/signaling/sdp"
)

// vp9Offer is a client's offer of VP9 in profile 2 before profile 0, and H.264.
func vp9Offer() string {
	s := janustest.OfferSDP("clnt", "audio", "video")
	s = strings.Replace(s, "UDP/TLS/RTP/SAVPF 96 97 102", "UDP/TLS/RTP/SAVPF 96 98 97 102", 1)
	s = strings.Replace(s, "a=rtpmap:96 VP8/90000\r\n", "a=rtpmap:96 VP9/90000\r\na=fmtp:96 profile-id=2\r\na=rtpmap:98 VP9/90000\r\na=fmtp:98 profile-id=0\r\n", 1)
	s = strings.Replace(s, "a=rtpmap:102", "a=extmap:7 "+plane.ExtVideoOrientation+"\r\na=extmap:8 "+plane.ExtDependencyDescriptor+"\r\na=rtpmap:102", 1)
	return strings.Replace(s, "useinbandfec=1", "useinbandfec=1;stereo=1;usedtx=1", 1)
}

// redOffer is a client's offer of audio as Chrome makes it: Opus, and RED of Opus behind it or, if preferred, before it.
func redOffer(preferred bool) string {
	s := janustest.OfferSDP("clnt", "audio")
	order := "SAVPF 111 63"
	if preferred {
		order = "SAVPF 63 111"
	}
	s = strings.Replace(s, "SAVPF 111", order, 1)
	return strings.Replace(s, "a=rtpmap:111", "a=rtpmap:63 red/48000/2\r\na=fmtp:63 111/111\r\na=rtpmap:111", 1)
}

// TestREDGoesThrough checks that publishers may send RED, that the media plane knows, and that subscribers are offered it.
func TestREDGoesThrough(t *testing.T) {
	for name, tt := range map[string]struct {
		offer  string
		room   bool    // prefers RED
		answer []uint8 // payload types
		toSub  []uint8
	}{
		"RED preferred":             {redOffer(true), false, []uint8{63, 111}, []uint8{120, 111}},
		"Opus preferred":            {redOffer(false), false, []uint8{111, 63}, []uint8{120, 111}},
		"RED preferred by the room": {redOffer(false), true, []uint8{63, 111}, []uint8{120, 111}},
		"no RED":                    {janustest.OfferSDP("clnt", "audio"), true, []uint8{111}, []uint8{111}},
		"RED of another codec":      {strings.Replace(redOffer(true), "111/111", "9/9", 1), true, []uint8{111}, []uint8{111}},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := DefaultRoom("1")
			cfg.OpusRED = tt.room
			r := newRoom(numberID(1), 1, cfg)
			p := newParticipant(numberID(1))
			r.add(p)
			offer, err := sdp.Parse(tt.offer)
			if err != nil {
				t.Fatal(err)
			}
			d, err := p.draft(&janus.Message{Body: janus.Object{}, JSEP: &janus.JSEP{Type: "offer", SDP: offer}})
			if err != nil {
				t.Fatal(err)
			}
			p.apply(d)
			types := func(codecs []plane.Codec) (l []uint8) {
				for _, c := range codecs {
					l = append(l, c.PayloadType)
				}
				return l
			}
			if diff := cmp.Diff(tt.answer, types(sdp.Lines(d.answer, offer.Medias, "hml")[0].Codecs)); diff != "" {
				t.Errorf("line of the publisher: -want +got\n%s", diff)
			}
			s := newSubscriber(r, nil)
			s.attach(p.streams[0])
			m := s.offer()[0]
			if diff := cmp.Diff(tt.toSub, types(m.Codecs)); diff != "" {
				t.Errorf("offer to a subscriber: -want +got\n%s", diff)
			}
			if m.RED() && m.Codecs[0].Fmtp != "111/111" {
				t.Errorf("fmtp of RED: %q", m.Codecs[0].Fmtp)
			}
		})
	}
}

func TestDraftFollowsTheRoom(t *testing.T) {
	type want struct {
		Audio, Video                 string
		AudioDisabled, VideoDisabled bool
		FEC, DTX, Stereo, SVC        bool
		VP9, H264                    string
		AudioLevel, Orient, DD, TCC  bool
		Bandwidth                    uint32
	}
	all := want{Audio: "opus", Video: "vp9", FEC: true, Stereo: true, VP9: "2", AudioLevel: true, Orient: true, DD: true, TCC: true}
	for name, c := range map[string]struct {
		change func(*RoomConfig)
		wish   string
		svc    []janus.SVC
		want   func(*want)
	}{
		"as offered":           {},
		"a wanted profile":     {change: func(c *RoomConfig) { c.VP9Profile = "0" }, want: func(w *want) { w.VP9 = "0" }},
		"a profile nobody has": {change: func(c *RoomConfig) { c.VP9Profile = "1" }},
		"a wish":               {wish: "h264", want: func(w *want) { w.Video, w.VP9, w.H264, w.DD = "h264", "", "42e01f", false }},
		"nothing in common": {
			change: func(c *RoomConfig) { c.VideoCodecs, c.AudioCodecs = []string{"av1"}, []string{"g722"} },
			want: func(w *want) {
				*w = want{AudioDisabled: true, VideoDisabled: true, VP9: "", AudioLevel: true, Orient: true, DD: true, TCC: true}
			},
		},
		"no FEC": {change: func(c *RoomConfig) { c.OpusFEC = false }, want: func(w *want) { w.FEC = false }},
		"DTX":    {change: func(c *RoomConfig) { c.OpusDTX = true }, want: func(w *want) { w.DTX = true }},
		"no extensions": {
			change: func(c *RoomConfig) { c.AudioLevelExt, c.VideoOrientExt, c.TransportCCExt = false, false, false },
			want:   func(w *want) { w.AudioLevel, w.Orient, w.TCC = false, false, false },
		},
		"a cap":            {change: func(c *RoomConfig) { c.Bitrate, c.BitrateCap = 300000, true }, want: func(w *want) { w.Bandwidth = 300000 }},
		"SVC by the room":  {change: func(c *RoomConfig) { c.VideoSVC = true }, want: func(w *want) { w.SVC = true }},
		"SVC by its index": {svc: []janus.SVC{{MIndex: 1}}, want: func(w *want) { w.SVC = true }},
		"SVC by its mid":   {svc: []janus.SVC{{MIndex: -1, Mid: "1"}}, want: func(w *want) { w.SVC = true }},
		"SVC of another":   {svc: []janus.SVC{{MIndex: 0}, {MIndex: -1, Mid: "7"}}},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := DefaultRoom("1")
			cfg.VideoCodecs = []string{"vp9", "h264"}
			if c.change != nil {
				c.change(&cfg)
			}
			r := newRoom(numberID(1), 1, cfg)
			p := newParticipant(numberID(1))
			r.add(p)
			p.videoCodec = c.wish
			offer, err := sdp.Parse(vp9Offer())
			if err != nil {
				t.Fatal(err)
			}
			d, err := p.draft(&janus.Message{Body: janus.Object{}, JSEP: &janus.JSEP{Type: "offer", SDP: offer, SVC: c.svc}})
			if err != nil {
				t.Fatal(err)
			}
			w := all
			if c.want != nil {
				c.want(&w)
			}
			a, v := d.streams[0], d.streams[1]
			got := want{
				Audio: a.codec, Video: v.codec, AudioDisabled: a.disabled, VideoDisabled: v.disabled, FEC: a.fec, DTX: a.dtx,
				Stereo: a.stereo, SVC: v.svc, VP9: v.vp9, H264: v.h264, AudioLevel: a.audioLevel, Orient: v.videoOrient, DD: v.descriptor,
				TCC: d.answer[1].Extension(plane.ExtTransportCC) != 0, Bandwidth: d.answer[1].Bandwidth,
			}
			if diff := cmp.Diff(w, got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
			for i := range d.answer {
				if d.answer[i].Direction.Sends() {
					t.Errorf("line %d of the answer sends", i)
				}
			}
		})
	}
}

func TestOffersOfARoomWithoutTransportCC(t *testing.T) {
	cfg := DefaultRoom("1")
	cfg.TransportCCExt = false
	r := newRoom(numberID(1), 1, cfg)
	s := newSubscriber(r, nil)
	for _, st := range testPublisher(r, 1, "opus", "vp8", "data").streams {
		s.attach(st)
	}
	for _, m := range s.offer() {
		if c, _ := m.Codec(); c.TransportCC || m.Extension(plane.ExtTransportCC) != 0 {
			t.Errorf("%s line offers transport-cc", m.Type)
		}
	}
}

// The limit holds for those whose offers are being answered, too.
func TestPublishersAreCountedFromTheirOffer(t *testing.T) {
	cfg := DefaultRoom("1")
	cfg.Publishers = 1
	r := newRoom(numberID(1), 1, cfg)
	offer, err := sdp.Parse(janustest.OfferSDP("clnt", "audio"))
	if err != nil {
		t.Fatal(err)
	}
	msg := &janus.Message{Body: janus.Object{}, JSEP: &janus.JSEP{Type: "offer", SDP: offer}}
	first, second := newParticipant(numberID(1)), newParticipant(numberID(2))
	r.add(first)
	r.add(second)
	d, err := first.draft(msg)
	if err != nil {
		t.Fatal(err)
	}
	var refused *requestError
	if _, err := second.draft(msg); !errors.As(err, &refused) || refused.code != codePublishersFull {
		t.Errorf("second publisher: %v", err)
	}
	first.apply(d)
	if _, err := first.draft(msg); err != nil {
		t.Errorf("renegotiation of the first: %v", err)
	}
}
