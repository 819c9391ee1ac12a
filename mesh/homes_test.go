package mesh

import "testing"

// TestHomesForgotten wants nothing kept of a room that nobody here has open any more, whatever comes late.
func TestHomesForgotten(t *testing.T) {
	var h homes
	h.init()
	h.open["a/1"], h.open["a/2"] = 2, 1
	if !h.set("a/1", "alice", "far") || h.set("a/1", "alice", "far") || !h.set("a/2", "bob", "far") {
		t.Error("what is news is not told apart")
	}
	h.closed("a/1")
	if len(h.media["a/1"]) != 1 {
		t.Error("forgotten while somebody has the room open")
	}
	h.closed("a/1")
	if h.set("a/1", "alice", "farther") {
		t.Error("noted after the end")
	}
	if !h.set("a/2", "bob", "") {
		t.Error("that bob's media is where his session is, is no news")
	}
	h.closed("a/2")
	if len(h.media) != 0 || len(h.open) != 0 {
		t.Errorf("left over: %v, %v", h.media, h.open)
	}
}
