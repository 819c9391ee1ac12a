package media_test

import (
	"slices"
	"testing"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"cardea/relay/plane"
)

// TestProfiles publishes and subscribes with either end the DTLS client and all SRTP profiles, over UDP and TCP.
func TestProfiles(t *testing.T) {
	t.Parallel()
	gcm, gcm256, cm := dtls.SRTP_AEAD_AES_128_GCM, dtls.SRTP_AEAD_AES_256_GCM, dtls.SRTP_AES128_CM_HMAC_SHA1_80
	for name, p := range map[string]profile{
		"GCM, node passive":        {protocols: []dtls.SRTPProtectionProfile{gcm}, role: webrtc.DTLSRoleClient},
		"GCM-256, node active":     {protocols: []dtls.SRTPProtectionProfile{gcm256}, role: webrtc.DTLSRoleServer},
		"AES-CM, node active":      {protocols: []dtls.SRTPProtectionProfile{cm}, role: webrtc.DTLSRoleServer},
		"AES-CM, node passive":     {protocols: []dtls.SRTPProtectionProfile{cm}, role: webrtc.DTLSRoleClient},
		"GCM over TCP":             {protocols: []dtls.SRTPProtectionProfile{gcm}, tcp: true},
		"whatever the node likes":  {},
		"AES-CM over TCP, passive": {protocols: []dtls.SRTPProtectionProfile{cm}, tcp: true, role: webrtc.DTLSRoleClient},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			cam := w.newPublisher(t, p)
			viewer := w.watch(t, cam.c, p)
			viewer.more("0", 20)
			viewer.more("1", 60)
			checkContinuous(t, viewer.on("0").sofar())
			checkContinuous(t, viewer.on("1").sofar())
			st, err := w.relay.Stats(t.Context(), viewer.id)
			if err != nil {
				t.Fatal(err)
			}
			wantProtocol := "udp"
			if p.tcp {
				wantProtocol = "tcp"
			}
			if st.Protocol != wantProtocol || st.DTLSState != "connected" || st.State != "connected" {
				t.Errorf("peer is %s over %s, DTLS %s", st.State, st.Protocol, st.DTLSState)
			}
			if n := len(w.told(viewer.id, plane.EventUp)); n != 1 {
				t.Errorf("%d events up", n)
			}
		})
	}
}

// checkContinuous wants sequence numbers without gaps or repetition, timestamps that do not run backwards and what is
// inside in order.
func checkContinuous(t *testing.T, packets []rtp.Packet) {
	t.Helper()
	packets = slices.Clone(packets)
	slices.SortStableFunc(packets, func(a, b rtp.Packet) int { return int(int16(a.SequenceNumber - b.SequenceNumber)) }) //nolint:gosec // modular
	for i := 1; i < len(packets); i++ {
		a, b := &packets[i-1], &packets[i]
		if b.SequenceNumber != a.SequenceNumber+1 {
			t.Fatalf("packet %d: number %d follows %d", i, b.SequenceNumber, a.SequenceNumber)
		}
		if b.SSRC != a.SSRC {
			t.Fatalf("packet %d: SSRC %d follows %d", i, b.SSRC, a.SSRC)
		}
		if int32(b.Timestamp-a.Timestamp) < 0 { //nolint:gosec // modular
			t.Fatalf("packet %d: timestamp %d follows %d", i, b.Timestamp, a.Timestamp)
		}
		ta, tb := untag(a), untag(b)
		if !ta.ok || !tb.ok {
			t.Fatalf("packet %d is not what was sent: %x", i, b.Payload)
		}
		if same := ta.n == tb.n && ta.layer == tb.layer; same != (a.Timestamp == b.Timestamp) {
			t.Fatalf("packet %d: frame %d of layer %d at %d, frame %d of layer %d at %d", i, ta.n, ta.layer, a.Timestamp, tb.n, tb.layer, b.Timestamp)
		}
	}
}

