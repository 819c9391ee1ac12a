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
	info["flags"], info["sdps"], info["queued-packets"] = n.flags(), n.sdps(), 0
	if waiting := h.peer.trickles.count(); waiting > 0 {
		info["pending-trickles"] = waiting
	}
	if n == nil {
		return reply, nil
	}
	info["agent-created"], info["ice-mode"], info["ice-role"] = n.opened.UnixMicro(), "lite", "controlled"
	if n.clientText == "" {
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
	local, remote   plane.Transport
	setup           plane.Setup
	lines           []sdp.Media // ours; they do not change any more
	text            string      // our session description
	clientText      string      // the client's, "" before the first negotiation
	offered         bool        // the client's offer waits for its answer
	awaited         bool        // ours does
	negotiated      bool
	restarted       bool // ICE, at least once
	trickle, e2ee   bool
	opened, started time.Time
	up              time.Time // zero until ICE and DTLS are done
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
	n := &negotiation{
		local: c.local, remote: c.remote, setup: c.setup, lines: c.settled, clientText: c.clientText, offered: p.offer != nil,
		awaited: c.pending != nil, negotiated: c.negotiated(), restarted: c.generation > 0, trickle: c.trickle, e2ee: c.e2ee,
		opened: c.opened, started: c.started,
	}
	role := c.setup
	if n.awaited {
		n.lines, role = c.pending, plane.ActPass
	}
	if n.lines != nil {
		n.text = c.text(n.lines, role)
	}
	if at := c.upAt.Load(); at != 0 {
		n.up = time.Unix(0, at)
	}
	return n
}

// flags are Janus's flags of a handle. Those that stand for steps that are one here are never seen set.
func (n *negotiation) flags() object {
	f := object{}
	for _, name := range []string{
		"got-offer", "got-answer", "negotiated", "processing-offer", "starting", "ice-restart", "ready", "stopped", "alert", "trickle",
		"all-trickles", "resend-trickles", "trickle-synced", "data-channels", "has-audio", "has-video", "new-datachan-sdp", "rfc4588-rtx",
		"cleaning", "e2ee",
	} {
		f[name] = false
	}
	if n == nil {
		return f
	}
	f["got-offer"], f["got-answer"], f["negotiated"] = n.negotiated || n.offered || n.awaited, n.negotiated, n.negotiated
	f["processing-offer"], f["ready"], f["starting"] = n.offered, !n.up.IsZero(), n.negotiated && n.up.IsZero()
	f["trickle"], f["all-trickles"], f["e2ee"] = n.trickle, n.negotiated && n.trickle && n.remote.Complete, n.e2ee
	f["ice-restart"] = n.restarted && n.up.IsZero()
	for i := range n.lines {
		m := &n.lines[i]
		if m.Rejected {
			continue
		}
		switch m.Kind {
		case plane.Audio:
			f["has-audio"] = true
		case plane.Video:
			f["has-video"] = true
		case plane.Data:
			f["data-channels"] = true
		}
		if codec, ok := m.Codec(); ok && codec.RTX != 0 {
			f["rfc4588-rtx"] = true
		}
	}
	return f
}

func (n *negotiation) sdps() object {
	o := object{}
	if n == nil {
		return o
	}
	for i := range n.lines {
		if n.lines[i].Kind != plane.Data {
			o["profile"] = n.lines[i].Proto
			break
		}
	}
	if n.text != "" {
		o["local"] = n.text
	}
	if n.clientText != "" {
		o["remote"] = n.clientText
	}
	return o
}

// webrtc tells of the transport and the media.
func (n *negotiation) webrtc(st *plane.PeerStats) object {
	client, err := sdp.Parse(n.clientText) // for what only the admin API asks for, so it is not kept
	if err != nil {
		client = &sdp.Description{}
	}
	extensions := map[string]uint8{}
	var twcc uint8
	data := false
	for i := range n.lines {
		m := &n.lines[i]
		for _, e := range m.Extensions {
			extensions[e.URI] = e.ID
		}
		data = data || m.Kind == plane.Data && !m.Rejected
		twcc = max(twcc, m.Extension(plane.ExtTransportCC))
	}
	media := object{}
	for i := range n.lines {
		if m := &n.lines[i]; !m.Rejected {
			media[m.Mid] = mediaInfo(i, m, client.Media(m.Mid), st)
		}
	}
	bwe := object{"twcc": twcc != 0, "twcc-ext-id": twcc}
	return object{"ice": n.ice(st), "dtls": n.dtls(st, data), "extensions": extensions, "bwe": bwe, "media": media}
}

// iceStates are Janus's words for the states of the media plane's peers.
var iceStates = map[string]string{"new": "gathering", "checking": "connecting", "connected": "ready", "disconnected": "disconnected", "closed": "failed"}

func (n *negotiation) ice(st *plane.PeerStats) object {
	o := object{
		"stream_id": 1, "component_id": 1, "state": cmp.Or(iceStates[st.State], "disconnected"), "gathered": n.opened.UnixMicro(),
		"local-candidates": candidateTexts(n.local.Candidates), "remote-candidates": candidateTexts(n.remote.Candidates), "ready": 0,
	}
	if st.Remote != "" {
		o["selected-pair"] = endpoint(st.Local, st.Protocol, n.local.Candidates, "host") + " <-> " +
			endpoint(st.Remote, st.Protocol, n.remote.Candidates, "prflx")
	}
	if !n.up.IsZero() {
		o["ready"], o["connected"] = 1, n.up.UnixMicro()
	}
	return o
}

