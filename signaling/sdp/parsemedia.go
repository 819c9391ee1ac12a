package sdp

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	pion "github.com/pion/sdp/v3"

	"cardea/relay/plane"
)

// defaultSCTPPort is the SCTP port of every data channel association of the server.
const defaultSCTPPort = 5000

// lineParser gathers what the attributes of an m-line say before it is put together: attributes come in any order.
type lineParser struct {
	m         Media
	codecs    map[uint8]plane.Codec // by payload type, from rtpmap
	fmtp      map[uint8]string
	feedback  map[uint8][]string
	wildcard  []string // rtcp-fb:*
	rids      []plane.Encoding
	simulcast string
	ssrcs     []uint32
	sim       []uint32
	fid       map[uint32]uint32 // repaired SSRC to that of its retransmissions
}

func parseMedia(index int, md *pion.MediaDescription, fallback plane.Direction) (Media, error) {
	p := lineParser{codecs: map[uint8]plane.Codec{}, fmtp: map[uint8]string{}, feedback: map[uint8][]string{}, fid: map[uint32]uint32{}}
	m := &p.m
	m.Type = md.MediaName.Media
	m.Proto = strings.Join(md.MediaName.Protos, "/")
	m.Direction = fallback
	for _, a := range md.Attributes {
		p.attribute(a.Key, strings.TrimSpace(a.Value))
	}
	_, bundleOnly := md.Attribute("bundle-only")
	m.Rejected = md.MediaName.Port.Value == 0 && !bundleOnly
	if m.Mid == "" {
		m.Mid = strconv.Itoa(index)
	}
	if len(m.Mid) > maxMid || !isToken(m.Mid) {
		return *m, &Error{reasonProcessing, fmt.Sprintf("mid %q of m-line %d", clip(m.Mid, 2*maxMid), index)}
	}
	switch {
	case m.Type == "audio" && strings.Contains(m.Proto, "RTP"):
		m.Kind = plane.Audio
	case m.Type == "video" && strings.Contains(m.Proto, "RTP"):
		m.Kind = plane.Video
	case m.Type == "application" && strings.Contains(m.Proto, "SCTP"):
		m.Kind = plane.Data
		p.data(md.MediaName.Formats)
		return *m, nil
	default:
		return *m, nil
	}
	p.bandwidth(md.Bandwidth)
	p.assembleCodecs(md.MediaName.Formats)
	p.assembleEncodings()
	return *m, nil
}

func (p *lineParser) attribute(key, value string) {
	m := &p.m
	switch key {
	case "mid":
		m.Mid = value
	case "sendrecv", "sendonly", "recvonly", "inactive":
		m.Direction, _ = direction(key)
	case "rtpmap":
		p.rtpmap(value)
	case "fmtp":
		if pt, rest, ok := cutPayloadType(value); ok && len(rest) <= maxFmtp {
			p.fmtp[pt] = rest
		}
	case "rtcp-fb":
		if rest, ok := strings.CutPrefix(value, "* "); ok {
			if len(p.wildcard) < maxWildcards {
				p.wildcard = append(p.wildcard, strings.TrimSpace(rest))
			}
		} else if pt, rest, ok := cutPayloadType(value); ok {
			p.feedback[pt] = append(p.feedback[pt], rest)
		}
	case "extmap":
		p.extmap(value)
	case "rid":
		p.rid(value)
	case "simulcast":
		p.simulcast = value
	case "ssrc":
		id, _, _ := strings.Cut(value, " ")
		if s, ok := parseSSRC(id); ok && len(p.ssrcs) < maxSSRCs && !slices.Contains(p.ssrcs, s) {
			p.ssrcs = append(p.ssrcs, s)
		}
	case "ssrc-group":
		p.ssrcGroup(value)
	case "msid":
		m.Msid = clip(value, maxName)
	case "sctp-port":
		if n, err := strconv.ParseUint(value, 10, 16); err == nil {
			m.SCTPPort = uint16(n)
		}
	case "sctpmap":
		m.LegacySCTP = true
	case "max-message-size":
		m.MaxMessage = parseMaxMessage(value)
	}
}

// parseMaxMessage reads max-message-size (RFC 8841 section 6.1), where 0 means no limit.
func parseMaxMessage(s string) uint32 {
	n, err := strconv.ParseUint(s, 10, 64)
	switch {
	case err != nil:
		return 0
	case n == 0 || n > math.MaxUint32:
		return math.MaxUint32
	}
	return uint32(n)
}

