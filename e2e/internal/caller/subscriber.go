package caller

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/pion/webrtc/v4"
)

// Subscriber is a participant who receives what a publisher sends.
type Subscriber struct {
	*Peer

	// answering orders what is negotiated: the node makes offers of its own when publishers change.
	answering sync.Mutex
	quit      context.CancelFunc
	work      sync.WaitGroup

	mu     sync.Mutex
	tracks map[string]*Track // by kind, "audio" and "video"
	more   chan struct{}     // closed and replaced when a track gets its first packet
	heard  []string          // messages, as they came
}

// Subscribe receives a publisher's streams until the subscriber leaves or vanishes. It returns when media can flow.
func (c *Client) Subscribe(ctx context.Context, room int, feed json.Number) (*Subscriber, error) {
	h, err := c.Attach(ctx, VideoRoom)
	if err != nil {
		return nil, err
	}
	attached, err := h.Message(ctx, M{
		"request": "join", "ptype": "subscriber", "room": room, "streams": []M{{"feed": feed}},
	}, nil)
	if err != nil {
		return nil, fmt.Errorf("subscribe: %w", err)
	}
	peer, err := newPeer(ctx, h)
	if err != nil {
		return nil, err
	}
	s := &Subscriber{Peer: peer, tracks: make(map[string]*Track), more: make(chan struct{})}
	s.pc.OnTrack(s.receive)
	s.pc.OnDataChannel(func(d *webrtc.DataChannel) { d.OnMessage(s.hear) })
	if err := s.begin(ctx, attached); err != nil {
		s.Close()
		return nil, fmt.Errorf("subscribe: %w", err)
	}
	return s, nil
}

func (s *Subscriber) begin(ctx context.Context, attached M) error {
	if err := s.start(ctx, attached); err != nil {
		return err
	}
	if err := s.complete(ctx); err != nil {
		return err
	}
	listening, quit := context.WithCancel(context.Background())
	s.quit = quit
	s.work.Go(func() { s.follow(listening) })
	return s.waitUp(ctx)
}

// start answers an offer of the node's.
func (s *Subscriber) start(ctx context.Context, offered M) error {
	s.answering.Lock()
	defer s.answering.Unlock()
	answer, err := s.answer(offered)
	if err != nil {
		return err
	}
	_, err = s.Handle.Message(ctx, M{"request": "start"}, answer)
	return err
}

// answerTime bounds the answer to an offer that came unasked.
const answerTime = 10 * time.Second

// follow answers what the node offers when publishers come and go, until ctx ends.
func (s *Subscriber) follow(ctx context.Context) {
	for {
		select {
		case m := <-s.Handle.Events():
			if m["jsep"] == nil {
				continue
			}
			limited, cancel := context.WithTimeout(ctx, answerTime)
			_ = s.start(limited, m) // the session may be over meanwhile
			cancel()
		case <-ctx.Done():
			return
		}
	}
}

// RestartICE has the node give the transport new credentials.
func (s *Subscriber) RestartICE(ctx context.Context) error {
	m, err := s.Handle.Message(ctx, M{"request": "configure", "restart": true}, nil)
	if err == nil && m["jsep"] != nil {
		err = s.start(ctx, m)
	}
	if err != nil {
		return fmt.Errorf("restart ICE: %w", err)
	}
	return s.complete(ctx)
}

// receive reads a track until the PeerConnection is closed.
func (s *Subscriber) receive(remote *webrtc.TrackRemote, receiver *webrtc.RTPReceiver) {
	t := newTrack(uint32(remote.SSRC()))
	s.mu.Lock()
	s.tracks[remote.Kind().String()] = t
	s.mu.Unlock()
	s.work.Go(func() {
		for {
			if _, _, err := receiver.ReadRTCP(); err != nil {
				return
			}
		}
	})
	first := true
	for {
		packet, _, err := remote.ReadRTP()
		if err != nil {
			return
		}
		t.sequence.Store(uint32(packet.SequenceNumber))
		m, ok := readMark(packet.Payload)
		if !ok {
			continue // padding
		}
		t.take(m, time.Since(began))
		if first {
			first = false
			s.mu.Lock()
			close(s.more)
			s.more = make(chan struct{})
			s.mu.Unlock()
		}
	}
}

// hear takes a message. Those of a channel come one at a time.
func (s *Subscriber) hear(m webrtc.DataChannelMessage) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.heard = append(s.heard, string(m.Data))
}

// Heard returns the messages that came, in their order.
func (s *Subscriber) Heard() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.heard)
}

// Track returns what came of a kind, "audio" or "video", waiting until something did.
func (s *Subscriber) Track(ctx context.Context, kind string) (*Track, error) {
	for {
		s.mu.Lock()
		t, more := s.tracks[kind], s.more
		s.mu.Unlock()
		if t != nil && t.Figures().Received > 0 {
			return t, nil
		}
		select {
		case <-more:
		case <-ctx.Done():
			return nil, fmt.Errorf("no %s received: %w", kind, ctx.Err())
		}
	}
}

// Received returns what came of a kind so far, nil for nothing.
func (s *Subscriber) Received(kind string) *Track {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tracks[kind]
}

// Leave leaves politely.
func (s *Subscriber) Leave(ctx context.Context) error {
	_, err := s.Handle.Message(ctx, M{"request": "leave"}, nil)
	s.Close()
	return err
}

// Close ends the PeerConnection as a browser does.
func (s *Subscriber) Close() {
	if s.quit != nil {
		s.quit()
	}
	s.Peer.Close()
	s.work.Wait()
}

// Vanish falls silent without a word.
func (s *Subscriber) Vanish() {
	s.socket.vanish()
	s.Close()
}
