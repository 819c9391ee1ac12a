package transport

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"cardea/signaling/events"
	"cardea/signaling/janus"

	"golang.org/x/time/rate"
)

// Times of HTTP requests, Janus's own.
const (
	requestTime = 10 * time.Second // a request not answered by then is aborted
	pollTime    = 30 * time.Second // a poll without events is answered with a keepalive by then
)

// maxEvents bounds what one poll returns, whatever the client asks for.
const maxEvents = 256

// HTTPConfig configures an [HTTP].
type HTTPConfig struct {
	// Server is the server whose API is served; required.
	Server *janus.Server
	// Admin, if set, is served instead: the admin API of Server, which has no events to poll for.
	Admin *janus.Admin
	// BasePath is where the API is; default "/janus", "/admin" for the admin API.
	BasePath string
	// Redirect, if set, returns another server for a client that is about to create a session: the beginning of its URL
	// ("https://node2.example.org:8089"), or "" if this one is as good as any. It must not wait.
	Redirect func(r *http.Request, client netip.Addr) string
	// Beside is what else is served, by path.
	Beside map[string]http.Handler
	Limits Limits
	// Origins are the origins ("https://app.example.org") whose pages may use the API; nil lets all use it.
	Origins []string
	// Events is where requests are told to event handlers; nil tells nobody.
	Events *events.Bus
	// Proxies are the networks of reverse proxies whose X-Forwarded-For is believed.
	Proxies []netip.Prefix
	Log     *slog.Logger // nil means slog.Default
}

// HTTP serves the Janus API over HTTP: requests by POST, events by long poll. It is an http.Handler.
type HTTP struct {
	cfg     HTTPConfig
	callers atomic.Pointer[Callers]
	api     API
	source  *janus.Source

	connections atomic.Int64
	waiting     atomic.Int64 // requests that are not answered yet
}

