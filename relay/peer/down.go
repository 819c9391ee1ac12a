package peer

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"cardea/relay/ice"
	"cardea/relay/plane"
	"cardea/relay/quality"
	"cardea/relay/rtcp"
	"cardea/relay/srtp"
	"cardea/relay/stream"
	"cardea/relay/udp"
)

const (
	// maxPad is the most padding a packet gets so that it is as long as its neighbours and leaves with them in one GSO
	// message: encoders cut frames into packets that differ by a byte or so.
	maxPad = 24
	// maxTrailer is the most that SRTP adds to a packet.
	maxTrailer = 16
	// maxPacket is the largest packet that is sent again.
	maxPacket = 1500 + stream.Overhead + maxTrailer
)

// downTrack is one sent line: a sink of the stream it is subscribed to.
type downTrack struct {
	p    *Peer
	kind plane.Kind

	// Counters, written with the stream locked.
	packets, bytes, repaired atomic.Uint64
	nacked, plis             atomic.Uint64

	mu     sync.Mutex // guards the attachment below; taken before the stream's lock
	sub    plane.Subscription
	wanted bool           // sub is a subscription
	stream *stream.Stream // attached to; nil while paused, or nobody publishes
	offer  *stream.Stream // what the directory has, attached to or not
	closed bool

	// Guarded by the lock of the stream it is attached to, by mu while it is not.
	track   *stream.Track
	sender  *srtp.Sender // of the track's SSRC; nil before the keys are there
	rtx     *srtp.Sender // of its retransmissions; nil without
	counted bool         // packets carry a transport-wide sequence number
	owed    *stream.Stream
	viewer  *quality.Viewer // nil for sound
	told    told

	// Guarded by Peer.mu.
	tag         uint32 // see tagOf; set once
	losses      quality.Losses
	lost        rtcp.ReportBlock
	lostBefore  int32
	rate        uint32 // bits/s over the last second
	bytesBefore uint64
}

// newDown makes the sent side of a line.
func newDown(p *Peer, l *line) *downTrack {
	d := &downTrack{p: p, kind: l.Kind, track: stream.NewTrack(trackConfig(l))}
	if l.Kind == plane.Video {
		d.viewer, d.tag = quality.NewViewer(), p.newTag()
	}
	d.secure()
	return d
}

func trackConfig(l *line) stream.TrackConfig {
	return stream.TrackConfig{
		Kind: l.Kind, Codecs: l.Codecs, Extensions: l.Extensions, Mid: l.Mid, SSRC: l.SSRC, RTX: l.RTX,
	}
}

// applySubscriptions makes, changes or ends what feeds the sent lines, as the session and the subscriptions say.
func (p *Peer) applySubscriptions() {
	for _, l := range p.lines {
		if l.Kind == plane.Data {
			continue
		}
		var sub *plane.Subscription
		for i := range p.subs {
			if p.subs[i].Mid == l.Mid {
				sub = &p.subs[i]
			}
		}
		if !l.Direction.Sends() || l.SSRC == 0 || len(l.Codecs) == 0 {
			sub = nil
		}
		switch {
		case sub == nil && l.down != nil:
			l.down.unsubscribe()
		case sub != nil:
			if l.down == nil {
				l.down = newDown(p, l)
			}
			l.down.configure(trackConfig(l))
			l.down.subscribe(*sub)
		}
	}
	p.applyChannels()
}

// configure takes over what was negotiated for the line; numbering goes on.
func (d *downTrack) configure(c stream.TrackConfig) {
	d.locked(func() {
		was := d.track.Config()
		d.track.Configure(c)
		if d.sender == nil || was.SSRC != c.SSRC || was.RTX != c.RTX {
			d.secure()
		}
		d.counted = slices.ContainsFunc(c.Extensions, func(x plane.Extension) bool { return x.URI == plane.ExtTransportCC })
	})
}

// secure makes what encrypts the track's SSRCs, once there are keys. The caller has the track to itself.
func (d *downTrack) secure() {
	keys, c := d.p.out.Load(), d.track.Config()
	if keys == nil {
		return
	}
	d.sender, d.rtx = keys.NewSender(c.SSRC), nil
	if c.RTX != 0 {
		d.rtx = keys.NewSender(c.RTX)
	}
}

