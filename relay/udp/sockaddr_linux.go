package udp

import (
	"net"
	"net/netip"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// sockaddr is room for the kernel's form of an IPv4 or IPv6 address. The IPv4 form (struct sockaddr_in) lies at its start.
type sockaddr = unix.RawSockaddrInet6

// encode writes the kernel's form of an address for a socket of the given family and returns its length, 0 if the
// address is of the other family.
func encode(sa *sockaddr, to netip.AddrPort, family uint16) uint32 {
	addr := to.Addr()
	if family == unix.AF_INET {
		addr = addr.Unmap()
		if !addr.Is4() {
			return 0
		}
		sa4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(sa))
		sa4.Family = unix.AF_INET
		putPort(&sa4.Port, to.Port())
		sa4.Addr = addr.As4()
		return unix.SizeofSockaddrInet4
	}
	if !addr.Is6() || addr.Is4In6() {
		return 0
	}
	sa.Family = unix.AF_INET6
	putPort(&sa.Port, to.Port())
	sa.Flowinfo = 0
	sa.Addr = addr.As16()
	sa.Scope_id = scope(addr.Zone())
	return unix.SizeofSockaddrInet6
}

// decode reads the kernel's form of an address; the result is invalid for an unknown family.
func decode(sa *sockaddr) netip.AddrPort {
	switch sa.Family {
	case unix.AF_INET:
		sa4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(sa))
		return netip.AddrPortFrom(netip.AddrFrom4(sa4.Addr), port(&sa4.Port))
	case unix.AF_INET6:
		addr := netip.AddrFrom16(sa.Addr).Unmap()
		if sa.Scope_id != 0 && addr.Is6() {
			// Link-local senders only; the number is what encode reads back without asking the system.
			addr = addr.WithZone(strconv.FormatUint(uint64(sa.Scope_id), 10))
		}
		return netip.AddrPortFrom(addr, port(&sa.Port))
	}
	return netip.AddrPort{}
}

// scope returns the number of an IPv6 zone, which is written as a number or, by configurations, as an interface name.
func scope(zone string) uint32 {
	if zone == "" {
		return 0
	}
	if n, err := strconv.ParseUint(zone, 10, 32); err == nil {
		return uint32(n)
	}
	if ifc, err := net.InterfaceByName(zone); err == nil {
		return uint32(ifc.Index)
	}
	return 0
}

// putPort and port access a port in network order, whatever the order of the machine.
func putPort(p *uint16, v uint16) {
	b := (*[2]byte)(unsafe.Pointer(p))
	b[0], b[1] = byte(v>>8), byte(v)
}

func port(p *uint16) uint16 {
	b := (*[2]byte)(unsafe.Pointer(p))
	return uint16(b[0])<<8 | uint16(b[1])
}
