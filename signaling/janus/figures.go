package janus

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"time"

	"cardea/relay/plane"
	"cardea/signaling/events"
	"cardea/signaling/sdp"
)

const (
	// terminated is the number of the signal that ends the process (SIGTERM), in Janus's event about that.
	terminated = 15
	// maxAsked is how many questions about peers wait for the media plane at once, which may be far away.
	maxAsked = 16
	// lastStatsTime bounds the wait for the last figures of a peer that is about to be closed.
	lastStatsTime = 250 * time.Millisecond
)

// reportCore tells of the server as a whole.
func (s *Server) reportCore(subtype int, body object) {
	s.cfg.Events.EmitBody(events.Core, subtype, events.Origin{}, body)
}

// reportFigures tells each period how much there is, if that has changed, and what flows, until ctx is done.
func (s *Server) reportFigures(ctx context.Context) {
	if s.cfg.Events == nil || s.cfg.StatsPeriod <= 0 {
		return
	}
	tick := time.NewTicker(s.cfg.StatsPeriod)
	defer tick.Stop()
	var told serverFigures
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			s.reportUpdate(&told, time.Now())
			s.reportFlows(ctx)
		}
	}
}

// serverFigures is how much there was when it was told last.
type serverFigures struct {
	sessions, handles, peers int64
	at                       time.Time
}

// sameFiguresEvery is how often figures are told that have not changed: a server with nothing to do says little, and yet that it is there.
const sameFiguresEvery = time.Minute

// due tells whether figures are to be told after those that were told last.
func (f serverFigures) due(last serverFigures) bool {
	at := last.at
	last.at = f.at
	return f != last || f.at.Sub(at) >= sameFiguresEvery
}

// reportUpdate tells how much there is, if that is news.
func (s *Server) reportUpdate(told *serverFigures, now time.Time) {
	f := serverFigures{s.metrics.Sessions.Load(), s.metrics.Handles.Load(), s.metrics.Peers.Load(), now}
	if !s.cfg.Events.Wants(events.Core) || !f.due(*told) {
		return
	}
	*told = f
	s.reportCore(events.Running, object{"status": "update", "info": object{
		"sessions": f.sessions, "handles": f.handles, "peerconnections": f.peers, "stats-period": int(s.cfg.StatsPeriod / time.Second),
	}})
}

// reportFlows asks the media plane about all peers that are up, and has their handles tell.
func (s *Server) reportFlows(ctx context.Context) {
	if !s.cfg.Events.Wants(events.Media) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, max(s.cfg.StatsPeriod, time.Second))
	defer cancel()
	var asked sync.WaitGroup
	tokens := make(chan struct{}, maxAsked)
	s.peers.Range(func(_, v any) bool {
		h := v.(*Handle)
		c := h.peer.open.Load()
		if c == nil || c.upAt.Load() == 0 || h.backlog() > 0 {
			return ctx.Err() == nil // a handle with much to do has better to do
		}
		tokens <- struct{}{}
		asked.Go(func() {
			defer func() { <-tokens }()
			st, err := s.cfg.Plane.Stats(ctx, c.id)
			if err != nil {
				if !errors.Is(err, plane.ErrNoPeer) && ctx.Err() == nil {
					h.log.Debug("no figures of the peer", "error", err)
				}
				return
			}
			h.enqueue(func(context.Context) {
				if h.peer.open.Load() == c {
					h.reportStats(c, &st, time.Now())
				}
			})
		})
		return ctx.Err() == nil
	})
	asked.Wait()
}

// reportLastStats tells what flowed until now, before the peer is closed. It runs in the handle's turn.
func (h *Handle) reportLastStats(ctx context.Context, c *connection) {
	if !h.wants(events.Media) || c.upAt.Load() == 0 {
		return
	}
	if c.over { // the media plane has let go of what it counted
		h.emitStats(c.sample.told)
		return
	}
	ctx, cancel := context.WithTimeout(ctx, lastStatsTime)
	defer cancel()
	if st, err := h.session.server.cfg.Plane.Stats(ctx, c.id); err == nil {
		h.reportStats(c, &st, time.Now())
	}
}

