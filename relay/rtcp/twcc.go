package rtcp

import (
	"encoding/binary"
	"math"
	"slices"
	"time"
)

// Transport-wide feedback (draft-holmer-rmcat-transport-wide-cc-extensions-01 section 3.1): base sequence number (16),
// packet status count (16), reference time (24), feedback packet count (8), then chunks of 16 bits that give every
// packet from the base on a symbol, then a receive delta for every packet received:
//
//	run length   0 SS LLLLLLLLLLLLL   symbol, times L
//	one-bit      1 0 s*14             0 not received, 1 small delta
//	two-bit      1 1 SS*7
const (
	twccHeadSize  = 8
	twccChunkSize = 2

	symbolLost  = 0 // not received
	symbolSmall = 1 // received, delta of one byte, unsigned
	symbolLarge = 2 // received, delta of two bytes, signed
	symbolNone  = 3 // reserved

	vectorChunk = 1 << 15
	twoBitChunk = 1 << 14
	runMax      = 1<<13 - 1
	oneBitCount = 14
	twoBitCount = 7

	// DeltaUnit is the unit of receive deltas.
	DeltaUnit = 250 * time.Microsecond
	// ReferenceUnit is the unit of the reference time.
	ReferenceUnit = 64 * time.Millisecond

	referenceTicks = int64(ReferenceUnit / DeltaUnit)
	referenceBits  = 24
)

// Limits of what [AppendTWCC] writes at once, so that a message with all its deltas fits a packet of 1,200 bytes and
// the symbols fit the stack.
const (
	twccMaxArrivals = 400
	twccMaxSpan     = 2048
)

// TransportFeedback is transport-wide feedback; it iterates over the packets it reports on. It points into the packet it
// came from.
type TransportFeedback struct {
	Base      uint16 // transport sequence number of the first packet
	Count     int    // packets reported on, up to 65,535 however few bytes said so: the caller bounds what it looks at
	Reference int32  // signed 24 bits in units of [ReferenceUnit]: what the first delta adds to. Its zero is arbitrary
	Number    uint8  // grows by one with each message

	next   int // packets returned so far
	chunks []byte
	deltas []byte
	chunk  uint16 // being read
	left   int    // symbols of it not yet read
}

// Status is what feedback says of one packet.
type Status struct {
	Sequence uint16 // transport-wide
	Received bool
	Delta    int16 // since the packet received before (the reference time for the first), in units of [DeltaUnit]
}

// TransportFeedback returns the transport-wide feedback in the packet. ok is false for other packets and when chunks or
// deltas are cut short or use the reserved symbol.
func (p *Packet) TransportFeedback() (f TransportFeedback, ok bool) {
	b := p.Body
	if p.Kind() != TWCC || len(b) < twccHeadSize {
		return TransportFeedback{}, false
	}
	f = TransportFeedback{
		Base:      binary.BigEndian.Uint16(b),
		Count:     int(binary.BigEndian.Uint16(b[2:])),
		Reference: int32(binary.BigEndian.Uint32(b[4:])) >> 8,
		Number:    b[7],
	}
	b = b[twccHeadSize:]
	size, deltas := 0, 0
	for reported := 0; reported < f.Count; size += twccChunkSize {
		if len(b) < size+twccChunkSize {
			return TransportFeedback{}, false
		}
		n, bytes := measureChunk(binary.BigEndian.Uint16(b[size:]), f.Count-reported)
		if n == 0 {
			return TransportFeedback{}, false
		}
		reported += n
		deltas += bytes
	}
	if len(b) < size+deltas {
		return TransportFeedback{}, false
	}
	f.chunks, f.deltas = b[:size], b[size:]
	return f, true
}

// measureChunk returns how many of at most limit packets a chunk reports on and how many bytes their deltas take; no
// packets if the chunk is not valid.
func measureChunk(chunk uint16, limit int) (packets, deltas int) {
	if chunk&vectorChunk == 0 {
		packets = min(chunkSymbols(chunk), limit)
		if symbol := chunkSymbol(chunk, 0); symbol != symbolNone {
			return packets, packets * int(symbol) // a symbol is the size of its delta
		}
		return 0, 0
	}
	packets = min(chunkSymbols(chunk), limit)
	for i := range packets {
		symbol := chunkSymbol(chunk, i)
		if symbol == symbolNone {
			return 0, 0
		}
		deltas += int(symbol)
	}
	return packets, deltas
}

// chunkSymbols returns how many symbols a chunk holds.
func chunkSymbols(chunk uint16) int {
	switch {
	case chunk&vectorChunk == 0:
		return int(chunk & runMax)
	case chunk&twoBitChunk == 0:
		return oneBitCount
	}
	return twoBitCount
}

// chunkSymbol returns the i-th symbol of a chunk that has so many.
func chunkSymbol(chunk uint16, i int) uint8 {
	switch {
	case chunk&vectorChunk == 0:
		return uint8(chunk>>13) & 3
	case chunk&twoBitChunk == 0:
		return uint8(chunk>>(oneBitCount-1-i)) & 1
	}
	return uint8(chunk>>(2*(twoBitCount-1-i))) & 3
}

