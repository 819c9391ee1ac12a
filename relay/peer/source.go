package peer

import (
	"cmp"
	"slices"

	"cardea/relay/plane"
	"cardea/relay/quality"
	"cardea/relay/rtp"
	"cardea/relay/srtp"
)

// retireTime is how long packets of a replaced encoder may still be under way, ns: they do not make it the present one again.
const retireTime = int64(200e6)

// longAgo is a time at which an SSRC may be said to have retired that may come back at once.
const longAgo = 1

// source is one received SSRC that feeds a line.
type source struct {
	ssrc uint32
	binding
	recv *srtp.Receiver

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
	viewer    *quality.Viewer // of pictures that are published; nil otherwise
	told      told
}

// binding says what an SSRC is.
type binding struct {
	line  *line
	layer int // of the line's encodings, 0 the lowest
	rid   string
	rtx   bool // it carries retransmissions (RFC 4588) of the layer
}

// receiver is what must be remembered of an SSRC even while it feeds nothing: its rollover counter, which nobody tells us
// again, and what came already.
type receiver struct {
	*srtp.Receiver
	retired int64 // ns, when another SSRC took its place; 0 while it feeds a line
}

// place is where the line keeps the source of the binding.
func (b *binding) place() **source {
	if b.rtx {
		return &b.line.repairers[b.layer]
	}
	return &b.line.layers[b.layer]
}

// bind finds the line and layer of an SSRC that feeds none (RFC 9143 section 9.2): by announced SSRC, by mid and rid, or by
// payload type where that leaves no choice. The source is not kept before a packet of it was authentic.
func (p *Peer) bind(h *rtp.Header, now int64) *source {
	r := p.receivers[h.SSRC]
	if len(p.sources) >= maxSources || r != nil && r.retired != 0 && now-r.retired < retireTime {
		return nil
	}
	b, ok := p.binding(h)
	if !ok {
		return nil
	}
	src := &source{ssrc: h.SSRC, binding: b}
	if old := *b.place(); old != nil && !b.rtx {
		src.nack, src.receiving, src.lastMedia, src.lastTime = old.nack, old.receiving, old.lastMedia, old.lastTime
		src.nack.missing = nil // what the old encoder lost, the new one does not have
		src.viewer, src.told = old.viewer, old.told
	}
	if r != nil {
		src.recv = r.Receiver
	} else {
		src.recv = p.in.NewReceiver(h.SSRC)
	}
	return src
}

func (p *Peer) binding(h *rtp.Header) (binding, bool) {
	if b, ok := p.announced(h.SSRC); ok {
		return b, b.line.Direction.Receives()
	}
	if mid := element(h, p.extensions.mid); len(mid) > 0 {
		return p.byMid(mid, h)
	}
	return p.byPayloadType(h.PayloadType)
}

// announced finds an SSRC among those the client said that it sends.
func (p *Peer) announced(ssrc uint32) (binding, bool) {
	for _, l := range p.lines {
		for i, e := range l.Receive[:min(len(l.Receive), maxLayers)] {
			if ssrc != 0 && (ssrc == e.SSRC || ssrc == e.RTX) {
				return binding{line: l, layer: i, rid: e.RID, rtx: ssrc == e.RTX}, true
			}
		}
	}
	return binding{}, false
}

func (p *Peer) byMid(mid []byte, h *rtp.Header) (binding, bool) {
	i := slices.IndexFunc(p.lines, func(l *line) bool { return l.Mid == string(mid) })
	if i < 0 || !p.lines[i].Direction.Receives() || p.lines[i].Kind == plane.Data {
		return binding{}, false
	}
	b := binding{line: p.lines[i]}
	_, b.rtx = b.line.repairs(h.PayloadType)
	rid := element(h, p.extensions.rid)
	if repaired := element(h, p.extensions.repairedRID); len(rid) == 0 && len(repaired) > 0 {
		rid, b.rtx = repaired, true
	}
	b.rid = string(rid)
	var ok bool
	b.layer, ok = b.line.layerOf(b.rid)
	return b, ok
}

