package transport

import (
	"encoding/json"
	"net/http"

	"cardea/signaling/janus"
)

// redirectedMark is the query parameter of a redirected request, which is not redirected again.
const redirectedMark = "redirected"

// redirect sends a client that wants to create a session to another server, if there is a better one, and tells whether it did.
// What follows goes where the client likes: any node passes a session's requests on to the one that has it.
func (h *HTTP) redirect(w http.ResponseWriter, r *http.Request, path []string, o janus.Object) bool {
	callers := h.callers.Load()
	switch {
	case h.cfg.Redirect == nil || len(path) > 0 || o.String("janus") != "create" || r.URL.Query().Has(redirectedMark):
		return false
	case callers.Origins != nil && r.Header.Get("Origin") != "": // browsers forget the origin on the way, which then is not allowed
		return false
	}
	to := h.cfg.Redirect(r, address(r, callers.Proxies))
	if to == "" {
		return false
	}
	m := map[string]any{"janus": "error", "error": &janus.Error{Code: janus.CodeNotAccepting, Reason: "Go to " + to}}
	if t := o.String("transaction"); t != "" {
		m["transaction"] = t
	}
	b, _ := json.Marshal(m) // nothing in it can fail
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Location", to+h.cfg.BasePath+"?"+redirectedMark)
	w.WriteHeader(http.StatusTemporaryRedirect) // the same method and body again
	_, _ = w.Write(b)                           // for clients that do not follow
	return true
}
