package shield

import (
	"encoding/binary"
	"net/netip"
	"sync/atomic"
)

// maxParts is how many packets may wait for their other part at a time, over all remotes. Who sends parts without end makes others'
// handshakes take one more try.
const maxParts = 64

// parts cuts packets that may be too large for the path where there are no keys yet, and joins them. Only handshakes are so, and
// what is sent before the far end is known to have the key.
type parts struct {
	id    atomic.Uint32
	slots []part // owned by the goroutine that reads
	next  int
}

type part struct {
	from netip.AddrPort
	id   [4]byte
	kind byte
	data []byte
}

func (f *parts) cut(p []byte, emit func([]byte)) {
	half := (len(p) + 1) / 2
	id := f.id.Add(1)
	b := make([]byte, 0, clearLen+half)
	emit(append(binary.BigEndian.AppendUint32(append(b, clearHead), id), p[:half]...))
	emit(append(binary.BigEndian.AppendUint32(append(b, clearTail), id), p[half:]...))
}

// join returns a packet if b is its second part to arrive.
func (f *parts) join(b []byte, from netip.AddrPort) []byte {
	if len(b) <= clearLen || len(b) > clearLen+(MaxPacket+1)/2 {
		return nil
	}
	for i := range f.slots {
		s := &f.slots[i]
		if s.from != from || s.id != [4]byte(b[1:5]) || s.kind == b[0] {
			continue
		}
		s.from = netip.AddrPort{}
		p := make([]byte, 0, len(s.data)+len(b))
		if b[0] == clearTail {
			return append(append(p, s.data...), b[clearLen:]...)
		}
		return append(append(p, b[clearLen:]...), s.data...)
	}
	if len(f.slots) == 0 {
		f.slots = make([]part, maxParts)
	}
	s := &f.slots[f.next]
	f.next = (f.next + 1) % maxParts
	s.from, s.id, s.kind = from, [4]byte(b[1:5]), b[0]
	s.data = append(s.data[:0], b[clearLen:]...)
	return nil
}
