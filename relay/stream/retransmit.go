package stream

import (
	"time"

	"cardea/relay/rtp"
)

// A packet is not sent again before the last repeat had its round trip, at least repeatMin; the wait doubles with every
// repeat up to repeatMax.
const (
	repeatMin = int64(40 * time.Millisecond)
	repeatMax = int64(time.Second)

	againUnit = 1 << 20 // ns, of sent.again
)

// AppendRetransmission answers a NACK for an outgoing sequence number, in dst as AppendRTP does. With RTX negotiated the
// packet goes out on the RTX SSRC under a number of its own, rtx is true and st marks it. Otherwise it is the original packet
// byte for byte, st unused: its index is the nonce of the encryption. A packet that only came to the cache after its turn goes
// out as an original. ok is false when the packet is no longer known, or was sent again a moment ago; rtt is the subscriber's
// round-trip time in ns.
func (t *Track) AppendRetransmission(dst []byte, seq uint16, st Stamp, now, rtt int64) (pkt []byte, headerLen int, index uint64, rtx, ok bool) {
	if t.stream == nil {
		return nil, 0, 0, false, false
	}
	number := t.history.extend(seq)
	e := t.history.at(number)
	if e == nil {
		return nil, 0, 0, false, false
	}
	p := t.cached(e)
	if p == nil || !t.mayRepeat(e, now, rtt) {
		return nil, 0, 0, false, false
	}
	if e.flags&isSent == 0 {
		if t.behind && p.Seq >= t.cursor || int8(p.Layer) != t.layer || t.passLate(p) == Drop { //nolint:gosec // below MaxLayers
			return nil, 0, 0, false, false
		}
		pkt, headerLen, index = t.AppendRTP(dst, p, st, 0)
		return pkt, headerLen, index, false, pkt != nil
	}
	e.again = max(uint32(now/againUnit), 1) //nolint:gosec // modular; 0 means never
	e.repeated()
	t.sent.Retransmitted++
	if m, found := t.mapping(p); found && m.rtx != 0 && t.cfg.RTX != 0 && e.flags&isFill == 0 {
		pkt, headerLen, index = t.appendRTX(dst, p, m, e, number, st)
		return pkt, headerLen, index, true, true
	}
	pkt, headerLen = t.write(dst, p, e, number)
	return pkt, headerLen, uint64(number), false, true //nolint:gosec // never negative
}

// cached returns the packet of a history entry if the cache still has it.
func (t *Track) cached(e *sent) *Packet {
	if int(e.layer) >= len(t.stream.layers) {
		return nil
	}
	r := &t.stream.layers[e.layer].ring
	seq := r.highest - int64(uint32(r.highest)-e.in) //nolint:gosec // modular
	return r.get(seq)
}

// mayRepeat tells whether enough time has passed since the packet was sent again.
func (t *Track) mayRepeat(e *sent, now, rtt int64) bool {
	if e.again == 0 {
		return true
	}
	wait := min(max(rtt, repeatMin)<<min(max(e.repeats()-1, 0), 6), max(repeatMax, rtt))
	return int64(uint32(now/againUnit)-e.again)*againUnit >= wait-againUnit //nolint:gosec // modular
}

// appendRTX writes a sent packet in the form of RFC 4588 section 4: the original number stands before the payload.
func (t *Track) appendRTX(dst []byte, p *Packet, m *mapping, e *sent, number int64, st Stamp) (pkt []byte, headerLen int, index uint64) {
	h := rtp.Header{
		Marker: e.flags&isMarked != 0, PayloadType: m.rtx, SSRC: t.cfg.RTX,
		SequenceNumber: uint16(t.rtx), Timestamp: e.stamp, //nolint:gosec // low bits
	}
	pkt = t.writeHeader(dst, &h, p, st, false)
	headerLen = len(pkt)
	pkt = append(pkt, byte(number>>8), byte(number))
	pkt = appendPayload(pkt, m, p, e)
	t.rtx++
	return pkt, headerLen, uint64(t.rtx - 1) //nolint:gosec // never negative
}

