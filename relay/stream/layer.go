package stream

import (
	"time"

	"cardea/relay/codec"
)

const (
	// A kept keyframe is replayed while it is no older and no larger (with what followed it) than this.
	keptTime  = int64(time.Second)
	keptBytes = 512 << 10
	// Holes in what is replayed may still be repaired while packets behind them are no older than this, and they are few.
	repairTime  = int64(150 * time.Millisecond)
	repairHoles = 16

	// A layer counts as gone when it was silent for longer than the fallback time while others had frames; with this many
	// of them a slow screen share is not mistaken for a dead layer.
	missedFrames = 4
	// A layer silent for this long is not offered, whatever the others do.
	goneTime = int64(2 * time.Second)

	rateWindow = int64(500 * time.Millisecond)
)

// layer is one simulcast encoding of a stream.
type layer struct {
	ring      ring
	base      int64 // added to the source's numbers; a multiple of 65536
	strays    int   // packets far behind in a row
	structure codec.Structure
	report    senderReport

	keySeq   int64 // first packet of the last keyframe
	keyTime  int64 // its arrival, ns
	keyStamp uint32
	keyed    bool
	keyBytes int // payload since then

	lastArrival int64 // ns, 0 before the first packet
	lastStamp   uint32
	missed      int // frames other layers had since
	spatialSeen [codec.MaxSpatial]int64

	ssrc          uint32
	format        codec.Format
	width, height uint16
	packets       uint64
	bytes         uint64
	keyframes     uint64
	rates         rates
	hint          hint
}

// senderReport is the last pair of clocks a source reported (RFC 3550 section 6.4.1).
type senderReport struct {
	ntp     uint64 // 64-bit NTP, of the node's clock
	rtp     uint32
	arrival int64
	known   bool
}

// alive tells whether a layer flows, for a subscriber that falls back after the given silence.
func (l *layer) alive(now, fallback int64) bool {
	if l.lastArrival == 0 {
		return false
	}
	if now-l.lastArrival <= fallback {
		return true
	}
	return l.missed < missedFrames && !l.hint.ended(now, l.lastArrival)
}

// count takes a packet into the layer's books and tells whether it is the first that came of its frame.
func (l *layer) count(p *Packet) (newFrame bool) {
	l.packets++
	l.bytes += uint64(len(p.Payload))
	l.ssrc, l.format = p.SSRC, p.Format
	newFrame = l.lastArrival == 0 || p.Timestamp != l.lastStamp && int32(p.Timestamp-l.lastStamp) > 0 //nolint:gosec // modular
	l.lastArrival, l.missed = p.Arrival, 0
	if newFrame {
		l.lastStamp = p.Timestamp
	}
	if s := p.Info.Spatial; s >= 0 && s < codec.MaxSpatial {
		l.spatialSeen[s] = p.Arrival
	}
	if p.Info.Width > 0 {
		l.width, l.height = p.Info.Width, p.Info.Height
	}
	l.keyBytes += len(p.Payload)
	if p.Info.Keyframe {
		l.keyframe(p)
	}
	l.rates.add(p, newFrame)
	return newFrame
}

// keyframe remembers where the last keyframe begins. Of several packets of one frame that look like its beginning
// (parameter sets) it is the one with the lowest number.
func (l *layer) keyframe(p *Packet) {
	if l.keyed && p.Timestamp == l.keyStamp {
		l.keySeq = min(l.keySeq, p.Seq)
		return
	}
	l.keyframes++
	if l.keyed && p.Seq < l.keySeq {
		return // an old one, repaired
	}
	l.keyed, l.keySeq, l.keyTime, l.keyStamp, l.keyBytes = true, p.Seq, p.Arrival, p.Timestamp, len(p.Payload)
}

// replayable tells whether the last keyframe and all that followed it can be sent to a new subscriber, if the keyframe is
// no older than age.
func (l *layer) replayable(now, age int64) bool {
	if !l.keyed || now-l.keyTime > min(age, keptTime) || l.keyBytes > keptBytes {
		return false
	}
	var behind int64 // arrival of the packet behind a hole
	holes := 0
	for seq := l.ring.highest; seq >= l.keySeq; seq-- {
		if p := l.ring.get(seq); p != nil {
			behind = p.Arrival
			continue
		}
		if holes++; holes > repairHoles || seq == l.keySeq || now-behind > repairTime {
			return false
		}
	}
	return true
}

// topSpatial returns the highest spatial layer seen lately, -1 without any.
func (l *layer) topSpatial(now, fallback int64) int8 {
	for s := int8(codec.MaxSpatial - 1); s >= 0; s-- {
		if at := l.spatialSeen[s]; at > 0 && (now-at <= fallback || at == l.lastArrival) {
			return s
		}
	}
	return -1
}
