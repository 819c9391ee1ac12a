package stream

// history remembers what was sent under the last outgoing numbers, to send it again when asked (RFC 4585), and is what
// guarantees that no number is used twice. It grows until it spans historyTime.
type history struct {
	entries  []sent
	max      int
	next     int64 // one above the highest number
	floor    int64 // numbers below are forgotten
	lapBegan int64 // ns
	lap      int   // entries since then
}

const (
	historyTime     = cacheTime
	historyMin      = 64
	videoHistoryMax = 1024
	audioHistoryMax = 128
)

// sent is one entry of the history: 24 bytes.
type sent struct {
	in        uint32 // low bits of the packet's number in its layer
	stamp     uint32 // outgoing timestamp
	sendTime  uint32 // abs-send-time, 24 bits
	again     uint32 // when it was sent again, in units of 2^20 ns
	transport uint16 // transport-wide number
	picture   uint16 // outgoing VP8 PictureID
	tl0       uint8
	padding   uint8
	layer     uint8
	flags     sentFlags // the lower half; the upper counts repeats
}

type sentFlags uint8

const (
	isSent   sentFlags = 1 << iota // the number is used
	isFill                         // it went out as padding without media
	isMarked                       // with the marker bit

	repeatShift = 4
)

func (e *sent) repeats() int { return int(e.flags >> repeatShift) }

func (e *sent) repeated() {
	if e.flags>>repeatShift < 15 {
		e.flags += 1 << repeatShift
	}
}

// at returns the entry of a number, or nil if it is not (or no longer) known.
func (h *history) at(n int64) *sent {
	if n >= h.next || n < h.floor || n < h.next-int64(len(h.entries)) {
		return nil
	}
	return &h.entries[n&int64(len(h.entries)-1)]
}

// push appends an entry for number n, which must be h.next but for the very first.
func (h *history) push(n, now int64) *sent {
	if h.entries == nil {
		h.entries = make([]sent, historyMin)
		h.next, h.floor, h.lapBegan = n, n, now
	}
	if h.lap == len(h.entries) {
		if now-h.lapBegan < historyTime && len(h.entries) < h.max {
			h.grow()
		}
		h.lap, h.lapBegan = 0, now
	}
	h.lap++
	h.next = n + 1
	e := &h.entries[n&int64(len(h.entries)-1)]
	*e = sent{}
	return e
}

func (h *history) grow() {
	old := h.entries
	h.floor = max(h.floor, h.next-int64(len(old)))
	h.entries = make([]sent, 2*len(old))
	for n := h.floor; n < h.next; n++ {
		h.entries[n&int64(len(h.entries)-1)] = old[n&int64(len(old)-1)]
	}
}

// forget makes all numbers so far unknown: what was sent under them can no longer be made again byte by byte.
func (h *history) forget() { h.floor = h.next }

// extend returns the full number that a 16-bit one from a NACK means: the latest sent.
func (h *history) extend(seq uint16) int64 {
	last := h.next - 1
	return last - int64(uint16(last)-seq) //nolint:gosec // modular
}
