// Package guard keeps connections to a configured URL from ending up where the URL's name has no business to lead: at addresses
// of the machine itself and of private networks, which whoever controls the name's DNS could otherwise have the node talk to.
//
// An address that stands in the URL itself was chosen by the operator, and is let through.
package guard

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"syscall"
	"time"
)

// ErrAddress says that a name leads to an address that is not allowed.
var ErrAddress = errors.New("leads to a private address, which the configuration does not allow")

// private are networks that are not the public internet's, beside those that netip knows by name.
var private = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),       // this host, RFC 1122
	netip.MustParsePrefix("100.64.0.0/10"),   // shared address space, RFC 6598
	netip.MustParsePrefix("192.0.0.0/24"),    // IETF protocol assignments, RFC 6890
	netip.MustParsePrefix("192.0.2.0/24"),    // documentation, RFC 5737
	netip.MustParsePrefix("198.18.0.0/15"),   // benchmarks, RFC 2544
	netip.MustParsePrefix("198.51.100.0/24"), // documentation
	netip.MustParsePrefix("203.0.113.0/24"),  // documentation
	netip.MustParsePrefix("240.0.0.0/4"),     // reserved, and broadcast
	netip.MustParsePrefix("2001::/23"),       // IETF protocol assignments, Teredo among them
	netip.MustParsePrefix("2001:db8::/32"),   // documentation
	netip.MustParsePrefix("2002::/16"),       // 6to4: IPv4 in IPv6
	netip.MustParsePrefix("3fff::/20"),       // documentation, RFC 9637
}

// unicast is all that IPv6 has of public addresses (RFC 4291). Outside are, among others, the ways to write IPv4 addresses in IPv6,
// which translators lead anywhere (RFC 6052, RFC 8215), and site-local ones.
var unicast = netip.MustParsePrefix("2000::/3")

// Public tells whether an address is one of the public internet.
func Public(a netip.Addr) bool {
	a = a.Unmap()
	if !a.IsValid() || a.IsUnspecified() || a.IsLoopback() || a.IsPrivate() || a.IsMulticast() || a.IsLinkLocalUnicast() {
		return false
	}
	if a.Is6() && !unicast.Contains(a.WithZone("")) {
		return false
	}
	for _, p := range private {
		if p.Contains(a.WithZone("")) {
			return false
		}
	}
	return true
}

// dialTimeout bounds a connection's making.
const dialTimeout = 10 * time.Second

// Dial returns a function that dials like net.Dialer's DialContext for the host of a URL, but connects only to public addresses, to the
// allowed networks, and to the address that is the URL's host itself.
func Dial(to *url.URL, allowed []netip.Prefix) func(ctx context.Context, network, address string) (net.Conn, error) {
	said, _ := netip.ParseAddr(to.Hostname()) // not valid if it is a name
	d := &net.Dialer{Timeout: dialTimeout, ControlContext: func(_ context.Context, _, address string, _ syscall.RawConn) error {
		ap, err := netip.ParseAddrPort(address) // what the name was resolved to
		if err != nil {
			return err
		}
		return check(ap.Addr().Unmap(), said.Unmap(), allowed)
	}}
	return d.DialContext
}

// check refuses an address that a connection must not be made to.
func check(a, said netip.Addr, allowed []netip.Prefix) error {
	if Public(a) || a == said {
		return nil
	}
	for _, p := range allowed {
		if p.Contains(a.WithZone("")) {
			return nil
		}
	}
	return fmt.Errorf("%w: %v", ErrAddress, a)
}
