package sdp

import (
	"strings"
	"testing"

	"github.com/pion/webrtc/v4"
	"go.uber.org/goleak"

	"cardea/relay/plane"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newPeerConnection makes a client with the codecs and extensions of a browser.
func newPeerConnection(t *testing.T) *webrtc.PeerConnection {
	t.Helper()
	media := &webrtc.MediaEngine{}
	if err := media.RegisterDefaultCodecs(); err != nil {
		t.Fatal(err)
	}
	for _, k := range []webrtc.RTPCodecType{webrtc.RTPCodecTypeAudio, webrtc.RTPCodecTypeVideo} {
		for _, uri := range everyExtension {
			if err := media.RegisterHeaderExtension(webrtc.RTPHeaderExtensionCapability{URI: uri}, k); err != nil {
				t.Fatal(err)
			}
		}
	}
	pc, err := webrtc.NewAPI(webrtc.WithMediaEngine(media)).NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := pc.GracefulClose(); err != nil {
			t.Error(err)
		}
	})
	return pc
}

func track(t *testing.T, mime, id string, options ...func(*webrtc.TrackLocalStaticRTP)) *webrtc.TrackLocalStaticRTP {
	t.Helper()
	tr, err := webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: mime}, id, "stream", options...)
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

// offerOf sets and returns the client's offer.
func offerOf(t *testing.T, pc *webrtc.PeerConnection) *Description {
	t.Helper()
	o, err := pc.CreateOffer(nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := pc.SetLocalDescription(o); err != nil {
		t.Fatal(err)
	}
	return mustParse(t, o.SDP)
}

func TestPionTakesOurAnswers(t *testing.T) {
	pc := newPeerConnection(t)
	if _, err := pc.AddTrack(track(t, webrtc.MimeTypeOpus, "a")); err != nil {
		t.Fatal(err)
	}
	var sender *webrtc.RTPSender
	for i, rid := range []string{"h", "m", "l"} {
		tr := track(t, webrtc.MimeTypeVP8, "v", webrtc.WithRTPStreamID(rid))
		var err error
		if i == 0 {
			sender, err = pc.AddTrack(tr)
		} else {
			err = sender.AddEncoding(tr)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := pc.CreateDataChannel("JanusDataChannel", nil); err != nil {
		t.Fatal(err)
	}
	var settled []Media
	answer := func(choose func(int, *Media) Choice) []plane.Line {
		t.Helper()
		offer := offerOf(t, pc)
		lines := NewAnswer(offer, choose)
		Settle(settled, lines)
		settled = lines
		text := Format(&Description{ID: 1, Version: 1, Medias: lines}, testTransport)
		if err := pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: text}); err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		return Lines(lines, offer.Medias, "hml")
	}
	lines := answer(func(_ int, m *Media) Choice {
		return Choice{Direction: plane.SendRecv, Extensions: everyExtension, OpusFEC: true, Bandwidth: 500_000}
	})
	if len(lines) != 3 || lines[0].Direction != plane.SendRecv || lines[1].Codecs[0].Name != "vp8" || lines[2].Kind != plane.Data {
		t.Fatalf("lines %+v", lines)
	}
	if r := lines[1].Receive; len(r) != 3 || r[0].RID != "l" || r[2].RID != "h" {
		t.Errorf("encodings %+v", r)
	}
	for _, tr := range pc.GetTransceivers() {
		if d := tr.Direction(); d != webrtc.RTPTransceiverDirectionSendrecv {
			t.Errorf("%s is %s", tr.Mid(), d)
		}
	}
	// Renegotiation: the video line is refused, then comes back.
	answer(func(_ int, m *Media) Choice {
		return Choice{Reject: m.Kind == plane.Video, Direction: plane.RecvOnly, Extensions: everyExtension}
	})
}

func TestPionAnswersOurOffers(t *testing.T) {
	pc := newPeerConnection(t)
	var settled []Media
	negotiate := func(lines []Media) []plane.Line {
		t.Helper()
		Settle(settled, lines)
		if err := pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: offerText(lines)}); err != nil {
			t.Fatalf("%v\n%s", err, offerText(lines))
		}
		a, err := pc.CreateAnswer(nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := pc.SetLocalDescription(a); err != nil {
			t.Fatal(err)
		}
		answer := mustParse(t, a.SDP)
		if settled, err = Accept(lines, answer); err != nil {
			t.Fatal(err)
		}
		return Lines(settled, answer.Medias, "")
	}
	one := negotiate(subscriber("opus", "vp8", "h264", "data"))
	for i, l := range one[:3] {
		if l.Direction != plane.SendOnly || len(l.Codecs) != 1 || l.SSRC == 0 || l.Extensions == nil {
			t.Errorf("line %d: %+v", i, l)
		}
	}
	if one[1].Codecs[0].RTX != 97 || one[1].RTX == 0 || !one[1].Codecs[0].NACK || !one[1].Codecs[0].TransportCC {
		t.Errorf("video %+v", one[1])
	}
	if one[3].Direction != plane.SendRecv || one[3].SCTPPort != 5000 {
		t.Errorf("data %+v", one[3])
	}
	// A line that falls silent, and one more.
	next := subscriber("opus", "vp8", "h264", "data", "vp9")
	next[1].Direction = plane.Inactive
	two := negotiate(next)
	if two[1].Direction != plane.Inactive || two[0].SSRC != one[0].SSRC || two[4].Direction != plane.SendOnly {
		t.Errorf("lines %+v", two)
	}
	// The silent line is used again.
	three := negotiate(subscriber("opus", "vp8", "h264", "data", "vp9"))
	if three[1].Direction != plane.SendOnly || three[1].SSRC != one[1].SSRC || strings.Compare(three[1].Mid, "1") != 0 {
		t.Errorf("line %+v", three[1])
	}
}