// NewHTTP makes the transport.
func NewHTTP(cfg HTTPConfig) *HTTP {
	cfg.Limits = cfg.Limits.withDefaults()
	h := &HTTP{source: janus.NewSource(HTTPPackage, nil)}
	base := "/janus"
	if h.api = cfg.Server; cfg.Admin != nil {
		h.api, base = cfg.Admin, "/admin"
	}
	cfg.BasePath = "/" + strings.Trim(cfg.BasePath, "/")
	if cfg.BasePath == "/" {
		cfg.BasePath = base
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	h.cfg = cfg
	h.callers.Store(newCallers(cfg.Origins, cfg.Proxies, cfg.Limits))
	return h
}

// limiterKey is the key of a connection's rate limiter in its context.
type limiterKey struct{}

// Serve serves connections of a listener, with TLS if certs is not nil, until ctx is done.
func (h *HTTP) Serve(ctx context.Context, ln net.Listener, certs *tls.Config) error {
	srv := &http.Server{
		Handler:      h,
		ReadTimeout:  requestTime + 10*time.Second,
		WriteTimeout: pollTime + requestTime + 20*time.Second,
		BaseContext:  func(net.Listener) context.Context { return ctx },
		ConnContext: func(ctx context.Context, _ net.Conn) context.Context {
			return context.WithValue(ctx, limiterKey{}, h.callers.Load().limiter())
		},
		ConnState: func(_ net.Conn, state http.ConnState) {
			switch state {
			case http.StateNew:
				h.connections.Add(1)
			case http.StateClosed, http.StateHijacked:
				h.connections.Add(-1)
			case http.StateActive, http.StateIdle:
			}
		},
	}
	return serve(ctx, ln, certs, srv, h.cfg.Limits, h.cfg.Log)
}

// ServeHTTP serves one request.
func (h *HTTP) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if other := h.cfg.Beside[r.URL.Path]; other != nil {
		other.ServeHTTP(w, r)
		return
	}
	if !h.cors(w, r) {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	path, ok := h.path(r.URL.Path)
	if !ok {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	if !h.wait(r.Context()) {
		panic(http.ErrAbortHandler)
	}
	requested(h.cfg.Events, h.source, h.cfg.Admin != nil, r, h.callers.Load().Proxies)
	switch r.Method {
	case http.MethodOptions:
		w.WriteHeader(http.StatusOK)
	case http.MethodGet:
		h.get(w, r, path)
	case http.MethodPost:
		h.post(w, r, path)
	default:
		answer(w, errorBody(&janus.Error{Code: janus.CodeTransport, Reason: "Unsupported method " + r.Method}))
	}
}

// wait holds the connection's requests back while it sends too many.
func (h *HTTP) wait(ctx context.Context) bool {
	l, ok := ctx.Value(limiterKey{}).(*rate.Limiter)
	if !ok || l.Allow() {
		return true
	}
	h.cfg.Server.Metrics().RateLimited.Add(1)
	return l.Wait(ctx) == nil
}

// cors writes the headers that let pages use the API; false if the page's origin may not.
func (h *HTTP) cors(w http.ResponseWriter, r *http.Request) bool {
	head := w.Header()
	origin := r.Header.Get("Origin")
	origins := h.callers.Load().Origins
	welcome := originAllowed(origins, origin)
	switch {
	case origins == nil:
		head.Set("Access-Control-Allow-Origin", "*")
	case welcome && origin != "":
		head.Set("Access-Control-Allow-Origin", origin)
		head.Set("Access-Control-Allow-Credentials", "true")
		fallthrough
	default:
		head.Set("Vary", "Origin")
	}
	head.Set("Access-Control-Max-Age", "86400")
	if m := r.Header.Get("Access-Control-Request-Method"); m != "" {
		head.Set("Access-Control-Allow-Methods", m)
	}
	if l := r.Header.Get("Access-Control-Request-Headers"); l != "" {
		head.Set("Access-Control-Allow-Headers", l)
	}
	return welcome
}

// path returns what follows the base path, at most two parts: session and handle.
func (h *HTTP) path(p string) ([]string, bool) {
	rest, ok := strings.CutPrefix(p, h.cfg.BasePath)
	if !ok || rest != "" && rest[0] != '/' {
		return nil, false
	}
	rest = strings.Trim(rest, "/")
	if rest == "" {
		return nil, true
	}
	parts := strings.Split(rest, "/")
	return parts, len(parts) <= 2
}

// get serves the info page and polls.
func (h *HTTP) get(w http.ResponseWriter, r *http.Request, path []string) {
	switch {
	case len(path) == 0:
		w.WriteHeader(http.StatusNotFound)
	case len(path) == 1 && path[0] == "info":
		h.call(w, r, janus.Object{"janus": "info", "transaction": strconv.FormatInt(time.Now().UnixNano(), 36)})
	case h.cfg.Admin != nil:
		h.cfg.Server.Metrics().Fault(janus.CodeInvalidJSON)
		answer(w, errorBody(&janus.Error{Code: janus.CodeInvalidJSON, Reason: "Request payload missing"}))
	case len(path) == 2:
		if _, ok := parseID(path[0]); !ok {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		w.Header().Set("Location", h.cfg.BasePath+"/"+path[0])
		w.WriteHeader(http.StatusFound)
	default:
		h.poll(w, r, path[0])
	}
}

// poll answers with the session's events, or with a keepalive when there are none for too long.
func (h *HTTP) poll(w http.ResponseWriter, r *http.Request, session string) {
	id, ok := parseID(session)
	if !ok {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	q := r.URL.Query()
	if !h.cfg.Server.Admits(q.Get("apisecret"), q.Get("token")) {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	n, err := strconv.Atoi(q.Get("maxev"))
	list := err == nil && n > 1
	ctx, cancel := context.WithTimeout(r.Context(), pollTime)
	defer cancel()
	events, err := h.cfg.Server.Poll(ctx, id, min(max(n, 1), maxEvents))
	if errors.Is(err, janus.ErrNoSession) {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	if len(events) == 0 {
		events = []json.RawMessage{json.RawMessage(`{"janus":"keepalive"}`)}
	}
	if !list {
		answer(w, events[0])
		return
	}
	b := []byte{'['}
	for i, e := range events {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, e...)
	}
	answer(w, append(b, ']'))
}

// post serves a request. Ids may be in the path, in the body, or in both if they agree.
func (h *HTTP) post(w http.ResponseWriter, r *http.Request, path []string) {
	for _, p := range path {
		if _, ok := parseID(p); !ok {
			w.WriteHeader(http.StatusNotFound)
			return
		}
	}
	b, err := io.ReadAll(io.LimitReader(r.Body, h.cfg.Limits.MaxMessage+1))
	if err != nil {
		panic(http.ErrAbortHandler) // the client is gone, or too slow
	}
	if int64(len(b)) > h.cfg.Limits.MaxMessage {
		h.cfg.Server.Metrics().Oversize.Add(1)
		w.Header().Set("Connection", "close")
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		return
	}
	o, fault := janus.ParseOne(b)
	if fault != nil {
		h.cfg.Server.Metrics().Fault(fault.Code)
		answer(w, errorBody(fault))
		return
	}
	for i, key := range [...]string{"session_id", "handle_id"} {
		if i >= len(path) {
			break
		}
		inPath, _ := parseID(path[i])
		if inBody, ok := o.Uint(key); ok && inBody != inPath {
			answer(w, conflict(o, key))
			return
		}
		o[key] = json.Number(strconv.FormatUint(inPath, 10))
	}
	if h.redirect(w, r, path, o) {
		return
	}
	h.call(w, r, o)
}

// call has the server handle a request and writes its reply.
func (h *HTTP) call(w http.ResponseWriter, r *http.Request, o janus.Object) {
	ctx, cancel := context.WithTimeout(r.Context(), requestTime)
	defer cancel()
	h.waiting.Add(1)
	defer h.waiting.Add(-1)
	replies := make(chan []byte, 1)
	req := janus.Request{Object: o, Source: h.source, Address: address(r, h.callers.Load().Proxies)}
	h.api.Handle(ctx, req, func(b []byte) { replies <- b })
	select {
	case b := <-replies:
		answer(w, b)
	case <-ctx.Done():
		panic(http.ErrAbortHandler)
	}
}

// parseID reads a session's or handle's id.
func parseID(s string) (uint64, bool) {
	id, err := strconv.ParseUint(s, 10, 64)
	return id, err == nil && id > 0
}

// answer writes a JSON body.
func answer(w http.ResponseWriter, b []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(b) // a client that is gone needs no answer
}

// conflict is the reply to a request whose path and body disagree.
func conflict(o janus.Object, key string) []byte {
	what := map[string]string{"session_id": "session", "handle_id": "handle"}[key]
	fault := janus.Error{Code: janus.CodeInvalidPath, Reason: "Conflicting " + what + " ID (payload and path)"}
	m := map[string]any{"janus": "error", "error": fault}
	if t := o.String("transaction"); t != "" {
		m["transaction"] = t
	}
	b, _ := json.Marshal(m) // nothing in it can fail
	return b
}

// errorBody is the reply to what is not even a request.
func errorBody(e *janus.Error) []byte {
	b, _ := json.Marshal(struct {
		Janus string       `json:"janus"`
		Error *janus.Error `json:"error"`
	}{"error", e}) // nothing in it can fail
	return slices.Clip(b)
}
