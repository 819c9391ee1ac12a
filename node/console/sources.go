package console

import (
	"hash/maphash"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// sourceBuckets is how many buckets there are at most, which bounds the memory; sources that share one share its rate.
const sourceBuckets = 4096

// sources limits how often something is done for one source.
type sources struct {
	every time.Duration
	burst int
	seed  maphash.Seed

	mu      sync.Mutex
	buckets map[uint64]*rate.Limiter // at most sourceBuckets
}

func newSources(every time.Duration, burst int) *sources {
	return &sources{every: every, burst: burst, seed: maphash.MakeSeed(), buckets: make(map[uint64]*rate.Limiter)}
}

// take uses up one of the source's, false if there is none. A source is an IPv4 address, or an IPv6 network of which one
// host may have all addresses.
func (s *sources) take(remote string, now time.Time) bool {
	from, err := netip.ParseAddrPort(remote)
	if err != nil {
		return false
	}
	source := from.Addr().Unmap().WithZone("")
	if source.Is6() {
		p, _ := source.Prefix(64) // an IPv6 address always has it
		source = p.Addr()
	}
	key := maphash.Comparable(s.seed, source) % sourceBuckets
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.buckets[key]
	if b == nil {
		b = rate.NewLimiter(rate.Every(s.every), s.burst)
		s.buckets[key] = b
	}
	return b.AllowN(now, 1)
}
