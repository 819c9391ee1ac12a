package far

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"cardea/relay/link"
	"cardea/relay/plane"
	"cardea/signaling/janus/janustest"

	"github.com/google/go-cmp/cmp"
)

// TestCalls makes every call of the seam at another node, over a slow link.
func TestCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := build(t)
		n.delay = 400 * time.Millisecond
		media, _ := n.media("m")
		p, _ := n.signaling("s", nil, to("m"))
		ctx := t.Context()
		stream := plane.StreamID{Room: "r", Publisher: "p", Mid: "0"}
		opts := plane.PeerOptions{NoMediaTimer: time.Second, Label: "l", Session: "one", Client: "192.0.2.1"}
		transport := must[plane.Transport](t)(p.Open(ctx, "a", opts))
		if transport.Ufrag != "node0" || len(transport.Candidates) != 1 {
			t.Errorf("transport %+v", transport)
		}
		if tr := must[plane.Transport](t)(p.Restart(ctx, "a", 2)); tr.Ufrag != "node2" {
			t.Errorf("restarted %+v", tr)
		}
		session := plane.Session{Version: 3, Setup: plane.Passive, Lines: []plane.Line{{Mid: "0", Kind: plane.Audio, Direction: plane.SendRecv}}}
		ok(t, p.Negotiate(ctx, "a", session))
		ok(t, p.AddCandidates(ctx, "a", []plane.Candidate{{Address: "192.0.2.7", Port: 1}}, true))
		ok(t, p.Publish(ctx, "a", []plane.Publication{{Mid: "0", Stream: stream, Talking: &plane.Talking{Packets: 1}}}))
		if at, there := p.Publisher("r", "p"); at != "m" || !there {
			t.Errorf("the publisher is at %q", at)
		}
		ok(t, p.Subscribe(ctx, "a", []plane.Subscription{{Mid: "0", Stream: stream, Substream: -1, PlayoutDelay: &plane.PlayoutDelay{Max: 1}}}))
		ok(t, p.Keyframe(ctx, stream))
		if port := must[uint16](t)(p.Forward(ctx, plane.Forwarder{ID: "f", Stream: stream, SRTPKey: []byte{1}, RTCPPort: 9})); port != janustest.RTCPPort {
			t.Errorf("RTCP comes to port %d", port)
		}
		ok(t, p.Keep(ctx, "a", 4, []byte("kept")))
		media.SetStats("a", plane.PeerStats{State: "connected", Lines: []plane.LineStats{{Mid: "0", Stream: stream}}})
		st := must[plane.PeerStats](t)(p.Stats(ctx, "a"))
		if st.State != "connected" || len(st.Lines) != 1 || st.Lines[0].Stream != stream {
			t.Errorf("stats %+v", st)
		}
		kept := must[[]plane.Kept](t)(p.Kept(ctx, "one"))
		if want := []plane.Kept{{Peer: "a", Version: 4, Snapshot: []byte("kept")}}; !cmp.Equal(kept, want) {
			t.Errorf("kept %+v", kept)
		}
		ok(t, p.Adopt(ctx, "a", 9))
		peer, _ := media.Peer("a")
		if !cmp.Equal(peer.Options, opts) || peer.Generation != 2 || !cmp.Equal(peer.Session, session) || !peer.Complete || peer.Epoch != 9 ||
			peer.Publications[0].Talking.Packets != 1 || peer.Subscriptions[0].PlayoutDelay.Max != 1 || peer.Candidates[0].Port != 1 {
			t.Errorf("the peer is %+v", peer)
		}
		if len(media.Keyframes()) != 1 || len(media.Forwarders()["f"].SRTPKey) != 1 {
			t.Errorf("keyframes %v, forwarders %v", media.Keyframes(), media.Forwarders())
		}
		ok(t, p.StopForward(ctx, "f"))
		ok(t, p.Close(ctx, "a"))
		ok(t, p.Close(ctx, "a"))
		if peer, _ := media.Peer("a"); !peer.Closed || len(media.Forwarders()) != 0 {
			t.Errorf("left: %+v, %v", peer, media.Forwarders())
		}
		is(t, p.Publish(ctx, "a", nil), plane.ErrNoPeer)
		if len(p.places.peers)+len(p.places.nodes)+len(p.places.sessions)+len(p.places.published)+len(p.places.publishers)+len(p.places.wanted)+len(p.places.forwarders) != 0 {
			t.Errorf("remembered: %+v", p.places)
		}
	})
}

