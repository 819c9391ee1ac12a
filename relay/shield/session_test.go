package shield

import (
	"bytes"
	"math/rand/v2"
	"testing"
	"time"
)

var secret = bytes.Repeat([]byte{1}, 32)

// pair is two sessions that hand each other their datagrams, through drop.
type pair struct {
	a, b     *session
	toA, toB [][]byte
	gotB     [][]byte
	now      int64
	drop     func(b []byte) bool
	most     int
}

func newPair(t testing.TB) *pair {
	t.Helper()
	p := &pair{now: int64(time.Second), most: 1500}
	cfg := Config{InitialRate: 100e6}.withDefaults()
	pass := func(to *[][]byte) func([]byte) {
		return func(b []byte) {
			if len(b) <= p.most && (p.drop == nil || !p.drop(b)) {
				*to = append(*to, bytes.Clone(b))
			}
		}
	}
	var err error
	if p.a, err = newSession(secret, true, cfg, p.now, pass(&p.toB), func([]byte) {}); err != nil {
		t.Fatal(err)
	}
	if p.b, err = newSession(secret, false, cfg, p.now, pass(&p.toA), func(b []byte) { p.gotB = append(p.gotB, bytes.Clone(b)) }); err != nil {
		t.Fatal(err)
	}
	return p
}

// step lets 5 ms pass.
func (p *pair) step() {
	p.now += int64(busyTick)
	p.a.tick(p.now)
	p.b.tick(p.now)
	p.flush()
}

func (p *pair) flush() {
	for len(p.toA)+len(p.toB) > 0 {
		toA, toB := p.toA, p.toB
		p.toA, p.toB = nil, nil
		for _, b := range toA {
			p.a.receive(b, p.now)
		}
		for _, b := range toB {
			p.b.receive(b, p.now)
		}
	}
}

func (p *pair) warm() {
	for range 300 {
		p.step()
	}
}

func TestBothEndsFindEachOther(t *testing.T) {
	p := newPair(t)
	if p.a.ready || p.b.ready {
		t.Fatal("ready before anything was said")
	}
	p.warm()
	for _, s := range []*session{p.a, p.b} {
		if r := s.row(p.now); !r.Up || r.RTT > 10*time.Millisecond || r.Size != probeSizes[0] {
			t.Errorf("row %+v", r)
		}
	}
	p.drop = func([]byte) bool { return true }
	for range 400 {
		p.step()
	}
	if p.a.row(p.now).Up {
		t.Error("up, two seconds after the last packet")
	}
	if p.a.expired(p.now) {
		t.Error("expired too early")
	}
	if !p.a.expired(p.now + expiry) {
		t.Error("never expires")
	}
}

func TestKeepalive(t *testing.T) {
	p := newPair(t)
	p.warm()
	last, most := p.now, int64(0)
	p.drop = func([]byte) bool {
		most = max(most, p.now-last)
		last = p.now
		return false
	}
	for range 1000 {
		p.step()
	}
	if most > int64(200*time.Millisecond) {
		t.Errorf("%v between two packets of an idle link", time.Duration(most))
	}
}

// What is sent arrives, whatever its size and whatever the path carries; where the path shrinks it arrives again after a moment.
func TestCutsToThePath(t *testing.T) {
	for _, most := range []int{1500, 1400, 1300, leastSize} {
		p := newPair(t)
		p.most = most
		p.warm()
		for n := 1; n <= MaxPacket; n += 7 {
			p.gotB = nil
			want := content(uint64(n), n)
			p.a.send(want, p.now)
			p.flush()
			if len(p.gotB) != 1 || !bytes.Equal(p.gotB[0], want) {
				t.Fatalf("path of %d: packet of %d arrives as %d packets", most, n, len(p.gotB))
			}
			p.step()
		}
		p.most = leastSize
		for range 1000 {
			p.a.send(content(1, 1300), p.now)
			p.flush()
			p.step()
		}
		p.gotB = nil
		p.a.send(content(2, 1300), p.now)
		p.flush()
		if len(p.gotB) != 1 || p.a.mtu.size != leastSize {
			t.Errorf("path of %d shrank: %d packets arrive, size %d", most, len(p.gotB), p.a.mtu.size)
		}
	}
}

// Parts of packets are repaired, and sent again, like whole ones.
func TestPartsAreRepaired(t *testing.T) {
	p := newPair(t)
	p.most = leastSize
	p.warm()
	rng := rand.New(rand.NewPCG(5, 6))
	p.drop = func([]byte) bool { return rng.Float64() < 0.03 }
	sent := 0
	p.gotB = nil
	for range 4000 {
		p.a.send(content(uint64(sent), 1300), p.now)
		sent++
		p.flush()
		p.step()
	}
	p.drop = nil
	p.warm()
	if got := len(p.gotB); got < sent-sent/300 || got > sent {
		t.Errorf("%d of %d arrived", got, sent)
	}
}

