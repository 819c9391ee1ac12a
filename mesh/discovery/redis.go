package discovery

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/redis/go-redis/v9/maintnotifications"
)

const (
	maxEntries = 1024 // read from the registry
	maxValue   = 1024 // bytes
	redisTime  = 3 * time.Second
)

// Registry is a Redis server that members of a cluster note themselves in, each under a key of its own that expires unless it is
// noted again: cardea:nodes:CLUSTER:NODE. It is safe for concurrent use.
type Registry struct {
	client *redis.Client
	prefix string
}

// OpenRedis prepares a client that asks once, over one connection, and returns what went wrong: whoever asks asks again. Nothing is
// asked yet, and a server that is away is no error. The URL is redis://[USER:PASSWORD@]HOST[:PORT][/DB], rediss:// for TLS, or
// unix://PATH.
func OpenRedis(url string) (*redis.Client, error) {
	o, err := redis.ParseURL(url)
	if err != nil {
		return nil, errors.New("want redis://[USER:PASSWORD@]HOST[:PORT][/DB]") // the parser's error may quote the password
	}
	o.ContextTimeoutEnabled = true
	o.DialTimeout, o.ReadTimeout, o.WriteTimeout = redisTime, redisTime, redisTime
	o.PoolSize, o.MaxRetries, o.DialerRetries = 1, -1, 1
	o.DisableIdentity = true
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	logging.Disable() // the library's, which writes to standard error what it returns as well
	return redis.NewClient(o), nil
}

// OpenRegistry prepares a registry for a cluster, as [OpenRedis] does.
func OpenRegistry(url, cluster string) (*Registry, error) {
	client, err := OpenRedis(url)
	if err != nil {
		return nil, err
	}
	return &Registry{client, "cardea:nodes:" + cluster + ":"}, nil
}

// Close closes the connection.
func (r *Registry) Close() error { return r.client.Close() }

// Put notes a node for the time given.
func (r *Registry) Put(ctx context.Context, node string, value []byte, ttl time.Duration) error {
	if err := r.client.Set(ctx, r.prefix+node, value, ttl).Err(); err != nil {
		return fmt.Errorf("write to the registry: %w", err)
	}
	return nil
}

// Remove takes a node out.
func (r *Registry) Remove(ctx context.Context, node string) error {
	if err := r.client.Del(ctx, r.prefix+node).Err(); err != nil {
		return fmt.Errorf("write to the registry: %w", err)
	}
	return nil
}

// List returns what is noted, by node. Anybody who can write to the server may have written it.
func (r *Registry) List(ctx context.Context) (map[string][]byte, error) {
	var keys []string
	for next, seen := uint64(0), 0; ; seen++ {
		some, cursor, err := r.client.Scan(ctx, next, r.prefix+"*", maxEntries).Result()
		if err != nil {
			return nil, fmt.Errorf("read the registry: %w", err)
		}
		keys = append(keys, some...)
		if next = cursor; next == 0 || len(keys) >= maxEntries || seen >= maxEntries {
			break
		}
	}
	keys = keys[:min(len(keys), maxEntries)]
	if len(keys) == 0 {
		return nil, nil
	}
	values, err := r.client.MGet(ctx, keys...).Result()
	if err != nil {
		return nil, fmt.Errorf("read the registry: %w", err)
	}
	all := map[string][]byte{}
	for i, v := range values {
		if s, ok := v.(string); ok && len(s) <= maxValue {
			all[strings.TrimPrefix(keys[i], r.prefix)] = []byte(s)
		}
	}
	return all, nil
}
