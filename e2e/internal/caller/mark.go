package caller

import (
	"encoding/binary"
	"time"
)

// markSize is the length of a mark, bytes. Marks stand at the end of payloads, where no node has business to write.
const markSize = 16

// began is the time that marks count from.
var began = time.Now()

// mark is what a publisher writes into a packet: which one it is, and when it left.
type mark struct {
	serial uint64
	sent   time.Duration // since began
}

func (m mark) put(payload []byte) {
	tail := payload[len(payload)-markSize:]
	binary.BigEndian.PutUint64(tail, m.serial)
	binary.BigEndian.PutUint64(tail[8:], uint64(m.sent)) //nolint:gosec // never negative
}

func readMark(payload []byte) (mark, bool) {
	if len(payload) < markSize {
		return mark{}, false
	}
	tail := payload[len(payload)-markSize:]
	return mark{binary.BigEndian.Uint64(tail), time.Duration(binary.BigEndian.Uint64(tail[8:]))}, true //nolint:gosec // see put
}
