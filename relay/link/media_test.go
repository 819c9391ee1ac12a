package link

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cardea/relay/plane"
	"cardea/relay/rtp"
	"cardea/relay/stream"
	"cardea/relay/udp"
)

// got is what a sink sees of a packet.
type got struct {
	Seq                 int64
	Timestamp, SSRC     uint32
	Layer, PayloadType  uint8
	Marker, Key         bool
	Payload             string
	Level, Orientation  int
	Delay               int
	Capture, Descriptor string
}

func seen(p *stream.Packet) got {
	g := got{
		Seq: p.Seq, Timestamp: p.Timestamp, SSRC: p.SSRC, Layer: p.Layer, PayloadType: p.PayloadType, Marker: p.Marker, Key: p.Info.Keyframe,
		Payload: string(p.Payload), Capture: string(p.CaptureTime()), Descriptor: string(p.Descriptor()), Level: -1, Orientation: -1, Delay: -1,
	}
	if v, ok := p.AudioLevel(); ok {
		g.Level = int(v)
	}
	if v, ok := p.Orientation(); ok {
		g.Orientation = int(v)
	}
	if v, ok := p.PlayoutDelay(); ok {
		g.Delay = int(v)
	}
	return g
}

// sink remembers what it is given.
type sink struct {
	mu      sync.Mutex
	packets []got
}

func (k *sink) Forward(burst []*stream.Packet, _ int64, _ *udp.Outbox) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, p := range burst {
		k.packets = append(k.packets, seen(p))
	}
}

func (k *sink) Layers(int64) uint8 { return 1 }

func (k *sink) all() []got {
	k.mu.Lock()
	defer k.mu.Unlock()
	return append([]got(nil), k.packets...)
}

func (k *sink) len() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.packets)
}

// config is that of a stream as a publisher sends it; imported, as it comes by a link.
func config(kind plane.Kind, layers int, imported bool) stream.Config {
	cfg := stream.Config{
		ID:   plane.StreamID{Room: "videoroom/1", Publisher: "p", Mid: kind.String()},
		Kind: kind, Layers: layers, Codecs: []plane.Codec{{Name: "vp8", PayloadType: 96, ClockRate: 90000}},
		Extensions: []plane.Extension{
			{ID: 9, URI: plane.ExtAudioLevel},
			{ID: 13, URI: plane.ExtVideoOrientation},
			{ID: 12, URI: plane.ExtPlayoutDelay},
			{ID: 3, URI: plane.ExtAbsCaptureTime},
			{ID: 21, URI: plane.ExtDependencyDescriptor},
			{ID: 1, URI: plane.ExtTransportCC},
		},
	}
	if kind == plane.Audio {
		cfg.Codecs = []plane.Codec{{Name: "opus", PayloadType: 111, ClockRate: 48000}}
	}
	if imported {
		cfg.Extensions = Extensions()
	}
	return cfg
}

// publish commits a packet as a peer would. VP8: a keyframe each 30 frames of two packets.
func publish(s *stream.Stream, layer int, seq int64, size int, now int64) {
	cfg := s.Config()
	frame := seq / 2
	h := rtp.Header{
		PayloadType: cfg.Codecs[0].PayloadType, SequenceNumber: uint16(seq), SSRC: 1000 + uint32(layer), Timestamp: uint32(frame * 3000), Marker: seq%2 == 1,
	}
	w := rtp.NewExtWriter(rtp.AppendHeader(nil, &h))
	w.Add(1, []byte{1, 2}) // a transport-wide number, which ends here
	if cfg.Kind == plane.Audio {
		w.Add(9, []byte{byte(seq) | 0x80})
	} else if seq%3 == 0 {
		w.Add(13, []byte{byte(seq) % 4})
		w.Add(12, []byte{0, 1, byte(seq)})
		w.Add(3, binary.BigEndian.AppendUint64(nil, uint64(seq)))
	}
	if seq%5 == 0 && cfg.Kind == plane.Video {
		w.Add(21, bytes.Repeat([]byte{byte(seq)}, 3+int(uint64(seq)%60)))
	}
	var parsed rtp.Header
	packet := w.End()
	if err := rtp.Parse(packet, &parsed); err != nil {
		panic(err)
	}
	payload := make([]byte, size)
	binary.BigEndian.PutUint64(payload[size-8:], uint64(seq))
	payload[0] = 0
	if seq%2 == 0 {
		payload[0] = 0x10 // start of a partition
		payload[1] = 1    // of an interframe
		if frame%30 == 0 {
			copy(payload[1:], []byte{0, 0, 0, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0x68, 0x01})
		}
	}
	slot := s.Reserve(layer, size)
	copy(slot, payload)
	s.Commit(layer, &parsed, seq, size, now, false)
}

