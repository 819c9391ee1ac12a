package peer

import (
	"time"

	"cardea/relay/bwe"
	"cardea/relay/plane"
	"cardea/relay/stream"
	"cardea/relay/udp"
)

const (
	// audioReserve is kept for each audio line whatever the estimate, bits/s: Opus with FEC in the worst case.
	audioReserve = 64_000
	// pacing is how much faster than the estimate packets may leave, as in libwebrtc: a keyframe is not to take longer than
	// the path needs.
	pacing = 2.5
	// grace is how long after connecting video is sent whatever the estimate: so long it takes to measure the path.
	grace = 3 * time.Second
	// congestedLoss and congestedRTT are the signs without which not even the lowest layer's price stops it.
	congestedLoss = 0.03
	congestedRTT  = 500 * time.Millisecond
	// probePacket is the size of probe packets, bytes.
	probePacket = 1100
)

// offers is what the allocator is asked with; kept to spare allocations.
type offers struct {
	demands   []bwe.Demand
	rates     []uint32
	qualities []stream.Quality
	tracks    []*downTrack
	first     []int // of each track's qualities; one more than tracks
	levels    []int
}

// allocate shares the client's bandwidth out among the video lines, and paces accordingly.
func (p *Peer) allocate(now int64) {
	o := &p.offers
	o.demands, o.rates, o.qualities, o.tracks, o.first = o.demands[:0], o.rates[:0], o.qualities[:0], o.tracks[:0], o.first[:0]
	audio := uint64(0)
	for _, l := range p.lines {
		switch {
		case l.down == nil:
		case l.Kind == plane.Audio:
			audio += audioReserve
		case l.Kind == plane.Video:
			p.offer(l.down)
		}
	}
	estimate := p.estimator.Estimate()
	if len(o.tracks) == 0 {
		p.pacer.rate.Store(0)
		return
	}
	o.first = append(o.first, len(o.qualities))
	for i, d := range o.tracks {
		o.demands = append(o.demands, bwe.Demand{
			ID: d.track.Config().SSRC, Bitrates: o.rates[o.first[i]:o.first[i+1]], Ceiling: d.ceiling(o.qualities[o.first[i]:o.first[i+1]]),
		})
	}
	o.levels = p.allocator.Allocate(o.levels[:0], estimate, audio, o.demands, now)
	p.estimator.Want(p.allocator.Wanted())
	allocated := audio
	for i, d := range o.tracks {
		offered := o.qualities[o.first[i]:o.first[i+1]]
		if o.levels[i] == bwe.Paused && (now-p.upAt < int64(grace) || !p.congested()) {
			o.levels[i] = 0 // a picture is what the client came for, and an estimate alone is a guess
		}
		if o.levels[i] != bwe.Paused {
			allocated += uint64(offered[o.levels[i]].Bitrate)
		}
		d.limit(offered, o.levels[i], now)
	}
	p.pacer.rate.Store(int64(pacing * float64(max(estimate, allocated))))
}

// congested tells whether the client's path shows that it takes no more: packets are lost, or wait for long. A slow machine
// can make the delay-based estimate fall as well, and there video is not to stop.
func (p *Peer) congested() bool {
	return p.estimator.LossFraction() > congestedLoss || p.estimator.RTT() > congestedRTT
}

// offer appends what a video line could be sent.
func (p *Peer) offer(d *downTrack) {
	o := &p.offers
	from := len(o.qualities)
	d.locked(func() {
		if d.stream != nil {
			o.qualities = d.track.Layers(o.qualities)
		}
	})
	if len(o.qualities) == from {
		return // nothing flows, or nobody publishes
	}
	o.tracks, o.first = append(o.tracks, d), append(o.first, from)
	for _, q := range o.qualities[from:] {
		o.rates = append(o.rates, q.Bitrate)
	}
}

// ceiling returns the index of the highest quality the client asked for.
func (d *downTrack) ceiling(offered []stream.Quality) int {
	d.mu.Lock()
	sub := d.sub
	d.mu.Unlock()
	within := func(v, most int8) bool { return most < 0 || v <= most }
	best := 0
	for i, q := range offered {
		if within(q.Substream, sub.Substream) && within(q.Temporal, sub.Temporal) && within(q.Spatial, sub.SpatialLayer) &&
			within(q.Temporal, sub.TemporalSVC) {
			best = i
		}
	}
	return best
}

// limit makes a quality the highest that is sent, or stops the line while nothing fits.
func (d *downTrack) limit(offered []stream.Quality, level int, now int64) {
	d.locked(func() {
		if d.stream == nil {
			return
		}
		d.track.SetPaused(level == bwe.Paused, now)
		switch {
		case level == bwe.Paused:
		case level == len(offered)-1:
			d.track.SetLimit(stream.Highest)
		default:
			d.track.SetLimit(offered[level])
		}
	})
}

// probe sends the padding that the estimator asks for, on the first video line that can carry it. It reports whether a probe
// is under way: what goes out late measures a lower rate.
func (p *Peer) probe(now int64, out *udp.Outbox) (more bool) {
	n := p.estimator.Padding(now)
	for _, l := range p.lines {
		if l.down == nil || l.Kind != plane.Video || l.RTX == 0 || !l.down.counted {
			continue // what no feedback speaks of measures nothing
		}
		more = more || p.estimator.Probing()
		for n > 0 {
			sent := l.down.probe(min(n, probePacket), now, out)
			if sent == 0 {
				break
			}
			n -= sent
		}
	}
	return more
}
