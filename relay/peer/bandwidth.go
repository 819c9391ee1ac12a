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
	limited      bool    // the client was asked to stay below a limit before
	requested    uint64  // bits/s the client was last asked to stay below
	requestedAt  int64   // ns
}

// measure turns what was counted since the last call into rates.
func (b *bandwidth) measure(elapsed time.Duration, sent uint64) {
	b.receivedRate = float64(8*b.received) / elapsed.Seconds()
	b.received = 0
	b.sentRate = float64(8*(sent-b.sentBefore)) / elapsed.Seconds()
	b.sentBefore = sent
}

const (
	// limitInterval is how often a limit is repeated to the client, ns.
	limitInterval = int64(time.Second)
	// noLimit is what Janus asks for where there is no limit, bits/s: clients go on obeying the last one they heard.
	noLimit = 10_000_000
)

// appendLimit asks the client to stay below what its publications say, by REMB. The limit is for all it sends together, and
// counts each line that has none with noLimit.
func (p *Peer) appendLimit(dst []byte, now int64) []byte {
	limit, limited := uint64(0), p.bandwidth.limited
	var ssrcs [maxSources]uint32
	n := 0
	for _, l := range p.lines {
		if l.Kind != plane.Video || l.stream == nil || len(l.Codecs) == 0 || !l.Codecs[0].REMB {
			continue
		}
		sends := false
		for _, src := range l.layers {
			if src != nil && n < len(ssrcs) {
				ssrcs[n] = src.ssrc
				n++
				sends = true
			}
		}
		switch {
		case !sends:
		case l.pub.Bitrate == 0:
			limit += noLimit
		default:
			limit += uint64(l.pub.Bitrate)
			limited = true
		}
	}
	if n == 0 || !limited || limit == p.bandwidth.requested && now-p.bandwidth.requestedAt < limitInterval {
		return dst
	}
	p.bandwidth.limited, p.bandwidth.requested, p.bandwidth.requestedAt = true, limit, now
	return rtcp.AppendREMB(dst, reporter, limit, ssrcs[:n])
}
