package rtc

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// batch is how many datagrams one recvmmsg takes.
	batch = 64
	// maxDatagram is the largest one taken; WebRTC stays below a 1,500-byte MTU.
	maxDatagram = 2048
	// receiveBuffer holds what comes while the loop is busy, bytes of kernel memory.
	receiveBuffer = 1 << 20
	// maxReady is how many sockets one epoll_wait reports.
	maxReady = 256
)

// address is a socket address as the kernel takes it.
type address struct {
	raw  unix.RawSockaddrInet6 // the larger one
	len  uint32
	port netip.AddrPort
}

func newAddress(a netip.AddrPort) *address {
	out := &address{port: a}
	if a.Addr().Is4() {
		v4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(&out.raw))
		v4.Family, v4.Addr = unix.AF_INET, a.Addr().As4()
		setPort(&v4.Port, a.Port())
		out.len = unix.SizeofSockaddrInet4
		return out
	}
	out.raw.Family, out.raw.Addr = unix.AF_INET6, a.Addr().As16()
	setPort(&out.raw.Port, a.Port())
	out.len = unix.SizeofSockaddrInet6
	return out
}

// setPort stores a port in network byte order.
func setPort(field *uint16, port uint16) {
	b := (*[2]byte)(unsafe.Pointer(field))
	b[0], b[1] = byte(port>>8), byte(port)
}

func decodeAddress(raw *unix.RawSockaddrInet6) netip.AddrPort {
	port := func(field *uint16) uint16 {
		b := (*[2]byte)(unsafe.Pointer(field))
		return uint16(b[0])<<8 | uint16(b[1])
	}
	switch raw.Family {
	case unix.AF_INET:
		v4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(raw))
		return netip.AddrPortFrom(netip.AddrFrom4(v4.Addr), port(&v4.Port))
	case unix.AF_INET6:
		return netip.AddrPortFrom(netip.AddrFrom16(raw.Addr).Unmap(), port(&raw.Port))
	}
	return netip.AddrPort{}
}

// socket is a UDP socket of its own port.
type socket struct {
	fd    int
	local netip.AddrPort
}

func openSocket(addr netip.Addr) (*socket, error) {
	family := unix.AF_INET6
	if addr.Is4() {
		family = unix.AF_INET
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open socket: %w", os.NewSyscallError("socket", err))
	}
	s := &socket{fd: fd}
	if err := s.setUp(addr); err != nil {
		return nil, errors.Join(fmt.Errorf("open socket at %s: %w", addr, err), s.close())
	}
	return s, nil
}

func (s *socket) setUp(addr netip.Addr) error {
	if unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer) != nil {
		if err := unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer); err != nil {
			return os.NewSyscallError("setsockopt", err)
		}
	}
	if err := unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1); err != nil {
		return os.NewSyscallError("setsockopt", err)
	}
	var bind unix.Sockaddr = &unix.SockaddrInet6{Addr: addr.As16()}
	if addr.Is4() {
		bind = &unix.SockaddrInet4{Addr: addr.As4()}
	}
	if err := unix.Bind(s.fd, bind); err != nil {
		return os.NewSyscallError("bind", err)
	}
	name, err := unix.Getsockname(s.fd)
	if err != nil {
		return os.NewSyscallError("getsockname", err)
	}
	switch n := name.(type) {
	case *unix.SockaddrInet4:
		s.local = netip.AddrPortFrom(addr, uint16(n.Port))
	case *unix.SockaddrInet6:
		s.local = netip.AddrPortFrom(addr, uint16(n.Port))
	}
	return nil
}

// send sends one datagram; one that does not fit into the socket's buffer is lost, as on a network. Safe for concurrent use.
func (s *socket) send(b []byte, to *address) bool {
	// A raw call: it cannot block, and the scheduler need not be told.
	_, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(s.fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)),
		unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, uintptr(unsafe.Pointer(&to.raw)), uintptr(to.len))
	return errno == 0
}

func (s *socket) close() error { return os.NewSyscallError("close", unix.Close(s.fd)) }

// mmsghdr is struct mmsghdr of recvmmsg(2).
type mmsghdr struct {
	hdr unix.Msghdr
	n   uint32
}

// control is room for the control message with the time of arrival.
type control struct {
	hdr   unix.Cmsghdr
	stamp unix.Timespec
	_     [32]byte
}

// poller waits for many sockets at once, without ever waiting, and reads them.
type poller struct {
	fd       int
	events   [maxReady]unix.EpollEvent
	memory   [batch][maxDatagram]byte
	headers  [batch]mmsghdr
	names    [batch]unix.RawSockaddrInet6
	vectors  [batch]unix.Iovec
	controls [batch]control
}

func newPoller() (*poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	p := &poller{fd: fd}
	for i := range p.headers {
		p.vectors[i].Base = &p.memory[i][0]
		p.vectors[i].SetLen(maxDatagram)
		h := &p.headers[i].hdr
		h.Name = (*byte)(unsafe.Pointer(&p.names[i]))
		h.Iov = &p.vectors[i]
		h.SetIovlen(1)
		h.Control = (*byte)(unsafe.Pointer(&p.controls[i]))
	}
	return p, nil
}

// add watches a socket; ready reports it by its number.
func (p *poller) add(s *socket, number int32) error {
	e := unix.EpollEvent{Events: unix.EPOLLIN, Fd: number}
	return os.NewSyscallError("epoll_ctl", unix.EpollCtl(p.fd, unix.EPOLL_CTL_ADD, s.fd, &e))
}

// ready calls f for every socket that has something to read.
func (p *poller) ready(f func(number int32)) error {
	n, err := unix.EpollWait(p.fd, p.events[:], 0)
	if err != nil && !errors.Is(err, syscall.EINTR) {
		return os.NewSyscallError("epoll_wait", err)
	}
	for i := range max(n, 0) {
		f(p.events[i].Fd)
	}
	return nil
}

// read hands all that waits at a socket to f: datagram, sender, and the wall-clock time of arrival in ns. The datagram is valid
// during the call, which may overwrite it.
func (p *poller) read(s *socket, f func(b []byte, from netip.AddrPort, at int64)) {
	for {
		for i := range p.headers {
			h := &p.headers[i].hdr
			h.Namelen = uint32(unsafe.Sizeof(p.names[i]))
			h.SetControllen(int(unsafe.Sizeof(p.controls[i])))
		}
		n, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, uintptr(s.fd), uintptr(unsafe.Pointer(&p.headers[0])), batch, unix.MSG_DONTWAIT, 0, 0)
		if errno == unix.EINTR {
			continue
		}
		if errno != 0 {
			return // EAGAIN, or an ICMP error that belongs to something sent
		}
		for i := range int(n) {
			h, c := &p.headers[i], &p.controls[i]
			if h.hdr.Flags&unix.MSG_TRUNC != 0 {
				continue
			}
			var at int64
			if int(h.hdr.Controllen) >= unix.CmsgLen(int(unsafe.Sizeof(c.stamp))) && c.hdr.Level == unix.SOL_SOCKET && c.hdr.Type == unix.SO_TIMESTAMPNS {
				at = c.stamp.Nano()
			}
			f(p.memory[i][:h.n], decodeAddress(&p.names[i]), at)
		}
		if n < batch {
			return
		}
	}
}

func (p *poller) close() error { return os.NewSyscallError("close", unix.Close(p.fd)) }
