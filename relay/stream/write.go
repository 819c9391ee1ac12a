package stream

import (
	"encoding/binary"

	"cardea/relay/codec"
	"cardea/relay/rtp"
)

// Stamp is what a packet is marked with when it leaves. What the subscriber did not negotiate is not written.
type Stamp struct {
	AbsSendTime  uint32 // 24 bits, 6.18 fixed point seconds
	TransportSeq uint16 // transport-wide sequence number
}

// Overhead is the most that a packet can grow over the payload of what it is made from, padding aside: header, extensions,
// and the original number of a retransmission.
const Overhead = rtp.HeaderSize + 4 + 2*8 + maxMid + 3 + 2 + 1 + 1 + 3 + captureTimeMax + descriptorMax + 3 + 2

// Size returns how many bytes AppendRTP will append for the packet that Select or Catchup chose, padding aside.
func (t *Track) Size(p *Packet) int {
	n := t.headerSize(p)
	if t.chosen.action == Fill {
		return n + fillSize
	}
	if m, ok := t.mapping(p); ok {
		n += len(m.payload(p))
	}
	return n
}

// fillSize is the padding of a packet without media.
const fillSize = 4

// AppendRTP writes the packet that Select or Catchup chose to the beginning of dst, whatever dst's length; its capacity must
// suffice, see Size and Overhead. The packet has a header with the subscriber's extensions, and the payload.
// With pad, up to 255, that many bytes of padding follow (RFC 3550 section 5.1), so that packets can be made equally long.
// It returns the packet, the length of its header, and its index for SRTP (ROC<<16|SEQ). Without a choice the packet is nil.
func (t *Track) AppendRTP(dst []byte, p *Packet, st Stamp, pad int) (pkt []byte, headerLen int, index uint64) {
	c := &t.chosen
	e := t.history.at(c.number)
	if c.action == Drop || e == nil || e.flags&isSent != 0 {
		return nil, 0, 0
	}
	e.flags |= isSent
	e.stamp, e.sendTime, e.transport = c.stamp, st.AbsSendTime, st.TransportSeq
	e.picture, e.tl0 = c.picture, c.tl0
	e.padding = uint8(min(max(pad, 0), 255)) //nolint:gosec // bounded
	if c.marker {
		e.flags |= isMarked
	}
	if c.action == Fill {
		e.flags |= isFill
		e.padding = max(e.padding, fillSize)
	}
	c.action = Drop
	pkt, headerLen = t.write(dst, p, e, c.number)
	t.count(p, e, len(pkt)-headerLen-int(e.padding))
	return pkt, headerLen, uint64(c.number) //nolint:gosec // never negative
}

func (t *Track) count(p *Packet, e *sent, payload int) {
	t.sent.Packets++
	t.sent.Bytes += uint64(payload) //nolint:gosec // never negative
	if e.flags&isFill != 0 {
		return
	}
	t.sent.Codec = p.Format.String()
	if p.Info.Keyframe {
		if t.sent.Keyframes == 0 || e.stamp != t.keyStamp { // parameter sets come in packets of their own
			t.sent.Keyframes++
		}
		t.keyStamp = e.stamp
		if p.Info.Width > 0 {
			t.sent.Width, t.sent.Height = int(p.Info.Width), int(p.Info.Height)
		}
	}
}

// write makes the packet of a history entry. Everything in it comes from the entry, the cached packet and what does not
// change while the entry is known, so the same call makes the same bytes again.
func (t *Track) write(dst []byte, p *Packet, e *sent, number int64) (pkt []byte, headerLen int) {
	m, _ := t.mapping(p)
	h := rtp.Header{
		Padding: e.padding > 0, Marker: e.flags&isMarked != 0, SSRC: t.cfg.SSRC,
		SequenceNumber: uint16(number), Timestamp: e.stamp, //nolint:gosec // low bits
	}
	if m != nil {
		h.PayloadType = m.target
	} else {
		h.PayloadType = t.codecs[0].target
	}
	pkt = t.writeHeader(dst, &h, p, Stamp{e.sendTime, e.transport}, e.flags&isFill != 0)
	headerLen = len(pkt)
	if e.flags&isFill == 0 {
		pkt = appendPayload(pkt, m, p, e)
	}
	return appendPadding(pkt, int(e.padding)), headerLen
}

// appendPayload appends the payload with the VP8 numbers the entry has.
func appendPayload(pkt []byte, m *mapping, p *Packet, e *sent) []byte {
	at := len(pkt)
	pkt = append(pkt, m.payload(p)...)
	if p.Format == codec.VP8 && (e.picture != p.Info.PictureID || e.tl0 != p.Info.TL0) {
		codec.RewriteVP8(pkt[at:], e.picture, e.tl0)
	}
	return pkt
}

// appendPadding appends n bytes of padding; the last one says how many.
func appendPadding(pkt []byte, n int) []byte {
	if n == 0 {
		return pkt
	}
	for range n - 1 {
		pkt = append(pkt, 0)
	}
	return append(pkt, byte(n))
}

// writeHeader appends header and extensions; bare leaves out what describes the payload.
func (t *Track) writeHeader(dst []byte, h *rtp.Header, p *Packet, st Stamp, bare bool) []byte {
	var b [4]byte
	w := rtp.NewExtWriter(rtp.AppendHeader(dst[:0], h))
	if len(t.mid) > 0 {
		w.Add(t.ids.mid, t.mid)
	}
	if t.ids.sendTime != 0 {
		binary.BigEndian.PutUint32(b[:], st.AbsSendTime<<8)
		w.Add(t.ids.sendTime, b[:3])
	}
	if t.ids.transport != 0 {
		binary.BigEndian.PutUint16(b[:], st.TransportSeq)
		w.Add(t.ids.transport, b[:2])
	}
	if bare {
		return w.End()
	}
	if p.carries&carriesLevel != 0 && t.ids.level != 0 {
		b[0] = p.level
		w.Add(t.ids.level, b[:1])
	}
	if p.carries&carriesOrientation != 0 && t.ids.orientation != 0 {
		b[0] = p.orientation
		w.Add(t.ids.orientation, b[:1])
	}
	if delay, ok := t.playoutDelay(p); ok {
		binary.BigEndian.PutUint32(b[:], delay<<8)
		w.Add(t.ids.delay, b[:3])
	}
	if v := p.CaptureTime(); v != nil && t.ids.captureTime != 0 {
		w.Add(t.ids.captureTime, v)
	}
	if v := p.Descriptor(); v != nil && t.ids.descriptor != 0 {
		w.Add(t.ids.descriptor, v)
	}
	return w.End()
}

// playoutDelay returns the playout delay to write, 24 bits.
func (t *Track) playoutDelay(p *Packet) (delay uint32, ok bool) {
	if t.ids.delay == 0 {
		return 0, false
	}
	if t.delay >= 0 {
		return uint32(t.delay), true
	}
	return p.PlayoutDelay()
}
