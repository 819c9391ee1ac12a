package turn

import (
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// maxSources bounds a table of sources: some 10 MB.
const maxSources = 1 << 16

// sources limits a rate for each source. Those that have not used theirs are forgotten, since a new entry is as good.
// When the table is full of others, all further sources share one limit.
type sources struct {
	limit Rate
	size  int

	mu        sync.Mutex
	limiters  map[netip.Addr]*rate.Limiter
	overflow  *rate.Limiter
	nextSweep time.Time
}

func newSources(limit Rate, size int) *sources {
	s := &sources{limit: limit, size: size, limiters: make(map[netip.Addr]*rate.Limiter)}
	s.overflow = s.limiter()
	return s
}

func (s *sources) limiter() *rate.Limiter {
	return rate.NewLimiter(rate.Limit(s.limit.PerSecond), s.limit.Burst)
}

// take uses up one of the source's; false if there is none.
func (s *sources) take(a netip.Addr, now time.Time) bool {
	return s.limit.PerSecond == 0 || s.of(a, now).AllowN(now, 1)
}

// source is what counts as one: an IPv4 address, or an IPv6 network, of which one host may have all addresses.
func source(a netip.Addr) netip.Addr {
	a = a.Unmap().WithZone("")
	if a.Is6() {
		p, _ := a.Prefix(64)
		return p.Addr()
	}
	return a
}

func (s *sources) of(a netip.Addr, now time.Time) *rate.Limiter {
	key := source(a)
	s.mu.Lock()
	defer s.mu.Unlock()
	if l, ok := s.limiters[key]; ok {
		return l
	}
	if len(s.limiters) >= s.size {
		s.sweep(now)
	}
	if len(s.limiters) >= s.size {
		return s.overflow
	}
	l := s.limiter()
	s.limiters[key] = l
	return l
}

// sweep forgets the sources that have all of theirs. It looks at the whole table, so at most once a second.
func (s *sources) sweep(now time.Time) {
	if now.Before(s.nextSweep) {
		return
	}
	s.nextSweep = now.Add(time.Second)
	for a, l := range s.limiters {
		if l.TokensAt(now) >= float64(s.limit.Burst) {
			delete(s.limiters, a)
		}
	}
}