// probeReach is how many of the last packets are looked at for one worth repeating as a probe.
const probeReach = 16

// AppendPadding writes a packet of about n bytes to dst, as AppendRTP does, to probe what the subscriber's path bears: the
// largest of the last packets that is not larger, sent once more as a retransmission, or else up to 255 bytes of padding. It goes
// out on the RTX SSRC; ok is false without one, and before the first media.
func (t *Track) AppendPadding(dst []byte, n int, st Stamp) (pkt []byte, headerLen int, index uint64, ok bool) {
	m := &t.codecs[0]
	if t.stream == nil || t.cfg.RTX == 0 || !m.ok || m.rtx == 0 || t.history.next == t.history.floor {
		return nil, 0, 0, false
	}
	t.sent.Padding++
	if p, e, number := t.probe(n); p != nil {
		if own, found := t.mapping(p); found && own.rtx != 0 {
			pkt, headerLen, index = t.appendRTX(dst, p, own, e, number, st)
			return pkt, headerLen, index, true
		}
	}
	h := rtp.Header{
		Padding: true, PayloadType: m.rtx, SSRC: t.cfg.RTX,
		SequenceNumber: uint16(t.rtx), Timestamp: t.time.newest, //nolint:gosec // low bits
	}
	pkt = t.writeHeader(dst, &h, nil, st, true)
	headerLen = len(pkt)
	pkt = appendPadding(pkt, min(max(n-headerLen, 1), 255))
	t.rtx++
	return pkt, headerLen, uint64(t.rtx - 1), true //nolint:gosec // never negative
}

// probe finds the largest recent packet of at most n bytes, and at least half of that.
func (t *Track) probe(n int) (best *Packet, entry *sent, number int64) {
	size := n / 2
	for i := t.history.next - 1; i >= t.history.next-probeReach; i-- {
		e := t.history.at(i)
		if e == nil || e.flags&(isSent|isFill) != isSent {
			continue
		}
		p := t.cached(e)
		if p == nil {
			continue
		}
		if room := len(p.Payload) + rtp.HeaderSize + Overhead/8; room <= n && room > size {
			best, entry, number, size = p, e, i, room
		}
	}
	return best, entry, number
}

// headerSize returns the bytes of header and extensions of the packet that was chosen.
func (t *Track) headerSize(p *Packet) int {
	var x extensionSize
	if len(t.mid) > 0 {
		x.add(t.ids.mid, len(t.mid))
	}
	x.add(t.ids.sendTime, 3)
	x.add(t.ids.transport, 2)
	if t.chosen.action != Fill {
		if p.carries&carriesLevel != 0 {
			x.add(t.ids.level, 1)
		}
		if p.carries&carriesOrientation != 0 {
			x.add(t.ids.orientation, 1)
		}
		if _, ok := t.playoutDelay(p); ok {
			x.add(t.ids.delay, 3)
		}
		if p.captureTime > 0 {
			x.add(t.ids.captureTime, int(p.captureTime))
		}
		if p.descriptorSize > 0 {
			x.add(t.ids.descriptor, int(p.descriptorSize))
		}
	}
	return rtp.HeaderSize + x.size()
}

// extensionSize computes what rtp.ExtWriter makes of elements (RFC 8285 section 4).
type extensionSize struct {
	bytes, count int
	twoByte      bool
}

func (x *extensionSize) add(id uint8, n int) {
	if id == 0 {
		return
	}
	x.count++
	x.bytes += n
	x.twoByte = x.twoByte || id > 14 || n > 16
}

func (x *extensionSize) size() int {
	switch {
	case x.count == 0:
		return 0
	case x.twoByte:
		return 4 + (x.bytes+2*x.count+3)&^3
	}
	return 4 + (x.bytes+x.count+3)&^3
}
