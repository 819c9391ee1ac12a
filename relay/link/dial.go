package link

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"
)

const (
	// dialTime is how long a dial may take, all addresses together.
	dialTime = 6 * time.Second
	// staggerTime is how long one address has before the next is tried as well.
	staggerTime = 400 * time.Millisecond
	// redialTime is how long a failed dial stands for those that follow.
	redialTime = 200 * time.Millisecond
	// maxAddresses are tried.
	maxAddresses = 8
	// helloTime is how long the other side has to say its part.
	helloTime = 5 * time.Second
)

// dial is a link that somebody waits for.
type dial struct {
	to   NodeID
	run  atomic.Bool   // it has who runs it
	done chan struct{} // closed when it is decided
	once sync.Once
	err  error // once done; without, there is a link

	said bool // the hello went out; guarded by the endpoint's mutex
}

func newDial(to NodeID) *dial { return &dial{to: to, done: make(chan struct{})} }

// mine tells the first who asks that it is to have the dial run.
func (d *dial) mine() bool { return d.run.CompareAndSwap(false, true) }

// settle ends a dial: without an error there is a link. The first outcome counts.
func (e *Endpoint) settle(d *dial, err error) {
	d.once.Do(func() {
		d.err = err
		e.mu.Lock()
		if m := e.members[d.to]; m != nil && m.dial == d {
			m.dial = nil
			if err != nil {
				m.failed, m.failure = time.Now(), err
			}
		}
		e.mu.Unlock()
		close(d.done)
	})
}

// dialOut makes the link, which then lives until life ends.
func (e *Endpoint) dialOut(life context.Context, d *dial) {
	ctx, cancel := context.WithTimeout(life, dialTime)
	defer cancel()
	e.tasks.Go(func() {
		select {
		case <-d.done:
			cancel() // an incoming connection became the link
		case <-ctx.Done():
		}
	})
	conn, p, err := e.connect(ctx, d.to)
	if err != nil {
		e.settle(d, err)
		return
	}
	l, err := e.introduce(ctx, life, d, conn, p)
	if err != nil {
		closeConn(conn, codeProtocol)
		e.settle(d, err)
		return
	}
	if l == nil {
		closeConn(conn, codeRace)
	}
}

func closeConn(c *quic.Conn, why code) {
	_ = c.CloseWithError(quic.ApplicationErrorCode(why), why.String())
}

// connect makes a QUIC connection to one of the node's addresses.
func (e *Endpoint) connect(ctx context.Context, to NodeID) (*quic.Conn, *port, error) {
	addrs := e.cfg.Resolve(to)
	if len(addrs) == 0 {
		return nil, nil, errors.New("no address is known")
	}
	type result struct {
		conn *quic.Conn
		port *port
		err  error
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	results := make(chan result)
	pending := 0
	try := func(a netip.AddrPort) {
		p := e.from(a)
		pending++
		go func() { // its result is waited for
			if p == nil {
				results <- result{err: fmt.Errorf("%s: no socket of that family", a)}
				return
			}
			conn, err := p.transport.Dial(ctx, net.UDPAddrFromAddrPort(a), e.tlsConfig(to), e.quic)
			if err != nil {
				err = fmt.Errorf("%s: %w", a, err)
			}
			results <- result{conn, p, err}
		}()
	}
	addrs = addrs[:min(len(addrs), maxAddresses)]
	stagger := time.NewTimer(staggerTime)
	defer stagger.Stop()
	var found result
	var errs []error
	for next := 0; next < len(addrs) && found.conn == nil || pending > 0; {
		if pending == 0 {
			try(addrs[next])
			next++
			stagger.Reset(staggerTime)
		}
		select {
		case r := <-results:
			pending--
			switch {
			case r.err != nil:
				errs = append(errs, r.err)
			case found.conn == nil:
				found = r
				cancel()
			default:
				closeConn(r.conn, codeRace)
			}
		case <-stagger.C:
			if next < len(addrs) && found.conn == nil {
				try(addrs[next])
				next++
				stagger.Reset(staggerTime)
			}
		}
	}
	if found.conn == nil {
		return nil, nil, errors.Join(errs...)
	}
	return found.conn, found.port, nil
}

// from returns the socket that an address is dialled from: of its family, and on the loopback interface only if it is.
func (e *Endpoint) from(a netip.AddrPort) *port {
	var best *port
	for _, p := range e.ports {
		switch local := p.local.Addr(); {
		case local.Is4() != a.Addr().Unmap().Is4():
		case best == nil, local.IsLoopback() == a.Addr().IsLoopback() && best.local.Addr().IsLoopback() != a.Addr().IsLoopback():
			best = p
		}
	}
	return best
}

// introduce says hello on a dialled connection and makes it the link. It returns nil without error if another connection became it.
func (e *Endpoint) introduce(ctx, life context.Context, d *dial, conn *quic.Conn, p *port) (*Link, error) {
	s, err := conn.OpenStreamSync(ctx)
	if err != nil {
		return nil, fmt.Errorf("open control stream: %w", err)
	}
	e.mu.Lock()
	m := e.members[d.to]
	if m == nil || m.dial != d {
		e.mu.Unlock()
		return nil, nil
	}
	d.said = true
	say := hello{Version: e.cfg.Version, Features: e.cfg.Features, Instance: e.instance, Last: m.last}
	e.mu.Unlock()
	answer, err := exchange(s, &say)
	switch {
	case err != nil:
		select {
		case <-d.done:
			return nil, nil
		default:
			return nil, err
		}
	case answer.Refused != 0:
		if code(answer.Refused) == codeRace { // the other connection is on its way, or here
			select {
			case <-d.done:
				return nil, nil
			case <-time.After(helloTime / 5):
			case <-ctx.Done():
			}
		}
		return nil, fmt.Errorf("refused: %w", &closedError{code(answer.Refused), true})
	}
	e.mu.Lock()
	if e.members[d.to] != m || m.dial != d {
		e.mu.Unlock()
		return nil, nil
	}
	m.last = max(m.last, answer.Generation)
	old := m.link
	l := newLink(e, p, conn, s, d.to, answer, answer.Generation)
	m.link = l
	e.mu.Unlock()
	if err := e.begin(life, l, old, true, nil); err != nil {
		return nil, err
	}
	e.settle(d, nil)
	return l, nil
}

// exchange says hello and hears the answer.
func exchange(s *quic.Stream, say *hello) (*hello, error) {
	_ = s.SetDeadline(time.Now().Add(helloTime))
	if _, err := s.Write(say.bytes()); err != nil {
		return nil, fmt.Errorf("say hello: %w", err)
	}
	return readHello(s)
}
