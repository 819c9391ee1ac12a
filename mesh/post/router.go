package post

import (
	"sync"
	"time"

	"golang.org/x/time/rate"

	"cardea/relay/link"
)

const (
	// maxSources bounds the sources that are told apart, over all neighbours; more are refused until some are silent.
	maxSources = 8192
	// silent is how long a source says nothing until it is forgotten.
	silent = time.Minute
	// neighbourShare is how many sources' worth of datagrams one neighbour may hand us together.
	neighbourShare = 8
)

// verdict is what becomes of a datagram.
type verdict uint8

const (
	here      verdict = iota // it is for this node
	onward                   // to be sent on, with a hop less
	malformed                // or of another version
	stranger                 // from or to a node that is no member, or one that claims to be this node
	flood                    // its source or the neighbour sends too much
	lost                     // no hops left, or no way to go
)

// router decides what becomes of routed datagrams. It is safe for concurrent use.
type router struct {
	self   address
	member func(link.NodeID) bool
	next   func(to, avoid link.NodeID) (link.NodeID, bool)
	limits *limits
}

// route reads a datagram that the neighbour via handed us. The next hop is for onward alone.
func (r *router) route(via link.NodeID, datagram []byte, now time.Time) (v verdict, h header, payload []byte, next link.NodeID) {
	h, payload, err := parseHeader(datagram)
	if err != nil {
		return malformed, h, nil, ""
	}
	from := h.from.id()
	if h.from == r.self || !r.member(from) {
		return stranger, h, nil, ""
	}
	if !r.limits.allow(source{via: via, from: h.from}, now) {
		return flood, h, nil, ""
	}
	if h.to == r.self {
		return here, h, payload, ""
	}
	to := h.to.id()
	if !r.member(to) {
		return stranger, h, nil, ""
	}
	if h.hops <= 1 {
		return lost, h, nil, ""
	}
	next, ok := r.next(to, via)
	if !ok || next == via || next == from {
		return lost, h, nil, ""
	}
	return onward, h, payload, next
}

// source is where datagrams come from. Whose they say they are may be a lie of the neighbour's, so each neighbour has
// counts of its own and nobody can use up somebody else's.
type source struct {
	via  link.NodeID
	from address
	all  bool // everything of the neighbour's
}

// limits bounds the datagrams each source may hand us in a second.
type limits struct {
	rate float64 // per source and second; a burst may be as many

	mu      sync.Mutex // guards below
	sources map[source]*allowance
	swept   time.Time
}

type allowance struct {
	bucket *rate.Limiter
	last   time.Time
}

func newLimits(perSecond float64) *limits {
	return &limits{rate: perSecond, sources: make(map[source]*allowance)}
}

func (l *limits) allow(s source, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	one, all := l.of(s, 1, now), l.of(source{via: s.via, all: true}, neighbourShare, now)
	return one != nil && all != nil && one.bucket.AllowN(now, 1) && all.bucket.AllowN(now, 1)
}

// of returns the allowance of a source, or nil if there are too many sources.
func (l *limits) of(s source, share float64, now time.Time) *allowance {
	a := l.sources[s]
	if a == nil {
		if len(l.sources) >= maxSources && !l.sweep(now) {
			return nil
		}
		a = &allowance{bucket: rate.NewLimiter(rate.Limit(l.rate*share), int(l.rate*share))}
		l.sources[s] = a
	}
	a.last = now
	return a
}

// sweep forgets sources that have long been silent; false if that made no room.
func (l *limits) sweep(now time.Time) bool {
	if now.Sub(l.swept) < time.Second {
		return false
	}
	l.swept = now
	for s, a := range l.sources {
		if now.Sub(a.last) > silent {
			delete(l.sources, s)
		}
	}
	return len(l.sources) < maxSources
}
