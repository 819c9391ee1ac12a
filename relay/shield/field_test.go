package shield

import (
	"bytes"
	"testing"
)

func TestFieldIsTheLibrarys(t *testing.T) {
	in := make([]byte, 256)
	for i := range in {
		in[i] = byte(i)
	}
	for c := range 256 {
		out := make([]byte, 256)
		addProduct(byte(c), in, out)
		for i := range in {
			if got := field.mul(byte(c), byte(i)); got != out[i] {
				t.Fatalf("%d * %d = %d here and %d there", c, i, got, out[i])
			}
		}
		if c > 0 && field.mul(byte(c), field.inv(byte(c))) != 1 {
			t.Errorf("1/%d is wrong", c)
		}
	}
	scaled := bytes.Clone(in)
	scale(3, scaled)
	scale(field.inv(3), scaled)
	if !bytes.Equal(in, scaled) {
		t.Error("scaling there and back does not")
	}
}

// Any two rows and any two symbols: no coefficient is 0 and no 2x2 minor is, as in any Cauchy matrix.
func TestCoefficients(t *testing.T) {
	for r := range uint8(parityPoints) {
		for n := range uint64(dataPoints) {
			if coefficient(r, n) == 0 {
				t.Fatalf("row %d does not speak of %d", r, n)
			}
		}
	}
	for r := range uint8(parityPoints - 1) {
		for n := range uint64(dataPoints - 1) {
			a, b, c, d := coefficient(r, n), coefficient(r, n+1), coefficient(r+1, n), coefficient(r+1, n+1)
			if field.mul(a, d) == field.mul(b, c) {
				t.Fatalf("rows %d, %d and symbols %d, %d are dependent", r, r+1, n, n+1)
			}
		}
	}
}
