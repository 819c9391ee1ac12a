package peer

import (
	"encoding/binary"
	"errors"
	"slices"

	"cardea/relay/plane"
	"cardea/relay/rtp"
	"cardea/relay/srtp"
	"cardea/relay/stream"
)

// line is one m-line of the session with what it receives and sends.
type line struct {
	plane.Line
	pub     plane.Publication
	stream  *stream.Stream // what the line feeds; nil while nothing
	channel *Channel       // the same for a data line
	layers  [maxLayers]*source
	down    *downTrack
	talking talking
}

// source is one received SSRC.
type source struct {
	ssrc  uint32
	rid   string
	line  *line
	layer int
	rtx   bool // it carries retransmissions (RFC 4588) of the line's layer
	recv  *srtp.Receiver

	// An encoder that starts anew under another SSRC goes on where the last one stopped.
	started   bool
	seqShift  int64
	timeShift uint32

	nack      nackList
	reception reception
	sentAt    senderReport
	receiving bool
	lastMedia int64 // ns
	lastTime  uint32
	askedKey  int64  // ns of the last keyframe request
	asked     uint64 // keyframe requests
	wantsKey  bool
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

// HandleRTP opens a packet that came over one of the peer's paths straight into the cache of the stream it belongs to, and
// returns that stream if it has something to flush.
func (p *Peer) HandleRTP(packet []byte, now int64) *stream.Stream {
	var h rtp.Header
	if rtp.Parse(packet, &h) != nil {
		p.env.Metrics.Malformed.Add(1)
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.in == nil || p.closed {
		return nil
	}
	src, known := p.sources[h.SSRC], true
	if src == nil {
		if src, known = p.bind(&h), false; src == nil {
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
		p.adopt(src) // only now: anybody can write an SSRC, a mid and a rid
	}
	p.agent.Touch(now)
	p.env.Metrics.PacketsIn.Add(1)
	p.env.Metrics.BytesIn.Add(uint64(len(packet)))
	p.bandwidth.received += len(packet)
	if id := p.extensions.transport; id != 0 {
		if v := h.Extension(id); len(v) >= 2 {
			p.feedback.arrivals.Record(binary.BigEndian.Uint16(v), now)
		}
	}
	return fed
}

// openInto decrypts a media packet into its stream's cache.
func (p *Peer) openInto(src *source, h *rtp.Header, packet []byte, now int64) (*stream.Stream, bool) {
	s := src.line.stream
	slot := s.Reserve(src.layer, len(packet)-h.Len)
	n, index, err := src.recv.Open(slot, packet, h.Len)
	if err != nil {
		s.Abort()
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
	s.Commit(src.layer, h, seq, n, now, false)
	p.received(src, h, seq, n, size, now)
	return s, true
}

// openAside decrypts a packet that does not go to a cache under its own number: a retransmission, or media nobody publishes.
func (p *Peer) openAside(src *source, h *rtp.Header, packet []byte, now int64) (*stream.Stream, bool) {
	n, _, err := src.recv.Open(packet[h.Len:], packet, h.Len)
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
	if !src.rtx || src.line.stream == nil {
		return nil, true
	}
	media := src.line.layers[src.layer]
	if len(payload) < 2 || media == nil || !media.nack.started { // probing, or nothing to repair yet
		return nil, true
	}
	// RFC 4588 section 4: the original number stands before the payload; its neighbourhood tells the upper bits.
	original := binary.BigEndian.Uint16(payload)
	payload = payload[2:]
	seq := media.nack.highest + int64(int16(original-uint16(media.nack.highest-media.seqShift))) //nolint:gosec // modular by design
	h.SequenceNumber = original
	h.SSRC = media.ssrc
	h.Timestamp += media.timeShift
	if pt, ok := src.line.repairs(h.PayloadType); ok {
		h.PayloadType = pt
	}
	s := src.line.stream
	slot := s.Reserve(src.layer, len(payload))
	copy(slot, payload)
	s.Commit(src.layer, h, seq, len(payload), now, true)
	media.nack.remove(seq)
	media.reception.repaired++
	return s, true
}

// repairs returns the payload type whose retransmissions carry rtx.
func (l *line) repairs(rtx uint8) (uint8, bool) {
	for _, c := range l.Codecs {
		if c.RTX == rtx && rtx != 0 {
			return c.PayloadType, true
		}
	}
	return 0, false
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
	if src.line.Kind == plane.Video && hopeless {
		p.wantKeyframe(src)
	}
	if gap && src.line.nacks() {
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
		if v := h.Extension(p.extensions.level); p.extensions.level != 0 && len(v) > 0 {
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

// bind finds the line and layer of an SSRC not seen before (RFC 9143 section 9.2): by announced SSRC, by mid and rid, or by
// payload type where that leaves no choice. The source is not kept before a packet of it was authentic.
func (p *Peer) bind(h *rtp.Header) *source {
	if len(p.sources) >= maxSources {
		return nil
	}
	src := &source{ssrc: h.SSRC}
	if !p.bindBySSRC(src) && !p.bindByMid(src, h) && !p.bindByPayloadType(src, h.PayloadType) {
		return nil
	}
	if src.layer >= maxLayers {
		return nil
	}
	if old := src.line.layers[src.layer]; old != nil && !src.rtx {
		src.nack, src.receiving, src.lastMedia, src.lastTime = old.nack, old.receiving, old.lastMedia, old.lastTime
		src.nack.missing = nil // what the old encoder lost, the new one does not have
	}
	src.recv = p.in.NewReceiver(h.SSRC)
	return src
}

func (p *Peer) bindBySSRC(src *source) bool {
	for _, l := range p.lines {
		for i, e := range l.Receive {
			if src.ssrc == e.SSRC || src.ssrc == e.RTX {
				src.line, src.layer, src.rtx, src.rid = l, i, src.ssrc == e.RTX, e.RID
				return l.Direction.Receives()
			}
		}
	}
	return false
}

func (p *Peer) bindByMid(src *source, h *rtp.Header) bool {
	if p.extensions.mid == 0 {
		return false
	}
	mid := h.Extension(p.extensions.mid)
	if len(mid) == 0 {
		return false
	}
	i := slices.IndexFunc(p.lines, func(l *line) bool { return l.Mid == string(mid) })
	if i < 0 || !p.lines[i].Direction.Receives() || p.lines[i].Kind == plane.Data {
		return false
	}
	src.line = p.lines[i]
	_, src.rtx = src.line.repairs(h.PayloadType)
	rid := p.element(h, p.extensions.rid)
	if rid == "" {
		if rid = p.element(h, p.extensions.repairedRID); rid != "" {
			src.rtx = true
		}
	}
	if rid == "" {
		return len(src.line.Receive) <= 1 // of several encodings we must know which
	}
	src.rid = rid
	src.layer = slices.IndexFunc(src.line.Receive, func(e plane.Encoding) bool { return e.RID == rid })
	return src.layer >= 0
}

func (p *Peer) element(h *rtp.Header, id uint8) string {
	if id == 0 {
		return ""
	}
	return string(h.Extension(id))
}

func (p *Peer) bindByPayloadType(src *source, pt uint8) bool {
	for _, l := range p.lines {
		if !l.Direction.Receives() || l.Kind == plane.Data || len(l.Receive) > 1 {
			continue
		}
		for _, c := range l.Codecs {
			if c.PayloadType != pt && (c.RTX != pt || pt == 0) {
				continue
			}
			if src.line != nil && src.line != l {
				return false
			}
			src.line, src.rtx = l, c.PayloadType != pt
		}
	}
	return src.line != nil
}

// adopt keeps a source whose first packet was authentic.
func (p *Peer) adopt(src *source) {
	p.sources[src.ssrc] = src
	if src.rtx {
		return
	}
	if old := src.line.layers[src.layer]; old != nil && old != src {
		delete(p.sources, old.ssrc)
	}
	src.line.layers[src.layer] = src
}
