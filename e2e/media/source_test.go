package media_test

import (
	"encoding/binary"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"cardea/relay/plane"
)

const (
	frameTime    = 20 * time.Millisecond // of sound and of pictures
	audioTicks   = 48 * 20
	videoTicks   = 90 * 20
	framePackets = 3 // of each picture
	tagSize      = 8
)

// camera sends sound and pictures that were captured at the same moments: frame n of both at n times frameTime.
type camera struct {
	c            *client
	audio, video *webrtc.RTPSender
	tracks       []*layerTrack // of pictures, the lowest quality first
	sound        *webrtc.TrackLocalStaticRTP
	base         time.Time // when frame 0 was captured, on the client's clock
	running      sync.WaitGroup
	stop         chan struct{}
	once         sync.Once

	mu       sync.Mutex
	n        int // next frame
	level    uint8
	keyEvery int // frames; 0 for on request only
	deaf     bool
	held     bool
	mute     map[int]bool // layers that are not sent
	plis     []time.Time
	feedback []rtcp.Packet
	wantKey  map[int]bool
	audioSeq uint16
}

// layerTrack is one encoding.
type layerTrack struct {
	*webrtc.TrackLocalStaticRTP
	rid     string
	ssrc    uint32
	seq     uint16
	start   uint32 // timestamp of frame 0
	picture uint16
	tl0     uint8
	keyed   bool
}

var (
	opus = webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus, ClockRate: 48000, Channels: 2}
	vp8  = webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeVP8, ClockRate: 90000}
)

// newCamera gives a client sound ("0") and pictures ("1") in as many simulcast encodings as there are rids.
func newCamera(t *testing.T, c *client, rids ...string) *camera {
	t.Helper()
	cam := &camera{
		c: c, stop: make(chan struct{}), level: 20, mute: map[int]bool{}, wantKey: map[int]bool{}, base: time.Now(),
		audioSeq: uint16(rand.Uint32()), //nolint:gosec // any
	}
	var err error
	if cam.sound, err = webrtc.NewTrackLocalStaticRTP(opus, "audio", "camera"); err != nil {
		t.Fatal(err)
	}
	if cam.audio, err = c.pc.AddTrack(cam.sound); err != nil {
		t.Fatal(err)
	}
	if len(rids) == 0 {
		rids = []string{""}
	}
	for _, rid := range rids {
		var options []func(*webrtc.TrackLocalStaticRTP)
		if rid != "" {
			options = append(options, webrtc.WithRTPStreamID(rid))
		}
		track, err := webrtc.NewTrackLocalStaticRTP(vp8, "video", "camera", options...)
		if err != nil {
			t.Fatal(err)
		}
		if cam.video == nil {
			cam.video, err = c.pc.AddTrack(track)
		} else {
			err = cam.video.AddEncoding(track)
		}
		if err != nil {
			t.Fatal(err)
		}
		cam.tracks = append(cam.tracks, &layerTrack{
			TrackLocalStaticRTP: track, rid: rid, seq: uint16(rand.Uint32()), start: rand.Uint32(), picture: uint16(rand.Uint32() & 0x7fff), //nolint:gosec // any
		})
	}
	t.Cleanup(cam.end)
	return cam
}

// run begins to send. The client must have been negotiated.
func (cam *camera) run() {
	encodings := cam.video.GetParameters().Encodings
	for i, l := range cam.tracks {
		l.ssrc = uint32(encodings[i].SSRC)
	}
	cam.running.Go(func() {
		clock := time.NewTicker(frameTime)
		defer clock.Stop()
		for {
			cam.frame()
			select {
			case <-clock.C:
			case <-cam.stop:
				return
			}
		}
	})
	cam.c.readers.Go(func() { cam.listen(cam.audio.ReadRTCP) })
	for _, l := range cam.tracks {
		cam.c.readers.Go(func() {
			if l.rid == "" {
				cam.listen(cam.video.ReadRTCP)
			} else {
				cam.listen(func() ([]rtcp.Packet, interceptor.Attributes, error) { return cam.video.ReadSimulcastRTCP(l.rid) })
			}
		})
	}
}

func (cam *camera) end() {
	cam.once.Do(func() { close(cam.stop) })
	cam.running.Wait()
}

// listen obeys and keeps what comes back.
func (cam *camera) listen(read func() ([]rtcp.Packet, interceptor.Attributes, error)) {
	for {
		packets, _, err := read()
		if err != nil {
			return
		}
		cam.mu.Lock()
		cam.feedback = append(cam.feedback, packets...)
		for _, p := range packets {
			if pli, ok := p.(*rtcp.PictureLossIndication); ok {
				cam.plis = append(cam.plis, time.Now())
				for i, x := range cam.tracks {
					cam.wantKey[i] = cam.wantKey[i] || x.ssrc == pli.MediaSSRC
				}
			}
		}
		cam.mu.Unlock()
	}
}

// with calls f with the camera to itself.
func (cam *camera) with(f func()) {
	cam.mu.Lock()
	defer cam.mu.Unlock()
	f()
}

// requests returns how many keyframes were asked for.
func (cam *camera) requests() (n int) {
	cam.with(func() { n = len(cam.plis) })
	return n
}

