package transport

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// maxForwarded bounds the addresses of X-Forwarded-For that are looked at.
const maxForwarded = 16

// originAllowed tells whether pages of an origin may use an API; who sends no origin is no page.
func originAllowed(origins []string, origin string) bool {
	return origins == nil || origin == "" || slices.ContainsFunc(origins, func(o string) bool { return strings.EqualFold(o, origin) })
}

// ClientAddress returns the address of the client of a request, not valid if it cannot be told. Of what comes from the networks of
// trusted proxies it is the last address in X-Forwarded-For that is not in them.
func ClientAddress(r *http.Request, proxies []netip.Prefix) netip.Addr { return address(r, proxies) }

// address is the address of the client of a request, invalid if it cannot be told. Of what comes from trusted proxies it
// is the last address in X-Forwarded-For that is not a trusted proxy's: what stands before it is hearsay.
func address(r *http.Request, proxies []netip.Prefix) netip.Addr {
	remote, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	client := plain(remote.Addr())
	if !trusted(client, proxies) {
		return client
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i, hop := range slices.Backward(hops) {
		a, ok := parseHop(hop)
		if !ok || len(hops)-i > maxForwarded {
			break // nothing further left can be trusted
		}
		if client = a; !trusted(a, proxies) {
			break
		}
	}
	return client
}

// parseHop reads an address as proxies write it: alone, or with a port.
func parseHop(s string) (netip.Addr, bool) {
	s = strings.TrimSpace(s)
	a, err := netip.ParseAddr(strings.Trim(s, "[]"))
	if err != nil {
		ap, err := netip.ParseAddrPort(s)
		if err != nil {
			return netip.Addr{}, false
		}
		a = ap.Addr()
	}
	return plain(a), true
}

func plain(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }

func trusted(a netip.Addr, proxies []netip.Prefix) bool {
	return slices.ContainsFunc(proxies, func(p netip.Prefix) bool { return p.Contains(a) })
}
