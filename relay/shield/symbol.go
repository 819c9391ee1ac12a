package shield

const (
	// lane is what SIMD multiplies at once: symbols are followed by zeros up to a multiple of it, since what is left over
	// would be multiplied byte by byte.
	lane = 32
	// slotSize is room for a header, the largest symbol, and zeros.
	slotSize = headerLen + parityLen + (maxSymbol+lane-1)/lane*lane
)

func padded(n int) int { return (n + lane - 1) / lane * lane }

// symbol is what the code works on: the content of one shielded packet, with its kind and length. In the code's arithmetic kind
// and length are two more bytes.
type symbol struct {
	number uint64
	kind   kind
	length int
	buf    []byte // slotSize: header, content, zeros up to a multiple of lane; nil until the slot is used
}

func (s *symbol) content() []byte { return s.buf[headerLen : headerLen+s.length] }
func (s *symbol) lanes() []byte   { return s.buf[headerLen : headerLen+padded(s.length)] }

// prefix is kind and length as two bytes.
func (s *symbol) prefix() (byte, byte) { return byte(s.kind)<<4 | byte(s.length>>8), byte(s.length) }

// seal writes zeros behind the content.
func (s *symbol) seal() { clear(s.buf[headerLen+s.length : headerLen+padded(s.length)]) }

// sum is a linear combination of symbols: a parity row, or what is left of one.
type sum struct {
	prefix [2]byte
	length int    // bytes of buf in use, a multiple of lane
	buf    []byte // capacity slotSize
}

// grow makes room for n bytes, all zero behind what was in use.
func (s *sum) grow(n int) {
	if n > s.length {
		clear(s.buf[s.length:n])
		s.length = n
	}
}

// add adds c times a symbol.
func (s *sum) add(c byte, y *symbol) {
	p0, p1 := y.prefix()
	s.prefix[0] ^= field.mul(c, p0)
	s.prefix[1] ^= field.mul(c, p1)
	lanes := y.lanes()
	s.grow(len(lanes))
	addProduct(c, lanes, s.buf)
}

// addSum adds c times another sum.
func (s *sum) addSum(c byte, o *sum) {
	s.prefix[0] ^= field.mul(c, o.prefix[0])
	s.prefix[1] ^= field.mul(c, o.prefix[1])
	s.grow(o.length)
	addProduct(c, o.buf[:o.length], s.buf)
}

// scale multiplies by c.
func (s *sum) scale(c byte) {
	s.prefix[0] = field.mul(c, s.prefix[0])
	s.prefix[1] = field.mul(c, s.prefix[1])
	scale(c, s.buf[:s.length])
}

// symbol takes a sum that has become one single symbol apart; ok is false if it cannot have been one, which means that somebody who
// has the key sends rubbish.
func (s *sum) symbol() (k kind, content []byte, ok bool) {
	k = kind(s.prefix[0] >> 4)
	n := int(s.prefix[0]&15)<<8 | int(s.prefix[1])
	if k >= kindParity || n == 0 || n > s.length {
		return 0, nil, false
	}
	for _, b := range s.buf[n:s.length] {
		if b != 0 {
			return 0, nil, false
		}
	}
	return k, s.buf[:n], true
}
