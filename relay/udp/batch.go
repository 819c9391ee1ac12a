package udp

import (
	"fmt"
	"net/netip"
)

const (
	// arenaSize holds what one receive batch makes a loop send: some 430 packets of 1,200 bytes.
	arenaSize = 512 << 10
	// maxMessages is the size of the message table.
	maxMessages = 256
	// maxSegments is UDP_MAX_SEGMENTS of kernels before 6.9 (128 since).
	maxSegments = 64
	// maxMessageSize keeps a joined message below the 65,535 bytes that an IP packet can name, headers included.
	maxMessageSize = 65000
)

// Batch gathers outgoing packets of one goroutine. It is not safe for concurrent use; several batches may feed one
// socket. Packets leave in the order in which they were committed.
type Batch struct {
	socket *Socket
	arena  []byte
	used   int // bytes of the arena that hold committed packets

	to       netip.AddrPort // of the last Reserve
	reserved int            // bytes of the last Reserve, -1 once committed

	messages []message // len is what is in use, cap is the table
	wire     wire      // the kernel's form of the table
}

// message is one entry of the table: packets to one address, all of size bytes but the last, which may be shorter.
type message struct {
	to     netip.AddrPort
	offset int // in the arena
	length int // bytes, all packets
	size   int // bytes of the first packet, and so of each but the last
	count  int // packets
}

// joins tells whether one more packet of n bytes to the given address can be cut off m by the kernel.
func (m *message) joins(to netip.AddrPort, n int) bool {
	return m.to == to && n <= m.size && m.count < maxSegments && m.length+n <= maxMessageSize &&
		m.length == m.size*m.count // a shorter packet ends a message
}

// NewBatch returns an empty batch for the socket. It holds some 550 KiB.
func (s *Socket) NewBatch() *Batch {
	b := &Batch{
		socket:   s,
		arena:    make([]byte, arenaSize),
		reserved: -1,
		messages: make([]message, 0, maxMessages),
	}
	b.wire.init(b)
	return b
}

// Reserve returns room for a packet of n bytes to the given address. It flushes by itself when the arena or the
// message table is full. A Reserve that is not followed by Commit leaves no trace. Reserve panics if n is not in
// 0..[MaxDatagram].
func (b *Batch) Reserve(to netip.AddrPort, n int) []byte {
	if n < 0 || n > MaxDatagram {
		panic(fmt.Sprintf("udp: Reserve of %d bytes", n))
	}
	if len(b.messages) == cap(b.messages) || b.used+n > len(b.arena) {
		// A closed socket is told by the caller's own Flush; here the packets only go the way of all lost ones.
		_ = b.Flush()
	}
	b.to, b.reserved = to, n
	return b.arena[b.used : b.used+n : b.used+n]
}

// Commit makes a packet of the first n bytes of the last Reserve. It panics without one, or if n is larger than it.
// Nothing is sent for n = 0.
func (b *Batch) Commit(n int) {
	if n < 0 || n > b.reserved {
		panic(fmt.Sprintf("udp: Commit of %d bytes, %d reserved", n, b.reserved))
	}
	b.reserved = -1
	if n == 0 {
		return
	}
	if last := len(b.messages) - 1; last >= 0 && b.socket.gso.Load() && b.messages[last].joins(b.to, n) {
		b.messages[last].length += n
		b.messages[last].count++
	} else {
		b.messages = append(b.messages, message{to: b.to, offset: b.used, length: n, size: n, count: 1})
	}
	b.used += n
}

// Flush sends what was committed and empties the batch. What the kernel refuses or has no room for is dropped and
// counted; the only error is net.ErrClosed.
func (b *Batch) Flush() error {
	b.reserved = -1
	if len(b.messages) == 0 {
		return nil
	}
	err := b.wire.transmit(b)
	b.messages = b.messages[:0]
	b.used = 0
	return err
}

// Len returns the number of messages and bytes that wait for Flush.
func (b *Batch) Len() (messages, bytes int) { return len(b.messages), b.used }
