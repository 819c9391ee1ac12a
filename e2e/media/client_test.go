package media_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/interceptor"
	"github.com/pion/logging"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"cardea/relay/plane"
	"cardea/signaling/sdp"
)

// profile says how a client is to be.
type profile struct {
	protocols []dtls.SRTPProtectionProfile
	role      webrtc.DTLSRole // when answering
	tcp       bool
	relay     []webrtc.ICEServer // all through these
	noReports bool               // no sender reports but what the test writes
	noNACK    bool
	registry  func(*webrtc.MediaEngine, *interceptor.Registry) error
}

// client is a browser, as far as the media plane can tell.
type client struct {
	t    *testing.T
	w    *world
	id   plane.PeerID
	pc   *webrtc.PeerConnection
	link *link // nil over TCP

	local, remote plane.Transport
	setup         plane.Setup
	version       uint64
	settled       []sdp.Media
	adjust        func([]sdp.Media) // of the node's offers
	readers       sync.WaitGroup

	mu       sync.Mutex
	received map[string]*received // by mid
	channels map[string]*webrtc.DataChannel
	heard    []string // data messages: label, text
}

// received is what came in on a line.
type received struct {
	mu       sync.Mutex
	track    *webrtc.TrackRemote
	packets  []rtp.Packet
	arrivals []time.Time
	reports  []rtcp.Packet
}

var clients atomic.Int64

var extensions = map[webrtc.RTPCodecType][]string{
	webrtc.RTPCodecTypeAudio: {plane.ExtMid, plane.ExtAudioLevel},
	webrtc.RTPCodecTypeVideo: {plane.ExtMid, plane.ExtRID, plane.ExtRepairedRID, plane.ExtAbsSendTime, plane.ExtVideoOrientation, plane.ExtPlayoutDelay},
}

// quiet drops pion's log lines.
type quiet struct{}

func (quiet) NewLogger(string) logging.LeveledLogger {
	return logging.NewDefaultLeveledLoggerForScope("", logging.LogLevelDisabled, nil)
}

func (p *profile) api(l *link) (*webrtc.API, error) {
	media, registry := &webrtc.MediaEngine{}, &interceptor.Registry{}
	if err := media.RegisterDefaultCodecs(); err != nil {
		return nil, err
	}
	for kind, uris := range extensions {
		for _, uri := range uris {
			if err := media.RegisterHeaderExtension(webrtc.RTPHeaderExtensionCapability{URI: uri}, kind); err != nil {
				return nil, err
			}
		}
	}
	configure := []func(*webrtc.MediaEngine, *interceptor.Registry) error{webrtc.ConfigureTWCCHeaderExtensionSender, webrtc.ConfigureTWCCSender}
	if p.registry != nil { // next to the wire, where packets have their transport-wide numbers
		configure = slices.Insert(configure, 0, p.registry)
	}
	if !p.noNACK {
		configure = append(configure, webrtc.ConfigureNack)
	}
	if !p.noReports {
		configure = append(configure, func(_ *webrtc.MediaEngine, r *interceptor.Registry) error { return webrtc.ConfigureRTCPReports(r) })
	}
	for _, f := range configure {
		if err := f(media, registry); err != nil {
			return nil, err
		}
	}
	s := webrtc.SettingEngine{LoggerFactory: quiet{}}
	s.SetIncludeLoopbackCandidate(true)
	s.SetICETimeouts(2*time.Second, 4*time.Second, 200*time.Millisecond)
	if p.protocols != nil {
		s.SetSRTPProtectionProfiles(p.protocols...)
	}
	if p.role != webrtc.DTLSRoleUnknown {
		if err := s.SetAnsweringDTLSRole(p.role); err != nil {
			return nil, err
		}
	}
	switch {
	case p.tcp:
		s.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeTCP4})
	case p.relay != nil:
		s.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	default:
		s.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
		s.SetICEUDPMux(webrtc.NewICEUDPMux(quiet{}.NewLogger(""), l))
	}
	return webrtc.NewAPI(webrtc.WithMediaEngine(media), webrtc.WithInterceptorRegistry(registry), webrtc.WithSettingEngine(s)), nil
}

// newClient makes a client and opens its peer.
func (w *world) newClient(t *testing.T, p profile) *client {
	t.Helper()
	c := &client{
		t: t, w: w, id: plane.PeerID(fmt.Sprintf("client%d", clients.Add(1))),
		received: map[string]*received{}, channels: map[string]*webrtc.DataChannel{},
	}
	if !p.tcp && p.relay == nil {
		l, err := newLink()
		if err != nil {
			t.Fatal(err)
		}
		c.link = l
	}
	api, err := p.api(c.link)
	if err != nil {
		t.Fatal(err)
	}
	cfg := webrtc.Configuration{}
	if p.relay != nil {
		cfg.ICEServers, cfg.ICETransportPolicy = p.relay, webrtc.ICETransportPolicyRelay
	}
	if c.pc, err = api.NewPeerConnection(cfg); err != nil {
		t.Fatal(err)
	}
	c.pc.OnTrack(c.take)
	c.pc.OnDataChannel(c.hear)
	t.Cleanup(c.vanish)
	if c.local, err = w.relay.Open(t.Context(), c.id, plane.PeerOptions{NoMediaTimer: 300 * time.Millisecond, SlowLinkThreshold: 4}); err != nil {
		t.Fatal(err)
	}
	return c
}

