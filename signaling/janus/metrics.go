package janus

import "sync/atomic"

// Metrics counts what the server and its transports do. Counters only grow; gauges say what is now.
type Metrics struct {
	Sessions atomic.Int64 // gauge
	Handles  atomic.Int64 // gauge
	Peers    atomic.Int64 // gauge: PeerConnections

	SessionsCreated  atomic.Uint64
	SessionsTimedOut atomic.Uint64 // also those that nobody claimed in time and those that a panic ended
	SessionsClaimed  atomic.Uint64
	SessionsAdopted  atomic.Uint64 // of other nodes that were gone
	SessionsYielded  atomic.Uint64 // to the nodes where their clients claimed them, while this one drained
	SessionsRefused  atomic.Uint64 // by Admit or a bound
	Passed           atomic.Uint64 // requests passed to the nodes that own their sessions, polls left out
	EventsSent       atomic.Uint64
	EventsDropped    atomic.Uint64 // of sessions that nobody read for too long
	PlaneEventsLost  atomic.Uint64 // times that events of the media plane were lost and the state looked at anew
	Panics           atomic.Uint64
	Waits            atomic.Uint64 // requests that waited because their handle had too many already
	AdminRequests    atomic.Uint64 // of the admin API; their errors count with the others

	// Of the transports.
	Connections atomic.Int64  // gauge: WebSocket connections
	Polls       atomic.Int64  // gauge: long polls that wait
	Refused     atomic.Uint64 // connections beyond the bound, or without the subprotocol
	Cut         atomic.Uint64 // connections cut because their client read too slowly
	Oversize    atomic.Uint64 // messages beyond the size bound
	RateLimited atomic.Uint64 // requests that waited because their connection sent too many

	requests map[string]*atomic.Uint64 // by verb; a fixed set
	errors   map[Code]*atomic.Uint64   // by code; a fixed set
}

// otherVerb stands for all verbs that the API does not have.
const otherVerb = "other"

func newMetrics() *Metrics {
	m := &Metrics{requests: map[string]*atomic.Uint64{otherVerb: {}}, errors: map[Code]*atomic.Uint64{CodeUnknown: {}}}
	for _, l := range []map[string]verb{topVerbs, sessionVerbs} {
		for v := range l {
			m.requests[v] = new(atomic.Uint64)
		}
	}
	for c := Code(403); c <= CodeNotAccepting; c++ {
		m.errors[c] = new(atomic.Uint64)
	}
	return m
}

func (m *Metrics) request(verb string) {
	c, ok := m.requests[verb]
	if !ok {
		c = m.requests[otherVerb]
	}
	c.Add(1)
}

func (m *Metrics) failed(code Code) {
	if c, ok := m.errors[code]; ok {
		c.Add(1)
	}
}

// Fault counts an error reply of a transport's own: to what is not even a request.
func (m *Metrics) Fault(code Code) { m.failed(code) }

// Requests returns the number of requests by verb; verbs that the API does not have count as "other".
func (m *Metrics) Requests() map[string]uint64 {
	l := make(map[string]uint64, len(m.requests))
	for k, v := range m.requests {
		l[k] = v.Load()
	}
	return l
}

// Errors returns the number of error replies by code, for the codes that occurred.
func (m *Metrics) Errors() map[Code]uint64 {
	l := map[Code]uint64{}
	for k, v := range m.errors {
		if n := v.Load(); n > 0 {
			l[k] = n
		}
	}
	return l
}
