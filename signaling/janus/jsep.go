package janus

import (
	"context"
	"errors"

	"cardea/signaling/sdp"
)

// receive checks the session description of a request against the state of the negotiation and keeps an offer for
// Answer. It runs in the handle's turn.
func (h *Handle) receive(_ context.Context, v any) (*JSEP, *Error) {
	o, ok := v.(map[string]any)
	if !ok {
		return nil, errorf(CodeNotObject, "Invalid jsep object")
	}
	j, fault := parseJSEP(o)
	if fault != nil {
		return nil, fault
	}
	p := &h.peer
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.conn
	unexpected := j.Type == "answer" && (c == nil || c.pending == nil)
	if unexpected && c == nil {
		return nil, errorf(CodeUnexpectedAnswer, "Unexpected ANSWER (did we offer?)")
	}
	j.Update = c != nil && c.negotiated()
	d, err := sdp.Parse(j.Text)
	if err != nil {
		h.log.Debug("session description refused", "error", err)
		code, reason := CodeInvalidSDP, "Error processing SDP"
		e, ok := errors.AsType[*sdp.Error](err)
		if ok {
			reason = e.Reason
		}
		if j.Update && !(ok && e.Unreadable()) {
			code = CodeUnexpectedAnswer // as Janus does in a renegotiation
		}
		return nil, errorf(code, "%s", reason)
	}
	if unexpected {
		return nil, errorf(CodeUnexpectedAnswer, "Unexpected ANSWER (did we offer?)")
	}
	j.SDP = d
	if j.Type == "offer" {
		j.Restart = j.Update && restarted(c.remote, d.Transport)
		p.offer = j
		if j.Restart {
			p.trickles.hold()
		}
	}
	return j, nil
}

// jsepParams are the fields of a session description.
var jsepParams = [...]Param{
	{Name: "type", Type: String, Required: true},
	{Name: "sdp", Type: String, Required: true},
	{Name: "trickle", Type: Bool},
	{Name: "rid_order", Type: String},
	{Name: "force_relay", Type: Bool},
	{Name: "e2ee", Type: Bool},
}

// parseJSEP reads the fields of a session description; the SDP itself is not parsed yet.
func parseJSEP(o Object) (*JSEP, *Error) {
	for _, p := range jsepParams {
		v, ok := o[p.Name]
		if !ok && p.Required {
			return nil, errorf(CodeMissingElement, "JSEP error: missing mandatory element (%s)", p.Name)
		}
		if ok && !is(v, p.Type) {
			return nil, errorf(CodeInvalidElement, "JSEP error: invalid element type (%s should be %s)", p.Name, p.describe())
		}
	}
	j := &JSEP{
		Type:     o.String("type"),
		Text:     o.String("sdp"),
		E2EE:     o.Bool("e2ee", false),
		Trickle:  o.Bool("trickle", true),
		RIDOrder: "hml",
		SVC:      parseSVC(o),
	}
	if j.Type != "offer" && j.Type != "answer" {
		return nil, errorf(CodeUnknownJSEP, "JSEP error: unknown message type '%.32s'", j.Type)
	}
	if o.String("rid_order") == "lmh" {
		j.RIDOrder = "lmh"
	}
	return j, nil
}

// parseSVC reads jsep.svc; what does not make sense is ignored, as Janus does.
func parseSVC(o Object) (l []SVC) {
	for _, e := range o.Objects("svc") {
		s := SVC{MIndex: -1, Mid: e.String("mid"), Mode: e.String("svc")}
		if n, ok := e.Int("mindex"); ok && n >= 0 && n < 1<<16 {
			s.MIndex = int(n)
		}
		if s.Mode != "" && (s.Mid != "" || s.MIndex >= 0) {
			l = append(l, s)
		}
	}
	return l
}
