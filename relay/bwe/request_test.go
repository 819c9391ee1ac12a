package bwe

import "testing"

// TestRequestIsObeyedAtOnce: when the client asks for a higher quality that fits, or higher qualities begin to flow, there
// is no estimate that could waver, and nothing to wait for.
func TestRequestIsObeyedAtOnce(t *testing.T) {
	var a Allocator
	layers := []uint32{200_000, 700_000, 2_000_000}
	now := int64(1e9)
	ask := func(rates []uint32, ceiling int) int {
		now += 50e6
		return a.Allocate(nil, 5_000_000, 64_000, []Demand{{ID: 1, Bitrates: rates, Ceiling: ceiling}}, now)[0]
	}
	if got := ask(layers[:1], 0); got != 0 {
		t.Fatalf("one layer flows: got %d", got)
	}
	if got := ask(layers, 2); got != 2 {
		t.Errorf("higher layers begin to flow: got %d, want 2", got)
	}
	if got := ask(layers, 0); got != 0 {
		t.Errorf("asked for the lowest: got %d", got)
	}
	if got := ask(layers, 2); got != 2 {
		t.Errorf("asked for the highest again: got %d, want 2 at once", got)
	}
}
