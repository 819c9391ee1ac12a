package shield

import (
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"
)

// loss is a Gilbert-Elliott channel that loses everything in its bad state; independent loss is one whose bursts last
// one packet.
type loss struct {
	share, burst float64
	rng          *rand.Rand
	bad          bool
}

func (l *loss) lost() bool {
	if l.share == 0 {
		return false
	}
	if l.burst <= 1 {
		return l.rng.Float64() < l.share
	}
	leave := 1 / l.burst
	enter := leave * l.share / (1 - l.share)
	if l.bad {
		l.bad = l.rng.Float64() >= leave
	} else {
		l.bad = l.rng.Float64() < enter
	}
	return l.bad
}

// pipe is one direction of a path: a bottleneck with a drop-tail queue, then loss, then delay with jitter. Several senders may
// share it; packets go to the endpoint they name. It is made for a synctest bubble.
type pipe struct {
	delay, jitter time.Duration
	rate          float64 // bit/s, 0: no limit
	queue         time.Duration
	mtu           int // UDP payload, 0: no limit

	mu       sync.Mutex
	rng      *rand.Rand
	loss     loss
	free     time.Time // when the bottleneck will have sent what it has
	flying   []flight
	wake     chan struct{}
	stop     chan struct{}
	done     sync.WaitGroup
	endpoint map[netip.AddrPort]*endpoint

	dropped, bytes int
}

type flight struct {
	at   time.Time
	from netip.AddrPort
	to   *endpoint
	data []byte
}

func newPipe(seed uint64) *pipe {
	rng := rand.New(rand.NewPCG(seed, 1))
	p := &pipe{rng: rng, wake: make(chan struct{}, 1), stop: make(chan struct{}), endpoint: map[netip.AddrPort]*endpoint{}}
	p.loss.rng = rand.New(rand.NewPCG(seed, 2))
	p.done.Go(p.run)
	return p
}

func (p *pipe) close() {
	close(p.stop)
	p.done.Wait()
}

// setLoss changes the loss from now on.
func (p *pipe) setLoss(share, burst float64) {
	p.mu.Lock()
	p.loss.share, p.loss.burst, p.loss.bad = share, burst, false
	p.mu.Unlock()
}

// drops returns how many packets found the queue full, total how many bytes it sent.
func (p *pipe) drops() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.dropped
}

func (p *pipe) total() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.bytes
}

func (p *pipe) send(b []byte, from, to netip.AddrPort) {
	p.mu.Lock()
	defer p.mu.Unlock()
	e := p.endpoint[to]
	if e == nil || p.mtu > 0 && len(b) > p.mtu {
		return
	}
	now := time.Now()
	out := now
	if p.rate > 0 {
		if p.free.Before(now) {
			p.free = now
		}
		wait := p.free.Sub(now)
		if wait > p.queue {
			p.dropped++
			return
		}
		p.free = p.free.Add(time.Duration(float64(len(b)+28) * 8 / p.rate * 1e9))
		out = p.free
	}
	p.bytes += len(b)
	if p.loss.lost() {
		return
	}
	at := out.Add(p.delay)
	if p.jitter > 0 {
		at = at.Add(time.Duration(p.rng.ExpFloat64() * float64(p.jitter)))
	}
	i := len(p.flying)
	for i > 0 && p.flying[i-1].at.After(at) {
		i--
	}
	p.flying = append(p.flying, flight{})
	copy(p.flying[i+1:], p.flying[i:])
	p.flying[i] = flight{at, from, e, append([]byte(nil), b...)}
	if i == 0 {
		select {
		case p.wake <- struct{}{}:
		default:
		}
	}
}

func (p *pipe) run() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		p.mu.Lock()
		now := time.Now()
		n := 0
		for n < len(p.flying) && !p.flying[n].at.After(now) {
			f := &p.flying[n]
			select {
			case f.to.in <- *f:
			default:
			}
			n++
		}
		p.flying = p.flying[:copy(p.flying, p.flying[n:])]
		wait := time.Hour
		if len(p.flying) > 0 {
			wait = p.flying[0].at.Sub(now)
		}
		p.mu.Unlock()
		timer.Reset(wait)
		select {
		case <-timer.C:
		case <-p.wake:
		case <-p.stop:
			return
		}
	}
}

// endpoint is a UDP socket at one end of a path.
type endpoint struct {
	out    *pipe
	in     chan flight
	*decoy // so that bare QUIC looks for its packet size too

	mu       sync.Mutex
	addr     netip.AddrPort
	deadline chan struct{} // closed when reading is to stop
}

func newEndpoint(addr string, out, in *pipe) *endpoint {
	d, err := newDecoy()
	if err != nil {
		panic(err)
	}
	e := &endpoint{decoy: d, addr: netip.MustParseAddrPort(addr), out: out, in: make(chan flight, 4096), deadline: make(chan struct{})}
	in.mu.Lock()
	in.endpoint[e.addr] = e
	in.mu.Unlock()
	return e
}

func (e *endpoint) ReadFrom(b []byte) (int, net.Addr, error) {
	e.mu.Lock()
	deadline := e.deadline
	e.mu.Unlock()
	select {
	case f := <-e.in:
		return copy(b, f.data), net.UDPAddrFromAddrPort(f.from), nil
	case <-deadline:
		return 0, nil, os.ErrDeadlineExceeded
	}
}

func (e *endpoint) WriteTo(b []byte, to net.Addr) (int, error) {
	e.mu.Lock()
	from := e.addr
	e.mu.Unlock()
	e.out.send(b, from, to.(*net.UDPAddr).AddrPort())
	return len(b), nil
}

func (e *endpoint) LocalAddr() net.Addr              { return net.UDPAddrFromAddrPort(e.addr) }
func (e *endpoint) SetDeadline(t time.Time) error    { return e.SetReadDeadline(t) }
func (e *endpoint) SetWriteDeadline(time.Time) error { return nil }
func (e *endpoint) Close() error {
	e.decoy.Close()
	return e.SetReadDeadline(time.Now())
}

func (e *endpoint) SetReadBuffer(int) error  { return nil }
func (e *endpoint) SetWriteBuffer(int) error { return nil }

// SetReadDeadline knows "now" and "never" only.
func (e *endpoint) SetReadDeadline(t time.Time) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	select {
	case <-e.deadline:
		if t.IsZero() {
			e.deadline = make(chan struct{})
		}
	default:
		if !t.IsZero() {
			close(e.deadline)
		}
	}
	return nil
}
