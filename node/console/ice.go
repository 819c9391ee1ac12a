package console

import (
	"hash/maphash"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// ICEServer is a TURN server as browsers take it (W3C RTCIceServer), with credentials that soon expire.
type ICEServer struct {
	URLs       []string `json:"urls"`
	Username   string   `json:"username"`
	Credential string   `json:"credential"`
}

// hostOf returns the host of a Host header, lower case and without port and brackets; "" when it is no name or address
// that could be put into a URL or a header as it is.
func hostOf(hostport string) string {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = strings.TrimSuffix(strings.TrimPrefix(hostport, "["), "]")
	}
	if a, err := netip.ParseAddr(host); err == nil {
		return a.WithZone("").String()
	}
	if host == "" || len(host) > 253 {
		return ""
	}
	for _, c := range host {
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '.') {
			return ""
		}
	}
	return strings.ToLower(host)
}

// bracketed is a host as URLs spell it.
func bracketed(host string) string {
	if strings.Contains(host, ":") {
		return "[" + host + "]"
	}
	return host
}

// What one source may have minted: a page asks when it opens and when a connection needs a relay, many tabs of one
// office at once. The number of buckets is what bounds the memory; sources that share one share its rate.
const (
	mintEvery   = 10 * time.Second
	mintBurst   = 30
	mintBuckets = 4096
)

// minting limits how often credentials are made for one source.
type minting struct {
	seed maphash.Seed

	mu      sync.Mutex
	buckets map[uint64]*rate.Limiter // at most mintBuckets
}

func newMinting() *minting {
	return &minting{seed: maphash.MakeSeed(), buckets: make(map[uint64]*rate.Limiter)}
}

// take uses up one of the source's, false if there is none. A source is an IPv4 address, or an IPv6 network of which one
// host may have all addresses.
func (m *minting) take(remote string, now time.Time) bool {
	from, err := netip.ParseAddrPort(remote)
	if err != nil {
		return false
	}
	source := from.Addr().Unmap().WithZone("")
	if source.Is6() {
		p, _ := source.Prefix(64) // an IPv6 address always has it
		source = p.Addr()
	}
	key := maphash.Comparable(m.seed, source) % mintBuckets
	m.mu.Lock()
	defer m.mu.Unlock()
	b := m.buckets[key]
	if b == nil {
		b = rate.NewLimiter(rate.Every(mintEvery), mintBurst)
		m.buckets[key] = b
	}
	return b.AllowN(now, 1)
}
