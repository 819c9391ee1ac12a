package stream

import (
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"sync"

	"cardea/relay/codec"
	"cardea/relay/plane"
	"cardea/relay/rtp"
	"cardea/relay/udp"
)

// MaxLayers is the number of simulcast encodings a stream may have.
const MaxLayers = 8

// Config says what a stream carries. It is not changed after [New].
type Config struct {
	ID plane.StreamID
	// Incarnation tells this publication under the ID from earlier and later ones, on whatever node it is looked at. A
	// stream that comes from another node has the one it has there; with 0 New draws one.
	Incarnation uint64
	Kind        plane.Kind
	Codecs      []plane.Codec     // as the source sends them
	Extensions  []plane.Extension // the same
	Layers      int               // simulcast encodings, 1 to MaxLayers
	SVC         bool              // spatial layers in one encoding are expected
	// RequestKeyframe tells that somebody waits for a keyframe of a layer. It is called with the stream locked, for one
	// and the same need again and again, and must only set a flag. May be nil.
	RequestKeyframe func(layer int)
	// Audience tells that a sink came or went. It is called with the stream locked and must only set a flag. May be nil.
	Audience func()
	// Fault tells that a sink panicked. It was removed; the others go on. It is called with the stream locked and must not
	// wait for anything. With nil the panic goes on.
	Fault func(k Sink, reason any, stack []byte)
}

// Sink takes a stream's packets.
type Sink interface {
	// Forward is called with the stream locked and with what arrived since the last call, of all layers, in order of
	// arrival. The packets are valid during the call.
	Forward(burst []*Packet, now int64, out *udp.Outbox)
	// Layers is called with the stream locked and returns, as a bit set, the simulcast layers that the sink uses or wants: what
	// a source that sends only what is wanted has to send. Sound is layer 0.
	Layers(now int64) uint8
}

// Stream is one published media line. All methods but those that say otherwise lock it and are safe for concurrent use.
type Stream struct {
	cfg     Config            // set once
	ids     extensionIDs      // set once
	formats [128]codec.Format // by payload type, set once

	mu      sync.Mutex // guards what is below; see the package doc
	layers  []layer
	sinks   []Sink
	burst   []*Packet
	batch   uint32 // number of the burst
	scratch []byte // takes packets that are not cached
	caching bool   // the reservation under way is in a ring
	muted   bool
	closed  bool
	wanted  uint8 // layers somebody waits for a keyframe of
	clock   int64 // ns, latest arrival
	refused uint64
}

// New returns a stream without packets.
func New(cfg Config) *Stream {
	cfg.Layers = min(max(cfg.Layers, 1), MaxLayers)
	for cfg.Incarnation == 0 {
		cfg.Incarnation = rand.Uint64()
	}
	s := &Stream{cfg: cfg, ids: newExtensionIDs(cfg.Extensions), layers: make([]layer, cfg.Layers), batch: 1}
	for i := range s.layers {
		s.layers[i].ring = newRing(cfg.Kind == plane.Video)
	}
	for _, c := range cfg.Codecs {
		s.formats[c.PayloadType&0x7f] = codec.ByName(c.Name)
	}
	return s
}

// Config returns what the stream was made with; its slices are not to be changed.
func (s *Stream) Config() Config { return s.cfg }

// Lock locks the stream for calls on its tracks.
func (s *Stream) Lock() { s.mu.Lock() }

// Unlock ends Lock.
func (s *Stream) Unlock() { s.mu.Unlock() }

// Reserve locks the stream and returns n bytes for the payload of a packet of the given layer. Exactly one call of Commit
// or Abort must follow from the same goroutine; it unlocks. The bytes are valid until then.
func (s *Stream) Reserve(layer, n int) []byte {
	s.mu.Lock()
	if !s.muted && !s.closed && layer >= 0 && layer < len(s.layers) {
		if b := s.layers[layer].ring.reserve(n); b != nil {
			s.caching = true
			return b
		}
		s.refused++
	}
	s.caching = false
	if len(s.scratch) < n {
		s.scratch = make([]byte, max(n, 2048))
	}
	return s.scratch[:n:n]
}

// Abort gives up the reservation.
func (s *Stream) Abort() { s.mu.Unlock() }

// Commit makes the first n bytes of the reservation, padding not included, a packet with header h. Sequence number seq is
// the source's, extended; it goes on when another encoder takes over. A packet that is already there, is too old for the
// cache, or arrives while the stream is muted is ignored. arrival is in ns.
func (s *Stream) Commit(layer int, h *rtp.Header, seq int64, n int, arrival int64, recovered bool) {
	defer s.mu.Unlock()
	if !s.caching {
		return
	}
	l := &s.layers[layer]
	seq = l.number(seq)
	p, why := l.ring.place(seq, arrival, s.batch)
	if p == nil {
		s.refuse(l, why)
		return
	}
	l.strays = 0
	*p = Packet{
		Seq: seq, Arrival: arrival, Timestamp: h.Timestamp, SSRC: h.SSRC, Layer: uint8(layer), //nolint:gosec // below MaxLayers
		PayloadType: h.PayloadType, Format: s.formats[h.PayloadType&0x7f], Marker: h.Marker, Recovered: recovered,
	}
	at := l.ring.pos
	extra := p.readExtensions(h, &s.ids, l.ring.buf[at+n:min(at+n+l.ring.room, len(l.ring.buf))])
	l.ring.take(p, n, extra, s.batch)
	codec.Parse(p.Format, p.Payload, &p.Info)
	if d := p.Descriptor(); d != nil && p.Format == codec.AV1 {
		l.structure.Describe(d, &p.Info)
	}
	s.clock = max(s.clock, arrival)
	if p.Info.Keyframe {
		s.wanted &^= 1 << layer // whoever waited has it
	}
	if l.count(p) {
		for i := range s.layers {
			if i != layer {
				s.layers[i].missed++
			}
		}
	}
	s.burst = append(s.burst, p)
}

