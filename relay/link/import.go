package link

import (
	"sync"
	"sync/atomic"

	"cardea/relay/rtcp"
	"cardea/relay/rtp"
	"cardea/relay/stream"
	"cardea/relay/udp"
)

const (
	// maxEarly is how many packets of a flow are kept until it is imported, and maxEarlyAll of all flows of a link.
	maxEarly, maxEarlyAll = 256, 4096
	// maxFlows bounds the flows towards this node on a link.
	maxFlows = 1 << 16
	// shortFlows are named in two bytes along with their layer.
	shortFlows = 1 << (14 - layerBits)
)

// flows are those towards this node.
type flows struct {
	mu      sync.Mutex // held by the receiving goroutine for a batch at a time; guards all below
	of      map[uint64]*Import
	next    uint64
	early   int // packets that wait
	touched []*Import
	clocks  map[publisher]*offset
	out     *udp.Outbox // of whoever holds mu; nil before it is needed
	halves  halves
	closed  bool
	count   atomic.Int64
}

// publisher is whose sender reports share an offset.
type publisher struct{ room, id string }

func (f *flows) init() {
	f.of = map[uint64]*Import{}
	f.clocks = map[publisher]*offset{}
}

// any tells whether something flows, or is to.
func (f *flows) any() bool { return f.count.Load() > 0 }

// Import feeds a stream from a flow.
type Import struct {
	l    *Link
	flow uint64

	// Guarded by flows.mu.
	stream  *stream.Stream // nil while the flow is only expected
	feed    *feed
	clock   *offset
	layers  [stream.MaxLayers]numbering
	early   []earlyPacket
	touched bool

	packets, bytes, dropped atomic.Uint64
	last                    atomic.Int64
}

type earlyPacket struct {
	layer int
	data  []byte
}

// FlowStats counts what a flow carried.
type FlowStats struct {
	Packets uint64 // RTP packets
	Bytes   uint64 // of them, with their headers
	Last    int64  // when the last one came or went, on the endpoint's clock; 0 before
	Dropped uint64 // packets that made no sense, or whose number was not known yet
}

// NewFlow returns the id of a flow towards this node that is not in use, and expects it. Small ids come first, and none comes back soon.
func (l *Link) NewFlow() uint64 {
	f := &l.flows
	f.mu.Lock()
	defer f.mu.Unlock()
	span := uint64(shortFlows)
	if len(f.of) > shortFlows/2 {
		span = 4 * maxFlows
	}
	for {
		f.next = f.next%(span-1) + 1
		if f.of[f.next] == nil {
			f.expect(l, f.next)
			return f.next
		}
	}
}

// Expect keeps up to 256 early packets of the flow until Import or Cancel. [Link.NewFlow] has done it already.
func (l *Link) Expect(flow uint64) {
	l.flows.mu.Lock()
	defer l.flows.mu.Unlock()
	l.flows.expect(l, flow)
}

func (f *flows) expect(l *Link, flow uint64) {
	if flow > 0 && flow <= maxFlow && f.of[flow] == nil && !f.closed && len(f.of) < maxFlows {
		f.of[flow] = &Import{l: l, flow: flow}
		f.count.Store(int64(len(f.of)))
	}
}

// Cancel ends Expect. It does nothing to a flow that is imported.
func (l *Link) Cancel(flow uint64) {
	f := &l.flows
	f.mu.Lock()
	defer f.mu.Unlock()
	if i := f.of[flow]; i != nil && i.stream == nil {
		f.remove(i)
	}
}

func (f *flows) remove(i *Import) {
	f.early -= len(i.early)
	i.early = nil
	delete(f.of, i.flow)
	f.count.Store(int64(len(f.of)))
}

