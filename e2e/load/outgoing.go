package load

import (
	"math/rand/v2"
	"time"

	"cardea/relay/rtcp"
	"cardea/relay/rtp"
	"cardea/relay/srtp"
)

// outgoing numbers the packets of an SSRC that a client sends. The loop's.
type outgoing struct {
	ssrc    uint32
	sender  *srtp.Sender
	header  rtp.Header // of the next packet
	index   uint64     // its SRTP index
	packets uint32     // sent
	octets  uint32
	at      int64 // when the last one was sent
	stamp   uint32
}

func newOutgoing(payloadType uint8) *outgoing {
	o := &outgoing{ssrc: rand.Uint32() | 1, index: rand.Uint64N(1 << 15)} // low, so that no receiver guesses the rollover counter wrong
	o.header = rtp.Header{PayloadType: payloadType, SSRC: o.ssrc, SequenceNumber: uint16(o.index)}
	return o
}

// note takes account of the packet that the header describes.
func (o *outgoing) note(payload int, now int64) {
	o.packets++
	o.octets += uint32(payload)
	o.at, o.stamp = now, o.header.Timestamp
}

// advance goes on to the next number.
func (o *outgoing) advance() {
	o.index++
	o.header.SequenceNumber = uint16(o.index)
}

// appendReport appends a sender report and the CNAME; nothing before the first packet.
func (o *outgoing) appendReport(dst []byte, ntp uint64, now int64, clock int64) []byte {
	if o.packets == 0 {
		return dst
	}
	elapsed := (now - o.at) * clock / int64(time.Second)
	dst = rtcp.AppendSenderReport(dst, o.ssrc, rtcp.SenderInfo{NTP: ntp, RTP: o.stamp + uint32(elapsed), Packets: o.packets, Octets: o.octets}, nil)
	return rtcp.AppendCNAME(dst, o.ssrc, "load")
}
