package wan

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// openDevice makes the TUN device inside the namespace and brings it up with these addresses. Reads and writes of the returned
// descriptor are IP packets and never block; the device is gone when it is closed.
func openDevice(ctx context.Context, space *namespace, addresses []netip.Addr, mtu int) (fd int, err error) {
	err = space.do(func() error {
		if fd, err = unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0); err != nil {
			return fmt.Errorf("open /dev/net/tun: %w", err)
		}
		request, err := unix.NewIfreq(device)
		if err != nil {
			return err
		}
		request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, request); err != nil {
			unix.Close(fd)
			return fmt.Errorf("make TUN device: %w", err)
		}
		// A later connection must not inherit what an earlier one learned about the link, which may have changed.
		if err := os.WriteFile("/proc/sys/net/ipv4/tcp_no_metrics_save", []byte("1"), 0); err != nil {
			unix.Close(fd)
			return err
		}
		return nil
	})
	if err != nil {
		return -1, err
	}
	if err := ip(ctx, deviceSetup(addresses, mtu), "-netns", space.name, "-batch", "-"); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// deviceSetup returns the ip commands that bring a namespace up. The default route, with the first address of each family as its source,
// leads to the link, which refuses what is for no site: a program that looks for its own address by its route finds one.
func deviceSetup(addresses []netip.Addr, mtu int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "link set lo up\n")
	// Without an automatic link-local address the kernel looks for no routers.
	fmt.Fprintf(&b, "link set %s mtu %d txqueuelen %d addrgenmode none\n", device, mtu, deviceQueue)
	fmt.Fprintf(&b, "link set %s up\n", device)
	var has4, has6 bool
	var routes strings.Builder
	for _, a := range addresses {
		if a.Is4() {
			fmt.Fprintf(&b, "address add %v/32 dev %s\n", a, device)
		} else {
			fmt.Fprintf(&b, "address add %v/128 dev %s nodad\n", a, device)
		}
		if first := a.Is4() && !has4 || a.Is6() && !has6; first {
			fmt.Fprintf(&routes, "route add default dev %s src %v\n", device, a)
		}
		has4, has6 = has4 || a.Is4(), has6 || a.Is6()
	}
	return b.String() + routes.String()
}

// deviceDropped returns how many packets the device has dropped on their way to the link.
func deviceDropped(space *namespace) (dropped uint64, err error) {
	err = space.do(func() error {
		table, err := os.ReadFile("/proc/thread-self/net/dev")
		if err != nil {
			return err
		}
		for s := bufio.NewScanner(bytes.NewReader(table)); s.Scan(); {
			name, counters, ok := strings.Cut(s.Text(), ":")
			if fields := strings.Fields(counters); ok && strings.TrimSpace(name) == device && len(fields) >= 12 {
				dropped, err = strconv.ParseUint(fields[11], 10, 64) // eight columns of receiving, then bytes, packets, errs, drop
				return err
			}
		}
		return fmt.Errorf("namespace %s has lost its device", space.name)
	})
	return dropped, err
}
