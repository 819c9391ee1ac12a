package webhook

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"cardea/signaling/events/guard"
	"cardea/signaling/events/sink"
	"cardea/signaling/events/spool"
)

// Config configures a [Webhook].
type Config struct {
	// URL is where events are posted to: http or https.
	URL string
	// Allowed are the private networks that the URL's name may lead to.
	Allowed []netip.Prefix
	// Key signs requests; "" leaves them unsigned.
	Key string
	// User and Password are for basic authentication, if there is a user.
	User, Password string
	// Single sends each event in a request of its own, as an object.
	Single bool
	// Compress compresses bodies by gzip.
	Compress bool
	// AnyStatus takes every answer for a confirmation.
	AnyStatus bool

	now func() time.Time // nil: time.Now
}

// Webhook posts events to one URL.
type Webhook struct {
	cfg    Config
	single atomic.Bool
	key    []byte
	client *http.Client
}

var _ sink.Sink = (*Webhook)(nil)

const (
	// maxAnswer is how much of an answer is read, so that the connection can be used again.
	maxAnswer = 64 << 10
	// maxAnswerHeader bounds an answer's header.
	maxAnswerHeader = 64 << 10
	idleTimeout     = 90 * time.Second
	tlsTimeout      = 10 * time.Second
)

// keyPrefix begins keys that are written in base64.
const keyPrefix = "whsec_"

// New makes a webhook. It does not connect.
func New(cfg Config) (*Webhook, error) {
	to, err := url.Parse(cfg.URL)
	if err != nil || to.Scheme != "http" && to.Scheme != "https" || to.Host == "" || to.User != nil {
		return nil, errors.New("webhook: want an http or https URL without a user")
	}
	w := &Webhook{cfg: cfg, key: []byte(cfg.Key)}
	if text, ok := strings.CutPrefix(cfg.Key, keyPrefix); ok {
		if w.key, err = base64.StdEncoding.DecodeString(text); err != nil || len(w.key) == 0 { // unsigned by mistake
			return nil, errors.New("webhook: there is no key in base64 after " + keyPrefix)
		}
	}
	w.single.Store(cfg.Single)
	if w.cfg.now == nil {
		w.cfg.now = time.Now
	}
	w.client = &http.Client{
		Transport: &http.Transport{
			DialContext: guard.Dial(to, cfg.Allowed), TLSHandshakeTimeout: tlsTimeout, IdleConnTimeout: idleTimeout,
			MaxResponseHeaderBytes: maxAnswerHeader, MaxIdleConns: 2, DisableCompression: true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return w, nil
}

// SetGrouping changes whether requests hold arrays of events; it may be called at any time.
func (w *Webhook) SetGrouping(on bool) { w.single.Store(!on) }

// Send implements [sink.Sink].
func (w *Webhook) Send(ctx context.Context, batch []spool.Entry) (int, error) {
	if !w.single.Load() {
		if err := w.post(ctx, batchID(batch), sink.AppendArray(nil, batch)); err != nil {
			return 0, err
		}
		return len(batch), nil
	}
	for i := range batch {
		if err := w.post(ctx, batch[i].ID(), batch[i].AppendJSON(nil)); err != nil {
			return i, err
		}
	}
	return len(batch), nil
}

// batchID names a batch by its ends.
func batchID(batch []spool.Entry) string {
	return batch[0].ID() + "-" + strconv.FormatUint(batch[len(batch)-1].Seq, 10)
}

// Close implements [sink.Sink].
func (w *Webhook) Close() { w.client.CloseIdleConnections() }

// post makes one request. The body must not be used again: the transport may still read it when an answer came early.
func (w *Webhook) post(ctx context.Context, id string, body []byte) error {
	if w.cfg.Compress {
		body = compressed(body)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, w.cfg.URL, bytes.NewReader(body))
	if err != nil {
		return plain(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "cardea")
	r.Header.Set("Webhook-Id", id)
	if w.cfg.Compress {
		r.Header.Set("Content-Encoding", "gzip")
	}
	if w.cfg.User != "" {
		r.SetBasicAuth(w.cfg.User, w.cfg.Password)
	}
	if len(w.key) > 0 {
		w.sign(r.Header, id, body)
	}
	answer, err := w.client.Do(r)
	if err != nil {
		return plain(err)
	}
	_, _ = io.CopyN(io.Discard, answer.Body, maxAnswer) // only for the connection's sake
	_ = answer.Body.Close()
	if w.cfg.AnyStatus {
		return nil
	}
	return judge(answer.StatusCode, answer.Header.Get("Retry-After"), w.cfg.now())
}

// sign adds the headers of Standard Webhooks beside the id.
func (w *Webhook) sign(h http.Header, id string, body []byte) {
	at := strconv.FormatInt(w.cfg.now().Unix(), 10)
	mac := hmac.New(sha256.New, w.key)
	mac.Write([]byte(id + "." + at + "."))
	mac.Write(body)
	h.Set("Webhook-Timestamp", at)
	h.Set("Webhook-Signature", "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
}

// judge returns what an answer means.
func judge(status int, retryAfter string, now time.Time) error {
	if status >= 200 && status < 300 {
		return nil
	}
	err := fmt.Errorf("the webhook answers %d %s", status, http.StatusText(status))
	switch status {
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity:
		return fmt.Errorf("%w: %w", sink.ErrRefused, err)
	}
	if seconds, wrong := strconv.ParseUint(retryAfter, 10, 31); wrong == nil {
		return &sink.AfterError{Err: err, After: time.Duration(seconds) * time.Second} //nolint:gosec // 31 bits
	}
	if at, wrong := http.ParseTime(retryAfter); wrong == nil {
		return &sink.AfterError{Err: err, After: at.Sub(now)}
	}
	return err
}

// plain returns what went wrong without the URL, which may hold a secret.
func plain(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	return fmt.Errorf("webhook: %w", err)
}

func compressed(body []byte) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write(body) // a Buffer takes everything
	_ = z.Close()
	return b.Bytes()
}