// locked calls f with the track to itself.
func (d *downTrack) locked(f func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if s := d.stream; s != nil {
		s.Lock()
		defer s.Unlock()
	}
	f()
}

// subscribe makes sub what feeds the line.
func (d *downTrack) subscribe(sub plane.Subscription) {
	var was plane.Subscription
	var had bool
	d.locked(func() { // before a stream is attached: it decides by these what to send first
		was, had = d.sub, d.wanted
		d.sub, d.wanted = sub, true
		d.track.SetTarget(sub.Substream, sub.Temporal, sub.SpatialLayer, sub.TemporalSVC)
		d.track.SetFallback(sub.Fallback)
		d.track.SetPlayoutDelay(sub.PlayoutDelay)
	})
	if had && was.Stream != sub.Stream {
		d.p.env.Streams.Unwatch(was.Stream, d)
	}
	if !had || was.Stream != sub.Stream {
		d.p.env.Streams.Watch(sub.Stream, d)
	}
	d.mu.Lock()
	d.attach()
	d.mu.Unlock()
	d.p.hurry()
}

// unsubscribe ends what feeds the line; its numbering is kept for the next.
func (d *downTrack) unsubscribe() {
	d.mu.Lock()
	was, had := d.sub, d.wanted
	d.wanted = false
	d.mu.Unlock()
	if had {
		d.p.env.Streams.Unwatch(was.Stream, d)
	}
}

func (d *downTrack) close() {
	d.unsubscribe()
	d.mu.Lock()
	d.closed = true
	d.attach()
	d.mu.Unlock()
}

// Appeared implements [stream.Watcher].
func (d *downTrack) Appeared(s *stream.Stream) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.offer = s
	d.attach()
}

// Vanished implements [stream.Watcher].
func (d *downTrack) Vanished(s *stream.Stream) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.offer == s {
		d.offer = nil
		d.attach()
	}
}

// attach makes the stream the track is attached to the one it should be: the one on offer, unless paused.
func (d *downTrack) attach() {
	owed := d.offer
	if d.sub.Paused || !d.wanted || d.closed {
		owed = nil
	}
	want := owed
	if d.p.out.Load() == nil {
		want = nil
	}
	if want == d.stream {
		if want == nil {
			d.owe(owed)
		}
		return
	}
	if old := d.stream; old != nil {
		old.RemoveSink(d)
		with(old, d.track.Detach)
		d.stream = nil
	}
	d.owe(owed)
	if want == nil {
		return
	}
	if d.sender == nil {
		d.secure()
	}
	d.stream = want
	kept := false
	with(want, func() {
		d.track.Attach(want, d.p.env.Clock.Now())
		kept = d.track.Behind()
	})
	want.AddSink(d)
	if kept { // a picture can leave now; no packet has to come first
		d.p.hurry()
	}
}

// with calls f with the stream locked.
func with(s *stream.Stream, f func()) {
	s.Lock()
	defer s.Unlock()
	f()
}

// ready is called when the keys are there: only now can anything be sent.
func (d *downTrack) ready() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.attach()
}

// Forward implements [stream.Sink]: it is called with the stream locked, by the loop that read the burst.
func (d *downTrack) Forward(burst []*stream.Packet, now int64, out *udp.Outbox) {
	path := d.p.dest.Load()
	if path == nil || d.sender == nil {
		return
	}
	if d.kind == plane.Video && (d.track.Behind() || d.p.pacer.exhausted(now)) {
		if !d.track.Behind() {
			d.track.Hold()
			_ = out.Flush() // before the ticker sends what follows
		}
		d.p.hurry()
		return
	}
	even := 0 // length that all payloads of the burst are padded to
	if d.rtx != nil && len(burst) > 1 {
		for _, packet := range burst {
			even = max(even, len(packet.Payload))
		}
	}
	for _, packet := range burst {
		if d.track.Select(packet, now) == stream.Drop {
			continue
		}
		pad := 0
		if n := even - len(packet.Payload); n > 0 && n <= maxPad {
			pad = n
		}
		d.write(packet, pad, now, path, out)
	}
}

// Layers implements [stream.Sink].
func (d *downTrack) Layers(now int64) uint8 { return d.track.Wanted(now) }

