package echotest

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"cardea/relay/plane"
	"cardea/signaling/janus"
)

var (
	_ janus.Heir     = Plugin{}
	_ janus.Portable = (*echo)(nil)
)

// state is an echo as another node reads it.
type state struct {
	Audio       bool          `json:"audio"`
	Video       bool          `json:"video"`
	Bitrate     uint32        `json:"bitrate"`
	Substream   int8          `json:"substream"`
	Temporal    int8          `json:"temporal"`
	SpatialSVC  int8          `json:"spatial_svc"`
	TemporalSVC int8          `json:"temporal_svc"`
	Fallback    time.Duration `json:"fallback"`
	MinDelay    int64         `json:"min_delay"`
	MaxDelay    int64         `json:"max_delay"`
	E2EE        bool          `json:"e2ee"`
	SlowLinks   int           `json:"slow_links"`
	Lines       []lineState   `json:"lines"`
	Peer        plane.PeerID  `json:"peer"` // the one that the lines are of
}

// lineState is a line as another node reads it. The layers that flow are not part of it: events tell them.
type lineState struct {
	Mid       string          `json:"mid"`
	Kind      plane.Kind      `json:"kind"`
	Direction plane.Direction `json:"direction"`
	Codec     string          `json:"codec"`
	RED       bool            `json:"red"`
	Simulcast bool            `json:"simulcast"`
	SVC       bool            `json:"svc"`
}

// Snapshot implements [janus.Portable].
func (e *echo) Snapshot() ([]byte, error) {
	s := state{
		Audio: e.audio, Video: e.video, Bitrate: e.bitrate, Substream: e.substream, Temporal: e.temporal, SpatialSVC: e.spatialSVC,
		TemporalSVC: e.temporalSVC, Fallback: e.fallback, MinDelay: e.delay.min, MaxDelay: e.delay.max, E2EE: e.e2ee,
		SlowLinks: e.slowLinks, Peer: e.handle.PeerID(),
	}
	for i := range e.lines {
		l := &e.lines[i]
		s.Lines = append(s.Lines, lineState{l.mid, l.kind, l.direction, l.codec, l.red, l.simulcast, l.svc})
	}
	b, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("echo: %w", err)
	}
	return b, nil
}

// Release implements [janus.Portable]. An echo has nothing in this process.
func (e *echo) Release(context.Context) {}

// Restore implements [janus.Heir].
func (Plugin) Restore(ctx context.Context, h *janus.Handle, b []byte) (janus.Instance, error) {
	var s state
	if err := json.Unmarshal(b, &s); err != nil {
		return nil, fmt.Errorf("echo: %w", err)
	}
	e := &echo{handle: h, e2ee: s.E2EE, slowLinks: s.SlowLinks, settings: settings{
		audio: s.Audio, video: s.Video, bitrate: s.Bitrate, substream: s.Substream, temporal: s.Temporal, spatialSVC: s.SpatialSVC,
		temporalSVC: s.TemporalSVC, fallback: s.Fallback, delay: playoutDelay{s.MinDelay, s.MaxDelay},
	}}
	if s.Peer != "" && s.Peer == h.PeerID() {
		for _, l := range s.Lines {
			e.lines = append(e.lines, line{
				mid: l.Mid, kind: l.Kind, direction: l.Direction, codec: l.Codec, red: l.RED, simulcast: l.Simulcast, svc: l.SVC, layers: noLayers,
			})
		}
	}
	e.publishInfo()
	if err := e.apply(ctx); err != nil {
		h.Log().Warn("echo not resumed", "error", err) // the core finds out about the peer
	}
	return e, nil
}