// hop carries a stream from one node to another and returns it there.
func hop(t testing.TB, from, to *node, s *stream.Stream, layers uint8) (*stream.Stream, *Import, *Export) {
	t.Helper()
	cfg := s.Config()
	cfg.Extensions = Extensions()
	next := stream.New(cfg)
	down := to.to(t, from)
	up := from.to(t, to)
	flow := down.NewFlow()
	i := down.Import(flow, next)
	return next, i, up.Export(flow, s, layers)
}

// Three hops on, all packets are what they were: whole numbers, time stamps, extensions; losses on the way are repaired.
func TestFidelity(t *testing.T) {
	c := newCluster(t)
	nodes := []*node{c.node(), c.node(), c.node(), c.node()}
	for _, n := range nodes {
		n.link.share.Store(10000)
		n.link.delay.Store(int64(2 * time.Millisecond))
	}
	for _, kind := range []plane.Kind{plane.Audio, plane.Video} {
		t.Run(kind.String(), func(t *testing.T) {
			layers := 1
			if kind == plane.Video {
				layers = 3
			}
			origin := stream.New(config(kind, layers, false))
			s := origin
			var last *Import
			for i := range len(nodes) - 1 {
				s, last, _ = hop(t, nodes[i], nodes[i+1], s, 1<<layers-1)
			}
			first, final := &sink{}, &sink{}
			origin.AddSink(first)
			s.AddSink(final)
			clock := testClock().Now
			var numbers [3]int64
			numbers[0] = 65536*700 + 65400 // the upper bits matter, and change on the way
			numbers[1] = -50
			size := 1180
			if kind == plane.Audio {
				size = 120
			}
			const packets = 250
			for n := range packets {
				if kind == plane.Video && n%60 == 50 {
					origin.SetMuted(true) // and on, under numbers that are 65,536 higher
					origin.SetMuted(false)
				}
				for l := range layers {
					publish(origin, l, numbers[l], size-100*l, clock())
					numbers[l]++
				}
				origin.Flush(clock(), nil)
				time.Sleep(10 * time.Millisecond)
			}
			sent := map[string]got{}
			for _, g := range first.all() {
				sent[fmt.Sprint(g.Layer, g.Seq)] = g
			}
			late := func() (n int) { // dropped by a link's queue, as they are on a machine that is busy
				for i := range len(nodes) - 1 {
					n += int(nodes[i].to(t, nodes[i+1]).Stats().Late)
				}
				return n
			}
			eventually(t, "too much is missing", func() bool { return final.len()+late() >= packets*layers*98/100 })
			if final.len() < packets*layers/2 {
				t.Errorf("only %d packets arrive", final.len())
			}
			for _, g := range final.all() {
				want, ok := sent[fmt.Sprint(g.Layer, g.Seq)]
				if !ok {
					t.Fatalf("layer %d has no packet %d", g.Layer, g.Seq)
				}
				if diff := cmp.Diff(want, g); diff != "" {
					t.Fatal(diff)
				}
				delete(sent, fmt.Sprint(g.Layer, g.Seq)) // nothing twice
			}
			if st := last.Stats(); st.Packets < uint64(final.len()) || st.Dropped > 0 {
				t.Errorf("%+v, %d packets", st, final.len())
			}
		})
	}
}

