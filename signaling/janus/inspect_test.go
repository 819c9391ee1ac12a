package janus_test

import (
	"testing"
	"testing/synctest"
	"time"

	"cardea/signaling/janus/janustest"
)

// TestOperator checks what an operator sees of sessions and can do to them.
func TestOperator(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p := janustest.NewServer(t, nil, &plugin{})
		c := janustest.Connect(t, s).Create()
		one, two := c.Attach(probe), c.Attach(probe)
		l := s.Sessions()
		if len(l) != 1 || s.Session(l[0]) == nil || s.Session(l[0]+1) != nil {
			t.Fatal("sessions:", l)
		}
		x := s.Session(l[0])
		if x.ID() != l[0] || x.Transport() != "janustest" || !x.LastActivity().Equal(time.Now()) || !x.Created().Equal(time.Now()) {
			t.Errorf("session of %q, used %v", x.Transport(), x.LastActivity())
		}
		handles := x.Handles()
		if len(handles) != 2 || handles[0].ID() >= handles[1].ID() || handles[0].Plugin() != probe || handles[0].Query().(M)["probe"] != true {
			t.Fatal("handles:", handles)
		}

		one.Message(M{"request": "answer"}, janustest.Offer("audio"))
		for _, h := range handles {
			if h.PeerID() != "" {
				h.HangUp("Admin API")
			}
		}
		if m := one.EventOf("hangup"); m["reason"] != "Admin API" {
			t.Error(m)
		}
		for _, h := range handles {
			h.Detach()
			h.Detach() // again does nothing
		}
		one.EventOf("detached")
		two.EventOf("detached")

		s.SetNoMediaTimer(7 * time.Second)
		s.SetSlowLinkThreshold(9)
		three := c.Attach(probe)
		three.Message(M{"request": "answer"}, janustest.Offer("audio"))
		peers := p.Peers()
		if o := peers[len(peers)-1].Options; o.NoMediaTimer != 7*time.Second || o.SlowLinkThreshold != 9 {
			t.Errorf("options of a new peer: %+v", o)
		}

		s.SetSessionTimeout(0)
		time.Sleep(time.Hour)
		if len(s.Sessions()) != 1 {
			t.Error("a session ended although none times out")
		}
		s.Destroy(x)
		synctest.Wait()
		if len(s.Sessions()) != 0 || x.Transport() != "" {
			t.Error("the session is still there")
		}
	})
}
