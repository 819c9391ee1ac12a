package peer

import (
	"encoding/binary"
	"errors"

	"cardea/relay/plane"
	"cardea/relay/rtp"
	"cardea/relay/srtp"
	"cardea/relay/stream"
)

// line is one m-line of the session with what it receives and sends. Receive stays what the client said last while the
// line is on hold.
type line struct {
	plane.Line
	pub         plane.Publication
	stream      *stream.Stream     // what the line feeds; nil while nothing
	channel     *Channel           // the same for a data line
	layers      [maxLayers]*source // what feeds it
	repairers   [maxLayers]*source // and the retransmissions of that
	moved       bool               // a source became another layer's: the stream cannot go on
	publishedAt int64              // ns, when the stream was made
	past        totals             // of sources that were replaced
	down        *downTrack
	talking     talking
}

// renegotiate takes over what was agreed.
func (l *line) renegotiate(n plane.Line) {
	if !n.Direction.Receives() {
		n.Receive = l.Receive
	}
	l.Line = n
}

// extensionIDs are the ids of the header extensions the receiving side reads. Bundled lines share one numbering (RFC 9143).
type extensionIDs struct{ mid, rid, repairedRID, level, transport uint8 }

func (e *extensionIDs) add(extensions []plane.Extension) {
	for _, x := range extensions {
		switch x.URI {
		case plane.ExtMid:
			e.mid = x.ID
		case plane.ExtRID:
			e.rid = x.ID
		case plane.ExtRepairedRID:
			e.repairedRID = x.ID
		case plane.ExtAudioLevel:
			e.level = x.ID
		case plane.ExtTransportCC:
			e.transport = x.ID
		}
	}
}

// maxReceived is the largest packet taken, bytes, as in Janus: larger ones could not be passed on in one datagram.
const maxReceived = 1500

