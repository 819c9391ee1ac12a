package janus

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"time"

	"cardea/relay/plane"
	"cardea/signaling/sdp"
)

// Bounds on the candidates that wait for a remote description; a browser has a few dozen of some 200 bytes at most.
const (
	maxTrickles     = 128
	maxTrickleBytes = 1024 // of one text in a candidate; longer ones are none
)

// trickles holds candidates that came before the remote description that they belong to. It keeps them as they came:
// only then can they be checked against the session.
type trickles struct {
	mu      sync.Mutex
	ready   bool // there is a remote description: candidates go to the plane at once
	mid     string
	waiting []waitingCandidate
}

type waitingCandidate struct {
	value any // as in the request
	at    time.Time
}

// candidate is what one trickled candidate comes to.
type candidate struct {
	plane.Candidate
	use      bool // there is one: it is of the first line and of component 1
	complete bool // no more candidates follow
}

// keep adds candidates if there is no remote description yet, and tells whether it did.
func (t *trickles) keep(values []any, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ready {
		return false
	}
	for _, v := range values {
		if len(t.waiting) >= maxTrickles {
			break
		}
		if v, ok := trim(v); ok {
			t.waiting = append(t.waiting, waitingCandidate{v, now})
		}
	}
	return true
}

// trim returns a copy of what counts of a candidate, which holds nothing else of its request in memory; false if it is
// too large for one.
func trim(v any) (any, bool) {
	m, ok := v.(map[string]any)
	if !ok {
		return nil, v == nil // the end of candidates
	}
	c := map[string]any{}
	for _, key := range [...]string{"candidate", "sdpMid", "sdpMLineIndex", "completed"} {
		field, there := m[key]
		switch f := field.(type) {
		case string:
			if len(f) > maxTrickleBytes {
				return nil, false
			}
			field = strings.Clone(f)
		case json.Number:
			field = json.Number(strings.Clone(string(f)))
		case map[string]any, []any:
			field = false // as good as any other wrong type
		}
		if there {
			c[key] = field
		}
	}
	return c, true
}

// flush says that there is a remote description and returns the candidates that waited for it no longer than timeout.
// Faulty ones are left out: whoever sent them was answered long ago.
func (t *trickles) flush(remote []sdp.Media, timeout time.Duration) (cands []plane.Candidate, complete bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ready = true
	if len(remote) > 0 {
		t.mid = remote[0].Mid
	}
	for _, w := range t.waiting {
		if timeout > 0 && time.Since(w.at) > timeout {
			continue
		}
		if c, err := parseTrickle(w.value, t.mid); err == nil {
			complete = complete || c.complete
			if c.use {
				cands = append(cands, c.Candidate)
			}
		}
	}
	t.waiting = nil
	return cands, complete
}

// hold keeps candidates again: they belong to the ICE credentials of an offer that was not answered yet.
func (t *trickles) hold() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ready = false
}

// firstMid is the mid of the first line, the only one whose candidates count.
func (t *trickles) firstMid() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.mid
}

// count is the number of candidates that wait.
func (t *trickles) count() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.waiting)
}

func (t *trickles) reset() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ready, t.mid, t.waiting = false, "", nil
}

// trickle handles the trickle request. It answers at once, whatever the plugin is doing.
func (h *Handle) trickle(req Object) *message {
	single, one := req["candidate"]
	several, many := req["candidates"]
	switch {
	case !one && !many:
		return fail(CodeMissingElement, "Missing mandatory element (candidate|candidates)")
	case one && many:
		return fail(CodeInvalidJSON, "Can't have both candidate and candidates")
	}
	values, isArray := several.([]any)
	if one {
		values = []any{single}
	} else if !isArray {
		values = []any{Object(nil)} // kept or refused below like any other
	}
	if h.peer.trickles.keep(values, time.Now()) {
		return &message{Janus: "ack"}
	}
	if many && !isArray {
		return fail(CodeInvalidElement, "candidates is not an array")
	}
	var cands []plane.Candidate
	complete, mid := false, h.peer.trickles.firstMid()
	for _, v := range values {
		c, err := parseTrickle(v, mid)
		if err != nil && one {
			return failure(err)
		}
		complete = complete || c.complete
		if c.use && len(cands) < maxTrickles {
			cands = append(cands, c.Candidate)
		}
	}
	if len(cands) > 0 || complete {
		h.enqueue(func(ctx context.Context) {
			err := h.withPeer(func(c *connection) error {
				h.reportRemote(c, cands)
				return h.session.server.cfg.Plane.AddCandidates(ctx, c.id, cands, complete)
			})
			if err != nil {
				h.log.Debug("candidates not added", "error", err)
			}
		})
	}
	return &message{Janus: "ack"}
}

// parseTrickle reads one candidate of a trickle request. Candidates that do not matter (of other lines, of other
// components, unintelligible ones) are neither used nor an error.
func parseTrickle(v any, firstMid string) (c candidate, fault *Error) {
	m, ok := v.(map[string]any)
	if !ok {
		return candidate{complete: v == nil}, nil
	}
	o := Object(m)
	if _, ok := o["completed"]; ok {
		return candidate{complete: true}, nil
	}
	mid, index := o["sdpMid"], o["sdpMLineIndex"]
	if mid == nil && index == nil {
		return c, errorf(CodeMissingElement, "Trickle error: missing mandatory element (sdpMid or sdpMLineIndex)")
	}
	if mid != nil && !is(mid, String) {
		return c, errorf(CodeInvalidElement, "Trickle error: invalid element type (sdpMid should be a string)")
	}
	if index != nil && !is(index, PosInt) {
		return c, errorf(CodeInvalidElement, "Trickle error: invalid element type (sdpMLineIndex should be a positive integer)")
	}
	text := o["candidate"]
	if text == nil {
		return c, errorf(CodeMissingElement, "Trickle error: missing mandatory element (candidate)")
	}
	if !is(text, String) {
		return c, errorf(CodeInvalidElement, "Trickle error: invalid element type (candidate should be a string)")
	}
	if mid != nil && mid != firstMid {
		return c, nil
	}
	if n, ok := o.Int("sdpMLineIndex"); mid == nil && (!ok || n != 0) {
		return c, nil
	}
	parsed, err := sdp.ParseCandidate(text.(string))
	if err != nil {
		return c, nil
	}
	return candidate{Candidate: parsed, use: parsed.Component == 1}, nil
}