// write sends one packet.
func (d *downTrack) write(packet *stream.Packet, pad int, now int64, path *ice.Path, out *udp.Outbox) {
	r := reserve(out, path, d.track.Size(packet)+pad+maxTrailer)
	stamp := d.p.stamp(now)
	buf, header, index := d.track.AppendRTP(r.buf[:0], packet, stamp, pad)
	if buf == nil {
		return
	}
	d.sees(packet, buf, index, now)
	d.finish(r, d.sender.Protect(buf, header, index), stamp, d.counted, d.tagOf(uint16(index), false), now) //nolint:gosec // low bits
}

// finish sends a protected packet and keeps the books. numbered says that the packet carries the stamp's transport-wide
// sequence number: of others the client's feedback does not speak, and they are not to be taken for lost.
func (d *downTrack) finish(r room, packet []byte, stamp stream.Stamp, numbered bool, tag uint32, now int64) {
	r.commit(packet)
	n := len(packet)
	d.packets.Add(1)
	d.bytes.Add(uint64(n))
	if numbered {
		d.p.estimator.Sent.Add(stamp.TransportSeq, now, n, tag)
	}
	d.p.pacer.spend(n)
	d.p.env.Metrics.PacketsOut.Add(1)
	d.p.env.Metrics.BytesOut.Add(uint64(n)) //nolint:gosec // a length
}

// stamp returns what is written into a packet that leaves now.
func (p *Peer) stamp(now int64) stream.Stamp {
	return stream.Stamp{
		AbsSendTime:  uint32(now/1000*(1<<18)/1e6) & 0xffffff, //nolint:gosec // 6.18 bits of a second, modular
		TransportSeq: uint16(p.transport.Add(1)),              //nolint:gosec // modular
	}
}

// retransmit sends a packet again and returns how many bytes that cost, 0 if it did not.
func (d *downTrack) retransmit(seq uint16, now, rtt int64, out *udp.Outbox) (cost int) {
	path := d.p.dest.Load()
	d.locked(func() {
		if d.viewer != nil {
			d.viewer.Missed(seq, true)
		}
		if path == nil || d.sender == nil || d.stream == nil {
			return
		}
		r := reserve(out, path, maxPacket)
		stamp := d.p.stamp(now)
		buf, header, index, rtx, ok := d.track.AppendRetransmission(r.buf[:0], seq, stamp, now, rtt)
		if !ok {
			return
		}
		sender := d.sender
		if rtx {
			sender = d.rtx
		}
		packet := sender.Protect(buf, header, index)
		cost = len(packet)
		d.repaired.Add(1)
		if d.viewer != nil {
			d.viewer.Again(seq, now)
		}
		d.finish(r, packet, stamp, rtx && d.counted, d.tagOf(seq, true), now) // the original carries its first number once more
	})
	return cost
}

// probe sends one packet of about n bytes of padding and returns how many it sent.
func (d *downTrack) probe(n int, now int64, out *udp.Outbox) (sent int) {
	path := d.p.dest.Load()
	d.locked(func() {
		if path == nil || d.rtx == nil || d.stream == nil {
			return
		}
		r := reserve(out, path, maxPacket)
		stamp := d.p.stamp(now)
		buf, header, index, ok := d.track.AppendPadding(r.buf[:0], n, stamp)
		if !ok {
			return
		}
		packet := d.rtx.Protect(buf, header, index)
		sent = len(packet)
		d.p.env.Metrics.Paddings.Add(1)
		d.finish(r, packet, stamp, true, 0, now)
	})
	return sent
}

// pace sends what waits, within the budget. It reports whether more waits.
func (p *Peer) pace(d *downTrack, now int64, out *udp.Outbox) (more bool) {
	path := p.dest.Load()
	d.locked(func() {
		if path == nil || d.stream == nil || d.sender == nil || !d.track.Behind() {
			return
		}
		d.track.Catchup(p.pacer.budget(now), now, func(packet *stream.Packet) { d.write(packet, 0, now, path, out) })
		if more = d.track.Behind(); !more {
			_ = out.Flush() // before a loop sends what follows
		}
	})
	return more
}

// requestKeyframe passes a subscriber's wish to the stream.
func (d *downTrack) requestKeyframe(now int64) {
	d.plis.Add(1)
	d.locked(func() { d.track.RequestKeyframe(now) })
}