// HandleRTP opens a packet that came over one of the peer's paths straight into the cache of the stream it belongs to, and
// returns that stream if it has something to flush.
func (p *Peer) HandleRTP(packet []byte, now int64) *stream.Stream {
	var h rtp.Header
	if len(packet) > maxReceived || rtp.Parse(packet, &h) != nil {
		p.env.Metrics.Malformed.Add(1)
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.in == nil || p.closed || p.feedback.ended {
		return nil
	}
	src, known := p.sources[h.SSRC], true
	if src == nil {
		if src, known = p.bind(&h, now), false; src == nil {
			p.env.Metrics.Unbound.Add(1)
			return nil
		}
	}
	var fed *stream.Stream
	var ok bool
	if src.rtx || src.line.stream == nil {
		fed, ok = p.openAside(src, &h, packet, now)
	} else {
		fed, ok = p.openInto(src, &h, packet, now)
	}
	if !ok {
		return nil
	}
	if !known {
		p.adopt(src, now) // only now: anybody can write an SSRC, a mid and a rid
	}
	p.authentic(now)
	p.env.Metrics.PacketsIn.Add(1)
	p.env.Metrics.BytesIn.Add(uint64(len(packet)))
	p.bandwidth.received += len(packet)
	if v := element(&h, p.extensions.transport); len(v) >= 2 {
		p.feedback.arrivals.Record(binary.BigEndian.Uint16(v), now)
	}
	return fed
}

// openInto decrypts a media packet into its stream's cache.
func (p *Peer) openInto(src *source, h *rtp.Header, packet []byte, now int64) (*stream.Stream, bool) {
	s := src.line.stream
	slot := s.Reserve(src.layer, len(packet)-h.Len)
	reserved := true
	defer func() { // also of a panic: a stream that stays locked would stop all its subscribers
		if reserved {
			s.Abort()
		}
	}()
	n, index, err := src.recv.Open(slot, packet, h.Len)
	if err != nil {
		p.refused(err)
		return nil, false
	}
	size := n
	if h.Padding {
		if body, ok := rtp.StripPadding(slot[:n]); ok {
			n = len(body)
		}
	}
	seq := p.numbered(src, h, int64(index), now)
	reserved = false
	s.Commit(src.layer, h, seq, n, now, false)
	p.received(src, h, seq, n, size, now)
	return s, true
}

// openAside decrypts a packet that does not go to a cache under its own number: a retransmission, or media nobody publishes.
func (p *Peer) openAside(src *source, h *rtp.Header, packet []byte, now int64) (*stream.Stream, bool) {
	n, index, err := src.recv.Open(packet[h.Len:], packet, h.Len)
	if err != nil {
		p.refused(err)
		return nil, false
	}
	payload := packet[h.Len : h.Len+n]
	if h.Padding {
		if body, ok := rtp.StripPadding(payload); ok {
			payload = body
		}
	}
	if src.rtx {
		return p.repair(src, h, payload, now), true
	}
	if src.line.Direction.Receives() {
		seq := p.numbered(src, h, int64(index), now)
		p.received(src, h, seq, len(payload), n, now)
	}
	return nil, true
}

// repair puts a retransmission (RFC 4588 section 4) into the place of the packet that was lost. What is not missing was sent
// to probe the path, or came twice.
func (p *Peer) repair(src *source, h *rtp.Header, payload []byte, now int64) *stream.Stream {
	s, media := src.line.stream, src.line.layers[src.layer]
	format, ok := src.line.repairs(h.PayloadType)
	if len(payload) < 2 || s == nil || media == nil || !media.started || !ok {
		return nil
	}
	// The original number stands before the payload; its neighbourhood tells the upper bits.
	original := binary.BigEndian.Uint16(payload)
	payload = payload[2:]
	seq := media.nack.highest + int64(int16(original-uint16(media.nack.highest-media.seqShift))) //nolint:gosec // modular by design
	missing, rtt := media.nack.repaired(seq, now)
	if !missing {
		return nil
	}
	if rtt > 0 {
		p.measuredRTT(rtt)
	}
	media.reception.repaired++
	if media.viewer != nil {
		media.viewer.Came(uint16(seq), now) //nolint:gosec // low bits
	}
	h.SequenceNumber, h.SSRC, h.PayloadType = original, media.ssrc, format
	h.Timestamp += media.timeShift
	slot := s.Reserve(src.layer, len(payload))
	copy(slot, payload)
	s.Commit(src.layer, h, seq, len(payload), now, true)
	return s
}

// numbered extends the packet's sequence number, continuing that of an encoder the source replaces.
func (p *Peer) numbered(src *source, h *rtp.Header, index, now int64) int64 {
	if !src.started {
		src.started = true
		if src.nack.started { // taken over from the replaced source
			src.seqShift = src.nack.highest + 1 - index
			elapsed := uint32((now - src.lastMedia) * int64(src.line.clockRate()) / 1e9) //nolint:gosec // modular by design
			src.timeShift = src.lastTime + max(elapsed, 1) - h.Timestamp
		}
	}
	h.Timestamp += src.timeShift
	return index + src.seqShift
}

// received keeps the books of a media packet.
func (p *Peer) received(src *source, h *rtp.Header, seq int64, payload, size int, now int64) {
	gap, hopeless := src.nack.received(seq, now)
	src.reception.packet(seq, h.Timestamp, src.line.clockRate(), size, now)
	src.lastMedia, src.lastTime = now, h.Timestamp
	src.sees(seq, h, now)
	if src.line.Kind == plane.Video && hopeless {
		p.wantKeyframe(src)
	}
	if gap && src.line.stream != nil && src.line.nacks() {
		p.hurry()
	}
	if !src.receiving {
		src.receiving = true
		p.env.Emit(plane.Event{
			Peer: p.id, Type: plane.EventReceiving, Mid: src.line.Mid, Kind: src.line.Kind,
			Substream: src.substream(), Receiving: true,
		})
	}
	if src.line.Kind == plane.Audio && src.line.pub.Talking != nil && !src.line.pub.Muted && payload > 0 {
		if v := element(h, p.extensions.level); len(v) > 0 {
			p.hear(src.line, v[0]&0x7f)
		}
	}
}

// refused counts a packet that SRTP did not accept.
func (p *Peer) refused(err error) {
	if errors.Is(err, srtp.ErrReplay) {
		p.env.Metrics.Replayed.Add(1)
		return
	}
	p.env.Metrics.AuthFailures.Add(1)
}

// substream is the number the Janus API knows the source by: -1 without simulcast.
func (s *source) substream() int8 {
	if len(s.line.Receive) > 1 {
		return int8(s.layer) //nolint:gosec // below maxLayers
	}
	return -1
}

// clockRate returns the rate of the line's first codec, in Hz.
func (l *line) clockRate() uint32 {
	if len(l.Codecs) > 0 && l.Codecs[0].ClockRate > 0 {
		return l.Codecs[0].ClockRate
	}
	return 90000
}

// nacks tells whether the client answers NACKs for the line.
func (l *line) nacks() bool { return len(l.Codecs) > 0 && l.Codecs[0].NACK }
