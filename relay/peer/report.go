package peer

import (
	"time"

	"cardea/relay/plane"
	"cardea/relay/rtcp"
	"cardea/relay/udp"
)

const (
	// reporter is the SSRC the peer reports as; receive-only browsers use the same.
	reporter = 1
	// cname is the one every line of the SDP names.
	cname = "janus"
	// maxCompound keeps a compound RTCP packet with its SRTCP trailer within one datagram.
	maxCompound = 1150
)

// Drain does what cannot wait for Tick: NACKs, keyframe requests, the first report, and packets that are being paced. It
// is called by the ticker for peers that asked for it.
func (p *Peer) Drain(now int64, out *udp.Outbox) {
	p.urgent.Store(false)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.feedback.ended || !p.up {
		return
	}
	again := false
	buf := p.feedback.scratch[:0]
	for _, l := range p.lines {
		if l.down != nil {
			again = p.pace(l.down, now, out) || again
		}
		if !l.Direction.Receives() || !l.nacks() {
			continue
		}
		for _, src := range l.layers {
			if src == nil || l.stream == nil || !src.nack.pending() {
				continue
			}
			var seqs [nackWindow]uint16
			missing := src.nack.due(seqs[:0], now, p.feedback.rtt)
			for i := range missing {
				missing[i] -= uint16(src.seqShift) //nolint:gosec // modular
			}
			if len(missing) > 0 {
				buf = rtcp.AppendNACK(buf, reporter, src.ssrc, missing)
				p.env.Metrics.NACKsOut.Add(uint64(len(missing)))
				src.reception.nacked += uint64(len(missing))
			}
			again = again || src.nack.pending()
		}
	}
	if p.keyframes.Swap(false) {
		if p.wantHeld(now) {
			buf = p.appendLimit(buf, now)
		}
		var waiting bool
		if buf, waiting = p.appendKeyframeRequests(buf, now); waiting {
			p.keyframes.Store(true)
			again = true
		}
	}
	p.sendRTCP(buf, out)
	p.feedback.scratch = buf[:0]
	if p.probe(now, out) || again {
		p.hurry()
	}
}

// sendRTCP protects and sends feedback; several packets make compounds. RFC 5506 lets feedback go without a report.
func (p *Peer) sendRTCP(packets []byte, out *udp.Outbox) {
	keys, path := p.out.Load(), p.dest.Load()
	for len(packets) > 0 && keys != nil && path != nil {
		n := 0
		for rest := packets; len(rest) > 0; {
			_, next, err := rtcp.Next(rest)
			if err != nil {
				return
			}
			size := len(rest) - len(next)
			if n > 0 && n+size > maxCompound {
				break
			}
			n += size
			rest = next
		}
		r := reserve(out, path, n+keys.Profile().RTCPOverhead())
		r.commit(keys.ProtectRTCP(r.buf[:0], packets[:n]))
		packets = packets[n:]
	}
}

// Tick does the periodic work of a peer. The ticker calls it every [TickInterval].
func (p *Peer) Tick(now int64, out *udp.Outbox) {
	if reason := p.tick(now, out); reason != "" {
		p.down(reason)
	}
}

// TickInterval is how often [Peer.Tick] wants to be called; it is also the interval of transport-wide feedback.
const TickInterval = 50 * time.Millisecond

// tick returns why the peer has ended, or "".
func (p *Peer) tick(now int64, out *udp.Outbox) (down string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.feedback.ended {
		return ""
	}
	if p.former != "" && p.agent.Former(now) == "" {
		p.env.Retired(p, p.former)
		p.former = ""
	}
	if down = p.checkICE(now); down != "" || !p.up {
		return down
	}
	if p.pathUntold {
		p.reportPath(now)
	}
	p.refillRepair(TickInterval)
	buf := p.feedback.scratch[:0]
	if p.extensions.transport != 0 {
		buf = p.feedback.arrivals.Append(buf, reporter, p.anySource(), now)
	}
	if now-p.feedback.lastSecond >= int64(time.Second) {
		elapsed := time.Duration(now - p.feedback.lastSecond)
		p.feedback.lastSecond = now
		buf = p.appendReports(buf, now)
		p.bandwidth.measure(elapsed, p.sentBytes())
		p.everySecond(elapsed)
		p.watched(now)
	}
	p.reviewHold(now)
	buf = p.appendLimit(buf, now)
	p.sendRTCP(buf, out)
	p.feedback.scratch = buf[:0]
	p.silence(now)
	p.periodicKeyframes(now)
	p.allocate(now)
	if p.probe(now, out) {
		p.hurry()
	}
	p.reportLayers()
	return ""
}

