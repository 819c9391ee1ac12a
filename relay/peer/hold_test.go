package peer

import (
	"math"
	"slices"
	"testing"
	"time"

	"cardea/relay/plane"
	"cardea/relay/rtcp"
	"cardea/relay/stream"
	"cardea/relay/udp"
)

// encoder is a client that sends three layers as browsers do: each is begun when the limit has room for the least it needs behind
// what those below take, and takes at most what it is worth.
type encoder struct {
	t     *testing.T
	h     hold
	now   int64
	worth [3]uint64 // bits/s
	takes [3]uint64 // at present
	climb time.Duration
	last  [3]int64
	freed int64 // ns, since when there is no limit
	deaf  bool
	gaps  bool // of the highest layer
}

func newEncoder(t *testing.T, worth ...uint64) *encoder {
	e := &encoder{t: t, now: int64(time.Second)}
	copy(e.worth[:], worth)
	e.h.begin(nil, e.now)
	return e
}

// pass lets time go by while the given layers are wanted.
func (e *encoder) pass(d time.Duration, wanted uint8) {
	for end := e.now + int64(d); e.now < end; e.now += holdInterval {
		e.h.want(wanted, e.now)
		left := uint64(math.MaxUint64)
		if e.h.limit > 0 {
			left, e.freed = e.h.limit, e.now
		} else if e.now-e.freed < int64(e.climb) {
			left = e.worth[0] // its estimate climbs step by step
		}
		if e.deaf {
			left = math.MaxUint64
		}
		var flows [3]layerFlow
		for i, worth := range e.worth {
			if e.takes[i] = min(worth, left); e.takes[i] < worth/5 {
				e.takes[i] = 0
			}
			if left -= e.takes[i]; e.takes[i] > 0 {
				e.last[i] = e.now
			}
			flows[i] = layerFlow{bits: e.takes[i], rate: 30, last: e.last[i]}
			if e.gaps && i == 2 {
				flows[i].rate = 10
			}
		}
		e.h.review(flows[:], e.now)
	}
}

func (e *encoder) sends(want ...uint64) {
	e.t.Helper()
	if !slices.Equal(e.takes[:], want) {
		e.t.Errorf("after %v: sends %v, not %v, at a limit of %d", time.Duration(e.now), e.takes, want, e.h.limit)
	}
}

