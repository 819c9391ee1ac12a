package member

import (
	"log/slog"
	"net"
	"net/netip"
	"time"
)

// Config says who a node is and how it meets others. The zero Config is a node that runs alone and keeps nothing.
type Config struct {
	// Dir is the directory of identity and keys. Empty: they live as long as the process does, and so they do, with a warning
	// in the log, if the directory cannot be made or another process uses it. It is an error if it holds an identity that is
	// out of reach, or if another process uses it and an invitation was given.
	Dir string
	// Durable makes it an error in any case if the directory cannot be made or another process uses it.
	Durable bool
	// Alone keeps the node to itself: no port is opened, and whatever says how to meet others is ignored.
	Alone bool

	// Name, Region, Version and Planes are told to everybody. Names and regions over 64 bytes and versions over 32 are cut; to 24 where a node
	// has so much else to say that it does not fit.
	Name, Region, Version string
	Planes                Planes

	// Bind is the local address of both ports; not valid: all addresses.
	Bind netip.Addr
	// GossipPort is UDP and TCP (7946); LinkPort is TCP for admissions here, and UDP for links elsewhere (7947).
	GossipPort, LinkPort uint16
	// Advertise is where others reach this node when Bind does not tell (behind a NAT): at most three, best first. Ports are
	// forwarded unchanged.
	Advertise []netip.Addr

	// Join holds at most one invitation, and addresses of members (HOST[:PORT] of their admissions, or of their gossip). An
	// invitation that was used by this node already is fine. Addresses alone are of use only to a member: they are where it
	// looks for the others.
	Join []string
	// JoinTimeout is how long to try to redeem an invitation while nobody answers; 0: 30 s.
	JoinTimeout time.Duration
	// DNS is a name that leads to members, asked for A, AAAA and SRV (_cardea._tcp) records again and again. Redis is the URL of a
	// registry that members note themselves in. Both may be empty.
	DNS, Redis string
	// Resolver looks names up; nil: the system's.
	Resolver *net.Resolver

	// Log may be nil.
	Log *slog.Logger
}

const defaultJoinTimeout = 30 * time.Second

// Invitation says what an invitation is good for.
type Invitation struct {
	TTL       time.Duration // 1 s to 30 days
	Uses      int           // how many nodes may come in with it: 1 to 255
	Authority bool          // they get the authority's key, too: only a node that holds it may say so
}

// The invitation that a new cluster's first node prints.
const (
	firstTTL  = time.Hour
	firstUses = 8
)

// Stats counts what happened since the start.
type Stats struct {
	Admitted uint64 // nodes, by this one
	Carried  uint64 // sessions of strangers that were carried to the issuer of their invitation
	Renewed  uint64 // certificates, by this node, of others and its own
	Refused  uint64 // requests: wrong, expired or used invitations, and what strangers may not ask
	Strange  uint64 // connections whose TLS handshake failed
	Limited  uint64 // connections beyond what is served at once or in a second, to either port
	Forged   uint64 // metadata that was not its node's, not a member's, or out of date
	Rubbish  uint64 // packets and connections to the gossip port that could not be read: without the key, mostly
}
