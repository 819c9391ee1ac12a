package shield

import "github.com/klauspost/reedsolomon"

// The code is Reed-Solomon's in Cauchy form over GF(2^8), on a window that slides: parity row r over the numbers from a to b is
// the sum of 1/(x_r + y_n) times symbol n. Every square matrix of such coefficients has an inverse, so any m rows over one
// window repair any m losses in it. Rows whose windows differ have zeros where the windows do; such a matrix has an
// inverse but for rare accidents, and the repair waits for one more row then.
const (
	dataPoints   = 192 // y_n = n mod 192
	parityPoints = 64  // x_r = 192 + r
	// maxWindow is the most symbols that one row covers: no two of them may share a point.
	maxWindow = dataPoints
)

// field is GF(2^8) with the polynomial of klauspost/reedsolomon, x^8+x^4+x^3+x^2+1, which does the long products with SIMD.
var field = newTables()

type tables struct {
	exp [512]byte
	log [256]uint16
}

func newTables() *tables {
	t := &tables{}
	x := 1
	for i := range 255 {
		t.exp[i], t.exp[i+255] = byte(x), byte(x)
		t.log[x] = uint16(i)
		x <<= 1
		if x&0x100 != 0 {
			x ^= 0x11d
		}
	}
	return t
}

func (t *tables) mul(a, b byte) byte {
	if a == 0 || b == 0 {
		return 0
	}
	return t.exp[t.log[a]+t.log[b]]
}

// inv returns 1/a, which must not be 0.
func (t *tables) inv(a byte) byte { return t.exp[255-t.log[a]] }

// coefficient of symbol n in a parity row.
func coefficient(row uint8, n uint64) byte {
	return field.inv((dataPoints + row) ^ byte(n%dataPoints))
}

var simd reedsolomon.LowLevel

// addProduct adds c times in to out, which is at least as long.
func addProduct(c byte, in, out []byte) {
	if c != 0 && len(in) > 0 {
		simd.GalMulSliceXor(c, in, out[:len(in)])
	}
}

// scale multiplies b by c.
func scale(c byte, b []byte) {
	if c != 1 && len(b) > 0 {
		simd.GalMulSlice(c, b, b)
	}
}