// TestHoldLayers limits a client to what is wanted of it.
func TestHoldLayers(t *testing.T) {
	const low, mid, high = 0b001, 0b010, 0b100
	t.Run("what nobody wants is given up after a while, and comes back at once", func(t *testing.T) {
		e := newEncoder(t, 100_000, 300_000, 900_000)
		e.pass(20*time.Second, low|high)
		e.sends(100_000, 300_000, 900_000)
		e.pass(4*time.Second, low)
		e.sends(100_000, 300_000, 900_000)
		e.pass(3*time.Second, low)
		e.sends(100_000, 0, 0)
		e.pass(time.Minute, low)
		e.sends(100_000, 0, 0)
		if e.h.want(low, e.now) || !e.h.want(high, e.now) || e.h.limit != 0 {
			t.Errorf("the limit is %d though the highest is wanted", e.h.limit)
		}
		e.pass(time.Second, low|high)
		e.sends(100_000, 300_000, 900_000)
	})
	t.Run("the middle", func(t *testing.T) {
		e := newEncoder(t, 100_000, 300_000, 900_000)
		e.pass(30*time.Second, mid)
		e.sends(100_000, 300_000, 0)
		e.pass(30*time.Second, low)
		e.sends(100_000, 0, 0)
		e.pass(30*time.Second, mid)
		e.sends(100_000, 300_000, 0)
		if e.h.slow {
			t.Error("it counts as slow")
		}
	})
	t.Run("nobody watches", func(t *testing.T) {
		e := newEncoder(t, 150_000, 500_000, 2_500_000)
		e.pass(30*time.Second, 0)
		e.sends(150_000, 0, 0)
	})
	t.Run("a client whose estimate still grows", func(t *testing.T) {
		e := newEncoder(t, 100_000, 300_000, 0)
		e.pass(30*time.Second, low)
		e.sends(100_000, 300_000, 0)
		e.worth[2] = 900_000
		e.pass(4*time.Second, low)
		e.sends(100_000, 300_000, 900_000)
		e.pass(3*time.Second, low)
		e.sends(100_000, 0, 0)
	})
	t.Run("a client that never gets as far", func(t *testing.T) {
		e := newEncoder(t, 100_000, 300_000, 0)
		e.pass(61*time.Second, low)
		e.sends(100_000, 0, 0)
		e.pass(time.Second, high)
		e.sends(100_000, 300_000, 0)
		if e.pass(time.Minute, low); e.h.slow {
			t.Error("it counts as slow")
		}
	})
	t.Run("what never came is not held", func(t *testing.T) {
		e := newEncoder(t, 100_000, 0, 0)
		e.pass(2*time.Minute, low)
		if e.h.limit != 0 {
			t.Errorf("limited to %d", e.h.limit)
		}
	})
	t.Run("a single encoding of those that were announced", func(t *testing.T) {
		e := newEncoder(t, 0, 0, 900_000)
		e.pass(20*time.Second, 0)
		e.sends(0, 0, 900_000)
		if e.h.limit != 0 {
			t.Errorf("limited to %d", e.h.limit)
		}
	})
	t.Run("too little to save", func(t *testing.T) {
		e := newEncoder(t, 30_000, 60_000, 0)
		e.pass(2*time.Minute, low)
		e.sends(30_000, 60_000, 0)
	})
	t.Run("the wanted layers need more than before", func(t *testing.T) {
		e := newEncoder(t, 50_000, 100_000, 900_000) // a picture that stands still
		e.pass(30*time.Second, mid)
		e.sends(50_000, 100_000, 0)
		e.worth = [3]uint64{100_000, 300_000, 1_500_000}
		e.pass(10*time.Second, mid)
		e.sends(100_000, 300_000, 0)
	})
	t.Run("a client that begins layers with little", func(t *testing.T) {
		e := newEncoder(t, 400_000, 300_000, 900_000)
		e.pass(30*time.Second, low)
		e.sends(400_000, 0, 0)
		limit := e.h.limit
		if e.pass(time.Minute, low); e.h.limit > limit+limit/4 {
			t.Errorf("the limit goes from %d to %d", limit, e.h.limit)
		}
		e.sends(400_000, 0, 0)
	})
	t.Run("a client that does not obey", func(t *testing.T) {
		e := newEncoder(t, 100_000, 300_000, 900_000)
		e.deaf = true
		e.pass(time.Minute, low)
		if e.h.limit < 100_000 || e.h.limit > 200_000 || e.h.holds(2, e.last[2], e.now) {
			t.Errorf("limited to %d; the highest counts as held: %t", e.h.limit, e.h.holds(2, e.last[2], e.now))
		}
		e.pass(10*time.Second, high)
		e.sends(100_000, 300_000, 900_000)
	})
	t.Run("a client that comes back slowly is left alone, before anybody has to wait", func(t *testing.T) {
		e := newEncoder(t, 100_000, 300_000, 900_000)
		e.climb = 5 * time.Second
		e.pass(12*time.Second, low)
		e.sends(100_000, 0, 0)
		e.pass(20*time.Second, low)
		e.sends(100_000, 300_000, 900_000)
		e.pass(time.Minute, low)
		e.sends(100_000, 300_000, 900_000)
	})
	t.Run("so is one whose pictures come back with gaps", func(t *testing.T) {
		e := newEncoder(t, 100_000, 300_000, 900_000)
		e.pass(time.Minute, low)
		e.sends(100_000, 0, 0)
		e.gaps = true
		e.pass(10*time.Second, high)
		e.pass(time.Minute, low)
		e.sends(100_000, 300_000, 900_000)
	})
}

// picky is a sink that wants what it is told to.
type picky struct{ layers uint8 }

