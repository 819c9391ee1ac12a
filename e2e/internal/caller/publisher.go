package caller

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

// What a publisher sends: Opus at 50 packets a second, VP8 at 25 frames a second of some packets each.
const (
	audioInterval = 20 * time.Millisecond
	audioSize     = 80 // bytes
	frameInterval = 2 * audioInterval
	framePackets  = 3
	videoSize     = 900 // bytes of a video packet's payload
	width, height = 640, 360
)

// What the RTP packets of a publisher measure, bytes, without header extensions.
const (
	rtpHeader   = 12
	AudioPacket = rtpHeader + audioSize
	VideoPacket = rtpHeader + videoSize
)

// Publisher is a participant who sends audio and video into a room.
type Publisher struct {
	*Peer
	ID json.Number // of the participant

	// PLIs counts the pictures asked of the publisher, FIR and PLI alike.
	PLIs atomic.Uint64

	audio, video *webrtc.TrackLocalStaticRTP
	wanted       atomic.Bool // a keyframe
	quit         context.CancelFunc
	work         sync.WaitGroup
}

// Publish joins a room and sends until the publisher leaves or vanishes. It returns when media can flow.
func (c *Client) Publish(ctx context.Context, room int) (*Publisher, error) {
	peer, id, err := c.join(ctx, room)
	if err != nil {
		return nil, err
	}
	p := &Publisher{Peer: peer, ID: id}
	if err := p.begin(ctx); err != nil {
		p.Close()
		return nil, fmt.Errorf("publish: %w", err)
	}
	return p, nil
}

// begin negotiates, connects and starts sending.
func (p *Publisher) begin(ctx context.Context) error {
	var err error
	if p.audio, err = p.track(webrtc.MimeTypeOpus, "audio"); err != nil {
		return err
	}
	if p.video, err = p.track(webrtc.MimeTypeVP8, "video"); err != nil {
		return err
	}
	if err := p.Negotiate(ctx, nil); err != nil {
		return err
	}
	if err := p.connect(ctx); err != nil {
		return err
	}
	sending, quit := context.WithCancel(context.Background())
	p.quit = quit
	p.work.Go(func() { p.send(sending) })
	return nil
}

// Negotiate makes an offer and takes the node's answer.
func (p *Publisher) Negotiate(ctx context.Context, o *webrtc.OfferOptions) error {
	return p.negotiate(ctx, o)
}

// RestartICE gives the transport new credentials.
func (p *Publisher) RestartICE(ctx context.Context) error {
	if err := p.Negotiate(ctx, &webrtc.OfferOptions{ICERestart: true}); err != nil {
		return fmt.Errorf("restart ICE: %w", err)
	}
	return p.complete(ctx)
}

func (p *Publisher) track(mime, name string) (*webrtc.TrackLocalStaticRTP, error) {
	t, err := webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: mime}, name, "caller")
	if err != nil {
		return nil, fmt.Errorf("make track: %w", err)
	}
	sender, err := p.pc.AddTrack(t)
	if err != nil {
		return nil, fmt.Errorf("add track: %w", err)
	}
	p.work.Go(func() { p.feedback(sender) })
	return t, nil
}

// feedback reads what the node says about a track, until the PeerConnection is closed. Interceptors answer NACKs.
func (p *Publisher) feedback(s *webrtc.RTPSender) {
	for {
		packets, _, err := s.ReadRTCP()
		if err != nil {
			return
		}
		for _, packet := range packets {
			switch packet.(type) {
			case *rtcp.PictureLossIndication, *rtcp.FullIntraRequest:
				p.PLIs.Add(1)
				p.wanted.Store(true)
			}
		}
	}
}

// send sends audio and video until ctx ends.
func (p *Publisher) send(ctx context.Context) {
	tick := time.NewTicker(audioInterval)
	defer tick.Stop()
	audio := sender{track: p.audio, step: uint32(audioInterval * 48000 / time.Second)}
	video := sender{track: p.video, step: uint32(frameInterval * 90000 / time.Second)}
	p.wanted.Store(true)
	for turn := 0; ; turn++ {
		audio.frame(audioPayload(), true)
		if turn%2 == 0 {
			key := p.wanted.Swap(false)
			for i := range framePackets {
				video.frame(videoPayload(video.picture, i, key), i == framePackets-1)
			}
			video.picture++
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// sender numbers and sends the packets of one track.
type sender struct {
	track   *webrtc.TrackLocalStaticRTP
	step    uint32 // of the timestamp, each frame
	serial  uint64
	time    uint32
	picture uint16
}

// frame sends one packet of a frame; after the last one the next frame begins.
func (s *sender) frame(payload []byte, last bool) {
	mark{s.serial, time.Since(began)}.put(payload)
	packet := &rtp.Packet{
		Header:  rtp.Header{Version: 2, Marker: last, SequenceNumber: uint16(s.serial), Timestamp: s.time}, //nolint:gosec // modular
		Payload: payload,
	}
	_ = s.track.WriteRTP(packet) // after the end there is nobody to send to
	s.serial++
	if last {
		s.time += s.step
	}
}

// audioPayload makes an Opus packet: 20 ms of full-band CELT, one frame (RFC 6716 section 3.1).
func audioPayload() []byte {
	b := make([]byte, audioSize)
	b[0] = 31 << 3
	return b
}

// videoPayload makes one packet of a VP8 picture (RFC 7741) of a single temporal layer.
func videoPayload(picture uint16, index int, key bool) []byte {
	b := make([]byte, videoSize)
	b[0] = 0x80 // X
	if index == 0 {
		b[0] |= 0x10 // S
	}
	b[1] = 0xE0 // I, L, T
	b[2], b[3] = 0x80|byte(picture>>8), byte(picture)
	b[4] = byte(picture) // TL0PICIDX
	if index > 0 {
		return b
	}
	frame := b[6:]
	const partition = 1000 // bytes of the first partition; nobody decodes them
	frame[0], frame[1], frame[2] = byte(partition&7<<5)|0x10|1, byte(partition>>3), byte(partition>>11)
	if key {
		frame[0] &^= 1
		copy(frame[3:], []byte{0x9d, 0x01, 0x2a, byte(width & 0xff), byte(width >> 8), byte(height & 0xff), byte(height >> 8)})
	}
	return b
}

// Leave leaves the room politely.
func (p *Publisher) Leave(ctx context.Context) error {
	_, err := p.Handle.Message(ctx, M{"request": "leave"}, nil)
	p.Close()
	return err
}

// Close ends the PeerConnection as a browser does.
func (p *Publisher) Close() {
	if p.quit != nil {
		p.quit()
	}
	p.Peer.Close()
	p.work.Wait()
}

// Vanish falls silent without a word.
func (p *Publisher) Vanish() {
	p.socket.vanish()
	p.Close()
}
