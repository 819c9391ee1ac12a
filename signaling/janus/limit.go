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
	rate  rate.Limit
	burst int

	mu     sync.Mutex
	by     map[netip.Prefix]*rate.Limiter
	others *rate.Limiter
}

func newLimits(perSecond float64, burst int) *limits {
	r := rate.Limit(perSecond)
	return &limits{rate: r, burst: burst, by: map[netip.Prefix]*rate.Limiter{}, others: rate.NewLimiter(r, burst)}
}

// allow tells whether the address may create a session now.
func (l *limits) allow(a netip.Addr, now time.Time) bool {
	if l.rate <= 0 || !a.IsValid() {
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
	limiter := l.by[prefix]
	if limiter == nil {
		if limiter = l.others; len(l.by) < maxLimiters {
			limiter = rate.NewLimiter(l.rate, l.burst)
			l.by[prefix] = limiter
		}
	}
	return limiter.AllowN(now, 1)
}

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
