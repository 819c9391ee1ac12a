package media_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/pion/rtp"

	"cardea/relay/plane"
)

// newSimulcast makes a publisher of three encodings, found by rid or by SSRC group.
func (w *world) newSimulcast(t *testing.T, groups bool) *camera {
	t.Helper()
	if !groups {
		return w.newPublisher(t, profile{}, "l", "m", "h")
	}
	c := w.newClient(t, profile{})
	cam := newCamera(t, c, "l", "m", "h")
	c.offer(nil, func(offer string) string { return withGroups(offer, cam) }, nil)
	c.publish(nil)
	c.awaitUp()
	cam.run()
	return cam
}

// withGroups writes an offer as Chromium did before there were rids.
func withGroups(offer string, cam *camera) string {
	offer = withoutLines(offer, "a=rid:", "a=simulcast:", "a=ssrc", "a=extmap:5 ")
	for _, uri := range []string{plane.ExtRID, plane.ExtRepairedRID, plane.ExtMid} {
		var kept []string
		for line := range strings.SplitSeq(offer, "\r\n") {
			if !strings.HasSuffix(line, uri) {
				kept = append(kept, line)
			}
		}
		offer = strings.Join(kept, "\r\n")
	}
	var group, lines string
	for _, e := range cam.video.GetParameters().Encodings {
		group += fmt.Sprint(" ", e.SSRC)
		lines += fmt.Sprintf("a=ssrc-group:FID %d %d\r\na=ssrc:%d cname:c\r\na=ssrc:%d cname:c\r\n", e.SSRC, e.RTX.SSRC, e.SSRC, e.RTX.SSRC)
	}
	at := strings.Index(offer, "m=video")
	return offer[:at] + strings.TrimRight(offer[at:], "\r\n") + "\r\na=ssrc-group:SIM" + group + "\r\n" + lines
}

func (c *client) layer(mid string) int {
	packets := c.on(mid).sofar()
	if len(packets) == 0 {
		return -1
	}
	return untag(&packets[len(packets)-1]).layer
}

// TestSimulcast goes through the layers by request, and down by itself when one dies.
func TestSimulcast(t *testing.T) {
	t.Parallel()
	for _, groups := range []bool{false, true} {
		t.Run(map[bool]string{false: "rid", true: "SSRC group"}[groups], func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			cam := w.newSimulcast(t, groups)
			viewer := w.newClient(t, profile{noNACK: true})
			viewer.offered(videoFeed("0"))
			viewer.awaitUp()
			s := want("0", stream(cam.c, "1"))
			events := 0
			for _, layer := range []int8{0, 2, 1, 2} {
				s.Substream = layer
				viewer.subscribe(s)
				await(t, fmt.Sprintf("layer %d", layer), func() bool { return viewer.layer("0") == int(layer) })
				viewer.more("0", 15)
				events++
				await(t, "layer event", func() bool { return len(w.told(viewer.id, plane.EventLayers)) >= events })
				told := w.told(viewer.id, plane.EventLayers)
				if e := told[len(told)-1]; e.Substream != layer || e.Mid != "0" || len(told) != events {
					t.Errorf("%d events, the last of layer %d, want %d of %d", len(told), e.Substream, events, layer)
				}
			}
			for layer := range int8(3) {
				w.awaitEvent(cam.c.id, plane.EventReceiving, func(e plane.Event) bool { return e.Receiving && e.Substream == layer && e.Mid == "1" })
			}
			// The best encoding dies, as when the publisher's bandwidth shrinks, and comes back.
			cam.with(func() { cam.mute[2] = true })
			await(t, "fallback", func() bool { return viewer.layer("0") == 1 })
			w.awaitEvent(cam.c.id, plane.EventReceiving, func(e plane.Event) bool { return !e.Receiving && e.Substream == 2 && e.Silence > 0 })
			cam.with(func() { cam.mute[2], cam.tracks[2].keyed = false, false })
			await(t, "the best again", func() bool { return viewer.layer("0") == 2 })
			viewer.more("0", 15)
			checkLayers(t, viewer.on("0").sofar())
			st := w.line(cam.c, "1", false)
			if len(st.Layers) != 3 {
				t.Fatalf("%d layers in the statistics", len(st.Layers))
			}
			if w.relay.Metrics().Peer.Unbound.Load() > 0 {
				t.Errorf("%d packets of no line", w.relay.Metrics().Peer.Unbound.Load())
			}
		})
	}
}

// checkLayers wants layers to be changed at keyframes only, under continuous numbers.
func checkLayers(t *testing.T, packets []rtp.Packet) {
	t.Helper()
	for i := 1; i < len(packets); i++ {
		a, b := &packets[i-1], &packets[i]
		if b.SequenceNumber != a.SequenceNumber+1 {
			t.Fatalf("packet %d: number %d follows %d", i, b.SequenceNumber, a.SequenceNumber)
		}
		ta, tb := untag(a), untag(b)
		if ta.layer != tb.layer && !isKeyframe(b) {
			t.Fatalf("packet %d: layer %d follows %d without a keyframe", i, tb.layer, ta.layer)
		}
		if d := int32(b.Timestamp - a.Timestamp); d < 0 || d > 90000 { //nolint:gosec // modular
			t.Fatalf("packet %d: timestamp moves by %d", i, d)
		}
	}
}
