package console

import (
	"embed"
	"encoding/json"
	"io/fs"
	"net/http"
	"net/http/pprof"
	"strconv"
)

// Config is what the console shows and to whom. Functions are called for every request, from many goroutines.
type Config struct {
	Access  Access
	Page    *Page                                          // nil: no page
	Metrics http.Handler                                   // of /metrics
	Ready   func() error                                   // nil when new clients are welcome
	Status  func() Status                                  //
	Rooms   func() []Room                                  //
	Peer    func(session, handle uint64) (p Peer, ok bool) // ok is false for what does not exist
}

// The page: plain modules, no build step.
//
//go:embed web
var web embed.FS

// policy keeps the page to its own files; the Janus API it talks to is on other ports.
const policy = "default-src 'self'; connect-src 'self' ws: wss: http: https:; media-src 'self' blob: mediastream:; " +
	"img-src 'self' data: blob:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"

// New returns the console's handler.
func New(cfg Config) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { text(w, http.StatusOK, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if err := cfg.Ready(); err != nil {
			text(w, http.StatusServiceUnavailable, err.Error())
			return
		}
		text(w, http.StatusOK, "ready")
	})
	mux.HandleFunc("GET /api/v1/peers/{session}/{handle}", func(w http.ResponseWriter, r *http.Request) {
		session, err1 := strconv.ParseUint(r.PathValue("session"), 10, 64)
		handle, err2 := strconv.ParseUint(r.PathValue("handle"), 10, 64)
		if err1 != nil || err2 != nil {
			http.Error(w, "session and handle are numbers", http.StatusBadRequest)
			return
		}
		p, ok := cfg.Peer(session, handle)
		if !ok {
			http.Error(w, "no such handle, or it has no media", http.StatusNotFound)
			return
		}
		answer(w, p)
	})
	closed := func(pattern string, h http.HandlerFunc) { mux.Handle(pattern, cfg.Access.closed(h)) }
	closed("GET /api/v1/status", func(w http.ResponseWriter, _ *http.Request) { answer(w, cfg.Status()) })
	closed("GET /api/v1/rooms", func(w http.ResponseWriter, _ *http.Request) { answer(w, Rooms{cfg.Rooms()}) })
	closed("GET /metrics", cfg.Metrics.ServeHTTP)
	closed("GET /debug/pprof/", pprof.Index)
	closed("GET /debug/pprof/profile", pprof.Profile)
	closed("GET /debug/pprof/trace", pprof.Trace)
	if cfg.Page != nil {
		mux.HandleFunc("GET /api/v1/page", func(w http.ResponseWriter, _ *http.Request) { answer(w, cfg.Page) })
		mux.Handle("GET /", page())
	}
	return mux
}

// page serves the embedded files.
func page() http.Handler {
	files, err := fs.Sub(web, "web")
	if err != nil {
		panic(err) // the folder is part of the program
	}
	server := http.FileServerFS(files)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-cache")
		server.ServeHTTP(w, r)
	})
}

func text(w http.ResponseWriter, status int, line string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(line + "\n")) // a client that is gone needs no answer
}

func answer(w http.ResponseWriter, v any) {
	b, err := json.Marshal(v)
	if err != nil { // only for a number that JSON has no word for
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	_, _ = w.Write(append(b, '\n'))
}
