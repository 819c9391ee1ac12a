package load

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"net/url"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"cardea/e2e/load/internal/measure"
	"cardea/e2e/load/internal/rtc"
)

const (
	// settle is how long publishers send before memory is looked at and subscribers come.
	settle = 2 * time.Second
	// drain is how long packets may be under way after the last one counted: long enough for retransmissions.
	drain = 2 * time.Second
	// lead is how far ahead the measured interval is announced.
	lead = 20 * time.Millisecond
	// leavers is how many clients leave at a time.
	leavers = 50
	// maxErrors is how many different errors a report tells.
	maxErrors = 10
)

// Run makes the load and measures it. It blocks until all clients have left, at most for the times in cfg; when ctx ends they
// leave at once and the error is ctx's. A server that lets nobody join, or forwards nothing, is no error: the report says so.
func Run(ctx context.Context, cfg Config) (Report, error) {
	if err := cfg.Validate(); err != nil {
		return Report{}, err
	}
	if !cfg.Local.IsValid() {
		local, err := localAddress(ctx, cfg.URL)
		if err != nil {
			return Report{}, err
		}
		cfg.Local = local
	}
	identity, err := rtc.NewIdentity()
	if err != nil {
		return Report{}, err
	}
	r := &runner{cfg: &cfg, identity: identity, id: rand.Uint32(), measured: newInterval(), errors: map[string]int{}}
	if r.sending, err = rtc.NewLoop(); err != nil {
		return Report{}, err
	}
	if r.receiving, err = rtc.NewLoop(); err != nil {
		return Report{}, err
	}
	loops, stop := context.WithCancel(context.WithoutCancel(ctx))
	group, loops := errgroup.WithContext(loops)
	group.Go(func() error { return r.sending.Run(loops) })
	group.Go(func() error { return r.receiving.Run(loops) })
	err = r.run(ctx)
	stop()
	if err = errors.Join(err, group.Wait()); err != nil {
		return Report{}, err
	}
	return r.report(), nil
}

// localAddress finds the local address that leads to the server.
func localAddress(ctx context.Context, server string) (netip.Addr, error) {
	u, err := url.Parse(server)
	if err != nil {
		return netip.Addr{}, err
	}
	port := u.Port()
	if port == "" {
		port = "80" // any will do: nothing is sent
	}
	conn, err := new(net.Dialer).DialContext(ctx, "udp", net.JoinHostPort(u.Hostname(), port))
	if err != nil {
		return netip.Addr{}, fmt.Errorf("find a local address: %w", err)
	}
	defer conn.Close()
	return conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap(), nil
}

// runner is a run under way.
type runner struct {
	cfg       *Config
	identity  *rtc.Identity
	id        uint32
	measured  *interval
	sending   *rtc.Loop // publishers
	receiving *rtc.Loop // subscribers
	total     reception // the receiving loop's, until that has ended

	rooms       *rooms
	publishers  []*client // nil: failed to join
	subscribers []*client

	mu     sync.Mutex // guards below
	errors map[string]int

	lost          int
	before, after usage           // around the measured interval
	empty         measure.Process // the server before the subscribers
}

// usage is what was spent until a moment.
type usage struct {
	at     int64
	server measure.Process
	own    time.Duration
}

// run goes through the phases of a run.
func (r *runner) run(ctx context.Context) (err error) {
	r.rooms, err = makeRooms(ctx, r.cfg)
	defer func() {
		err = errors.Join(err, r.leave(ctx))
	}()
	if err != nil {
		return err
	}
	r.publishers = make([]*client, r.cfg.Rooms*r.cfg.Publishers)
	r.subscribers = make([]*client, r.cfg.Rooms*r.cfg.Subscribers)
	if err := r.join(ctx, r.publishers, r.joinPublisher); err != nil {
		return err
	}
	for i, c := range r.publishers {
		if c != nil {
			room := r.rooms.made[i/r.cfg.Publishers]
			room.feeds = append(room.feeds, c.publisher.feed)
		}
	}
	if err := sleep(ctx, settle); err != nil {
		return err
	}
	if err := r.look(&r.empty); err != nil {
		return err
	}
	if err := r.join(ctx, r.subscribers, r.joinSubscriber); err != nil {
		return err
	}
	if err := sleep(ctx, r.cfg.WarmUp); err != nil {
		return err
	}
	return r.measure(ctx)
}

