package console

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Operator is what the console's operators may do, once they have shown the password, beside seeing what is closed. Functions may
// ask other nodes, end with the context, and are called from many goroutines.
type Operator struct {
	Password string // empty: nobody may
	// Drain has a node, named by its id, take no more clients and let the present ones leave; undo takes that back.
	Drain func(ctx context.Context, node string, undo bool) error
	// Kick throws a participant out of a room, on whichever node it is.
	Kick func(ctx context.Context, plugin, room, participant string) error
}

// Operating tells a page what its visitor may do.
type Operating struct {
	Possible bool `json:"possible"` // there is a password
	In       bool `json:"in"`       // it was shown
	Drain    bool `json:"drain"`    // this node can have nodes drained
	Kick     bool `json:"kick"`     // and participants thrown out
}

const (
	// operatorCookie names the cookie of somebody who has shown the password. It is sent to no other site's requests, and no script
	// reads it.
	operatorCookie = "cardea_operator"
	operatorTime   = 8 * time.Hour // a working day
	maxOperators   = 64            // who shows the password in one more place ends the oldest

	// A source may try loginBurst passwords at once; and all sources together loginTotal a second, so that many of them are no way
	// around it. An operator who mistypes notices neither.
	loginBurst = 5
	loginTotal = 2
)

// operators are those who have shown the password.
type operators struct {
	cfg      Operator
	source   func(r *http.Request) netip.Addr
	attempts *sources
	all      *rate.Limiter

	mu   sync.Mutex
	seen map[[sha256.Size]byte]time.Time // when each's time is over, by the hash of what its cookie says; at most maxOperators
}

func newOperators(cfg Operator, source func(r *http.Request) netip.Addr) *operators {
	return &operators{
		cfg: cfg, source: source, attempts: newSources(loginBurst), all: rate.NewLimiter(loginTotal, 4*loginBurst),
		seen: make(map[[sha256.Size]byte]time.Time),
	}
}

// login compares a password, and returns what the cookie shall say.
func (o *operators) login(from netip.Addr, password string, now time.Time) (string, error) {
	if !o.attempts.take(from, now) || !o.all.AllowN(now, 1) {
		return "", errTooOften
	}
	got, want := sha256.Sum256([]byte(password)), sha256.Sum256([]byte(o.cfg.Password))
	if subtle.ConstantTimeCompare(got[:], want[:]) != 1 || o.cfg.Password == "" {
		return "", errPassword
	}
	var b [32]byte
	_, _ = rand.Read(b[:]) // it never fails
	text := hex.EncodeToString(b[:])
	o.mu.Lock()
	defer o.mu.Unlock()
	o.forget(now)
	o.seen[sha256.Sum256([]byte(text))] = now.Add(operatorTime)
	return text, nil
}

// forget drops whose time is over, and the oldest if there are too many; mu is held.
func (o *operators) forget(now time.Time) {
	var oldest [sha256.Size]byte
	var first time.Time
	for k, until := range o.seen {
		if until.Before(now) {
			delete(o.seen, k)
			continue
		}
		if first.IsZero() || until.Before(first) {
			oldest, first = k, until
		}
	}
	if len(o.seen) >= maxOperators {
		delete(o.seen, oldest)
	}
}