// vanish ends the client.
func (c *client) vanish() {
	_ = c.pc.Close()
	c.readers.Wait()
	if c.link != nil {
		_ = c.link.Close()
	}
}

// take reads a track to its end.
func (c *client) take(track *webrtc.TrackRemote, receiver *webrtc.RTPReceiver) {
	var mid string
	for _, tr := range c.pc.GetTransceivers() {
		if tr.Receiver() == receiver {
			mid = tr.Mid()
		}
	}
	r := c.on(mid)
	r.mu.Lock()
	r.track = track
	r.mu.Unlock()
	c.readers.Go(func() {
		for {
			p, _, err := track.ReadRTP()
			if err != nil {
				return
			}
			r.mu.Lock()
			r.packets, r.arrivals = append(r.packets, *p), append(r.arrivals, time.Now())
			r.mu.Unlock()
		}
	})
	c.readers.Go(func() {
		for {
			packets, _, err := receiver.ReadRTCP()
			if err != nil {
				return
			}
			r.mu.Lock()
			r.reports = append(r.reports, packets...)
			r.mu.Unlock()
		}
	})
}

// on returns what is received on a line.
func (c *client) on(mid string) *received {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.received[mid]
	if r == nil {
		r = &received{}
		c.received[mid] = r
	}
	return r
}

// sofar returns the packets received on a line.
func (r *received) sofar() []rtp.Packet {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.packets)
}

func (r *received) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.packets)
}

// more waits for n more packets on a line.
func (c *client) more(mid string, n int) {
	c.t.Helper()
	r := c.on(mid)
	had := r.count()
	await(c.t, fmt.Sprintf("%s: %d packets on %q", c.id, n, mid), func() bool { return r.count() >= had+n })
}

// gather finishes a local description.
func (c *client) gather(d webrtc.SessionDescription) string {
	c.t.Helper()
	done := webrtc.GatheringCompletePromise(c.pc)
	if err := c.pc.SetLocalDescription(d); err != nil {
		c.t.Fatal(err)
	}
	select {
	case <-done:
	case <-time.After(patience):
		c.t.Fatal("candidates are not gathered")
	}
	return c.pc.LocalDescription().SDP
}

// choice is what the node takes of every line.
func choice(d plane.Direction) sdp.Choice {
	return sdp.Choice{Direction: d, Codecs: []string{"vp8", "opus"}, Extensions: []string{
		plane.ExtMid, plane.ExtRID, plane.ExtRepairedRID, plane.ExtAudioLevel, plane.ExtTransportCC, plane.ExtVideoOrientation, plane.ExtPlayoutDelay,
	}}
}

// offer makes the client offer and the node answer, with the node's directions by mid (RecvOnly unless said).
// munge, if there is one, rewrites the client's offer.
func (c *client) offer(directions map[string]plane.Direction, munge func(string) string, o *webrtc.OfferOptions) {
	c.t.Helper()
	offer, err := c.pc.CreateOffer(o)
	if err != nil {
		c.t.Fatal(err)
	}
	text := c.gather(offer)
	if munge != nil {
		text = munge(text)
	}
	d, err := sdp.Parse(text)
	if err != nil {
		c.t.Fatal(err)
	}
	lines := sdp.NewAnswer(d, func(_ int, m *sdp.Media) sdp.Choice {
		if dir, ok := directions[m.Mid]; ok {
			return choice(dir)
		}
		return choice(plane.RecvOnly)
	})
	if c.remote.Ufrag != "" && c.remote.Ufrag != d.Transport.Ufrag {
		if c.local, err = c.w.relay.Restart(c.t.Context(), c.id, uint32(c.version)); err != nil { //nolint:gosec // small
			c.t.Fatal(err)
		}
	}
	sdp.Settle(c.settled, lines)
	c.negotiate(lines, d)
	c.setRemote(webrtc.SDPTypeAnswer, lines, c.setup)
}

