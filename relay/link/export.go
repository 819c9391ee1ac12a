package link

import (
	"math/bits"
	"sync"
	"sync/atomic"
	"time"

	"cardea/relay/plane"
	"cardea/relay/shield/queue"
	"cardea/relay/stream"
	"cardea/relay/udp"
)

const (
	// catchupTime is how much of what the cache keeps may wait in the link's queue, in time at its budget: less than any class may wait.
	catchupTime = 40 * time.Millisecond
	// catchupLag is from when on it is better to go on with a newer keyframe, ns.
	catchupLag = int64(150 * time.Millisecond)
	// catchupSize is what a packet is taken to have, bytes.
	catchupSize = 1200
)

// Export sends a stream to the other side of a link. It is a sink of the stream.
type Export struct {
	l      *Link
	flow   uint64
	stream *stream.Stream
	kind   plane.Kind

	// Guarded by the stream's lock.
	layers  uint8 // wanted
	live    uint8 // of these, sent as they come
	behind  uint8 // of these, being sent from the cache
	joined  uint8 // of the live ones, not seen in a burst since they were sent from the cache
	cursor  [stream.MaxLayers]int64
	anchors [stream.MaxLayers]anchoring
	told    [stream.MaxLayers]int64 // arrival of the sender report sent last

	packets, bytes atomic.Uint64
	last           atomic.Int64
}

var _ stream.Sink = (*Export)(nil)

// scratch is where a datagram is put together; the queue copies it.
type scratch [queue.MaxPacket]byte

// exports are the flows towards the other side.
type exports struct {
	mu      sync.Mutex // taken with no stream locked; guards what is below
	of      map[uint64]*Export
	lagging map[*Export]bool
	closed  bool

	count atomic.Int64
	wake  chan struct{} // something lags, or is to be padded
}

func (x *exports) init() {
	x.of, x.lagging = map[uint64]*Export{}, map[*Export]bool{}
	x.wake = make(chan struct{}, 1)
}

func (x *exports) any() bool { return x.count.Load() > 0 }

func (x *exports) hurry() {
	select {
	case x.wake <- struct{}{}:
	default:
	}
}

// Export sends the layers, a bit set, of s as the flow that the other side chose, in place of another export of that flow. It begins
// with what the cache keeps since each layer's last keyframe, at the pace of the link, and goes on with what comes. It must not be
// called with a stream locked.
func (l *Link) Export(flow uint64, s *stream.Stream, layers uint8) *Export {
	x := &Export{l: l, flow: flow, stream: s, kind: s.Config().Kind}
	all := &l.exports
	all.mu.Lock()
	was := all.of[flow]
	ok := !all.closed && flow > 0 && flow <= maxFlow && (was != nil || len(all.of) < maxFlows)
	if ok {
		all.of[flow] = x
		all.count.Store(int64(len(all.of)))
	}
	all.mu.Unlock()
	if !ok {
		return x
	}
	if was != nil {
		was.detach()
	}
	x.SetLayers(layers)
	s.AddSink(x)
	return x
}

// SetLayers changes the layers that are sent, a bit set. One that is new begins with its last keyframe. It must not be called with a
// stream locked.
func (x *Export) SetLayers(layers uint8) {
	now := x.l.e.cfg.Clock.Now()
	x.stream.Lock()
	layers &= 1<<max(x.stream.Config().Layers, 1) - 1
	for added := layers &^ x.layers; added != 0; added &= added - 1 {
		x.begin(bits.TrailingZeros8(added), now)
	}
	x.layers = layers
	x.live, x.behind, x.joined = x.live&layers, x.behind&layers, x.joined&layers
	lags := x.behind != 0
	x.stream.Unlock()
	if lags {
		x.l.exports.lag(x)
	}
}

// begin begins a layer. The stream is locked.
func (x *Export) begin(layer int, now int64) {
	x.anchors[layer].begin()
	x.told[layer] = 0
	if x.kind == plane.Video {
		if seq, ok := x.stream.Kept(layer, now); ok {
			x.behind |= 1 << layer
			x.cursor[layer] = seq
			return
		}
	}
	x.live |= 1 << layer
}

// lag has the export's packets sent from the cache.
func (x *exports) lag(e *Export) {
	x.mu.Lock()
	if x.of[e.flow] == e {
		x.lagging[e] = true
	}
	x.mu.Unlock()
	x.hurry()
}

// Layers implements [stream.Sink]: what the other side wants.
func (x *Export) Layers(int64) uint8 { return x.layers }

