package registry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"cardea/mesh/discovery"
)

const (
	lookEvery = time.Second // at the node, whether it has changed
	// While Redis is away the time between attempts doubles between these, and does not go beyond that between refreshes.
	leastRetry = 2 * time.Second
	mostRetry  = 30 * time.Second
	passTime   = 5 * time.Second // for all entries together
	leaveTime  = time.Second     // to take them out at the end
	// refreshes is how often an entry is written within its life when nothing changes.
	refreshes = 3
)

// Config says what a [Registry] keeps where.
type Config struct {
	// Redis is the server's URL: redis://[USER:PASSWORD@]HOST[:PORT][/DB], rediss:// for TLS, or unix://PATH.
	Redis string
	// TTL is how long an entry outlives its node, at least 3 s. Shorter is more writes.
	TTL time.Duration
	// Entries are kept beside the node's own.
	Entries []Entry
	// Describe returns what the node is now. It is called once a second.
	Describe func() Node
	Log      *slog.Logger // nil means slog.Default
}

// Registry keeps one node's entries.
type Registry struct {
	cfg    Config
	client *redis.Client
	plan   planner
	faulty bool // an entry could not be made, and it was said

	look, retry time.Duration // set once

	up              atomic.Bool
	writes, failure atomic.Uint64
}

// Stats says how a registry does.
type Stats struct {
	Up       bool   // Redis took what it was last given
	Writes   uint64 // entries written, refreshed or removed
	Failures uint64 // times that Redis could not be used
}

// New prepares a registry. Nothing is written yet, and a server that is away is no error.
func New(cfg Config) (*Registry, error) {
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	if cfg.TTL < 3*time.Second {
		return nil, fmt.Errorf("registry: a TTL of %v is below 3s", cfg.TTL)
	}
	r := &Registry{cfg: cfg, look: lookEvery, retry: leastRetry, plan: planner{refresh: cfg.TTL / refreshes, written: map[string]note{}}}
	sample := cfg.Describe()
	for _, e := range append([]Entry{own}, cfg.Entries...) {
		l, err := newLayout(e)
		if err != nil {
			return nil, err
		}
		if _, err := l.make(&sample); err != nil {
			return nil, fmt.Errorf("%q: %w", e.Key, err)
		}
		r.plan.layouts = append(r.plan.layouts, l)
	}
	var err error
	if r.client, err = discovery.OpenRedis(cfg.Redis); err != nil {
		return nil, fmt.Errorf("registry: %w", err)
	}
	return r, nil
}

// Stats says how the registry does. It is safe for concurrent use.
func (r *Registry) Stats() Stats {
	return Stats{Up: r.up.Load(), Writes: r.writes.Load(), Failures: r.failure.Load()}
}

// Close lets the server go, for a registry that is never run.
func (r *Registry) Close() { _ = r.client.Close() }

// Run keeps the entries until ctx ends, then takes them out. It always returns nil: nothing depends on Redis.
func (r *Registry) Run(ctx context.Context) error {
	defer r.Close()
	wait := time.NewTimer(0)
	defer wait.Stop()
	failures := 0 // in a row
	away := false
	for {
		select {
		case <-ctx.Done():
			if !away {
				r.leave(ctx)
			}
			return nil
		case <-wait.C:
		}
		before := r.writes.Load()
		err := r.pass(ctx)
		switch {
		case ctx.Err() != nil: // it says nothing
			continue
		case err != nil:
			r.failure.Add(1)
			if failures == 0 {
				r.cfg.Log.Warn("registry cannot be written; calls are not affected", "error", err)
			}
		case failures > 0:
			r.cfg.Log.Info("registry works again")
		}
		r.up.Store(err == nil)
		if away = err != nil && !isReply(err); err == nil {
			failures = 0
			wait.Reset(r.look)
			continue
		}
		if failures++; !away && r.writes.Load() > before {
			failures = 1 // the others' sake
		}
		wait.Reset(pause(failures, r.retry, max(min(mostRetry, r.plan.refresh), r.retry), rand.Float64()))
	}
}

// pause is how long to wait after some failures in a row: twice as long after each, up to most, and between half of that and all, as
// chance (0 to 1) has it, lest all nodes come back at once.
func pause(failures int, least, most time.Duration, chance float64) time.Duration {
	d := most
	if failures < 16 { // more would overflow
		d = min(least<<(failures-1), most)
	}
	return d/2 + time.Duration(chance*float64(d/2))
}

