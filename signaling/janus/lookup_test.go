package janus_test

import (
	"testing"
	"testing/synctest"
	"time"

	"cardea/signaling/janus/janustest"
)

func TestPeerID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p := janustest.NewServer(t, nil, &plugin{})
		c := janustest.Connect(t, s).Create()
		with, without := c.Attach(probe), c.Attach(probe)
		with.Message(M{"request": "answer"}, janustest.Offer("audio"))
		session := s.Sessions()[0]
		open := map[uint64]bool{}
		for _, h := range s.Session(session).Handles() {
			id, ok := s.PeerID(session, h.ID())
			if ok != (id != "") || id != h.PeerID() {
				t.Errorf("handle %d: peer %q, %v", h.ID(), id, ok)
			}
			open[h.ID()] = ok
			if ok && id != p.Peers()[0].ID {
				t.Errorf("peer %q, the media plane has %q", id, p.Peers()[0].ID)
			}
			if _, ok := s.PeerID(session+1, h.ID()); ok {
				t.Error("a handle is found under another session")
			}
		}
		if len(open) != 2 {
			t.Fatal("handles:", open)
		}
		var found int
		for _, ok := range open {
			if ok {
				found++
			}
		}
		if found != 1 {
			t.Errorf("%d of the handles have a peer, not one", found)
		}
		if _, ok := s.PeerID(session, 1); ok {
			t.Error("a handle that does not exist has a peer")
		}

		// To be asked about is no sign of life.
		for range 90 {
			time.Sleep(time.Second)
			s.PeerID(session, 1)
		}
		if len(s.Sessions()) != 0 {
			t.Error("the session is kept alive by looking it up")
		}
		with.EventOf("detached")
		without.EventOf("detached")
	})
}
