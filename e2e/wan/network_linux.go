package wan

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// ErrUnknownSite is returned, wrapped, for a name that the topology does not have, or a pair that is one site.
var ErrUnknownSite = errors.New("no such site")

// Network is a running topology. Its methods are safe for concurrent use.
type Network struct {
	sites  []*Site
	engine *engine

	mu       sync.Mutex // guards below
	captures map[*capture]func()
	closed   bool
	closing  sync.Once
	closeErr error
}

// New builds a topology and starts its link. It first removes what earlier processes left that were killed. ctx limits the
// building alone: the network runs until Close, which is owed also when nothing else is done with it.
func New(ctx context.Context, t Topology) (_ *Network, err error) {
	if err := t.Validate(); err != nil {
		return nil, fmt.Errorf("wan: %w", err)
	}
	if err := Supported(); err != nil {
		return nil, err
	}
	if err := sweep(ctx); err != nil {
		return nil, fmt.Errorf("wan: %w", err)
	}
	n := &Network{captures: make(map[*capture]func())}
	var devices []int
	defer func() {
		if err != nil {
			for _, fd := range devices {
				unix.Close(fd)
			}
			err = errors.Join(fmt.Errorf("wan: %w", err), n.removeSites())
		}
	}()
	name := names()
	for i, config := range t.Sites {
		space, err := newNamespace(ctx, name(config.Name))
		if err != nil {
			return nil, err
		}
		site := &Site{name: config.Name, index: i, hosts: t.addresses(i), space: space}
		n.sites = append(n.sites, site)
		fd, err := openDevice(ctx, space, site.hosts, t.mtu())
		if err != nil {
			return nil, fmt.Errorf("site %s: %w", config.Name, err)
		}
		devices = append(devices, fd)
	}
	n.engine, err = startEngine(t, devices)
	return n, err
}

// Close ends the processes in the namespaces (SIGTERM, and SIGKILL after two seconds), stops the link and removes the namespaces. Further
// calls return what the first did.
func (n *Network) Close() error {
	n.closing.Do(func() {
		n.mu.Lock()
		n.closed = true
		captures := make([]*capture, 0, len(n.captures))
		for c := range n.captures {
			captures = append(captures, c)
		}
		n.mu.Unlock()
		n.closeErr = n.removeSites()
		for _, c := range captures {
			n.closeErr = errors.Join(n.closeErr, n.endCapture(c))
		}
		n.engine.close()
	})
	return n.closeErr
}

// removeSites removes the namespaces at the same time: each may have to wait for its processes. Nothing cuts it short.
func (n *Network) removeSites() error {
	errs := make([]error, len(n.sites))
	var wait sync.WaitGroup
	for i, s := range n.sites {
		wait.Go(func() { errs[i] = s.space.remove(context.Background()) })
	}
	wait.Wait()
	return errors.Join(errs...)
}

// Sites returns the sites in the topology's order.
func (n *Network) Sites() []*Site { return slices.Clone(n.sites) }

// Site returns the site of that name. It panics if the topology has none.
func (n *Network) Site(name string) *Site {
	for _, s := range n.sites {
		if s.name == name {
			return s
		}
	}
	panic(fmt.Sprintf("wan: site %q: %v", name, ErrUnknownSite))
}

// index returns the places of two different sites.
func (n *Network) index(from, to string) (i, j int, err error) {
	i = slices.IndexFunc(n.sites, func(s *Site) bool { return s.name == from })
	j = slices.IndexFunc(n.sites, func(s *Site) bool { return s.name == to })
	if i < 0 || j < 0 || i == j {
		return 0, 0, fmt.Errorf("wan: direction %s>%s: %w", from, to, ErrUnknownSite)
	}
	return i, j, nil
}

// Set changes the conditions of one direction, from the next packet on. A new rate also holds for the packets in the queue; those
// behind it arrive when they were going to, and stay in front of later ones also when the delay becomes less.
func (n *Network) Set(from, to string, c Conditions) error {
	return n.Update(from, to, func(old *Conditions) error {
		*old = c
		return nil
	})
}

// SetBoth is Set for both directions between two sites.
func (n *Network) SetBoth(a, b string, c Conditions) error {
	return errors.Join(n.Set(a, b, c), n.Set(b, a, c))
}

