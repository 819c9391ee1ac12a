package synth

import (
	"encoding/binary"

	"cardea/relay/codec"
)

// A mark in a payload, big endian:
//
//	| magic (4) | run (4) | stream (4) | counter (4) | sent (8) |
const (
	// MarkLen is the length of a mark, bytes.
	MarkLen = 24

	magic = 0xCA4DEA10
)

// Mark says where a packet comes from and when it was sent.
type Mark struct {
	Run     uint32 // random number of the process's run, so that strangers' packets are not taken for ours
	Stream  uint32 // as the sender numbers its streams; layers of one stream count as streams
	Counter uint32 // packets of the stream so far; a retransmission repeats that of the packet
	Sent    int64  // when it was first handed to the socket, ns of the process's monotonic clock
}

// put writes the mark into the first MarkLen bytes of b.
func (m Mark) put(b []byte) {
	binary.BigEndian.PutUint32(b, magic)
	binary.BigEndian.PutUint32(b[4:], m.Run)
	binary.BigEndian.PutUint32(b[8:], m.Stream)
	binary.BigEndian.PutUint32(b[12:], m.Counter)
	binary.BigEndian.PutUint64(b[16:], uint64(m.Sent))
}

func readMark(b []byte) (m Mark, ok bool) {
	if len(b) < MarkLen || binary.BigEndian.Uint32(b) != magic {
		return m, false
	}
	return Mark{
		Run:     binary.BigEndian.Uint32(b[4:]),
		Stream:  binary.BigEndian.Uint32(b[8:]),
		Counter: binary.BigEndian.Uint32(b[12:]),
		Sent:    int64(binary.BigEndian.Uint64(b[16:])),
	}, true
}

// ReadOpus finds the mark of an Opus payload that [AppendOpus] made.
func ReadOpus(payload []byte) (Mark, bool) {
	if len(payload) < opusHeader {
		return Mark{}, false
	}
	return readMark(payload[opusHeader:])
}

// ReadVP8 finds the mark of a VP8 payload that [Frame.AppendPayload] made, and reads its descriptor into info. The server
// may have changed the numbers in the descriptor, not its length.
func ReadVP8(payload []byte, info *codec.Info) (Mark, bool) {
	codec.Parse(codec.VP8, payload, info)
	at := descriptorLen
	switch {
	case info.Keyframe:
		at += keyframeHeader
	case info.FrameStart:
		at += frameTag
	}
	if len(payload) < at {
		return Mark{}, false
	}
	return readMark(payload[at:])
}
