// Package websocket delivers events as a WebSocket client, as Janus's wsevh does: each text message is a JSON array of up to 100 events
// in order, or one event where grouping is off.
//
// A WebSocket confirms nothing by itself, so a ping follows each batch: its pong says that the destination has taken
// everything before it from the wire. What was on its way when a connection broke is sent again on the next.
package websocket

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"cardea/signaling/events/guard"
	"cardea/signaling/events/sink"
	"cardea/signaling/events/spool"
)

// Config configures a [WebSocket].
type Config struct {
	// URL is where to connect to: ws or wss.
	URL string
	// Allowed are the private networks that the URL's name may lead to.
	Allowed []netip.Prefix
	// Subprotocol is asked for, if there is one; the destination need not know it.
	Subprotocol string
	// User and Password are for basic authentication, if there is a user.
	User, Password string
	// Single sends each event in a message of its own, as an object.
	Single bool
}

// WebSocket sends events over one connection at a time, made when there is something to send.
type WebSocket struct {
	cfg    Config
	single atomic.Bool
	client *http.Client
	conn   *websocket.Conn
	stop   context.CancelFunc // ends conn at once
	read   chan struct{}      // closed when nothing is read from conn any more
	text   []byte
}

var _ sink.Sink = (*WebSocket)(nil)

// group is how many events a message holds at most, as in Janus.
const group = 100

// New makes a WebSocket sink. It does not connect.
func New(cfg Config) (*WebSocket, error) {
	to, err := url.Parse(cfg.URL)
	if err != nil || to.Scheme != "ws" && to.Scheme != "wss" || to.Host == "" || to.User != nil {
		return nil, errors.New("websocket of events: want a ws or wss URL without a user")
	}
	w := &WebSocket{cfg: cfg, client: &http.Client{
		Transport: &http.Transport{
			DialContext: guard.Dial(to, cfg.Allowed), TLSHandshakeTimeout: 10 * time.Second, MaxResponseHeaderBytes: 64 << 10, DisableKeepAlives: true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	w.single.Store(cfg.Single)
	return w, nil
}

// SetGrouping changes whether messages hold arrays of events; it may be called at any time.
func (w *WebSocket) SetGrouping(on bool) { w.single.Store(!on) }

// Send implements [sink.Sink].
func (w *WebSocket) Send(ctx context.Context, batch []spool.Entry) (int, error) {
	if w.conn != nil {
		select {
		case <-w.read: // it ended meanwhile
			w.drop()
		default:
		}
	}
	if err := w.connect(ctx); err != nil {
		return 0, err
	}
	if err := w.write(ctx, batch); err != nil {
		w.drop()
		return 0, fmt.Errorf("websocket of events: %w", err)
	}
	return len(batch), nil
}

// write sends a batch and waits until the destination has it.
func (w *WebSocket) write(ctx context.Context, batch []spool.Entry) error {
	for len(batch) > 0 {
		n := min(group, len(batch))
		if w.single.Load() {
			n, w.text = 1, batch[0].AppendJSON(w.text[:0])
		} else {
			w.text = sink.AppendArray(w.text[:0], batch[:n])
		}
		if err := w.conn.Write(ctx, websocket.MessageText, w.text); err != nil {
			return err
		}
		batch = batch[n:]
	}
	return w.conn.Ping(ctx)
}

// connect makes a connection if there is none.
func (w *WebSocket) connect(ctx context.Context) error {
	if w.conn != nil {
		return nil
	}
	header := http.Header{"User-Agent": {"cardea"}}
	if w.cfg.User != "" {
		r := http.Request{Header: header}
		r.SetBasicAuth(w.cfg.User, w.cfg.Password)
	}
	o := &websocket.DialOptions{HTTPClient: w.client, HTTPHeader: header}
	if w.cfg.Subprotocol != "" {
		o.Subprotocols = []string{w.cfg.Subprotocol}
	}
	conn, _, err := websocket.Dial(ctx, w.cfg.URL, o) //nolint:bodyclose // the library's
	if err != nil {
		if u, ok := errors.AsType[*url.Error](err); ok {
			err = u.Err // without the URL, which may hold a secret
		}
		return fmt.Errorf("websocket of events: %w", err)
	}
	reading, stop := context.WithCancel(context.WithoutCancel(ctx))
	w.conn, w.stop, w.read = conn, stop, make(chan struct{})
	go discard(reading, conn, w.read)
	return nil
}

// discard reads what the destination says, which means nothing, so that pongs are noticed; until the connection ends, or with
// ctx, which ends the connection.
func discard(ctx context.Context, conn *websocket.Conn, done chan struct{}) {
	defer close(done)
	defer func() { _ = conn.CloseNow() }() // nobody waits for a pong that nobody reads
	conn.SetReadLimit(-1)                  // nothing is kept, so nothing is too much
	for {
		_, message, err := conn.Reader(ctx)
		if err == nil {
			_, err = io.Copy(io.Discard, message)
		}
		if err != nil {
			return
		}
	}
}

// closeTimeout is how long the destination may take to say good-bye.
const closeTimeout = time.Second

// Close implements [sink.Sink].
func (w *WebSocket) Close() {
	if w.conn == nil {
		return
	}
	hurry := time.AfterFunc(closeTimeout, w.stop)
	_ = w.conn.Close(websocket.StatusNormalClosure, "") // it is of no use any more
	hurry.Stop()
	w.drop()
}

// drop ends a connection that is broken.
func (w *WebSocket) drop() {
	w.stop()
	<-w.read
	w.conn = nil
}
