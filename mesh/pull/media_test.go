package pull

import (
	"context"
	"encoding/binary"
	"slices"
	"sync"
	"time"

	"cardea/relay/link"
	"cardea/relay/plane"
	"cardea/relay/rtp"
	"cardea/relay/stream"
	"cardea/relay/udp"
)

var vp8 = plane.Codec{Name: "vp8", PayloadType: 96, ClockRate: 90000}

// wireOutlet sends a stream as a flow. What it sends is copied, as a link does.
type wireOutlet struct {
	h      *wireHop
	flow   uint64
	s      *stream.Stream
	layers uint8  // guarded by the stream's lock
	sent   uint64 // the same
}

func (h *wireHop) Export(flow uint64, s *stream.Stream, layers uint8) outlet {
	o := &wireOutlet{h: h, flow: flow, s: s}
	s.AddSink(o)
	o.SetLayers(layers)
	return o
}

// SetLayers begins a new layer with the cached picture.
func (o *wireOutlet) SetLayers(layers uint8) {
	o.s.Lock()
	defer o.s.Unlock()
	for i := range o.s.Config().Layers {
		if (layers&^o.layers)&(1<<i) == 0 {
			continue
		}
		seq, ok := o.s.Kept(i, o.h.l.w.now())
		for p := o.s.Cached(i, seq); ok && p != nil; p = o.s.Cached(i, p.Seq+1) {
			o.send(p)
		}
	}
	o.layers = layers
}

func (o *wireOutlet) Layers(int64) uint8 { return o.layers }

func (o *wireOutlet) Forward(burst []*stream.Packet, _ int64, _ *udp.Outbox) {
	for _, p := range burst {
		if o.layers&(1<<p.Layer) != 0 {
			o.send(p)
		}
	}
}

func (o *wireOutlet) send(p *stream.Packet) {
	o.sent++
	layer, seq, payload := int(p.Layer), p.Seq, slices.Clone(p.Payload)
	h := rtp.Header{PayloadType: p.PayloadType, SequenceNumber: uint16(p.Seq), Timestamp: p.Timestamp, SSRC: p.SSRC, Marker: p.Marker} //nolint:gosec // low bits
	w, hop := o.h.l.w, o.h
	hop.push(1, func() {
		w.mu.Lock()
		w.bytes[[2]link.NodeID{hop.n.id, hop.to.id}] += len(payload)
		w.mu.Unlock()
		hop.other.take(o.flow, func(s *stream.Stream) {
			slot := s.Reserve(layer, len(payload))
			copy(slot, payload)
			s.Commit(layer, &h, seq, len(payload), w.now(), false)
		})
	})
}

func (o *wireOutlet) Stats() link.FlowStats {
	o.s.Lock()
	defer o.s.Unlock()
	return link.FlowStats{Packets: o.sent}
}

func (o *wireOutlet) Close() { o.s.RemoveSink(o) }

// publisher feeds a stream of three layers with 30 pictures/s, each of one packet; a layer is twice as large as the one below.
type publisher struct {
	n    *node
	id   plane.StreamID
	s    *stream.Stream
	end  context.CancelFunc
	mu   sync.Mutex
	sent [3]int // bytes
	off  [3]bool
	keys int // keyframes asked for
}

const smallest = 200 // bytes of a packet of layer 0

// publish begins a publisher at a node, whose home is that.
func (n *node) publish(id plane.StreamID) *publisher {
	ctx, end := context.WithCancel(n.w.ctx)
	p := &publisher{n: n, id: id, end: end}
	p.s = stream.New(stream.Config{ID: id, Kind: plane.Video, Codecs: []plane.Codec{vp8}, Layers: 3})
	n.w.settle(id, n.id)
	n.p.streams.Publish(id, p.s)
	n.w.wg.Go(func() {
		for seq := int64(1); ctx.Err() == nil; seq++ {
			p.picture(seq)
			n.w.sleep(33 * time.Millisecond)
		}
	})
	return p
}

