package pull

import (
	"context"
	"time"

	"cardea/relay/link"
	"cardea/relay/stream"
)

// hop is the link to a neighbour, as this package uses it.
type hop interface {
	Peer() link.NodeID
	Notify(k link.Kind, payload []byte) error
	RTT() time.Duration
	Stalled() bool
	Retain() (release func())

	NewFlow() uint64
	Cancel(flow uint64)
	Import(flow uint64, s *stream.Stream) intake
	Export(flow uint64, s *stream.Stream, layers uint8) outlet
}

// intake feeds a stream from a flow.
type intake interface {
	Stats() link.FlowStats
	Close()
}

// outlet sends a stream as a flow.
type outlet interface {
	SetLayers(layers uint8)
	Stats() link.FlowStats
	Close()
}

// linkHop is a hop over a link. Two of one link are equal.
type linkHop struct{ *link.Link }

var _ hop = linkHop{}

// RTT returns the round trip, 0 while it is not known.
func (h linkHop) RTT() time.Duration { return h.Row().RTT }

// Import implements hop.
func (h linkHop) Import(flow uint64, s *stream.Stream) intake { return h.Link.Import(flow, s) }

// Export implements hop.
func (h linkHop) Export(flow uint64, s *stream.Stream, layers uint8) outlet {
	return h.Link.Export(flow, s, layers)
}

// dialer finds or makes the hop to a node.
type dialer func(ctx context.Context, to link.NodeID) (hop, error)