// Sender reports of sound and picture stay true of each other over three hops, whatever the clocks of the nodes say.
func TestReports(t *testing.T) {
	c := newCluster(t)
	var nodes []*node
	for i := range 4 {
		nodes = append(nodes, c.node(func(c *Config) {
			ntp := c.Clock.NTP
			c.Clock.NTP = func(now int64) uint64 { return ntp(now) + uint64(i)*12345<<32 }
		}))
	}
	now := testClock().Now
	kinds := []plane.Kind{plane.Audio, plane.Video}
	origins := []*stream.Stream{stream.New(config(plane.Audio, 1, false)), stream.New(config(plane.Video, 1, false))}
	var ends [2]*stream.Stream
	for k := range kinds {
		s := origins[k]
		for i := range len(nodes) - 1 {
			s, _, _ = hop(t, nodes[i], nodes[i+1], s, 1)
		}
		ends[k] = s
	}
	const base, rate = uint64(777 << 32), 16000 // of the publisher's clocks
	start := time.Now()
	var told [2]func() (uint64, uint32, int64, bool)
	for k := range kinds {
		told[k] = func() (uint64, uint32, int64, bool) {
			ends[k].Lock()
			defer ends[k].Unlock()
			return ends[k].Reported(0)
		}
	}
	var last [2]uint32
	for n := range 30 {
		for k := range kinds {
			if n%2 == k { // they alternate
				d := time.Since(start)
				last[k] = uint32(d * rate / time.Second)
				origins[k].SenderReport(0, base+uint64(d.Seconds()*(1<<32)), last[k], now())
			}
			publish(origins[k], 0, int64(n), 200, now())
			origins[k].Flush(now(), nil)
		}
		time.Sleep(5 * time.Millisecond)
	}
	eventually(t, "reports do not arrive", func() bool {
		_, a, _, aok := told[0]()
		_, v, _, vok := told[1]()
		return aok && vok && a == last[0] && v == last[1]
	})
	a, as, _, _ := told[0]()
	v, vs, _, _ := told[1]()
	diff := int64(a-v) - int64(int32(as-vs))<<32/rate
	if off := time.Duration(float64(diff) / (1 << 32) * 1e9); off < -10*time.Millisecond || off > 10*time.Millisecond {
		t.Errorf("sound and picture are %v apart", off)
	}
}

// What a node tells before it is asked for a flow waits; what nobody asked for is dropped.
func TestEarly(t *testing.T) {
	c := newCluster(t)
	a, b := c.node(), c.node()
	l, back := a.to(t, b), b.to(t, a)
	s := stream.New(config(plane.Audio, 1, false))
	now := testClock().Now
	flow := back.NewFlow()
	x := l.Export(flow, s, 1)
	l.Export(flow+1, s, 1)
	const packets = maxEarly + 20
	for n := range packets {
		publish(s, 0, int64(n), 100, now())
		s.Flush(now(), nil)
		if n%10 == 0 {
			time.Sleep(time.Millisecond)
		}
	}
	eventually(t, "nothing arrives", func() bool { return back.Stats().In >= 2*packets })
	if st := back.Stats(); st.Unknown != packets || st.Early != packets-maxEarly {
		t.Errorf("%+v", st)
	}
	k := &sink{}
	imported := stream.New(config(plane.Audio, 1, true))
	imported.AddSink(k)
	i := back.Import(flow, imported)
	if n := k.len(); n != maxEarly || back.flows.early != 0 {
		t.Errorf("%d of the early packets arrive, %d are kept", n, back.flows.early)
	}
	x.Close()
	i.Close()
	i.Close()
	if back.Stats(); back.flows.any() {
		t.Error("the flow stays")
	}
	// The link ends, and its exports with it.
	if s.Sinks() != 1 {
		t.Errorf("%d sinks", s.Sinks())
	}
	back.Expect(flow)
	if !back.flows.any() {
		t.Error("not expected")
	}
	back.Cancel(flow)
	if back.flows.any() {
		t.Error("still expected")
	}
	l.Close()
	eventually(t, "the export stays", func() bool { return s.Sinks() == 0 })
	if l.Export(flow, s, 1); s.Sinks() != 0 {
		t.Error("an export of a closed link")
	}
	<-back.Done()
	if back.Import(flow, imported); back.flows.any() {
		t.Error("an import of a closed link")
	}
}