func (p *publisher) picture(seq int64) {
	wanted := p.s.KeyframesWanted()
	p.s.KeyframesAsked(wanted)
	p.mu.Lock()
	if wanted != 0 {
		p.keys++
	}
	off := p.off
	p.mu.Unlock()
	for layer := range 3 {
		if off[layer] {
			continue
		}
		body := make([]byte, smallest<<layer)
		copy(body, []byte{0x10, 0x11})
		if wanted&(1<<layer) != 0 || seq == 1 {
			copy(body, []byte{0x10, 0x10, 0, 0, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0xe0, 0x01})
		}
		binary.BigEndian.PutUint64(body[16:], uint64(seq))                                                                                    //nolint:gosec // positive
		h := rtp.Header{PayloadType: 96, SequenceNumber: uint16(seq), Timestamp: uint32(3000 * seq), SSRC: uint32(100 + layer), Marker: true} //nolint:gosec // small
		slot := p.s.Reserve(layer, len(body))
		copy(slot, body)
		p.s.Commit(layer, &h, seq, len(body), p.n.w.now(), false)
		p.mu.Lock()
		p.sent[layer] += len(body)
		p.mu.Unlock()
	}
	p.s.Flush(p.n.w.now(), nil)
}

// silence stops and starts a layer at the source.
func (p *publisher) silence(layer int, off bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.off[layer] = off
}

// forgetBytes and bytes count what was published.
func (p *publisher) forgetBytes() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sent = [3]int{}
}

func (p *publisher) bytes(layer int) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.sent[layer]
}

// stop withdraws the stream.
func (p *publisher) stop() {
	p.end()
	p.n.p.streams.Withdraw(p.id, p.s)
	p.s.Close()
}

// viewer is a subscriber: what a down-track is, without a client.
type viewer struct {
	n     *node
	id    plane.StreamID
	track *stream.Track

	mu       sync.Mutex
	s        *stream.Stream
	streams  int
	pictures int
	first    time.Time
	last     time.Time
	gap      time.Duration // the longest
	numbers  map[uint64]bool
	twice    int // packets whose number was used before
}

func (n *node) view(id plane.StreamID, substream int8) *viewer {
	v := &viewer{n: n, id: id, numbers: map[uint64]bool{}}
	v.track = stream.NewTrack(stream.TrackConfig{Kind: plane.Video, Codecs: []plane.Codec{vp8}, SSRC: 1})
	v.track.SetTarget(substream, -1, -1, -1)
	n.p.streams.Watch(id, v)
	return v
}

func (v *viewer) leave() { v.n.p.streams.Unwatch(v.id, v) }

// want changes the substream asked for.
func (v *viewer) want(substream int8) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.s.Lock()
	defer v.s.Unlock()
	v.track.SetTarget(substream, -1, -1, -1)
}

func (v *viewer) Appeared(s *stream.Stream) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.detach()
	v.s = s
	v.streams++
	s.Lock()
	v.track.Attach(s, v.n.w.now())
	s.Unlock()
	s.AddSink(v)
}

func (v *viewer) Vanished(s *stream.Stream) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.s == s {
		v.detach()
	}
}

func (v *viewer) detach() {
	if v.s == nil {
		return
	}
	v.s.RemoveSink(v)
	v.s.Lock()
	v.track.Detach()
	v.s.Unlock()
	v.s = nil
}

func (v *viewer) Layers(now int64) uint8 { return v.track.Wanted(now) }

func (v *viewer) Forward(burst []*stream.Packet, now int64, _ *udp.Outbox) {
	for _, p := range burst {
		if v.track.Behind() {
			v.track.Catchup(1<<20, now, v.see)
		} else if v.track.Select(p, now) != stream.Drop {
			v.see(p)
		}
	}
}

// see takes a packet. The stream is locked, and that is what guards the counters too, since attachments do not change meanwhile.
func (v *viewer) see(p *stream.Packet) {
	_, _, index := v.track.AppendRTP(make([]byte, 0, 2048), p, stream.Stamp{}, 0)
	now := time.Now()
	if v.pictures == 0 {
		v.first = now
	} else {
		v.gap = max(v.gap, now.Sub(v.last))
	}
	v.last = now
	if v.numbers[index] {
		v.twice++
	}
	v.numbers[index] = true
	v.pictures++
}

// seen is what a viewer saw since the last call.
type seen struct {
	pictures, streams int
	gap               time.Duration
	first             time.Time
	substream         int8
}

func (v *viewer) seen() seen {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.s != nil {
		v.s.Lock()
		defer v.s.Unlock()
	}
	if v.twice > 0 {
		v.n.w.t.Errorf("viewer at %s: %d numbers used twice", v.n.id, v.twice)
	}
	out := seen{pictures: v.pictures, streams: v.streams, gap: v.gap, first: v.first, substream: -1}
	if !v.last.IsZero() {
		out.gap = max(out.gap, time.Since(v.last))
	}
	if v.s != nil {
		out.substream, _, _ = v.track.Current()
	}
	v.pictures, v.streams, v.gap = 0, 0, 0
	if out.pictures > 0 {
		v.pictures = 1 // so that the next gap counts
		out.pictures--
	}
	return out
}
