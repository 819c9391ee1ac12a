package udp

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Socket is one UDP socket. One goroutine at a time may call ReadBatch; everything else is safe for concurrent use.
type Socket struct {
	counters

	// Set once by Listen.
	conn                    *net.UDPConn
	raw                     syscall.RawConn
	local                   netip.AddrPort
	family                  uint16
	gro                     bool
	readBuffer, writeBuffer int
	sendmmsg                func(fd uintptr, m []mmsghdr) (int, syscall.Errno) // the system call; tests put faults here

	gso         atomic.Bool   // joined messages are accepted
	kernelDrops atomic.Uint32 // the last known drop count, kept for after Close

	reader  reader    // owned by the goroutine that reads
	writers sync.Pool // *writer, for WriteTo
}

// Listen opens the socket, or the SO_REUSEPORT group of cfg.Sockets sockets, and closes all again if one fails.
func Listen(cfg Config) ([]*Socket, error) {
	cfg.Address = netip.AddrPortFrom(cfg.Address.Addr().Unmap(), cfg.Address.Port())
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("listen udp %s: %w", cfg.Address, err)
	}
	n := max(cfg.Sockets, 1)
	sockets := make([]*Socket, 0, n)
	for range n {
		s, err := open(cfg, n > 1)
		if err != nil {
			for _, s := range sockets {
				s.Close()
			}
			return nil, fmt.Errorf("listen udp %s: %w", cfg.Address, err)
		}
		sockets = append(sockets, s)
		cfg.Address = netip.AddrPortFrom(cfg.Address.Addr(), s.local.Port()) // port 0: the group shares what the first got
	}
	return sockets, nil
}

func open(cfg Config, shared bool) (*Socket, error) {
	s := &Socket{family: unix.AF_INET, sendmmsg: sendmmsg}
	network := "udp4"
	if cfg.Address.Addr().Is6() {
		s.family, network = unix.AF_INET6, "udp6"
	}
	lc := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		var err error
		if cerr := raw.Control(func(fd uintptr) { err = s.configure(int(fd), cfg, shared) }); cerr != nil {
			return cerr
		}
		return err
	}}
	pc, err := lc.ListenPacket(context.Background(), network, cfg.Address.String())
	if err != nil {
		return nil, err
	}
	s.conn = pc.(*net.UDPConn)
	if s.raw, err = s.conn.SyscallConn(); err != nil {
		s.conn.Close()
		return nil, err
	}
	bound := s.conn.LocalAddr().(*net.UDPAddr).AddrPort()
	s.local = netip.AddrPortFrom(bound.Addr().Unmap(), bound.Port())
	s.reader.init(cfg.Light)
	s.writers.New = func() any { return newWriter(s) }
	return s, nil
}

// configure sets the options of a socket that is not bound yet. Offloads are a matter of the kernel's version and may
// be missing; the rest must work.
func (s *Socket) configure(fd int, cfg Config, shared bool) error {
	if shared {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1); err != nil {
			return fmt.Errorf("set SO_REUSEPORT: %w", err)
		}
	}
	if s.family == unix.AF_INET6 {
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1); err != nil {
			return fmt.Errorf("set IPV6_V6ONLY: %w", err)
		}
		discover := unix.IPV6_PMTUDISC_PROBE
		if cfg.Fragment {
			discover = unix.IPV6_PMTUDISC_DONT
		}
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, discover); err != nil {
			return fmt.Errorf("set IPV6_MTU_DISCOVER: %w", err)
		}
	} else {
		discover := unix.IP_PMTUDISC_PROBE
		if cfg.Fragment {
			discover = unix.IP_PMTUDISC_DONT
		}
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, discover); err != nil {
			return fmt.Errorf("set IP_MTU_DISCOVER: %w", err)
		}
	}
	var err error
	if s.readBuffer, err = setBuffer(fd, unix.SO_RCVBUFFORCE, unix.SO_RCVBUF, cfg.ReadBuffer); err != nil {
		return fmt.Errorf("set SO_RCVBUF: %w", err)
	}
	if s.writeBuffer, err = setBuffer(fd, unix.SO_SNDBUFFORCE, unix.SO_SNDBUF, cfg.WriteBuffer); err != nil {
		return fmt.Errorf("set SO_SNDBUF: %w", err)
	}
	s.gro = unix.SetsockoptInt(fd, unix.SOL_UDP, unix.UDP_GRO, 1) == nil
	_, err = unix.GetsockoptInt(fd, unix.SOL_UDP, unix.UDP_SEGMENT)
	s.gso.Store(err == nil)
	return nil
}

// setBuffer asks for n bytes (none for 0) and returns what was granted. The kernel keeps twice that, for its own
// bookkeeping; the figure is halved so that it compares with what was asked.
func setBuffer(fd, force, option, n int) (int, error) {
	if n > 0 && unix.SetsockoptInt(fd, unix.SOL_SOCKET, force, n) != nil { // needs CAP_NET_ADMIN
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, option, n); err != nil {
			return 0, err
		}
	}
	granted, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, option)
	return granted / 2, err
}

// LocalAddr returns the address the socket is bound to.
func (s *Socket) LocalAddr() netip.AddrPort { return s.local }

// SetReadDeadline makes ReadBatch return os.ErrDeadlineExceeded from t on, also one that waits; the zero time takes it back.
func (s *Socket) SetReadDeadline(t time.Time) error { return s.conn.SetReadDeadline(t) }

// Buffers returns the bytes of kernel buffer granted, in the measure of [Config].
func (s *Socket) Buffers() (read, write int) { return s.readBuffer, s.writeBuffer }

// Stats returns the counters; it may be called after Close.
func (s *Socket) Stats() Stats {
	st := s.snapshot()
	_ = s.raw.Control(func(fd uintptr) { // fails after Close: the last figure stands
		var info [unix.SK_MEMINFO_VARS]uint32
		size := uint32(unsafe.Sizeof(info))
		_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, fd, unix.SOL_SOCKET, unix.SO_MEMINFO,
			uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0)
		if errno == 0 {
			s.kernelDrops.Store(info[unix.SK_MEMINFO_DROPS])
		}
	})
	st.ReceiveDrops = uint64(s.kernelDrops.Load())
	st.GSO, st.GRO = s.gso.Load(), s.gro
	return st
}

// Close closes the socket; a blocked ReadBatch returns net.ErrClosed, as does everything after.
func (s *Socket) Close() error {
	s.Stats() // remember the kernel's count
	return s.conn.Close()
}
