package relay

import (
	"encoding/base64"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"

	"cardea/relay/codec"
	"cardea/relay/plane"
	"cardea/relay/rtp"
	"cardea/relay/srtp"
	"cardea/relay/stream"
	"cardea/relay/udp"
)

// forwarder copies a stream to a UDP address: a sink like any subscriber, without a transport of its own.
type forwarder struct {
	relay  *Relay
	cfg    plane.Forwarder
	to     netip.AddrPort
	socket int

	mu     sync.Mutex     // guards the attachment; taken before the stream's lock
	stream *stream.Stream // changes only while it is not attached

	keys *srtp.Keys // nil for plain RTP; set once

	sends atomic.Uint32 // the SSRC of the last packet sent
	asked atomic.Int64  // ns, when a keyframe was asked for last

	// Guarded by the lock of the stream it is attached to, by mu while it is not.
	out   *srtp.Sender
	ssrc  uint32 // that out is for
	shift int64  // from the stream's sequence numbers to ours, which go on whatever happens to those
	last  int64
	floor int64 // the first number of the present shift: what comes late from before has none
	layer int8
	begun bool
	fresh bool // another stream or substream follows
	red   int  // payload type of RED in the stream, -1 for none
}

// forwardGap is the largest jump of a stream's numbers that is passed on: it is loss. The receiver of SRTP would not follow
// a larger one, as it is after a mute.
const forwardGap = 1 << 12

var (
	_ stream.Sink                    = (*forwarder)(nil)
	_ stream.Watcher[*stream.Stream] = (*forwarder)(nil)
)

// srtpKeySize is the length of an AES_CM_128 master key with its salt (RFC 4568 section 6.2).
const srtpKeySize = 30

func (r *Relay) newForwarder(f plane.Forwarder) (*forwarder, error) {
	to, err := netip.ParseAddrPort(f.Address)
	if err != nil || f.ID == "" {
		return nil, fmt.Errorf("%w: forwarder %q to %q", plane.ErrInvalid, f.ID, f.Address)
	}
	made := &forwarder{relay: r, cfg: f, to: netip.AddrPortFrom(to.Addr().Unmap(), to.Port()), socket: -1, layer: -1}
	for i, s := range r.sockets {
		if s.LocalAddr().Addr().Is4() == made.to.Addr().Is4() {
			made.socket = i
			break
		}
	}
	if made.socket < 0 {
		return nil, fmt.Errorf("%w: no media address of the family of %s", plane.ErrInvalid, made.to)
	}
	if f.SRTPSuite == 0 {
		return made, nil
	}
	profile := srtp.AES128CMHMACSHA180
	if f.SRTPSuite == 32 {
		profile = srtp.AES128CMHMACSHA132
	}
	if len(f.SRTPKey) != srtpKeySize {
		return nil, fmt.Errorf("%w: SRTP key of %d bytes, not %d (base64 of %d characters)", plane.ErrInvalid,
			len(f.SRTPKey), srtpKeySize, base64.StdEncoding.EncodedLen(srtpKeySize))
	}
	keys, err := srtp.NewKeys(profile, f.SRTPKey[:profile.KeyLen()], f.SRTPKey[profile.KeyLen():])
	if err != nil {
		return nil, err
	}
	made.keys = keys
	return made, nil
}

func (f *forwarder) start() {
	if f.cfg.RTCPPort != 0 {
		f.relay.receivers.add(f)
		if f.cfg.Substream <= 0 {
			f.latch()
		}
	}
	f.relay.env.Streams.Watch(f.cfg.Stream, f)
}

func (f *forwarder) stop() {
	f.relay.env.Streams.Unwatch(f.cfg.Stream, f)
	if f.cfg.RTCPPort != 0 {
		f.relay.receivers.remove(f)
	}
}

// rtcpPort is the local port that takes the receiver's RTCP, 0 for none.
func (f *forwarder) rtcpPort() uint16 {
	if f.cfg.RTCPPort == 0 {
		return 0
	}
	return f.relay.sockets[f.socket].LocalAddr().Port()
}

