package dns

import (
	"errors"
	"net/netip"

	wire "github.com/miekg/dns"
)

// errSubnet says that a client subnet option is not as RFC 7871, section 6, wants it.
var errSubnet = errors.New("malformed client subnet")

// The address families of RFC 7871.
const (
	familyNone = 0
	familyIPv4 = 1
	familyIPv6 = 2
)

// subnetOf returns the client subnet option of a question, nil without one.
func subnetOf(opt *wire.OPT) *wire.EDNS0_SUBNET {
	if opt == nil {
		return nil
	}
	for _, o := range opt.Option {
		if s, ok := o.(*wire.EDNS0_SUBNET); ok {
			return s
		}
	}
	return nil
}

// networkOf returns the network of a client subnet option; not valid if the client's wish is not to tell (a prefix of no bits).
func networkOf(s *wire.EDNS0_SUBNET) (netip.Prefix, error) {
	if s.SourceScope != 0 { // only answers have one
		return netip.Prefix{}, errSubnet
	}
	a, ok := netip.AddrFromSlice(s.Address)
	switch s.Family {
	case familyNone:
		return netip.Prefix{}, nil
	case familyIPv4:
		a = a.Unmap()
		ok = ok && a.Is4()
	case familyIPv6:
		ok = ok && a.Is6()
	default:
		ok = false
	}
	if !ok {
		return netip.Prefix{}, errSubnet
	}
	p := netip.PrefixFrom(a, int(s.SourceNetmask))
	if !p.IsValid() || p != p.Masked() { // bits beyond the prefix
		return netip.Prefix{}, errSubnet
	}
	if p.Bits() == 0 {
		return netip.Prefix{}, nil
	}
	return p, nil
}

// answerSubnet returns the option for the answer: the question's own, with the length of the prefix for which it holds. What
// does not depend on the client, or was not to, holds everywhere.
func answerSubnet(s *wire.EDNS0_SUBNET, network netip.Prefix, scope int) *wire.EDNS0_SUBNET {
	r := *s
	r.SourceScope = 0
	if network.IsValid() {
		r.SourceScope = uint8(min(max(scope, 0), network.Addr().BitLen())) //nolint:gosec // at most 128
	}
	return &r
}