// layerOf finds the encoding of a rid. Of several encodings we must know which.
func (l *line) layerOf(rid string) (layer int, ok bool) {
	if len(l.Receive) <= 1 && (rid == "" || len(l.Receive) == 0) {
		return 0, true
	}
	i := slices.IndexFunc(l.Receive, func(e plane.Encoding) bool { return e.RID == rid })
	return i, rid != "" && i >= 0 && i < maxLayers
}

func (p *Peer) byPayloadType(pt uint8) (b binding, ok bool) {
	for _, l := range p.lines {
		if !l.Direction.Receives() || l.Kind == plane.Data || len(l.Receive) > 1 {
			continue
		}
		_, rtx := l.repairs(pt)
		if !rtx && !slices.ContainsFunc(l.Codecs, func(c plane.Codec) bool { return c.PayloadType == pt }) {
			continue
		}
		if ok {
			return binding{}, false
		}
		b, ok = binding{line: l, rtx: rtx}, true
	}
	return b, ok
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

// element returns the value of a header extension, or nothing.
func element(h *rtp.Header, id uint8) []byte {
	if id == 0 {
		return nil
	}
	return h.Extension(id)
}

// adopt keeps a source whose first packet was authentic, in the place of the one before.
func (p *Peer) adopt(src *source, now int64) {
	r := p.receivers[src.ssrc]
	if r == nil {
		p.forgetReceiver()
		r = &receiver{Receiver: src.recv}
		p.receivers[src.ssrc] = r
	}
	r.retired = 0
	p.sources[src.ssrc] = src
	if old := *src.place(); old != nil && old != src {
		src.line.past.add(old)
		p.retire(old, now)
		if repairer := src.line.repairers[src.layer]; !src.rtx && repairer != nil {
			p.retire(repairer, now) // what it repairs is the old encoder's
		}
	}
	*src.place() = src
}

// retire makes a source feed nothing.
func (p *Peer) retire(s *source, now int64) {
	delete(p.sources, s.ssrc)
	if r := p.receivers[s.ssrc]; r != nil {
		r.retired = now
	}
	if *s.place() == s {
		*s.place() = nil
	}
}

// forgetReceiver makes room for another SSRC: clients that change theirs again and again forget the oldest.
func (p *Peer) forgetReceiver() {
	if len(p.receivers) < 2*maxSources {
		return
	}
	var oldest uint32
	var since int64
	for ssrc, r := range p.receivers {
		if r.retired != 0 && (since == 0 || r.retired < since) {
			oldest, since = ssrc, r.retired
		}
	}
	delete(p.receivers, oldest)
}

// rebind makes the sources feed the lines as they are now: the client may have ended lines or put its encodings in another
// order. Lines that are on hold keep theirs.
func (p *Peer) rebind() {
	now := p.env.Clock.Now()
	sources := make([]*source, 0, len(p.sources))
	for _, s := range p.sources {
		sources = append(sources, s)
	}
	slices.SortFunc(sources, func(a, b *source) int { return cmp.Compare(b.lastMedia, a.lastMedia) }) // the latest one wins a place
	for _, l := range p.lines {
		l.layers, l.repairers = [maxLayers]*source{}, [maxLayers]*source{}
	}
	for _, s := range sources {
		was := s.binding
		b, announced := p.announced(s.ssrc)
		ok := announced
		if !announced {
			b = was
			b.layer, ok = was.line.layerOf(was.rid)
			if !ok && was.rid == "" && was.layer < len(was.line.Receive) {
				b.layer, ok = was.layer, true
			}
		}
		if !ok || b.line != was.line || !slices.Contains(p.lines, b.line) || b.rtx != was.rtx {
			p.retire(s, longAgo) // it is bound anew with the next packet, if at all
			continue
		}
		if b.layer != was.layer {
			s.line.moved = true
		}
		s.binding = b
		if *s.place() != nil {
			p.retire(s, now)
			continue
		}
		*s.place() = s
	}
}

// totals are the counters of sources that were replaced.
type totals struct{ packets, bytes, lost, nacked, repaired, asked uint64 }

func (t *totals) add(s *source) {
	r := &s.reception
	t.packets += r.packets
	t.bytes += r.bytes
	t.lost += uint64(r.lost()) //nolint:gosec // not negative
	t.nacked += r.nacked
	t.repaired += r.repaired
	t.asked += s.asked
}