func cutPayloadType(value string) (pt uint8, rest string, ok bool) {
	head, rest, _ := strings.Cut(value, " ")
	pt, ok = parsePayloadType(head)
	return pt, strings.TrimSpace(rest), ok
}

func (p *lineParser) rtpmap(value string) {
	pt, rest, ok := cutPayloadType(value)
	if !ok {
		return
	}
	f := strings.Split(rest, "/")
	if len(f) < 2 {
		return
	}
	clock, err := strconv.ParseUint(f[1], 10, 32)
	if err != nil {
		return
	}
	c := plane.Codec{Name: strings.ToLower(f[0]), PayloadType: pt, ClockRate: uint32(clock)}
	if p.m.Type == "audio" {
		c.Channels = 1
		if len(f) > 2 {
			if n, err := strconv.ParseUint(f[2], 10, 8); err == nil && n > 0 {
				c.Channels = uint8(n)
			}
		}
	}
	if _, twice := p.codecs[pt]; !twice {
		p.codecs[pt] = c
	}
}

// extmap takes a header extension (RFC 8285): ids 1 to 14, and 16 to 255 of the two-byte form; encrypted ones
// (RFC 6904) are not understood.
func (p *lineParser) extmap(value string) {
	f := strings.Fields(value)
	if len(f) < 2 || len(p.m.Extensions) >= maxExtensions {
		return
	}
	id, dir, _ := strings.Cut(f[0], "/")
	n, err := strconv.ParseUint(id, 10, 8)
	if err != nil || n == 0 || n == 15 || dir == "inactive" || len(f[1]) > maxName {
		return
	}
	e := plane.Extension{ID: uint8(n), URI: f[1]}
	if e.URI == "urn:ietf:params:rtp-hdrext:encrypt" ||
		slices.ContainsFunc(p.m.Extensions, func(o plane.Extension) bool { return o.ID == e.ID || o.URI == e.URI }) {
		return
	}
	p.m.Extensions = append(p.m.Extensions, e)
	if d, ok := direction(dir); ok && d != plane.SendRecv {
		p.m.restrict(e.ID, d)
	}
}

// restrict notes that an extension goes one way only.
func (m *Media) restrict(id uint8, d plane.Direction) {
	if m.oneWay == nil {
		m.oneWay = map[uint8]plane.Direction{}
	}
	m.oneWay[id] = d
}

// rid takes what the author sends (RFC 8851).
func (p *lineParser) rid(value string) {
	f := strings.Fields(value)
	if len(f) < 2 || f[1] != "send" || !isRID(f[0]) || len(p.rids) >= maxRIDs {
		return
	}
	p.rids = append(p.rids, plane.Encoding{RID: f[0]})
}

func (p *lineParser) ssrcGroup(value string) {
	f := strings.Fields(value)
	if len(f) < 2 || len(f) > maxSSRCs {
		return
	}
	var ids []uint32
	for _, s := range f[1:] {
		id, ok := parseSSRC(s)
		if !ok {
			return
		}
		ids = append(ids, id)
	}
	switch {
	case f[0] == "SIM" && p.sim == nil:
		p.sim = ids
	case f[0] == "FID" && len(ids) == 2 && len(p.fid) < maxSSRCs:
		p.fid[ids[0]] = ids[1]
	}
}

func parseSSRC(s string) (uint32, bool) {
	n, err := strconv.ParseUint(s, 10, 32)
	return uint32(n), err == nil && n != 0
}

func (p *lineParser) bandwidth(lines []pion.Bandwidth) {
	for _, b := range lines {
		switch b.Type {
		case "TIAS":
			p.m.Bandwidth = uint32(min(b.Bandwidth, math.MaxUint32))
			return
		case "AS":
			p.m.Bandwidth = uint32(min(b.Bandwidth, math.MaxUint32/1000) * 1000)
		}
	}
}

func (p *lineParser) data(formats []string) {
	m := &p.m
	if !strings.HasPrefix(m.Proto, "UDP/") && !strings.HasPrefix(m.Proto, "TCP/") {
		m.LegacySCTP = true
	}
	if m.LegacySCTP && len(formats) > 0 {
		if n, err := strconv.ParseUint(formats[0], 10, 16); err == nil {
			m.SCTPPort = uint16(n)
		}
	}
	if m.SCTPPort == 0 {
		m.SCTPPort = defaultSCTPPort
	}
}

