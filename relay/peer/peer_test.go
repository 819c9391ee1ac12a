package peer

import (
	"errors"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"

	"cardea/relay/plane"
	"cardea/relay/rtcp"
	"cardea/relay/stream"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// sendLine is a line on which the node sends.
func sendLine(mid string, ssrc, rtx uint32) plane.Line {
	l := videoLine(mid, plane.SendOnly)
	l.SSRC, l.RTX = ssrc, rtx
	if rtx == 0 {
		l.Codecs = slices.Clone(l.Codecs)
		l.Codecs[0].RTX = 0
	}
	return l
}

// pair is a publisher of "v" and a subscriber to it on line "w".
func (s *stand) pair() (publisher, subscriber *caller) {
	publisher, subscriber = s.newCaller("publisher"), s.newCaller("subscriber")
	publisher.negotiate(1, videoLine("v", plane.RecvOnly))
	publisher.publish(publication("v"))
	subscriber.negotiate(1, sendLine("w", 1000, 1001))
	subscriber.subscribe()
	return publisher, subscriber
}

func (c *caller) subscribe() {
	c.s.t.Helper()
	sub := plane.Subscription{Mid: "w", Stream: publication("v").Stream, Substream: -1, Temporal: -1, SpatialLayer: -1, TemporalSVC: -1}
	if err := c.peer.Subscribe([]plane.Subscription{sub}); err != nil {
		c.s.t.Fatal(err)
	}
}

// TestSSRCsStayTheirOwn: an SSRC of ours is one line's for ever, as its numbers are nonces; what contradicts that is refused
// and changes nothing.
func TestSSRCsStayTheirOwn(t *testing.T) {
	s := newStand(t)
	_, sub := s.pair()
	for name, lines := range map[string][]plane.Line{
		"twice":                   {sendLine("w", 1000, 1001), sendLine("x", 1000, 0)},
		"of retransmissions":      {sendLine("w", 1000, 1001), sendLine("x", 1001, 0)},
		"its own retransmissions": {sendLine("w", 1000, 1000)},
		"swapped":                 {sendLine("x", 1000, 0), sendLine("w", 1002, 0)},
	} {
		err := sub.peer.Negotiate(plane.Session{Version: 2, Lines: lines})
		if !errors.Is(err, plane.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if sub.peer.version != 1 || len(sub.peer.lines) != 1 {
		t.Error("a refused session was applied")
	}
	sub.negotiate(2, sendLine("w", 1000, 1001), sendLine("x", 2000, 0))
	sub.negotiate(3, sendLine("w", 1000, 1001)) // x is gone ...
	if err := sub.peer.Negotiate(plane.Session{Version: 4, Lines: []plane.Line{sendLine("w", 1000, 1001), sendLine("x", 2000, 0)}}); !errors.Is(err, plane.ErrInvalid) {
		t.Errorf("... and its numbers begin anew under its SSRC: %v", err)
	}
}

// TestSSRCChanges: a line that gets another SSRC, or retransmissions, sends under them what the client can open.
func TestSSRCChanges(t *testing.T) {
	s := newStand(t)
	pub, sub := s.pair()
	seq := uint16(0)
	for i, line := range []plane.Line{sendLine("w", 1000, 0), sendLine("w", 1000, 1001), sendLine("w", 3000, 3001)} {
		sub.negotiate(uint64(i+2), line) //nolint:gosec // small
		pub.send(packet{ssrc: 1, seq: seq, stamp: uint32(seq) * 3000, key: true})
		media, _ := sub.got() // opens it
		if len(media) != 1 || media[0].SSRC != line.SSRC {
			t.Fatalf("step %d: %d packets %+v", i, len(media), media)
		}
		s.pass(200*time.Millisecond, sub) // repairs may cost something
		sub.got()
		sub.sendRTCP(rtcp.AppendNACK(nil, 1, line.SSRC, []uint16{media[0].SequenceNumber}))
		again, _ := sub.got()
		want := line.RTX
		if want == 0 {
			want = line.SSRC
		}
		if len(again) != 1 || again[0].SSRC != want {
			t.Fatalf("step %d: sent again %+v, want SSRC %d", i, again, want)
		}
		seq++
	}
}

// TestRTXFeedbackIsNotMedias: reports and requests about the SSRC of retransmissions have numbers of their own.
func TestRTXFeedbackIsNotMedias(t *testing.T) {
	s := newStand(t)
	pub, sub := s.pair()
	pub.send(packet{ssrc: 1, seq: 1, key: true})
	media, _ := sub.got()
	sub.sendRTCP(rtcp.AppendReceiverReport(nil, 9, []rtcp.ReportBlock{{SSRC: 1000, Lost: 3}, {SSRC: 1001, Lost: 500}}))
	if got := sub.peer.Stats().Lines[0].Lost; got != 3 {
		t.Errorf("%d lost, want 3", got)
	}
	s.now += int64(time.Second)
	sub.sendRTCP(rtcp.AppendNACK(nil, 1, 1001, []uint16{media[0].SequenceNumber}))
	if got := s.env.Metrics.NACKsIn.Load(); got != 0 {
		t.Errorf("%d packets of media were asked for by the numbers of retransmissions", got)
	}
}

// TestFaultySink: a sink that panics is removed, its peer ended, and the other subscribers go on.
func TestFaultySink(t *testing.T) {
	s := newStand(t)
	pub, sub := s.pair()
	faulty := s.record("v")
	faulty.panics = true
	after := s.record("v")
	pub.send(packet{ssrc: 1, seq: 1, key: true})
	pub.send(packet{ssrc: 1, seq: 2})
	if media, _ := sub.got(); len(media) != 2 || len(after.seqs) != 2 {
		t.Errorf("%d packets to the subscriber, %d to the sink behind the faulty one", len(media), len(after.seqs))
	}
	if len(s.faults) != 1 {
		t.Errorf("%d faults reported", len(s.faults))
	}
	d := sub.peer.lines[0].down
	d.sender = nil
	d.track = nil // as broken as can be
	pub.send(packet{ssrc: 1, seq: 3})
	d.sender = sub.node.NewSender(1)
	pub.send(packet{ssrc: 1, seq: 4})
	if len(s.faults) != 2 || s.faults[1] != sub.peer {
		t.Errorf("faults of %v, want the subscriber", s.faults)
	}
	d.track = stream.NewTrack(stream.TrackConfig{}) // so that it can be closed
}

// TestEnd: the end is told once, nothing is told after it, and nothing more is taken.
func TestEnd(t *testing.T) {
	s := newStand(t)
	pub, _ := s.pair()
	pub.send(packet{ssrc: 1, seq: 1, key: true})
	pub.peer.End("first")
	pub.peer.End("second")
	told := s.told(plane.EventDown)
	if len(told) != 1 || told[0].Reason != "first" {
		t.Fatalf("%+v", told)
	}
	n := len(s.events)
	if pub.send(packet{ssrc: 1, seq: 2}) {
		t.Error("media of a peer that has ended is taken")
	}
	pub.publish(publication("v"))
	if s.env.Streams.Len() != 0 {
		t.Error("a peer that has ended publishes")
	}
	s.pass(2*time.Second, pub)
	pub.peer.Close()
	pub.peer.Close()
	pub.peer.End("third")
	if len(s.events) != n {
		t.Errorf("events after the end: %+v", s.events[n:])
	}
	if err := pub.peer.Publish(nil); !errors.Is(err, plane.ErrNoPeer) {
		t.Errorf("publish on a closed peer: %v", err)
	}
	if got := s.env.Metrics.Connected.Load(); got != 1 {
		t.Errorf("%d connected, want the subscriber", got)
	}
	pub.peer.connected() // as when a handshake ends just then
	if got := s.env.Metrics.Connected.Load(); got != 1 || len(s.events) != n {
		t.Error("a closed peer came up")
	}
}

// TestICEFailure: a client that falls silent is reported as disconnected, then as failed and down.
func TestICEFailure(t *testing.T) {
	s := newStand(t)
	c := s.newCaller("p")
	c.negotiate(1, videoLine("v", plane.RecvOnly))
	s.pass(20*time.Second, c) // no path was ever selected
	told := s.told(plane.EventDown)
	if len(told) != 1 || told[0].Reason != "ICE failed" {
		t.Fatalf("%+v", told)
	}
	if n := len(s.told(plane.EventICEFailed)); n != 0 {
		t.Error("ICE failed without having been connected")
	}
}

// TestSilentPeriods: receiving, and not any more, each told once.
func TestSilentPeriods(t *testing.T) {
	s := newStand(t)
	c := s.newCaller("p")
	c.negotiate(1, videoLine("v", plane.RecvOnly, three...))
	c.publish(publication("v"))
	c.send(packet{ssrc: 1, seq: 1, mid: "v", rid: "l", key: true})
	c.send(packet{ssrc: 3, seq: 1, mid: "v", rid: "h", key: true})
	s.pass(500*time.Millisecond, c)
	c.send(packet{ssrc: 1, seq: 2})
	s.pass(1400*time.Millisecond, c)
	c.send(packet{ssrc: 3, seq: 2})
	var got []int8
	for _, e := range s.told(plane.EventReceiving) {
		v := e.Substream
		if !e.Receiving {
			v = -10 - v
			if e.Silence < time.Second || e.Silence > 1100*time.Millisecond {
				t.Errorf("silence of %v", e.Silence)
			}
		}
		got = append(got, v)
	}
	if want := []int8{0, 2, -12, -10, 2}; !slices.Equal(got, want) {
		t.Errorf("events %v, want %v", got, want)
	}
}

// TestKeyframeCancelsWaiting: wishes that wait for their turn are fulfilled by a keyframe that comes meanwhile.
func TestKeyframeCancelsWaiting(t *testing.T) {
	s := newStand(t)
	pub, sub := s.pair()
	pub.send(packet{ssrc: 1, seq: 1, key: true})
	pli := rtcp.AppendPLI(nil, 1, 1000)
	requests := func() (n int) {
		_, control := pub.got()
		for _, p := range control {
			if p.Kind() == rtcp.PLI && p.Media == 1 {
				n++
			}
		}
		return n
	}
	s.now += int64(time.Second)
	sub.sendRTCP(pli)
	s.pass(100*time.Millisecond, pub)
	if n := requests(); n != 1 {
		t.Fatalf("%d requests at once", n)
	}
	s.now += int64(300 * time.Millisecond) // the track merges wishes of its own
	sub.sendRTCP(pli)
	pub.send(packet{ssrc: 1, seq: 2, key: true})
	s.pass(time.Second, pub)
	if n := requests(); n != 0 {
		t.Errorf("%d requests for what came", n)
	}
	sub.sendRTCP(pli)
	s.pass(100*time.Millisecond, pub)
	s.now += int64(300 * time.Millisecond)
	sub.sendRTCP(pli) // to a publisher that does not obey
	s.pass(time.Second, pub)
	if n := requests(); n != 2 {
		t.Errorf("%d requests to a deaf publisher, want 2", n)
	}
}

// TestUnpublishedMediaIsNoLoss: what is received while nobody publishes it is no loss afterwards.
func TestUnpublishedMediaIsNoLoss(t *testing.T) {
	s := newStand(t)
	c := s.newCaller("p")
	c.negotiate(1, videoLine("v", plane.RecvOnly))
	for i := range uint16(300) {
		switch i {
		case 50, 250:
			c.publish(publication("v"))
		case 100:
			c.publish()
		}
		c.send(packet{ssrc: 1, seq: i, key: i%50 == 0})
	}
	if st := c.peer.Stats().Lines[0]; st.Lost != 0 || st.Packets != 300 {
		t.Errorf("%d lost of %d", st.Lost, st.Packets)
	}
	s.pass(2*time.Second, c)
	if _, control := c.got(); slices.ContainsFunc(control, func(p rtcp.Packet) bool { return p.Kind() == rtcp.NACK }) {
		t.Error("asked for what came")
	}
}

// TestPacerForgivesDebt: what was sent while nothing was paced does not hold up the first picture.
func TestPacerForgivesDebt(t *testing.T) {
	var c pacer
	now := int64(time.Second)
	for range 100_000 {
		c.spend(1000) // sound, for an hour
	}
	c.rate.Store(2_000_000)
	c.exhausted(now)
	now += int64(pacerDebt) + int64(20*time.Millisecond)
	if c.exhausted(now) {
		t.Errorf("a picture waits for more than %v", pacerDebt)
	}
	if got, most := c.budget(now+int64(time.Minute)), pacerFloor; got > most {
		t.Errorf("a burst of %d bytes, at most %d", got, most)
	}
}

// TestTransportNumbersOnLinesWithout: packets of lines without transport-wide numbers are not remembered as carrying some.
func TestTransportNumbersOnLinesWithout(t *testing.T) {
	s := newStand(t)
	pub, sub := s.pair()
	s.now += int64(time.Second)
	before := s.env.Metrics.PacketsOut.Load()
	pub.send(packet{ssrc: 1, seq: 1, key: true})
	if s.env.Metrics.PacketsOut.Load() == before {
		t.Fatal("nothing sent")
	}
	var f rtcp.TransportFeedback
	b, _ := rtcp.AppendTWCC(nil, 1, 1000, 0, 0, []rtcp.Arrival{{Sequence: 0, Time: 1e9}, {Sequence: 100, Time: 2e9}})
	p, _, err := rtcp.Next(b)
	if err != nil {
		t.Fatal(err)
	}
	f, _ = p.TransportFeedback()
	if got := sub.peer.estimator.Sent.Resolve(&f, s.now, nil); len(got) != 0 {
		t.Errorf("%d packets are taken for numbered", len(got))
	}
}
