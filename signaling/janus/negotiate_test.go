package janus_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"cardea/relay/plane"
	"cardea/signaling/janus"
	"cardea/signaling/janus/janustest"
	"cardea/signaling/sdp"
)

// TestNegotiation checks what the media plane is told of the client's session descriptions.
func TestNegotiation(t *testing.T) {
	s, p := janustest.NewServer(t, func(c *janus.Config) { c.SlowLinkThreshold = 4 }, &plugin{})
	h := janustest.Open(t, s, probe)
	last := func() janustest.Peer { l := p.Peers(); return l[len(l)-1] }

	offer := janustest.Offer("audio", "simulcast")
	offer["rid_order"] = "lmh"
	offer["svc"] = []any{M{"mindex": 1, "svc": "L3T3"}, M{"mid": "7"}, "rubbish", M{"mindex": 900, "svc": "L1T2"}}
	offer["trickle"] = false
	r := h.Message(M{"request": "answer"}, offer)
	peer := last()
	if want := fmt.Sprintf("node/%s/%s/1", h.Session(), h.ID); string(peer.ID) != want {
		t.Errorf("peer %s, want %s", peer.ID, want)
	}
	if peer.Options.NoMediaTimer != time.Second || peer.Options.SlowLinkThreshold != 4 {
		t.Errorf("options %+v", peer.Options)
	}
	x := peer.Session
	if x.Version != 1 || x.Setup != plane.Active || x.Remote.Ufrag != "clnt" || !x.Remote.Complete || len(x.Lines) != 2 {
		t.Errorf("session %+v", x)
	}
	if v := x.Lines[1]; !v.SVC || x.Lines[0].SVC || len(v.Receive) != 3 || v.Receive[0].RID != "h" {
		t.Errorf("lines %+v: with lmh the first rid is the lowest", x.Lines)
	}
	answer := sdpOf(r)
	for _, want := range []string{"a=setup:active", "a=ice-ufrag:node0", "s=probe", "a=mid:1"} {
		if !strings.Contains(answer, want) {
			t.Errorf("no %s in\n%s", want, answer)
		}
	}

	// The same again: no restart, the role stays, and the o= line grows.
	again := sdpOf(h.Message(M{"request": "answer"}, janustest.Offer("audio", "simulcast")))
	if x = last().Session; x.Version != 2 || x.Setup != plane.Active || x.Remote.Complete || x.Lines[1].Receive[0].RID != "l" {
		t.Errorf("session %+v", x)
	}
	if a, b := origin(answer), origin(again); a[1] != b[1] || a[2] == b[2] {
		t.Errorf("o= line %v, then %v", a, b)
	}
	// Another ufrag: new credentials for the answer.
	restart := M{"type": "offer", "sdp": janustest.OfferSDP("other", "audio", "simulcast")}
	if a := sdpOf(h.Message(M{"request": "answer"}, restart)); !strings.Contains(a, "a=ice-ufrag:node1") || last().Generation != 1 {
		t.Errorf("after a restart of ICE:\n%s", a)
	}

	// A client that insists on being the DTLS client.
	h.Request(M{"janus": "hangup"})
	insists := M{"type": "offer", "sdp": strings.ReplaceAll(janustest.OfferSDP("clnt", "audio"), "setup:actpass", "setup:active")}
	if a := sdpOf(h.Message(M{"request": "answer"}, insists)); !strings.Contains(a, "a=setup:passive") || last().Session.Setup != plane.Passive {
		t.Errorf("opposite a DTLS client:\n%s", a)
	}
	if peer := last(); !strings.HasSuffix(string(peer.ID), "/2") {
		t.Error("second PeerConnection:", peer.ID)
	}

	// The server offers; the client's answer is active, as browsers' are.
	h.Request(M{"janus": "hangup"})
	o := sdpOf(h.Message(M{"request": "offer"}, nil))
	if !strings.Contains(o, "a=setup:actpass") {
		t.Error("offer:", o)
	}
	h.Message(M{"request": "accept"}, janustest.Answer(o))
	x = last().Session
	if x.Setup != plane.Passive || len(x.Lines) != 1 || x.Lines[0].Direction != plane.SendOnly || x.Lines[0].SSRC == 0 {
		t.Errorf("after our offer: %+v", x)
	}
}

func sdpOf(m M) string {
	j, _ := m["jsep"].(M)
	text, _ := j["sdp"].(string)
	return text
}

func origin(sdp string) []string {
	_, rest, _ := strings.Cut(sdp, "\r\no=")
	l, _, _ := strings.Cut(rest, "\r\n")
	return strings.Fields(l)
}

// TestHandleWithoutPeer checks what plugins are told when there is no PeerConnection.
func TestHandleWithoutPeer(t *testing.T) {
	var h *janus.Handle
	_, client := open(t, nil, &plugin{made: func(x *janus.Handle) { h = x }})
	if err := h.Publish(t.Context(), nil); !errors.Is(err, janus.ErrNoPeerConnection) {
		t.Error("Publish:", err)
	}
	if err := h.Subscribe(t.Context(), nil); !errors.Is(err, janus.ErrNoPeerConnection) {
		t.Error("Subscribe:", err)
	}
	if _, err := h.Stats(t.Context()); !errors.Is(err, janus.ErrNoPeerConnection) {
		t.Error("Stats:", err)
	}
	if h.PeerID() != "" || h.Up() {
		t.Error("there is a PeerConnection")
	}
	h.ClosePeer(t.Context(), "") // does nothing
	if _, err := h.Answer(t.Context(), nil, sdp.Options{}); !errors.Is(err, janus.ErrUnexpected) {
		t.Error("Answer:", err)
	}
	if err := h.Accept(t.Context(), &janus.JSEP{}); !errors.Is(err, janus.ErrUnexpected) {
		t.Error("Accept:", err)
	}
	client.Request(M{"janus": "detach"})
	client.EventOf("detached")
	if h.Do(func(context.Context) { t.Error("done for a handle that is gone") }) {
		t.Error("Do after the detach")
	}
	if l := client.Inbox(); len(l) != 0 {
		t.Error("the client also got", l)
	}
}
