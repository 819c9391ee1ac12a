package geo

import (
	"hash/maphash"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// sourceBuckets bounds the memory for limits of sources; those that share a bucket share its rate.
const sourceBuckets = 4096

// sources limits how often something is done for one source.
type sources struct {
	rate  rate.Limit
	burst int
	seed  maphash.Seed

	mu      sync.Mutex
	buckets map[uint64]*rate.Limiter // at most sourceBuckets
}

func newSources(perSecond float64, burst int) *sources {
	return &sources{rate: rate.Limit(perSecond), burst: burst, seed: maphash.MakeSeed(), buckets: make(map[uint64]*rate.Limiter)}
}

// take uses up one of the source's, false if there is none. A source is an IPv4 address, or an IPv6 network of which one
// host may have all addresses.
func (s *sources) take(from netip.Addr, now time.Time) bool {
	if from = from.Unmap().WithZone(""); from.Is6() {
		p, _ := from.Prefix(64) // an IPv6 address always has it
		from = p.Addr()
	}
	key := maphash.Comparable(s.seed, from) % sourceBuckets
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.buckets[key]
	if b == nil {
		b = rate.NewLimiter(s.rate, s.burst)
		s.buckets[key] = b
	}
	return b.AllowN(now, 1)
}
