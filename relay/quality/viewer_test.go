package quality

import (
	"math/rand/v2"
	"testing"
	"time"
)

const (
	ms    = int64(time.Millisecond)
	frame = 33 * ms
)

// scene sends pictures of some packets each to a viewer, and has them arrive after a while.
type scene struct {
	t      *testing.T
	v      *Viewer
	now    int64
	number int64
	stamp  uint32
}

func newScene(t *testing.T) *scene {
	s := &scene{t: t, v: NewViewer(), now: 1000 * ms, number: 65530, stamp: 1 << 31}
	s.v.held = false
	s.v.Begin(s.now)
	return s
}

// send sends a picture of n packets and returns their numbers.
func (s *scene) send(n int, options ...func(*Packet)) []int64 {
	s.now += frame
	s.stamp += 2970
	var numbers []int64
	for i := range n {
		p := Packet{Number: s.number, Stamp: s.stamp, End: i == n-1}
		for _, o := range options {
			o(&p)
		}
		s.v.Sent(&p, s.now)
		numbers = append(numbers, s.number)
		s.number++
	}
	return numbers
}

func key(p *Packet)                { p.Keyframe = true }
func layer(t int8) func(p *Packet) { return func(p *Packet) { p.Temporal = t } }
func synced(p *Packet)             { p.Sync = true }
func spare(p *Packet)              { p.Spare = true }

const delay = 40 * ms

// come tells that packets arrived delay after now.
func (s *scene) come(numbers []int64) {
	for _, n := range numbers {
		s.v.Came(uint16(n), s.now+delay)
	}
}

func (s *scene) shown(want int) {
	s.t.Helper()
	if s.v.Frames != want {
		s.t.Errorf("%d pictures on display, want %d", s.v.Frames, want)
	}
}

func TestFirstFrame(t *testing.T) {
	s := newScene(t)
	s.come(s.send(3)) // builds upon what never was
	s.shown(1)        // but that is not known before something is given up: streams begin at keyframes
	s = newScene(t)
	first := s.send(3, key)
	s.come(first[:2])
	s.shown(0)
	s.come(s.send(1))
	s.shown(0)
	s.come(first[2:])
	s.shown(2)
	if got, want := s.v.FirstFrame(), 2*frame+delay; got != want {
		t.Errorf("first frame after %v, want %v", time.Duration(got), time.Duration(want))
	}
	s.v.Begin(s.now)
	if s.v.FirstFrame() != 0 {
		t.Error("there is a first frame before it came")
	}
	s.come(s.send(2, key))
	if got, want := s.v.FirstFrame(), frame+delay; got != want {
		t.Errorf("first frame after %v, want %v", time.Duration(got), time.Duration(want))
	}
}

func TestPicturesBuildUponEachOther(t *testing.T) {
	t.Run("repaired", func(t *testing.T) {
		s := newScene(t)
		s.come(s.send(2, key))
		lost := s.send(2)
		s.come(lost[:1])
		s.v.Missed(uint16(lost[1]), false)
		for range 5 {
			s.come(s.send(2))
		}
		s.shown(1)
		s.v.Again(uint16(lost[1]), s.now)
		s.v.Missed(uint16(lost[1]), false) // of the first time: no news
		s.come(lost[1:])
		s.come(lost[1:]) // and again
		s.shown(7)
	})
	t.Run("keyframe", func(t *testing.T) {
		s := newScene(t)
		s.come(s.send(2, key))
		lost := s.send(2)
		s.come(s.send(2))
		s.shown(1)
		s.come(s.send(2, key))
		s.shown(2)
		s.come(lost)
		s.shown(2)
		s.come(s.send(1))
		s.shown(3)
	})
	t.Run("temporal layers", func(t *testing.T) {
		s := newScene(t)
		s.come(s.send(2, key))
		s.send(2, layer(1)) // lost
		s.come(s.send(2))
		s.shown(2)
		s.come(s.send(2, layer(1))) // may build upon the one that was lost
		s.come(s.send(2))
		s.shown(3)
		s.come(s.send(2, layer(1), synced))
		s.come(s.send(2, layer(1)))
		s.shown(5)
	})
	t.Run("spare pictures", func(t *testing.T) {
		s := newScene(t)
		s.come(s.send(2, key))
		s.send(2, spare) // lost
		s.come(s.send(2))
		s.come(s.send(2, spare))
		s.shown(3)
	})
	t.Run("too many wait", func(t *testing.T) {
		s := newScene(t)
		s.come(s.send(2, key))
		lost := s.send(1)
		for range 2 * maxPictures {
			s.come(s.send(1))
		}
		s.come(lost)
		s.shown(1)
		s.come(s.send(1, key))
		s.shown(2)
	})
}

// A packet that comes late to the node holds up its picture: its number is kept for it.
func TestHoles(t *testing.T) {
	s := newScene(t)
	s.come(s.send(2, key))
	hole := s.number
	s.number++
	rest := s.send(2)
	s.come(rest)
	s.v.Passed(s.now+1, delay, s.now+delay)
	s.shown(1)
	s.v.Sent(&Packet{Number: hole, Stamp: s.stamp}, s.now)
	s.v.Passed(s.now, delay, s.now+delay)
	s.shown(1)
	s.v.Passed(s.now+1, delay, s.now+delay)
	s.shown(2)
}

