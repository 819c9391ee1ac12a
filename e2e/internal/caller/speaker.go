package caller

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/pion/webrtc/v4"
)

// Speaker is a participant who sends messages into a room, reliably and in order, and neither audio nor video.
type Speaker struct {
	*Peer
	ID json.Number // of the participant

	channel *webrtc.DataChannel
}

// Speak joins a room and opens a data channel, until the speaker leaves or vanishes. It returns when messages can be sent.
func (c *Client) Speak(ctx context.Context, room int) (*Speaker, error) {
	peer, id, err := c.join(ctx, room)
	if err != nil {
		return nil, err
	}
	s := &Speaker{Peer: peer, ID: id}
	if err := s.begin(ctx); err != nil {
		s.Close()
		return nil, fmt.Errorf("speak: %w", err)
	}
	return s, nil
}

func (s *Speaker) begin(ctx context.Context) error {
	var err error
	if s.channel, err = s.pc.CreateDataChannel("caller", nil); err != nil {
		return fmt.Errorf("make data channel: %w", err)
	}
	open := make(chan struct{})
	s.channel.OnOpen(func() { close(open) })
	if err := s.negotiate(ctx, nil); err != nil {
		return err
	}
	if err := s.connect(ctx); err != nil {
		return err
	}
	select {
	case <-open:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("the data channel does not open: %w", ctx.Err())
	}
}

// Say sends a message.
func (s *Speaker) Say(text string) error {
	if err := s.channel.SendText(text); err != nil {
		return fmt.Errorf("say: %w", err)
	}
	return nil
}
