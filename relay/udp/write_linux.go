package udp

import (
	"net"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// maxSegmentsPerCall bounds the time of one sendmmsg, during which the goroutine cannot be preempted: at 0.6 to 3 us a
	// packet some 0.2 to 0.8 ms.
	maxSegmentsPerCall = 256
	// pollStep is what one wait for a full send buffer lasts at most; poll(2) knows no less than a millisecond.
	pollStep = time.Millisecond
)

// sendmmsg is the system call: how many messages were sent, or why the first was not.
func sendmmsg(fd uintptr, m []mmsghdr) (int, syscall.Errno) {
	n, _, errno := unix.RawSyscall6(unix.SYS_SENDMMSG, fd, uintptr(unsafe.Pointer(&m[0])), uintptr(len(m)),
		unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

// wire is the kernel's form of a batch's message table.
type wire struct {
	headers  []mmsghdr
	names    []sockaddr
	vectors  []unix.Iovec
	controls []control

	send  func(fd uintptr) // made once, for RawConn.Control
	poll  [1]unix.PollFd
	waits int // how often this flush may still wait
}

func (w *wire) init(b *Batch) {
	w.headers = make([]mmsghdr, maxMessages)
	w.names = make([]sockaddr, maxMessages)
	w.vectors = make([]unix.Iovec, maxMessages)
	w.controls = make([]control, maxMessages)
	for i := range w.headers {
		h := &w.headers[i].hdr
		h.Name = (*byte)(unsafe.Pointer(&w.names[i]))
		h.Iov = &w.vectors[i]
		h.SetIovlen(1)
		c := &w.controls[i].hdr
		c.Level, c.Type = unix.SOL_UDP, unix.UDP_SEGMENT
		c.SetLen(unix.CmsgLen(2))
	}
	w.send = func(fd uintptr) { w.sendAll(b, fd) }
}

// transmit sends the batch's messages. It goes through RawConn.Control rather than Write, which would hold the
// socket's write lock and so let one batch's wait stop another's.
func (w *wire) transmit(b *Batch) error {
	if err := b.socket.raw.Control(w.send); err != nil {
		return net.ErrClosed
	}
	return nil
}

func (w *wire) sendAll(b *Batch, fd uintptr) {
	w.waits = int(MaxSendWait / pollStep)
	var t totals
	w.prepare(b, &t)
	for i := 0; i < len(b.messages); {
		n, errno := b.socket.sendmmsg(fd, w.headers[i:w.callEnd(b, i)])
		for _, m := range b.messages[i : i+n] {
			t.sent(m.count, m.length)
		}
		i += n
		switch {
		case n > 0: // the reason why it stopped, if it did, comes with the next call
		case errno == unix.EINTR:
		case errno == unix.EAGAIN:
			if !w.wait(fd) {
				for _, m := range b.messages[i:] {
					t.drops += m.count
				}
				i = len(b.messages)
			}
		default:
			w.refused(b, fd, i, errno, &t)
			i++
		}
	}
	t.addTo(&b.socket.counters)
}

// prepare fills the kernel's table. Messages to the wrong address family are taken out of the batch.
func (w *wire) prepare(b *Batch, t *totals) {
	kept := b.messages[:0]
	for _, m := range b.messages {
		i := len(kept)
		length := encode(&w.names[i], m.to, b.socket.family)
		if length == 0 {
			t.errors += m.count
			continue
		}
		kept = append(kept, m)
		h := &w.headers[i].hdr
		h.Namelen = length
		w.vectors[i].Base = &b.arena[m.offset]
		w.vectors[i].SetLen(m.length)
		if m.count > 1 {
			*(*uint16)(unsafe.Pointer(&w.controls[i].data)) = uint16(m.size)
			h.Control = (*byte)(unsafe.Pointer(&w.controls[i]))
			h.SetControllen(unix.CmsgSpace(2))
		} else {
			h.Control = nil
			h.SetControllen(0)
		}
	}
	b.messages = kept
}

// callEnd returns where the call that begins at message i ends.
func (w *wire) callEnd(b *Batch, i int) int {
	segments := 0
	for end := i; end < len(b.messages); end++ {
		segments += b.messages[end].count
		if segments > maxSegmentsPerCall && end > i {
			return end
		}
	}
	return len(b.messages)
}

// wait waits a little for room in the send buffer; false when this flush has waited long enough.
func (w *wire) wait(fd uintptr) bool {
	if w.waits == 0 {
		return false
	}
	w.waits--
	w.poll[0] = unix.PollFd{Fd: int32(fd), Events: unix.POLLOUT}
	_, _ = unix.Poll(w.poll[:], int(pollStep/time.Millisecond)) // whatever it says, the next send tells
	return true
}

// refused deals with a message that the kernel does not take. A joined one is sent again packet by packet where the
// error may come from joining. Only if its first packet then goes is GSO at fault: port 0, for one, gives the same
// EINVAL, and it must not be in a client's power to switch GSO off.
func (w *wire) refused(b *Batch, fd uintptr, i int, errno syscall.Errno, t *totals) {
	m := b.messages[i]
	if m.count == 1 || !maybeGSO(errno) {
		t.refused(errno, m.count)
		return
	}
	h := &w.headers[i].hdr
	h.Control = nil
	h.SetControllen(0)
	for offset := 0; offset < m.length; offset += m.size {
		size := min(m.size, m.length-offset)
		w.vectors[i].Base = &b.arena[m.offset+offset]
		w.vectors[i].SetLen(size)
		errno := w.sendOne(b, fd, i)
		if errno != 0 {
			t.refused(errno, 1)
			continue
		}
		t.sent(1, size)
		if offset == 0 && b.socket.gso.CompareAndSwap(true, false) {
			b.socket.gsoRefused.Add(1)
		}
	}
}

// sendOne sends message i alone, waiting for room as long as the flush may.
func (w *wire) sendOne(b *Batch, fd uintptr, i int) syscall.Errno {
	for {
		n, errno := b.socket.sendmmsg(fd, w.headers[i:i+1])
		switch {
		case n > 0:
			return 0
		case errno == unix.EINTR:
		case errno == unix.EAGAIN:
			if !w.wait(fd) {
				return errno
			}
		default:
			return errno
		}
	}
}

// maybeGSO tells whether an error may mean that a joined message was refused for being joined: EIO by a device that does
// not compute checksums (or IPsec), EINVAL and EMSGSIZE by the size and number of segments, the others by old kernels.
func maybeGSO(errno syscall.Errno) bool {
	switch errno {
	case unix.EIO, unix.EINVAL, unix.EMSGSIZE, unix.EOPNOTSUPP, unix.ENOPROTOOPT:
		return true
	}
	return false
}

// totals gathers the counts of one flush, so that shared counters are touched once.
type totals struct{ messages, packets, bytes, drops, errors int }

func (t *totals) sent(packets, bytes int) {
	t.messages++
	t.packets += packets
	t.bytes += bytes
}

func (t *totals) refused(errno syscall.Errno, packets int) {
	if errno == unix.EAGAIN || errno == unix.ENOBUFS {
		t.drops += packets
	} else {
		t.errors += packets
	}
}

func (t *totals) addTo(c *counters) {
	c.messagesOut.Add(uint64(t.messages))
	c.datagramsOut.Add(uint64(t.packets))
	c.bytesOut.Add(uint64(t.bytes))
	if t.drops > 0 {
		c.sendDrops.Add(uint64(t.drops))
	}
	if t.errors > 0 {
		c.sendErrors.Add(uint64(t.errors))
	}
}