// What no feedback speaks of came, unless the client asks for it.
func TestPassed(t *testing.T) {
	s := newScene(t)
	s.send(2, key)
	at := s.now
	s.send(1)
	s.v.Passed(s.now, delay, s.now+delay)
	s.shown(1)
	if got, want := s.v.Last(), at+delay; got != want {
		t.Errorf("on display at %d, want %d", got, want)
	}
	asked := s.send(2)
	s.v.Missed(uint16(asked[0]), true)
	s.v.PassedNumber(uint16(s.number-1), delay, s.now+delay)
	s.shown(2)
	s.v.Again(uint16(asked[0]), s.now+100*ms)
	s.v.PassedNumber(uint16(s.number-1), delay, s.now+400*ms)
	s.shown(3)
	if got, want := s.v.Last(), s.now+100*ms+delay; got != want {
		t.Errorf("on display at %d, want %d", got, want)
	}
}

func TestStalls(t *testing.T) {
	s := newScene(t)
	s.come(s.send(1, key))
	for range 30 {
		s.come(s.send(1))
	}
	s.now += 500 * ms
	s.come(s.send(1))
	if s.v.Count != 1 || s.v.Frozen != 533*ms || s.v.Watched != 30*frame+533*ms {
		t.Errorf("%d stalls of %v in %v", s.v.Count, time.Duration(s.v.Frozen), time.Duration(s.v.Watched))
	}
	s.now += silence
	s.come(s.send(1))
	if s.v.Count != 1 || s.v.Watched != 30*frame+533*ms {
		t.Errorf("silence counts: %d stalls in %v", s.v.Count, time.Duration(s.v.Watched))
	}
	s.v.Pause()
	s.now += 500 * ms
	s.v.Begin(s.now)
	s.come(s.send(1, key))
	if s.v.Count != 1 || s.v.Watched != 30*frame+533*ms {
		t.Errorf("a pause counts: %d stalls in %v", s.v.Count, time.Duration(s.v.Watched))
	}
}

// A browser's buffer takes its part of every gap, and evens out what is merely late.
func TestPlayout(t *testing.T) {
	s := newScene(t)
	s.v.held = true
	const playout = int64(playoutLeast)
	s.stamp = 1<<32 - 20*2970 // it will wrap
	s.come(s.send(1, key))
	first := s.v.Last()
	if first != s.now+delay+playout {
		t.Errorf("the first picture is on display %v after it was sent", time.Duration(first-s.now))
	}
	for range 40 {
		s.come(s.send(1))
	}
	late := s.send(1)
	s.v.Came(uint16(late[0]), s.now+delay+20*ms)
	if got, want := s.v.Last()-first, 41*frame; got < want-ms || got > want+ms {
		t.Errorf("41 pictures later it is %v, want %v", time.Duration(got), time.Duration(want))
	}
	outage := 15 * frame
	s.now += outage
	s.stamp += 15 * 2970
	late = s.send(1)
	s.v.Came(uint16(late[0]), s.now+delay+50*ms)
	if got, want := s.v.Frozen, outage+frame+50*ms-playout; s.v.Count != 1 || got < want-ms || got > want+ms {
		t.Errorf("%d stalls of %v, want one of %v", s.v.Count, time.Duration(got), time.Duration(want))
	}
}

// The rule is libwebrtc's: what it makes of these distances was worked out by hand from its definition.
func TestFreezes(t *testing.T) {
	for _, c := range []struct {
		name      string
		distances []int64 // ms
		count     int
		frozen    int64
	}{
		{"steady", []int64{33, 33, 33, 33, 33, 33}, 0, 0},
		{"too early to judge", []int64{33, 33, 33, 900}, 0, 0},
		{"the fifth is judged, and in the mean", []int64{33, 33, 33, 33, 900}, 1, 900},
		{"mean plus 150 ms", []int64{33, 33, 33, 33, 33, 33, 33, 33, 33, 33, 33, 33, 33, 33, 33, 33, 33, 33, 33, 190}, 0, 0},
		{"and a little more", []int64{33, 33, 33, 33, 33, 33, 33, 33, 33, 33, 33, 33, 33, 33, 33, 33, 33, 33, 33, 192}, 1, 192},
		{"three times the mean of slow pictures", []int64{200, 200, 200, 200, 200, 200, 200, 200, 200, 500}, 0, 0},
		{"and more", []int64{200, 200, 200, 200, 200, 200, 200, 200, 200, 800}, 1, 800},
	} {
		var f Freezes
		at := int64(1)
		f.Picture(at)
		for _, d := range c.distances {
			at += d * ms
			f.Picture(at)
		}
		if f.Count != c.count || f.Frozen != c.frozen*ms {
			t.Errorf("%s: %d stalls of %v, want %d of %d ms", c.name, f.Count, time.Duration(f.Frozen), c.count, c.frozen)
		}
	}
}

