package link

import (
	"encoding/binary"

	"github.com/quic-go/quic-go/quicvarint"

	"cardea/relay/plane"
	"cardea/relay/rtcp"
	"cardea/relay/rtp"
	"cardea/relay/stream"
)

// A datagram is a flow id (a varint of RFC 9000), then a packet (draft-ietf-avtcore-rtp-over-quic). The lower three bits of the id are
// the simulcast layer, so that it costs nothing; the upper ones are the flow as its receiver named it. Flow 0 is the link's own.
const (
	layerBits = 3
	layerMask = 1<<layerBits - 1

	wireRaw     = 0 // raw datagrams
	wirePadding = 1
	wirePart    = 2 // see cut

	// maxFlow is the largest flow that still fits a varint.
	maxFlow = 1<<(62-layerBits) - 1
	// rawLen is the length of the id of raw datagrams.
	rawLen = 1
)

// Ids of the header extensions on links, whatever the publisher's are.
const (
	extLevel byte = 1 + iota
	extOrientation
	extDelay
	extCaptureTime
	extDescriptor
	extEpoch // the link's own: the upper bits of the sequence number
)

// Extensions returns what the [stream.Config] of an imported stream has as Extensions.
func Extensions() []plane.Extension {
	return []plane.Extension{
		{ID: extLevel, URI: plane.ExtAudioLevel},
		{ID: extOrientation, URI: plane.ExtVideoOrientation},
		{ID: extDelay, URI: plane.ExtPlayoutDelay},
		{ID: extCaptureTime, URI: plane.ExtAbsCaptureTime},
		{ID: extDescriptor, URI: plane.ExtDependencyDescriptor},
	}
}

// appendPacket appends the datagram of a packet. With anchor it carries the whole sequence number.
func appendPacket(dst []byte, flow uint64, p *stream.Packet, anchor bool) []byte {
	dst = quicvarint.Append(dst, flow<<layerBits|uint64(p.Layer&layerMask))
	start := len(dst)
	h := rtp.Header{
		Marker: p.Marker, PayloadType: p.PayloadType, SequenceNumber: uint16(p.Seq), //nolint:gosec // low bits
		Timestamp: p.Timestamp, SSRC: p.SSRC,
	}
	w := rtp.NewExtWriter(rtp.AppendHeader(dst[start:], &h))
	if v, ok := p.AudioLevel(); ok {
		w.Add(extLevel, []byte{v})
	}
	if v, ok := p.Orientation(); ok {
		w.Add(extOrientation, []byte{v})
	}
	if v, ok := p.PlayoutDelay(); ok {
		w.Add(extDelay, []byte{byte(v >> 16), byte(v >> 8), byte(v)})
	}
	if v := p.CaptureTime(); v != nil {
		w.Add(extCaptureTime, v)
	}
	if v := p.Descriptor(); v != nil {
		w.Add(extDescriptor, v)
	}
	if anchor {
		var b [epochMax]byte
		w.Add(extEpoch, appendEpoch(b[:0], p.Seq>>16))
	}
	return append(append(dst[:start], w.End()...), p.Payload...)
}

// epochMax is the most bytes an epoch takes.
const epochMax = 6

// appendEpoch writes the upper bits of a sequence number: big-endian, two's complement, as few bytes as will do, so mostly one.
func appendEpoch(dst []byte, epoch int64) []byte {
	n := 1
	for n < epochMax && epoch != epoch<<(64-8*n)>>(64-8*n) {
		n++
	}
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(epoch)) //nolint:gosec // two's complement
	return append(dst, b[8-n:]...)
}

// parseEpoch reads what appendEpoch wrote.
func parseEpoch(b []byte) (epoch int64, ok bool) {
	if len(b) == 0 || len(b) > epochMax {
		return 0, false
	}
	epoch = int64(int8(b[0])) //nolint:gosec // its sign is the number's
	for _, v := range b[1:] {
		epoch = epoch<<8 | int64(v)
	}
	return epoch, epoch == epoch<<17>>17 // else the number would not fit
}

// anchoring says which packets of a layer carry their whole sequence number: the first ones, of which some may be lost, those after
// the upper bits changed, keyframes, and one in 32. That is a quarter of a byte a packet; on every packet it would be 8 bytes where
// there is no other extension.
type anchoring struct {
	epoch int64
	left  int
}

const (
	anchorFirst = 16
	anchorEvery = 32
)

// begin has the next packets carry their number.
func (a *anchoring) begin() { a.left = anchorFirst }

// next tells whether the packet is to carry its number.
func (a *anchoring) next(p *stream.Packet) bool {
	if e := p.Seq >> 16; e != a.epoch {
		a.epoch, a.left = e, anchorFirst
	}
	if a.left > 0 {
		a.left--
		return true
	}
	return p.Seq%anchorEvery == 0 || p.Info.Keyframe && p.Info.FrameStart
}

// numbering is the other end of anchoring.
type numbering struct {
	known   bool
	highest int64
	// After a jump of the numbers, as when the publisher was muted: the highest from before, and the lowest known since.
	jumped        bool
	before, first int64
}

// numberSpan is how far apart two packets may be that tell each other's numbers.
const numberSpan = 1 << 15

// number returns the whole sequence number of a packet. It is not known before a packet came that carries it.
func (n *numbering) number(h *rtp.Header) (seq int64, ok bool) {
	if v := h.Extension(extEpoch); v != nil {
		epoch, ok := parseEpoch(v)
		if ok {
			seq = epoch<<16 | int64(h.SequenceNumber)
			n.anchor(seq)
		}
		return seq, ok
	}
	if !n.known {
		return 0, false
	}
	seq = near(n.highest, h.SequenceNumber)
	if n.jumped && seq < n.first {
		return near(n.before, h.SequenceNumber), true // overtaken by the jump: what comes first after one carries its number
	}
	n.highest = max(n.highest, seq)
	return seq, true
}

// anchor takes note of a number that a packet carried.
func (n *numbering) anchor(seq int64) {
	switch {
	case !n.known:
		n.known, n.highest = true, seq
	case seq-n.highest >= numberSpan:
		n.jumped, n.before, n.first, n.highest = true, n.highest, seq, seq
	case n.jumped && seq < n.first && n.first-seq < numberSpan && seq > n.before:
		n.first = seq
	default:
		n.highest = max(n.highest, seq)
	}
}

// near returns the number nearest to another one that has these lower 16 bits.
func near(other int64, low uint16) int64 {
	return other + int64(int16(low-uint16(other))) //nolint:gosec // modular
}

// parseFlow splits a datagram.
func parseFlow(b []byte) (flow uint64, layer int, rest []byte, ok bool) {
	id, n, err := quicvarint.Parse(b)
	if err != nil {
		return 0, 0, nil, false
	}
	return id >> layerBits, int(id & layerMask), b[n:], true //nolint:gosec // three bits
}

// appendReport appends the datagram of a sender report.
func appendReport(dst []byte, flow uint64, layer int, ssrc uint32, ntp uint64, stamp uint32) []byte {
	dst = quicvarint.Append(dst, flow<<layerBits|uint64(layer)) //nolint:gosec // below 8
	return rtcp.AppendSenderReport(dst, ssrc, rtcp.SenderInfo{NTP: ntp, RTP: stamp}, nil)
}