func candidateTexts(cands []plane.Candidate) []string {
	l := make([]string, len(cands))
	for i, c := range cands {
		l[i] = strings.TrimPrefix(sdp.FormatCandidate(c), "candidate:")
	}
	return l
}

// endpoint is one end of the selected pair; kind is what it is unless a candidate says otherwise.
func endpoint(address, protocol string, cands []plane.Candidate, kind string) string {
	return address + " [" + candidateKind(address, cands, kind) + "," + protocol + "]"
}

// candidateKind is the type of the candidate of an address, def if there is none.
func candidateKind(address string, cands []plane.Candidate, def string) string {
	if i := slices.IndexFunc(cands, func(c plane.Candidate) bool {
		return address == c.Address+":"+strconv.Itoa(int(c.Port)) || address == "["+c.Address+"]:"+strconv.Itoa(int(c.Port))
	}); i >= 0 {
		return cands[i].Type
	}
	return def
}

// dtlsStates are Janus's words for the states of DTLS.
var dtlsStates = map[string]string{"new": "created", "connecting": "trying", "connected": "connected", "failed": "failed", "closed": "failed"}

// dtls tells of the encrypted transport, to which ICE and DTLS are one step. Its counters are those of the media in it.
func (n *negotiation) dtls(st *plane.PeerStats, data bool) object {
	o := object{
		"dtls-role": "passive", "dtls-state": cmp.Or(dtlsStates[st.DTLSState], "created"), "retransmissions": 0, "valid": !n.up.IsZero(),
		"ready": !n.up.IsZero(), "sctp-association": data && !n.up.IsZero(), "srtp-profile": st.SRTPProfile, "stats": transportStats(st),
	}
	if n.setup == plane.Active {
		o["dtls-role"] = "active"
	}
	if len(n.local.Fingerprints) > 0 {
		o["fingerprint"] = n.local.Fingerprints[0].Value
	}
	if len(n.remote.Fingerprints) > 0 {
		o["remote-fingerprint"], o["remote-fingerprint-hash"] = n.remote.Fingerprints[0].Value, n.remote.Fingerprints[0].Algorithm
	}
	if !n.up.IsZero() {
		o["handshake-started"], o["connected"] = n.up.UnixMicro(), n.up.UnixMicro()
	}
	return o
}

func transportStats(st *plane.PeerStats) object {
	var packets, bytes [2]uint64 // in, out
	for i := range st.Lines {
		l, out := &st.Lines[i], 0
		if l.Sending {
			out = 1
		}
		packets[out] += l.Packets
		bytes[out] += l.Bytes
	}
	return object{"in": object{"packets": packets[0], "bytes": bytes[0]}, "out": object{"packets": packets[1], "bytes": bytes[1]}}
}

// mediaInfo tells of one line: what was agreed, and what the media plane counts. client is the client's side of it, nil
// when it is not known.
func mediaInfo(mindex int, m, client *sdp.Media, st *plane.PeerStats) object {
	o := object{
		"type": m.Kind.String(), "mindex": mindex, "mid": m.Mid,
		"direction": object{"send": m.Direction.Sends(), "recv": m.Direction.Receives()},
	}
	if client != nil && client.Msid != "" {
		stream, track, _ := strings.Cut(client.Msid, " ")
		o["msid"] = object{"remote-stream": stream, "remote-track": track}
	}
	if m.Kind == plane.Data {
		return o
	}
	in, out := lineStats(st, m.Mid, false), lineStats(st, m.Mid, true)
	codec, _ := m.Codec()
	o["codecs"] = object{"pt": codec.PayloadType, "codec": sdp.CodecName(m.Kind, codec)}
	o["do_nacks"], o["nack-queue-ms"] = codec.NACK, 0
	if codec.NACK && m.Direction.Sends() {
		o["nack-queue-ms"] = minNACKQueue
	}
	ssrc := object{"ssrc": m.SSRC}
	for i, l := range in.Layers {
		key := "ssrc-peer"
		if i > 0 {
			key += "-sim-" + strconv.Itoa(i)
		}
		ssrc[key] = l.SSRC
	}
	o["ssrc"] = ssrc
	o["rtcp"] = object{"main": object{
		"base": codec.ClockRate, "rtt": st.RTT.Milliseconds(), "lost": in.Lost, "lost-by-remote": out.Lost,
		"jitter-local": in.Jitter.Milliseconds(), "jitter-remote": out.Jitter.Milliseconds(),
	}}
	received := object{"packets": in.Packets, "bytes": in.Bytes, "bytes_lastsec": in.lastSecond()}
	if m.Kind == plane.Video {
		received["nacks"], received["retransmissions"] = in.NACKs, in.Repaired
	}
	o["stats"] = object{"in": received, "out": object{
		"packets": out.Packets, "bytes": out.Bytes, "bytes_lastsec": out.lastSecond(), "nacks": out.NACKs,
	}}
	return o
}

// lineFigures is what the media plane sees of one direction of a line.
type lineFigures struct{ plane.LineStats }

func lineStats(st *plane.PeerStats, mid string, sending bool) lineFigures {
	for i := range st.Lines {
		if l := &st.Lines[i]; l.Mid == mid && l.Sending == sending {
			return lineFigures{*l}
		}
	}
	return lineFigures{}
}

// lastSecond is what flows now, bytes a second.
func (l lineFigures) lastSecond() uint32 {
	var bits uint32
	for _, y := range l.Layers {
		bits += y.Bitrate
	}
	return bits / 8
}
