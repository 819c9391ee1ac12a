package udp

import (
	"net"
	"net/netip"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// writer is the memory of one WriteTo or WriteSegments.
type writer struct {
	header  mmsghdr
	name    sockaddr
	vector  unix.Iovec
	control control
	send    func(fd uintptr)
	sent    bool
	errno   syscall.Errno
}

func newWriter(s *Socket) *writer {
	w := &writer{}
	w.header.hdr.Name = (*byte)(unsafe.Pointer(&w.name))
	w.header.hdr.Iov = &w.vector
	w.header.hdr.SetIovlen(1)
	w.control.hdr.Level, w.control.hdr.Type = unix.SOL_UDP, unix.UDP_SEGMENT
	w.control.hdr.SetLen(unix.CmsgLen(2))
	one := unsafe.Slice(&w.header, 1)
	w.send = func(fd uintptr) {
		for {
			n, errno := s.sendmmsg(fd, one)
			if errno != unix.EINTR {
				w.sent, w.errno = n == 1, errno
				return
			}
		}
	}
	return w
}

// WriteTo sends one datagram, from any goroutine, in one system call. It never waits: if the send buffer is full the
// datagram is dropped and counted, which is no error. Errors are net.ErrClosed and the kernel's refusals.
func (s *Socket) WriteTo(b []byte, to netip.AddrPort) error {
	return s.WriteSegments(b, len(b), to)
}

// WriteSegments sends b, cut into datagrams of size bytes of which the last may be shorter, as [Socket.WriteTo] would send
// each, but in one system call where GSO works. It panics unless there are 0 to 64 of them in at most 65,000 bytes, or one.
func (s *Socket) WriteSegments(b []byte, size int, to netip.AddrPort) error {
	if len(b) == 0 {
		return nil
	}
	count := (len(b) + size - 1) / size
	if count > 1 && (count > maxSegments || len(b) > maxMessageSize) {
		panic("udp: WriteSegments of more than a message holds")
	}
	w := s.writers.Get().(*writer)
	defer s.writers.Put(w)
	h := &w.header.hdr
	h.Namelen = encode(&w.name, to, s.family)
	if h.Namelen == 0 {
		s.sendErrors.Add(uint64(count))
		return errFamily
	}
	if count > 1 && s.gso.Load() {
		*(*uint16)(unsafe.Pointer(&w.control.data)) = uint16(size)
		h.Control = (*byte)(unsafe.Pointer(&w.control))
		h.SetControllen(unix.CmsgSpace(2))
		err, refused := s.write(w, b, count)
		if !refused {
			return err
		}
	}
	h.Control = nil
	h.SetControllen(0)
	gso := count > 1 && s.gso.Load()
	var first error
	for offset := 0; offset < len(b); offset += size {
		err, _ := s.write(w, b[offset:min(offset+size, len(b))], 1)
		if offset == 0 && err == nil && w.sent && gso && s.gso.CompareAndSwap(true, false) {
			s.gsoRefused.Add(1)
		}
		if err != nil && first == nil {
			first = err
		}
	}
	return first
}

// write sends what w describes, count datagrams in b. refused says that a joined message was not taken, maybe for being
// joined (see [wire.refused]); nothing is counted then.
func (s *Socket) write(w *writer, b []byte, count int) (err error, refused bool) {
	w.vector.Base = &b[0]
	w.vector.SetLen(len(b))
	w.sent, w.errno = false, 0
	err = s.raw.Control(w.send)
	w.vector.Base = nil
	switch {
	case err != nil:
		return net.ErrClosed, false
	case w.sent:
		s.messagesOut.Add(1)
		s.datagramsOut.Add(uint64(count))
		s.bytesOut.Add(uint64(len(b)))
		return nil, false
	case w.errno == unix.EAGAIN || w.errno == unix.ENOBUFS:
		s.sendDrops.Add(uint64(count))
		return nil, false
	case count > 1 && maybeGSO(w.errno):
		return nil, true
	default:
		s.sendErrors.Add(uint64(count))
		return os.NewSyscallError("sendmmsg", w.errno), false
	}
}