func TestStrangersGainNothing(t *testing.T) {
	p := newPair(t)
	p.warm()
	var wire [][]byte
	p.drop = func(b []byte) bool {
		wire = append(wire, bytes.Clone(b))
		return false
	}
	for range 50 {
		p.a.send(content(3, 500), p.now)
		p.flush()
		p.step()
	}
	p.drop = nil
	got, heard, reports := len(p.gotB), p.b.heard, p.b.reportsIn
	p.now += 1000
	for _, b := range wire { // changed anywhere
		c := bytes.Clone(b)
		c[rand.IntN(len(c))] ^= 1 << rand.IntN(8)
		p.b.receive(c, p.now)
	}
	if p.b.heard != heard {
		t.Error("a forged packet was taken for a sign of life")
	}
	for _, b := range wire { // played again
		p.b.receive(b, p.now)
	}
	if len(p.gotB) != got || p.b.reportsIn != reports {
		t.Errorf("%d packets and %d reports taken twice", len(p.gotB)-got, p.b.reportsIn-reports)
	}
	if p.b.forged == 0 {
		t.Error("forged packets are not counted")
	}
}

// Who has the key may still send rubbish: nothing but rubbish comes of it.
func FuzzReceive(f *testing.F) {
	p := newPair(f)
	p.drop = func(b []byte) bool {
		f.Add(bytes.Clone(b))
		return false
	}
	for i := range 40 {
		p.a.send(content(uint64(i), 30+i), p.now)
		p.step()
	}
	f.Fuzz(func(t *testing.T, stream []byte) {
		cfg := Config{}.withDefaults()
		now := int64(time.Second)
		s, err := newSession(secret, false, cfg, now, func([]byte) {}, func(b []byte) {
			if len(b) == 0 || len(b) > MaxPacket {
				t.Fatalf("handed up %d bytes", len(b))
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; len(stream) > 1; i++ { // the first byte says how long the next datagram is
			n := min(int(stream[0])*8+headerLen+1, len(stream)-1)
			b := bytes.Clone(stream[1 : 1+n])
			stream = stream[1+n:]
			if len(b) <= headerLen {
				break
			}
			b[0] = mark | version<<3 | b[0]&7
			s.in.put(b)
			now += int64(time.Millisecond)
			s.receive(b, now)
			s.send(content(uint64(i), 100), now)
			s.tick(now)
		}
		if s.decoder.rows > maxColumns+1 || len(s.decoder.gaps) > maxGaps {
			t.Fatalf("%d rows, %d gaps", s.decoder.rows, len(s.decoder.gaps))
		}
	})
}

// A packet costs no memory once the rings are full, repairs and reports included.
func TestNoAllocation(t *testing.T) {
	cfg := Config{InitialRate: 1e9}.withDefaults()
	now := int64(time.Second)
	var a, b *session
	rng := rand.New(rand.NewPCG(7, 8))
	up := func([]byte) {}
	a, _ = newSession(secret, true, cfg, now, func(p []byte) {
		if rng.Float64() > 0.01 {
			b.receive(p, now)
		}
	}, up)
	b, _ = newSession(secret, false, cfg, now, func(p []byte) { a.receive(p, now) }, up)
	p := content(1, 1250)
	i := 0
	one := func() {
		i++
		now += 5e5
		a.send(p, now)
		if i%10 == 0 {
			a.tick(now)
			b.tick(now)
		}
	}
	for range 30000 {
		one()
	}
	if a.ratio == 0 || b.decoder.repairs == 0 {
		t.Fatalf("nothing to repair: ratio %g, %d repairs", a.ratio, b.decoder.repairs)
	}
	if n := testing.AllocsPerRun(20000, one); n >= 0.01 {
		t.Errorf("%g allocations a packet", n)
	}
}

func BenchmarkSession(b *testing.B) {
	for _, bc := range []struct {
		name  string
		share float64
	}{{"no loss", 0}, {"1%", 0.01}, {"3%", 0.03}} {
		b.Run(bc.name, func(b *testing.B) {
			cfg := Config{InitialRate: 1e9}.withDefaults()
			now := int64(time.Second)
			var x, y *session
			up := func([]byte) {}
			x, _ = newSession(secret, true, cfg, now, func(p []byte) {
				if rand.Float64() >= bc.share {
					y.receive(p, now)
				}
			}, up)
			y, _ = newSession(secret, false, cfg, now, func(p []byte) { x.receive(p, now) }, up)
			p := content(1, 1290)
			i := 0
			one := func() {
				i++
				now += 5e5
				x.send(p, now)
				if i%10 == 0 {
					x.tick(now)
					y.tick(now)
				}
			}
			for range 20000 {
				one()
			}
			b.ReportAllocs()
			for b.Loop() {
				one()
			}
		})
	}
}
