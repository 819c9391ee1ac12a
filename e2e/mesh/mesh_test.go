package mesh

import (
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"cardea/e2e/internal/caller"
	"cardea/e2e/wan"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// soak is whether the tests have much time.
var soak = os.Getenv("MESH_SOAK") != ""

// when returns one of two values, the second if there is much time.
func when[T any](usual, soaking T) T {
	if soak {
		return soaking
	}
	return usual
}

// TestMesh has nine nodes in three regions, and everything that may happen to them, one after the other.
func TestMesh(t *testing.T) {
	w := newWorld(t, 3)
	for _, story := range []struct {
		name string
		run  func(w *world, t *testing.T)
		long bool
	}{
		{"everybody hears everybody", (*world).testSteady, false},
		{"one crossing", (*world).testCrossing, false},
		{"lossy ocean", (*world).testLoss, false},
		{"rooms", (*world).testRooms, false},
		{"limit", (*world).testLimit, false},
		{"moderation", (*world).testModeration, false},
		{"strangers", (*world).testStrangers, false},
		{"messages", (*world).testMessages, false},
		{"killed nodes", (*world).testKills, false},
		{"partition", (*world).testPartition, false},
		{"one ocean cut", (*world).testCut, false},
		{"drain", (*world).testDrain, false},
		{"rolling restart", (*world).testRolling, true},
		{"permanent rooms", (*world).testPermanent, false},
	} {
		t.Run(story.name, func(t *testing.T) {
			if story.long && !soak {
				t.Skip("takes minutes: MESH_SOAK=1")
			}
			w.whole(t)
			story.run(w, t)
		})
	}
	if h, err := w.network.Health(); err == nil {
		t.Logf("the oceans themselves were late by %v (median), %v (p99), %v (at most), and lost %d packets", h.Median, h.P99, h.Max, h.DeviceDropped+h.Exhausted)
	}
}

// oneWay is what the ocean between two nodes takes.
func (w *world) oneWay(a, b *node) time.Duration {
	if a.site == b.site {
		return 0
	}
	return w.network.Conditions(a.site.Name(), b.site.Name()).Delay
}

// testSteady has a publisher in each region and somebody at each node who watches them all: nothing is lost, and a packet
// takes as long as its way and at most 20 ms more, in the median.
func (w *world) testSteady(t *testing.T) {
	c := w.newCall(t, 100)
	for _, region := range regions {
		c.watch(t, c.publish(t, w.in(region)[0]), w.nodes...)
	}
	flow(t, c.watching, 150) // three seconds: links have found their sizes and rates
	restart(c.watching)
	before := lost(c.watching)
	flow(t, c.watching, 250)
	var worst time.Duration
	tracks(c.watching, func(x *watched, name string, track *caller.Track) {
		f, way := track.Figures(), w.oneWay(x.from, x.at)
		t.Logf("%s: %v in the median, %v p95; the way takes %v; longest gap %v", name, f.Median, f.P95, way, f.Gap)
		worst = max(worst, f.Median-way)
	})
	t.Logf("at most %v more than the way takes, in the median; %d packets lost", worst, lost(c.watching)-before)
	if worst > 20*time.Millisecond {
		t.Errorf("packets take %v more than their way", worst)
	}
	if n := lost(c.watching) - before; n > 0 {
		t.Errorf("%d packets were lost", n)
	}
}

// testCrossing counts what a stream with many subscribers at each node costs the oceans: one copy for each region.
func (w *world) testCrossing(t *testing.T) {
	c := w.newCall(t, 200)
	home := w.in("eu")[0]
	p := c.publish(t, home)
	for range when(3, 20) {
		c.watch(t, p, w.nodes...)
	}
	flow(t, c.watching, 150) // those who came first have let go of what they tried
	abroadOnes := c.among(func(_, at *node) bool { return at.site != home.site })
	before, began := w.traffic(t), wanted(abroadOnes[0])
	flow(t, c.watching, 500)
	after, want := w.traffic(t), wanted(abroadOnes[0])-began
	for _, from := range regions {
		for _, to := range regions {
			if from == to {
				continue
			}
			pair := [2]string{from, to}
			payload, packets := after.payload[pair]-before.payload[pair], after.ocean[pair].Sub(before.ocean[pair])
			copies := float64(payload) / float64(want)
			t.Logf("%s > %s: %.3f copies of the stream (%d bytes of payload); %d bytes in %d packets on the ocean, %.3f of the stream's",
				from, to, copies, payload, packets.Bytes, packets.Packets, float64(packets.Bytes)/float64(want))
			expected := 0.0
			if from == home.site.Name() {
				expected = 1
			}
			if copies < expected-0.1 || copies > expected+0.1 {
				t.Errorf("%s > %s: %.2f copies of the stream and not %.0f", from, to, copies, expected)
			}
		}
	}
}

// traffic is what went from region to region so far.
type traffic struct {
	payload map[[2]string]uint64    // of streams and messages, as the links count it
	ocean   map[[2]string]wan.Stats // with all that transport adds
}

func (w *world) traffic(t *testing.T) traffic {
	t.Helper()
	all := traffic{make(map[[2]string]uint64), make(map[[2]string]wan.Stats)}
	for _, n := range w.nodes {
		for _, m := range n.members() {
			if !m.Self && m.Region != n.site.Name() {
				all.payload[[2]string{n.site.Name(), m.Region}] += m.SentBytes
			}
		}
	}
	for _, a := range regions {
		for _, b := range regions {
			if a != b {
				all.ocean[[2]string{a, b}] = w.network.Stats(a, b)
			}
		}
	}
	return all
}

// wanted returns how many bytes of RTP a subscription has had so far.
func wanted(x *watched) uint64 {
	return x.sub.Received("audio").Figures().Received*caller.AudioPacket + x.sub.Received("video").Figures().Received*caller.VideoPacket
}
