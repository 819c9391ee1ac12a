package rtp

import "encoding/binary"

// One-byte elements (RFC 8285 section 4.2).
const (
	oneByteStop   = 15 // reserved id: everything from here on is ignored
	oneByteMaxID  = 14
	oneByteMaxLen = 16
	twoByteMaxLen = 255

	// maxWritten stops an ExtWriter far below the 65,535 words the length field can tell; packets end long before.
	maxWritten = 1 << 16
)

// Extension returns the data of the first element with the given id (1 to 255), or nil when there is none. An element
// without data, which only the two-byte form allows, is empty but not nil.
func (h *Header) Extension(id uint8) []byte {
	if id == 0 {
		return nil
	}
	for e := h.Elements(); ; {
		got, value, ok := e.Next()
		if !ok {
			return nil
		}
		if got == id {
			return value
		}
	}
}

// Elements returns an iterator over the elements of the header's extension. A profile that is neither of RFC 8285's
// has none.
func (h *Header) Elements() Elements {
	switch {
	case h.Profile == ProfileOneByte:
		return Elements{rest: h.Extensions}
	case h.Profile&0xfff0 == ProfileTwoByte:
		return Elements{rest: h.Extensions, twoByte: true}
	}
	return Elements{}
}

// Elements iterates over extension elements, by value and without allocating.
type Elements struct {
	rest    []byte
	twoByte bool
}

// Next returns the next element; the value points into the packet. ok is false at the end, which is also the first
// malformed element: one that runs over the extension, the reserved id 15 of the one-byte form, or id 0 with a length.
func (e *Elements) Next() (id uint8, value []byte, ok bool) {
	for len(e.rest) > 0 && e.rest[0] == 0 {
		e.rest = e.rest[1:]
	}
	if len(e.rest) == 0 {
		return 0, nil, false
	}
	var head, n int
	if e.twoByte {
		if len(e.rest) < 2 {
			e.rest = nil
			return 0, nil, false
		}
		id, head, n = e.rest[0], 2, int(e.rest[1])
	} else {
		id, head, n = e.rest[0]>>4, 1, int(e.rest[0]&0x0f)+1
		if id == 0 || id == oneByteStop {
			e.rest = nil
			return 0, nil, false
		}
	}
	if len(e.rest) < head+n {
		e.rest = nil
		return 0, nil, false
	}
	value = e.rest[head : head+n : head+n]
	e.rest = e.rest[head+n:]
	return id, value, true
}

// ExtWriter appends a header extension to a packet under construction: make one with [NewExtWriter], add elements,
// take the packet from [ExtWriter.End]. It begins in the one-byte form and turns what it wrote into the two-byte form
// when an element needs that, so packets are not larger than they must be. Use it by value; it does not allocate as
// long as the packet's capacity suffices.
type ExtWriter struct {
	packet  []byte
	header  int // offset of the extension's header
	count   int // elements written
	twoByte bool
}

// NewExtWriter starts an extension behind packet, which holds the fixed header (and CSRCs) and nothing else; its first
// byte is the header's first byte.
func NewExtWriter(packet []byte) ExtWriter {
	return ExtWriter{packet: packet, header: len(packet)}
}

// Add appends an element. It reports false, and writes nothing, for id 0 (by convention an extension that was not
// negotiated), for a value of more than 255 bytes, and beyond 64 KiB of elements. An element is taken as it comes:
// adding an id twice writes two.
func (w *ExtWriter) Add(id uint8, value []byte) bool {
	if id == 0 || len(value) > twoByteMaxLen || len(w.packet)-w.header > maxWritten {
		return false
	}
	if w.count == 0 {
		w.packet = append(w.packet, 0, 0, 0, 0) // profile and length, known at End
	}
	if !w.twoByte && (id > oneByteMaxID || len(value) == 0 || len(value) > oneByteMaxLen) {
		w.widen()
	}
	if w.twoByte {
		w.packet = append(w.packet, id, byte(len(value)))
	} else {
		w.packet = append(w.packet, id<<4|byte(len(value)-1))
	}
	w.packet = append(w.packet, value...)
	w.count++
	return true
}

// widen rewrites the elements so far in the two-byte form. Each grows by one byte, so the bytes are first moved up by
// as many and then brought down element by element: the write position never passes the read position.
func (w *ExtWriter) widen() {
	w.twoByte = true
	body, end := w.header+extensionHeaderSize, len(w.packet)
	for range w.count {
		w.packet = append(w.packet, 0)
	}
	copy(w.packet[body+w.count:], w.packet[body:end])
	to, from := body, body+w.count
	for range w.count {
		head := w.packet[from]
		n := int(head&0x0f) + 1
		w.packet[to], w.packet[to+1] = head>>4, byte(n)
		copy(w.packet[to+2:], w.packet[from+1:from+1+n])
		to += 2 + n
		from += 1 + n
	}
}

// End pads the extension to 32 bits, sets its length and the header's extension bit, and returns the packet so far;
// the payload goes behind it. Without any element the packet is returned as it was. The writer is done after this.
func (w *ExtWriter) End() []byte {
	if w.count == 0 {
		return w.packet
	}
	for (len(w.packet)-w.header)%4 != 0 {
		w.packet = append(w.packet, 0)
	}
	profile := ProfileOneByte
	if w.twoByte {
		profile = ProfileTwoByte
	}
	binary.BigEndian.PutUint16(w.packet[w.header:], profile)
	words := (len(w.packet) - w.header - extensionHeaderSize) / 4
	binary.BigEndian.PutUint16(w.packet[w.header+2:], uint16(words))
	w.packet[0] |= extensionBit
	return w.packet
}