// TestHeaders wants the header extensions under the subscriber's ids and the publisher's values.
func TestHeaders(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	cam := w.newPublisher(t, profile{})
	viewer := w.watch(t, cam.c, profile{})
	viewer.more("0", 5)
	viewer.more("1", 20)
	for mid, want := range map[string]map[string][]byte{
		"0": {plane.ExtMid: []byte("0"), plane.ExtAudioLevel: {0x80 | 20}},
		"1": {plane.ExtMid: []byte("1"), plane.ExtVideoOrientation: {1}, plane.ExtPlayoutDelay: {0x00, 0x10, 0x20}},
	} {
		packets := viewer.on(mid).sofar()
		last := packets[len(packets)-1]
		for i := range viewer.settled {
			m := &viewer.settled[i]
			if m.Mid != mid {
				continue
			}
			for uri, v := range want {
				id := m.Extension(uri)
				if got := last.GetExtension(id); id == 0 || !slices.Equal(got, v) {
					t.Errorf("line %s: extension %s (%d) is %x, want %x", mid, uri, id, got, v)
				}
			}
			if id := m.Extension(plane.ExtTransportCC); id == 0 || len(last.GetExtension(id)) != 2 {
				t.Errorf("line %s: no transport-wide sequence number", mid)
			}
			if last.SSRC != m.SSRC {
				t.Errorf("line %s: SSRC %d, announced %d", mid, last.SSRC, m.SSRC)
			}
		}
	}
	// abs-send-time tells roughly the time between packets.
	var stamps []uint32
	for _, p := range viewer.on("1").sofar() {
		if v := p.GetExtension(viewer.settled[1].Extension(plane.ExtAbsSendTime)); len(v) == 3 {
			stamps = append(stamps, uint32(v[0])<<16|uint32(v[1])<<8|uint32(v[2]))
		}
	}
	if len(stamps) < 20 {
		t.Fatalf("%d packets with abs-send-time", len(stamps))
	}
	span := time.Duration((stamps[len(stamps)-1]-stamps[0])&0xffffff) * time.Second >> 18
	if span < 20*time.Millisecond || span > 10*time.Second {
		t.Errorf("abs-send-time spans %v", span)
	}
}

// TestContinuity pauses, switches to another publisher and back, and renegotiates: the subscriber sees one stream.
func TestContinuity(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first, second := w.newPublisher(t, profile{}), w.newPublisher(t, profile{})
	viewer := w.watch(t, first.c, profile{noNACK: true})
	video := func(of *client, paused bool) {
		s, a := want("1", stream(of, "1")), want("0", stream(of, "0"))
		s.Paused, a.Paused = paused, paused
		viewer.subscribe(a, s)
	}
	viewer.more("1", 30)
	video(first.c, true)
	pausedAt := first.sent()
	await(t, "publisher going on", func() bool { return first.sent() > pausedAt+20 })
	for _, p := range viewer.on("1").sofar() {
		if n := untag(&p).n; n > pausedAt {
			t.Fatalf("frame %d came during a pause from %d on", n, pausedAt)
		}
	}
	video(first.c, false)
	viewer.more("1", 30)
	video(second.c, false)
	viewer.more("1", 60)
	viewer.more("0", 10)
	// A line more, and back to the first: everything else goes on.
	viewer.offered(audioFeed("0"), videoFeed("1"), videoFeed("2"))
	viewer.subscribe(want("0", stream(first.c, "0")), want("1", stream(first.c, "1")), want("2", stream(second.c, "1")))
	viewer.more("2", 30) // a line that came by renegotiation
	viewer.more("1", 60)
	checkSwitches(t, viewer.on("1").sofar())
	checkContinuous(t, viewer.on("2").sofar())
	// Unpublished and published again, under the same name.
	if err := w.relay.Publish(t.Context(), first.c.id, nil); err != nil {
		t.Fatal(err)
	}
	await(t, "the stream is gone", func() bool { return w.line(first.c, "1", false).Stream == plane.StreamID{} })
	first.c.publish(nil)
	viewer.more("1", 60)
	checkSwitches(t, viewer.on("1").sofar())
}

func (cam *camera) sent() (n int) {
	cam.with(func() { n = cam.n })
	return n
}

// checkSwitches wants continuous numbers, picture ids and timestamps across changes of source.
func checkSwitches(t *testing.T, packets []rtp.Packet) {
	t.Helper()
	var lastPicture uint16
	switches := 0
	for i := 1; i < len(packets); i++ {
		a, b := &packets[i-1], &packets[i]
		if d := int16(b.SequenceNumber - a.SequenceNumber); d != 1 { //nolint:gosec // modular
			t.Fatalf("packet %d: number %d follows %d", i, b.SequenceNumber, a.SequenceNumber)
		}
		if d := int32(b.Timestamp - a.Timestamp); d < 0 || d > 20*90000 { //nolint:gosec // modular
			t.Fatalf("packet %d: timestamp moves by %d", i, d)
		}
		ta, tb := untag(a), untag(b)
		if !tb.ok {
			t.Fatalf("packet %d is not what was sent", i)
		}
		picture := (uint16(b.Payload[2])<<8 | uint16(b.Payload[3])) & 0x7fff
		if d := (picture - lastPicture) & 0x7fff; i > 1 && d > 100 {
			t.Fatalf("packet %d: picture %d follows %d", i, picture, lastPicture)
		}
		lastPicture = picture
		if ta.n != tb.n && ta.n+1 != tb.n {
			if switches++; !isKeyframe(b) {
				t.Errorf("packet %d: frame %d follows %d without a keyframe", i, tb.n, ta.n)
			}
		}
	}
}
