package janus

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// coreRealm is the realm of signed tokens that admit to the API itself.
const coreRealm = "janus"

// auth decides who may use the API.
type auth struct {
	secret string  // "" asks for none
	key    []byte  // of signed tokens, nil when they are not used
	stored *Tokens // nil when stored tokens are not used
}

func newAuth(c *Config) auth {
	a := auth{secret: c.APISecret}
	switch {
	case c.TokenAuth && c.TokenSecret != "":
		a.key = []byte(c.TokenSecret)
	case c.TokenAuth:
		a.stored = &Tokens{plugins: map[string][]string{}}
	}
	return a
}

func (a *auth) signed() bool { return a.key != nil }

// admit tells whether a request with this secret or token may pass. Either one suffices when both are on.
func (a *auth) admit(secret, token string) bool {
	tokens := a.key != nil || a.stored != nil
	if a.secret == "" && !tokens {
		return true
	}
	bySecret := a.secret != "" && equal(secret, a.secret)
	return bySecret || tokens && a.valid(token)
}

func (a *auth) valid(token string) bool {
	if a.key != nil {
		return a.verify(token, coreRealm)
	}
	return a.stored.has(token)
}

// allows tells whether a request that was admitted may attach to the plugin: without a valid token the secret admitted
// it, which knows no bounds.
func (a *auth) allows(token, plugin string) bool {
	switch {
	case a.key != nil:
		return !a.verify(token, coreRealm) || a.verify(token, coreRealm, plugin)
	case a.stored != nil:
		return !a.stored.has(token) || a.stored.allows(token, plugin)
	}
	return true
}

// verify tells whether a signed token ("expiry,realm[,descriptor...]:base64(HMAC-SHA1)") is genuine, has not expired,
// is of that realm, and has all the descriptors.
func (a *auth) verify(token, realm string, descriptors ...string) bool {
	if a.key == nil {
		return false
	}
	text, signature, ok := strings.Cut(token, ":")
	if !ok {
		return false
	}
	mac := hmac.New(sha1.New, a.key)
	mac.Write([]byte(text))
	if !equal(signature, base64.StdEncoding.EncodeToString(mac.Sum(nil))) {
		return false
	}
	parts := strings.Split(text, ",")
	if len(parts) < 2 || parts[1] != realm {
		return false
	}
	expiry, err := strconv.ParseInt(parts[0], 10, 64)
	if err != nil || time.Now().Unix() > expiry {
		return false
	}
	for _, d := range descriptors {
		if !slices.Contains(parts[2:], d) {
			return false
		}
	}
	return true
}

// equal compares in a time that depends on nothing secret, not even the length.
func equal(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

// Tokens are the stored tokens and the plugins that each allows. They live as long as the process. Safe for concurrent
// use.
type Tokens struct {
	mu      sync.RWMutex
	plugins map[string][]string
}

// Add stores a token, or adds to what it allows, and returns all that it allows now.
func (t *Tokens) Add(token string, plugins ...string) []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.plugins[token] = unique(t.plugins[token], plugins)
	return slices.Clone(t.plugins[token])
}

// Allow adds plugins to what a token allows and returns all that it allows now; false if there is no such token.
func (t *Tokens) Allow(token string, plugins ...string) ([]string, bool) {
	return t.change(token, func(l []string) []string { return unique(l, plugins) })
}

// Disallow takes plugins from what a token allows and returns all that it still does; false if there is no such token.
func (t *Tokens) Disallow(token string, plugins ...string) ([]string, bool) {
	return t.change(token, func(l []string) []string {
		return slices.DeleteFunc(slices.Clone(l), func(p string) bool { return slices.Contains(plugins, p) })
	})
}

// Remove forgets a token; false if there is no such token.
func (t *Tokens) Remove(token string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, ok := t.plugins[token]
	delete(t.plugins, token)
	return ok
}

// List returns all tokens and what they allow.
func (t *Tokens) List() map[string][]string {
	t.mu.RLock()
	defer t.mu.RUnlock()
	l := make(map[string][]string, len(t.plugins))
	for k, v := range t.plugins {
		l[k] = slices.Clone(v)
	}
	return l
}

func (t *Tokens) change(token string, f func([]string) []string) ([]string, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	l, ok := t.plugins[token]
	if !ok {
		return nil, false
	}
	l = f(l)
	t.plugins[token] = l
	return slices.Clone(l), true
}

func (t *Tokens) has(token string) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	_, ok := t.plugins[token]
	return ok
}

func (t *Tokens) allows(token, plugin string) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return slices.Contains(t.plugins[token], plugin)
}

// unique appends those of add that l does not have yet.
func unique(l, add []string) []string {
	l = slices.Clone(l)
	for _, p := range add {
		if !slices.Contains(l, p) {
			l = append(l, p)
		}
	}
	return l
}
