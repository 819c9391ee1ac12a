package transport

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"cardea/signaling/events"
	"cardea/signaling/janus"

	"github.com/coder/websocket"
)

// Subprotocols of WebSocket connections.
const (
	Subprotocol      = "janus-protocol"
	AdminSubprotocol = "janus-admin-protocol"
)

// bufferSize is the size of a connection's read and write buffers in bytes. They lie idle most of the time, and large
// messages pass them by.
const bufferSize = 1024

// WebSocketConfig configures a [WebSocket].
type WebSocketConfig struct {
	// APIs by the subprotocol that a client must ask for.
	APIs map[string]API
	// Beside is what is served to requests that are not for a WebSocket, by path: what is to be found at the port that clients use.
	Beside map[string]http.Handler
	// Metrics are what the transport counts in; required.
	Metrics *janus.Metrics
	Limits  Limits
	// Origins are the origins ("https://app.example.org") whose pages may connect. nil lets all connect, since the API is
	// protected by secrets and not by where a page came from.
	Origins []string
	// Proxies are the networks of reverse proxies whose X-Forwarded-For is believed.
	Proxies []netip.Prefix
	// Events is where connections are told to event handlers; nil tells nobody.
	Events *events.Bus
	// PingInterval is the silence after which a client is asked whether it is there, PingTimeout how long it may take to
	// answer. 0 asks never: sessions time out by themselves.
	PingInterval time.Duration
	PingTimeout  time.Duration
	Log          *slog.Logger // nil means slog.Default
}

// WebSocket serves APIs over WebSocket. It is an http.Handler that serves nothing else but what is beside them: other requests get
// 403, as from Janus.
type WebSocket struct {
	cfg     WebSocketConfig
	callers atomic.Pointer[Callers]

	conns sync.WaitGroup // goroutines of connections

	mu     sync.Mutex
	closed bool
	all    map[*wsConn]struct{}
}

// NewWebSocket makes the transport.
func NewWebSocket(cfg WebSocketConfig) *WebSocket {
	cfg.Limits = cfg.Limits.withDefaults()
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	if cfg.PingTimeout <= 0 {
		cfg.PingTimeout = 10 * time.Second
	}
	w := &WebSocket{cfg: cfg, all: map[*wsConn]struct{}{}}
	w.callers.Store(newCallers(cfg.Origins, cfg.Proxies, cfg.Limits))
	return w
}

// Serve serves connections of a listener, with TLS if certs is not nil, until ctx is done; then it closes them all. It
// may run for several listeners at once, which then end together.
func (w *WebSocket) Serve(ctx context.Context, ln net.Listener, certs *tls.Config) error {
	srv := &http.Server{
		Handler:      w,
		TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){}, // HTTP/2 has no Upgrade
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var loops sync.WaitGroup
	if w.cfg.PingInterval > 0 {
		loops.Go(func() { w.ping(ctx) })
	}
	err := serve(ctx, ln, certs, srv, w.cfg.Limits, w.cfg.Log)
	cancel()
	loops.Wait()
	w.shutdown()
	return err
}

// shutdown closes all connections and waits for them.
func (w *WebSocket) shutdown() {
	w.mu.Lock()
	w.closed = true
	for c := range w.all {
		c.cut()
	}
	w.mu.Unlock()
	w.conns.Wait()
}

// ServeHTTP upgrades one connection. It returns at once: the request and its goroutine are not kept for as long as the
// connection lasts.
func (w *WebSocket) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	api, protocol := w.api(r)
	if other := w.cfg.Beside[r.URL.Path]; api == nil && other != nil {
		other.ServeHTTP(rw, r)
		return
	}
	if api == nil || !originAllowed(w.callers.Load().Origins, r.Header.Get("Origin")) {
		w.cfg.Metrics.Refused.Add(1)
		http.Error(rw, http.StatusText(http.StatusForbidden), http.StatusForbidden)
		return
	}
	ws, err := websocket.Accept(smallBuffers{rw}, r, &websocket.AcceptOptions{
		Subprotocols: []string{protocol}, CompressionMode: websocket.CompressionDisabled,
		InsecureSkipVerify: true, // the origin is looked at above
	})
	if err != nil {
		w.cfg.Metrics.Refused.Add(1)
		w.cfg.Log.Debug("connection refused", "remote", r.RemoteAddr, "error", err)
		return
	}
	ws.SetReadLimit(-1) // the reader has its own, so that the client is told what was wrong
	c := &wsConn{
		transport: w, api: api, ws: ws, remote: address(r, w.callers.Load().Proxies), admin: protocol == AdminSubprotocol,
	}
	c.source = janus.NewSource(WebSocketPackage, c.send).OnCut(c.cut).OnBye(c.bye)
	c.heard.Store(time.Now().UnixNano())
	c.ctx, c.cancel = context.WithCancel(context.Background())
	w.mu.Lock()
	if w.closed {
		w.mu.Unlock()
		c.cancel()
		_ = ws.CloseNow()
		return
	}
	w.all[c] = struct{}{}
	w.conns.Go(c.run)
	w.mu.Unlock()
}

// api finds the API that the client asks for.
func (w *WebSocket) api(r *http.Request) (API, string) {
	if !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
		return nil, ""
	}
	for _, l := range r.Header.Values("Sec-WebSocket-Protocol") {
		for p := range strings.SplitSeq(l, ",") {
			p = strings.TrimSpace(p)
			if api := w.cfg.APIs[p]; api != nil {
				return api, p
			}
		}
	}
	return nil, ""
}

// ping asks silent clients whether they are there until ctx is done, and cuts those that do not answer.
func (w *WebSocket) ping(ctx context.Context) {
	tick := time.NewTicker(max(w.cfg.PingInterval/4, time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			for _, c := range w.silent(now) {
				w.conns.Go(c.ping)
			}
		}
	}
}

// silent returns the connections of which nothing was heard for too long.
func (w *WebSocket) silent(now time.Time) []*wsConn {
	w.mu.Lock()
	defer w.mu.Unlock()
	var l []*wsConn
	if w.closed {
		return nil
	}
	for c := range w.all {
		if now.UnixNano()-c.heard.Load() > int64(w.cfg.PingInterval) && c.pinging.CompareAndSwap(false, true) {
			l = append(l, c)
		}
	}
	return l
}

// smallBuffers hijacks connections with smaller buffers than those of net/http, which are 8 KiB together.
type smallBuffers struct{ http.ResponseWriter }

// Hijack implements http.Hijacker.
func (s smallBuffers) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(s.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	early, _ := rw.Reader.Peek(rw.Reader.Buffered())
	var r io.Reader = conn
	if len(early) > 0 {
		r = io.MultiReader(bytes.NewReader(slices.Clone(early)), conn)
	}
	br := bufio.NewReaderSize(r, bufferSize)
	if len(early) > 0 {
		_, err = br.Peek(min(len(early), bufferSize)) // makes them count as buffered
	}
	return conn, bufio.NewReadWriter(br, bufio.NewWriterSize(conn, bufferSize)), err
}

// errTooLarge says that a message is larger than allowed.
var errTooLarge = errors.New("message too large")
