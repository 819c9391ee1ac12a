package far

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"cardea/relay/link"
	"cardea/relay/plane"
)

// of returns the plane of the node that find names, or else of this node; nil when it has none either.
func (p *Planes) of(find func(*places) (link.NodeID, bool)) plane.Plane {
	p.mu.Lock()
	defer p.mu.Unlock()
	if node, ok := find(p.places); ok {
		if s := p.seats[node]; s != nil {
			return s.plane
		}
	}
	return p.cfg.Local
}

// Publisher returns the media node where a participant, whose session is this node's, publishes to a room; false when it
// publishes nothing. Rooms on other nodes need it: that is where the participant's streams come from, and not from here.
func (p *Planes) Publisher(room, participant string) (link.NodeID, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := p.places.publishers[plane.StreamID{Room: room, Publisher: participant}]
	if len(at) == 0 {
		return "", false
	}
	return slices.Min(slices.Collect(maps.Keys(at))), true
}

// Keyframe implements [plane.Plane].
func (p *Planes) Keyframe(ctx context.Context, id plane.StreamID) error {
	at := p.of(func(s *places) (link.NodeID, bool) { return s.stream(id) })
	if at == nil {
		return fmt.Errorf("%w: %v", plane.ErrNoStream, id)
	}
	return at.Keyframe(ctx, id)
}

// Forward implements [plane.Plane].
func (p *Planes) Forward(ctx context.Context, f plane.Forwarder) (rtcpPort uint16, err error) {
	before := p.of(func(s *places) (link.NodeID, bool) { return s.forwarder(f.ID) })
	at := p.of(func(s *places) (link.NodeID, bool) { return s.forward(f.ID, f.Stream) })
	if at == nil {
		return 0, fmt.Errorf("%w: %v", plane.ErrNoStream, f.Stream)
	}
	if before != nil && before != at && before != p.cfg.Local {
		if err := before.StopForward(ctx, f.ID); err != nil { // its publisher moved
			p.cfg.Log.Warn("forwarder not stopped where it was", "forwarder", f.ID, "error", err)
		}
	}
	return at.Forward(ctx, f)
}

// StopForward implements [plane.Plane].
func (p *Planes) StopForward(ctx context.Context, id string) error {
	at := p.of(func(s *places) (link.NodeID, bool) { return s.forwarder(id) })
	if at == nil {
		return nil
	}
	if err := at.StopForward(ctx, id); err != nil && !errors.Is(err, plane.ErrNoPeer) {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.places.stopForward(id)
	return nil
}
