package media_test

import (
	"encoding/binary"
	"sync"
	"testing"

	"github.com/pion/rtcp"

	"cardea/signaling/sdp"
)

// loss loses the first copy of every few packets of one SSRC.
func loss(ssrc uint32, every uint16) *func([]byte) bool {
	var mu sync.Mutex
	lost := map[uint16]bool{}
	f := func(b []byte) bool {
		if !isRTP(b) || binary.BigEndian.Uint32(b[8:]) != ssrc {
			return false
		}
		seq := binary.BigEndian.Uint16(b[2:])
		mu.Lock()
		defer mu.Unlock()
		if seq%every != 0 || lost[seq] {
			return false
		}
		lost[seq] = true
		return true
	}
	return &f
}

// TestRepairFromPublisher loses packets on the way to the node, which asks for them by NACK and puts the retransmissions
// into their places.
func TestRepairFromPublisher(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	cam := w.newPublisher(t, profile{})
	viewer := w.watch(t, cam.c, profile{})
	viewer.more("1", 10)
	cam.c.link.dropOut.Store(loss(cam.tracks[0].ssrc, 15))
	viewer.more("1", 400)
	cam.c.link.dropOut.Store(nil)
	viewer.more("1", 60)
	checkAllFrames(t, viewer.on("1"))
	st := w.line(cam.c, "1", false)
	if st.Repaired < 20 || st.NACKs < st.Repaired {
		t.Errorf("%d repaired, %d asked for", st.Repaired, st.NACKs)
	}
	if st.Lost > 2 {
		t.Errorf("%d lost though they were repaired", st.Lost)
	}
	if peer, err := w.relay.Stats(t.Context(), cam.c.id); err != nil || peer.RTT <= 0 {
		t.Errorf("round-trip time of a publisher that was asked again: %v, %v", peer.RTT, err)
	}
}

// TestRepairToSubscriber loses packets on the way from the node, which sends them again, in RTX form or as they were.
func TestRepairToSubscriber(t *testing.T) {
	t.Parallel()
	for _, rtx := range []bool{true, false} {
		t.Run(map[bool]string{true: "RTX", false: "plain"}[rtx], func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			cam := w.newPublisher(t, profile{})
			viewer := w.newClient(t, profile{})
			viewer.offeredWith(func(lines []sdp.Media) {
				for i := range lines[0].Codecs {
					if !rtx {
						lines[0].Codecs[i].RTX = 0
					}
				}
			}, videoFeed("0"))
			viewer.subscribe(want("0", stream(cam.c, "1")))
			viewer.awaitUp()
			viewer.more("0", 10)
			viewer.link.dropIn.Store(loss(viewer.settled[0].SSRC, 15))
			viewer.more("0", 400)
			viewer.link.dropIn.Store(nil)
			viewer.more("0", 60)
			checkAllFrames(t, viewer.on("0"))
			if st := w.line(viewer, "0", true); st.Repaired < 20 {
				t.Errorf("%d sent again", st.Repaired)
			}
			if (viewer.settled[0].RTX != 0) != rtx {
				t.Errorf("RTX %d", viewer.settled[0].RTX)
			}
		})
	}
}

// checkAllFrames wants every packet of every frame between the first and the last but few, in whatever order.
func checkAllFrames(t *testing.T, r *received) {
	t.Helper()
	have := map[tagged]bool{}
	first, last := 1<<30, 0
	for _, p := range r.sofar() {
		x := untag(&p)
		if len(p.Payload) == 0 {
			continue // filler
		}
		if !x.ok {
			t.Fatalf("not what was sent: %x", p.Payload)
		}
		have[x] = true
		first, last = min(first, x.n), max(last, x.n)
	}
	for n := first; n <= last-10; n++ {
		for i := range framePackets {
			if !have[tagged{0, i, n, true}] {
				t.Errorf("packet %d of frame %d (%d to %d) never came", i, n, first, last)
			}
		}
	}
}

// TestNACKCap wants a subscriber who asks for everything again and again to be sent no more than a share.
func TestNACKCap(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	cam := w.newPublisher(t, profile{})
	viewer := w.watch(t, cam.c, profile{noNACK: true})
	viewer.more("1", 150)
	ssrc := viewer.settled[1].SSRC
	seen := viewer.on("1").count()
	for range 500 { // without waiting for anything
		packets := viewer.on("1").sofar()
		var seqs []uint16
		for _, p := range packets[max(0, len(packets)-120):] {
			seqs = append(seqs, p.SequenceNumber)
		}
		nack := &rtcp.TransportLayerNack{SenderSSRC: 1, MediaSSRC: ssrc, Nacks: rtcp.NackPairsFromSequenceNumbers(seqs)}
		if err := viewer.pc.WriteRTCP([]rtcp.Packet{nack}); err != nil {
			t.Fatal(err)
		}
	}
	viewer.more("1", 60)
	m := &w.relay.Metrics().Peer
	await(t, "requests answered", func() bool { return m.NACKsIn.Load() > 5_000 })
	again, refused := m.Retransmitted.Load(), m.RetransmissionsRefused.Load()
	if again == 0 || refused < again {
		t.Errorf("%d sent again, %d refused", again, refused)
	}
	if fresh := uint64(viewer.on("1").count() - seen); again > 600+fresh { //nolint:gosec // grows
		t.Errorf("%d packets again while %d new ones came", again, fresh)
	}
}
