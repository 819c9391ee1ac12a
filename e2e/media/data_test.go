package media_test

import (
	"fmt"
	"testing"

	"github.com/pion/webrtc/v4"

	"cardea/relay/plane"
	"cardea/signaling/sdp"
)

// open opens a data channel and waits until it is up.
func (c *client) open(label string, init *webrtc.DataChannelInit) *webrtc.DataChannel {
	c.t.Helper()
	dc, err := c.pc.CreateDataChannel(label, init)
	if err != nil {
		c.t.Fatal(err)
	}
	c.hear(dc)
	return dc
}

func (c *client) say(dc *webrtc.DataChannel, text string) {
	c.t.Helper()
	await(c.t, "channel "+dc.Label()+" open", func() bool { return dc.ReadyState() == webrtc.DataChannelStateOpen })
	if err := dc.SendText(text); err != nil {
		c.t.Fatal(err)
	}
}

func dataFeed(mid string) sdp.Feed {
	return sdp.Feed{Kind: plane.Data, Mid: mid, Direction: plane.SendRecv}
}

// TestDataEcho sends a client's messages back to it, under both DTLS roles, on its own channels.
func TestDataEcho(t *testing.T) {
	t.Parallel()
	for _, role := range []webrtc.DTLSRole{webrtc.DTLSRoleClient, webrtc.DTLSRoleServer} {
		t.Run(role.String(), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			c := w.newClient(t, profile{role: role})
			c.offered(dataFeed("0"))
			c.publish(nil)
			c.subscribe(plane.Subscription{Mid: "0", Stream: stream(c, "0")})
			c.awaitUp()
			unordered, never, soon := false, uint16(0), uint16(500)
			for label, init := range map[string]*webrtc.DataChannelInit{
				"reliable": nil,
				"partial":  {Ordered: &unordered, MaxRetransmits: &never},
				"timed":    {Ordered: &unordered, MaxPacketLifeTime: &soon},
			} {
				dc := c.open(label, init)
				for i := range 5 {
					c.say(dc, fmt.Sprint(label, i))
				}
				await(t, "echo on "+label, func() bool { return c.hears(fmt.Sprint(label, ": ", label, 4)) })
			}
		})
	}
}

// TestDataFanOut lets one client's messages reach others with its channel's label and reliability, also when the data line
// comes by renegotiation.
func TestDataFanOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	speaker := w.newClient(t, profile{})
	speaker.offered(dataFeed("0"))
	speaker.publish(nil)
	speaker.awaitUp()
	cam := w.newPublisher(t, profile{})
	var listeners []*client
	for i := range 3 {
		l := w.watch(t, cam.c, profile{}) // data comes later
		l.more("1", 3)
		l.offered(audioFeed("0"), videoFeed("1"), dataFeed("2"))
		sub := plane.Subscription{Mid: "2", Stream: stream(speaker, "0")}
		if i == 1 {
			sub.Label, sub.TextPrefix = "renamed", "> "
		}
		if i == 2 {
			sub.Paused = true
		}
		l.subscribe(want("0", stream(cam.c, "0")), want("1", stream(cam.c, "1")), sub)
		listeners = append(listeners, l)
	}
	unordered, twice := false, uint16(2)
	dc := speaker.open("chat", &webrtc.DataChannelInit{Ordered: &unordered, MaxRetransmits: &twice})
	await(t, "both listeners' associations", func() bool { // what is said before they are up is lost to them
		speaker.say(dc, "is anybody there?")
		return listeners[0].hears("chat: is anybody there?") && listeners[1].hears("renamed: > is anybody there?")
	})
	before := w.relay.Metrics().Peer.MessagesOut.Load()
	speaker.say(dc, "hello")
	for i, message := range []string{"chat: hello", "renamed: > hello"} {
		await(t, message, func() bool { return listeners[i].hears(message) })
	}
	if got := listeners[0].channel("chat"); got.Ordered() || got.MaxRetransmits() == nil || *got.MaxRetransmits() != 2 {
		t.Errorf("ordered %v, retransmits %v: not as the speaker opened it", got.Ordered(), got.MaxRetransmits())
	}
	if listeners[2].hears("chat: hello") {
		t.Error("a paused listener hears")
	}
	listeners[0].more("1", 30) // media goes on beside it
	speaker.publish(func(p *plane.Publication) { p.Muted = true })
	arrived := func(text string) {
		in := w.relay.Metrics().Peer.MessagesIn.Load()
		speaker.say(dc, text)
		await(t, text, func() bool { return w.relay.Metrics().Peer.MessagesIn.Load() > in })
	}
	arrived("muted")
	speaker.publish(nil)
	speaker.say(dc, "after")
	await(t, "after the mute", func() bool { return listeners[0].hears("chat: after") })
	if listeners[0].hears("chat: muted") {
		t.Error("a muted speaker is heard")
	}
	if err := w.relay.Publish(t.Context(), speaker.id, nil); err != nil {
		t.Fatal(err)
	}
	arrived("to nobody")
	if listeners[0].hears("chat: to nobody") {
		t.Error("who publishes nothing is heard")
	}
	if out := w.relay.Metrics().Peer.MessagesOut.Load(); out < before+4 {
		t.Errorf("%d messages went out, want 4 at least", out-before)
	}
}

func (c *client) channel(label string) *webrtc.DataChannel {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.channels[label]
}