// Forward implements [stream.Sink]. The link's queue takes the packets; nothing is put into out.
func (x *Export) Forward(burst []*stream.Packet, now int64, _ *udp.Outbox) {
	var seen uint8
	room := x.l.scratch.Get().(*scratch) //nolint:forcetypeassert // only these are put
	defer x.l.scratch.Put(room)
	for _, p := range burst {
		bit := uint8(1) << p.Layer
		if x.live&bit == 0 {
			continue
		}
		seen |= bit
		if x.joined&bit != 0 && p.Seq < x.cursor[p.Layer] {
			continue // it was in the cache, and went out from there
		}
		x.send(p, now, room)
	}
	x.joined &^= seen
}

// send queues one packet, and with it what is new about its layer's clock. The stream is locked.
func (x *Export) send(p *stream.Packet, now int64, room *scratch) {
	if ntp, stamp, arrival, ok := x.stream.Reported(int(p.Layer)); ok && arrival != x.told[p.Layer] {
		x.told[p.Layer] = arrival
		x.l.push(appendReport(room[:0], x.flow, int(p.Layer), p.SSRC, ntp, stamp), queue.Feedback)
	}
	b := appendPacket(room[:0], x.flow, p, x.anchors[p.Layer].next(p))
	x.l.push(b, classOf(x.kind, p, x.layers))
	x.packets.Add(1)
	x.bytes.Add(uint64(len(b)))
	x.last.Store(now)
}

// classOf says how urgent a packet is. Of the layers that are sent the lowest is what is left when there is room for no more.
func classOf(kind plane.Kind, p *stream.Packet, layers uint8) queue.Class {
	switch {
	case kind == plane.Audio:
		return queue.Audio
	case layers&(1<<p.Layer-1) != 0, p.Info.Temporal > 0, p.Info.Spatial > 0, p.Info.Discardable:
		return queue.Enhancement
	}
	return queue.Base
}

// catchUp sends up to n packets from the cache. It returns how many it did, and whether there are more.
func (x *Export) catchUp(n int, now int64) (sent int, more bool) {
	room := x.l.scratch.Get().(*scratch) //nolint:forcetypeassert // only these are put
	defer x.l.scratch.Put(room)
	x.stream.Lock()
	defer x.stream.Unlock()
	for x.behind != 0 && sent < n {
		layer := bits.TrailingZeros8(x.behind)
		p := x.stream.Cached(layer, x.cursor[layer])
		if p != nil && now-p.Arrival > catchupLag {
			if seq, ok := x.stream.Kept(layer, now); ok && seq > p.Seq {
				p = x.stream.Cached(layer, seq)
			}
		}
		if p == nil {
			bit := uint8(1) << layer
			x.behind &^= bit
			x.live |= bit
			x.joined |= bit
			continue
		}
		x.send(p, now, room)
		x.cursor[layer] = p.Seq + 1
		sent++
	}
	return sent, x.behind != 0
}

// Close ends the export.
func (x *Export) Close() {
	all := &x.l.exports
	all.mu.Lock()
	if all.of[x.flow] == x {
		delete(all.of, x.flow)
		all.count.Store(int64(len(all.of)))
	}
	delete(all.lagging, x)
	all.mu.Unlock()
	x.detach()
}

func (x *Export) detach() {
	x.stream.RemoveSink(x)
	x.stream.Lock()
	x.layers, x.live, x.behind = 0, 0, 0
	x.stream.Unlock()
}

// Stats returns what was sent of the flow. It may still be dropped on the way, if it waits too long.
func (x *Export) Stats() FlowStats {
	return FlowStats{Packets: x.packets.Load(), Bytes: x.bytes.Load(), Last: x.last.Load()}
}

// close ends all exports.
func (x *exports) close() {
	x.mu.Lock()
	all := x.of
	x.of, x.lagging, x.closed = nil, nil, true
	x.mu.Unlock()
	x.count.Store(0)
	for _, e := range all {
		e.detach()
	}
}

// behind appends the exports that lag.
func (x *exports) behind(dst []*Export) []*Export {
	x.mu.Lock()
	defer x.mu.Unlock()
	for e := range x.lagging {
		dst = append(dst, e)
	}
	return dst
}

// caughtUp takes an export off those that lag, unless it has begun to again.
func (x *exports) caughtUp(e *Export) {
	x.mu.Lock()
	defer x.mu.Unlock()
	e.stream.Lock()
	defer e.stream.Unlock()
	if e.behind == 0 {
		delete(x.lagging, e)
	}
}
