package wan

import (
	"encoding/binary"
	"fmt"
	"math"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// arrival is a packet that came out of a virtual link.
type arrival struct {
	at     time.Duration
	site   int
	number uint32 // the packet's own
	size   int
	first  byte // of the IP header
}

// virtual is a fabric in virtual time.
type virtual struct {
	*fabric
	now      time.Duration
	arrivals []arrival
	number   uint32 // of the latest packet
}

func newVirtual(t Topology) *virtual {
	v := &virtual{}
	v.fabric = newFabric(t, func(site int, b []byte) bool {
		a := arrival{at: v.now, site: site, size: len(b), first: b[0]}
		if len(b) >= 32 {
			a.number = binary.BigEndian.Uint32(b[28:])
		}
		v.arrivals = append(v.arrivals, a)
		return true
	})
	return v
}

// pairOf returns a topology of sites a and b with the same conditions in both directions.
func pairOf(c Conditions) Topology {
	return Topology{
		Sites: []SiteConfig{{Name: "a"}, {Name: "b"}},
		Links: []Link{{From: "a", To: "b", Both: true, Conditions: c}},
		Seed:  1,
	}
}

// datagram writes a numbered UDP packet from one site to another into b, whose length it has.
func datagram(b []byte, from, to int, number uint32) {
	clear(b)
	b[0], b[8], b[9] = 0x45, 64, protoUDP
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	copy(b[12:], []byte{10, byte(from + 1), 0, 1, 10, byte(to + 1), 0, 1})
	binary.BigEndian.PutUint32(b[28:], number)
}

// send gives the link one packet now.
func (v *virtual) send(from, to, size int) {
	p := v.take()
	v.number++
	datagram(p.data[:size], from, to, v.number)
	p.size = size
	v.enter(v.now, from, p)
}

// until lets time pass, each event at its moment.
func (v *virtual) until(end time.Duration) {
	for {
		due, ok := v.next()
		if !ok || due > end {
			v.now = end
			return
		}
		v.now = due
		v.advance(due, 1)
	}
}

// drain lets time pass until nothing is under way.
func (v *virtual) drain() {
	for due, ok := v.next(); ok; due, ok = v.next() {
		v.until(due)
	}
}

// stream sends n packets of that size, one each interval, from site 0 to 1.
func (v *virtual) stream(n, size int, interval time.Duration) {
	for range n {
		v.send(0, 1, size)
		v.until(v.now + interval)
	}
}

// balanced reports a packet that is nowhere, or in two places.
func balanced(s Stats) error {
	in := s.Packets + s.Duplicated
	out := s.Delivered + s.Lost + s.QueueDropped + s.TooLarge + s.Cut + s.Refused + uint64(s.Queued) + uint64(s.Flying)
	if in != out {
		return fmt.Errorf("%d packets in, %d out or under way: %+v", in, out, s)
	}
	return nil
}

func TestDelayIsExact(t *testing.T) {
	topology := pairOf(Conditions{Delay: 40 * time.Millisecond})
	topology.Links = append(topology.Links, Link{From: "b", To: "a", Conditions: Conditions{Delay: 70 * time.Millisecond}})
	v := newVirtual(topology)
	v.send(0, 1, 100)
	v.until(time.Millisecond)
	v.send(0, 1, 200)
	v.send(1, 0, 300)
	v.drain()
	want := []arrival{
		{40 * time.Millisecond, 1, 1, 100, 0x45},
		{41 * time.Millisecond, 1, 2, 200, 0x45},
		{71 * time.Millisecond, 0, 3, 300, 0x45},
	}
	if d := cmp.Diff(want, v.arrivals, cmp.AllowUnexported(arrival{})); d != "" {
		t.Error(d)
	}
}

func TestJitterKeepsTheOrder(t *testing.T) {
	c := Conditions{Delay: 50 * time.Millisecond, Jitter: 20 * time.Millisecond}
	v := newVirtual(pairOf(c))
	const n, interval = 20_000, time.Millisecond
	v.stream(n, 100, interval)
	v.drain()
	if len(v.arrivals) != n {
		t.Fatalf("%d packets arrived, want %d", len(v.arrivals), n)
	}
	var sum time.Duration
	seen := make(map[time.Duration]bool)
	for i, a := range v.arrivals {
		if a.number != uint32(i+1) {
			t.Fatalf("packet %d arrived at place %d", a.number, i+1)
		}
		delay := a.at - time.Duration(i)*interval
		if delay < c.Delay-c.Jitter || delay > c.Delay+c.Jitter {
			t.Fatalf("packet %d took %v", a.number, delay)
		}
		sum += delay
		seen[delay.Round(time.Millisecond)] = true
	}
	if mean := sum / n; mean < c.Delay-2*time.Millisecond || mean > c.Delay+2*time.Millisecond {
		t.Errorf("mean delay %v, want %v", mean, c.Delay)
	}
	if len(seen) < 35 {
		t.Errorf("only %d different milliseconds of delay", len(seen))
	}
}

func TestShares(t *testing.T) {
	const n = 50_000
	c := Conditions{Delay: 30 * time.Millisecond, Loss: 0.02, Reorder: 0.05, ReorderBy: 10 * time.Millisecond, Duplicate: 0.01}
	v := newVirtual(pairOf(c))
	v.stream(n, 100, time.Millisecond)
	v.drain()
	s := v.way(0, 1).snapshot(v.now)
	for _, share := range []struct {
		name        string
		got, of     uint64
		probability float64
	}{{"lost", s.Lost, n, c.Loss}, {"reordered", s.Reordered, n - s.Lost, c.Reorder}, {"duplicated", s.Duplicated, n - s.Lost, c.Duplicate}} {
		mean := float64(share.of) * share.probability
		if sigma := math.Sqrt(mean * (1 - share.probability)); math.Abs(float64(share.got)-mean) > 4*sigma {
			t.Errorf("%d of %d %s, want about %.0f", share.got, share.of, share.name, mean)
		}
	}
	var twice, overtaken uint64
	last := make(map[uint32]bool)
	highest := uint32(0)
	for _, a := range v.arrivals {
		if last[a.number] {
			twice++
			continue
		}
		last[a.number] = true
		if delay := a.at - time.Duration(a.number-1)*time.Millisecond; delay == 40*time.Millisecond {
			overtaken++
			if a.number > highest {
				t.Errorf("packet %d was held back and still the first", a.number)
			}
		} else if delay != 30*time.Millisecond {
			t.Fatalf("packet %d took %v", a.number, delay)
		}
		highest = max(highest, a.number)
	}
	if twice != s.Duplicated || overtaken != s.Reordered {
		t.Errorf("%d arrived twice and %d late, counted were %d and %d", twice, overtaken, s.Duplicated, s.Reordered)
	}
	if err := balanced(s); err != nil {
		t.Error(err)
	}
}

func TestLessDelayKeepsTheOrder(t *testing.T) {
	v := newVirtual(pairOf(Conditions{Delay: 100 * time.Millisecond}))
	v.send(0, 1, 100)
	v.until(10 * time.Millisecond)
	v.set(v.now, 0, 1, Conditions{Delay: 20 * time.Millisecond})
	v.send(0, 1, 100)
	v.until(90 * time.Millisecond)
	v.send(0, 1, 100)
	v.drain()
	want := []arrival{{100 * time.Millisecond, 1, 1, 100, 0x45}, {100 * time.Millisecond, 1, 2, 100, 0x45}, {110 * time.Millisecond, 1, 3, 100, 0x45}}
	if d := cmp.Diff(want, v.arrivals, cmp.AllowUnexported(arrival{})); d != "" {
		t.Error(d)
	}
}

func TestPartition(t *testing.T) {
	topology := Topology{Sites: []SiteConfig{{Name: "a"}, {Name: "b"}, {Name: "c"}}}
	for _, pair := range []string{"a b", "a c", "b c"} {
		l, err := ParseLink(pair + " delay=10ms")
		if err != nil {
			t.Fatal(err)
		}
		topology.Links = append(topology.Links, l)
	}
	v := newVirtual(topology)
	reach := func(want ...string) {
		t.Helper()
		v.arrivals = nil
		var sent []string
		for from := range 3 {
			for to := range 3 {
				if from != to {
					v.send(from, to, 100)
					sent = append(sent, fmt.Sprintf("%c>%c", 'a'+from, 'a'+to))
				}
			}
		}
		v.drain()
		var got []string
		for _, a := range v.arrivals {
			got = append(got, sent[(a.number-1)%6])
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Error(d)
		}
	}
	reach("a>b", "a>c", "b>a", "b>c", "c>a", "c>b")
	v.partition([]bool{false, false, true})
	reach("a>b", "b>a")
	v.partition([]bool{true, false, false})
	reach()
	v.heal()
	reach("a>b", "a>c", "b>a", "b>c", "c>a", "c>b")
	down := v.way(1, 2).conditions
	down.Down = true
	v.set(v.now, 1, 2, down)
	v.heal() // is about partitions
	reach("a>b", "a>c", "b>a", "c>a", "c>b")

	// What is under way when the cut comes is lost.
	v.arrivals = nil
	v.send(0, 1, 100)
	v.until(v.now + 5*time.Millisecond)
	v.partition([]bool{true, false, false})
	v.drain()
	if len(v.arrivals) != 0 {
		t.Error("a packet crossed a partition that came while it was under way")
	}
	if err := balanced(v.way(0, 1).snapshot(v.now)); err != nil {
		t.Error(err)
	}
}

func TestMTU(t *testing.T) {
	v := newVirtual(pairOf(Conditions{MTU: 1280}))
	v.send(0, 1, 1280)
	v.send(0, 1, 1281)
	v.drain()
	// The notice comes at once: its quoted packet starts behind 28 bytes of headers.
	want := []arrival{{0, 0, 0x45000501, 20 + 8 + 20 + 64, 0x45}, {0, 1, 1, 1280, 0x45}}
	if d := cmp.Diff(want, v.arrivals, cmp.AllowUnexported(arrival{})); d != "" {
		t.Error(d)
	}
	v.arrivals = nil
	v.set(v.now, 0, 1, Conditions{MTU: 1280, Blackhole: true})
	v.send(0, 1, 1281)
	v.drain()
	if len(v.arrivals) != 0 {
		t.Errorf("a black hole answers: %+v", v.arrivals)
	}
	if s := v.way(0, 1).snapshot(v.now); s.TooLarge != 2 || s.Delivered != 1 || balanced(s) != nil {
		t.Errorf("counters %+v", s)
	}
}

func TestRoute(t *testing.T) {
	topology := pairOf(Conditions{})
	topology.Sites = append(topology.Sites, SiteConfig{Name: "c", Prefixes: []netip.Prefix{
		netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("2001:db8:7::/48"),
	}})
	v := newVirtual(topology)
	for to, want := range map[string]int{
		"10.1.0.1": 0, "10.1.255.255": 0, "10.2.0.7": 1, "10.3.0.1": -1, "203.0.113.9": 2, "8.8.8.8": -1, "224.0.0.1": -1,
		"fd00:1::1": 0, "fd00:2:ffff::": 1, "fd00:3::1": -1, "2001:db8:7::1": 2, "ff02::2": -1,
	} {
		a := netip.MustParseAddr(to)
		b := make([]byte, 60)
		if a.Is4() {
			b[0] = 0x45
			copy(b[16:], a.AsSlice())
		} else {
			b[0] = 0x60
			copy(b[24:], a.AsSlice())
		}
		if got := v.route(b); got != want {
			t.Errorf("%s goes to site %d, want %d", to, got, want)
		}
	}
	for _, b := range [][]byte{nil, {0x45}, {0x60}, make([]byte, 60), make([]byte, 19)} {
		if got := v.route(b); got != -1 {
			t.Errorf("%x goes to site %d", b, got)
		}
	}
	v.send(0, 0, 100) // an address of the sender's own prefix that is no host of it
	if v.unroutable != 1 || len(v.arrivals) != 1 || v.arrivals[0].site != 0 {
		t.Errorf("%d unroutable, arrivals %+v", v.unroutable, v.arrivals)
	}
}

func TestSameSeedSameFate(t *testing.T) {
	c := Conditions{Delay: 30 * time.Millisecond, Jitter: 5 * time.Millisecond, Loss: 0.1, Burst: 3, Reorder: 0.1, Duplicate: 0.1, Rate: 2e6}
	run := func(change func(*Topology)) []arrival {
		topology := pairOf(c)
		change(&topology)
		v := newVirtual(topology)
		v.stream(2000, 500, time.Millisecond)
		v.drain()
		return v.arrivals
	}
	first := run(func(*Topology) {})
	if len(first) < 1000 {
		t.Fatalf("only %d packets arrived", len(first))
	}
	if cmp.Diff(first, run(func(*Topology) {}), cmp.AllowUnexported(arrival{})) != "" {
		t.Error("a second run differs")
	}
	if cmp.Diff(first, run(func(p *Topology) { p.Sites = append(p.Sites, SiteConfig{Name: "c"}) }), cmp.AllowUnexported(arrival{})) != "" {
		t.Error("another site changes what happens between the first two")
	}
	if cmp.Diff(first, run(func(p *Topology) { p.Seed = 2 }), cmp.AllowUnexported(arrival{})) == "" {
		t.Error("another seed changes nothing")
	}
}

// Whatever is done to a link, each packet is in exactly one place, none comes early, and none comes out that did not go in.
func TestPacketsAreConserved(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		conditions := rapid.Custom(func(t *rapid.T) Conditions {
			delay := time.Duration(rapid.IntRange(0, 50).Draw(t, "delay")) * time.Millisecond
			return Conditions{
				Delay:     delay,
				Jitter:    delay / time.Duration(rapid.IntRange(1, 10).Draw(t, "jitter")),
				Loss:      rapid.Float64Range(0, 0.5).Draw(t, "loss"),
				Burst:     rapid.SampledFrom([]float64{0, 1, 5}).Draw(t, "burst"),
				Reorder:   rapid.SampledFrom([]float64{0, 0.5, 1}).Draw(t, "reorder"),
				Duplicate: rapid.SampledFrom([]float64{0, 0.5, 1}).Draw(t, "duplicate"),
				Rate:      rapid.SampledFrom([]int64{0, 0, 100_000, 10e6}).Draw(t, "rate"),
				QueueTime: rapid.SampledFrom([]time.Duration{0, time.Millisecond, time.Second}).Draw(t, "queue"),
				MTU:       rapid.SampledFrom([]int{0, 600}).Draw(t, "mtu"),
				Blackhole: true,
				Down:      rapid.IntRange(0, 9).Draw(t, "down") == 0,
			}
		})
		v := newVirtual(pairOf(Conditions{}))
		for range rapid.IntRange(1, 100).Draw(t, "steps") {
			switch rapid.IntRange(0, 5).Draw(t, "step") {
			case 0:
				c := conditions.Draw(t, "conditions")
				if err := c.Validate(); err != nil {
					t.Fatal(err)
				}
				v.set(v.now, 0, 1, c)
			case 1:
				v.partition([]bool{true, false})
			case 2:
				v.heal()
			case 3:
				v.until(v.now + time.Duration(rapid.IntRange(0, 100).Draw(t, "ms"))*time.Millisecond)
			default:
				for range rapid.IntRange(1, 20).Draw(t, "packets") {
					v.send(0, 1, rapid.IntRange(32, 1500).Draw(t, "size"))
				}
			}
			s := v.way(0, 1).snapshot(v.now)
			if err := balanced(s); err != nil {
				t.Fatal(err)
			}
			if s.Delivered != uint64(len(v.arrivals)) || s.QueueDelay < 0 || s.Waited < 0 || s.QueuedBytes < 0 {
				t.Fatalf("%d arrived: %+v", len(v.arrivals), s)
			}
		}
		v.drain()
		s := v.way(0, 1).snapshot(v.now)
		if s.Queued != 0 || s.QueuedBytes != 0 || s.Flying != 0 {
			t.Fatalf("when nothing is due: %+v", s)
		}
		count := make(map[uint32]int)
		for _, a := range v.arrivals {
			count[a.number]++
			if a.site != 1 || a.number == 0 || a.number > v.number || count[a.number] > 2 {
				t.Fatalf("arrival %+v, %d times", a, count[a.number])
			}
		}
		free := 0
		for p := v.free; p != nil; p = p.next {
			free++
		}
		if free != v.packets {
			t.Fatalf("%d of %d packets are free again", free, v.packets)
		}
	})
}

