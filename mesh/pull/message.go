package pull

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"cardea/relay/link"
	"cardea/relay/link/wire"
	"cardea/relay/plane"
	"cardea/relay/stream"
)

// The notices of this package.
const (
	kindWant link.Kind = 48 + iota
	kindUnwant
	kindAnnounce
	kindRefusal
	kindHints
	kindLayers
	kindKeyframe
)

// Bounds on what a neighbour may say.
const (
	maxName   = 1024 // bytes of a room, a participant's id, a mid
	maxNode   = 64   // bytes of a node's id
	maxRoute  = 32   // nodes that wait
	maxPath   = 16   // nodes a stream passes
	maxCodecs = 64
	maxFmtp   = 1024
	maxHinted = 1000     // streams in one notice of hints
	maxBits   = 1 << 40  // bits/s of a layer
	maxRate   = 10_000.0 // frames/s of a layer
)

// wantMessage asks for a stream.
type wantMessage struct {
	Flow      uint64   `pb:"1"`
	Room      string   `pb:"2"`
	Publisher string   `pb:"3"`
	Mid       string   `pb:"4"`
	Layers    uint8    `pb:"5"` // bit set
	Best      bool     `pb:"6"` // and the highest one there is: the child does not know the stream yet
	Route     []string `pb:"7"` // the child and who waits behind it
}

func (m *wantMessage) id() plane.StreamID {
	return plane.StreamID{Room: m.Room, Publisher: m.Publisher, Mid: m.Mid}
}

// unwantMessage takes a want back.
type unwantMessage struct {
	Flow uint64 `pb:"1"`
}

// layersMessage says which layers of a stream are wanted.
type layersMessage struct {
	Flow   uint64 `pb:"1"`
	Layers uint8  `pb:"2"` // bit set
}

// keyframeMessage asks for keyframes.
type keyframeMessage struct {
	Flow   uint64 `pb:"1"`
	Layers uint8  `pb:"2"` // bit set
}

// refusalMessage answers a want that is not served.
type refusalMessage struct {
	Flow   uint64 `pb:"1"`
	Reason reason `pb:"2"`
}

// reason says why a want is refused.
type reason uint8

const (
	reasonLoop     reason = 1 + iota // the stream would come from the child itself
	reasonUnknown                    // nobody here knows who publishes it
	reasonOverload                   // the child has too many wants
)

// String returns the reason in words.
func (r reason) String() string {
	switch r {
	case reasonLoop:
		return "it would go in a circle"
	case reasonUnknown:
		return "the publisher is not known"
	case reasonOverload:
		return "too many streams"
	}
	return "for another reason"
}

// announceMessage tells how a stream stands at the parent.
type announceMessage struct {
	Flow      uint64            `pb:"1"`
	Path      []string          `pb:"2"` // from the publisher's node to the parent; empty while it has no way there
	Published *publishedMessage `pb:"3"` // nil while nobody publishes it
}

// publishedMessage describes a stream.
type publishedMessage struct {
	Incarnation uint64         `pb:"1"`
	Kind        uint8          `pb:"2"` // a plane.Kind
	Codecs      []codecMessage `pb:"3"`
	Layers      uint8          `pb:"4"` // how many
	SVC         bool           `pb:"5"`
	Flows       []flowMessage  `pb:"6"`
}

// codecMessage is a plane.Codec. What was agreed with the publisher about feedback stays with the publisher's node.
type codecMessage struct {
	Name        string `pb:"1"`
	PayloadType uint8  `pb:"2"`
	ClockRate   uint32 `pb:"3"`
	Channels    uint8  `pb:"4"`
	Fmtp        string `pb:"5"`
}

// flowMessage is what flows of a layer.
type flowMessage struct {
	Layer uint8   `pb:"1"`
	Bits  uint64  `pb:"2"` // bits/s, 0 for none
	Rate  float64 `pb:"3"` // frames/s
}

// hintsMessage tells what flows of several streams.
type hintsMessage struct {
	Streams []hintMessage `pb:"1"`
}

type hintMessage struct {
	Flow  uint64        `pb:"1"`
	Sent  uint64        `pb:"2"` // packets sent on the flow so far
	Flows []flowMessage `pb:"3"`
}

// errMessage says that a notice breaks the rules of this package.
var errMessage = errors.New("malformed notice")

// checked reads a message and checks it.
func checked[T any](b []byte, check func(*T) bool) (*T, error) {
	m := new(T)
	if err := wire.Unmarshal(b, m); err != nil {
		return nil, fmt.Errorf("%w: %w", errMessage, err)
	}
	if !check(m) {
		return nil, fmt.Errorf("%w: %T out of bounds", errMessage, *m)
	}
	return m, nil
}

