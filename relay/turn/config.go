package turn

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"time"
)

// Config says what a [Server] offers. [Default] fills in what need not be chosen.
type Config struct {
	// Realm is the authentication realm; clients' keys depend on it.
	Realm string
	// Users are long-term credentials, name to password. A password of the form 0x and 32 hex digits is the key itself:
	// MD5(name:realm:password).
	Users map[string]string
	// Secrets are shared with whatever mints short-lived credentials (see [Credentials]). All are valid, so that they can be changed
	// without a gap.
	Secrets []string

	// GuestSecret mints credentials too (see [Credentials]), for whoever asks, such as the visitors of a page: with them a client
	// reaches the mesh's media addresses and nothing else, so that they make nobody a relay for strangers. Empty: there
	// are no guests.
	GuestSecret string
	// GuestQuota bounds the allocations of all guests together; 0 is no bound.
	GuestQuota int

	// Relay are the local addresses that relay sockets are bound to, taken in turn within an IP version. A client that
	// asks for no version gets IPv4 if there is any.
	Relay []netip.Addr
	// Advertise maps local addresses to what the world calls them (1:1 NAT). Clients see the right side only, also where a
	// peer is this host itself.
	Advertise map[netip.Addr]netip.Addr
	// MinPort and MaxPort bound the relay ports, inclusive.
	MinPort, MaxPort uint16
	// ReadBuffer and WriteBuffer are the kernel buffers of each relay socket in bytes; 0 leaves the system's default.
	ReadBuffer, WriteBuffer int
	// TCPRelay allows TCP allocations (RFC 6062). Few clients use them; browsers never do.
	TCPRelay bool

	// DefaultLifetime is what a client gets that asks for no lifetime. MaxLifetime is how long an allocation lives at most
	// without a Refresh; clients that ask for more are told less. At most one hour.
	DefaultLifetime, MaxLifetime time.Duration
	// UserQuota and TotalQuota bound the allocations of one user and of all; 0 is no bound. Beyond them 486 is answered.
	UserQuota, TotalQuota int
	// AllocationRate bounds new allocations of one source (an IPv4 address or an IPv6 /64). UnauthorizedRate bounds requests of
	// one source from clients without an allocation; an allocation takes two (the first is told the nonce), wrong credentials
	// count twice. What exceeds it is dropped without an answer: the address may be forged.
	AllocationRate, UnauthorizedRate Rate

	// AllowPeers and DenyPeers are prefixes that clients may and may not reach. An allowed one wins over a denied one, and
	// both over the built-in rules.
	AllowPeers, DenyPeers []netip.Prefix
	// MeshAddresses are the UDP media addresses of nodes, as clients name them; see [Server.SetMeshAddresses].
	MeshAddresses []netip.AddrPort

	// Secure are addresses on which TLS (TCP) and DTLS (UDP) are offered, if TLS is set.
	Secure []netip.AddrPort
	// TLS holds the certificate. GetCertificate is asked for each handshake, so a certificate can be replaced. Only
	// Certificates and GetCertificate apply to DTLS.
	TLS *tls.Config
	// MaxStreams bounds TCP, TLS and DTLS connections.
	MaxStreams int

	// Log gets what pion/turn says, at debug level, and listeners that fail. Nil is slog.Default.
	Log *slog.Logger
}

// Rate is a token bucket: so many a second, so many at once. A PerSecond of 0 is no limit.
type Rate struct {
	PerSecond float64
	Burst     int
}

// Default returns a configuration that lacks only credentials and relay addresses.
func Default() Config {
	return Config{
		Realm:            "cardea",
		MinPort:          49152,
		MaxPort:          65535,
		DefaultLifetime:  10 * time.Minute,
		MaxLifetime:      time.Hour,
		AllocationRate:   Rate{PerSecond: 10, Burst: 100},
		UnauthorizedRate: Rate{PerSecond: 20, Burst: 200},
		MaxStreams:       10000,
	}
}

// maxLifetime is what pion/turn grants at most.
const maxLifetime = time.Hour

func (c *Config) validate() error {
	var errs []error
	fault := func(bad bool, format string, args ...any) {
		if bad {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	fault(c.Realm == "" || len(c.Realm) > 127, "realm of %d bytes, not 1 to 127", len(c.Realm))
	fault(len(c.Users) == 0 && len(c.Secrets) == 0 && c.GuestSecret == "", "no users and no secrets: nobody could allocate")
	for _, secret := range c.Secrets {
		fault(secret == "", "empty secret")
	}
	for name, password := range c.Users {
		fault(name == "" || password == "", "user %q has no name or no password", name)
	}
	fault(len(c.Relay) == 0, "no relay address")
	for _, a := range c.Relay {
		fault(!a.IsValid() || a.IsUnspecified() || a.IsMulticast() || a.Is4In6(), "relay address %s is not one of a host", a)
	}
	for local, public := range c.Advertise {
		fault(local.Is4() != public.Is4() || !local.IsValid() || !public.IsValid(),
			"%s cannot be advertised as %s", local, public)
	}
	fault(c.MinPort == 0 || c.MinPort > c.MaxPort, "relay ports %d to %d", c.MinPort, c.MaxPort)
	fault(c.MaxLifetime <= 0 || c.MaxLifetime > maxLifetime, "longest lifetime %s, not up to %s", c.MaxLifetime, maxLifetime)
	fault(c.DefaultLifetime < time.Second || c.DefaultLifetime > c.MaxLifetime,
		"default lifetime %s, not 1s to %s", c.DefaultLifetime, c.MaxLifetime)
	fault(c.UserQuota < 0 || c.TotalQuota < 0 || c.GuestQuota < 0, "negative quota")
	for _, r := range []Rate{c.AllocationRate, c.UnauthorizedRate} {
		fault(r.PerSecond < 0 || r.PerSecond > 0 && r.Burst < 1, "rate of %g/s with a burst of %d", r.PerSecond, r.Burst)
	}
	fault(c.MaxStreams < 1, "at most %d connections", c.MaxStreams)
	fault(c.TLS != nil && len(c.TLS.Certificates) == 0 && c.TLS.GetCertificate == nil, "TLS without a certificate")
	return errors.Join(errs...)
}
