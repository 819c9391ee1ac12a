package member

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"cardea/mesh/discovery"
)

const (
	findEvery  = 30 * time.Second
	findAlone  = 5 * time.Second // while no other node is there
	findTime   = 5 * time.Second
	noteEvery  = 10 * time.Second // in the registry
	noteExpiry = 35 * time.Second
)

// finder asks discovery where other nodes may be.
type finder struct {
	c        *Cluster
	static   []string
	registry *discovery.Registry // or nil
	failing  bool                // said so
}

func newFinder(c *Cluster, static []string) (*finder, error) {
	f := &finder{c: c, static: static}
	for _, s := range static {
		if _, _, err := discovery.SplitAddress(s, c.cfg.LinkPort); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrJoin, err)
		}
	}
	if c.cfg.Redis != "" {
		var err error
		if f.registry, err = discovery.OpenRegistry(c.cfg.Redis, c.ID()); err != nil {
			return nil, fmt.Errorf("registry: %w", err)
		}
	}
	return f, nil
}

func (f *finder) close() {
	if f.registry != nil {
		_ = f.registry.Close()
	}
}

// run looks again and again until the context ends, and then takes this node out of the registry.
func (f *finder) run(ctx context.Context) {
	if len(f.static) == 0 && f.c.cfg.DNS == "" && f.registry == nil {
		return
	}
	var looked, noted time.Time
	for {
		if f.c.Expelled() { // nobody is to be found any more
			f.withdraw(ctx)
			return
		}
		now := time.Now()
		every := findEvery
		if len(f.c.table.live()) == 0 {
			every = findAlone
		}
		if f.registry != nil && now.Sub(noted) >= noteEvery {
			noted = now
			f.note(ctx)
		}
		if now.Sub(looked) >= every {
			looked = now
			f.look(ctx)
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			f.withdraw(ctx)
			return
		}
	}
}

// withdraw takes this node out of the registry.
func (f *finder) withdraw(ctx context.Context) {
	if f.registry == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_ = f.registry.Remove(ctx, string(f.c.id)) // or it expires
}

// note writes this node's metadata to the registry.
func (f *finder) note(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, findTime)
	defer cancel()
	f.c.mu.Lock()
	raw := slices.Clone(f.c.metadata)
	f.c.mu.Unlock()
	f.judge("registry", f.registry.Put(ctx, string(f.c.id), raw, noteExpiry))
}

// judge logs the first failure of several, and the end of them.
func (f *finder) judge(where string, err error) {
	switch {
	case err != nil && !f.failing:
		f.c.log.Warn("discovery fails; known nodes are not affected", "where", where, "error", err)
	case err == nil && f.failing:
		f.c.log.Info("discovery works again", "where", where)
	}
	f.failing = err != nil
}

// look gathers addresses.
func (f *finder) look(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, findTime)
	defer cancel()
	var all []netip.AddrPort
	add := func(where string, found []netip.AddrPort, err error) {
		if err != nil {
			f.c.log.Debug("discovery finds nothing", "where", where, "error", err)
		}
		all = append(all, found...)
	}
	for _, s := range f.static {
		found, err := discovery.Static(ctx, f.c.cfg.Resolver, s, f.c.cfg.LinkPort)
		add(s, found, err)
	}
	if f.c.cfg.DNS != "" {
		found, err := discovery.DNS(ctx, f.c.cfg.Resolver, f.c.cfg.DNS, f.c.cfg.LinkPort)
		add(f.c.cfg.DNS, found, err)
	}
	if f.registry != nil {
		entries, err := f.registry.List(ctx)
		f.judge("registry", err)
		for id, raw := range entries {
			d, err := parseMetadata(raw, f.c.member().authority, f.c.now())
			if err != nil || string(d.ID) != id || d.ID == f.c.id || f.c.expulsions.has(d.ID) {
				continue // anybody may write there
			}
			add(id, d.Links[:1], nil)
		}
	}
	f.c.mu.Lock()
	f.c.peers.setSeeds(all)
	f.c.mu.Unlock()
	f.c.wakeUp()
}
