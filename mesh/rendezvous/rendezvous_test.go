package rendezvous

import "testing"

// TestFixed pins what nodes of all versions have to agree on.
func TestFixed(t *testing.T) {
	a, b := Hash("mfzwizltoqqho2lu"), Hash("videoroom/1234")
	if a != 0x82e9d8b75eb4b37c {
		t.Errorf("hash %#x", a)
	}
	if Weight(a, b) != Weight(b, a) || Weight(a, b) != Mix(a^b) || Weight(a, b) == Weight(a, a) {
		t.Error("weights")
	}
}
