package janus

import (
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// maxLimiters bounds the addresses whose rate is known; further ones share one allowance.
const maxLimiters = 65536

// limits bounds how many sessions each source address creates.
type limits struct {
	mu     sync.Mutex
	rate   rate.Limit
	burst  int
	by     map[netip.Prefix]*rate.Limiter
	others *rate.Limiter
}

func newLimits(perSecond float64, burst int) *limits {
	r := rate.Limit(perSecond)
	return &limits{rate: r, burst: burst, by: map[netip.Prefix]*rate.Limiter{}, others: rate.NewLimiter(r, burst)}
}

// allow tells whether the address may create a session now.
func (l *limits) allow(a netip.Addr, now time.Time) bool {
	if !a.IsValid() {
		return true
	}
	a = a.Unmap()
	bits := 32
	if a.Is6() {
		bits = 64 // what one customer of an IPv6 network has at least
	}
	prefix := netip.PrefixFrom(a.WithZone(""), bits).Masked()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.rate <= 0 {
		return true
	}
	limiter := l.by[prefix]
	if limiter == nil {
		if limiter = l.others; len(l.by) < maxLimiters {
			limiter = rate.NewLimiter(l.rate, l.burst)
			l.by[prefix] = limiter
		}
	}
	return limiter.AllowN(now, 1)
}

// set replaces the rate; who has used up the old allowance starts the new one with what is left of it.
func (l *limits) set(perSecond float64, burst int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rate, l.burst = rate.Limit(perSecond), burst
	l.others.SetLimit(l.rate)
	l.others.SetBurst(burst)
	for _, limiter := range l.by {
		limiter.SetLimit(l.rate)
		limiter.SetBurst(burst)
	}
}

// SetCreateRate replaces the sessions a second that one source address creates, and how many it may create at once; see [Config].
func (s *Server) SetCreateRate(perSecond float64, burst int) { s.limits.set(perSecond, burst) }

// sweep forgets the addresses that have their whole allowance again.
func (l *limits) sweep(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for p, limiter := range l.by {
		if limiter.TokensAt(now) >= float64(l.burst) {
			delete(l.by, p)
		}
	}
}
