package console

import (
	"context"
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/pprof"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// Config is what the console shows and to whom. Functions are called for every request, from many goroutines.
type Config struct {
	Access func() Access // asked for each request, since it may change
	// Client tells whose a request is, where that is not whose connection it came by; nil: it always is. Limits count by it.
	Client  func(r *http.Request) netip.Addr
	Page    *Page                                          // nil: no page
	Metrics http.Handler                                   // of /metrics
	Ready   func() error                                   // nil when new clients are welcome
	Status  func() Status                                  //
	Rooms   func(ctx context.Context) []Room               // it may ask other nodes, and ends with the context
	Peer    func(session, handle uint64) (p Peer, ok bool) // ok is false for what does not exist
	Mesh    *Mesh                                          // nil: the node knows no others
	// Room looks into one room, wherever it is; it may ask other nodes. ok is false for one that does not exist. Nil: no room is
	// looked into.
	Room     func(ctx context.Context, plugin, room string, p ParticipantRange) (v RoomView, ok bool)
	Operator Operator
	// Quality returns what users of a room, or of one of its participants, saw and heard lately. Nil: nothing is known.
	Quality func(room, participant string) []QualityLine
	// ICEServers mints credentials for a visitor of the page that reached the node by that host name or address, "" when it
	// named none. Nil: there is no TURN.
	ICEServers func(host string) []ICEServer
}

// The page: plain modules, no build step.
//
//go:embed web
var web embed.FS

// New returns the console's handler.
func New(cfg Config) http.Handler {
	source := cfg.Client
	if source == nil {
		source = peer
	}
	gate := newGate(cfg.Access, source)
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
	guarded := func(pattern string, h http.HandlerFunc) { mux.Handle(pattern, gate.closed(h)) }
	guarded("GET /api/v1/status", func(w http.ResponseWriter, _ *http.Request) { answer(w, cfg.Status()) })
	handleRooms(guarded, cfg.Rooms)
	if cfg.Room != nil {
		handleRoom(guarded, cfg.Room)
	}
	newOperators(cfg.Operator, source).handle(guarded)
	handleQuality(mux, guarded, cfg.Quality)
	if cfg.Mesh != nil {
		cfg.Mesh.handle(guarded, func(pattern string, h http.HandlerFunc) { guarded(pattern, commanding(cfg.Access, h)) })
	}
	guarded("GET /metrics", cfg.Metrics.ServeHTTP)
	guarded("GET /debug/pprof/", pprof.Index)
	guarded("GET /debug/pprof/profile", pprof.Profile)
	guarded("GET /debug/pprof/trace", pprof.Trace)
	if cfg.Page != nil {
		minting := newSources(mintBurst)
		mux.HandleFunc("GET /api/v1/page", func(w http.ResponseWriter, r *http.Request) {
			p := *cfg.Page
			if cfg.ICEServers != nil && minting.take(source(r), time.Now()) {
				p.ICEServers = cfg.ICEServers(hostOf(r.Host))
			}
			answer(w, p)
		})
		mux.Handle("GET /", page(cfg.Page))
	}
	return mux
}

// maxHosts bounds the header that names other nodes; a page that would move to one beyond stays where it is.
const maxHosts = 64

// elsewhere lets the page see how far nodes are, and go on at another when its own goes.
func elsewhere(hosts []string) string {
	var b strings.Builder
	for _, h := range hosts[:min(len(hosts), maxHosts)] {
		if strings.Trim(h, hostCharacters) == "" && h != "" { // policies have no words for IPv6 addresses
			fmt.Fprintf(&b, " ws://%s:* wss://%s:* http://%s:* https://%s:*", h, h, h, h)
		}
	}
	return b.String()
}

const hostCharacters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-."

// policy keeps the page to its own files and to the Janus API on the host that it came from, and at other nodes.
func policy(p *Page, host string) string {
	api := "ws: wss:" // a host that cannot be named
	if host != "" {
		// The last one is a reverse proxy's, which has the page and the API on one port.
		host = bracketed(host)
		api = fmt.Sprintf("ws://%s:%d wss://%s:%d wss://%s", host, p.WSPort, host, p.WSSPort, host)
	}
	if p.Hosts != nil {
		api += elsewhere(p.Hosts())
	}
	return "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self'; manifest-src 'self'; " +
		"connect-src 'self' " + api + "; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
}

// operatorPages is the folder of the pages for operators, and operatorPolicy keeps them to this server, and text to being text.
const (
	operatorPages  = "/console/"
	operatorPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
		"require-trusted-types-for 'script'; trusted-types 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)

// page serves the embedded files.
func page(p *Page) http.Handler {
	files, err := fs.Sub(web, "web")
	if err != nil {
		panic(err) // the folder is part of the program
	}
	server := http.FileServerFS(files)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		operators := strings.HasPrefix(r.URL.Path, operatorPages)
		if r.URL.Path != "/" && r.URL.Path != operatorPages && strings.HasSuffix(r.URL.Path, "/") { // no listings of folders
			http.NotFound(w, r)
			return
		}
		h := w.Header()
		if operators {
			h.Set("Content-Security-Policy", operatorPolicy)
			h.Set("Permissions-Policy", "camera=(), microphone=(), display-capture=(), geolocation=()")
		} else {
			h.Set("Content-Security-Policy", policy(p, hostOf(r.Host)))
			h.Set("Permissions-Policy", "camera=(self), microphone=(self), display-capture=(self), geolocation=()")
		}
		if r.TLS != nil {
			h.Set("Cross-Origin-Opener-Policy", "same-origin") // browsers complain of it elsewhere
		}
		h.Set("X-Frame-Options", "DENY") // for browsers that do not know frame-ancestors
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
