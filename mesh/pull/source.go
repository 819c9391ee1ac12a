package pull

import (
	"slices"

	"cardea/relay/link"
)

// source is a node that was asked for a stream, as the asking want sees it.
type source struct {
	node  link.NodeID
	asked int64 // ns, when

	// What it said.
	path     []link.NodeID // from the publisher's node to it; empty while it has no way there
	pathAt   int64         // when that became or ceased to be empty
	offer    uint64        // incarnation that it has, 0 for none
	layers   uint8         // how many that has
	video    bool
	answered bool

	fed      int64  // since when its packets go into the open stream, 0 if they do not
	packets  uint64 // that came
	rival    uint64 // packets of the main source when this one began beside it
	stalled  bool   // its link is silent
	starved  bool   // it says that it sends, and nothing comes
	lacking  int    // hints in a row that said so
	hint     hinted // the last of its hints
	told     uint8  // layers it was told that are wanted
	informed bool   // it was told any
}

// hinted is what was known when a source's hints came.
type hinted struct {
	sent, got uint64 // packets
	known     bool
}

// rooted tells whether the source has a way to the publisher's node.
func (s *source) rooted() bool { return len(s.path) > 0 }

// waits tells whether the source waits for this node, directly or not, to get the stream.
func (s *source) waits(self link.NodeID) bool { return slices.Contains(s.path, self) }

// progress takes how many packets came so far.
func (s *source) progress(packets uint64) {
	if packets != s.packets {
		s.packets, s.starved, s.lacking = packets, false, 0
	}
}

const (
	// A source is given up when it says in this many hints in a row that it sent at least so many packets since the one
	// before, and none came. One such hint may have overtaken the packets.
	starvedHints, starvedPackets = 2, 3
)

// hints takes how many packets the source says it has sent. That it sends is told by itself, so neither silence nor a muted
// publisher looks like loss.
func (s *source) hints(sent uint64) {
	if s.hint.known && sent >= s.hint.sent+starvedPackets && s.packets == s.hint.got && s.fed != 0 {
		s.lacking++
		s.starved = s.lacking >= starvedHints
	}
	s.hint = hinted{sent: sent, got: s.packets, known: true}
}
