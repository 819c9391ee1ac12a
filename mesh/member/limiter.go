package member

import (
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Bounds of what others can take of a TCP port: connections at once, in all and from one source, and new ones from one source.
// Members have room of their own, so that strangers cannot shut them out.
const (
	strangersAtOnce = 64
	membersAtOnce   = 192
	sourceAtOnce    = 16
	sourceRate      = 10 // a second
	sourceBurst     = 40
	maxSources      = 4096
)

// limiter decides which connections are served. It is safe for concurrent use.
type limiter struct {
	member func(netip.Addr) bool // is a member there?

	mu      sync.Mutex
	sources map[netip.Prefix]*source
	open    [2]int // connections of strangers and of members
}

type source struct {
	rate *rate.Limiter
	open int
}

func newLimiter(member func(netip.Addr) bool) *limiter {
	return &limiter{member: member, sources: map[netip.Prefix]*source{}}
}

// take tells whether to serve a connection; release must be called when it is over.
func (l *limiter) take(remote net.Addr, now time.Time) (release func(), ok bool) {
	ip := addressOf(remote)
	class, most := 0, strangersAtOnce
	if l.member(ip) {
		class, most = 1, membersAtOnce
	}
	bits := 32
	if ip.Is6() {
		bits = 64 // what one customer has
	}
	prefix, err := ip.Prefix(bits)
	if err != nil {
		return nil, false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.sources[prefix]
	if s == nil {
		if len(l.sources) >= maxSources {
			l.clean(now)
		}
		if len(l.sources) >= maxSources {
			return nil, false
		}
		s = &source{rate: rate.NewLimiter(sourceRate, sourceBurst)}
		l.sources[prefix] = s
	}
	if l.open[class] >= most || s.open >= sourceAtOnce*(1+class*3) || !s.rate.AllowN(now, 1) {
		return nil, false
	}
	l.open[class]++
	s.open++
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.open[class]--
		s.open--
	}, true
}

// clean forgets sources that have been quiet.
func (l *limiter) clean(now time.Time) {
	for p, s := range l.sources {
		if s.open == 0 && s.rate.TokensAt(now) >= sourceBurst {
			delete(l.sources, p)
		}
	}
}

// addressOf returns the IP address of a TCP or UDP address.
func addressOf(a net.Addr) netip.Addr {
	switch a := a.(type) {
	case *net.TCPAddr:
		return a.AddrPort().Addr().Unmap().WithZone("")
	case *net.UDPAddr:
		return a.AddrPort().Addr().Unmap().WithZone("")
	}
	return netip.Addr{}
}
