package rtp

import (
	"testing"

	"pgregory.net/rapid"
)

func TestUnwrapper(t *testing.T) {
	tests := []struct {
		name string
		in   []uint16
		want []int64
	}{
		{"in order over the wrap", []uint16{65534, 65535, 0, 1}, []int64{65534, 65535, 65536, 65537}},
		{"reordered over the wrap", []uint16{65535, 1, 65534, 0}, []int64{65535, 65537, 65534, 65536}},
		{"late before the first", []uint16{0, 65535}, []int64{0, -1}},
		{"an old one does not move the reference", []uint16{40000, 10000, 60000}, []int64{40000, 10000, 60000}},
		{"half a circle is behind", []uint16{40000, 40000 - 32768}, []int64{40000, 40000 - 32768}},
		{"just under half is ahead", []uint16{40000, (40000 + 32767) & 0xffff}, []int64{40000, 72767}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var u Unwrapper[uint16]
			for i, v := range tt.in {
				if got := u.Unwrap(v); got != tt.want[i] {
					t.Errorf("Unwrap(%d) = %d, want %d", v, got, tt.want[i])
				}
			}
		})
	}
}

func TestUnwrapperHighestAndReset(t *testing.T) {
	var u Unwrapper[uint32]
	if _, ok := u.Highest(); ok {
		t.Error("highest before the first value")
	}
	u.Unwrap(1<<32 - 1)
	if got := u.Peek(5); got != 1<<32+5 {
		t.Errorf("Peek = %d", got)
	}
	if got, ok := u.Highest(); got != 1<<32-1 || !ok {
		t.Errorf("Peek moved the highest to %d", got)
	}
	u.Reset()
	if got := u.Unwrap(5); got != 5 {
		t.Errorf("after Reset: %d", got)
	}
}

// A walk of any steps shorter than half the range is recovered exactly.
func TestUnwrapperFollows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var u Unwrapper[uint16]
		highest := int64(rapid.Uint16().Draw(t, "first"))
		u.Unwrap(uint16(highest))
		for range 50 {
			x := highest + rapid.Int64Range(-32768, 32767).Draw(t, "step")
			if got := u.Unwrap(uint16(x)); got != x {
				t.Fatalf("got %d, want %d", got, x)
			}
			highest = max(highest, x)
		}
	})
}