// pass does what is to be done now.
func (r *Registry) pass(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, passTime)
	defer cancel()
	n, now := r.cfg.Describe(), time.Now()
	todo, errs := r.plan.next(now, &n)
	if len(errs) > 0 && !r.faulty {
		r.cfg.Log.Warn("an entry of the registry cannot be made", "error", errors.Join(errs...))
	}
	r.faulty = len(errs) > 0
	var refused []error
	for _, it := range todo.remove {
		if err := r.remove(ctx, it); err == nil {
			r.plan.removed(it)
		} else if refused = append(refused, err); !isReply(err) {
			break
		}
	}
	for _, it := range todo.write {
		if n := len(refused); n > 0 && !isReply(refused[n-1]) {
			break // it is away for the others as well
		}
		switch done, err := r.write(ctx, it); {
		case err != nil:
			refused = append(refused, err)
		case done:
			r.writes.Add(1)
			r.plan.wrote(now, it)
		}
	}
	if len(refused) > 0 {
		r.plan.doubt() // it may come back empty
		return refused[0]
	}
	return nil
}

// isReply tells whether an error is what Redis says of one entry, which says nothing of the others.
func isReply(err error) bool {
	_, is := errors.AsType[redis.Error](err)
	return is
}

// explained adds to what Redis says where it takes an operator to know.
func explained(what, key string, err error) error {
	for _, prefix := range []string{"MOVED", "ASK", "CLUSTERDOWN"} {
		if redis.HasErrorPrefix(err, prefix) {
			return fmt.Errorf("%s %q: the server is a part of a Redis Cluster, which is not supported: %w", what, key, err)
		}
	}
	return fmt.Errorf("%s %q: %w", what, key, err)
}

// leave takes the entries out, or they expire.
func (r *Registry) leave(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveTime)
	defer cancel()
	for _, it := range r.plan.all() {
		if err := r.remove(ctx, it); err != nil && !isReply(err) {
			return
		}
	}
}

// write puts an item into Redis, unless another node has its key.
func (r *Registry) write(ctx context.Context, it item) (done bool, err error) {
	done = true
	switch {
	case it.fields != nil:
		_, err = r.client.TxPipelined(ctx, func(p redis.Pipeliner) error {
			p.Del(ctx, it.key) // whatever it was, and fields that are no more
			p.HSet(ctx, it.key, it.fields)
			p.PExpire(ctx, it.key, r.cfg.TTL)
			return nil
		})
	case it.shared:
		done, err = r.whileHeldBy(ctx, it, []holder{us, nobody}, func(p redis.Pipeliner) { p.Set(ctx, it.key, it.value, r.cfg.TTL) })
	default:
		err = r.client.Set(ctx, it.key, it.value, r.cfg.TTL).Err()
	}
	if err != nil {
		return false, explained("write", it.key, err)
	}
	return done, nil
}

// remove takes an item out of Redis, unless another node has its key.
func (r *Registry) remove(ctx context.Context, it item) error {
	var err error
	if it.shared {
		_, err = r.whileHeldBy(ctx, it, []holder{us}, func(p redis.Pipeliner) { p.Del(ctx, it.key) })
	} else {
		err = r.client.Del(ctx, it.key).Err()
	}
	if err != nil {
		return explained("remove", it.key, err)
	}
	r.writes.Add(1)
	return nil
}

// holder says whose a shared key is.
type holder uint8

const (
	nobody holder = iota // there is nothing, or what no node has written: no string, or one that does not expire
	us
	another
)

// whileHeldBy does something to a shared key if it is one of these who have it, and nobody else writes it at the same time.
func (r *Registry) whileHeldBy(ctx context.Context, it item, who []holder, do func(redis.Pipeliner)) (done bool, err error) {
	err = r.client.Watch(ctx, func(tx *redis.Tx) error {
		h, err := r.holderOf(ctx, tx, it)
		if err != nil || !slices.Contains(who, h) {
			return err
		}
		_, err = tx.TxPipelined(ctx, func(p redis.Pipeliner) error {
			do(p)
			return nil
		})
		done = err == nil
		return err
	}, it.key)
	if errors.Is(err, redis.TxFailedErr) { // somebody was faster
		return false, nil
	}
	return done, err
}

func (r *Registry) holderOf(ctx context.Context, tx *redis.Tx, it item) (holder, error) {
	kind, err := tx.Type(ctx, it.key).Result()
	if err != nil || kind != "string" {
		return nobody, err
	}
	value, err := tx.Get(ctx, it.key).Result()
	switch {
	case errors.Is(err, redis.Nil):
		return nobody, nil
	case err != nil:
		return nobody, err
	case value == it.value || value == r.plan.last(it.key):
		return us, nil
	}
	left, err := tx.PTTL(ctx, it.key).Result()
	if err != nil || left <= 0 {
		return nobody, err
	}
	return another, nil
}
