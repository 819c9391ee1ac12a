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
	requested    uint32  // bits/s the client was last asked to stay below
	requestedAt  int64   // ns
}

// measure turns what was counted since the last call into rates.
func (b *bandwidth) measure(elapsed time.Duration, sent uint64) {
	b.receivedRate = float64(8*b.received) / elapsed.Seconds()
	b.received = 0
	b.sentRate = float64(8*(sent-b.sentBefore)) / elapsed.Seconds()
	b.sentBefore = sent
}

// limitInterval is how often a limit is repeated to the client.
const limitInterval = int64(time.Second)

// appendLimit asks the client to stay below what its publications say, by REMB.
func (p *Peer) appendLimit(dst []byte, now int64) []byte {
	var limit uint32
	var ssrcs [maxSources]uint32
	n := 0
	for _, l := range p.lines {
		if l.Kind != plane.Video || l.pub.Bitrate == 0 || len(l.Codecs) == 0 || !l.Codecs[0].REMB {
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
		if sends {
			limit += l.pub.Bitrate
		}
	}
	if n == 0 || limit == p.bandwidth.requested && now-p.bandwidth.requestedAt < limitInterval {
		return dst
	}
	p.bandwidth.requested, p.bandwidth.requestedAt = limit, now
	return rtcp.AppendREMB(dst, reporter, uint64(limit), ssrcs[:n])
}
