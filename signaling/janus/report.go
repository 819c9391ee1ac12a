package janus

import (
	"net"
	"strconv"

	"cardea/relay/plane"
	"cardea/signaling/events"
)

// What happens to sessions and handles is told on the bus in Janus's words. Everything about a handle is told in its turn, so it
// is in the order in which it happened, and a session's end after those of its handles.

// place is where a handle is, in events of it.
type place struct{ room, community string }

// Enter says which room the handle is in: the room's key ("videoroom/1234") and the community the room belongs to, both "" when it
// left. Events about the handle name them.
func (h *Handle) Enter(room, community string) {
	if room == "" {
		h.place.Store(nil)
		return
	}
	h.place.Store(&place{room, community})
}

// Origin returns what events about the handle name.
func (h *Handle) Origin() events.Origin {
	o := events.Origin{Session: h.session.id, Handle: h.id, OpaqueID: h.opaque}
	if p := h.place.Load(); p != nil {
		o.Room, o.Community = p.room, p.community
	}
	return o
}

// Events returns the bus on which what happens is told; nil, which takes no events, when nobody is told.
func (h *Handle) Events() *events.Bus { return h.session.server.cfg.Events }

// wants tells whether anybody takes events of a type.
func (h *Handle) wants(t events.Type) bool { return h.Events().Wants(t) }

// report tells of something that happened to the handle.
func (h *Handle) report(t events.Type, subtype int, body any) {
	if b := h.Events(); b.Wants(t) {
		b.EmitBody(t, subtype, h.Origin(), body)
	}
}

// report tells of something that happened to the session.
func (x *Session) report(body any) {
	x.server.cfg.Events.EmitBody(events.Session, 0, events.Origin{Session: x.id}, body)
}

// reportCreated tells of a new session and of the connection it came over.
func (x *Session) reportCreated(src *Source) {
	if x.server.cfg.Events.Wants(events.Session) {
		x.report(object{"name": "created", "transport": object{"transport": src.transport, "id": src.id}})
	}
}

// reportEnd tells of the session's end. One that ended with its connection, or goes on elsewhere, ends silently, as in Janus.
func (x *Session) reportEnd(how ending) {
	switch how {
	case endDestroyed:
		x.report(object{"name": "destroyed"})
	case endTimeout:
		x.report(object{"name": "timeout"})
	default:
	}
}

// reportHandle tells that the handle was attached or detached.
func (h *Handle) reportHandle(what string) {
	if !h.wants(events.Handle) {
		return
	}
	body := object{"name": what, "plugin": h.plugin.info.Package}
	if h.opaque != "" {
		body["opaque_id"] = h.opaque
	}
	if h.token != "" && what == "attached" {
		body["token"] = h.token
	}
	h.report(events.Handle, 0, body)
}

// reportJSEP tells of a session description; owner is "local" or "remote".
func (h *Handle) reportJSEP(owner string, j *JSEP) {
	if h.wants(events.JSEP) {
		h.report(events.JSEP, 0, object{"owner": owner, "jsep": object{"type": j.Type, "sdp": j.Text}})
	}
}

// one is the number of Janus's only ICE stream and component.
const one = 1

// reportWebRTC tells what becomes of the PeerConnection's transport.
func (h *Handle) reportWebRTC(subtype int, name string, value any, more ...any) {
	if !h.wants(events.WebRTC) {
		return
	}
	body := object{name: value, "stream_id": one, "component_id": one}
	for i := 0; i+1 < len(more); i += 2 {
		body[more[i].(string)] = more[i+1]
	}
	h.report(events.WebRTC, subtype, body)
}

// reportICE tells the state of ICE, in Janus's words.
func (h *Handle) reportICE(state string) { h.reportWebRTC(events.ICEState, "ice", state) }

