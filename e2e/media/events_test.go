package media_test

import (
	"testing"
	"time"

	"cardea/relay/plane"
)

// TestTalking reports talking from the average level, across renegotiation and mute.
func TestTalking(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	cam := w.newPublisher(t, profile{})
	talking := func(packets int, muted bool) {
		cam.c.publish(func(p *plane.Publication) { p.Talking, p.Muted = &plane.Talking{Packets: packets, Level: 50}, muted }) //nolint:gosec // small
	}
	level := func(v uint8) { cam.with(func() { cam.level = v }) }
	changes := func(n int, on bool) {
		t.Helper()
		await(t, "talking", func() bool { return len(w.told(cam.c.id, plane.EventTalking)) >= n })
		told := w.told(cam.c.id, plane.EventTalking)
		if e := told[len(told)-1]; len(told) != n || e.Talking != on || e.Mid != "0" {
			t.Fatalf("%d events, the last one %+v", len(told), e)
		}
	}
	talking(5, false)
	changes(1, true)
	level(90)
	changes(2, false)
	level(20)
	changes(3, true)
	talking(8, false) // judged otherwise, but talking all the same
	sent := cam.sent()
	await(t, "more sound", func() bool { return cam.sent() > sent+30 })
	changes(3, true)
	talking(8, true)
	changes(4, false)
	talking(8, false)
	changes(5, true)
	cam.c.offer(nil, nil, nil) // renegotiation changes nothing
	sent = cam.sent()
	await(t, "more sound", func() bool { return cam.sent() > sent+30 })
	changes(5, true)
	cam.c.publish(nil)
	changes(6, false)
}

// TestReceiving reports media that stops and starts, once each, also on a line that is put on hold and taken up again.
func TestReceiving(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	cam := w.newPublisher(t, profile{})
	viewer := w.watch(t, cam.c, profile{})
	count := func(mid string, on bool) (n int) {
		for _, e := range w.told(cam.c.id, plane.EventReceiving) {
			if e.Mid == mid && e.Receiving == on {
				n++
				if e.Substream != -1 || !on && e.Silence < 300*time.Millisecond {
					t.Errorf("%+v", e)
				}
			}
		}
		return n
	}
	expect := func(on, off int) {
		t.Helper()
		await(t, "receiving", func() bool {
			return count("0", true) == on && count("1", true) == on && count("0", false) == off && count("1", false) == off
		})
	}
	expect(1, 0)
	cam.with(func() { cam.held = true })
	expect(1, 1)
	cam.with(func() { cam.held = false })
	expect(2, 1)
	viewer.more("1", 10)
	hold := map[string]plane.Direction{"0": plane.Inactive, "1": plane.Inactive}
	cam.c.offer(hold, nil, nil)
	await(t, "nothing published", func() bool { return w.relay.Streams() == 0 })
	expect(2, 2)
	cam.c.offer(nil, nil, nil)
	expect(3, 2)
	viewer.more("1", 30) // the SSRC is the same, and so are its rollover counter and numbers
}

// TestMute drops what a moderated publisher sends; afterwards subscribers go on without a gap.
func TestMute(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	cam := w.newPublisher(t, profile{})
	viewer := w.watch(t, cam.c, profile{noNACK: true})
	viewer.more("1", 30)
	cam.c.publish(func(p *plane.Publication) { p.Muted = true })
	from := cam.sent()
	await(t, "the publisher going on", func() bool { return cam.sent() > from+30 })
	to := cam.sent()
	cam.c.publish(nil)
	viewer.more("1", 60)
	viewer.more("0", 20)
	checkSwitches(t, viewer.on("1").sofar())
	for _, mid := range []string{"0", "1"} {
		for _, p := range viewer.on(mid).sofar() {
			if n := untag(&p).n; n > from+1 && n < to-1 {
				t.Fatalf("line %s: frame %d came, muted were %d to %d", mid, n, from, to)
			}
		}
	}
	sound := viewer.on("0").sofar()
	for i := 1; i < len(sound); i++ {
		if sound[i].SequenceNumber != sound[i-1].SequenceNumber+1 {
			t.Fatalf("sound: number %d follows %d", sound[i].SequenceNumber, sound[i-1].SequenceNumber)
		}
	}
}

// TestEcho lets a client hear itself: publisher and subscriber are one peer.
func TestEcho(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.newClient(t, profile{})
	cam := newCamera(t, c)
	c.offer(map[string]plane.Direction{"0": plane.SendRecv, "1": plane.SendRecv}, nil, nil)
	c.publish(nil)
	c.subscribe(want("0", stream(c, "0")), want("1", stream(c, "1")))
	c.awaitUp()
	cam.run()
	c.more("0", 20)
	c.more("1", 60)
	checkContinuous(t, c.on("1").sofar())
	c.subscribe()
	c.publish(func(p *plane.Publication) { p.Stream.Room = "another" })
	await(t, "moved", func() bool { return w.line(c, "1", false).Stream.Room == "another" })
	s := stream(c, "1")
	s.Room = "another"
	c.subscribe(want("1", s))
	c.more("1", 60)
	checkSwitches(t, c.on("1").sofar())
}

// TestGoodbye ends a client by its own word: it is reported down once, and its streams are gone.
func TestGoodbye(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	cam := w.newPublisher(t, profile{})
	viewer := w.watch(t, cam.c, profile{})
	viewer.more("1", 10)
	cam.end()
	if err := cam.c.pc.Close(); err != nil {
		t.Fatal(err)
	}
	w.awaitEvent(cam.c.id, plane.EventDown, func(e plane.Event) bool { return e.Reason == "DTLS alert" })
	await(t, "its streams being gone", func() bool { return w.relay.Streams() == 0 })
	for range 2 { // the second time does no harm
		if err := w.relay.Close(t.Context(), cam.c.id); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(w.told(cam.c.id, plane.EventDown)); n != 1 {
		t.Errorf("%d events down", n)
	}
	if n := w.relay.Peers(); n != 1 {
		t.Errorf("%d peers", n)
	}
	if n := w.relay.Metrics().Peer.Connected.Load(); n != 1 {
		t.Errorf("%d connected", n)
	}
	if err := w.relay.Publish(t.Context(), cam.c.id, nil); err == nil {
		t.Error("a closed peer publishes")
	}
}
