package peer

import (
	"sync"
	"time"

	"cardea/relay/bwe"
	"cardea/relay/plane"
	"cardea/relay/rtcp"
	"cardea/relay/udp"
)

// maxNACKs bounds the packets answered of one NACK message, which may name 17 in four bytes.
const maxNACKs = 256

// feedback is what the peer tells the client about its media, and what it knows of the client's clock.
type feedback struct {
	ended      bool         // EventDown was reported
	arrivals   bwe.Recorder // of packets with a transport-wide sequence number
	offset     int64        // of the node's NTP clock to the client's, units of 2^-32 s
	hasOffset  bool
	rtt        int64 // ns, smoothed; 0 until known
	lastSecond int64 // ns of the last second's work
	repair     int64 // bytes that retransmissions may still cost now
	firNumber  uint8
	scratch    []byte
}

// toNodeClock turns a client's NTP time into the node's, so that all publishers' media can be put on one time line. All
// sources of a client share one offset, which is what keeps lips in sync.
func (f *feedback) toNodeClock(ntp, here uint64) uint64 {
	sample := int64(here - ntp)
	switch {
	case !f.hasOffset || sample < f.offset:
		// The fastest report is the truest; the others waited somewhere.
		f.offset, f.hasOffset = sample, true
	default:
		f.offset += (sample - f.offset) >> 8 // clocks drift
	}
	return ntp + uint64(f.offset)
}

// HandleRTCP takes an SRTCP packet that came over one of the peer's paths. Answers to NACKs go to out.
func (p *Peer) HandleRTCP(packet []byte, now int64, out *udp.Outbox) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.in == nil || p.closed || p.feedback.ended {
		return
	}
	compound, err := p.in.OpenRTCP(p.feedback.scratch[:0], packet)
	if err != nil {
		p.refused(err)
		return
	}
	p.feedback.scratch = compound[:0]
	p.authentic(now)
	for len(compound) > 0 {
		var r rtcp.Packet
		if r, compound, err = rtcp.Next(compound); err != nil {
			p.env.Metrics.Malformed.Add(1)
			return
		}
		p.handleReport(&r, now, out)
	}
}

func (p *Peer) handleReport(r *rtcp.Packet, now int64, out *udp.Outbox) {
	switch r.Kind() {
	case rtcp.SenderReport:
		if info, ok := r.SenderInfo(); ok {
			p.senderReport(r.Sender, info, now)
		}
		p.receiverReports(r.Reports(), now)
	case rtcp.ReceiverReport:
		p.receiverReports(r.Reports(), now)
	case rtcp.NACK:
		if d := p.downOf(r.Media); d != nil {
			p.answerNACK(d, r.NACKs(), now, out)
		}
	case rtcp.PLI:
		if d := p.downOf(r.Media); d != nil {
			p.env.Metrics.PLIsIn.Add(1)
			d.requestKeyframe(now)
		}
	case rtcp.FIR:
		for entries := r.FIRs(); ; {
			ssrc, _, ok := entries.Next()
			if !ok {
				break
			}
			if d := p.downOf(ssrc); d != nil {
				p.env.Metrics.PLIsIn.Add(1)
				d.requestKeyframe(now)
			}
		}
	case rtcp.TWCC:
		if f, ok := r.TransportFeedback(); ok {
			p.transportFeedback(&f, now)
		}
	case rtcp.REMB:
		if rate, _, ok := r.REMB(); ok {
			p.estimator.REMB(rate, now)
		}
	default: // what is for others, or nobody asked for
	}
}

// resultBuffers takes what feedback says: every peer needs room for it for a moment, ten times a second.
var resultBuffers = sync.Pool{New: func() any { return new([]bwe.Result) }}

func (p *Peer) transportFeedback(f *rtcp.TransportFeedback, now int64) {
	buffer := resultBuffers.Get().(*[]bwe.Result)
	defer resultBuffers.Put(buffer)
	*buffer = p.estimator.TransportFeedback(f, now, (*buffer)[:0])
	p.acknowledged(*buffer, now)
}

func (p *Peer) senderReport(ssrc uint32, info rtcp.SenderInfo, now int64) {
	src := p.sources[ssrc]
	if src == nil || src.rtx {
		return
	}
	src.sentAt = senderReport{middle: rtcp.CompactNTP(info.NTP), arrival: now}
	if s := src.line.stream; s != nil {
		ntp := p.feedback.toNodeClock(info.NTP, p.env.Clock.NTP(now))
		s.SenderReport(src.layer, ntp, info.RTP+src.timeShift, now)
	}
}

