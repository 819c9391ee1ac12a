package post

import (
	"encoding/base32"
	"encoding/binary"
	"errors"
	"fmt"

	"cardea/relay/link"
)

// A routed datagram:
//
//	 0                   1                   2                   3
//	 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|version| kind  |   hops left   |                               |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+    destination (80 bits)      |
//	|                                                               |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|                       source (80 bits)                        |
//	|                                                               |
//	+               +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|               |  source's tag (32 bits), destination's tag    |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//
// and then the payload. A node's address is what its id encodes. The tags name the association at either end: each end
// chooses its own at random for each association, so that datagrams of an earlier one, or of an earlier process of the same
// node, are known as such. Nodes in between look at no more than the first 22 bytes, of whatever kind.
const (
	version = 1

	hopsAt     = 1
	toAt       = 2
	fromAt     = toAt + addressSize
	sourceAt   = fromAt + addressSize
	headerSize = sourceAt + 8

	addressSize = 10

	// maxHops is how many links a datagram may cross. Routes are a few hops; only one that goes round needs the limit.
	maxHops = 6
	// maxDatagram is the largest routed datagram, which fits every link.
	maxDatagram = link.MaxDatagram
	// maxPayload is the largest SCTP packet.
	maxPayload = maxDatagram - headerSize
)

// kind is what a routed datagram is for. Nodes in between pass on kinds that they do not know.
type kind uint8

const (
	carry kind = 1 // an SCTP packet
	greet kind = 2 // tells the source's tag and its SCTP parameters, see contact
	leave kind = 3 // there is no such association at the source, or no longer
)

// address is a node's id in a datagram.
type address [addressSize]byte

var alphabet = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// addressOf returns the address that an id encodes.
func addressOf(id link.NodeID) (address, error) {
	var a address
	if len(id) != alphabet.EncodedLen(addressSize) {
		return a, fmt.Errorf("post: %q is no node's id", id)
	}
	// The decoder skips line ends.
	if _, err := alphabet.Decode(a[:], []byte(id)); err != nil || a.id() != id {
		return a, fmt.Errorf("post: %q is no node's id", id)
	}
	return a, nil
}

func (a address) id() link.NodeID { return link.NodeID(alphabet.EncodeToString(a[:])) }

// header is what stands before the payload of a routed datagram.
type header struct {
	kind     kind
	hops     uint8
	to, from address
	source   uint32 // the source's tag
	dest     uint32 // the destination's tag, 0 while the source does not know it
}

var (
	errShort   = errors.New("post: datagram is too short or too long")
	errVersion = errors.New("post: datagram is of another version")
)

// parseHeader reads a routed datagram.
func parseHeader(b []byte) (h header, payload []byte, err error) {
	if len(b) < headerSize || len(b) > maxDatagram {
		return header{}, nil, errShort
	}
	if b[0]>>4 != version {
		return header{}, nil, errVersion
	}
	h = header{
		kind: kind(b[0] & 0xf), hops: b[hopsAt],
		to: address(b[toAt:fromAt]), from: address(b[fromAt:sourceAt]),
		source: binary.BigEndian.Uint32(b[sourceAt:]), dest: binary.BigEndian.Uint32(b[sourceAt+4:]),
	}
	return h, b[headerSize:], nil
}

// append adds a routed datagram to b.
func (h header) append(b, payload []byte) []byte {
	b = append(b, version<<4|byte(h.kind), h.hops)
	b = append(b, h.to[:]...)
	b = append(b, h.from[:]...)
	b = binary.BigEndian.AppendUint32(b, h.source)
	b = binary.BigEndian.AppendUint32(b, h.dest)
	return append(b, payload...)
}
