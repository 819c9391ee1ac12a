package rtcp

import "encoding/binary"

const (
	itemEnd      = 0
	itemCNAME    = 1
	maxItem      = 255
	maxGoodbye   = countMask
	sdesItemHead = 2
)

// Sources returns an iterator over the chunks of a source description (RFC 3550 section 6.5).
func (p *Packet) Sources() Sources {
	if p.Type != TypeSourceDescription {
		return Sources{}
	}
	return Sources{rest: p.Body, left: p.Format}
}

// Sources iterates over the chunks of a source description.
type Sources struct {
	rest []byte
	left uint8
}

// Next returns the SSRC and canonical name of the next chunk; the name is nil if the chunk has none. ok is false at the
// end and at a chunk that is cut short.
func (s *Sources) Next() (ssrc uint32, cname []byte, ok bool) {
	if s.left == 0 || len(s.rest) < 4 {
		return 0, nil, false
	}
	s.left--
	chunk := s.rest
	ssrc = binary.BigEndian.Uint32(chunk)
	for i := 4; i < len(chunk); {
		if chunk[i] == itemEnd {
			next := (i + 4) &^ 3 // one null at least, then up to the next word
			s.rest = chunk[min(next, len(chunk)):]
			return ssrc, cname, true
		}
		if i+sdesItemHead > len(chunk) {
			break
		}
		end := i + sdesItemHead + int(chunk[i+1])
		if end > len(chunk) {
			break
		}
		if chunk[i] == itemCNAME && cname == nil {
			cname = chunk[i+sdesItemHead : end : end]
		}
		i = end
	}
	s.left = 0
	return 0, nil, false
}

// AppendCNAME appends a source description with the canonical name of one source, cut at 255 bytes.
func AppendCNAME(dst []byte, ssrc uint32, cname string) []byte {
	cname = cname[:min(len(cname), maxItem)]
	items := (sdesItemHead + len(cname) + 4) &^ 3 // one null at least
	dst = appendHeader(dst, TypeSourceDescription, 1, headerSize+4+items)
	dst = binary.BigEndian.AppendUint32(dst, ssrc)
	dst = append(dst, itemCNAME, byte(len(cname)))
	dst = append(dst, cname...)
	for range items - sdesItemHead - len(cname) {
		dst = append(dst, itemEnd)
	}
	return dst
}

// Goodbyes returns an iterator over the sources that a BYE packet takes leave of (RFC 3550 section 6.6).
func (p *Packet) Goodbyes() SSRCs {
	if p.Type != TypeGoodbye {
		return SSRCs{}
	}
	return SSRCs{rest: p.Body[:min(len(p.Body), 4*int(p.Format))]}
}

// SSRCs iterates over a list of SSRCs.
type SSRCs struct{ rest []byte }

// Next returns the next SSRC; ok is false at the end.
func (s *SSRCs) Next() (ssrc uint32, ok bool) {
	if len(s.rest) < 4 {
		return 0, false
	}
	ssrc = binary.BigEndian.Uint32(s.rest)
	s.rest = s.rest[4:]
	return ssrc, true
}

// AppendGoodbye appends a BYE packet for the first 31 of the sources.
func AppendGoodbye(dst []byte, ssrcs ...uint32) []byte {
	ssrcs = ssrcs[:min(len(ssrcs), maxGoodbye)]
	dst = appendHeader(dst, TypeGoodbye, uint8(len(ssrcs)), headerSize+4*len(ssrcs))
	for _, ssrc := range ssrcs {
		dst = binary.BigEndian.AppendUint32(dst, ssrc)
	}
	return dst
}
