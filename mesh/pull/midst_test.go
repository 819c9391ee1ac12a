package pull

import (
	"context"
	"time"

	"cardea/mesh/route"
	"cardea/relay"
	"cardea/relay/link"
	"cardea/relay/plane"
	"cardea/relay/stream"
)

// mute is a hop that nothing comes over.
type mute struct{ said []link.Kind }

var _ hop = (*mute)(nil)

func (m *mute) Peer() link.NodeID                           { return "x" }
func (m *mute) Notify(k link.Kind, _ []byte) error          { m.said = append(m.said, k); return nil }
func (m *mute) RTT() time.Duration                          { return 0 }
func (m *mute) Stalled() bool                               { return false }
func (m *mute) Retain() func()                              { return func() {} }
func (m *mute) NewFlow() uint64                             { return 1 }
func (m *mute) Cancel(uint64)                               {}
func (m *mute) Import(uint64, *stream.Stream) intake        { return m }
func (m *mute) Export(uint64, *stream.Stream, uint8) outlet { return m }
func (m *mute) SetLayers(uint8)                             {}
func (m *mute) Stats() link.FlowStats                       { return link.FlowStats{} }
func (m *mute) Close()                                      {}

// midst returns a puller with a neighbour x that was asked for a stream under flow 1. Its goroutine is the caller's.
func midst() (*Puller, *neighbour) {
	p := newPuller(Config{
		Self: "me", Table: route.New("me"),
		Far:  relay.Far{Streams: stream.NewDirectory[*stream.Stream](), Now: func() int64 { return 1e9 }},
		Home: func(id plane.StreamID) (link.NodeID, bool) { return "x", id == cam },
	}, func(context.Context, link.NodeID) (hop, error) { return nil, errDead })
	h := &mute{}
	p.up(h)
	p.demanded(cam, true)
	return p, p.neighbours[h]
}