func (p *Peer) receiverReports(blocks rtcp.Reports, now int64) {
	here := rtcp.CompactNTP(p.env.Clock.NTP(now))
	for {
		b, ok := blocks.Next()
		if !ok {
			return
		}
		d := p.downOf(b.SSRC)
		if d == nil {
			continue
		}
		if rtt, ok := b.RTT(here); ok {
			p.measuredRTT(int64(rtt))
		}
		d.reported(&b)
		p.reports(d, &b, now)
		p.estimator.Report(b.FractionLost, uint64(p.bandwidth.sentRate), now)
	}
}

// measuredRTT smooths the round-trip time as RFC 6298 does.
func (p *Peer) measuredRTT(rtt int64) {
	if p.feedback.rtt == 0 {
		p.feedback.rtt = rtt
		return
	}
	p.feedback.rtt += (rtt - p.feedback.rtt) / 8
}

// downOf finds the sent line of an SSRC. What clients say of the SSRCs of retransmissions concerns numbers of another kind.
func (p *Peer) downOf(ssrc uint32) *downTrack {
	for _, l := range p.lines {
		if l.down != nil && l.SSRC == ssrc && ssrc != 0 {
			return l.down
		}
	}
	return nil
}

// answerNACK sends again what the client missed, within what retransmissions may cost.
func (p *Peer) answerNACK(d *downTrack, seqs rtcp.NACKs, now int64, out *udp.Outbox) {
	for range maxNACKs {
		seq, ok := seqs.Next()
		if !ok {
			return
		}
		p.env.Metrics.NACKsIn.Add(1)
		d.nacked.Add(1)
		if p.feedback.repair <= 0 {
			p.env.Metrics.RetransmissionsRefused.Add(1)
			continue
		}
		n := d.retransmit(seq, now, p.feedback.rtt, out)
		p.feedback.repair -= int64(max(n, vainCost))
		if n == 0 {
			p.env.Metrics.RetransmissionsRefused.Add(1)
			continue
		}
		p.env.Metrics.Retransmitted.Add(1)
	}
}

const (
	// repairShare is the share of the sent rate that retransmissions may add, and repairFloor what they may in any case.
	repairShare = 0.3
	repairFloor = 200_000 // bits/s
	repairBurst = int64(64 << 10)
	// vainCost is what looking for a packet in vain counts, bytes: it takes the stream's lock, and a client that asks for what
	// never was should not have it thousands of times a second.
	vainCost = 32
)

// refillRepair lets retransmissions cost what the time since the last call allows.
func (p *Peer) refillRepair(elapsed time.Duration) {
	rate := max(repairShare*p.bandwidth.sentRate, repairFloor)
	p.feedback.repair = min(p.feedback.repair+int64(rate/8*elapsed.Seconds()), repairBurst)
}

// keyframeInterval is the shortest time between two requests to one encoder: max(RTT, 500 ms).
func (p *Peer) keyframeInterval() int64 { return max(p.feedback.rtt, int64(500*time.Millisecond)) }

// appendKeyframeRequests appends a PLI for every source that somebody needs a picture of, merged with all others' wishes:
// a keyframe that comes meanwhile fulfils those that wait. It reports whether some must wait for their turn.
func (p *Peer) appendKeyframeRequests(dst []byte, now int64) (_ []byte, waiting bool) {
	for _, l := range p.lines {
		if l.Kind != plane.Video || l.stream == nil {
			continue
		}
		wanted, asked := l.stream.KeyframesWanted(), uint8(0)
		for layer, src := range l.layers {
			switch {
			case src == nil || p.isHeld(src, now):
				// An encoding that nothing is received of begins with a keyframe anyway.
				asked |= 1 << layer
			case wanted&(1<<layer) == 0 && !src.wantsKey:
			case src.askedKey != 0 && now-src.askedKey < p.keyframeInterval():
				waiting = true
			default:
				asked |= 1 << layer
				src.wantsKey, src.askedKey = false, now
				src.asked++
				dst = p.appendPLI(dst, l, src.ssrc)
			}
		}
		l.stream.KeyframesAsked(asked)
	}
	return dst, waiting
}

// appendPLI appends the request the client agreed to: PLI, or FIR where that is all there is.
func (p *Peer) appendPLI(dst []byte, l *line, ssrc uint32) []byte {
	p.env.Metrics.PLIsOut.Add(1)
	if len(l.Codecs) > 0 && !l.Codecs[0].PLI && l.Codecs[0].FIR {
		p.feedback.firNumber++
		return rtcp.AppendFIR(dst, reporter, ssrc, p.feedback.firNumber)
	}
	return rtcp.AppendPLI(dst, reporter, ssrc)
}