// offered makes the node offer lines for feeds and the client answer.
func (c *client) offered(feeds ...sdp.Feed) {
	c.t.Helper()
	lines := make([]sdp.Media, len(feeds))
	for i, f := range feeds {
		lines[i] = sdp.NewOffer(f)
	}
	if c.adjust != nil {
		c.adjust(lines)
	}
	sdp.Settle(c.settled, lines)
	c.setRemote(webrtc.SDPTypeOffer, lines, plane.ActPass)
	answer, err := c.pc.CreateAnswer(nil)
	if err != nil {
		c.t.Fatal(err)
	}
	d, err := sdp.Parse(c.gather(answer))
	if err != nil {
		c.t.Fatal(err)
	}
	agreed, err := sdp.Accept(lines, d)
	if err != nil {
		c.t.Fatal(err)
	}
	c.negotiate(agreed, d)
}

func (c *client) negotiate(lines []sdp.Media, d *sdp.Description) {
	c.t.Helper()
	if c.setup == plane.ActPass {
		c.setup = sdp.AnswerSetup(d.Transport.Setup)
	}
	c.version++
	c.settled, c.remote = lines, d.Transport
	err := c.w.relay.Negotiate(c.t.Context(), c.id, plane.Session{
		Version: c.version, Remote: d.Transport, Setup: c.setup, Lines: sdp.Lines(lines, d.Medias, "lmh"),
	})
	if err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) setRemote(kind webrtc.SDPType, lines []sdp.Media, setup plane.Setup) {
	c.t.Helper()
	local := c.local
	local.Setup = setup
	text := sdp.Format(&sdp.Description{ID: 1, Version: c.version + 1, Name: "test", Transport: local, Medias: lines}, local)
	if err := c.pc.SetRemoteDescription(webrtc.SessionDescription{Type: kind, SDP: text}); err != nil {
		c.t.Fatalf("%v\n%s", err, text)
	}
}

// awaitUp waits until media can flow.
func (c *client) awaitUp() {
	c.t.Helper()
	c.w.awaitEvent(c.id, plane.EventUp, any1)
	await(c.t, string(c.id)+" connected", func() bool { return c.pc.ConnectionState() == webrtc.PeerConnectionStateConnected })
}

// publish makes every line of the client a stream, as adjusted.
func (c *client) publish(adjust func(*plane.Publication)) {
	c.t.Helper()
	var pubs []plane.Publication
	for i := range c.settled {
		p := plane.Publication{Mid: c.settled[i].Mid, Stream: stream(c, c.settled[i].Mid)}
		if adjust != nil {
			adjust(&p)
		}
		pubs = append(pubs, p)
	}
	if err := c.w.relay.Publish(c.t.Context(), c.id, pubs); err != nil {
		c.t.Fatal(err)
	}
}

// want subscribes a line to a stream, at its highest layers.
func want(mid string, s plane.StreamID) plane.Subscription {
	return plane.Subscription{Mid: mid, Stream: s, Substream: -1, Temporal: -1, SpatialLayer: -1, TemporalSVC: -1}
}

func (c *client) subscribe(subs ...plane.Subscription) {
	c.t.Helper()
	if err := c.w.relay.Subscribe(c.t.Context(), c.id, subs); err != nil {
		c.t.Fatal(err)
	}
}

// watch makes a client that subscribes to audio ("0") and video ("1") of a publisher.
func (w *world) watch(t *testing.T, of *client, p profile) *client {
	t.Helper()
	c := w.newClient(t, p)
	c.offered(audioFeed("0"), videoFeed("1"))
	c.subscribe(want("0", stream(of, "0")), want("1", stream(of, "1")))
	c.awaitUp()
	return c
}

func audioFeed(mid string) sdp.Feed {
	return sdp.Feed{Kind: plane.Audio, Mid: mid, Direction: plane.SendOnly, Codec: "opus", Extensions: []string{plane.ExtAudioLevel}}
}

func videoFeed(mid string) sdp.Feed {
	return sdp.Feed{
		Kind: plane.Video, Mid: mid, Direction: plane.SendOnly, Codec: "vp8",
		Extensions: []string{plane.ExtVideoOrientation, plane.ExtPlayoutDelay},
	}
}

// hear keeps what comes over a data channel.
func (c *client) hear(dc *webrtc.DataChannel) {
	c.mu.Lock()
	c.channels[dc.Label()] = dc
	c.mu.Unlock()
	dc.OnMessage(func(m webrtc.DataChannelMessage) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.heard = append(c.heard, dc.Label()+": "+string(m.Data))
	})
}

// hears tells whether a message came.
func (c *client) hears(message string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Contains(c.heard, message)
}

// withoutLines drops the lines of an SDP that begin with a prefix.
func withoutLines(text string, prefixes ...string) string {
	var out []string
	for line := range strings.SplitSeq(text, "\r\n") {
		if !slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(line, p) }) {
			out = append(out, line)
		}
	}
	return strings.Join(out, "\r\n")
}

// offeredWith is offered with lines that are adjusted first.
func (c *client) offeredWith(adjust func([]sdp.Media), feeds ...sdp.Feed) {
	c.t.Helper()
	c.adjust = adjust
	c.offered(feeds...)
}
