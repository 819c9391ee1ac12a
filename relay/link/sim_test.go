package link

import (
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"cardea/relay/udp"
)

// ocean is one direction of a path in simulated time: loss, independent or in bursts (Gilbert-Elliott), and delay.
type ocean struct {
	delay        time.Duration
	share, burst float64

	mu   sync.Mutex
	rng  *rand.Rand
	bad  bool
	to   *boat
	fly  []flight // in order
	wake chan struct{}
	stop chan struct{}
	done sync.WaitGroup
}

type flight struct {
	at   time.Time
	from netip.AddrPort
	data []byte
}

func newOcean(seed uint64, delay time.Duration, share, burst float64) *ocean {
	o := &ocean{delay: delay, share: share, burst: burst, rng: rand.New(rand.NewPCG(seed, 7)), wake: make(chan struct{}, 1), stop: make(chan struct{})}
	o.done.Go(o.run)
	return o
}

func (o *ocean) lost() bool {
	if o.burst <= 1 {
		return o.rng.Float64() < o.share
	}
	leave := 1 / o.burst
	if o.bad {
		o.bad = o.rng.Float64() >= leave
	} else {
		o.bad = o.rng.Float64() < leave*o.share/(1-o.share)
	}
	return o.bad
}

func (o *ocean) send(b []byte, from netip.AddrPort) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.lost() {
		return
	}
	o.fly = append(o.fly, flight{time.Now().Add(o.delay), from, append([]byte(nil), b...)})
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

func (o *ocean) run() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		o.mu.Lock()
		n := 0
		for n < len(o.fly) && !o.fly[n].at.After(time.Now()) {
			select {
			case o.to.in <- o.fly[n]:
			default:
			}
			n++
		}
		o.fly = o.fly[:copy(o.fly, o.fly[n:])]
		wait := time.Hour
		if len(o.fly) > 0 {
			wait = time.Until(o.fly[0].at)
		}
		o.mu.Unlock()
		timer.Reset(wait)
		select {
		case <-timer.C:
		case <-o.wake:
		case <-o.stop:
			return
		}
	}
}

func (o *ocean) close() {
	close(o.stop)
	o.done.Wait()
}

// boat is a socket on an ocean.
type boat struct {
	addr netip.AddrPort
	out  *ocean
	in   chan flight
	got  []flight

	mu       sync.Mutex
	deadline chan struct{}
	closed   bool
}

func newBoat(addr string, out, in *ocean) *boat {
	b := &boat{addr: netip.MustParseAddrPort(addr), out: out, in: make(chan flight, 4096), deadline: make(chan struct{})}
	in.mu.Lock()
	in.to = b
	in.mu.Unlock()
	return b
}

func (b *boat) ReadBatch(dst []udp.Datagram) (int, error) {
	b.mu.Lock()
	deadline, closed := b.deadline, b.closed
	b.mu.Unlock()
	if closed {
		return 0, net.ErrClosed
	}
	b.got = b.got[:0]
	select {
	case f := <-b.in:
		b.got = append(b.got, f)
	case <-deadline:
		return 0, os.ErrDeadlineExceeded
	}
	for len(b.got) < len(dst) && len(b.in) > 0 {
		b.got = append(b.got, <-b.in)
	}
	for i, f := range b.got {
		dst[i] = udp.Datagram{Data: f.data, From: f.from}
	}
	return len(b.got), nil
}

func (b *boat) WriteTo(p []byte, _ netip.AddrPort) error {
	b.out.send(p, b.addr)
	return nil
}

func (b *boat) LocalAddr() netip.AddrPort { return b.addr }

// SetReadDeadline knows "now" and "never" only.
func (b *boat) SetReadDeadline(t time.Time) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case <-b.deadline:
		if t.IsZero() {
			b.deadline = make(chan struct{})
		}
	default:
		if !t.IsZero() {
			close(b.deadline)
		}
	}
	return nil
}

func (b *boat) Close() error {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	return b.SetReadDeadline(time.Now())
}
