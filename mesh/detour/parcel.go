package detour

import (
	"errors"
	"fmt"

	"cardea/relay/link"
	"cardea/relay/link/wire"
)

// Kind is the call of a link that brings a parcel to the next node.
const Kind link.Kind = 136

// maxHops is how many links a parcel may take.
const maxHops = 4

// Bounds of a parcel.
const (
	maxNotices = 512
	maxID      = 64
)

var (
	errParcel = errors.New("detour: not a parcel")
	// ErrForged says that a parcel or a reply is not from the node it names.
	ErrForged = errors.New("detour: not from the node it names")
	// ErrRepeated says that a parcel was here before.
	ErrRepeated = errors.New("detour: was here before")
	// ErrNoWay says that no node is known by way of which the other can be reached.
	ErrNoWay = errors.New("detour: no way to the node")
	// ErrFull says that too much waits for the node already.
	ErrFull = errors.New("detour: too much waits for the node")
)

// parcel is what is carried.
type parcel struct {
	From      string   `pb:"1"`
	To        string   `pb:"2"`
	Serial    uint64   `pb:"3"`
	Kind      uint64   `pb:"4"`
	Notice    bool     `pb:"5"` // notices; else one request
	Payloads  [][]byte `pb:"6"`
	Key       []byte   `pb:"7"`
	Signature []byte   `pb:"8"`
	Hops      uint64   `pb:"9"` // that it has taken; whoever passes it on counts
}

// purposes are the first bytes of what is signed: a signature for the one is none for the other.
const (
	parcelPurpose = "cardea detour parcel\x00"
	replyPurpose  = "cardea detour reply\x00"
)

// content is what the sender signs.
func (p *parcel) content() []byte {
	signed := *p
	signed.Key, signed.Signature, signed.Hops = nil, nil, 0
	return append([]byte(parcelPurpose), wire.Marshal(&signed)...)
}

func readParcel(b []byte) (*parcel, error) {
	p := &parcel{}
	if err := wire.Unmarshal(b, p); err != nil {
		return nil, fmt.Errorf("%w: %w", errParcel, err)
	}
	if p.From == "" || p.To == "" || len(p.From) > maxID || len(p.To) > maxID || p.From == p.To || p.Kind > 1<<16-1 ||
		len(p.Payloads) == 0 || len(p.Payloads) > maxNotices || !p.Notice && len(p.Payloads) != 1 {
		return nil, errParcel
	}
	return p, nil
}

// reply is the answer to a parcel.
type reply struct {
	Payload   []byte `pb:"1"`
	Code      uint32 `pb:"2"` // of an error; 0: none
	Text      string `pb:"3"` // of an error
	Key       []byte `pb:"4"`
	Signature []byte `pb:"5"`
}

// signedReply is what is signed of a reply: for this parcel and no other.
type signedReply struct {
	From    string `pb:"1"`
	To      string `pb:"2"`
	Serial  uint64 `pb:"3"`
	Payload []byte `pb:"4"`
	Code    uint32 `pb:"5"`
	Text    string `pb:"6"`
}

func (r *reply) content(p *parcel) []byte {
	return append([]byte(replyPurpose), wire.Marshal(&signedReply{p.From, p.To, p.Serial, r.Payload, r.Code, r.Text})...)
}

// window knows which of the latest serial numbers of a sender have been here, as IPsec's does (RFC 4303, section 3.4.3).
type window struct {
	highest uint64
	seen    [4]uint64 // bits of highest, highest-1, ...
}

const windowSize = 256

// take tells whether a serial number is new, and remembers it.
func (w *window) take(serial uint64) bool {
	if serial > w.highest {
		w.shift(serial - w.highest)
		w.highest = serial
	}
	back := w.highest - serial
	if back >= windowSize || w.seen[back/64]&(1<<(back%64)) != 0 {
		return false
	}
	w.seen[back/64] |= 1 << (back % 64)
	return true
}

func (w *window) shift(n uint64) {
	if n >= windowSize {
		w.seen = [4]uint64{}
		return
	}
	for ; n >= 64; n -= 64 {
		copy(w.seen[1:], w.seen[:3])
		w.seen[0] = 0
	}
	if n == 0 {
		return
	}
	for i := len(w.seen) - 1; i > 0; i-- {
		w.seen[i] = w.seen[i]<<n | w.seen[i-1]>>(64-n)
	}
	w.seen[0] <<= n
}
