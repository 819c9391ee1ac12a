package peer

import (
	"net/netip"
	"slices"
	"time"

	"cardea/relay/plane"
)

// maxRemote bounds the candidates of a client's that are remembered.
const maxRemote = 32

// Outcome is how a client's attempt to reach the node ended.
type Outcome struct {
	Result Result
	Path   plane.ICEPath // of a failure: what there was of one
	Took   time.Duration // from the first session description
}

// Result says how an attempt ended.
type Result uint8

// The results of attempts.
const (
	ResultConnected  Result = iota // ICE and DTLS were done
	ResultICEFailed                // no check came, or none any more
	ResultDTLSFailed               // ICE had a path
	ResultAbandoned                // the client, or signaling, gave up before
)

// Results are all of them.
var Results = []Result{ResultConnected, ResultICEFailed, ResultDTLSFailed, ResultAbandoned}

// String names the result in metrics.
func (r Result) String() string {
	switch r {
	case ResultConnected:
		return "connected"
	case ResultICEFailed:
		return "ice_failed"
	case ResultDTLSFailed:
		return "dtls_failed"
	case ResultAbandoned:
		return "abandoned"
	}
	return "unknown"
}

// candidate is what is remembered of a client's candidate.
type candidate struct {
	address netip.AddrPort // invalid when it is a name
	kind    string
}

// remember keeps the client's candidates, which an ICE lite agent has no other use for.
func (w *watch) remember(all []plane.Candidate) {
	for _, c := range all {
		if len(w.remote) == maxRemote {
			return
		}
		a, _ := netip.ParseAddr(c.Address)
		k := candidate{netip.AddrPortFrom(a.Unmap(), c.Port), kindOf(c.Type)}
		if k.kind != "" && !slices.Contains(w.remote, k) {
			w.remote = append(w.remote, k)
		}
	}
}

// kindOf returns the type of a candidate if it is one of ICE's: it becomes a label.
func kindOf(kind string) string {
	switch kind {
	case "host", "srflx", "prflx", "relay":
		return kind
	}
	return ""
}

// path tells how the client reaches the node. A client whose candidates all are relays' is relayed, whatever address the relay has
// towards us; one that sends from an address that it did not name is peer-reflexive, also when it hides its own behind an mDNS name.
func (p *Peer) path() (path plane.ICEPath) {
	remote := p.watch.remote
	if len(remote) > 0 && !slices.ContainsFunc(remote, func(c candidate) bool { return c.kind != "relay" }) {
		path.Kind = "relay"
	}
	dest := p.dest.Load()
	if dest == nil {
		return path
	}
	address := netip.AddrPortFrom(dest.Remote.Addr().Unmap(), dest.Remote.Port())
	path.Network, path.Protocol = "ipv6", p.protocol
	if address.Addr().Is4() {
		path.Network = "ipv4"
	}
	if path.Kind != "" {
		return path
	}
	path.Kind = "prflx"
	for _, c := range remote {
		// Over TCP the port is one that the client did not know when it made the candidate.
		if c.address == address || dest.Conn != nil && c.address.Addr() == address.Addr() {
			path.Kind = c.kind
			break
		}
	}
	return path
}

// outcome tells how the client's attempt ended, once.
func (p *Peer) outcome(r Result, now int64) {
	w := &p.watch
	if w.began == 0 || w.ended {
		return
	}
	w.ended = true
	took := now - w.began
	if r == ResultConnected {
		w.connect = max(took, 1)
	}
	if p.env.Reached != nil {
		p.env.Reached(Outcome{Result: r, Path: p.path(), Took: time.Duration(took)})
	}
}

// failed returns the result that a reason for hanging up means before the peer was up.
func failed(reason string) Result {
	if reason == "ICE failed" {
		return ResultICEFailed
	}
	return ResultDTLSFailed
}
