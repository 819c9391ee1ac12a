package caller

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"github.com/pion/ice/v4"
	"github.com/pion/interceptor"
	"github.com/pion/logging"
	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"
)

// Payload types of what calls send.
const (
	opusType  = 111
	vp8Type   = 96
	vp8Repair = 97
)

// Peer is one PeerConnection of a client, with the handle that it belongs to.
type Peer struct {
	Handle *Handle
	pc     *webrtc.PeerConnection
	socket *socket
	mux    ice.UDPMux

	up   chan struct{}
	once sync.Once
}

func quiet() *logging.DefaultLoggerFactory {
	f := logging.NewDefaultLoggerFactory()
	f.DefaultLogLevel = logging.LogLevelDisabled
	return f
}

// newPeer makes a PeerConnection with a socket of its own.
func newPeer(ctx context.Context, h *Handle) (*Peer, error) {
	s, err := newSocket(ctx, h.client.place)
	if err != nil {
		return nil, err
	}
	p := &Peer{Handle: h, socket: s, up: make(chan struct{})}
	loggers := quiet()
	p.mux = ice.NewUDPMuxDefault(ice.UDPMuxParams{UDPConn: s, Logger: loggers.NewLogger("ice")})
	engine := webrtc.SettingEngine{LoggerFactory: loggers}
	engine.SetICEUDPMux(p.mux)
	engine.SetIncludeLoopbackCandidate(true)
	engine.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	engine.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	media, registry := &webrtc.MediaEngine{}, &interceptor.Registry{}
	if err := errors.Join(registerCodecs(media), webrtc.RegisterDefaultInterceptors(media, registry)); err != nil {
		s.vanish()
		return nil, fmt.Errorf("make PeerConnection: %w", err)
	}
	api := webrtc.NewAPI(webrtc.WithMediaEngine(media), webrtc.WithInterceptorRegistry(registry), webrtc.WithSettingEngine(engine))
	if p.pc, err = api.NewPeerConnection(webrtc.Configuration{}); err != nil {
		s.vanish()
		return nil, fmt.Errorf("make PeerConnection: %w", err)
	}
	p.pc.OnConnectionStateChange(func(state webrtc.PeerConnectionState) {
		if state == webrtc.PeerConnectionStateConnected {
			p.once.Do(func() { close(p.up) })
		}
	})
	return p, nil
}

func registerCodecs(m *webrtc.MediaEngine) error {
	feedback := []webrtc.RTCPFeedback{{Type: "goog-remb"}, {Type: "ccm", Parameter: "fir"}, {Type: "nack"}, {Type: "nack", Parameter: "pli"}}
	return errors.Join(
		m.RegisterCodec(webrtc.RTPCodecParameters{
			RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus, ClockRate: 48000, Channels: 2, SDPFmtpLine: "minptime=10;useinbandfec=1"},
			PayloadType:        opusType,
		}, webrtc.RTPCodecTypeAudio),
		m.RegisterCodec(webrtc.RTPCodecParameters{
			RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeVP8, ClockRate: 90000, RTCPFeedback: feedback},
			PayloadType:        vp8Type,
		}, webrtc.RTPCodecTypeVideo),
		m.RegisterCodec(webrtc.RTPCodecParameters{
			RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeRTX, ClockRate: 90000, SDPFmtpLine: fmt.Sprintf("apt=%d", vp8Type)},
			PayloadType:        vp8Repair,
		}, webrtc.RTPCodecTypeVideo),
	)
}

// offer makes an offer and returns it as the API wants it.
func (p *Peer) offer(o *webrtc.OfferOptions) (M, error) {
	d, err := p.pc.CreateOffer(o)
	if err == nil {
		err = p.pc.SetLocalDescription(d)
	}
	if err != nil {
		return nil, fmt.Errorf("offer: %w", err)
	}
	return M{"type": "offer", "sdp": d.SDP}, nil
}

// join joins a room as one who may publish, and makes the PeerConnection for it.
func (c *Client) join(ctx context.Context, room int) (p *Peer, id json.Number, err error) {
	h, err := c.Attach(ctx, VideoRoom)
	if err != nil {
		return nil, "", err
	}
	joined, err := h.Message(ctx, M{"request": "join", "ptype": "publisher", "room": room}, nil)
	if err != nil {
		return nil, "", fmt.Errorf("join: %w", err)
	}
	id, _ = Data(joined)["id"].(json.Number)
	p, err = newPeer(ctx, h)
	return p, id, err
}