// join has clients join at the configured rate, and waits for all of them.
func (r *runner) join(ctx context.Context, clients []*client, join func(ctx context.Context, number int) (*client, error)) error {
	var wait sync.WaitGroup
	defer wait.Wait()
	start := rtc.Now()
	for i := range clients {
		due := start + int64(float64(i)/r.cfg.JoinRate*float64(time.Second))
		if err := sleep(ctx, time.Duration(due-rtc.Now())); err != nil {
			return err
		}
		wait.Go(func() {
			limited, cancel := context.WithTimeout(ctx, r.cfg.JoinTimeout)
			defer cancel()
			c, err := join(limited, i)
			if err != nil {
				r.failed(err)
				c.close(ctx)
				return
			}
			clients[i] = c
		})
	}
	return nil
}

// failed notes why a client could not join.
func (r *runner) failed(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if text := err.Error(); r.errors[text] > 0 || len(r.errors) < maxErrors {
		r.errors[text]++
	}
}

func (r *runner) joinPublisher(ctx context.Context, number int) (*client, error) {
	p := newPublisher(r.cfg, r.measured, r.id, number)
	c := &client{cfg: r.cfg, publisher: p}
	if err := c.open(ctx, r.sending, r.cfg.Local, r.identity, p); err != nil {
		return c, fmt.Errorf("publisher: %w", err)
	}
	p.transport = c.transport
	feed, err := c.publish(ctx, r.rooms.made[number/r.cfg.Publishers])
	if err != nil {
		return c, fmt.Errorf("publisher: %w", err)
	}
	p.feed = feed
	return c, nil
}

func (r *runner) joinSubscriber(ctx context.Context, number int) (*client, error) {
	n := number / r.cfg.Subscribers
	s := newSubscriber(r.cfg, r.measured, &r.total, r.id, uint32(n*r.cfg.Publishers*streamsPerPublisher))
	c := &client{cfg: r.cfg, subscriber: s}
	if err := c.open(ctx, r.receiving, r.cfg.Local, r.identity, s); err != nil {
		return c, fmt.Errorf("subscriber: %w", err)
	}
	s.transport = c.transport
	if err := c.subscribe(ctx, r.rooms.made[n]); err != nil {
		return c, fmt.Errorf("subscriber: %w", err)
	}
	return c, nil
}

// measure lets the measured time pass.
func (r *runner) measure(ctx context.Context) error {
	from := rtc.Now() + int64(lead)
	until := from + int64(r.cfg.Duration)
	r.measured.set(from, until)
	if err := sleep(ctx, lead); err != nil {
		return err
	}
	if err := r.spent(&r.before); err != nil {
		return err
	}
	if err := sleep(ctx, time.Duration(until-rtc.Now())); err != nil {
		return err
	}
	if err := r.spent(&r.after); err != nil {
		return err
	}
	for _, c := range r.all() {
		if err := c.lost(); err != nil {
			r.lost++
			r.failed(fmt.Errorf("lost on the way: %w", err))
		}
	}
	return sleep(ctx, drain)
}

// spent reads what the server and this process have used.
func (r *runner) spent(u *usage) (err error) {
	if err = r.look(&u.server); err != nil {
		return err
	}
	u.own, err = measure.Own()
	u.at = rtc.Now()
	return err
}

// look reads the server's figures, if its process is known.
func (r *runner) look(p *measure.Process) (err error) {
	if r.cfg.PID != 0 {
		*p, err = measure.ReadProcess(r.cfg.PID)
	}
	return err
}

// all returns the clients that joined.
func (r *runner) all() (joined []*client) {
	for _, list := range [][]*client{r.subscribers, r.publishers} {
		for _, c := range list {
			if c != nil {
				joined = append(joined, c)
			}
		}
	}
	return joined
}

// leave has all clients leave, subscribers first, and destroys the rooms.
func (r *runner) leave(ctx context.Context) error {
	for _, list := range [][]*client{r.subscribers, r.publishers} {
		var group errgroup.Group
		group.SetLimit(leavers)
		for _, c := range list {
			if c != nil {
				group.Go(func() error {
					c.close(ctx)
					return nil
				})
			}
		}
		_ = group.Wait() // always nil
	}
	return r.rooms.close(ctx, r.cfg)
}

// sleep waits; it returns ctx's error when that ends first.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
