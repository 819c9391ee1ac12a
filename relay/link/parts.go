package link

import "encoding/binary"

// In a link's first second or so QUIC sends packets of 1,280 bytes at most, into which an RTP packet of 1,250 does not fit. Until it has found
// out what the path carries, datagrams that are too large go in two parts: the link's own flow id for that, a number (2), which
// part (1), and its bytes.
const (
	partHeader = 1 + 3
	maxHalves  = 64
)

// cut puts both parts of a datagram into room, one behind the other.
func cut(room, b []byte, number uint16) (first, second []byte) {
	half := (len(b) + 1) / 2
	part := func(dst []byte, index byte, b []byte) []byte {
		dst = append(dst, wirePart)
		dst = binary.BigEndian.AppendUint16(dst, number)
		return append(append(dst, index), b...)
	}
	first = part(room[:0], 0, b[:half])
	second = part(room[len(first):len(first)], 1, b[half:])
	return first, second
}

// halves are parts whose other part has not come. Those that wait longest go first.
type halves struct {
	of   [maxHalves][]byte
	next int
}

// join takes a part, without the flow id, and returns the datagram that it completes, or nil.
func (h *halves) join(part []byte) []byte {
	if len(part) < partHeader || part[2] > 1 {
		return nil
	}
	for i := range h.of {
		other := h.of[i]
		if other == nil || [2]byte(other) != [2]byte(part) || other[2] == part[2] {
			continue
		}
		h.of[i] = nil
		if part[2] == 0 {
			part, other = other, part
		}
		return append(other[partHeader-1:len(other):len(other)], part[partHeader-1:]...)
	}
	h.of[h.next] = part
	h.next = (h.next + 1) % maxHalves
	return nil
}
