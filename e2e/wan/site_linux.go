package wan

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"path/filepath"
	"syscall"
)

// Site is one place in a Network. Its methods are safe for concurrent use; those that enter the namespace fail after the
// network's Close.
type Site struct {
	name  string
	index int
	hosts []netip.Addr
	space *namespace
}

// Name returns the site's name in the topology.
func (s *Site) Name() string { return s.name }

// Namespace returns the name of the network namespace, for "ip netns exec".
func (s *Site) Namespace() string { return s.space.name }

// Addrs returns the addresses of the site's hosts: of the first prefix (IPv4, unless the topology says otherwise), then of the second.
func (s *Site) Addrs() []netip.Addr { return append([]netip.Addr(nil), s.hosts...) }

// Host returns the address of host n, counted from 1, of the first prefix. It panics if there is no such host.
func (s *Site) Host(n int) netip.Addr { return s.hosts[n-1] }

// Command is exec.CommandContext for a process inside the namespace. The process gets SIGKILL when this one dies, however that happens.
// It is executed by nsenter under the same process id, so signals reach it; that argv[0] does not exist shows as exit code 127.
func (s *Site) Command(ctx context.Context, argv ...string) *exec.Cmd {
	args := append([]string{"--net=" + filepath.Join(namespaces, s.space.name), "--"}, argv...)
	c := exec.CommandContext(ctx, "nsenter", args...)
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return c
}

// Do runs f on a thread inside the namespace. Sockets that f itself makes belong to the site, for as long as they live. What f starts in
// other goroutines is outside, and so is the resolver of package net: addresses must be numbers.
func (s *Site) Do(f func() error) error { return s.space.do(f) }

// Dial is net.Dialer.DialContext from the site's first address; Do with a net.Dialer of one's own dials from another. The address
// must be numbers.
func (s *Site) Dial(ctx context.Context, network, address string) (conn net.Conn, err error) {
	if err := numeric(address); err != nil {
		return nil, fmt.Errorf("site %s: dial: %w", s.name, err)
	}
	err = s.Do(func() error {
		var d net.Dialer
		conn, err = d.DialContext(ctx, network, address)
		return err
	})
	return conn, err
}

// Listen is net.Listen at the site. The address must be numbers.
func (s *Site) Listen(ctx context.Context, network, address string) (l net.Listener, err error) {
	if err := numeric(address); err != nil {
		return nil, fmt.Errorf("site %s: listen: %w", s.name, err)
	}
	err = s.Do(func() error {
		var c net.ListenConfig
		l, err = c.Listen(ctx, network, address)
		return err
	})
	return l, err
}

// ListenPacket is net.ListenPacket at the site. The address must be numbers; for ICMP ("ip4:icmp") it has no port.
func (s *Site) ListenPacket(ctx context.Context, network, address string) (c net.PacketConn, err error) {
	if _, err := netip.ParseAddr(address); err != nil {
		if err := numeric(address); err != nil {
			return nil, fmt.Errorf("site %s: listen: %w", s.name, err)
		}
	}
	err = s.Do(func() error {
		var lc net.ListenConfig
		c, err = lc.ListenPacket(ctx, network, address)
		return err
	})
	return c, err
}

// numeric refuses host names: package net resolves them in other goroutines, outside the namespace.
func numeric(address string) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	if _, err := netip.ParseAddr(host); err != nil && host != "" {
		return fmt.Errorf("%q is not a numeric address", host)
	}
	return nil
}