func (k *picky) Layers(int64) uint8                           { return k.layers }
func (k *picky) Forward([]*stream.Packet, int64, *udp.Outbox) {}

// simulcaster is a client that sends what it is let, as an encoder would.
type simulcaster struct {
	*caller
	key   [3]bool
	seq   uint16
	limit uint64
	plis  []uint32
}

func newSimulcaster(s *stand, lines ...plane.Line) *simulcaster {
	c := &simulcaster{caller: s.newCaller("p"), limit: math.MaxUint64}
	l := videoLine("0", plane.RecvOnly, plane.Encoding{SSRC: 11}, plane.Encoding{SSRC: 12}, plane.Encoding{SSRC: 13})
	c.negotiate(1, append([]plane.Line{l}, lines...)...)
	pubs := []plane.Publication{publication("0")}
	for _, l := range lines {
		pubs = append(pubs, publication(l.Mid))
	}
	c.publish(pubs...)
	return c
}

// run lets time go by, with a packet of each layer every 10 ms, and takes what the node says.
func (c *simulcaster) run(d time.Duration, others ...uint32) {
	for end := c.s.now + int64(d); c.s.now < end; {
		c.seq++
		left := c.limit
		for i, bits := range []uint64{100_000, 300_000, 900_000} {
			if left < bits {
				c.key[i] = true
				break
			}
			left -= bits
			payload := make([]byte, bits/8/100)
			copy(payload, picture(c.key[i] || c.seq == 1))
			c.key[i] = false
			c.send(packet{ssrc: uint32(11 + i), seq: c.seq, stamp: uint32(c.seq) * 900, payload: payload}) //nolint:gosec // small
		}
		for _, ssrc := range others {
			c.send(packet{ssrc: ssrc, seq: c.seq, stamp: uint32(c.seq) * 900, key: c.seq == 1})
		}
		c.s.pass(10*time.Millisecond, c.caller)
		if c.seq%50 == 0 {
			c.hear()
		}
	}
}

// hear takes what the node said.
func (c *simulcaster) hear() {
	_, control := c.got()
	for i := range control {
		if bits, _, ok := control[i].REMB(); ok {
			c.limit = bits
		}
		if control[i].Kind() == rtcp.PLI {
			c.plis = append(c.plis, control[i].Media)
		}
	}
}

// TestHoldSwitchedOff has a client send all it can.
func TestHoldSwitchedOff(t *testing.T) {
	s := newStand(t)
	s.env.SendAllLayers = true
	c := newSimulcaster(s)
	s.env.Streams.Get(publication("0").Stream).AddSink(&picky{layers: 0b001})
	if c.run(10 * time.Second); c.limit != math.MaxUint64 { // never asked
		t.Errorf("limited to %d", c.limit)
	}
}

// TestHoldClient has a client stop what nobody wants, and send it again within a moment when somebody does.
func TestHoldClient(t *testing.T) {
	s := newStand(t)
	c := newSimulcaster(s)
	of := s.env.Streams.Get(publication("0").Stream)
	viewer := &picky{layers: 0b001}
	of.AddSink(viewer)
	c.run(7 * time.Second)
	if c.limit < 100_000 || c.limit > 200_000 {
		t.Fatalf("limited to %d", c.limit)
	}
	var qualities []stream.Quality
	track := stream.NewTrack(stream.TrackConfig{Kind: plane.Video, Codecs: []plane.Codec{testVP8}, SSRC: 5})
	of.Lock()
	track.SetTarget(0, -1, -1, -1)
	track.Attach(of, s.now)
	qualities = track.Layers(qualities)
	of.Unlock()
	if len(qualities) != 3 || qualities[2].Bitrate < 800_000 {
		t.Errorf("subscribers are offered %+v", qualities)
	}
	if told := s.told(plane.EventReceiving); slices.ContainsFunc(told, func(e plane.Event) bool { return !e.Receiving }) {
		t.Errorf("the publisher is told that layers fell silent: %+v", told)
	}

	c.run(time.Second)
	c.plis = nil
	viewer.layers = 0b100
	of.RequestKeyframes(0b100) // as whoever chooses a layer does
	c.s.pass(10*time.Millisecond, c.caller)
	if c.hear(); c.limit < 1_000_000_000/2 {
		t.Errorf("still limited to %d", c.limit)
	}
	if len(c.plis) != 0 {
		t.Errorf("asked for keyframes of %v: what begins does so with one", c.plis)
	}
	c.run(time.Second)
	if c.peer.lines[0].layers[2].lastMedia < s.now-int64(100*time.Millisecond) {
		t.Error("the highest layer did not come back")
	}

	// A limit of the publication's own counts besides.
	own := publication("0")
	own.Bitrate = 120_000
	c.publish(own)
	c.run(2 * time.Second)
	if math.Abs(float64(c.limit)-120_000) > 200 {
		t.Errorf("limited to %d", c.limit)
	}
}