// reported keeps what the client says it lost.
func (d *downTrack) reported(b *rtcp.ReportBlock) { d.lost = *b }

// lostSince returns how many packets the client lost since the last call.
func (d *downTrack) lostSince() int {
	n := d.lost.Lost - d.lostBefore
	d.lostBefore = d.lost.Lost
	return int(max(n, 0))
}

// measure updates what the line sends a second.
func (d *downTrack) measure(elapsed time.Duration) {
	n := d.bytes.Load()
	d.rate = uint32(float64(8*(n-d.bytesBefore)) / elapsed.Seconds()) //nolint:gosec // bits/s of one line
	d.bytesBefore = n
}

// senderInfo returns what the next sender report says.
func (d *downTrack) senderInfo(now int64) (info rtcp.SenderInfo, ok bool) {
	d.locked(func() {
		if d.stream == nil {
			return
		}
		info.NTP = d.p.env.Clock.NTP(now)
		info.RTP, info.Packets, info.Octets, ok = d.track.SenderInfo(now, info.NTP)
	})
	return info, ok
}

// reportLayers makes events of layers that changed.
func (p *Peer) reportLayers() {
	for _, l := range p.lines {
		d := l.down
		if d == nil || d.kind != plane.Video {
			continue
		}
		var e plane.Event
		var ok bool
		d.locked(func() {
			if d.stream == nil {
				return
			}
			var substream, spatial, temporal int8
			substream, spatial, temporal, ok = d.track.Changed()
			e = plane.Event{Substream: substream, Temporal: temporal, SpatialLayer: -1, TemporalSVC: -1}
			if d.stream.Config().SVC {
				e = plane.Event{Substream: -1, Temporal: -1, SpatialLayer: spatial, TemporalSVC: temporal}
			}
			ok = ok && (d.stream.Config().SVC || d.stream.Config().Layers > 1) &&
				max(e.Substream, e.Temporal, e.SpatialLayer, e.TemporalSVC) >= 0
		})
		if ok {
			e.Peer, e.Type, e.Mid, e.Kind = p.id, plane.EventLayers, l.Mid, l.Kind
			p.env.Emit(e)
		}
	}
}

// sentBytes sums what all lines have sent.
func (p *Peer) sentBytes() (n uint64) {
	for _, l := range p.lines {
		if l.down != nil {
			n += l.down.bytes.Load()
		}
	}
	return n
}

// pacer spreads what is more than the client's link takes at once: a token bucket that may go into debt. What leaves
// spends; time refills.
type pacer struct {
	tokens atomic.Int64 // bytes
	rate   atomic.Int64 // bits/s, 0 for unlimited
	last   atomic.Int64 // ns of the last refill
}

const (
	// pacerBurst is how long at the paced rate a burst may last, and pacerFloor the least burst in bytes: an ordinary
	// frame goes out as it came.
	pacerBurst = 40 * time.Millisecond
	pacerFloor = 20 << 10
	// pacerDebt is how long pictures wait at most, at the paced rate, for what could not: sound, repairs and whatever was
	// sent before there was anything to pace.
	pacerDebt = 200 * time.Millisecond
)

func (c *pacer) spend(n int) { c.tokens.Add(-int64(n)) }

// exhausted tells whether packets that can wait should.
func (c *pacer) exhausted(now int64) bool {
	if c.rate.Load() <= 0 || c.tokens.Load() > 0 {
		return false
	}
	return c.budget(now) <= 0
}

// budget refills and returns how many bytes may leave now.
func (c *pacer) budget(now int64) int {
	rate := c.rate.Load()
	if rate <= 0 {
		return 1 << 20
	}
	burst := max(rate/8*int64(pacerBurst)/int64(time.Second), pacerFloor)
	elapsed := min(max(now-c.last.Swap(now), 0), int64(time.Second))
	tokens := c.tokens.Load()
	refill := rate / 8 * elapsed / int64(time.Second)
	if debt := -rate / 8 * int64(pacerDebt) / int64(time.Second); tokens < debt {
		refill += debt - tokens
	}
	tokens = c.tokens.Add(min(refill, burst-tokens))
	return int(max(tokens, 0))
}
