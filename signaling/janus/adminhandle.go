package janus

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"cardea/relay/plane"
	"cardea/signaling/sdp"
)

// handleInfo tells all that is known of a handle, as Janus lays it out. Times are microseconds of the Unix clock, so
// that differences mean what they mean in Janus.
func (c *adminCall) handleInfo() (object, *Error) {
	h, x := c.handle, c.session
	info := object{
		"session_id": x.id, "session_last_activity": x.LastActivity().UnixMicro(), "session_timeout": int(x.timeoutIn(c.server) / time.Second),
		"session_transport": x.Transport(), "handle_id": h.id, "loop-running": true, "created": h.created.UnixMicro(),
		"current_time": time.Now().UnixMicro(), "plugin": h.Plugin(), "plugin_specific": h.Query(),
	}
	if h.opaque != "" {
		info["opaque_id"] = h.opaque
	}
	if h.token != "" {
		info["token"] = h.token
	}
	reply := object{"handle_id": h.id, "info": info}
	if c.Bool("plugin_only", false) {
		return reply, nil
	}
	n := h.negotiation()
	info["flags"], info["sdps"], info["queued-packets"] = n.flags(h), n.sdps(), 0
	if waiting := h.peer.trickles.count(); waiting > 0 {
		info["pending-trickles"] = waiting
	}
	if n == nil {
		return reply, nil
	}
	info["agent-created"], info["ice-mode"], info["ice-role"] = n.opened.UnixMicro(), "lite", "controlled"
	if n.remoteText == "" {
		return reply, nil
	}
	info["agent-started"] = n.started.UnixMicro()
	ctx, cancel := context.WithTimeout(c.ctx, closeTime)
	defer cancel()
	st, err := h.Stats(ctx)
	if err != nil {
		h.log.Debug("no figures of the peer", "error", err)
	}
	info["webrtc"] = n.webrtc(&st)
	return reply, nil
}

// negotiation is a copy of what a PeerConnection has agreed.
type negotiation struct {
	connection                        // without its lock; the slices in it do not change any more
	offered         bool              // the client's offer waits for its answer
	awaited         bool              // ours does
	text            string            // our session description
	remoteText      string            // the client's, "" before the first negotiation
	client          *sdp.Description  // the same, parsed
	opened, started time.Time
	upAt            time.Time // zero until ICE and DTLS are done
}

// negotiation returns the state of the handle's PeerConnection, nil when it has none.
func (h *Handle) negotiation() *negotiation {
	p := &h.peer
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.conn
	if c == nil {
		return nil
	}
	return c.snapshot(p.offer != nil)
}