// frame sends one frame of everything.
func (cam *camera) frame() {
	cam.mu.Lock()
	defer cam.mu.Unlock()
	if cam.held {
		return
	}
	n := cam.n
	cam.n++
	cam.sendSound(n)
	for i, l := range cam.tracks {
		if !cam.mute[i] {
			key := !l.keyed || cam.keyEvery > 0 && n%cam.keyEvery == 0 || cam.wantKey[i] && !cam.deaf
			cam.wantKey[i] = false
			cam.sendPicture(l, i, n, key)
		}
	}
}

func (cam *camera) sendSound(n int) {
	p := &rtp.Packet{Header: rtp.Header{Version: 2, SequenceNumber: cam.audioSeq, Timestamp: uint32(n) * audioTicks}, Payload: tag(nil, 0, n, 0)} //nolint:gosec // modular
	cam.audioSeq++
	if id := extensionID(cam.audio, plane.ExtAudioLevel); id != 0 {
		_ = p.SetExtension(id, []byte{0x80 | cam.level})
	}
	_ = cam.sound.WriteRTP(p)
}

// sendPicture sends a VP8 frame; of a keyframe the payload header says so and a size that tells the layer.
func (cam *camera) sendPicture(l *layerTrack, layer, n int, key bool) {
	l.picture = (l.picture + 1) & 0x7fff
	if key {
		l.keyed = true
	}
	l.tl0++
	for i := range framePackets {
		payload := make([]byte, 0, 200)
		first := byte(0x80)
		if i == 0 {
			first |= 0x10
		}
		payload = append(payload, first, 0xe0, 0x80|byte(l.picture>>8), byte(l.picture), l.tl0, 0x20)
		switch {
		case i == 0 && key:
			payload = append(payload, 0x10, 0, 0, 0x9d, 0x01, 0x2a)
			payload = binary.LittleEndian.AppendUint16(payload, uint16(320<<layer)) //nolint:gosec // small
			payload = binary.LittleEndian.AppendUint16(payload, uint16(180<<layer)) //nolint:gosec // small
		case i == 0:
			payload = append(payload, 0x11, 0, 0)
		}
		payload = append(payload, make([]byte, 100*(layer+1)-i)...)
		p := &rtp.Packet{
			Header:  rtp.Header{Version: 2, Marker: i == framePackets-1, SequenceNumber: l.seq, Timestamp: l.start + uint32(n)*videoTicks}, //nolint:gosec // modular
			Payload: tag(payload, layer, n, i),
		}
		l.seq++
		set := func(uri string, v []byte) {
			if id := extensionID(cam.video, uri); id != 0 {
				_ = p.SetExtension(id, v)
			}
		}
		set(plane.ExtMid, []byte("1"))
		if l.rid != "" {
			set(plane.ExtRID, []byte(l.rid))
		}
		set(plane.ExtVideoOrientation, []byte{1})
		set(plane.ExtPlayoutDelay, []byte{0x00, 0x10, 0x20})
		_ = l.WriteRTP(p)
	}
}

// report sends a sender report of everything, from a clock that is skewed against the node's.
func (cam *camera) report(skew time.Duration) {
	cam.mu.Lock()
	defer cam.mu.Unlock()
	captured := cam.base.Add(time.Duration(cam.n) * frameTime)
	ntp := toNTP(captured.Add(skew))
	reports := []rtcp.Packet{&rtcp.SenderReport{SSRC: uint32(cam.audio.GetParameters().Encodings[0].SSRC), NTPTime: ntp, RTPTime: uint32(cam.n) * audioTicks}} //nolint:gosec // modular
	for _, l := range cam.tracks {
		reports = append(reports, &rtcp.SenderReport{SSRC: l.ssrc, NTPTime: ntp, RTPTime: l.start + uint32(cam.n)*videoTicks}) //nolint:gosec // modular
	}
	_ = cam.c.pc.WriteRTCP(reports)
}

func toNTP(t time.Time) uint64 {
	ns := uint64(t.UnixNano()) //nolint:gosec // after 1970
	return (ns/1e9+2208988800)<<32 | ns%1e9<<32/1e9
}

func extensionID(s *webrtc.RTPSender, uri string) uint8 {
	for _, x := range s.GetParameters().HeaderExtensions {
		if x.URI == uri {
			return uint8(x.ID) //nolint:gosec // at most 255
		}
	}
	return 0
}

// tag ends a payload with what it is, to know it again behind the node.
func tag(b []byte, layer, n, packet int) []byte {
	b = append(b, 0xCA, 0xDE, byte(layer), byte(packet))
	return binary.BigEndian.AppendUint32(b, uint32(n)) //nolint:gosec // small
}

// tagged is what tag wrote.
type tagged struct {
	layer, packet, n int
	ok               bool
}

func untag(p *rtp.Packet) tagged {
	b := p.Payload
	if len(b) < tagSize {
		return tagged{}
	}
	b = b[len(b)-tagSize:]
	return tagged{int(b[2]), int(b[3]), int(binary.BigEndian.Uint32(b[4:])), b[0] == 0xCA && b[1] == 0xDE}
}

// isKeyframe tells whether a packet begins a VP8 keyframe.
func isKeyframe(p *rtp.Packet) bool {
	return len(p.Payload) > 6 && p.Payload[0]&0x10 != 0 && p.Payload[6]&1 == 0
}

// newPublisher makes a client with a camera that publishes.
func (w *world) newPublisher(t *testing.T, p profile, rids ...string) *camera {
	t.Helper()
	c := w.newClient(t, p)
	cam := newCamera(t, c, rids...)
	c.offer(nil, nil, nil)
	c.publish(nil)
	c.awaitUp()
	cam.run()
	return cam
}