// Update changes the conditions of one direction by a function of those it has; nothing changes if that fails.
func (n *Network) Update(from, to string, change func(*Conditions) error) error {
	i, j, err := n.index(from, to)
	if err != nil {
		return err
	}
	n.engine.change(func(now time.Duration, f *fabric) {
		c := f.way(i, j).conditions
		if err = change(&c); err == nil {
			err = c.Validate()
		}
		if err == nil {
			f.set(now, i, j, c)
		}
	})
	if err != nil {
		return fmt.Errorf("wan: %s>%s: %w", from, to, err)
	}
	return nil
}

// Conditions returns those of one direction. It panics if there is none.
func (n *Network) Conditions(from, to string) (c Conditions) {
	n.look(from, to, func(_ time.Duration, d *direction) { c = d.conditions })
	return c
}

// Stats returns the counters of one direction. It panics if there is none.
func (n *Network) Stats(from, to string) (s Stats) {
	n.look(from, to, func(now time.Duration, d *direction) { s = d.snapshot(now) })
	return s
}

// look calls f with a direction, between two batches.
func (n *Network) look(from, to string, f func(now time.Duration, d *direction)) {
	i, j, err := n.index(from, to)
	if err != nil {
		panic(err)
	}
	n.engine.mu.Lock()
	defer n.engine.mu.Unlock()
	f(n.engine.now(), n.engine.fabric.way(i, j))
}

// Partition cuts the named sites off from all others; among themselves they stay connected. It adds to the partitions there are.
// Packets under way between the two sides are lost.
func (n *Network) Partition(sites ...string) error {
	side := make([]bool, len(n.sites))
	for _, name := range sites {
		i := slices.IndexFunc(n.sites, func(s *Site) bool { return s.name == name })
		if i < 0 {
			return fmt.Errorf("wan: partition: site %q: %w", name, ErrUnknownSite)
		}
		side[i] = true
	}
	n.engine.change(func(_ time.Duration, f *fabric) { f.partition(side) })
	return nil
}

// Heal ends all partitions. A direction that is Down by its conditions stays so.
func (n *Network) Heal() {
	n.engine.change(func(_ time.Duration, f *fabric) { f.heal() })
}

// Health says how well the machine keeps up.
func (n *Network) Health() (Health, error) {
	n.engine.mu.Lock()
	f := n.engine.fabric
	h := Health{
		Median: f.late.quantile(0.5), P99: f.late.quantile(0.99), Max: f.late.max,
		Exhausted: f.exhausted, Unroutable: f.unroutable,
	}
	n.engine.mu.Unlock()
	for _, s := range n.sites {
		dropped, err := deviceDropped(s.space)
		if err != nil {
			return h, fmt.Errorf("wan: %w", err)
		}
		h.DeviceDropped += dropped
	}
	return h, nil
}

// Side says where on a direction a capture listens.
type Side int

// The sides of a direction.
const (
	Entering Side = iota // what the sending site gives to the link, before anything happens to it
	Leaving              // what the receiving site gets
)

// Capture writes the packets of one direction to w as a pcap file, until stop is called, which reports what went wrong in
// between, or the network is closed. One capture at a time on each side of a direction.
func (n *Network) Capture(from, to string, side Side, w io.Writer) (stop func() error, err error) {
	i, j, err := n.index(from, to)
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return nil, errors.New("wan: capture: the network is closed")
	}
	c, err := startCapture(w, n.engine.start)
	if err != nil {
		return nil, fmt.Errorf("wan: %w", err)
	}
	place := func(f *fabric) *tap {
		if side == Entering {
			return &f.way(i, j).entering
		}
		return &f.way(i, j).leaving
	}
	taken := false
	n.engine.change(func(_ time.Duration, f *fabric) {
		if p := place(f); *p == nil {
			*p = c.add
		} else {
			taken = true
		}
	})
	if taken {
		return nil, errors.Join(fmt.Errorf("wan: capture: %s>%s has one already", from, to), c.stop())
	}
	n.captures[c] = func() {
		n.engine.change(func(_ time.Duration, f *fabric) { *place(f) = nil })
	}
	return func() error { return n.endCapture(c) }, nil
}

// endCapture takes the capture off its direction and finishes its file; again it only waits and reports.
func (n *Network) endCapture(c *capture) error {
	n.mu.Lock()
	detach := n.captures[c]
	delete(n.captures, c)
	n.mu.Unlock()
	if detach != nil {
		detach()
	}
	return c.stop()
}