// TestErrors wants the errors of a far plane to be those of a near one.
func TestErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := build(t)
		media, _ := n.media("m")
		p, _ := n.signaling("s", nil, to("m"))
		must[plane.Transport](t)(p.Open(t.Context(), "a", plane.PeerOptions{}))
		for _, err := range []error{plane.ErrStale, plane.ErrInvalid, plane.ErrNoPeer} {
			media.Fail("Publish", err)
			is(t, p.Publish(t.Context(), "a", nil), err)
		}
		is(t, p.Negotiate(t.Context(), "a", plane.Session{Setup: 7}), plane.ErrInvalid)
		n.set(func() { n.cut["m"] = true })
		is(t, p.Publish(t.Context(), "a", nil), ErrUnreachable)
		is(t, p.Close(t.Context(), "a"), ErrUnreachable)
		n.set(func() { n.cut["m"] = false })
		ok(t, p.Close(t.Context(), "a"))
	})
}

// TestRepeated loses answers: the call is made again, and does what it does once.
func TestRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := build(t)
		media, _ := n.media("m")
		p, _ := n.signaling("s", nil, to("m"))
		n.set(func() { n.drop[KindOpen], n.drop[KindClose] = 2, 1 })
		must[plane.Transport](t)(p.Open(t.Context(), "a", plane.PeerOptions{}))
		if n.calls[KindOpen] != 3 || len(media.Peers()) != 1 {
			t.Errorf("%d calls, %d peers", n.calls[KindOpen], len(media.Peers()))
		}
		ok(t, p.Close(t.Context(), "a"))
	})
}

// TestEventsApart wants each signaling node, the media node's own included, to hear of its own peers only.
func TestEventsApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := build(t)
		media, server := n.media("m")
		other, _ := n.media("o")
		near, _ := n.signaling("m", server.Local(), nil)
		s, _ := n.signaling("s", nil, func(w Wish) link.NodeID {
			if w.Options.Label == "other" {
				return "o"
			}
			return "m"
		})
		must[plane.Transport](t)(near.Open(t.Context(), "near", plane.PeerOptions{}))
		must[plane.Transport](t)(s.Open(t.Context(), "far", plane.PeerOptions{}))
		must[plane.Transport](t)(s.Open(t.Context(), "farther", plane.PeerOptions{Label: "other"}))
		ofNear, ofFar := &reader{p: near}, &reader{p: s}
		media.Up("near")
		media.Up("nobody's")
		media.Up("far")
		synctest.Wait()
		other.Up("farther")
		for _, want := range []struct {
			r  *reader
			id plane.PeerID
			n  uint64
		}{{ofNear, "near", 1}, {ofFar, "far", 1}, {ofFar, "farther", 2}} {
			e, err := want.r.next(t)
			if err != nil || e.Peer != want.id || e.Number != want.n || e.Type != plane.EventUp || e.Temporal != -1 {
				t.Errorf("got %+v %v, want %s", e, err, want.id)
			}
		}
		ofNear.none(t)
		ofFar.none(t)
		is(t, near.Close(t.Context(), "far"), nil)
		_, err := near.Stats(t.Context(), "far")
		is(t, err, plane.ErrNoPeer)
		if peer, _ := media.Peer("far"); peer.Closed {
			t.Error("another node's peer was closed")
		}
	})
}

// TestEventsLost has a media node forget events, and one start again.
func TestEventsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := build(t)
		media, _ := n.media("m")
		p, _ := n.signaling("s", nil, to("m"))
		r := &reader{p: p}
		must[plane.Transport](t)(p.Open(t.Context(), "a", plane.PeerOptions{}))
		media.Lose(5)
		_, err := r.next(t)
		is(t, err, plane.ErrEventsLost)
		media.Up("a")
		if e, err := r.next(t); err != nil || e.Peer != "a" {
			t.Errorf("then came %+v %v", e, err)
		}
		n.media("m") // a new process there
		_, err = r.next(t)
		is(t, err, plane.ErrEventsLost)
		_, err = p.Stats(t.Context(), "a")
		is(t, err, plane.ErrNoPeer)
	})
}

