package sdp

import (
	"fmt"
	"slices"
	"strings"

	"cardea/relay/plane"
)

// Accept narrows the lines the server offered to what the client's answer agreed to: codecs and extensions left out are
// gone, directions are what both ends said, refused lines are rejected. The result is the negotiated outcome in the
// server's view and the previous of the next [Settle].
func Accept(offered []Media, answer *Description) ([]Media, error) {
	if len(answer.Medias) != len(offered) {
		return nil, &Error{reasonProcessing, fmt.Sprintf("the answer has %d m-lines, the offer %d", len(answer.Medias), len(offered))}
	}
	out := make([]Media, len(offered))
	for i := range offered {
		o, a := &offered[i], &answer.Medias[i]
		if a.Kind != o.Kind && !a.Rejected {
			return nil, &Error{reasonProcessing, fmt.Sprintf("m-line %d is %q in the answer, %q in the offer", i, a.Type, o.Type)}
		}
		out[i] = accept(o, a)
	}
	return out, nil
}

func accept(o, a *Media) Media {
	m := *o
	if a.Rejected {
		m.Rejected, m.Direction, m.Codecs, m.Extensions = true, plane.Inactive, nil, nil
		return m
	}
	if o.Kind == plane.Data {
		return m
	}
	m.Direction = o.Direction & Reverse(a.Direction)
	m.Codecs, m.Extensions = nil, nil
	for _, c := range o.Codecs {
		if agreed, ok := acceptCodec(c, a); ok {
			m.Codecs = append(m.Codecs, agreed)
		}
	}
	for _, e := range o.Extensions {
		if a.Extension(e.URI) != 0 {
			m.Extensions = append(m.Extensions, e)
		}
	}
	c, ok := m.Codec()
	if !ok {
		// Nothing the client can decode: the line stays, but nothing may flow.
		m.Direction, m.Codecs = plane.Inactive, nil
	}
	if c.RTX == 0 {
		m.RTX = 0
	}
	return m
}

// acceptCodec finds the offered codec in the answer. The payload type is the answer's: it says what its author wants to
// receive (RFC 3264 section 6.1).
func acceptCodec(c plane.Codec, a *Media) (plane.Codec, bool) {
	i := slices.IndexFunc(a.Codecs, func(x plane.Codec) bool { return sameCodec(x, c) && x.PayloadType == c.PayloadType })
	if i < 0 {
		i = slices.IndexFunc(a.Codecs, func(x plane.Codec) bool { return sameCodec(x, c) })
	}
	if i < 0 {
		return c, false
	}
	x := a.Codecs[i]
	c.PayloadType = x.PayloadType
	c.NACK = c.NACK && x.NACK
	c.PLI = c.PLI && x.PLI
	c.FIR = c.FIR && x.FIR
	c.REMB = c.REMB && x.REMB
	c.TransportCC = c.TransportCC && x.TransportCC && a.Extension(plane.ExtTransportCC) != 0
	if c.RTX != 0 {
		c.RTX = x.RTX
	}
	return c, true
}

func sameCodec(a, b plane.Codec) bool { return a.Name == b.Name && a.ClockRate == b.ClockRate }

// Lines is the negotiated session in the node's view. local is the server's side as agreed ([NewAnswer] settled, or
// [Accept]), remote the client's lines of the same negotiation. ridOrder is jsep.rid_order: "lmh" when the client lists
// the lowest quality first, anything else ("hml") when it lists the best first.
func Lines(local, remote []Media, ridOrder string) []plane.Line {
	out := make([]plane.Line, 0, len(local))
	for i := range local {
		l := &local[i]
		if l.Kind == 0 {
			continue
		}
		line := plane.Line{Mid: l.Mid, Kind: l.Kind}
		if !l.Rejected {
			line.Direction = l.Direction
			line.Codecs = slices.Clone(l.Codecs)
			line.Extensions = slices.Clone(l.Extensions)
		}
		var r Media
		if i < len(remote) {
			r = remote[i]
		}
		if line.Direction.Receives() {
			line.Receive = lowestFirst(&r, ridOrder)
		}
		if line.Direction.Sends() && l.Kind != plane.Data {
			line.SSRC, line.RTX = l.SSRC, l.RTX
		}
		if l.Kind == plane.Data && !l.Rejected {
			line.Direction = plane.SendRecv
			line.Receive = nil
			line.SCTPPort, line.MaxMessage = r.SCTPPort, r.MaxMessage
		}
		out = append(out, line)
	}
	return out
}

// lowestFirst orders encodings by quality.
func lowestFirst(m *Media, ridOrder string) []plane.Encoding {
	e := slices.Clone(m.Encodings)
	if !m.SIM && !strings.EqualFold(ridOrder, "lmh") {
		slices.Reverse(e)
	}
	return e
}
