package config

import (
	"strings"
	"testing"
	"time"
)

func TestNamesAndRegistry(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*Config)
		want   string // in the fault; "" for none
	}{
		"nothing":                  {func(*Config) {}, ""},
		"a zone":                   {func(c *Config) { c.DNS.Zone = "edge.example.org" }, ""},
		"no zone":                  {func(c *Config) { c.DNS.Nameservers = []string{"a"} }, "dns: has no effect"},
		"no name":                  {func(c *Config) { c.DNS.Zone = "a b" }, "dns.zone"},
		"no port":                  {func(c *Config) { c.DNS.Zone, c.DNS.Port = "a.b", 0 }, "dns.port"},
		"a port that is another's": {func(c *Config) { c.DNS.Zone, c.DNS.Port = "a.b", c.Media.Port }, "dns.port: udp :3478 is the address of media.port too"},
		"a server":                 {func(c *Config) { c.DNS.Zone, c.DNS.Nameservers = "a.b", []string{"x", ""} }, "dns.nameservers[1]"},
		"parts of a second":        {func(c *Config) { c.DNS.Zone, c.DNS.TTL = "a.b", 1500*time.Millisecond }, "dns.ttl"},
		"a long TTL":               {func(c *Config) { c.DNS.Zone, c.DNS.TTL = "a.b", 2*time.Hour }, "dns.ttl"},
		"a rate":                   {func(c *Config) { c.DNS.Zone, c.DNS.RateLimit = "a.b", -1 }, "dns.rate_limit"},
		"a registry": {func(c *Config) {
			c.Registry.Redis = "redis://u:secret@h"
			c.Registry.Entries = []RegistryEntry{{Key: "k", Value: "v"}}
		}, ""},
		"the mesh's": {func(c *Config) {
			c.Mesh.Redis = "unix:///s"
			c.Registry.Entries = []RegistryEntry{{Key: "k", Value: "v"}}
		}, ""},
		"no registry": {func(c *Config) { c.Registry.Entries = []RegistryEntry{{Key: "k", Value: "v"}} }, "registry.entries"},
		"no URL":      {func(c *Config) { c.Registry.Redis = "http://u:secret@h" }, "registry.redis"},
		"no value":    {func(c *Config) { c.Registry.Redis = "unix:///s"; c.Registry.Entries = []RegistryEntry{{Key: "k"}} }, "registry.entries[0]"},
		"a shared hash": {func(c *Config) {
			c.Registry.Redis = "unix:///s"
			c.Registry.Entries = []RegistryEntry{{Key: "k", Value: "v", Hash: true, Shared: true}}
		}, "registry.entries[0]"},
		"a short life": {func(c *Config) { c.Registry.TTL = time.Second }, "registry.ttl"},
		"a redirect":   {func(c *Config) { c.Janus.Redirect = "always" }, "janus.redirect"},
	} {
		c := Default()
		tt.change(&c)
		err := c.Validate()
		if (err != nil) != (tt.want != "") || err != nil && (!strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "secret")) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
