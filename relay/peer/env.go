package peer

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"log/slog"
	"math/big"
	"strings"
	"sync/atomic"
	"time"

	"cardea/relay/bwe"
	"cardea/relay/ice"
	"cardea/relay/plane"
	"cardea/relay/rtcp"
	"cardea/relay/stream"
	"cardea/relay/udp"
)

// Env is what the peers of one node share. Its fields are set once.
type Env struct {
	Certificate tls.Certificate
	Fingerprint plane.Fingerprint
	Sockets     []*udp.Socket // what ice.Path.Socket counts
	Streams     *stream.Directory[*stream.Stream]
	Channels    *stream.Directory[*Channel]
	Clock       Clock
	Log         *slog.Logger
	Metrics     *Metrics
	ICE         ice.Config
	Bandwidth   bwe.Config
	// Candidates returns the node's candidates.
	Candidates func() []plane.Candidate
	// Emit reports an event; it never blocks.
	Emit func(plane.Event)
	// Routed tells that packets from the path are p's from now on.
	Routed func(p *Peer, path ice.Path)
	// Credentials tells that checks for the local user fragment are p's.
	Credentials func(p *Peer, ufrag string)
	// Retired tells that checks for a user fragment from before a restart are nobody's any more.
	Retired func(p *Peer, ufrag string)
	// Fault tells that the handling of p panicked: it is to be ended, and others must not notice. Locks may be held. p is
	// nil where it is not known whose fault it was.
	Fault func(p *Peer, reason any, stack []byte)
	// Urgent asks for [Peer.Drain] at the ticker's next turn.
	Urgent func(p *Peer)
	// Quality takes every report of what a client's user saw and heard, also the last one, which no event tells; Reached
	// takes how every client's attempt to reach the node ended. Both are called with the peer locked, must not wait, and may be nil.
	Quality func(q *plane.Quality)
	Reached func(o Outcome)
	// restAfter is [restAfter]; tests are less patient.
	restAfter time.Duration
	// SendAllLayers leaves clients to send layers that nobody wants.
	SendAllLayers bool
	// QualityInterval is the time between two reports; 0 means 10 s.
	QualityInterval time.Duration
}

// SinkFault tells that a sink of a stream panicked: what stream.Config.Fault is for.
func (e *Env) SinkFault(k stream.Sink, reason any, stack []byte) {
	var of *Peer
	if d, ok := k.(*downTrack); ok {
		of = d.p
	}
	e.Fault(of, reason, stack)
}

// Clock is a node's monotonic clock in nanoseconds, with the wall time it started at: media never sees the wall clock jump.
type Clock struct{ start time.Time }

// NewClock returns a clock that starts now.
func NewClock() Clock { return Clock{start: time.Now()} }

// Now returns the nanoseconds since the clock started, at least 1.
func (c Clock) Now() int64 { return int64(time.Since(c.start)) + 1 }

// NTP returns the 64-bit NTP timestamp of a clock reading.
func (c Clock) NTP(now int64) uint64 { return rtcp.ToNTP(c.start.UnixNano() + now) }

// Metrics counts what happens to all peers of a node.
type Metrics struct {
	PacketsIn, BytesIn     atomic.Uint64 // RTP that was authenticated
	PacketsOut, BytesOut   atomic.Uint64 // RTP forwarded
	AuthFailures           atomic.Uint64 // SRTP and SRTCP packets that were not authentic, DTLS that should be protected and was not
	Replayed               atomic.Uint64 // SRTP packets seen before
	Malformed              atomic.Uint64 // RTP, RTCP and STUN that could not be parsed
	Unbound                atomic.Uint64 // RTP of no line
	ChecksRefused          atomic.Uint64 // connectivity checks with wrong credentials, role or attributes
	NACKsIn, NACKsOut      atomic.Uint64 // packets asked for
	Retransmitted          atomic.Uint64
	RetransmissionsRefused atomic.Uint64 // by the cap on what NACKs may cost, or no longer cached
	PLIsIn, PLIsOut        atomic.Uint64
	Paddings               atomic.Uint64 // probe packets
	Handshakes             atomic.Uint64
	HandshakeFailures      atomic.Uint64
	ICEFailures            atomic.Uint64
	Connected              atomic.Int64
	MessagesIn             atomic.Uint64 // data channels
	MessagesOut            atomic.Uint64
	MessagesDropped        atomic.Uint64
}

// NewCertificate makes the node's self-signed DTLS certificate (P-256, a year) and its fingerprint.
func NewCertificate() (tls.Certificate, plane.Fingerprint, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, plane.Fingerprint{}, fmt.Errorf("make DTLS key: %w", err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return tls.Certificate{}, plane.Fingerprint{}, fmt.Errorf("make DTLS certificate: %w", err)
	}
	template := x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: "cardea"},
		NotBefore:    time.Now().Add(-24 * time.Hour), // clients' clocks may be behind
		NotAfter:     time.Now().AddDate(1, 0, 0),
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, &key.PublicKey, key)
	if err != nil {
		return tls.Certificate{}, plane.Fingerprint{}, fmt.Errorf("make DTLS certificate: %w", err)
	}
	sum := sha256.Sum256(der)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key},
		plane.Fingerprint{Algorithm: "sha-256", Value: formatFingerprint(sum[:])}, nil
}

// formatFingerprint writes a hash as RFC 8122 does: upper-case hex pairs joined by colons.
func formatFingerprint(sum []byte) string {
	pairs := make([]string, len(sum))
	for i, b := range sum {
		pairs[i] = fmt.Sprintf("%02X", b)
	}
	return strings.Join(pairs, ":")
}
