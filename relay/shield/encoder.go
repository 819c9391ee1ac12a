package shield

import (
	"encoding/binary"
	"time"
)

const (
	minHistory = 64 // symbols
	maxHistory = 4096
	// windowSpan is how far back parity covers: what is repaired later than this is too late to be shown, and in the way of what is not.
	windowSpan = int64(96 * time.Millisecond)
	// parityWait is how long a symbol may wait for the first parity that covers it. It only matters where less than 5 Mbit/s is sent.
	parityWait = int64(40 * time.Millisecond)
)

// encoder numbers outgoing symbols, keeps them for as long as they may be asked for again, and makes parity of them.
type encoder struct {
	out  tagger
	emit func([]byte)

	history []sent // power of two
	next    uint64 // number of the next symbol
	keep    int64  // ns: how long a symbol may be asked for

	row     uint8   // of the next parity
	rows    uint64  // parity sent
	credit  float64 // parity owed
	covered uint64  // symbols below are covered by some parity
	window  uint64  // start of the window
	acc     sum     // the parity being made, behind room for header
	wire    []byte  // header and acc.buf
}

// sent is a symbol and what was done with it.
type sent struct {
	symbol
	at    int64
	again bool // sent again, or being so itself
}

func newEncoder(out tagger, emit func([]byte)) *encoder {
	e := &encoder{out: out, emit: emit, history: make([]sent, minHistory), keep: int64(time.Second) / 2}
	e.wire = make([]byte, slotSize)
	e.acc.buf = e.wire[headerLen+parityLen:]
	return e
}

func (e *encoder) at(number uint64) *sent { return &e.history[number&uint64(len(e.history)-1)] }

// has tells whether the symbol is still kept.
func (e *encoder) has(number uint64) bool {
	return number < e.next && number+uint64(len(e.history)) >= e.next
}

// slot returns the place of the next symbol, and makes the history longer if what it would replace may still be asked for.
func (e *encoder) slot(now int64) *sent {
	s := e.at(e.next)
	if e.next >= uint64(len(e.history)) && now-s.at < e.keep && len(e.history) < maxHistory {
		old := e.history
		e.history = make([]sent, 2*len(old))
		for i := range old {
			*e.at(old[i].number) = old[i]
		}
		s = e.at(e.next)
	}
	if s.buf == nil {
		s.buf = make([]byte, slotSize)
	}
	s.number, s.at, s.again = e.next, now, false
	return s
}

// send sends a symbol.
func (e *encoder) send(k kind, content []byte, now int64) {
	s := e.slot(now)
	s.kind, s.length = k, copy(s.buf[headerLen:], content)
	e.finish(s, now)
}

// sendAgain sends a symbol once more, inside a new one so that parity covers it. It does so once only.
func (e *encoder) sendAgain(number uint64, now int64) (bytes int) {
	if !e.has(number) || e.at(number).again {
		return 0
	}
	s := e.slot(now) // may move the history
	o := e.at(number)
	if o.number != number { // its place was just taken
		return 0
	}
	o.again = true
	b := s.buf[headerLen:]
	binary.BigEndian.PutUint32(b, uint32(number))
	b[4] = byte(o.kind)
	s.kind, s.again = kindAgain, true
	s.length = againLen + copy(b[againLen:], o.content())
	e.finish(s, now)
	return headerLen + s.length
}

// finish sends the symbol that was written into its slot.
func (e *encoder) finish(s *sent, now int64) {
	s.seal()
	b := s.buf[:headerLen+s.length]
	putHeader(b, s.kind, now, uint32(s.number))
	e.out.put(b)
	e.emit(b)
	e.next++
}

// owe adds to the parity owed and sends what has become due. It is called once a symbol, with the parity per symbol.
func (e *encoder) owe(ratio float64, now int64) (bytes int) {
	if ratio <= 0 {
		e.credit, e.covered = 0, e.next
		return 0
	}
	for e.credit += ratio; e.credit >= 1; e.credit-- {
		bytes += e.parity(now)
	}
	return bytes
}

// due tells when the symbols that no parity covers yet should be covered, 0 if there are none.
func (e *encoder) due() int64 {
	if e.covered == e.next || !e.has(e.covered) {
		return 0
	}
	return e.at(e.covered).at + parityWait
}

// parity sends one row over the window that ends with the last symbol sent.
func (e *encoder) parity(now int64) (bytes int) {
	if e.next == 0 {
		return 0
	}
	if limit := uint64(min(maxWindow, len(e.history))); e.next-e.window > limit {
		e.window = e.next - limit
	}
	for e.window < e.next-1 && now-e.at(e.window).at > windowSpan {
		e.window++
	}
	e.acc.prefix, e.acc.length = [2]byte{}, 0
	longest := 0
	for n := e.window; n < e.next; n++ {
		s := e.at(n)
		e.acc.add(coefficient(e.row, n), &s.symbol)
		longest = max(longest, s.length)
	}
	b := e.wire[:headerLen+parityLen+longest]
	putHeader(b, kindParity, now, uint32(e.next-1))
	b[headerLen] = byte(e.next - e.window - 1)
	b[headerLen+1] = e.row
	b[headerLen+2], b[headerLen+3] = e.acc.prefix[0], e.acc.prefix[1]
	e.out.put(b)
	e.emit(b)
	e.row = (e.row + 1) % parityPoints
	e.rows++
	e.covered = e.next
	return len(b)
}