// TestHoldOthers: a client that sends another video besides is not limited: it would be for both.
func TestHoldOthers(t *testing.T) {
	s := newStand(t)
	c := newSimulcaster(s, videoLine("1", plane.RecvOnly, plane.Encoding{SSRC: 21}))
	s.env.Streams.Get(publication("0").Stream).AddSink(&picky{layers: 0b001})
	c.run(6*time.Second, 21)
	if c.limit != math.MaxUint64 {
		t.Errorf("limited to %d", c.limit)
	}
	c.run(8500 * time.Millisecond) // it has stopped
	if c.limit > 200_000 {
		t.Errorf("limited to %d", c.limit)
	}
}

// TestLimitOfAllLines: what the publications of one client say is for all of them together.
func TestLimitOfAllLines(t *testing.T) {
	s := newStand(t)
	c := s.newCaller("p")
	c.negotiate(1, videoLine("0", plane.RecvOnly, plane.Encoding{SSRC: 11}), videoLine("1", plane.RecvOnly, plane.Encoding{SSRC: 12}))
	a, b := publication("0"), publication("1")
	told := func() (bits uint64, of int) {
		c.send(packet{ssrc: 11, seq: 1})
		c.send(packet{ssrc: 12, seq: 1})
		s.pass(1200*time.Millisecond, c)
		_, control := c.got()
		for i := range control {
			if n, ssrcs, ok := control[i].REMB(); ok {
				bits, of = n, 0
				for _, more := ssrcs.Next(); more; _, more = ssrcs.Next() {
					of++
				}
			}
		}
		return bits, of
	}
	c.publish(a, b)
	if bits, _ := told(); bits != 0 {
		t.Errorf("asked to stay below %d, and nobody wants that", bits)
	}
	a.Bitrate, b.Bitrate = 500_000, 500_000
	c.publish(a, b)
	if bits, of := told(); math.Abs(float64(bits)-500_000) > 500 || of != 2 {
		t.Errorf("asked to stay below %d with %d lines", bits, of)
	}
	a.Bitrate, b.Bitrate = 0, 0
	c.publish(a, b)
	if bits, _ := told(); math.Abs(float64(bits)-10e6) > 100 {
		t.Errorf("asked to stay below %d", bits)
	}
}

// TestHoldScalesAll has a client that gives less to all encodings alike: it is left alone, and the one that is watched does not suffer for long.
func TestHoldScalesAll(t *testing.T) {
	var h hold
	now := int64(time.Second)
	h.begin(nil, now)
	worth := []uint64{150_000, 450_000, 1_500_000}
	limits := 0
	for end := now + int64(2*time.Minute); now < end; now += holdInterval {
		h.want(0b001, now)
		share := 1.0
		if h.limit > 0 {
			share = min(1, float64(h.limit)/2_100_000)
			limits++
		}
		flows := make([]layerFlow, len(worth))
		for i, w := range worth {
			flows[i] = layerFlow{bits: uint64(float64(w) * share), rate: 30, last: now}
		}
		h.review(flows, now)
	}
	if limits == 0 || h.limit != 0 || !h.slow || limits > int(5*time.Second)/int(holdInterval) {
		t.Errorf("limited %d times, at last to %d", limits, h.limit)
	}
}
