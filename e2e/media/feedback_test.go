package media_test

import (
	"math"
	"testing"
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/interceptor/pkg/cc"
	"github.com/pion/interceptor/pkg/gcc"
	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"

	"cardea/relay/plane"
)

// TestKeyframeOnJoin wants a publisher whose last keyframe is long ago to be asked for one when somebody joins, and what
// the subscriber is sent to begin with it.
func TestKeyframeOnJoin(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	cam := w.newPublisher(t, profile{})
	await(t, "the first keyframe being old", func() bool { return cam.sent() > 60 })
	before := cam.requests()
	viewer := w.watch(t, cam.c, profile{})
	viewer.more("1", 10)
	if first := viewer.on("1").sofar()[0]; !isKeyframe(&first) {
		t.Errorf("the first packet is of frame %d, no keyframe", untag(&first).n)
	}
	if n := cam.requests() - before; n < 1 || n > 2 {
		t.Errorf("%d keyframes asked for", n)
	}
}

// TestKeyframeReplay wants a late joiner to be sent a kept keyframe and all that followed when the publisher never sends
// another.
func TestKeyframeReplay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	cam := w.newPublisher(t, profile{})
	viewer := w.newClient(t, profile{})
	viewer.offered(videoFeed("0"))
	viewer.awaitUp()
	key := 0
	cam.with(func() { cam.wantKey[0], key = true, cam.n })
	await(t, "keyframe sent", func() bool { return cam.sent() > key+2 })
	cam.with(func() { cam.deaf = true })
	await(t, "frames behind it", func() bool { return cam.sent() > key+15 })
	viewer.subscribe(want("0", stream(cam.c, "1")))
	viewer.more("0", 30*framePackets)
	packets := viewer.on("0").sofar()
	checkContinuous(t, packets)
	if !isKeyframe(&packets[0]) || untag(&packets[0]).n != key {
		t.Errorf("begins with frame %d, want the keyframe %d", untag(&packets[0]).n, key)
	}
	var have int
	for i := range packets {
		if x := untag(&packets[i]); x.n == key+have/framePackets && x.packet == have%framePackets {
			have++
		}
	}
	if have < 20*framePackets {
		t.Errorf("only %d packets from the keyframe on are without a gap", have)
	}
}

// TestKeyframeRequestsAreMerged sends the wishes of many to a publisher that does not obey: one in half a second goes on.
func TestKeyframeRequestsAreMerged(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	cam := w.newPublisher(t, profile{})
	viewers := []*client{w.watch(t, cam.c, profile{}), w.watch(t, cam.c, profile{}), w.watch(t, cam.c, profile{})}
	for _, v := range viewers {
		v.more("1", 10)
	}
	cam.with(func() { cam.deaf = true })
	before, began := cam.requests(), time.Now()
	for i := 0; cam.requests() < before+4; i++ {
		if time.Since(began) > patience {
			t.Fatalf("%d requests passed on", cam.requests()-before)
		}
		v := viewers[i%len(viewers)]
		if err := v.pc.WriteRTCP([]rtcp.Packet{&rtcp.PictureLossIndication{SenderSSRC: 1, MediaSSRC: v.settled[1].SSRC}}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Millisecond)
	}
	cam.with(func() {
		for i := before + 1; i < len(cam.plis); i++ {
			if gap := cam.plis[i].Sub(cam.plis[i-1]); gap < 450*time.Millisecond {
				t.Errorf("requests %v apart", gap)
			}
		}
	})
	if asked := w.relay.Metrics().Peer.PLIsIn.Load(); asked < 20 {
		t.Errorf("only %d wishes came in", asked)
	}
}

// TestBitrateReachesPublisher sets, changes and lifts the limit of a publication.
func TestBitrateReachesPublisher(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	cam := w.newPublisher(t, profile{})
	for _, limit := range []uint32{256_000, 1_000_000, 0} {
		cam.c.publish(func(p *plane.Publication) { p.Bitrate = limit })
		value := float64(limit)
		if limit == 0 {
			value = 10_000_000
		}
		await(t, "the publisher being told", func() (told bool) {
			cam.with(func() {
				for _, p := range cam.feedback {
					if remb, ok := p.(*rtcp.ReceiverEstimatedMaximumBitrate); ok {
						told = math.Abs(float64(remb.Bitrate)-value) < value/1000 && len(remb.SSRCs) == 1 && remb.SSRCs[0] == cam.tracks[0].ssrc
					}
				}
			})
			return told
		})
	}
}