// Appeared implements [stream.Watcher].
func (f *forwarder) Appeared(s *stream.Stream) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.stream != nil {
		f.stream.RemoveSink(f)
	}
	f.stream = s
	f.fresh, f.layer, f.red = true, -1, -1
	for _, c := range s.Config().Codecs {
		if c.Name == "red" {
			f.red = int(c.PayloadType)
		}
	}
	s.AddSink(f)
	s.RequestKeyframe()
}

// Vanished implements [stream.Watcher].
func (f *forwarder) Vanished(s *stream.Stream) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.stream == s {
		s.RemoveSink(f)
		f.stream = nil
	}
}

// Forward implements [stream.Sink]. Packets go out as they came, but for what the configuration replaces; of RED only the
// primary block does, since who receives them was never asked whether it knows RED.
func (f *forwarder) Forward(burst []*stream.Packet, _ int64, out *udp.Outbox) {
	for _, p := range burst {
		payload, pt := p.Payload, p.PayloadType
		if int(pt) == f.red {
			pt, payload, _ = codec.PrimaryBlock(payload)
		}
		if len(payload) == 0 || !f.takes(p) {
			continue
		}
		number, ok := f.number(p)
		if !ok {
			continue
		}
		h := rtp.Header{
			Marker: p.Marker, PayloadType: pt, Timestamp: p.Timestamp, SSRC: p.SSRC,
			SequenceNumber: uint16(number), //nolint:gosec // low bits
		}
		if f.cfg.PayloadType != 0 {
			h.PayloadType = f.cfg.PayloadType
		}
		if f.cfg.SSRC != 0 {
			h.SSRC = f.cfg.SSRC
		}
		if f.sends.Load() != h.SSRC {
			f.sends.Store(h.SSRC)
		}
		overhead := 0
		if f.keys != nil {
			overhead = srtp.AES128CMHMACSHA180.RTPOverhead()
			if f.out == nil || f.ssrc != h.SSRC {
				f.out, f.ssrc = f.keys.NewSender(h.SSRC), h.SSRC
			}
		}
		buf := rtp.AppendHeader(out.Reserve(f.socket, f.to, rtp.HeaderSize+len(payload)+overhead)[:0], &h)
		buf = append(buf, payload...)
		if f.keys != nil {
			buf = f.out.Protect(buf, rtp.HeaderSize, uint64(number)) //nolint:gosec // not negative
		}
		out.Commit(len(buf))
	}
}

// Layers implements [stream.Sink]: the substream that is forwarded, or the best one and that which is relayed until it comes.
func (f *forwarder) Layers(now int64) uint8 {
	if f.cfg.Substream >= 0 {
		return 1 << uint8(f.cfg.Substream)
	}
	layers := uint8(1) << f.stream.Best(now)
	if f.layer >= 0 {
		layers |= 1 << uint8(f.layer)
	}
	return layers
}

// number gives a packet its outgoing number: ROC<<16|SEQ, the ROC 0 at first, as a receiver of SRTP takes it to be. No
// number is given twice.
func (f *forwarder) number(p *stream.Packet) (number int64, ok bool) {
	switch {
	case !f.begun:
		f.shift = -(p.Seq &^ 0xffff)
		f.floor = p.Seq + f.shift
	case f.fresh || p.Seq+f.shift > f.last+forwardGap:
		f.floor = f.last + 1
		f.shift = f.floor - p.Seq
	}
	f.begun, f.fresh = true, false
	number = p.Seq + f.shift
	if number < f.floor {
		return 0, false
	}
	f.last = max(f.last, number)
	return number, true
}

// takes tells whether the packet is of the substream that is forwarded; the best one is followed from keyframe to keyframe.
func (f *forwarder) takes(p *stream.Packet) bool {
	layer := int8(p.Layer) //nolint:gosec // below 8
	switch {
	case f.cfg.Substream >= 0:
		return layer == f.cfg.Substream
	case layer == f.layer:
		return true
	case f.layer < 0 || layer > f.layer && p.Info.Keyframe:
		f.layer, f.fresh = layer, true
		return true
	}
	return false
}
