package console

import (
	"hash/maphash"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// sourceBuckets is how many buckets there are at most, for IPv4 and for IPv6, which bounds the memory; sources that share one share its rate.
const sourceBuckets = 4096

// sourceEvery is after how long a source may do one more of whatever is limited.
const sourceEvery = 10 * time.Second

// sources limits how often something is done for one source: burst at once, then one each [sourceEvery].
type sources struct {
	burst int
	seed  maphash.Seed

	mu      sync.Mutex
	buckets map[uint64]*rate.Limiter // at most twice sourceBuckets
}

func newSources(burst int) *sources {
	return &sources{burst: burst, seed: maphash.MakeSeed(), buckets: make(map[uint64]*rate.Limiter)}
}

// take uses up one of the source's, false if there is none.
func (s *sources) take(from netip.Addr, now time.Time) bool {
	if !from.IsValid() {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bucket(from).AllowN(now, 1)
}

// left tells whether the source has one left.
func (s *sources) left(from netip.Addr, now time.Time) bool {
	if !from.IsValid() {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bucket(from).TokensAt(now) >= 1
}

// bucket is a source's, with mu held. A source is an IPv4 address, or an IPv6 network of which one host may have all addresses.
func (s *sources) bucket(source netip.Addr) *rate.Limiter {
	source = source.Unmap().WithZone("")
	if source.Is6() {
		p, _ := source.Prefix(64) // an IPv6 address always has it
		source = p.Addr()
	}
	key := maphash.Comparable(s.seed, source) % sourceBuckets
	if source.Is6() { // of which one may have thousands of networks: no IPv4 address shares theirs
		key += sourceBuckets
	}
	b := s.buckets[key]
	if b == nil {
		b = rate.NewLimiter(rate.Every(sourceEvery), s.burst)
		s.buckets[key] = b
	}
	return b
}

// peer is the address that a request came from: the client's, or that of a proxy. Not valid where it is none.
func peer(r *http.Request) netip.Addr {
	from, _ := netip.ParseAddrPort(r.RemoteAddr)
	return from.Addr()
}
