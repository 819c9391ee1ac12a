package discovery

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// MaxAddresses bounds what one name yields.
const MaxAddresses = 64

// Service and Proto are the labels of SRV records below a name: _cardea._tcp.NAME (RFC 2782).
const (
	Service = "cardea"
	Proto   = "tcp"
)

// ErrAddress says that text is no HOST[:PORT].
var ErrAddress = errors.New("want HOST or HOST:PORT")

// SplitAddress splits HOST, HOST:PORT, an IPv6 address or [IPV6]:PORT; port stands in for a missing one.
func SplitAddress(text string, port uint16) (host string, p uint16, err error) {
	if ip, err := netip.ParseAddr(text); err == nil {
		return ip.String(), port, nil
	}
	host = text
	if h, number, err := net.SplitHostPort(text); err == nil {
		n, err := strconv.ParseUint(number, 10, 16)
		if err != nil || n == 0 {
			return "", 0, fmt.Errorf("%.100q: %w", text, ErrAddress)
		}
		host, port = h, uint16(n)
	}
	if _, err := netip.ParseAddr(host); err != nil && !isName(host) {
		return "", 0, fmt.Errorf("%.100q: %w", text, ErrAddress)
	}
	return host, port, nil
}

// isName tells whether a word can be a host's name (RFC 1123, and the underscores of services).
func isName(s string) bool {
	if s == "" || len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(strings.TrimSuffix(s, "."), ".") {
		if label == "" || len(label) > 63 || strings.Trim(label, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") != "" {
			return false
		}
	}
	return true
}

// Static returns the addresses that HOST[:PORT] stands for.
func Static(ctx context.Context, r *net.Resolver, text string, port uint16) ([]netip.AddrPort, error) {
	host, port, err := SplitAddress(text, port)
	if err != nil {
		return nil, err
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		return []netip.AddrPort{netip.AddrPortFrom(ip.Unmap(), port)}, nil
	}
	return lookup(ctx, resolver(r), host, port)
}

// DNS returns the addresses behind a name: those of its SRV records, with their ports, and of its A and AAAA records, with
// the given port. Records of one kind are enough. r may be nil: the system's resolver.
func DNS(ctx context.Context, r *net.Resolver, name string, port uint16) ([]netip.AddrPort, error) {
	r = resolver(r)
	var all []netip.AddrPort
	var errs []error
	_, services, err := r.LookupSRV(ctx, Service, Proto, name)
	if err != nil {
		errs = append(errs, err)
	}
	for _, s := range services {
		if len(all) >= MaxAddresses {
			break
		}
		found, err := lookup(ctx, r, s.Target, s.Port)
		if err != nil {
			errs = append(errs, err)
		}
		all = append(all, found...)
	}
	found, err := lookup(ctx, r, name, port)
	if err != nil {
		errs = append(errs, err)
	}
	all = append(all, found...)
	if len(all) == 0 {
		return nil, fmt.Errorf("look up %s: %w", name, errors.Join(errs...))
	}
	slices.SortFunc(all, netip.AddrPort.Compare)
	all = slices.Compact(all)
	return all[:min(len(all), MaxAddresses)], nil
}

func resolver(r *net.Resolver) *net.Resolver {
	if r == nil {
		return net.DefaultResolver
	}
	return r
}

func lookup(ctx context.Context, r *net.Resolver, host string, port uint16) ([]netip.AddrPort, error) {
	ips, err := r.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, err
	}
	all := make([]netip.AddrPort, 0, len(ips))
	for _, ip := range ips[:min(len(ips), MaxAddresses)] {
		all = append(all, netip.AddrPortFrom(ip.Unmap(), port))
	}
	return all, nil
}
