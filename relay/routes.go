package relay

import (
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"

	"cardea/relay/ice"
	"cardea/relay/peer"
)

// maxPaths bounds the addresses one client may occupy.
const maxPaths = 32

// routeKey is where a client's packets come from.
type routeKey struct {
	remote netip.AddrPort
	tcp    bool
}

func keyOf(p ice.Path) routeKey { return routeKey{remote: p.Remote, tcp: p.Conn != nil} }

// routes knows which peer packets are for: by the user fragment of a check, else by the address a check has proved. It is
// safe for concurrent use. Loops keep copies of what they looked up, see [cache].
type routes struct {
	mu      sync.RWMutex
	ufrags  map[string]*peer.Peer
	paths   map[routeKey]*peer.Peer
	owned   map[*peer.Peer]*ownership
	changes atomic.Uint64 // how often a path has gone from one peer to another or to nobody
}

// ownership is what must be forgotten with a peer.
type ownership struct {
	ufrags []string
	paths  []routeKey // the oldest first
}

func newRoutes() *routes {
	return &routes{
		ufrags: make(map[string]*peer.Peer), paths: make(map[routeKey]*peer.Peer),
		owned: make(map[*peer.Peer]*ownership),
	}
}

func (r *routes) of(p *peer.Peer) *ownership {
	o := r.owned[p]
	if o == nil {
		o = &ownership{}
		r.owned[p] = o
	}
	return o
}

// maxUfrags is the present user fragment of a peer and those before a restart.
const maxUfrags = 3

func (r *routes) addUfrag(p *peer.Peer, ufrag string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	o := r.of(p)
	r.ufrags[ufrag] = p
	o.ufrags = append(o.ufrags, ufrag)
	if len(o.ufrags) > maxUfrags {
		delete(r.ufrags, o.ufrags[0])
		o.ufrags = o.ufrags[1:]
	}
}

// removeUfrag forgets a user fragment from before a restart.
func (r *routes) removeUfrag(p *peer.Peer, ufrag string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ufrags[ufrag] != p {
		return
	}
	delete(r.ufrags, ufrag)
	o := r.of(p)
	o.ufrags = slices.DeleteFunc(o.ufrags, func(u string) bool { return u == ufrag })
}

func (r *routes) byUfrag(ufrag []byte) *peer.Peer {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.ufrags[string(ufrag)]
}

// addPath makes the path p's: a check with p's password came over it.
func (r *routes) addPath(p *peer.Peer, path ice.Path) {
	k := keyOf(path)
	if r.byPath(k) == p {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.paths[k] != nil {
		r.changes.Add(1)
	}
	o := r.of(p)
	r.paths[k] = p
	o.removePath(k) // it may have been p's before somebody else's
	o.paths = append(o.paths, k)
	if len(o.paths) > maxPaths {
		r.drop(p, o.paths[0])
		o.paths = o.paths[1:]
	}
}

// removePath forgets a path that is no more, and returns whose it was, or nil.
func (r *routes) removePath(path ice.Path) *peer.Peer {
	k := keyOf(path)
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.paths[k]
	if p != nil {
		r.drop(p, k)
		r.of(p).removePath(k)
	}
	return p
}

func (o *ownership) removePath(k routeKey) {
	o.paths = slices.DeleteFunc(o.paths, func(x routeKey) bool { return x == k })
}

func (r *routes) byPath(k routeKey) *peer.Peer {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.paths[k]
}

func (r *routes) drop(p *peer.Peer, k routeKey) {
	if r.paths[k] == p {
		delete(r.paths, k)
		r.changes.Add(1)
	}
}

// forget removes everything of a peer.
func (r *routes) forget(p *peer.Peer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	o := r.owned[p]
	if o == nil {
		return
	}
	for _, u := range o.ufrags {
		if r.ufrags[u] == p {
			delete(r.ufrags, u)
		}
	}
	for _, k := range o.paths {
		r.drop(p, k)
	}
	delete(r.owned, p)
}

// cache is one goroutine's copy of the paths it has looked up: no lock per packet. It is emptied whenever a path changes
// hands, which is rare beside packets.
type cache struct {
	routes  *routes
	changes uint64
	paths   map[netip.AddrPort]*peer.Peer
}

func newCache(r *routes) *cache {
	return &cache{routes: r, paths: make(map[netip.AddrPort]*peer.Peer)}
}

func (c *cache) udp(from netip.AddrPort) *peer.Peer {
	if n := c.routes.changes.Load(); n != c.changes {
		c.changes = n
		clear(c.paths)
	}
	if p := c.paths[from]; p != nil {
		return p
	}
	p := c.routes.byPath(routeKey{remote: from})
	if p != nil { // strangers' addresses are not kept
		c.paths[from] = p
	}
	return p
}
