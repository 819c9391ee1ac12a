package webhook

import (
	"compress/gzip"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cardea/signaling/events/guard"
	"cardea/signaling/events/sink"
	"cardea/signaling/events/spool"
)

var batch = []spool.Entry{
	{Value: []byte(`{"type":1}`), Seq: 3, Run: 10}, {Value: []byte(`{"type":2}`), Seq: 5, Run: 10},
}

// one and two are the batch's events as they are to arrive.
const (
	one = `{"id":"0000000000000a-3","type":1}`
	two = `{"id":"0000000000000a-5","type":2}`
)

// request is what a server was sent.
type request struct {
	Body   string
	Header http.Header
}

// server answers with a status and keeps what it is sent.
func server(t *testing.T, answer http.HandlerFunc) (address string, got *[]request) {
	t.Helper()
	got = new([]request)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		*got = append(*got, request{string(body), r.Header})
		if answer != nil {
			answer(w, r)
		}
	}))
	t.Cleanup(s.Close)
	return s.URL, got
}

func hook(t *testing.T, cfg Config) *Webhook {
	t.Helper()
	w, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	return w
}

func want(t *testing.T, what string, got, want any) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

func TestForms(t *testing.T) {
	address, got := server(t, nil)
	w := hook(t, Config{URL: address + "/hook?x=1"})
	n, err := w.Send(t.Context(), batch)
	want(t, "sent", n, 2)
	want(t, "error", err, error(nil))
	w.SetGrouping(false)
	if n, err = w.Send(t.Context(), batch); n != 2 || err != nil {
		t.Errorf("each by itself: %d, %v", n, err)
	}
	want(t, "requests", len(*got), 3)
	for i, body := range []string{`[` + one + `,` + two + `]`, one, two} {
		r := (*got)[i]
		want(t, "body", r.Body, body)
		want(t, "type", r.Header.Get("Content-Type"), "application/json")
		want(t, "id", r.Header.Get("Webhook-Id"), []string{"0000000000000a-3-5", "0000000000000a-3", "0000000000000a-5"}[i])
		want(t, "signature", r.Header.Get("Webhook-Signature"), "")
	}
}

// TestSampleEVH sends what Janus's sampleevh sends: gzip, basic authentication, and any answer will do.
func TestSampleEVH(t *testing.T) {
	address, got := server(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	w := hook(t, Config{URL: address, User: "me", Password: "secret", Compress: true, AnyStatus: true})
	if n, err := w.Send(t.Context(), batch); n != 2 || err != nil {
		t.Fatalf("sent: %d, %v", n, err)
	}
	r := (*got)[0]
	want(t, "encoding", r.Header.Get("Content-Encoding"), "gzip")
	want(t, "authorization", r.Header.Get("Authorization"), "Basic "+base64.StdEncoding.EncodeToString([]byte("me:secret")))
	z, err := gzip.NewReader(strings.NewReader(r.Body))
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(z)
	want(t, "error", err, error(nil))
	want(t, "body", string(body), `[`+one+`,`+two+`]`)
}

// TestSignature checks the headers against the example in the specification of Standard Webhooks, and what a server would check.
func TestSignature(t *testing.T) {
	w := hook(t, Config{URL: "https://example.org", Key: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", now: func() time.Time { return time.Unix(1614265330, 0) }})
	h := http.Header{}
	w.sign(h, "msg_p5jXN8AQM9LWM0D4loKWxJek", []byte(`{"test": 2432232314}`))
	want(t, "the specification's", h.Get("Webhook-Signature"), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=")

	address, got := server(t, nil)
	for range 2 {
		if _, err := hook(t, Config{URL: address, Key: "a plain key", Compress: true}).Send(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
	}
	for _, r := range *got {
		want(t, "id", r.Header.Get("Webhook-Id"), "0000000000000a-3-5")
		mac := hmac.New(sha256.New, []byte("a plain key"))
		mac.Write([]byte("0000000000000a-3-5." + r.Header.Get("Webhook-Timestamp") + "." + r.Body))
		want(t, "signature", r.Header.Get("Webhook-Signature"), "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	}
}

func TestAnswers(t *testing.T) {
	for _, tt := range []struct {
		status          int
		retry           string
		refused, failed bool
		after           time.Duration
	}{
		{200, "", false, false, 0},
		{204, "", false, false, 0},
		{302, "", false, true, 0},
		{400, "", true, true, 0},
		{401, "", false, true, 0},
		{404, "", false, true, 0},
		{413, "", true, true, 0},
		{422, "5", true, true, 0},
		{429, "7", false, true, 7 * time.Second},
		{503, "Wed, 21 Oct 2026 07:28:00 GMT", false, true, 28 * time.Minute},
		{503, "soon", false, true, 0},
		{500, "99999999999999", false, true, 0},
	} {
		err := judge(tt.status, tt.retry, time.Date(2026, 10, 21, 7, 0, 0, 0, time.UTC))
		if (err != nil) != tt.failed || errors.Is(err, sink.ErrRefused) != tt.refused {
			t.Errorf("%d: %v", tt.status, err)
		}
		var after time.Duration
		if a, ok := errors.AsType[*sink.AfterError](err); ok {
			after = a.After
		}
		want(t, "after", after, tt.after)
	}
}

// TestNowhereElse wants neither a redirect followed nor a name to lead to this machine, and no secret of the URL in errors.
func TestNowhereElse(t *testing.T) {
	inner, reached := server(t, nil)
	outer, _ := server(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, inner, http.StatusTemporaryRedirect) })
	n, err := hook(t, Config{URL: outer}).Send(t.Context(), batch)
	if n != 0 || err == nil || errors.Is(err, sink.ErrRefused) {
		t.Errorf("redirected: %d, %v", n, err)
	}
	u, err := url.Parse(inner)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"http://localhost:" + u.Port() + "/?key=hush", "http://localhost:1/?key=hush"} {
		_, err = hook(t, Config{URL: name}).Send(t.Context(), batch)
		if !errors.Is(err, guard.ErrAddress) || strings.Contains(err.Error(), "hush") {
			t.Errorf("a name of this machine: %v", err)
		}
	}
	t.Setenv("HTTP_PROXY", inner)
	_, _ = hook(t, Config{URL: "http://192.0.2.1:9/"}).Send(expired(t), batch) // wherever it goes, not to the proxy
	want(t, "requests that reached the inner server", len(*reached), 0)
	for _, wrong := range []string{"", "ftp://x", "http://", "http://u:p@x/", "//x", "http://x y"} {
		if _, err := New(Config{URL: wrong}); err == nil || strings.Contains(err.Error(), "u:p") {
			t.Errorf("%q: %v", wrong, err)
		}
	}
	if _, err := New(Config{URL: "http://x", Key: "whsec_"}); err == nil {
		t.Error("an empty key is taken, and nothing signed")
	}
	if _, err := New(Config{URL: "http://x", Key: "whsec_no base64!"}); err == nil {
		t.Error("a wrong key was taken")
	}
}

// expired returns a context that is over soon.
func expired(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	t.Cleanup(cancel)
	return ctx
}

// TestPart has a server fail in the middle of single events.
func TestPart(t *testing.T) {
	n := 0
	address, _ := server(t, func(w http.ResponseWriter, _ *http.Request) {
		if n++; n == 2 {
			w.WriteHeader(http.StatusBadGateway)
		}
	})
	sent, err := hook(t, Config{URL: address, Single: true}).Send(t.Context(), batch)
	if sent != 1 || err == nil {
		t.Errorf("sent: %d, %v", sent, err)
	}
}