// reportStats tells what the media plane counts of a peer. It runs in the handle's turn.
func (h *Handle) reportStats(c *connection, st *plane.PeerStats, now time.Time) {
	c.sample.take(c.settled, st, now)
	h.emitStats(c.sample.told)
}

func (h *Handle) emitStats(all []any) {
	if h.session.server.cfg.CombineMediaStats && len(all) > 0 {
		h.report(events.Media, events.MediaStats, all)
		return
	}
	for _, m := range all {
		h.report(events.Media, events.MediaStats, m)
	}
}

// mediaFigures are the figures of one line, or of one simulcast substream of it, in Janus's event. Directions are the node's: what it
// received and sent.
type mediaFigures struct {
	Mid                  string `json:"mid"`
	MIndex               int    `json:"mindex"`
	Media                string `json:"media"` // "audio", "video"; "video-sim1" and "video-sim2" are the upper substreams of simulcast
	Codec                string `json:"codec,omitempty"`
	Base                 uint32 `json:"base"` // clock rate
	RTT                  int64  `json:"rtt"`  // ms
	Lost                 uint64 `json:"lost"`
	LostByRemote         uint64 `json:"lost-by-remote"`
	JitterLocal          int64  `json:"jitter-local"`           // ms
	JitterRemote         int64  `json:"jitter-remote"`          // ms
	InLinkQuality        int    `json:"in-link-quality"`        // % of the packets that came, in the last period
	InMediaLinkQuality   int    `json:"in-media-link-quality"`  // with those that came when asked for again
	OutLinkQuality       int    `json:"out-link-quality"`       // the same of what was sent
	OutMediaLinkQuality  int    `json:"out-media-link-quality"` //
	PacketsReceived      uint64 `json:"packets-received"`
	PacketsSent          uint64 `json:"packets-sent"`
	BytesReceived        uint64 `json:"bytes-received"`
	BytesSent            uint64 `json:"bytes-sent"`
	BytesReceivedLastSec uint64 `json:"bytes-received-lastsec"`
	BytesSentLastSec     uint64 `json:"bytes-sent-lastsec"`
	NACKsReceived        uint64 `json:"nacks-received"`
	NACKsSent            uint64 `json:"nacks-sent"`
	Retransmissions      uint64 `json:"retransmissions-received"`
}

// dataFigures are the figures of a data line.
type dataFigures struct {
	Mid             string `json:"mid"`
	MIndex          int    `json:"mindex"`
	Media           string `json:"media"`
	PacketsReceived uint64 `json:"packets-received"`
	PacketsSent     uint64 `json:"packets-sent"`
	BytesReceived   uint64 `json:"bytes-received"`
	BytesSent       uint64 `json:"bytes-sent"`
}

// sample is what flowed in a PeerConnection when it was last looked at.
type sample struct {
	at       time.Time
	in, out  map[string]plane.LineStats // by mid
	told     []any                      // as events have it
	previous struct{ in, out map[string]plane.LineStats }
}

// take looks at a peer again.
func (s *sample) take(lines []sdp.Media, st *plane.PeerStats, now time.Time) {
	elapsed := now.Sub(s.at)
	first := s.at.IsZero()
	s.previous.in, s.previous.out = s.in, s.out
	s.at, s.told = now, nil
	s.in, s.out = make(map[string]plane.LineStats, len(lines)), make(map[string]plane.LineStats, len(lines))
	for _, l := range st.Lines {
		if l.Sending {
			s.out[l.Mid] = l
		} else {
			s.in[l.Mid] = l
		}
	}
	if first {
		elapsed = 0
	}
	for i := range lines {
		if m := &lines[i]; !m.Rejected {
			s.told = append(s.told, s.describe(i, m, st.RTT, elapsed)...)
		}
	}
}