// TestTransportFeedback wants pion's congestion controllers at both ends to be content: the publisher's with the feedback it
// gets, the node with the subscriber's.
func TestTransportFeedback(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	estimators := make(chan cc.BandwidthEstimator, 1)
	cam := w.newPublisher(t, profile{registry: func(_ *webrtc.MediaEngine, r *interceptor.Registry) error {
		control, err := cc.NewInterceptor(func() (cc.BandwidthEstimator, error) {
			return gcc.NewSendSideBWE(gcc.SendSideBWEInitialBitrate(400_000), gcc.SendSideBWEPacer(gcc.NewNoOpPacer()))
		})
		if err != nil {
			return err
		}
		control.OnNewPeerConnection(func(_ string, e cc.BandwidthEstimator) { estimators <- e })
		r.Add(control)
		return nil
	}})
	estimator := <-estimators
	viewer := w.watch(t, cam.c, profile{})
	viewer.more("1", 100)
	var reported, lost int
	await(t, "feedback", func() bool {
		reported, lost = 0, 0
		cam.with(func() {
			for _, p := range cam.feedback {
				if f, ok := p.(*rtcp.TransportLayerCC); ok {
					reported += len(f.RecvDeltas)
					lost += int(f.PacketStatusCount) - len(f.RecvDeltas)
				}
			}
		})
		return reported > 150
	})
	if lost > 0 {
		t.Errorf("%d packets reported, %d of them lost on loopback", reported, lost)
	}
	await(t, "the publisher's estimate moving", func() bool { return estimator.GetTargetBitrate() != 400_000 })
	if got := estimator.GetTargetBitrate(); got < 200_000 {
		t.Errorf("the publisher's estimate on loopback is %d", got)
	}
	await(t, "the node's estimate", func() bool {
		st, err := w.relay.Stats(t.Context(), viewer.id)
		return err == nil && st.Estimate >= 1_000_000 && st.RTT > 0
	})
}

// TestSenderReports wants sound and pictures of one moment to be put on the same NTP time at the subscriber, before and after
// a switch to a publisher with another clock.
func TestSenderReports(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first, second := w.newPublisher(t, profile{noReports: true}), w.newPublisher(t, profile{noReports: true})
	viewer := w.watch(t, first.c, profile{})
	for i, cam := range []*camera{first, second} {
		viewer.subscribe(want("0", stream(cam.c, "0")), want("1", stream(cam.c, "1")))
		viewer.more("0", 5)
		viewer.more("1", 5)
		skew := time.Duration(i+1) * 1000 * time.Hour
		since := time.Now()
		var sound, picture map[int]time.Time
		await(t, "reports of both lines", func() bool {
			cam.report(skew)
			time.Sleep(20 * time.Millisecond)
			if time.Since(since) < 2500*time.Millisecond { // two reports a line, the latter surely by the clocks of this publisher
				return false
			}
			sound, picture = viewer.captured("0", 48000, since), viewer.captured("1", 90000, since)
			return len(sound) > 10 && len(picture) > 10
		})
		common := 0
		for n, at := range sound {
			if other, ok := picture[n]; ok {
				common++
				if d := at.Sub(other).Abs(); d > 10*time.Millisecond {
					t.Fatalf("publisher %d: sound and picture of frame %d are %v apart", i, n, d)
				}
				if ago := time.Since(at); ago < -time.Second || ago > time.Minute {
					t.Fatalf("publisher %d: frame %d was captured %v ago", i, n, ago)
				}
			}
		}
		if common < 10 {
			t.Errorf("publisher %d: only %d frames to compare", i, common)
		}
	}
}

// captured returns when the frames received since then were captured, by the last sender report.
func (c *client) captured(mid string, rate float64, since time.Time) map[int]time.Time {
	r := c.on(mid)
	r.mu.Lock()
	defer r.mu.Unlock()
	var report *rtcp.SenderReport
	for _, p := range r.reports {
		if sr, ok := p.(*rtcp.SenderReport); ok {
			report = sr
		}
	}
	if report == nil || fromNTP(report.NTPTime).Before(since.Add(time.Second)) {
		return nil
	}
	at := map[int]time.Time{}
	for i := range r.packets {
		if r.arrivals[i].Before(since.Add(time.Second)) {
			continue
		}
		ticks := int32(r.packets[i].Timestamp - report.RTPTime) //nolint:gosec // modular
		at[untag(&r.packets[i]).n] = fromNTP(report.NTPTime).Add(time.Duration(float64(ticks) / rate * float64(time.Second)))
	}
	return at
}

func fromNTP(v uint64) time.Time {
	return time.Unix(int64(v>>32)-2208988800, int64((v&0xffffffff)*1e9>>32)) //nolint:gosec // after 1970
}

// TestReceiverReports wants what a publisher is told of its loss to be true, and its own reports answered.
func TestReceiverReports(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	cam := w.newPublisher(t, profile{noNACK: true})
	viewer := w.watch(t, cam.c, profile{noNACK: true})
	viewer.more("1", 10)
	cam.c.link.dropOut.Store(loss(cam.tracks[0].ssrc, 10))
	var block rtcp.ReceptionReport
	await(t, "a report of a tenth lost", func() (found bool) {
		cam.with(func() {
			for _, p := range cam.feedback {
				rr, ok := p.(*rtcp.ReceiverReport)
				if !ok {
					continue
				}
				for _, b := range rr.Reports {
					if b.SSRC == cam.tracks[0].ssrc && b.FractionLost > 15 && b.FractionLost < 40 && b.LastSenderReport != 0 {
						block, found = b, true
					}
				}
			}
		})
		return found
	})
	if block.TotalLost < 5 || block.Delay == 0 || block.Delay > 5*65536 || block.Jitter > 90000 {
		t.Errorf("report block %+v", block)
	}
	var seq uint16
	cam.with(func() { seq = cam.tracks[0].seq })
	if d := int16(seq - uint16(block.LastSequenceNumber)); d < 0 || d > 1000 { //nolint:gosec // modular
		t.Errorf("highest number %d reported, %d sent", uint16(block.LastSequenceNumber), seq)
	}
	w.awaitEvent(cam.c.id, plane.EventSlowLink, func(e plane.Event) bool { return e.Mid == "1" && !e.Uplink && e.Lost >= 4 })
}
