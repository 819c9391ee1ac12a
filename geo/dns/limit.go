package dns

import (
	"hash/maphash"
	"net/netip"
	"sync"
	"time"
)

// networkBuckets is how many networks are told apart: 1 MiB for a limiter. Networks that fall together share a rate.
const networkBuckets = 1 << 15

// limiter bounds what each network gets, in memory that does not grow. Which networks fall together only this process knows, so
// that nobody can pick sources that use up somebody else's share. It is safe for concurrent use.
type limiter struct {
	rate, burst float64 // answers a second, answers at once
	seed        maphash.Seed

	mu      sync.Mutex
	buckets []bucket
}

type bucket struct {
	spent float64   // of burst, when last looked at
	at    time.Time // that was
	over  uint32    // how many were refused
}

// newLimiter returns a limiter; nil, which allows everything, without a rate.
func newLimiter(rate float64) *limiter {
	if rate <= 0 {
		return nil
	}
	return &limiter{rate: rate, burst: max(2*rate, 1), seed: maphash.MakeSeed(), buckets: make([]bucket, networkBuckets)}
}

// verdict is what a limiter says of one question.
type verdict uint8

const (
	allow verdict = iota
	slip          // answer with nothing but the request to use TCP
	drop
)

// ask takes one answer from a network's share.
func (l *limiter) ask(now time.Time, from netip.Addr) verdict {
	if l == nil {
		return allow
	}
	i := maphash.Comparable(l.seed, networkAround(from)) % networkBuckets
	l.mu.Lock()
	defer l.mu.Unlock()
	b := &l.buckets[i]
	b.spent = max(b.spent-now.Sub(b.at).Seconds()*l.rate, 0)
	b.at = now
	if b.spent+1 <= l.burst {
		b.spent++
		return allow
	}
	b.over++
	if b.over%2 == 1 {
		return slip
	}
	return drop
}

// networkAround returns the network whose hosts are one to limits: what an office or a subscriber gets.
func networkAround(a netip.Addr) netip.Prefix {
	a = a.Unmap()
	bits := 56
	if a.Is4() {
		bits = 24
	}
	p, _ := a.WithZone("").Prefix(bits) // these lengths are right for any address
	return p
}
