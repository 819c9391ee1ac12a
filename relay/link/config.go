package link

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net/netip"

	"cardea/relay/udp"
)

// NodeID names a node. It is the subject CN of the node's certificate and made of its key, so nobody can take another's.
type NodeID string

// Kind says what a call or a notice is about. Kinds 1 to 15 are this package's; others are constants of the packages that use them.
type Kind uint16

// Clock is the media plane's clock.
type Clock struct {
	// Now returns monotonic nanoseconds.
	Now func() int64
	// NTP returns the 64-bit NTP time (RFC 5905) of a reading of Now.
	NTP func(now int64) uint64
}

// Config says who this node is and whom it talks to. All of it is set once.
type Config struct {
	// Self is this node.
	Self NodeID
	// Listen are the UDP addresses of the links, one socket each. What goes out leaves from them, too. Port 0 takes a free one.
	// Without any, the node has no links: it can call itself.
	Listen []netip.AddrPort
	// TLS has this node's certificate (GetCertificate and GetClientCertificate may rotate it) and, in RootCAs, the authorities
	// that members' certificates are checked with, both ways. A VerifyConnection is called as well.
	TLS *tls.Config
	// Identify returns whose certificate it is; the chain was checked already.
	Identify func(*x509.Certificate) (NodeID, error)
	// Resolve returns where a member is reached, the best first, and nil for who is none: its connections are refused, too. It is
	// called often, at times with locks held, and must not wait.
	Resolve func(NodeID) []netip.AddrPort
	// Version and Features are told to the other side before anything else. At most 64 features of at most 64 bytes are.
	Version  string
	Features []string
	// Background are the kinds of notices that do not keep a link from being closed because nobody uses it.
	Background []Kind
	// Clock stamps what is imported.
	Clock Clock
	// NewOutbox makes the outbox of a link's receiving goroutine, for packets to subscribers of imported streams. It may be nil
	// where no sink of an imported stream uses one.
	NewOutbox func() *udp.Outbox
	// Log may be nil.
	Log *slog.Logger
}

var errNoRoots = errors.New("neither authorities nor a VerifyConnection to check members' certificates with")

func (c *Config) validate() error {
	switch {
	case c.Self == "":
		return errors.New("no node id")
	case c.TLS == nil || c.Identify == nil || c.Resolve == nil:
		return errors.New("TLS, Identify and Resolve have to be set")
	case c.TLS.RootCAs == nil && c.TLS.VerifyConnection == nil:
		return errNoRoots
	case c.Clock.Now == nil || c.Clock.NTP == nil:
		return errors.New("no clock")
	case len(c.Features) > maxFeatures:
		return errors.New("too many features")
	}
	return nil
}
