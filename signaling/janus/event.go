package janus

import (
	"context"
	"errors"
	"time"

	"cardea/relay/plane"
	"cardea/signaling/events"
)

// maxReports is the number of tasks that may wait for a handle before reports that can be missed (media, slow links,
// layers) are left out.
const maxReports = 256

// reasonICE is why a PeerConnection ends whose client is gone.
const reasonICE = "ICE failed"

// events takes the media plane's events and passes each to its handle until ctx is done.
func (s *Server) events(ctx context.Context) {
	var after uint64
	pause := time.Millisecond
	for ctx.Err() == nil {
		l, err := s.cfg.Plane.Events(ctx, after)
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, plane.ErrEventsLost) && len(l) > 0:
			s.metrics.PlaneEventsLost.Add(1)
			s.log.Warn("events of the media plane lost, looking at all peers", "after", after, "next", l[0].Number)
			after = l[0].Number
			s.reconcile()
			continue
		case err != nil:
			s.log.Warn("no events of the media plane", "error", err)
			pause = min(2*pause, time.Second)
			select {
			case <-ctx.Done():
			case <-time.After(pause):
			}
			continue
		}
		pause = time.Millisecond
		for _, e := range l {
			after = e.Number
			s.dispatch(e)
		}
	}
}

// dispatch passes an event to the handle whose peer it is about. It never blocks.
func (s *Server) dispatch(e plane.Event) {
	v, ok := s.peers.Load(e.Peer)
	if !ok {
		return
	}
	h := v.(*Handle)
	if e.Type != plane.EventUp && e.Type != plane.EventDown && h.backlog() > maxReports {
		s.metrics.EventsDropped.Add(1)
		return
	}
	h.enqueue(func(ctx context.Context) { h.happened(ctx, e) })
}

// backlog is the number of tasks that wait.
func (h *Handle) backlog() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.tasks)
}

// happened handles an event of the handle's peer. It runs in the handle's turn.
func (h *Handle) happened(ctx context.Context, e plane.Event) {
	c := h.peer.open.Load()
	if c == nil || c.id != e.Peer {
		return // of a PeerConnection that was closed meanwhile
	}
	switch e.Type {
	case plane.EventUp:
		if !c.upAt.CompareAndSwap(0, time.Now().UnixNano()) {
			return
		}
		h.instance.Media(ctx, e)
		h.notify(&message{Janus: "webrtcup"})
		h.report(events.WebRTC, events.Connection, object{"connection": "webrtcup"})
		h.changed()
	case plane.EventDown:
		if e.Reason == reasonICE && !c.failed {
			h.reportICE("failed")
		}
		c.over = true
		h.hangup(ctx, e.Reason, true)
	case plane.EventPath:
		h.peer.mu.Lock()
		h.reportPath(e, c)
		h.peer.mu.Unlock()
	case plane.EventDTLS:
		h.reportWebRTC(events.DTLSState, "dtls", e.State, "retransmissions", 0)
	case plane.EventICEFailed:
		c.failed = true
		h.reportICE("failed")
		h.notify(&message{Janus: "ice-failed"})
	case plane.EventReceiving:
		h.instance.Media(ctx, e)
		m := receiving(e, h.session.server.noMediaTimer())
		h.notify(&message{Janus: "media", media: m})
		h.reportMedia(m)
	case plane.EventSlowLink:
		h.instance.Media(ctx, e)
		h.notify(&message{Janus: "slowlink", media: media{Media: e.Kind.String(), Mid: e.Mid, Uplink: &e.Uplink, Lost: &e.Lost}})
		h.reportSlowLink(e)
	case plane.EventLayers, plane.EventTalking, plane.EventQuality:
		h.instance.Media(ctx, e)
	}
}

// receiving makes the fields of a media event. How long nothing came is only told when the timer was changed from its
// second, as Janus does.
func receiving(e plane.Event, timer time.Duration) media {
	m := media{Type: e.Kind.String(), Mid: e.Mid, Receiving: &e.Receiving}
	if e.Substream >= 0 {
		m.Substream = &e.Substream
	}
	if !e.Receiving && timer > time.Second {
		m.Seconds = timer.Seconds()
	}
	return m
}

// reconcile looks at every peer, since events about it may have been missed.
func (s *Server) reconcile() {
	s.peers.Range(func(_, v any) bool {
		h := v.(*Handle)
		h.enqueue(h.reconcile)
		return true
	})
}

// reconcile makes up for events that were missed. It runs in the handle's turn.
func (h *Handle) reconcile(ctx context.Context) {
	c := h.peer.open.Load()
	if c == nil {
		return
	}
	st, err := h.session.server.cfg.Plane.Stats(ctx, c.id)
	switch {
	case errors.Is(err, plane.ErrNoPeer), err == nil && st.State == "closed":
		c.over = true
		h.hangup(ctx, reasonICE, true)
	case err != nil:
		h.log.Warn("state of the peer unknown", "error", err)
	case st.State == "connected" && st.DTLSState == "connected":
		h.happened(ctx, plane.Event{Peer: c.id, Type: plane.EventUp, Substream: -1, Temporal: -1, SpatialLayer: -1, TemporalSVC: -1})
	}
}