// TestMediaGone has a media node die.
func TestMediaGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := build(t)
		n.media("m")
		n.media("o")
		at := link.NodeID("m")
		p, _ := n.signaling("s", nil, func(Wish) link.NodeID { return at })
		p.SetNodes([]link.NodeID{"m", "o", "s"})
		must[plane.Transport](t)(p.Open(t.Context(), "a", plane.PeerOptions{}))
		at = "o"
		must[plane.Transport](t)(p.Open(t.Context(), "b", plane.PeerOptions{}))
		p.SetNodes([]link.NodeID{"o", "s"})
		r := &reader{p: p}
		if e, err := r.next(t); err != nil || e.Peer != "a" || e.Type != plane.EventDown {
			t.Errorf("got %+v %v", e, err)
		}
		r.none(t)
		is(t, p.Publish(t.Context(), "a", nil), plane.ErrNoPeer)
		is(t, p.Close(t.Context(), "a"), nil)
		ok(t, p.Publish(t.Context(), "b", nil))
		at = "m"
		_, err := p.Open(t.Context(), "c", plane.PeerOptions{})
		is(t, err, plane.ErrOverloaded)
	})
}

// TestOpenElsewhere has media nodes that refuse or do not answer followed by others.
func TestOpenElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := build(t)
		full, _ := n.media("full")
		silent, _ := n.media("silent")
		good, _ := n.media("good")
		var wishes []Wish
		p, _ := n.signaling("s", nil, func(w Wish) link.NodeID {
			wishes = append(wishes, w)
			return []link.NodeID{"full", "silent", "good"}[len(w.Not)]
		})
		full.Fail("Open", plane.ErrOverloaded)
		n.set(func() { n.drop[KindOpen] = 0 })
		silent.Hook("Open", func() { n.set(func() { n.cut["silent"] = true }) }) // it does what it is asked and cannot say so
		must[plane.Transport](t)(p.Open(t.Context(), "a", plane.PeerOptions{Session: "one"}))
		if peer, _ := good.Peer("a"); peer.ID != "a" {
			t.Error("not opened at the last choice")
		}
		if peer, _ := silent.Peer("a"); peer.ID != "a" {
			t.Error("the silent node was not asked")
		}
		must[plane.Transport](t)(p.Open(t.Context(), "a", plane.PeerOptions{Session: "one"})) // finds it
		if len(wishes) != 3 {
			t.Errorf("chosen %d times", len(wishes))
		}
		n.set(func() { n.cut["silent"] = false })
		time.Sleep(pollTime + 2*retryTime)
		if peer, _ := silent.Peer("a"); !peer.Closed {
			t.Error("left open at the node that did not answer")
		}
		good.Fail("Open", plane.ErrOverloaded)
		_, err := p.Open(t.Context(), "b", plane.PeerOptions{Session: "one"})
		is(t, err, plane.ErrOverloaded)
		if wishes[3].Beside != "good" {
			t.Errorf("wish %+v", wishes[3])
		}
	})
}

// TestSignalingGone has a signaling process die: its peers are closed after the grace, and not before.
func TestSignalingGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := build(t)
		media, server := n.media("m")
		near, _ := n.signaling("m", server.Local(), nil)
		p, stop := n.signaling("s", nil, to("m"))
		must[plane.Transport](t)(near.Open(t.Context(), "near", plane.PeerOptions{}))
		must[plane.Transport](t)(p.Open(t.Context(), "a", plane.PeerOptions{}))
		stream := plane.StreamID{Room: "r"}
		ok(t, p.Publish(t.Context(), "a", []plane.Publication{{Mid: "0", Stream: stream}}))
		_, err := p.Forward(t.Context(), plane.Forwarder{ID: "f", Stream: stream})
		ok(t, err)
		time.Sleep(5 * time.Minute) // idle is not dead
		if peer, _ := media.Peer("a"); peer.Closed {
			t.Fatal("closed although its owner lives")
		}
		stop()
		time.Sleep(19 * time.Second)
		if peer, _ := media.Peer("a"); peer.Closed {
			t.Error("closed before the grace was over")
		}
		time.Sleep(pollTime + 3*time.Second)
		if peer, _ := media.Peer("a"); !peer.Closed || len(media.Forwarders()) != 0 {
			t.Error("left open")
		}
		if peer, _ := media.Peer("near"); peer.Closed {
			t.Error("another's peer was closed")
		}
	})
}

