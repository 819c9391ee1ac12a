package stream

import (
	"encoding/binary"

	"cardea/relay/codec"
	"cardea/relay/plane"
	"cardea/relay/rtp"
)

// Packet is one cached packet. It is read-only for sinks and valid only while its stream stays locked.
type Packet struct {
	Seq         int64  // extended sequence number, unique in its layer; the low 16 bits are the source's
	Arrival     int64  // ns
	Payload     []byte // without padding; empty for a packet that only carried padding
	Timestamp   uint32
	SSRC        uint32
	Layer       uint8 // simulcast encoding, 0 the lowest
	PayloadType uint8 // the source's
	Format      codec.Format
	Marker      bool
	Recovered   bool // it was lost on its way to us and came as a retransmission
	Info        codec.Info

	carries        carried
	level          uint8
	orientation    uint8
	captureTime    uint8 // bytes behind the descriptor
	descriptorSize uint8 // bytes behind the payload
	delay          uint32

	used  bool
	lap   uint32 // of the ring the payload lies in
	start int    // position in the ring
	end   int
	batch uint32 // of the burst it arrived in
}

// carried is the set of header extensions a packet came with.
type carried uint8

const (
	carriesLevel carried = 1 << iota
	carriesOrientation
	carriesDelay
)

// AudioLevel returns the value of the audio level extension as sent (RFC 6464: voice activity in the highest bit, dBov
// below zero in the others).
func (p *Packet) AudioLevel() (v uint8, ok bool) { return p.level, p.carries&carriesLevel != 0 }

// Orientation returns the value of the video orientation extension (3GPP TS 26.114 section 7.4.5).
func (p *Packet) Orientation() (v uint8, ok bool) {
	return p.orientation, p.carries&carriesOrientation != 0
}

// PlayoutDelay returns the 24 bits of the playout delay extension: 12 bits each minimum and maximum, in 10 ms.
func (p *Packet) PlayoutDelay() (v uint32, ok bool) { return p.delay, p.carries&carriesDelay != 0 }

// Descriptor returns the dependency descriptor the packet came with, or nil.
func (p *Packet) Descriptor() []byte {
	if p.descriptorSize == 0 {
		return nil
	}
	n := len(p.Payload)
	return p.Payload[n : n+int(p.descriptorSize)]
}

// CaptureTime returns the absolute capture time extension the packet came with (8 or 16 bytes), or nil.
func (p *Packet) CaptureTime() []byte {
	if p.captureTime == 0 {
		return nil
	}
	n := len(p.Payload) + int(p.descriptorSize)
	return p.Payload[n : n+int(p.captureTime)]
}

// Room for extension values behind a payload.
const (
	captureTimeMax = 16
	descriptorMax  = 255
)

// extensionIDs are the ids of the header extensions that are read or written; 0 for one that was not agreed.
type extensionIDs struct {
	level, orientation, delay, captureTime, descriptor uint8
	mid, sendTime, transport                           uint8 // only written
}

func newExtensionIDs(extensions []plane.Extension) extensionIDs {
	var ids extensionIDs
	for _, e := range extensions {
		switch e.URI {
		case plane.ExtAudioLevel:
			ids.level = e.ID
		case plane.ExtVideoOrientation:
			ids.orientation = e.ID
		case plane.ExtPlayoutDelay:
			ids.delay = e.ID
		case plane.ExtAbsCaptureTime:
			ids.captureTime = e.ID
		case plane.ExtDependencyDescriptor:
			ids.descriptor = e.ID
		case plane.ExtMid:
			ids.mid = e.ID
		case plane.ExtAbsSendTime:
			ids.sendTime = e.ID
		case plane.ExtTransportCC:
			ids.transport = e.ID
		}
	}
	return ids
}

// readExtensions takes from the header what is passed on. Values that have no fixed size are copied to room, which begins
// behind the payload; it returns how many bytes of it are used.
func (p *Packet) readExtensions(h *rtp.Header, ids *extensionIDs, room []byte) int {
	var captureTime, descriptor []byte
	for e := h.Elements(); ; {
		id, v, ok := e.Next()
		if !ok {
			break
		}
		switch {
		case id == ids.level && len(v) == 1:
			p.level, p.carries = v[0], p.carries|carriesLevel
		case id == ids.orientation && len(v) == 1:
			p.orientation, p.carries = v[0], p.carries|carriesOrientation
		case id == ids.delay && len(v) == 3:
			p.delay, p.carries = uint32(v[0])<<16|uint32(binary.BigEndian.Uint16(v[1:])), p.carries|carriesDelay
		case id == ids.captureTime && (len(v) == 8 || len(v) == captureTimeMax):
			captureTime = v
		case id == ids.descriptor && len(v) >= 3:
			descriptor = v
		}
	}
	if len(descriptor)+len(captureTime) > len(room) {
		return 0
	}
	n := copy(room, descriptor)
	n += copy(room[n:], captureTime)
	p.descriptorSize, p.captureTime = uint8(len(descriptor)), uint8(len(captureTime)) //nolint:gosec // at most 255
	return n
}