// in tells whether the request is an operator's.
func (o *operators) in(r *http.Request, now time.Time) bool {
	c, err := r.Cookie(operatorCookie)
	if err != nil {
		return false
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.seen[sha256.Sum256([]byte(c.Value))].After(now)
}

func (o *operators) logout(r *http.Request) {
	if c, err := r.Cookie(operatorCookie); err == nil {
		o.mu.Lock()
		defer o.mu.Unlock()
		delete(o.seen, sha256.Sum256([]byte(c.Value)))
	}
}

var (
	errPassword = errors.New("that is not the password")
	errTooOften = errors.New("too many attempts, wait a moment")
	errNotIn    = errors.New("the console's password is needed (console.password)")
)

// status is the HTTP status of what went wrong.
func status(err error) int {
	switch {
	case errors.Is(err, errPassword), errors.Is(err, errNotIn):
		return http.StatusForbidden // 401 asks for the token
	case errors.Is(err, errTooOften):
		return http.StatusTooManyRequests
	}
	if _, bad := errors.AsType[badRequest](err); bad {
		return http.StatusBadRequest
	}
	return http.StatusConflict
}

// handle adds the operators' part of the API.
func (o *operators) handle(closed func(pattern string, h http.HandlerFunc)) {
	closed("GET /api/v1/operator", func(w http.ResponseWriter, r *http.Request) { answer(w, o.may(o.in(r, time.Now()))) })
	if o.cfg.Password == "" {
		return
	}
	closed("POST /api/v1/operator/login", changing(func(w http.ResponseWriter, r *http.Request, body []byte) (any, error) {
		var q struct {
			Password string `json:"password"`
		}
		if err := read(body, &q); err != nil {
			return nil, err
		}
		text, err := o.login(o.source(r), q.Password, time.Now())
		if err != nil {
			return nil, err
		}
		http.SetCookie(w, o.cookie(r, text, operatorTime))
		return o.may(true), nil
	}))
	closed("POST /api/v1/operator/logout", changing(func(w http.ResponseWriter, r *http.Request, _ []byte) (any, error) {
		o.logout(r)
		http.SetCookie(w, o.cookie(r, "", -time.Second))
		return o.may(false), nil
	}))
	act := func(pattern string, f func(ctx context.Context, body []byte) error) {
		closed(pattern, changing(func(_ http.ResponseWriter, r *http.Request, body []byte) (any, error) {
			if !o.in(r, time.Now()) {
				return nil, errNotIn
			}
			return struct{}{}, f(r.Context(), body)
		}))
	}
	if o.cfg.Drain != nil {
		act("POST /api/v1/operator/drain", func(ctx context.Context, body []byte) error {
			var q struct {
				Node string `json:"node"`
				Undo bool   `json:"undo"`
			}
			if err := read(body, &q); err != nil {
				return err
			}
			return o.cfg.Drain(ctx, q.Node, q.Undo)
		})
	}
	if o.cfg.Kick != nil {
		act("POST /api/v1/operator/kick", func(ctx context.Context, body []byte) error {
			var q struct {
				Plugin      string `json:"plugin"`
				Room        string `json:"room"`
				Participant string `json:"participant"`
			}
			if err := read(body, &q); err != nil {
				return err
			}
			return o.cfg.Kick(ctx, q.Plugin, q.Room, q.Participant)
		})
	}
}

func (o *operators) may(in bool) Operating {
	possible := o.cfg.Password != ""
	return Operating{Possible: possible, In: possible && in, Drain: possible && o.cfg.Drain != nil, Kick: possible && o.cfg.Kick != nil}
}

func (o *operators) cookie(r *http.Request, value string, lives time.Duration) *http.Cookie {
	return &http.Cookie{
		Name: operatorCookie, Value: value, Path: "/", MaxAge: int(lives / time.Second),
		HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: r.TLS != nil,
	}
}

func read(body []byte, into any) error {
	if err := json.Unmarshal(body, into); err != nil {
		return badRequest{fmt.Errorf("not a proper request: %w", err)}
	}
	return nil
}

// changing guards what changes something: it must not be set off by a page of the outside that a browser on this machine has
// open, so requests must be JSON and of this origin.
func changing(f func(w http.ResponseWriter, r *http.Request, body []byte) (any, error)) http.HandlerFunc {
	return http.NewCrossOriginProtection().Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
			http.Error(w, "want application/json", http.StatusUnsupportedMediaType)
			return
		}
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
		if err != nil {
			http.Error(w, "request too long", http.StatusRequestEntityTooLarge)
			return
		}
		v, err := f(w, r, body)
		if err != nil {
			http.Error(w, err.Error(), status(err))
			return
		}
		answer(w, v)
	})).ServeHTTP
}
