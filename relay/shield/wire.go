package shield

import (
	"encoding/binary"
	"errors"
)

// version is the version of the wire format, in every shielded packet (two bits).
const version = 0

// The first byte of a shielded packet is 001vvkkk. QUIC never sends one whose two upper bits are 0, and what else uses
// quic.Transport.WriteTo has to keep off 0x20 to 0x3F.
const (
	markMask  = 0b111_00000
	mark      = 0b001_00000
	clearHead = 0x3e // first and second part of a packet that was cut before there were keys
	clearTail = 0x3f
)

// kind says what a shielded packet carries.
type kind uint8

const (
	kindPacket kind = iota // one packet
	kindHead               // the first part of a packet, the other part has the next number
	kindTail               // its second part
	kindAgain              // a packet or part that parity could not repair, sent once more under a new number
	kindParity
	kindReport
	kindProbe // padding, to find out what size the path carries
)

const (
	headerLen = 12 // of every shielded packet
	clearLen  = 5  // header of a part that was cut before there were keys

	againLen  = 5 // number and kind of what is sent again
	parityLen = 4 // window and row, and the two bytes of each symbol that its packet's header carries

	// overhead is what a symbol may need beyond its own bytes on the wire, whatever happens to it.
	overhead = headerLen + againLen

	// MaxPacket is the largest packet that quic-go sends or takes.
	MaxPacket = 1452
	// maxSymbol is the largest symbol: a packet that is sent again.
	maxSymbol = MaxPacket + againLen
)

// Time on the wire is in units of 8.192 us, 24 bits of it: it comes round after 137 s. Durations in reports are in units of
// eight of these, 16 bits: 4.3 s.
const (
	tick         = 1 << 13 // ns
	tickMask     = 1<<24 - 1
	durationTick = tick << 3
)

func ticks(now int64) uint32 { return uint32(now/tick) & tickMask }

// ticksSince returns the time in ns from then to now, which are within a minute of each other.
func ticksSince(now, then uint32) int64 {
	d := int32((now-then)<<8) >> 8 // sign of 24 bits
	return int64(d) * tick
}

// duration16 is d in the form of a report, the longest there is if it is longer.
func duration16(d int64) uint16 {
	return uint16(min(max(d, 0)/durationTick, 1<<16-1))
}

// putHeader writes the header but for the tag.
func putHeader(b []byte, k kind, now int64, number uint32) {
	binary.BigEndian.PutUint32(b, uint32(mark|version<<3|byte(k))<<24|ticks(now))
	binary.BigEndian.PutUint32(b[4:], number)
}

// header is the parsed header of a shielded packet.
type header struct {
	kind   kind
	sent   uint32 // ticks
	number uint32
}

func parseHeader(b []byte) header {
	first := binary.BigEndian.Uint32(b)
	return header{kind: kind(first >> 24 & 7), sent: first & tickMask, number: binary.BigEndian.Uint32(b[4:])}
}

// shielded tells whether the datagram is one of this version with room for its header. Others, but for parts that were
// cut, are not ours.
func shielded(b []byte) bool {
	return len(b) > headerLen && b[0]&^7 == mark|version<<3
}

// nearest returns the 64-bit number nearest to base with these lower 32 bits.
func nearest(base uint64, low uint32) uint64 {
	n := int64(base) + int64(int32(low-uint32(base)))
	if n < 0 {
		n += 1 << 32
	}
	return uint64(n)
}

// maxAsks bounds how many runs of numbers one report asks for.
const maxAsks = 48

// ask is a run of numbers that a report asks to be sent again.
type ask struct {
	first uint32
	count uint8
}

const (
	reportLen = 40
	askLen    = 5
	maxReport = headerLen + reportLen + maxAsks*askLen
)

// report is what one end tells the other about what it received. Counters run from the first shielded packet on and wrap.
type report struct {
	echo    uint32 // time in the packet that arrived last, ticks
	hold    uint16 // time from its arrival to this report
	highest uint32 // highest number received
	settled uint32 // numbers whose fate is known
	lost    uint32 // those that did not arrive by themselves
	runs    uint32 // uninterrupted runs of these
	missed  uint32 // those that parity did not repair either
	bytes   uint32 // received in shielded packets of all kinds, as UDP payload
	delay   uint16 // least queueing delay since the last report
	mean    uint16 // mean queueing delay since the last report
	largest uint16 // largest datagram received in the last second
	reports uint32 // reports received
	asks    []ask
}

// append writes the report behind a header of its own.
func (r *report) append(b []byte) []byte {
	be := binary.BigEndian
	b = append(b, byte(r.echo>>16), byte(r.echo>>8), byte(r.echo))
	b = be.AppendUint16(b, r.hold)
	for _, v := range [...]uint32{r.highest, r.settled, r.lost, r.runs, r.missed, r.bytes} {
		b = be.AppendUint32(b, v)
	}
	for _, v := range [...]uint16{r.delay, r.mean, r.largest} {
		b = be.AppendUint16(b, v)
	}
	b = be.AppendUint32(b, r.reports)
	b = append(b, byte(len(r.asks)))
	for _, a := range r.asks {
		b = append(be.AppendUint32(b, a.first), a.count)
	}
	return b
}

var errReport = errors.New("report does not have the length that it names")

// parse reads what append wrote. The asks reuse the space of those that r had.
func (r *report) parse(b []byte) error {
	if len(b) < reportLen {
		return errReport
	}
	n := int(b[reportLen-1])
	if n > maxAsks || len(b) != reportLen+n*askLen {
		return errReport
	}
	be := binary.BigEndian
	r.echo = uint32(b[0])<<16 | uint32(b[1])<<8 | uint32(b[2])
	r.hold = be.Uint16(b[3:])
	for i, v := range [...]*uint32{&r.highest, &r.settled, &r.lost, &r.runs, &r.missed, &r.bytes} {
		*v = be.Uint32(b[5+4*i:])
	}
	for i, v := range [...]*uint16{&r.delay, &r.mean, &r.largest} {
		*v = be.Uint16(b[29+2*i:])
	}
	r.reports = be.Uint32(b[35:])
	r.asks = r.asks[:0]
	for i := range n {
		a := b[reportLen+i*askLen:]
		r.asks = append(r.asks, ask{first: be.Uint32(a), count: a[4]})
	}
	return nil
}
