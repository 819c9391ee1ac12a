package stream

import "cardea/relay/codec"

// maxMappings is how many payload types of one stream a subscriber can be sent.
const maxMappings = 4

// mapping says how packets of one payload type of the source reach the subscriber.
type mapping struct {
	source uint8
	target uint8
	rtx    uint8 // payload type of retransmissions, 0 for none
	ok     bool
	unwrap bool // the subscriber has no RED: it is sent the primary block (RFC 2198)
}

// mapCodecs finds for every codec of the stream the subscriber's.
func (t *Track) mapCodecs() {
	t.codecs = [maxMappings]mapping{}
	t.keyed = false
	n := 0
	for _, c := range t.stream.cfg.Codecs {
		if n == maxMappings {
			return
		}
		m := mapping{source: c.PayloadType, unwrap: c.Name == "red" && !t.passesRED()}
		name := c.Name
		if m.unwrap {
			name = "opus"
		}
		for _, own := range t.cfg.Codecs {
			if own.Name == name {
				m.target, m.rtx, m.ok = own.PayloadType, own.RTX, true
				if n == 0 {
					t.setRate(own.ClockRate)
				}
				break
			}
		}
		if !m.ok {
			continue
		}
		t.codecs[n] = m
		n++
		t.keyed = t.keyed || codec.ByName(c.Name).Keyed()
	}
}

// passesRED tells whether RED can go through untouched: the subscriber has it, and knows the blocks inside by the same
// payload type.
func (t *Track) passesRED() bool {
	var red bool
	source, own := -1, -1
	for _, c := range t.cfg.Codecs {
		red = red || c.Name == "red"
		if c.Name == "opus" {
			own = int(c.PayloadType)
		}
	}
	for _, c := range t.stream.cfg.Codecs {
		if c.Name == "opus" {
			source = int(c.PayloadType)
		}
	}
	return red && (source == own || source < 0)
}

// mapping returns how a packet reaches the subscriber; ok is false when it does not.
func (t *Track) mapping(p *Packet) (m *mapping, ok bool) {
	for i := range t.codecs {
		if m := &t.codecs[i]; m.ok && m.source == p.PayloadType {
			return m, true
		}
	}
	return nil, false
}

// payload returns what of a packet's payload the subscriber is sent.
func (m *mapping) payload(p *Packet) []byte {
	if m.unwrap {
		_, data, _ := codec.PrimaryBlock(p.Payload)
		return data
	}
	return p.Payload
}