func parseWant(b []byte) (*wantMessage, error) {
	return checked(b, func(m *wantMessage) bool {
		return m.Room != "" && len(m.Room) <= maxName && len(m.Publisher) <= maxName && len(m.Mid) <= maxName &&
			len(m.Route) <= maxRoute && validNodes(m.Route)
	})
}

func parseAnnounce(b []byte) (*announceMessage, error) {
	return checked(b, func(m *announceMessage) bool {
		return len(m.Path) <= maxPath && validNodes(m.Path) && (m.Published == nil || m.Published.valid())
	})
}

func parseHints(b []byte) (*hintsMessage, error) {
	return checked(b, func(m *hintsMessage) bool {
		return len(m.Streams) <= maxHinted &&
			!slices.ContainsFunc(m.Streams, func(h hintMessage) bool { return !validFlows(h.Flows) })
	})
}

func parseUnwant(b []byte) (*unwantMessage, error)     { return checked(b, always[unwantMessage]) }
func parseRefusal(b []byte) (*refusalMessage, error)   { return checked(b, always[refusalMessage]) }
func parseLayers(b []byte) (*layersMessage, error)     { return checked(b, always[layersMessage]) }
func parseKeyframe(b []byte) (*keyframeMessage, error) { return checked(b, always[keyframeMessage]) }

func always[T any](*T) bool { return true }

func validNodes(ids []string) bool {
	return !slices.ContainsFunc(ids, func(id string) bool { return id == "" || len(id) > maxNode })
}

func validFlows(flows []flowMessage) bool {
	return len(flows) <= stream.MaxLayers && !slices.ContainsFunc(flows, func(f flowMessage) bool {
		return f.Layer >= stream.MaxLayers || f.Bits > maxBits || math.IsNaN(f.Rate) || f.Rate < 0 || f.Rate > maxRate
	})
}

func (m *publishedMessage) video() bool { return plane.Kind(m.Kind) == plane.Video }

func (m *publishedMessage) valid() bool {
	kind := plane.Kind(m.Kind)
	return m.Incarnation != 0 && (kind == plane.Audio || kind == plane.Video) && m.Layers >= 1 && m.Layers <= stream.MaxLayers &&
		len(m.Codecs) > 0 && len(m.Codecs) <= maxCodecs && validFlows(m.Flows) &&
		!slices.ContainsFunc(m.Codecs, func(c codecMessage) bool {
			return len(c.Name) > maxNode || len(c.Fmtp) > maxFmtp || c.PayloadType > 127
		})
}

// describe makes the description of a stream.
func describe(s *stream.Stream, now int64) *publishedMessage {
	c := s.Config()
	m := &publishedMessage{
		Incarnation: c.Incarnation, Kind: uint8(c.Kind), Layers: uint8(c.Layers), SVC: c.SVC, //nolint:gosec // at most MaxLayers
		Flows: flowMessages(s.Flows(nil, now)),
	}
	for _, k := range c.Codecs[:min(len(c.Codecs), maxCodecs)] {
		m.Codecs = append(m.Codecs, codecMessage{
			Name: k.Name, PayloadType: k.PayloadType, ClockRate: k.ClockRate, Channels: k.Channels, Fmtp: k.Fmtp,
		})
	}
	return m
}

// config returns what the described stream is made with here.
func (m *publishedMessage) config(id plane.StreamID) stream.Config {
	c := stream.Config{
		ID: id, Incarnation: m.Incarnation, Kind: plane.Kind(m.Kind), Layers: int(m.Layers), SVC: m.SVC, Extensions: link.Extensions(),
	}
	for _, k := range m.Codecs {
		c.Codecs = append(c.Codecs, plane.Codec{
			Name: k.Name, PayloadType: k.PayloadType, ClockRate: k.ClockRate, Channels: k.Channels, Fmtp: k.Fmtp,
		})
	}
	return c
}

func flowMessages(flows []stream.Flow) []flowMessage {
	out := make([]flowMessage, len(flows))
	for i, f := range flows {
		out[i] = flowMessage{Layer: uint8(i), Bits: min(f.Bits, maxBits), Rate: min(max(f.Rate, 0), maxRate)} //nolint:gosec // at most MaxLayers
	}
	return out
}

// hint tells a stream what flows of it at the parent.
func hint(s *stream.Stream, flows []flowMessage, now int64) {
	for _, f := range flows {
		s.Hint(int(f.Layer), f.Bits, f.Rate, now)
	}
}

func nodeIDs(ids []string) []link.NodeID {
	out := make([]link.NodeID, len(ids))
	for i, id := range ids {
		out[i] = link.NodeID(id)
	}
	return out
}

func texts(ids []link.NodeID) []string {
	out := make([]string, len(ids))
	for i, id := range ids {
		out[i] = string(id)
	}
	return out
}
