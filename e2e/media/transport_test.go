package media_test

import (
	"context"
	"fmt"
	"net/netip"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"

	"cardea/relay"
	"cardea/relay/ice"
	"cardea/relay/plane"
	"cardea/relay/turn"
)

// TestICERestart renegotiates the transport while media flows: nothing stops.
func TestICERestart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	cam := w.newPublisher(t, profile{})
	viewer := w.watch(t, cam.c, profile{})
	viewer.more("1", 30)
	for range 3 {
		before := cam.c.local.Ufrag
		cam.c.offer(nil, nil, &webrtc.OfferOptions{ICERestart: true})
		if cam.c.local.Ufrag == before {
			t.Fatal("the node kept its credentials")
		}
		await(t, "connected again", func() bool { return cam.c.pc.ICEConnectionState() == webrtc.ICEConnectionStateConnected })
		viewer.more("1", 60)
	}
	checkContinuous(t, viewer.on("1").sofar())
	if n := len(w.told(cam.c.id, plane.EventUp)); n != 1 {
		t.Errorf("%d events up", n)
	}
	if again, err := w.relay.Restart(t.Context(), cam.c.id, 1); err != nil || again.Ufrag != cam.c.local.Ufrag {
		t.Errorf("an old generation: %v, %v", again.Ufrag, err)
	}
}

// TestAddressChange gives both clients new addresses under their old credentials, as a NAT does.
func TestAddressChange(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	cam := w.newPublisher(t, profile{})
	viewer := w.watch(t, cam.c, profile{})
	viewer.more("1", 30)
	for _, l := range []*link{viewer.link, cam.c.link, viewer.link} {
		if err := l.rebind(); err != nil {
			t.Fatal(err)
		}
		viewer.more("1", 60)
		viewer.more("0", 20)
	}
	st, err := w.relay.Stats(t.Context(), viewer.id)
	if err != nil || st.Remote != viewer.link.LocalAddr().String() {
		t.Errorf("packets go to %s, the client is at %s (%v)", st.Remote, viewer.link.LocalAddr(), err)
	}
	if n := len(w.told(viewer.id, plane.EventDown)); n != 0 {
		t.Error("the viewer was taken for gone")
	}
}

// TestRelayed reaches the media plane through its own TURN server only, over UDP and TCP.
func TestRelayed(t *testing.T) {
	t.Parallel()
	for _, transport := range []string{"udp", "tcp"} {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, func(c *relay.Config) {
				cfg := turn.Default()
				cfg.Realm, cfg.Users = "test", map[string]string{"u": "p"}
				cfg.Relay = c.Addresses
				cfg.MeshAddresses = []netip.AddrPort{netip.AddrPortFrom(c.Addresses[0], c.Port)}
				cfg.Log = c.Log
				c.TURN = &cfg
			})
			server := webrtc.ICEServer{URLs: []string{fmt.Sprintf("turn:127.0.0.1:%d?transport=%s", w.port, transport)}, Username: "u", Credential: "p"}
			p := profile{relay: []webrtc.ICEServer{server}}
			cam := w.newPublisher(t, p)
			viewer := w.watch(t, cam.c, p)
			viewer.more("1", 60)
			checkContinuous(t, viewer.on("1").sofar())
		})
	}
}

// TestSilentEnd lets 20 clients vanish without goodbye: all are reported down, and nothing is left of them.
func TestSilentEnd(t *testing.T) { // not parallel: it counts goroutines
	w := newWorld(t, func(c *relay.Config) {
		c.ICE = ice.Config{DisconnectTimeout: 2 * time.Second, FailTimeout: time.Second}
	})
	settled := func() int { runtime.GC(); return runtime.NumGoroutine() }
	before := settled()
	var wait, watching sync.WaitGroup
	gone := make([]*client, 20)
	watching.Add(len(gone))
	for i := range gone {
		gone[i] = w.newClient(t, profile{})
	}
	for i, c := range gone {
		wait.Go(func() {
			next := gone[(i+1)%len(gone)]
			cam := newCamera(t, c)
			func() {
				defer watching.Done() // also when it fails
				c.offer(map[string]plane.Direction{"0": plane.SendRecv, "1": plane.SendRecv}, nil, nil)
				c.publish(nil)
				c.subscribe(want("0", stream(next, "0")), want("1", stream(next, "1")))
				c.awaitUp()
				cam.run()
				await(t, "pictures", func() bool { return c.on("1").count() > 5 })
			}()
			watching.Wait()
			cut := func([]byte) bool { return true }
			c.link.dropOut.Store(&cut)
			c.link.dropIn.Store(&cut)
			cam.end()
		})
	}
	wait.Wait()
	if t.Failed() {
		t.FailNow()
	}
	for _, c := range gone {
		w.awaitEvent(c.id, plane.EventDown, func(e plane.Event) bool { return e.Reason == "ICE failed" })
		w.awaitEvent(c.id, plane.EventICEFailed, any1)
		if err := w.relay.Close(t.Context(), c.id); err != nil {
			t.Fatal(err)
		}
		c.vanish()
	}
	if p, s := w.relay.Peers(), w.relay.Streams(); p != 0 || s != 0 {
		t.Errorf("%d peers and %d streams are left", p, s)
	}
	if n := w.relay.Metrics().Peer.Connected.Load(); n != 0 {
		t.Errorf("%d count as connected", n)
	}
	await(t, "goroutines ending", func() bool { return settled() <= before })
	for _, c := range gone {
		if n := len(w.told(c.id, plane.EventDown)); n != 1 {
			t.Errorf("%d events down of %s", n, c.id)
		}
	}
}

// TestCloseAtAnyTime closes peers at every point of their way up, and lets others begin at once.
func TestCloseAtAnyTime(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	cam := w.newPublisher(t, profile{})
	var wait sync.WaitGroup
	for i := range 12 {
		c := w.newClient(t, profile{})
		wait.Go(func() {
			c.offered(audioFeed("0"), videoFeed("1"))
			c.subscribe(want("1", stream(cam.c, "1")))
			time.Sleep(time.Duration(i) * 4 * time.Millisecond) // not to wait for anything, but to be at different points
			if err := w.relay.Close(context.Background(), c.id); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if n := w.relay.Metrics().Peer.Connected.Load(); n != 1 {
		t.Errorf("%d peers count as connected, want the publisher", n)
	}
	viewer := w.watch(t, cam.c, profile{})
	viewer.more("1", 10)
}

// TestTCPConnectionLost cuts the TCP connections of a client that has no other way: it may come back, and until then
// nothing is sent nowhere.
func TestTCPConnectionLost(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *relay.Config) {
		c.ICE = ice.Config{DisconnectTimeout: 300 * time.Millisecond, FailTimeout: 300 * time.Millisecond, ConnectTimeout: time.Second}
	})
	cam := w.newPublisher(t, profile{})
	viewer := w.watch(t, cam.c, profile{tcp: true})
	viewer.more("1", 30)
	if err := viewer.pc.GracefulClose(); err != nil {
		t.Fatal(err)
	}
	w.awaitEvent(viewer.id, plane.EventDown, any1)
	if err := w.relay.Close(t.Context(), viewer.id); err != nil {
		t.Fatal(err)
	}
	other := w.watch(t, cam.c, profile{tcp: true})
	other.more("1", 30)
}