// Import feeds s from the flow, beginning with what came of it already. The Config of s has [Extensions], and its numbers are the
// publisher's: a stream that is fed from several links sees the same packets under the same numbers. It must not be called
// by who handles datagrams, nor with a stream locked.
func (l *Link) Import(flow uint64, s *stream.Stream) *Import {
	i := &Import{l: l, flow: flow}
	feed := l.e.feeds.add(s, l)
	f := &l.flows
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed || flow == 0 || flow > maxFlow {
		l.e.feeds.remove(s, l)
		return i
	}
	if was := f.of[flow]; was != nil {
		if was.stream != nil {
			l.e.feeds.remove(was.stream, l)
			was.stream = nil
		}
		i.early, was.early = was.early, nil
	}
	i.stream, i.feed = s, feed
	id := s.Config().ID
	who := publisher{id.Room, id.Publisher}
	if i.clock = f.clocks[who]; i.clock == nil {
		f.trim()
		i.clock = &offset{}
		f.clocks[who] = i.clock
	}
	f.of[flow] = i
	f.count.Store(int64(len(f.of)))
	if f.out == nil && l.e.cfg.NewOutbox != nil {
		f.out = l.e.cfg.NewOutbox()
	}
	now := l.e.cfg.Clock.Now()
	early := i.early
	f.early -= len(early)
	i.early = nil
	for _, p := range early {
		f.take(i, p.layer, p.data, now)
	}
	f.flush(now)
	return i
}

// trim forgets the clocks of publishers of whom nothing comes any more, now and then.
func (f *flows) trim() {
	if len(f.clocks) < 2*len(f.of)+64 {
		return
	}
	used := map[*offset]bool{}
	for _, i := range f.of {
		used[i.clock] = true
	}
	for who, c := range f.clocks {
		if !used[c] {
			delete(f.clocks, who)
		}
	}
}

// Close ends the import. What still comes of the flow is dropped. The stream is the caller's.
func (i *Import) Close() {
	f := &i.l.flows
	f.mu.Lock()
	s := i.stream
	i.stream = nil
	if f.of[i.flow] == i {
		f.remove(i)
	}
	f.mu.Unlock()
	if s != nil {
		i.l.e.feeds.remove(s, i.l)
	}
}

// Stats returns what the flow brought.
func (i *Import) Stats() FlowStats {
	return FlowStats{Packets: i.packets.Load(), Bytes: i.bytes.Load(), Last: i.last.Load(), Dropped: i.dropped.Load()}
}

// close ends all imports.
func (f *flows) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	for _, i := range f.of {
		if i.stream != nil {
			i.l.e.feeds.remove(i.stream, i.l)
			i.stream = nil
		}
		i.early = nil
	}
	clear(f.of)
	f.count.Store(0)
}

// take takes a packet of a flow.
func (f *flows) take(i *Import, layer int, b []byte, now int64) {
	if i.stream == nil {
		if len(i.early) == maxEarly || f.early == maxEarlyAll {
			i.l.counters.early.Add(1)
			return
		}
		i.early = append(i.early, earlyPacket{layer, b})
		f.early++
		return
	}
	ok := false
	if rtcp.IsRTCP(b) {
		ok = i.report(layer, b, now)
	} else {
		ok = i.packet(layer, b, now)
	}
	if !ok {
		i.dropped.Add(1)
		return
	}
	if !i.touched {
		i.touched = true
		f.touched = append(f.touched, i)
	}
}

// packet puts an RTP packet into the stream.
func (i *Import) packet(layer int, b []byte, now int64) bool {
	var h rtp.Header
	if rtp.Parse(b, &h) != nil {
		i.l.counters.malformed.Add(1)
		return false
	}
	seq, ok := i.layers[layer].number(&h)
	if !ok {
		return false
	}
	payload := b[h.Len:]
	slot := i.stream.Reserve(layer, len(payload))
	reserved := true
	defer func() { // also of a panic: a stream that stays locked would stop all its subscribers
		if reserved {
			i.stream.Abort()
		}
	}()
	n := copy(slot, payload)
	reserved = false
	i.stream.Commit(layer, &h, seq, n, now, false)
	i.packets.Add(1)
	i.bytes.Add(uint64(len(b)))
	i.last.Store(now)
	return true
}

// report takes a sender report.
func (i *Import) report(layer int, b []byte, now int64) bool {
	r, _, err := rtcp.Next(b)
	info, ok := r.SenderInfo()
	if err != nil || !ok {
		i.l.counters.malformed.Add(1)
		return false
	}
	ntp := i.clock.add(info.NTP, i.l.e.cfg.Clock.NTP(now), now)
	i.stream.SenderReport(layer, ntp, info.RTP, now)
	return true
}