// skipIfLate ends a test that needs every packet where the machine was too busy to send them in time.
func skipIfLate(t *testing.T, links ...*Link) {
	t.Helper()
	for _, l := range links {
		if n := l.Stats().Late; n > 0 {
			t.Skipf("the machine is busy: %d packets were dropped as too late", n)
		}
	}
}

// A new export begins with the kept keyframe, in order, and goes on without a gap while packets come.
func TestBeginsWithKeyframe(t *testing.T) {
	c := newCluster(t)
	a, b := c.node(), c.node()
	a.to(t, b)
	now := testClock().Now
	s := stream.New(config(plane.Video, 2, false))
	const kept = 50
	n := int64(0)
	push := func() {
		for l := range 2 {
			publish(s, l, 1000+n, 300, now())
		}
		s.Flush(now(), nil)
		n++
	}
	for n < 20 || n < kept { // the keyframe is that of frame 510: number 1020
		push()
	}
	cfg := s.Config()
	cfg.Extensions = Extensions()
	next := stream.New(cfg)
	k := &sink{}
	next.AddSink(k)
	back := b.to(t, a)
	flow := back.NewFlow()
	back.Import(flow, next)
	x := a.to(t, b).Export(flow, s, 1)
	for range 10 {
		push()
		time.Sleep(2 * time.Millisecond)
	}
	x.SetLayers(3)
	if l := x.Layers(0); l != 3 {
		t.Errorf("layers %b", l)
	}
	for range 100 {
		push()
		time.Sleep(2 * time.Millisecond)
	}
	skipIfLate(t, a.to(t, b))
	for l := range 2 {
		eventually(t, fmt.Sprintf("layer %d does not come whole: %d packets, %+v, %+v", l, k.len(), a.to(t, b).Stats(), back.Stats()), func() bool {
			want := int64(1020)
			for _, g := range k.all() {
				if int(g.Layer) != l {
					continue
				}
				if g.Seq != want {
					return false
				}
				want++
			}
			return want == 1000+n
		})
	}
	x.SetLayers(0)
	before := k.len()
	push()
	time.Sleep(20 * time.Millisecond)
	if k.len() != before {
		t.Error("a layer that is not wanted")
	}
}

// A stream that is fed by two links at once has every packet once, and goes on when one of them ends.
func TestTwoParents(t *testing.T) {
	c := newCluster(t)
	a, b, child := c.node(), c.node(), c.node()
	now := testClock().Now
	s := stream.New(config(plane.Video, 1, false))
	atB, _, _ := hop(t, a, b, s, 1)
	next := stream.New(config(plane.Video, 1, true))
	k := &sink{}
	next.AddSink(k)
	n := int64(1 << 20)
	push := func(count int) {
		for range count {
			publish(s, 0, n, 400, now())
			s.Flush(now(), nil)
			n++
			time.Sleep(2 * time.Millisecond)
		}
	}
	connect := func(p *node, s *stream.Stream) (*Import, *Export) {
		l := child.to(t, p)
		flow := l.NewFlow()
		i := l.Import(flow, next)
		return i, p.to(t, child).Export(flow, s, 1)
	}
	push(60)
	first, _ := connect(a, s)
	push(100)
	second, _ := connect(b, atB)
	if !first.feed.shared.Load() || !second.feed.shared.Load() {
		t.Error("two links do not know that they feed one stream")
	}
	push(100)
	first.Close()
	if second.feed.shared.Load() {
		t.Error("one link holds that another feeds its stream")
	}
	push(100)
	skipIfLate(t, a.to(t, child), b.to(t, child), a.to(t, b))
	eventually(t, "packets are missing", func() bool { p := k.all(); return len(p) > 0 && p[len(p)-1].Seq == n-1 })
	counts := map[int64]int{}
	low := n
	for _, g := range k.all() {
		counts[g.Seq]++
		low = min(low, g.Seq)
	}
	for seq := low; seq < n; seq++ {
		if counts[seq] != 1 {
			t.Fatalf("packet %d comes %d times", seq, counts[seq])
		}
	}
	if second.Close(); len(child.feeds.of) != 0 {
		t.Error("feeds stay")
	}
}