// refuse counts a packet without a place.
func (s *Stream) refuse(l *layer, why refusal) {
	if why != duplicate {
		s.refused++
	}
	if why == tooLate {
		l.strays++
	}
}

// strayLimit is how many packets in a row may be far behind before the source is taken to have started anew.
const strayLimit = 64

// number maps the source's extended number to the cache's, which only grows.
func (l *layer) number(seq int64) int64 {
	if l.strays >= strayLimit {
		l.strays = 0
		l.base += (l.ring.highest-(seq+l.base))>>16<<16 + 2<<16
	}
	return seq + l.base
}

// Flush hands what arrived since the last call to every sink.
func (s *Stream) Flush(now int64, out *udp.Outbox) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.burst) == 0 {
		return
	}
	for next := 0; next < len(s.sinks); {
		next = s.forward(next, now, out)
	}
	s.burst = s.burst[:0]
	s.batch++
	for i := range s.layers {
		s.layers[i].ring.flushed()
	}
}

// forward hands the burst to the sinks from one on. It returns where to go on: behind the last one, or with the sink that
// stands in the place of one that panicked.
func (s *Stream) forward(from int, now int64, out *udp.Outbox) (next int) {
	next = from
	if s.cfg.Fault != nil {
		defer func() {
			if r := recover(); r != nil {
				k := s.sinks[next]
				s.sinks = slices.Delete(s.sinks, next, next+1)
				s.cfg.Fault(k, r, debug.Stack())
			}
		}()
	}
	for ; next < len(s.sinks); next++ {
		s.sinks[next].Forward(s.burst, now, out)
	}
	return next
}

// SenderReport tells the stream the source's pair of clocks for a layer: ntp is the 64-bit NTP time, already mapped to the
// node's clock, at which the layer's RTP clock showed rtp.
func (s *Stream) SenderReport(layer int, ntp uint64, rtp uint32, arrival int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if layer >= 0 && layer < len(s.layers) {
		s.layers[layer].report = senderReport{ntp: ntp, rtp: rtp, arrival: arrival, known: true}
	}
}

// mutedGap is added to the numbers of a layer that was muted: wide enough that nobody takes it for loss.
const mutedGap = 1 << 16

// SetMuted drops all packets at the door while on. Afterwards subscribers go on where they were: with the next packet, or
// with the next keyframe, which is asked for.
func (s *Stream) SetMuted(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.muted == on {
		return
	}
	s.muted = on
	if on {
		return
	}
	for i := range s.layers {
		s.layers[i].base += mutedGap
		s.layers[i].keyed = false
		s.wantKeyframe(i)
	}
}

// AddSink adds a sink; it gets what arrives from now on. It must not be called from Forward.
func (s *Stream) AddSink(k Sink) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed && !slices.Contains(s.sinks, k) {
		s.sinks = append(s.sinks, k)
		s.audience()
	}
}

// RemoveSink removes a sink; Forward is not called any more once it returns. It must not be called from Forward.
func (s *Stream) RemoveSink(k Sink) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := slices.Index(s.sinks, k); i >= 0 {
		s.sinks = slices.Delete(s.sinks, i, i+1)
		s.audience()
	}
}

// audience tells whoever wants to know that the sinks changed. The stream is locked.
func (s *Stream) audience() {
	if s.cfg.Audience != nil {
		s.cfg.Audience()
	}
}

// Sinks returns how many sinks there are.
func (s *Stream) Sinks() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.sinks)
}

// RequestKeyframe asks the source for a keyframe of every layer.
func (s *Stream) RequestKeyframe() { s.RequestKeyframes(1<<MaxLayers - 1) }

// RequestKeyframes asks the source for a keyframe of each of the given layers, a bit set.
func (s *Stream) RequestKeyframes(layers uint8) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.layers {
		if layers&(1<<i) != 0 {
			s.wantKeyframe(i)
		}
	}
}

// KeyframesWanted returns the layers, as a bit set, that somebody waits for a keyframe of: none has come since, and
// KeyframesAsked was not called.
func (s *Stream) KeyframesWanted() uint8 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.wanted
}

// KeyframesAsked tells that the source was asked for keyframes of the given layers, a bit set.
func (s *Stream) KeyframesAsked(layers uint8) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wanted &^= layers
}

// wantKeyframe passes a need on to the source. The stream is locked.
func (s *Stream) wantKeyframe(layer int) {
	s.wanted |= 1 << layer
	if s.cfg.RequestKeyframe != nil {
		s.cfg.RequestKeyframe(layer)
	}
}

// Close drops the cache and the sinks. Packets that come later are ignored; tracks that are still attached find nothing.
func (s *Stream) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.sinks, s.burst, s.scratch = nil, nil, nil
	for i := range s.layers {
		s.layers[i].ring = newRing(s.cfg.Kind == plane.Video)
		s.layers[i].keyed = false
	}
}