// reportDescribed tells of a session description of ours and, once for each set of ICE credentials, of our candidates. Called with
// peer.mu held.
func (h *Handle) reportDescribed(c *connection, j *JSEP) {
	h.reportJSEP("local", j)
	if c.gathered > c.generation {
		return
	}
	c.gathered = c.generation + 1
	if !h.wants(events.WebRTC) {
		return
	}
	for _, text := range candidateTexts(c.local.Candidates) {
		h.reportWebRTC(events.LocalCandidate, "local-candidate", text)
	}
}

// maxKnown bounds the client's candidates that are remembered to name one end of a pair by.
const maxKnown = 64

// reportRemote tells of candidates of the client's. Called with peer.mu held.
func (h *Handle) reportRemote(c *connection, cands []plane.Candidate) {
	if len(cands) == 0 || !h.wants(events.WebRTC) {
		return
	}
	c.known = append(c.known, cands[:min(len(cands), maxKnown-min(len(c.known), maxKnown))]...)
	for _, text := range candidateTexts(cands) {
		h.reportWebRTC(events.RemoteCandidate, "remote-candidate", text)
	}
}

// reportNegotiated tells of what the client's description began: of its candidates, and, the first time, of ICE. Called with peer.mu
// held.
func (h *Handle) reportNegotiated(c *connection) {
	if !h.wants(events.WebRTC) {
		return
	}
	first := c.told == ""
	if c.told != c.remote.Ufrag { // and not another description that repeats them
		c.told = c.remote.Ufrag
		h.reportRemote(c, c.remote.Candidates)
	}
	h.reportRemote(c, c.flushed)
	c.flushed = nil
	if first {
		h.reportICE("connecting")
	}
	if early := c.path; early != nil {
		c.path = nil
		h.reportPath(*early, c)
	}
}

// reportPath tells of the path that ICE has selected. A client that answers an offer of ours may be faster in that than its answer
// here: then it is told of when the answer is there. Called with peer.mu held.
func (h *Handle) reportPath(e plane.Event, c *connection) {
	if !h.wants(events.WebRTC) {
		return
	}
	if c.told == "" {
		c.path = &e
		return
	}
	first := !c.connected
	c.connected = true
	if first {
		h.reportICE("connected")
	}
	ours, theirs := c.local.Candidates, c.known
	h.reportWebRTC(events.SelectedPair, "selected-pair",
		endpoint(e.Local, e.Protocol, ours, "host")+" <-> "+endpoint(e.Remote, e.Protocol, theirs, "prflx"),
		"candidates", object{
			"local": candidateObject(e.Local, e.Protocol, ours, "host"), "remote": candidateObject(e.Remote, e.Protocol, theirs, "prflx"),
		})
	if first {
		h.reportICE("ready")
	}
}

// candidateObject is one end of a pair; kind is what it is unless a candidate says otherwise.
func candidateObject(address, protocol string, cands []plane.Candidate, kind string) object {
	host, port, _ := net.SplitHostPort(address)
	n, _ := strconv.Atoi(port)
	family := 4
	if ip := net.ParseIP(host); ip != nil && ip.To4() == nil {
		family = 6
	}
	return object{"address": host, "port": n, "type": candidateKind(address, cands, kind), "transport": protocol, "family": family}
}

// reportMedia tells that media of a line started or stopped.
func (h *Handle) reportMedia(m media) {
	if !h.wants(events.Media) {
		return
	}
	body := object{"media": m.Type, "mid": m.Mid, "receiving": *m.Receiving}
	if m.Substream != nil {
		body["substream"] = *m.Substream
	}
	if m.Seconds > 0 {
		body["seconds"] = m.Seconds
	}
	h.report(events.Media, events.MediaState, body)
}

// reportSlowLink tells that packets were lost.
func (h *Handle) reportSlowLink(e plane.Event) {
	direction := "downlink"
	if e.Uplink {
		direction = "uplink"
	}
	if h.wants(events.Media) {
		h.report(events.Media, events.SlowLink, object{
			"media": e.Kind.String(), "mid": e.Mid, "slow_link": direction, "lost_lastsec": e.Lost,
		})
	}
}
