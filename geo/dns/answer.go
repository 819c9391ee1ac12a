package dns

import (
	"encoding/binary"
	"net/netip"
	"time"

	wire "github.com/miekg/dns"
)

const (
	headerSize  = 12
	maxQuestion = 4096 // bytes of a question, more than any resolver needs

	minUDP = 512  // RFC 1035
	maxUDP = 1232 // what passes everywhere in one piece
)

// The second 16 bits of the header.
const (
	flagQR      = 1 << 15
	flagRD      = 1 << 8
	opcodeShift = 11
	opcodeMask  = 0xf
)

// asked is a question as it came.
type asked struct {
	packet      []byte
	from        netip.Addr
	now         time.Time
	limit, most int  // how long the answer may be when the question says nothing else, and at all
	refer       bool // only ask for TCP
}

// answer returns the bytes to send for a question, nil for what deserves none, and the response code.
func (z *zone) answer(a asked) ([]byte, int) {
	packet := a.packet
	if len(packet) < headerSize {
		return nil, wire.RcodeFormatError
	}
	flags := binary.BigEndian.Uint16(packet[2:])
	count := func(i int) uint16 { return binary.BigEndian.Uint16(packet[4+2*i:]) }
	switch {
	case flags&flagQR != 0: // or two servers could talk to each other for ever
		return nil, wire.RcodeFormatError
	case flags>>opcodeShift&opcodeMask != wire.OpcodeQuery:
		return fault(packet, wire.RcodeNotImplemented)
	case count(0) != 1 || count(1) != 0 || count(2) != 0 || count(3) > 2: // OPT, TSIG
		return fault(packet, wire.RcodeFormatError)
	}
	q := new(wire.Msg)
	if q.Unpack(packet) != nil || len(q.Question) != 1 {
		return fault(packet, wire.RcodeFormatError)
	}
	r := new(wire.Msg)
	r.SetReply(q)
	r.RecursionAvailable = false
	opt, ok := optOf(q)
	if !ok {
		return fault(packet, wire.RcodeFormatError)
	}
	cookie, ok := cookieOf(opt)
	if opt != nil {
		a.limit = max(a.limit, min(int(opt.UDPSize()), a.most))
	}
	o := optFor(opt)
	switch {
	case !ok:
		r.Rcode = wire.RcodeFormatError
	case a.refer:
		r.Truncated = true
	default:
		z.fill(r, opt, o, a.from)
	}
	if o != nil {
		if ok && cookie != nil {
			o.Option = append(o.Option, z.cookies.give(cookie, a.from, a.now))
		}
		r.Extra = append(r.Extra, o)
	}
	return pack(packet, r, a.limit)
}

// optOf returns the question's EDNS record, nil without one; there must not be two.
func optOf(q *wire.Msg) (opt *wire.OPT, ok bool) {
	for _, rr := range q.Extra {
		o, is := rr.(*wire.OPT)
		if !is {
			continue
		}
		if opt != nil {
			return nil, false
		}
		opt = o
	}
	return opt, true
}

// optFor returns the answer's EDNS record, nil if the question has none.
func optFor(opt *wire.OPT) *wire.OPT {
	if opt == nil {
		return nil
	}
	o := &wire.OPT{Hdr: wire.RR_Header{Name: ".", Rrtype: wire.TypeOPT}}
	o.SetUDPSize(maxUDP)
	if opt.Do() { // RFC 3225: copied, and there are no signatures
		o.SetDo()
	}
	return o
}

// fill writes the answer to the one question of r, and to o for which network it holds; opt and o are nil without EDNS.
func (z *zone) fill(r *wire.Msg, opt, o *wire.OPT, from netip.Addr) {
	if opt != nil && opt.Version() != 0 {
		r.Rcode = wire.RcodeBadVers
		return
	}
	subnet := subnetOf(opt)
	client := netip.PrefixFrom(from.Unmap().WithZone(""), from.Unmap().BitLen())
	var network netip.Prefix
	if subnet != nil {
		var err error
		if network, err = networkOf(subnet); err != nil {
			r.Rcode = wire.RcodeFormatError
			return
		}
		if network.IsValid() {
			client = network
		}
	}
	scope := z.resolve(r, client)
	if subnet != nil {
		o.Option = append(o.Option, answerSubnet(subnet, network, scope))
	}
}

// resolve writes the sections of the answer and returns the scope for which they hold.
func (z *zone) resolve(r *wire.Msg, client netip.Prefix) (scope int) {
	q := r.Question[0]
	name := wire.CanonicalName(q.Name)
	if q.Qclass != wire.ClassINET || !wire.IsSubDomain(z.apex, name) || q.Qtype == wire.TypeAXFR || q.Qtype == wire.TypeIXFR {
		r.Rcode = wire.RcodeRefused
		return 0
	}
	r.Authoritative = true
	p := z.locate(name)
	if q.Qtype == wire.TypeANY && p.exists {
		r.Answer = []wire.RR{&wire.HINFO{Hdr: header(q.Name, wire.TypeHINFO, longTTL), Cpu: "RFC8482"}}
		return 0
	}
	if z.fixed(r, name, p) {
		return 0
	}
	if !p.exists {
		r.Rcode = wire.RcodeNameError
		r.Ns = []wire.RR{z.soa()}
		return 0
	}
	scope = z.made(r, p, client)
	if len(r.Answer) == 0 && r.Rcode == wire.RcodeSuccess {
		r.Ns = []wire.RR{z.soa()}
	}
	return scope
}

// fault is an answer without anything but a code. The question is left out: it may not even be one.
func fault(packet []byte, rcode int) ([]byte, int) {
	b := make([]byte, headerSize)
	copy(b, packet[:4])
	flags := binary.BigEndian.Uint16(b[2:])
	flags = flags&(flagRD|opcodeMask<<opcodeShift) | flagQR | uint16(rcode) //nolint:gosec // four bits
	binary.BigEndian.PutUint16(b[2:], flags)
	return b, rcode
}

// pack turns an answer into bytes that are no more than limit. Additional records go first, without a word; if the rest is still too
// long, the answer says that it is cut.
func pack(packet []byte, r *wire.Msg, limit int) ([]byte, int) {
	r.Compress = true
	if r.Len() > limit {
		r.Extra = keepOPT(r.Extra)
		r.Truncate(limit)
	}
	b, err := r.Pack()
	if err != nil || len(b) > limit {
		return fault(packet, wire.RcodeServerFailure)
	}
	return b, r.Rcode
}

func keepOPT(extra []wire.RR) []wire.RR {
	for _, rr := range extra {
		if rr.Header().Rrtype == wire.TypeOPT {
			return []wire.RR{rr}
		}
	}
	return nil
}
