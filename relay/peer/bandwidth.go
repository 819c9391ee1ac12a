package peer

import (
	"time"

	"cardea/relay/plane"
	"cardea/relay/rtcp"
)

// bandwidth is what the peer knows of the link to its client, both ways. Guarded by Peer.mu.
type bandwidth struct {
	received     int     // bytes since the last measurement
	receivedRate float64 // bits/s
	sentBefore   uint64
	sentRate     float64 // bits/s
	asked        bool    // some publication had a limit
	requested    uint64  // bits/s the client was last asked to stay below, 0 for never
	requestedAt  int64   // ns
	raisedAt     int64   // ns, when it was asked for less before
}

// measure turns what was counted since the last call into rates.
func (b *bandwidth) measure(elapsed time.Duration, sent uint64) {
	b.receivedRate = float64(8*b.received) / elapsed.Seconds()
	b.received = 0
	b.sentRate = float64(8*(sent-b.sentBefore)) / elapsed.Seconds()
	b.sentBefore = sent
}

const (
	// limitInterval is how often a limit is repeated to the client, ns; one that was raised more often at first: somebody waits.
	limitInterval = int64(time.Second)
	raiseInterval = int64(200 * time.Millisecond)
	// noLimit is what Janus asks for where there is no limit any more, bits/s: clients go on obeying the last one they heard.
	noLimit = 10_000_000
	// neverLimit is asked for where no publication ever had one.
	neverLimit = 1_000_000_000
)

// appendLimit asks the client by REMB to stay below what its publications say, and below what of it is wanted. The limit is for
// all it sends together, however many lines that are: what all say is what counts, the least if they differ.
func (p *Peer) appendLimit(dst []byte, now int64) []byte {
	b := &p.bandwidth
	limit := uint64(0)
	var ssrcs [maxSources]uint32
	n := 0
	for _, l := range p.lines {
		if l.Kind != plane.Video || l.stream == nil || len(l.Codecs) == 0 || !l.Codecs[0].REMB {
			continue
		}
		if of := uint64(l.pub.Bitrate); of > 0 && (limit == 0 || of < limit) {
			limit = of
		}
		for _, src := range l.layers {
			if src != nil && n < len(ssrcs) {
				ssrcs[n] = src.ssrc
				n++
			}
		}
	}
	if n == 0 {
		return dst
	}
	b.asked = b.asked || limit > 0
	if held := p.hold.limit; held > 0 && (limit == 0 || held < limit) {
		limit = held
	}
	switch {
	case limit > 0:
	case b.asked:
		limit = noLimit
	case b.requested > 0:
		limit = neverLimit
	default:
		return dst
	}
	if limit > b.requested && b.requested > 0 {
		b.raisedAt = now
	}
	interval := limitInterval
	if now-b.raisedAt < limitInterval {
		interval = raiseInterval
	}
	if limit == b.requested && now-b.requestedAt < interval {
		return dst
	}
	b.requested, b.requestedAt = limit, now
	return rtcp.AppendREMB(dst, reporter, limit, ssrcs[:n])
}