// Next returns the status of the next packet; ok is false at the end.
func (f *TransportFeedback) Next() (s Status, ok bool) {
	if f.next >= f.Count {
		return Status{}, false
	}
	if f.left == 0 {
		f.chunk = binary.BigEndian.Uint16(f.chunks)
		f.chunks = f.chunks[twccChunkSize:]
		f.left = chunkSymbols(f.chunk)
	}
	s.Sequence = f.Base + uint16(f.next)
	symbol := chunkSymbol(f.chunk, chunkSymbols(f.chunk)-f.left)
	f.left--
	f.next++
	switch symbol {
	case symbolSmall:
		s.Received, s.Delta = true, int16(f.deltas[0])
		f.deltas = f.deltas[1:]
	case symbolLarge:
		s.Received, s.Delta = true, int16(binary.BigEndian.Uint16(f.deltas))
		f.deltas = f.deltas[2:]
	}
	return s, true
}

// Arrival is a packet that came.
type Arrival struct {
	Sequence int64 // unwrapped transport-wide sequence number
	Time     int64 // ns, of any clock
}

// AppendTWCC appends feedback from sender about the transport of media. It reports on the packets from base on, which is
// where the message before it ended: what is missing between base and the last arrival used is reported lost.
// arrivals are in ascending order of their sequence numbers, each once, none below base. number grows by one with each
// message.
//
// used is how many arrivals went in: not all when there are over 400, when numbers are far apart, or when two of them
// came more than 8 s after each other. Call again with the rest and base = arrivals[used-1].Sequence+1. A hole of
// thousands before the first arrival is not reported at all. Without arrivals nothing is appended.
func AppendTWCC(dst []byte, sender, media uint32, number uint8, base int64, arrivals []Arrival) (out []byte, used int) {
	if len(arrivals) == 0 {
		return dst, 0
	}
	if !inSpan(arrivals[0].Sequence, base) {
		base = arrivals[0].Sequence
	}
	// Times are rounded to ticks before they are subtracted, so that rounding does not add up.
	reference := floorDiv(tick(arrivals[0]), referenceTicks)

	var symbols [twccMaxSpan]uint8
	last := reference * referenceTicks
	for _, a := range arrivals[:min(len(arrivals), twccMaxArrivals)] {
		delta := tick(a) - last
		if !inSpan(a.Sequence, base) || delta < math.MinInt16 || delta > math.MaxInt16 {
			break
		}
		symbols[a.Sequence-base] = deltaSymbol(delta)
		last += delta
		used++
	}
	count := int(arrivals[used-1].Sequence-base) + 1

	start := len(dst)
	dst = appendFeedbackHeader(dst, TypeTransportFeedback, FormatTWCC, sender, media, feedbackSize)
	dst = binary.BigEndian.AppendUint16(dst, uint16(base))
	dst = binary.BigEndian.AppendUint16(dst, uint16(count))
	dst = binary.BigEndian.AppendUint32(dst, uint32(reference)<<8|uint32(number))
	dst = appendChunks(dst, symbols[:count])
	last = reference * referenceTicks
	for _, a := range arrivals[:used] {
		delta := tick(a) - last
		if deltaSymbol(delta) == symbolSmall {
			dst = append(dst, byte(delta))
		} else {
			dst = binary.BigEndian.AppendUint16(dst, uint16(delta))
		}
		last += delta
	}
	if pad := -(len(dst) - start) & 3; pad > 0 {
		dst = append(dst, 0, 0, 0)[:len(dst)+pad]
		dst[len(dst)-1] = byte(pad)
		dst[start] |= paddingBit
	}
	binary.BigEndian.PutUint16(dst[start+2:], uint16((len(dst)-start)/4-1))
	return dst, used
}

// appendChunks encodes the symbols, none of which is reserved, in the fewest chunks that looking ahead one chunk finds.
func appendChunks(dst []byte, symbols []uint8) []byte {
	for len(symbols) > 0 {
		run := 1
		for run < len(symbols) && symbols[run] == symbols[0] {
			run++
		}
		vector := oneBitCount
		if slices.Contains(symbols[:min(oneBitCount, len(symbols))], symbolLarge) {
			vector = twoBitCount
		}
		var chunk uint16
		n := min(vector, len(symbols))
		switch {
		case run >= n:
			n = run
			chunk = uint16(symbols[0])<<13 | uint16(run)
		case vector == oneBitCount:
			chunk = vectorChunk
			for i, s := range symbols[:n] {
				chunk |= uint16(s) << (oneBitCount - 1 - i)
			}
		default:
			chunk = vectorChunk | twoBitChunk
			for i, s := range symbols[:n] {
				chunk |= uint16(s) << (2 * (twoBitCount - 1 - i))
			}
		}
		dst = binary.BigEndian.AppendUint16(dst, chunk)
		symbols = symbols[n:]
	}
	return dst
}

// inSpan tells whether one message that begins at base can report on sequence.
func inSpan(sequence, base int64) bool { return sequence >= base && sequence-base < twccMaxSpan }

func tick(a Arrival) int64 { return floorDiv(a.Time, int64(DeltaUnit)) }

func deltaSymbol(delta int64) uint8 {
	if delta < 0 || delta > math.MaxUint8 {
		return symbolLarge
	}
	return symbolSmall
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}
