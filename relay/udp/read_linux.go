package udp

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// readSlots is how many messages one recvmmsg takes. A message may be up to 64 datagrams of one sender.
	readSlots = 32
	// lightSlots is the same for a light socket.
	lightSlots = 8
	// slotSize fits any datagram, and anything that GRO makes of several.
	slotSize = 64 << 10
)

// mmsghdr is struct mmsghdr of recvmmsg(2) and sendmmsg(2).
type mmsghdr struct {
	hdr unix.Msghdr
	n   uint32 // bytes received or sent
}

// control is room for one control message with an int.
type control struct {
	hdr  unix.Cmsghdr
	data [8]byte
}

// slab is the memory of one recvmmsg.
type slab struct {
	memory   []byte // a slot a message; pages that nothing was received into are never touched
	headers  []mmsghdr
	names    []sockaddr
	vectors  []unix.Iovec
	controls []control
	used     int // messages of the last recvmmsg: their headers need to be set again
}

func newSlab(slots int) *slab {
	s := &slab{
		memory:   make([]byte, slots*slotSize),
		headers:  make([]mmsghdr, slots),
		names:    make([]sockaddr, slots),
		vectors:  make([]unix.Iovec, slots),
		controls: make([]control, slots),
		used:     slots,
	}
	for i := range s.headers {
		s.vectors[i].Base = &s.memory[i*slotSize]
		s.vectors[i].SetLen(slotSize)
		h := &s.headers[i].hdr
		h.Name = (*byte)(unsafe.Pointer(&s.names[i]))
		h.Iov = &s.vectors[i]
		h.SetIovlen(1)
		h.Control = (*byte)(unsafe.Pointer(&s.controls[i]))
	}
	return s
}

// receive is one recvmmsg. A raw call: it cannot block, and the scheduler need not be told.
func (s *slab) receive(fd uintptr) (int, syscall.Errno) {
	for i := range s.used { // the kernel wrote what it used over what it may use
		h := &s.headers[i].hdr
		h.Namelen = uint32(unsafe.Sizeof(s.names[i]))
		h.SetControllen(int(unsafe.Sizeof(s.controls[i])))
	}
	s.used = 0
	for {
		n, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&s.headers[0])),
			uintptr(len(s.headers)), unix.MSG_DONTWAIT, 0, 0)
		switch errno {
		case 0:
			s.used = int(n)
			return int(n), 0
		case unix.EINTR:
		default:
			return 0, errno
		}
	}
}

// lightSlabs is what light sockets borrow from while they have something to read.
var lightSlabs = sync.Pool{New: func() any { return newSlab(lightSlots) }}

// reader holds what was received, and how far it has been handed out.
type reader struct {
	slab    *slab // nil while a light socket has nothing to read
	light   bool
	receive func(fd uintptr) bool // made once, for RawConn.Read
	errno   syscall.Errno

	count  int // messages received
	next   int // the message handed out next
	offset int // bytes of it handed out already
}

func (r *reader) init(light bool) {
	r.light = light
	if !light {
		r.slab = newSlab(readSlots)
	}
	r.receive = func(fd uintptr) bool {
		if r.slab == nil {
			r.slab = lightSlabs.Get().(*slab)
		}
		r.count, r.errno = r.slab.receive(fd)
		if r.errno != unix.EAGAIN {
			return true
		}
		if r.light {
			lightSlabs.Put(r.slab)
			r.slab = nil
		}
		return false
	}
}

// ReadBatch fills dst with at least one datagram, waiting for it if there is none, and returns how many. The data are
// valid until the next ReadBatch. Empty datagrams are left out. It returns net.ErrClosed after Close and os.ErrDeadlineExceeded
// after [Socket.SetReadDeadline]; any other error is the kernel's and the socket is of no more use. One goroutine at a time.
func (s *Socket) ReadBatch(dst []Datagram) (int, error) {
	if len(dst) == 0 {
		return 0, errors.New("udp: ReadBatch into nothing")
	}
	r := &s.reader
	for {
		if n := s.take(dst); n > 0 {
			return n, nil
		}
		r.next, r.offset, r.count, r.errno = 0, 0, 0, 0
		if err := s.raw.Read(r.receive); err != nil {
			if errors.Is(err, net.ErrClosed) {
				err = net.ErrClosed
			}
			return 0, err
		}
		if r.errno != 0 {
			return 0, os.NewSyscallError("recvmmsg", r.errno)
		}
		s.messagesIn.Add(uint64(r.count))
	}
}

// take hands out what was received and not handed out yet.
func (s *Socket) take(dst []Datagram) int {
	r := &s.reader
	n, bytes := 0, 0
	for r.next < r.count && n < len(dst) {
		h := &r.slab.headers[r.next]
		length := int(h.n)
		from := decode(&r.slab.names[r.next])
		if h.hdr.Flags&unix.MSG_TRUNC != 0 || !from.IsValid() {
			length = 0 // cannot happen with slots of this size
		}
		segment := segmentSize(h, length)
		slot := r.slab.memory[r.next*slotSize:][:length]
		n, bytes = r.split(dst, n, bytes, slot, segment, from)
		if r.offset >= length {
			r.next++
			r.offset = 0
		}
	}
	s.datagramsIn.Add(uint64(n))
	s.bytesIn.Add(uint64(bytes))
	return n
}

// split appends to dst[:n] the datagrams of one message from r.offset on, as many as fit.
func (r *reader) split(dst []Datagram, n, bytes int, slot []byte, segment int, from netip.AddrPort) (int, int) {
	for r.offset < len(slot) && n < len(dst) {
		end := min(r.offset+segment, len(slot))
		dst[n] = Datagram{Data: slot[r.offset:end:end], From: from}
		bytes += end - r.offset
		r.offset = end
		n++
	}
	return n, bytes
}

// segmentSize returns the size of the datagrams that GRO joined in a message of the given length; the last may be
// shorter.
func segmentSize(h *mmsghdr, length int) int {
	if int(h.hdr.Controllen) < unix.CmsgLen(4) {
		return length
	}
	c := (*control)(unsafe.Pointer(h.hdr.Control))
	if c.hdr.Level != unix.SOL_UDP || c.hdr.Type != unix.UDP_GRO {
		return length
	}
	if size := int(*(*int32)(unsafe.Pointer(&c.data))); size > 0 {
		return size
	}
	return length
}
