package dns

import (
	"sync/atomic"

	wire "github.com/miekg/dns"
)

// Stats counts what happened since the start.
type Stats struct {
	UDP, TCP uint64 // questions
	// Answers by code: what was found or is not there (NoError), what is no name (NXDomain), other zones and the like (Refused),
	// no node (ServFail), and what was not understood (Malformed).
	NoError, NXDomain, Refused, ServFail, Malformed uint64
	Referred                                        uint64 // questions above the rate that were sent to TCP
	Dropped                                         uint64 // questions above the rate without an answer
	RefusedConnections                              uint64 // above the number of connections
}

// Stats returns what happened since the start.
func (s *Server) Stats() Stats {
	c := &s.counts
	return Stats{
		UDP: c.udp.Load(), TCP: c.tcp.Load(), NoError: c.noError.Load(), NXDomain: c.nxDomain.Load(), Refused: c.refusals.Load(),
		ServFail: c.servFail.Load(), Malformed: c.malformed.Load(), Referred: c.referred.Load(), Dropped: c.dropped.Load(),
		RefusedConnections: c.refused.Load(),
	}
}

type counts struct {
	udp, tcp, noError, nxDomain, refusals, servFail, malformed, referred, dropped, refused atomic.Uint64
}

// answered counts an answer.
func (c *counts) answered(rcode int) {
	switch rcode {
	case wire.RcodeSuccess:
		c.noError.Add(1)
	case wire.RcodeNameError:
		c.nxDomain.Add(1)
	case wire.RcodeRefused:
		c.refusals.Add(1)
	case wire.RcodeServerFailure:
		c.servFail.Add(1)
	default:
		c.malformed.Add(1)
	}
}