// assembleCodecs puts rtpmap, fmtp and rtcp-fb together in the order of the m-line.
func (p *lineParser) assembleCodecs(formats []string) {
	rtx := map[uint8]uint8{} // repaired payload type to that of its retransmissions
	var seen [128]bool
	var order []plane.Codec
	for _, s := range formats {
		pt, ok := parsePayloadType(s)
		if !ok || seen[pt] {
			continue
		}
		seen[pt] = true
		c, ok := p.codecs[pt]
		if !ok {
			if c, ok = static(pt); !ok || p.m.Kind != plane.Audio {
				continue
			}
		}
		c.Fmtp = p.fmtp[pt]
		if c.Name == "rtx" {
			if apt, ok := FmtpParam(c.Fmtp, "apt"); ok {
				if repaired, ok := parsePayloadType(apt); ok {
					rtx[repaired] = pt
				}
			}
			continue
		}
		if isRED := c.Name == "red" && p.m.Kind == plane.Audio && c.ClockRate == 48000; !isRED && CodecName(p.m.Kind, c) == "" {
			continue
		}
		order = append(order, c)
	}
	for i := range order {
		c := &order[i]
		c.RTX = rtx[c.PayloadType]
		for _, fb := range p.feedback[c.PayloadType] {
			feedback(c, fb)
		}
		for _, fb := range p.wildcard {
			feedback(c, fb)
		}
	}
	p.m.Codecs = order
}

func feedback(c *plane.Codec, fb string) {
	switch strings.ToLower(fb) {
	case "nack":
		c.NACK = true
	case "nack pli":
		c.PLI = true
	case "ccm fir":
		c.FIR = true
	case "goog-remb":
		c.REMB = true
	case "transport-cc":
		c.TransportCC = true
	}
}

// assembleEncodings decides what the author sends: rids in the order of the simulcast attribute, else the group SIM, else
// the first SSRC.
func (p *lineParser) assembleEncodings() {
	m := &p.m
	if len(p.ssrcs) > 0 {
		m.SSRC = p.ssrcs[0]
		m.RTX = p.fid[m.SSRC]
	}
	if len(p.rids) > 0 {
		m.Encodings = p.simulcastOrder()
		return
	}
	if len(p.sim) > 1 {
		for _, s := range p.sim[:min(len(p.sim), maxEncodings)] {
			m.Encodings = append(m.Encodings, plane.Encoding{SSRC: s, RTX: p.fid[s]})
		}
		m.SIM, m.SSRC, m.RTX = true, p.sim[0], p.fid[p.sim[0]]
		return
	}
	if m.SSRC != 0 {
		m.Encodings = []plane.Encoding{{SSRC: m.SSRC, RTX: m.RTX}}
	}
}

// simulcastOrder lists the rids in the order of the simulcast attribute (RFC 8853, and the form of its drafts,
// "send rid=h;m;l"), without it in the order of the rid lines.
func (p *lineParser) simulcastOrder() []plane.Encoding {
	var out []plane.Encoding
	add := func(e plane.Encoding) {
		if len(out) < maxEncodings && !slices.ContainsFunc(out, func(o plane.Encoding) bool { return o.RID == e.RID }) {
			out = append(out, e)
		}
	}
	f := strings.Fields(p.simulcast)
	for i := 0; i+1 < len(f); i += 2 {
		if f[i] != "send" {
			continue
		}
		for s := range strings.SplitSeq(strings.TrimPrefix(f[i+1], "rid="), ";") {
			s, _, _ = strings.Cut(s, ",") // of alternatives the first
			rid, paused := strings.CutPrefix(s, "~")
			if slices.ContainsFunc(p.rids, func(e plane.Encoding) bool { return e.RID == rid }) {
				add(plane.Encoding{RID: rid, Disabled: paused})
			}
		}
	}
	if out == nil {
		for _, e := range p.rids {
			add(e)
		}
	}
	return out
}

// isRID follows RFC 8851 (and its erratum that allows - and _).
func isRID(s string) bool {
	return s != "" && len(s) <= maxRID && !strings.ContainsFunc(s, func(r rune) bool {
		return !(r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r == '-' || r == '_')
	})
}

// isToken allows what RFC 8866 calls a token, loosely: visible ASCII.
func isToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}