// negotiate offers what the participant publishes and takes the node's answer.
func (p *Peer) negotiate(ctx context.Context, o *webrtc.OfferOptions) error {
	offer, err := p.offer(o)
	if err != nil {
		return err
	}
	if lie := p.Handle.client.Lie; lie != nil {
		offer["sdp"] = lie(offer["sdp"].(string))
	}
	m, err := p.Handle.Message(ctx, M{"request": "configure"}, offer)
	if err != nil {
		return err
	}
	return p.accept(m)
}

// connect waits until what the participant publishes can flow.
func (p *Peer) connect(ctx context.Context) error {
	if err := p.complete(ctx); err != nil {
		return err
	}
	if err := p.waitUp(ctx); err != nil {
		return err
	}
	return p.Handle.await(ctx, "webrtcup") // only then can others subscribe
}

// accept takes the node's answer to an offer.
func (p *Peer) accept(m M) error {
	j, _ := m["jsep"].(M)
	text, _ := j["sdp"].(string)
	if err := p.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: text}); err != nil {
		return fmt.Errorf("take answer: %w", err)
	}
	return nil
}

// answer answers an offer of the node's.
func (p *Peer) answer(m M) (M, error) {
	j, _ := m["jsep"].(M)
	text, _ := j["sdp"].(string)
	if err := p.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: text}); err != nil {
		return nil, fmt.Errorf("take offer: %w", err)
	}
	d, err := p.pc.CreateAnswer(nil)
	if err == nil {
		err = p.pc.SetLocalDescription(d)
	}
	if err != nil {
		return nil, fmt.Errorf("answer: %w", err)
	}
	return M{"type": "answer", "sdp": d.SDP}, nil
}

// complete tells the node that no candidates follow; a node needs none, for clients come to it.
func (p *Peer) complete(ctx context.Context) error {
	_, err := p.Handle.Request(ctx, M{"janus": "trickle", "candidate": M{"completed": true}})
	return err
}

// waitUp waits until media can flow.
func (p *Peer) waitUp(ctx context.Context) error {
	select {
	case <-p.up:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("no connection (%s, ICE %s): %w", p.pc.ConnectionState(), p.pc.ICEConnectionState(), ctx.Err())
	}
}

// WriteRTCP sends RTCP to the node, whatever it says.
func (p *Peer) WriteRTCP(packets ...rtcp.Packet) error { return p.pc.WriteRTCP(packets) }

// PeerConnection returns the client's end.
func (p *Peer) PeerConnection() *webrtc.PeerConnection { return p.pc }

// Inject sends a datagram from the call's own address.
func (p *Peer) Inject(b []byte, to netip.AddrPort) error {
	_, err := p.socket.UDPConn.WriteToUDPAddrPort(b, to)
	return err
}

// Sent returns the packets that the call sent last, as they were on the wire.
func (p *Peer) Sent() [][]byte {
	p.socket.mu.Lock()
	defer p.socket.mu.Unlock()
	return slices.Clone(p.socket.sent)
}

// Credentials returns the node's ICE credentials for the call.
func (p *Peer) Credentials() (ufrag, pwd string) {
	for line := range strings.Lines(p.pc.RemoteDescription().SDP) {
		line = strings.TrimSpace(line)
		if v, ok := strings.CutPrefix(line, "a=ice-ufrag:"); ok {
			ufrag = v
		}
		if v, ok := strings.CutPrefix(line, "a=ice-pwd:"); ok {
			pwd = v
		}
	}
	return ufrag, pwd
}

// Vanish falls silent: no packet leaves any more, not even a goodbye.
func (p *Peer) Vanish() {
	p.socket.vanish()
	p.Close()
}

// Close ends the PeerConnection as a browser does, and waits for what worked for it.
func (p *Peer) Close() {
	_ = p.pc.GracefulClose()
	_ = p.mux.Close()
	_ = p.socket.Close()
}
