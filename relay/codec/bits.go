package codec

// bits reads a bit string, the highest bit of a byte first. Reading over its end gives zeros and sets bad.
type bits struct {
	b   []byte
	pos int // bits read
	bad bool
}

// read returns the next n bits, at most 32.
func (r *bits) read(n int) uint32 {
	if r.pos+n > 8*len(r.b) {
		r.bad = true
		r.pos = 8 * len(r.b)
		return 0
	}
	var v uint64
	for first, last := r.pos/8, (r.pos+n+7)/8; first < last; first++ {
		v = v<<8 | uint64(r.b[first])
	}
	r.pos += n
	v >>= uint(-r.pos & 7)        //nolint:gosec // 0 to 7
	return uint32(v & (1<<n - 1)) //nolint:gosec // n bits
}

func (r *bits) flag() bool { return r.read(1) == 1 }

func (r *bits) skip(n int) {
	for ; n > 32; n -= 32 {
		r.read(32)
	}
	r.read(n)
}

// nonSymmetric reads a number below n, ns(n) of the AV1 bitstream specification section 4.10.7.
func (r *bits) nonSymmetric(n uint32) uint32 {
	w := 0
	for x := n; x != 0; x >>= 1 {
		w++
	}
	if w == 0 {
		return 0
	}
	m := uint32(1)<<w - n
	v := r.read(w - 1)
	if v < m {
		return v
	}
	return v<<1 - m + r.read(1)
}

// golomb reads an unsigned Exp-Golomb code, ue(v) of ITU-T H.264 section 9.1.
func (r *bits) golomb() uint32 {
	zeros := 0
	for !r.flag() {
		if zeros++; r.bad || zeros > 31 {
			r.bad = true
			return 0
		}
	}
	return 1<<zeros - 1 + r.read(zeros)
}

// signedGolomb reads se(v) of the same.
func (r *bits) signedGolomb() int32 {
	v := int32(r.golomb()) //nolint:gosec // modular
	if v&1 == 1 {
		return v/2 + 1
	}
	return -v / 2
}