func TestArrivals(t *testing.T) {
	var a Arrivals
	const ahead = int64(7e15) // of the client's clock
	now := int64(1e9)
	for i := range 100 {
		queue := int64(i%10) * ms
		sent := now
		now += 100 * ms
		a.Message(sent, sent+ahead+50*ms+queue, now, 100*ms)
	}
	if got, want := a.At(now, now+ahead+57*ms, now+100*ms), now+57*ms; got < want-ms || got > want+ms {
		t.Errorf("arrived after %v, want 57ms", time.Duration(got-now))
	}
	if got := a.At(now, now+ahead, now+100*ms); got != now {
		t.Errorf("arrived %v before it was sent", time.Duration(now-got))
	}
	if got := a.At(now, now+ahead+1e10, now+100*ms); got != now+100*ms {
		t.Errorf("arrived %v after that was told", time.Duration(got-now-100*ms))
	}
	a.Message(now, now+ahead+int64(time.Hour), now+100*ms, 100*ms) // the client's clock was set
	if got, want := a.At(now, now+ahead+int64(time.Hour)+10*ms, now+100*ms), now+60*ms; got < want-ms || got > want+ms {
		t.Errorf("arrived after %v, want 60ms", time.Duration(got-now))
	}
	if a.OneWay() < 49*ms || a.OneWay() > 51*ms {
		t.Errorf("one way takes %v", time.Duration(a.OneWay()))
	}
}

func TestViewerDoesNotAllocate(t *testing.T) {
	s := newScene(t)
	s.come(s.send(1, key))
	p := Packet{}
	if n := testing.AllocsPerRun(1000, func() {
		s.number++
		s.now += ms
		p = Packet{Number: s.number, Stamp: uint32(s.number / 3), End: s.number%3 == 2}
		s.v.Sent(&p, s.now)
		s.v.Missed(uint16(s.number-5), false)
		s.v.Came(uint16(s.number-2), s.now)
		s.v.Passed(s.now-100*ms, delay, s.now)
	}); n != 0 {
		t.Errorf("%v allocations a packet", n)
	}
}

// FuzzViewer looks for panics and impossible figures whatever clients claim.
func FuzzViewer(f *testing.F) {
	f.Add(uint64(1))
	f.Fuzz(func(t *testing.T, seed uint64) {
		r := rand.New(rand.NewPCG(seed, seed))
		v := map[bool]func() *Viewer{true: NewViewer, false: NewIntake}[r.IntN(2) == 0]()
		now, number, stamp := int64(1e9), r.Int64N(1<<20), r.Uint32()
		v.Begin(now)
		for range 3000 {
			now += r.Int64N(20 * ms)
			switch low := uint16(number - r.Int64N(200)); r.IntN(9) {
			case 0, 1, 2:
				number += 1 + max(r.Int64N(40)-35, 0)
				if r.IntN(500) == 0 {
					number += r.Int64N(1 << 17)
				}
				if r.IntN(3) == 0 {
					stamp += r.Uint32N(6000)
				}
				v.Sent(&Packet{
					Number: number, Stamp: stamp, End: r.IntN(3) == 0, Keyframe: r.IntN(50) == 0,
					Sync: r.IntN(9) == 0, Spare: r.IntN(9) == 0, Temporal: int8(r.IntN(5) - 1),
				}, now)
			case 3:
				v.Sent(&Packet{Number: number - r.Int64N(300), Stamp: r.Uint32()}, now)
			case 4:
				v.Came(low, now-r.Int64N(500*ms))
			case 5:
				v.Missed(low, r.IntN(2) == 0)
			case 6:
				v.Again(low, now)
			case 7:
				v.Passed(now-r.Int64N(200*ms), 20*ms, now)
			case 8:
				v.PassedNumber(uint16(r.Uint32()), 20*ms, now)
			}
			if r.IntN(700) == 0 {
				v.Begin(now)
			}
			if v.Frozen > v.Watched || v.Watched > now || v.next-v.head > maxPictures || v.next < v.head {
				t.Fatalf("%d frozen of %d watched, %d waiting", v.Frozen, v.Watched, v.next-v.head)
			}
			for i := v.head; i < v.next; i++ {
				if p := v.at(i); p.lost < 0 || p.came < 0 || int64(p.came+p.lost) > p.last-p.first+1 {
					t.Fatalf("%+v", p)
				}
			}
		}
	})
}

// BenchmarkViewer is what a packet costs, sent and acknowledged.
func BenchmarkViewer(b *testing.B) {
	v := NewViewer()
	now, number := int64(1e9), int64(0)
	v.Begin(now)
	b.ReportAllocs()
	for b.Loop() {
		now += 5 * ms
		number++
		v.Sent(&Packet{Number: number, Stamp: uint32(number / 7), End: number%7 == 6, Keyframe: number == 1}, now)
		v.Came(uint16(number-20), now)
		if number%30 == 0 {
			v.Passed(now-100*ms, delay, now)
		}
	}
}
