package node

import (
	"cmp"
	"math"
	"time"

	"cardea/geo"
	"cardea/node/config"
	"cardea/node/registry"
)

// joinRegistry keeps the node in Redis, if there is one for it.
func (n *Node) joinRegistry() error {
	if n.cfg.RedisOfRegistry() == "" {
		return nil
	}
	c := registryConfig(n.cfg)
	c.Describe, c.Log = n.registered, n.log
	r, err := registry.New(c)
	if err != nil {
		return err
	}
	n.noted = r
	type S = registry.Stats
	n.registry.MustRegister(snapshot(r.Stats,
		gauge("cardea_registry_up", "Whether Redis took what was last written to it.", func(s S) float64 {
			if s.Up {
				return 1
			}
			return 0
		}),
		counter("cardea_registry_writes_total", "Entries written to Redis, refreshed or removed.", func(s S) float64 { return float64(s.Writes) }),
		counter("cardea_registry_failures_total", "Times that Redis could not be used. Calls are not affected; applications that look there for nodes are.", func(s S) float64 { return float64(s.Failures) }),
	))
	n.services = append(n.services, service{"registry", r.Run})
	return nil
}

// registryConfig says what is kept in Redis.
func registryConfig(cfg *config.Config) registry.Config {
	c := registry.Config{Redis: string(cfg.RedisOfRegistry()), TTL: cfg.Registry.TTL}
	for _, e := range cfg.Registry.Entries {
		c.Entries = append(c.Entries, registry.Entry{Key: e.Key, Value: e.Value, Hash: e.Hash, Shared: e.Shared, Draining: e.Draining})
	}
	return c
}

// registered is what Redis is told of this node.
func (n *Node) registered() registry.Node {
	self := n.cluster.Self()
	g := placed(&self)
	load := n.load.Load().told()
	doors := geo.Doors(n.doors(self.Links)) // also before others are told of them
	doors.Addresses = g.Doors.Addresses
	if own := n.publicAddresses(); len(own) > 0 {
		doors.Addresses = own
	}
	at := n.finder.place(self)
	r := registry.Node{
		ID: g.ID, Name: n.name, Cluster: n.cluster.ID(), Region: g.Region, Version: Version(), State: registry.Ready,
		Load: math.Round(load*100) / 100, Capacity: capacityOf(n.cfg), Latitude: at.Latitude, Longitude: at.Longitude,
		WS: doors.WS, WSS: doors.WSS, HTTP: doors.HTTP, HTTPS: doors.HTTPS, Media: doors.Media, TURNS: doors.TURNS,
		Started: n.started.UTC().Truncate(time.Second),
	}
	for _, a := range doors.Addresses {
		if a.Is4() {
			r.IPv4 = a.String()
		} else {
			r.IPv6 = a.String()
		}
	}
	r.Address = cmp.Or(r.IPv4, r.IPv6)
	r.Host = cmp.Or(doors.Host, r.Address)
	if _, draining := n.drain.draining(); draining || g.Draining {
		r.State = "draining"
	} else if !n.ready.Load() {
		r.State = "starting"
	}
	return r
}
