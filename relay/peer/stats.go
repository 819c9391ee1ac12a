package peer

import (
	"time"

	"cardea/relay/plane"
)

// Stats tells what the node sees of the client.
func (p *Peer) Stats() plane.PeerStats {
	now := p.env.Clock.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	st := plane.PeerStats{
		State: p.state.String(), DTLSState: "new", Protocol: p.protocol,
		RTT:          time.Duration(p.feedback.rtt),
		Estimate:     uint32(p.estimator.Estimate()),                                           //nolint:gosec // bits/s of one client
		ReceivedRate: uint32(p.bandwidth.receivedRate), SentRate: uint32(p.bandwidth.sentRate), //nolint:gosec // the same
	}
	switch {
	case p.closed:
		st.State, st.DTLSState = "closed", "closed"
	case p.up:
		st.DTLSState, st.SRTPProfile = "connected", p.profile.String()
	case p.handshake:
		st.DTLSState = "connecting"
	}
	if path := p.dest.Load(); path != nil {
		st.Remote, st.Local = path.Remote.String(), p.localEnd(*path)
	}
	for _, l := range p.lines {
		if l.Direction.Receives() {
			st.Lines = append(st.Lines, p.receivedStats(l, now))
		}
		if l.down != nil {
			st.Lines = append(st.Lines, l.down.stats(l))
		}
	}
	return st
}

func (p *Peer) receivedStats(l *line, now int64) plane.LineStats {
	st := plane.LineStats{Mid: l.Mid, Kind: l.Kind, Stream: l.pub.Stream, Talking: l.talking.on}
	if l.stream != nil {
		s := l.stream.Stats(now)
		st.Codec, st.Width, st.Height, st.Keyframes, st.Layers = s.Codec, s.Width, s.Height, s.Keyframes, s.Layers
	}
	t := &l.past
	st.Packets, st.Bytes, st.Lost, st.NACKs, st.Repaired, st.PLIs = t.packets, t.bytes, t.lost, t.nacked, t.repaired, t.asked
	for i, src := range l.layers {
		if src == nil {
			continue
		}
		r := &src.reception
		st.Packets += r.packets
		st.Bytes += r.bytes
		st.Lost += uint64(r.lost()) //nolint:gosec // not negative
		st.NACKs += r.nacked
		st.Repaired += r.repaired
		st.PLIs += src.asked
		if rate := l.clockRate(); rate > 0 {
			st.Jitter = max(st.Jitter, time.Duration(r.jitter*float64(time.Second)/float64(rate)))
		}
		for j := range st.Layers {
			if int(max(st.Layers[j].Substream, 0)) == i {
				st.Layers[j].RID, st.Layers[j].Packets, st.Layers[j].Bytes = src.rid, r.packets, r.bytes
			}
		}
	}
	return st
}

func (d *downTrack) stats(l *line) plane.LineStats {
	st := plane.LineStats{
		Mid: l.Mid, Kind: l.Kind, Sending: true, Stream: d.sub.Stream,
		Packets: d.packets.Load(), Bytes: d.bytes.Load(), Repaired: d.repaired.Load(),
		NACKs: d.nacked.Load(), PLIs: d.plis.Load(), Lost: uint64(max(d.lost.Lost, 0)), //nolint:gosec // not negative
	}
	if rate := l.clockRate(); rate > 0 {
		st.Jitter = time.Duration(d.lost.Jitter) * time.Second / time.Duration(rate)
	}
	d.locked(func() {
		if d.stream == nil {
			return
		}
		substream, spatial, temporal := d.track.Current()
		sent := d.track.Stats()
		st.Codec, st.Width, st.Height, st.Keyframes = sent.Codec, sent.Width, sent.Height, sent.Keyframes
		if v := d.viewer; v != nil {
			st.FirstFrame, st.Watched = time.Duration(v.FirstFrame()), time.Duration(v.Watched)
			st.Frozen, st.Stalls = time.Duration(v.Frozen), v.Count
		}
		st.Layers = []plane.LayerStats{{Substream: substream, Spatial: spatial, Temporal: temporal, Bitrate: d.rate, SSRC: l.SSRC}}
	})
	return st
}
