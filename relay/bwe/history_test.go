package bwe

import (
	"sync"
	"testing"
	"time"
	"unsafe"

	"cardea/relay/rtcp"

	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const ms = int64(time.Millisecond)

// feedback writes a message about arrivals from base on and reads it back.
func feedback(t rapid.TB, base int64, arrivals ...rtcp.Arrival) *rtcp.TransportFeedback {
	t.Helper()
	b, used := rtcp.AppendTWCC(nil, 1, 2, 0, base, arrivals)
	if used != len(arrivals) {
		t.Fatalf("%d of %d arrivals used", used, len(arrivals))
	}
	p, _, err := rtcp.Next(b)
	if err != nil {
		t.Fatal(err)
	}
	f, ok := p.TransportFeedback()
	if !ok {
		t.Fatal("no feedback")
	}
	return &f
}

func TestResolve(t *testing.T) {
	var h History
	now := 500 * ms
	for i := range uint16(10) { // over the wrap
		h.Add(65530+i, now+int64(i)*ms, 1000+int(i), 0)
	}
	// 65530 and 65532 are lost, 65533 comes before 65531.
	arrived := func(seq int64, t int64) rtcp.Arrival { return rtcp.Arrival{Sequence: seq, Time: t} }
	got := h.Resolve(feedback(t, 65530, arrived(65531, 105*ms), arrived(65533, 103*ms), arrived(65537, 110*ms)), now+100*ms, nil)
	want := []struct {
		sent, arrival int64
		size          int32
	}{{0, -1, 1000}, {2, -1, 1002}, {4, -1, 1004}, {5, -1, 1005}, {6, -1, 1006}, {3, 103, 1003}, {1, 105, 1001}, {7, 110, 1007}}
	if len(got) != len(want) {
		t.Fatalf("%+v", got)
	}
	origin := got[5].Arrival - 103*ms // the client's clock has no zero that we know
	for i, w := range want {
		r := got[i]
		if r.Sent != now+w.sent*ms || r.Size != w.size || r.Received != (w.arrival >= 0) || r.Late {
			t.Errorf("%d: %+v, want %+v", i, r, w)
		}
		if r.Received && r.Arrival-origin != w.arrival*ms {
			t.Errorf("%d: arrival %d, want %d", i, r.Arrival-origin, w.arrival*ms)
		}
	}
	// Told again, only what turned up meanwhile is new; the reference time has moved on.
	got = h.Resolve(feedback(t, 65530, arrived(65530, 300*ms), arrived(65531, 301*ms), arrived(65538, 302*ms)), now+200*ms, nil)
	if len(got) != 2 || !got[0].Late || got[0].Sent != now || got[1].Late || got[1].Sent != now+8*ms {
		t.Fatalf("%+v", got)
	}
	if d := got[0].Arrival - origin; d != 300*ms {
		t.Errorf("arrival %v", time.Duration(d))
	}
	// Never sent, or another round of the same numbers.
	if got = h.Resolve(feedback(t, 300, arrived(300, ms)), now, nil); len(got) != 0 {
		t.Errorf("%+v", got)
	}
	if got = h.Resolve(feedback(t, 65539, arrived(65539, ms)), now+11*int64(time.Second), nil); len(got) != 0 {
		t.Errorf("too old: %+v", got)
	}
}

// The reference time is 24 bits of 64 ms and wraps every 12 days.
func TestReferenceWraps(t *testing.T) {
	var h History
	h.Add(1, 0, 100, 0)
	h.Add(2, 0, 100, 0)
	const wrap = int64(1<<23) * int64(rtcp.ReferenceUnit)
	a := h.Resolve(feedback(t, 1, rtcp.Arrival{Sequence: 1, Time: wrap - ms}), ms, nil)
	b := h.Resolve(feedback(t, 2, rtcp.Arrival{Sequence: 2, Time: wrap + ms}), ms, nil)
	if d := b[0].Arrival - a[0].Arrival; d != 2*ms {
		t.Errorf("%v apart", time.Duration(d))
	}
}

func TestHistoryGrowsWithTheRate(t *testing.T) {
	size := func(h *History) int { return len(h.ring.Load().slots) }
	if s := (unsafe.Sizeof(ring{}.slots[0]) + unsafe.Sizeof(ring{}.tags[0])) * maxHistory; s > 24<<10 {
		t.Errorf("%d bytes", s)
	}
	for _, c := range []struct {
		perSecond int
		want      int
	}{{50, 256}, {240, 256}, {500, 512}, {1500, 2048}, {10000, 2048}} {
		var h History
		if h.ring.Load() != nil {
			t.Fatal("memory before the first packet")
		}
		for i := range 3 * c.perSecond {
			h.Add(uint16(i), int64(i)*int64(time.Second)/int64(c.perSecond), 1000, 0)
		}
		if got := size(&h); got != c.want {
			t.Errorf("%d packets/s: %d slots, want %d", c.perSecond, got, c.want)
		}
		// Growing forgets nothing.
		last := 3*c.perSecond - 1
		now := int64(3 * time.Second)
		for i := range min(c.perSecond, c.want) {
			if _, ok := h.take(rtcp.Status{Sequence: uint16(last - i), Received: true}, now); !ok {
				t.Errorf("%d packets/s: the %d. last is gone", c.perSecond, i)
				break
			}
		}
	}
}

func TestHistoryMarksProbes(t *testing.T) {
	var h History
	h.Add(1, 0, 100, 0)
	h.begin(7)
	h.Add(2, 0, 200, 0)
	h.Add(3, 0, 300, 0)
	h.begin(0)
	h.Add(4, 0, 400, 0)
	for seq, want := range map[uint16]uint8{1: 0, 2: 7, 3: 7, 4: 0} {
		if r, ok := h.take(rtcp.Status{Sequence: seq, Received: true}, ms); !ok || r.Cluster != want {
			t.Errorf("%d: %+v", seq, r)
		}
	}
	if n := h.bytes.Load(); n != 500 {
		t.Errorf("%d bytes", n)
	}
}

// Packets of one peer are sent from several goroutines while feedback comes in.
func TestHistoryConcurrency(t *testing.T) {
	var h History
	var wg sync.WaitGroup
	const each, round = 4000, 50
	rounds := make([]sync.WaitGroup, each/round)
	for i := range rounds {
		rounds[i].Add(4)
	}
	for g := range 4 {
		wg.Go(func() {
			for i := range each {
				h.Add(uint16(4*i+g), int64(i)*ms, 1000, 0)
				if i%round == round-1 { // nobody is ahead by more than the history holds
					rounds[i/round].Done()
					rounds[i/round].Wait()
				}
			}
		})
	}
	found := 0
	wg.Go(func() {
		for i := range each {
			if _, ok := h.take(rtcp.Status{Sequence: uint16(4 * i), Received: true}, int64(i)*ms); ok {
				found++
			}
		}
	})
	wg.Wait()
	for i := 4*each - 500; i < 4*each; i++ {
		if _, ok := h.take(rtcp.Status{Sequence: uint16(i), Received: true}, each*ms); ok {
			found++
		}
	}
	if found < 400 {
		t.Errorf("only %d found", found)
	}
}

func TestMeter(t *testing.T) {
	var m meter
	if m.rate() != 0 {
		t.Error("rate of nothing")
	}
	for _, origin := range []int64{0, -int64(time.Hour), int64(1000 * time.Hour)} { // with jumps of the clock between them
		for i := range int64(200) {
			m.add(origin+i*10*ms, 1250) // 1 Mbit/s
			if got := m.rate(); i > 30 && (got < 0.95e6 || got > 1.1e6) || i < 10 && got != 0 {
				t.Fatalf("%v, %d: %v", time.Duration(origin), i, got)
			}
		}
	}
	last := int64(1000*time.Hour) + 2*int64(time.Second)
	for i := range int64(60) { // to 200 kbit/s within the window
		m.add(last+i*10*ms, 250)
	}
	if got := m.rate(); got < 0.19e6 || got > 0.22e6 {
		t.Errorf("after the drop: %v", got)
	}
	m.add(last, 1) // late
	m.add(last+10*int64(time.Second), 1)
	if got := m.rate(); got != 0 {
		t.Errorf("after a pause: %v", got)
	}
}