func TestBoundOnPacketsUnderWay(t *testing.T) {
	v := newVirtual(pairOf(Conditions{Delay: time.Minute, Duplicate: 1}))
	v.packets = maxPackets - 3 // as if so many were elsewhere
	v.send(0, 1, 100)
	v.send(0, 1, 100)
	if p := v.take(); p != nil {
		t.Error("there is a packet past the bound")
	}
	v.drain()
	if s := v.way(0, 1).snapshot(v.now); s.Delivered != 3 || v.exhausted != 2 || balanced(s) != nil {
		t.Errorf("%d exhausted, %+v", v.exhausted, s)
	}
}

func TestNoAllocationPerPacket(t *testing.T) {
	c := Conditions{
		Delay: 5 * time.Millisecond, Jitter: time.Millisecond, Loss: 0.01, Burst: 5, Reorder: 0.01, Duplicate: 0.01,
		Rate: 50e6, QueueTime: 20 * time.Millisecond, MTU: 1400,
	}
	f := newFabric(pairOf(c), func(int, []byte) bool { return true })
	var now time.Duration
	number := uint32(0)
	step := func() {
		p := f.take()
		number++
		p.size = 1000 + int(number%450) // some are too large, and answered
		datagram(p.bytes(), 0, 1, number)
		f.enter(now, 0, p)
		now += 200 * time.Microsecond
		f.advance(now, 100)
	}
	for range 2000 {
		step() // the pool and the heap grow to what is needed
	}
	if n := testing.AllocsPerRun(5000, step); n != 0 {
		t.Errorf("%v allocations per packet", n)
	}
}

func BenchmarkFabric(b *testing.B) {
	f := newFabric(pairOf(Conditions{Delay: 40 * time.Millisecond, Loss: 0.01, Burst: 5, Rate: 200e6}), func(int, []byte) bool { return true })
	var now time.Duration
	b.ReportAllocs()
	for b.Loop() {
		p := f.take()
		p.size = 1200
		datagram(p.bytes(), 0, 1, 1)
		f.enter(now, 0, p)
		now += 48 * time.Microsecond // 200 Mbit/s
		f.advance(now, 100)
	}
}
