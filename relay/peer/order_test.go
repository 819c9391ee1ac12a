package peer

import (
	"testing"
	"time"

	"cardea/relay/plane"
	"cardea/relay/udp"
)

// TestOrderAtHandover: the ticker catches a track up, then the loop goes on with what is live. Both have an outbox, and what
// the ticker holds must not be overtaken.
func TestOrderAtHandover(t *testing.T) {
	s := newStand(t)
	from, to := s.newCaller("from"), s.newCaller("to")
	from.negotiate(1, videoLine("v", plane.RecvOnly))
	from.publish(publication("v"))
	for i := range 20 {
		from.send(packet{ssrc: 1, seq: uint16(i), stamp: uint32(i) * 3000, mid: "v", key: i == 0}) //nolint:gosec // small
	}
	line := videoLine("v", plane.SendOnly)
	line.SSRC = 77
	to.negotiate(1, line)
	if err := to.peer.Subscribe([]plane.Subscription{{Mid: "v", Stream: publication("v").Stream, Substream: -1, Temporal: -1, SpatialLayer: -1, TemporalSVC: -1}}); err != nil {
		t.Fatal(err)
	}
	ticker := udp.NewOutbox(s.env.Sockets)
	s.now += int64(5 * time.Millisecond)
	to.peer.Drain(s.now, ticker) // and is held up before it can flush
	from.send(packet{ssrc: 1, seq: 20, stamp: 20 * 3000, mid: "v"})
	_ = ticker.Flush()
	media, _ := to.got()
	if len(media) != 21 {
		t.Fatalf("%d packets", len(media))
	}
	for i := 1; i < len(media); i++ {
		if d := media[i].SequenceNumber - media[i-1].SequenceNumber; d != 1 {
			t.Fatalf("packet %d: number %d follows %d", i, media[i].SequenceNumber, media[i-1].SequenceNumber)
		}
	}
}