// TestAdoption has a signaling node adopt the peers of one that was thought dead and comes back.
func TestAdoption(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := build(t)
		media, _ := n.media("m")
		var where []link.NodeID
		old := New(Config{
			Self: "old", Call: n.call("old"), Choose: func(context.Context, Wish) link.NodeID { return "m" },
			Placed: func(session string, at []link.NodeID) { where = at },
		})
		n.run(old.Run)
		ctx := t.Context()
		must[plane.Transport](t)(old.Open(ctx, "a", plane.PeerOptions{Session: "one"}))
		ok(t, old.Keep(ctx, "a", 1, []byte("snapshot")))
		if !cmp.Equal(where, []link.NodeID{"m"}) {
			t.Fatalf("the session is said to be at %v", where)
		}
		n.set(func() { n.cut["old"] = true })

		heir := New(Config{
			Self: "heir", Call: n.call("heir"), Places: func(context.Context, string) []link.NodeID { return append(where, "unknown") },
		})
		n.run(heir.Run)
		is(t, heir.Adopt(ctx, "a", 2), plane.ErrNoPeer) // not found yet
		kept := must[[]plane.Kept](t)(heir.Kept(ctx, "one"))
		if len(kept) != 1 || string(kept[0].Snapshot) != "snapshot" {
			t.Fatalf("kept %+v", kept)
		}
		ok(t, heir.Adopt(ctx, "a", 2))
		ok(t, heir.Publish(ctx, "a", nil))
		r := &reader{p: heir}
		media.Up("a")
		if e, err := r.next(t); err != nil || e.Peer != "a" {
			t.Errorf("the heir hears %+v %v", e, err)
		}

		n.set(func() { n.cut["old"] = false })
		is(t, old.Publish(ctx, "a", nil), plane.ErrNoPeer)
		is(t, old.Keep(ctx, "a", 2, nil), plane.ErrNoPeer)
		is(t, old.Adopt(ctx, "a", 1), plane.ErrStale)
		is(t, old.Adopt(ctx, "a", 2), plane.ErrStale)
		is(t, old.Close(ctx, "a"), nil)
		time.Sleep(5 * time.Minute)
		if peer, _ := media.Peer("a"); peer.Closed {
			t.Error("closed with its former owner's lease")
		}
	})
}

// TestRestart has a signaling node come back as a new process: it owns nothing, and what it had ends unless adopted.
func TestRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := build(t)
		media, _ := n.media("m")
		before, stop := n.signaling("s", nil, to("m"))
		must[plane.Transport](t)(before.Open(t.Context(), "a", plane.PeerOptions{Session: "one"}))
		must[plane.Transport](t)(before.Open(t.Context(), "b", plane.PeerOptions{Session: "one"}))
		ok(t, before.Keep(t.Context(), "a", 1, []byte("x")))
		stop()
		after := New(Config{Self: "s", Call: n.call("s"), Places: func(context.Context, string) []link.NodeID { return []link.NodeID{"m"} }})
		n.run(after.Run)
		must[[]plane.Kept](t)(after.Kept(t.Context(), "one"))
		ok(t, after.Adopt(t.Context(), "a", 2))
		is(t, before.Publish(t.Context(), "b", nil), plane.ErrNoPeer) // a call that was under way
		time.Sleep(time.Minute)
		a, _ := media.Peer("a")
		if b, _ := media.Peer("b"); a.Closed || !b.Closed {
			t.Errorf("closed: a %v, b %v", a.Closed, b.Closed)
		}
	})
}

// TestIdle wants a media node without peers of ours to be left in peace.
func TestIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := build(t)
		_, server := n.media("m")
		p, _ := n.signaling("s", nil, to("m"))
		must[plane.Transport](t)(p.Open(t.Context(), "a", plane.PeerOptions{}))
		ok(t, p.Close(t.Context(), "a"))
		time.Sleep(3 * time.Minute)
		server.mu.Lock()
		leases := len(server.register.leases)
		server.mu.Unlock()
		if leases != 1 {
			t.Errorf("%d leases are left", leases)
		}
		must[plane.Transport](t)(p.Open(t.Context(), "b", plane.PeerOptions{}))
		ok(t, p.Publish(t.Context(), "b", nil))
	})
}

func TestNoMedia(t *testing.T) {
	p := New(Config{Self: "s"})
	_, err := p.Open(t.Context(), "a", plane.PeerOptions{})
	is(t, err, plane.ErrOverloaded)
	is(t, p.Keyframe(t.Context(), plane.StreamID{}), plane.ErrNoStream)
	_, err = p.Forward(t.Context(), plane.Forwarder{ID: "f"})
	is(t, err, plane.ErrNoStream)
	is(t, p.StopForward(t.Context(), "f"), nil)
	if l, err := p.Kept(t.Context(), "one"); len(l) != 0 || err != nil {
		t.Errorf("kept %v %v", l, err)
	}
	if errors.Is(p.Adopt(t.Context(), "a", 1), nil) {
		t.Error("adopted nothing")
	}
}
