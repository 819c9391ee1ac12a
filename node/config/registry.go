package config

import (
	"strconv"
	"strings"
	"time"
)

// Registry is a Redis server in which each node keeps where it is and how it is, for applications that look there for a media
// server. Calls do not depend on it.
type Registry struct {
	// Redis is the URL, redis://[USER:PASSWORD@]HOST[:PORT][/DB], rediss:// for TLS, or unix://PATH. Empty: mesh.redis; without that
	// there is no registry. One server, not a Redis Cluster.
	Redis Secret `yaml:"redis"`
	// TTL is how long what a node says outlives it. It is written again after a third of that, and when it changes. Shorter is more
	// writes.
	TTL time.Duration `yaml:"ttl"`
	// Entries lists what else applications expect to find, beside the node's own entry, cardea:node:ID, a JSON object. Keys and values
	// are templates (Go's text/template) over .ID .Name .Cluster .Region .Version .State .Load .Capacity .Host .Address .IPv4 .IPv6
	// .Latitude .Longitude .WS .WSS .HTTP .HTTPS .Media .TURNS .Started; {{json .}} is all of them.
	Entries []RegistryEntry `yaml:"entries"`
}

// RegistryEntry is something that a node keeps in Redis.
type RegistryEntry struct {
	// Key is the key's template, such as media_server:{{.Region}}:ip.
	Key string `yaml:"key"`
	// Value is the value's template, such as {{.Address}}.
	Value string `yaml:"value"`
	// Hash makes it a hash: value is a JSON object, whose members become the fields.
	Hash bool `yaml:"hash"`
	// Shared says that other nodes have the same key: one of them has it until it drains or stops, or is gone for ttl.
	Shared bool `yaml:"shared"`
	// Draining keeps the entry while the node drains.
	Draining bool `yaml:"draining"`
}

// RedisOfRegistry returns the URL of the registry, "" without one.
func (c *Config) RedisOfRegistry() Secret {
	if c.Registry.Redis != "" {
		return c.Registry.Redis
	}
	if c.Mesh.Enabled {
		return c.Mesh.Redis
	}
	return ""
}

func (c *Config) validateRegistry(v *Faults) {
	r := &c.Registry
	v.check(r.Redis == "" || isRedis(string(r.Redis)), "registry.redis", wantRedis)
	v.between("registry.ttl", r.TTL, 3*time.Second, day, false)
	v.check(len(r.Entries) == 0 || c.RedisOfRegistry() != "", "registry.entries", "need registry.redis or mesh.redis")
	for i, e := range r.Entries {
		path := "registry.entries[" + strconv.Itoa(i) + "]"
		v.check(e.Key != "" && e.Value != "", path, "want a key and a value")
		v.check(!e.Hash || !e.Shared, path, "a hash cannot be shared")
	}
}

const wantRedis = "want redis://[USER:PASSWORD@]HOST[:PORT][/DB]"

func isRedis(url string) bool {
	return strings.HasPrefix(url, "redis://") || strings.HasPrefix(url, "rediss://") || strings.HasPrefix(url, "unix://")
}