// describe makes the entries of one line.
func (s *sample) describe(mindex int, m *sdp.Media, rtt, elapsed time.Duration) []any {
	in, out := s.in[m.Mid], s.out[m.Mid]
	if m.Kind == plane.Data {
		return []any{dataFigures{m.Mid, mindex, "data", in.Packets, out.Packets, in.Bytes, out.Bytes}}
	}
	wasIn, wasOut := s.previous.in[m.Mid], s.previous.out[m.Mid]
	codec, _ := m.Codec()
	f := mediaFigures{
		Mid: m.Mid, MIndex: mindex, Media: m.Kind.String(), Codec: sdp.CodecName(m.Kind, codec), Base: codec.ClockRate,
		RTT: rtt.Milliseconds(), Lost: in.Lost, LostByRemote: out.Lost,
		JitterLocal: in.Jitter.Milliseconds(), JitterRemote: out.Jitter.Milliseconds(),
		PacketsReceived: in.Packets, PacketsSent: out.Packets, BytesReceived: in.Bytes, BytesSent: out.Bytes,
		BytesReceivedLastSec: perSecond(in.Bytes, wasIn.Bytes, elapsed), BytesSentLastSec: perSecond(out.Bytes, wasOut.Bytes, elapsed),
		NACKsReceived: out.NACKs, NACKsSent: in.NACKs, Retransmissions: in.Repaired,
	}
	f.InLinkQuality, f.InMediaLinkQuality = received(in, wasIn)
	f.OutLinkQuality, f.OutMediaLinkQuality = arrived(out, wasOut)
	upper := f.substreams(in, wasIn, elapsed) // takes away from f
	return append([]any{f}, upper...)
}

// substreams makes entries of the upper substreams of simulcast, whose packets f counts no more. Loss is counted of the line alone.
func (f *mediaFigures) substreams(in, was plane.LineStats, elapsed time.Duration) (upper []any) {
	for i := range in.Layers {
		l := &in.Layers[i]
		if l.Substream < 1 {
			continue
		}
		sub := mediaFigures{
			Mid: f.Mid, MIndex: f.MIndex, Media: f.Media + "-sim" + strconv.Itoa(int(l.Substream)), Codec: f.Codec, Base: f.Base,
			InLinkQuality: f.InLinkQuality, InMediaLinkQuality: f.InMediaLinkQuality, PacketsReceived: l.Packets, BytesReceived: l.Bytes,
		}
		for j := range was.Layers {
			if was.Layers[j].Substream == l.Substream {
				sub.BytesReceivedLastSec = perSecond(l.Bytes, was.Layers[j].Bytes, elapsed)
			}
		}
		f.PacketsReceived -= min(l.Packets, f.PacketsReceived)
		f.BytesReceived -= min(l.Bytes, f.BytesReceived)
		f.BytesReceivedLastSec -= min(sub.BytesReceivedLastSec, f.BytesReceivedLastSec)
		upper = append(upper, sub)
	}
	return upper
}

// perSecond is how much a counter grew in a second; 0 while that is not known.
func perSecond(now, before uint64, elapsed time.Duration) uint64 {
	if elapsed <= 0 || now < before {
		return 0
	}
	return uint64(float64(now-before) / elapsed.Seconds())
}

// grown is how much a counter grew; one that began anew grew from 0.
func grown(now, before uint64) uint64 {
	if now < before {
		return now
	}
	return now - before
}

// received is the share of the client's packets that came since the last time, in percent: at the first attempt, and at all.
func received(now, before plane.LineStats) (link, media int) {
	if now.Packets == 0 {
		return 0, 0 // the client sends nothing
	}
	packets, lost := grown(now.Packets, before.Packets), grown(now.Lost, before.Lost)
	repaired := min(grown(now.Repaired, before.Repaired), packets)
	return share(packets-repaired, lost+repaired), share(packets, lost)
}

// arrived is the share of the node's packets that the client says it got since the last time, likewise.
func arrived(now, before plane.LineStats) (link, media int) {
	if now.Packets == 0 {
		return 0, 0
	}
	packets := grown(now.Packets, before.Packets)
	lost := min(grown(now.Lost, before.Lost), packets)
	missing := lost - min(lost, grown(now.Repaired, before.Repaired))
	return share(packets-lost, lost), share(packets-missing, missing)
}

func share(good, bad uint64) int {
	if good+bad == 0 {
		return 100
	}
	return int(100 * good / (good + bad)) //nolint:gosec // at most 100
}
