package node

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"cardea/node/config"
)

// mediaAddresses returns the local addresses that clients' media is received on: those configured, else the one the node
// is bound to, else all of the host that others can reach.
func mediaAddresses(cfg *config.Config) ([]netip.Addr, error) {
	if len(cfg.Media.Addresses) > 0 {
		return cfg.Media.Addresses, nil
	}
	if a := cfg.Node.Bind; a.IsValid() && !a.IsUnspecified() {
		return []netip.Addr{a.Unmap()}, nil
	}
	found, err := net.InterfaceAddrs()
	if err != nil {
		return nil, fmt.Errorf("list the host's addresses: %w", err)
	}
	local := make([]netip.Addr, 0, len(found))
	for _, f := range found {
		if n, ok := f.(*net.IPNet); ok {
			if a, ok := netip.AddrFromSlice(n.IP); ok {
				local = append(local, a.Unmap())
			}
		}
	}
	return reachable(local, cfg.Node.Bind)
}

// reachable picks the addresses that others can reach, loopback only when there is no other. bind, when it is the
// unspecified address of a family, leaves that family alone.
func reachable(local []netip.Addr, bind netip.Addr) ([]netip.Addr, error) {
	var all, loopback []netip.Addr
	for _, a := range local {
		switch {
		case bind.IsValid() && bind.Is4() != a.Is4():
		case a.IsLoopback():
			loopback = append(loopback, a)
		case a.IsGlobalUnicast(): // private addresses are
			all = append(all, a)
		}
	}
	if len(all) == 0 {
		all = loopback
	}
	if len(all) == 0 {
		return nil, errors.New("the host has no address for media: set media.addresses")
	}
	return all, nil
}