// anySource returns a received SSRC for feedback that concerns all of them.
func (p *Peer) anySource() uint32 {
	for _, l := range p.lines {
		for _, src := range l.layers {
			if src != nil {
				return src.ssrc
			}
		}
	}
	return 0
}

// appendReports appends this second's sender and receiver reports.
func (p *Peer) appendReports(dst []byte, now int64) []byte {
	for _, l := range p.lines {
		if l.down == nil {
			continue
		}
		if info, ok := l.down.senderInfo(now); ok {
			dst = rtcp.AppendSenderReport(dst, l.SSRC, info, nil)
			dst = rtcp.AppendCNAME(dst, l.SSRC, cname)
		}
	}
	blocks := make([]rtcp.ReportBlock, 0, 8)
	for _, l := range p.lines {
		for _, src := range l.layers {
			if src == nil || !src.reception.started {
				continue
			}
			b := src.reception.report(src.ssrc)
			b.LastSR, b.DelaySinceSR = src.sentAt.middle, src.sentAt.delay(now)
			if blocks = append(blocks, b); len(blocks) == rtcp.MaxReports {
				dst = rtcp.AppendReceiverReport(dst, reporter, blocks)
				blocks = blocks[:0]
			}
		}
	}
	if len(blocks) > 0 {
		dst = rtcp.AppendReceiverReport(dst, reporter, blocks)
	}
	return dst
}

// everySecond reports links that lose packets, and measures what the lines send.
func (p *Peer) everySecond(elapsed time.Duration) {
	threshold := p.opts.SlowLinkThreshold
	for _, l := range p.lines {
		lost := 0
		for _, src := range l.layers {
			if src != nil {
				lost += src.reception.lostSince()
			}
		}
		if threshold > 0 && lost >= threshold {
			p.env.Emit(plane.Event{Peer: p.id, Type: plane.EventSlowLink, Mid: l.Mid, Kind: l.Kind, Lost: lost})
		}
		if l.down == nil {
			continue
		}
		l.down.measure(elapsed)
		if lost := l.down.lostSince(); threshold > 0 && lost >= threshold {
			p.env.Emit(plane.Event{Peer: p.id, Type: plane.EventSlowLink, Mid: l.Mid, Kind: l.Kind, Uplink: true, Lost: lost})
		}
	}
}

// silence reports lines whose media stopped.
func (p *Peer) silence(now int64) {
	for _, l := range p.lines {
		for _, src := range l.layers {
			if src == nil || !src.receiving || now-src.lastMedia < int64(p.opts.NoMediaTimer) || p.isHeld(src, now) {
				continue
			}
			src.receiving = false
			p.env.Emit(plane.Event{
				Peer: p.id, Type: plane.EventReceiving, Mid: l.Mid, Kind: l.Kind,
				Substream: src.substream(), Silence: time.Duration(now - src.lastMedia),
			})
		}
	}
}

// periodicKeyframes asks as often as the publication says (Janus's fir_freq).
func (p *Peer) periodicKeyframes(now int64) {
	for _, l := range p.lines {
		every := int64(l.pub.KeyframeInterval)
		if every <= 0 || l.Kind != plane.Video || l.stream == nil || l.stream.Sinks() == 0 {
			continue
		}
		for _, src := range l.layers {
			if src != nil && now-src.askedKey >= every {
				p.wantKeyframe(src)
			}
		}
	}
}
