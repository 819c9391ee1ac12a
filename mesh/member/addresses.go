package member

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"cardea/relay/link"
)

func compareID(a, b link.NodeID) int { return cmp.Compare(a, b) }

// advertised returns the addresses under which others reach this node, best first, at most maxAddresses: the configured ones,
// the one that is listened on, else those of the routes to the outside, else any of the machine's that are not loopback, else
// loopback.
func advertised(cfg Config) ([]netip.Addr, error) {
	var all []netip.Addr
	add := func(a netip.Addr) {
		a = a.Unmap().WithZone("")
		if a.IsValid() && !a.IsUnspecified() && !a.IsMulticast() && !slices.Contains(all, a) && len(all) < maxAddresses {
			all = append(all, a)
		}
	}
	for _, a := range cfg.Advertise {
		add(a)
	}
	if len(all) == 0 {
		add(cfg.Bind)
	}
	if len(all) > 0 {
		return all, nil
	}
	// Connecting a UDP socket sends nothing; these addresses (RFC 5737, RFC 3849) stand for the outside.
	for _, outside := range []string{"203.0.113.1:9", "[2001:db8::1]:9"} {
		if conn, err := net.Dial("udp", outside); err == nil {
			if a := addressOf(conn.LocalAddr()); a.IsValid() && !a.IsLoopback() {
				add(a)
			}
			_ = conn.Close()
		}
	}
	if len(all) > 0 {
		return all, nil
	}
	interfaces, err := net.InterfaceAddrs()
	if err != nil {
		return nil, fmt.Errorf("find this machine's addresses: %w", err)
	}
	for _, i := range interfaces {
		if p, err := netip.ParsePrefix(i.String()); err == nil && p.Addr().IsGlobalUnicast() {
			add(p.Addr())
		}
	}
	if len(all) == 0 {
		add(netip.AddrFrom4([4]byte{127, 0, 0, 1}))
	}
	return all, nil
}

// splitJoin tells invitations from addresses.
func splitJoin(join []string) (inv *invitation, addresses []string, err error) {
	for _, j := range join {
		j = strings.TrimSpace(j)
		if !strings.HasPrefix(j, InvitationPrefix) {
			addresses = append(addresses, j)
			continue
		}
		if inv != nil {
			return nil, nil, fmt.Errorf("%w: more than one invitation", ErrJoin)
		}
		i, err := parseInvitation(j)
		if err != nil {
			return nil, nil, fmt.Errorf("%w: %w", ErrJoin, err)
		}
		inv = &i
	}
	return inv, addresses, nil
}
