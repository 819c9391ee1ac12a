package node

import (
	"context"
	"net/http"
	"net/netip"
	"runtime"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"cardea/geo"
	"cardea/mesh/member"
	"cardea/node/config"
	"cardea/signaling/transport"
)

// finder is what this node knows of where clients should go.
type finder struct {
	n       *Node
	locator *geo.Locator
	chooser geo.Chooser
	nearest *geo.Nearest
	rooms   whereabouts
	guests  guestSecrets
	changed chan struct{} // has a token when membership has changed
}

// openGeo makes what answers clients, by the databases of locations. It answers once the node is a member of its mesh.
func (n *Node) openGeo(locator *geo.Locator) {
	f := &finder{n: n, locator: locator, changed: make(chan struct{}, 1)}
	f.rooms.ask = f.where
	f.nearest = geo.NewNearest(geo.NearestConfig{
		Self: func() string { return string(n.cluster.Self().ID) }, Nodes: f.nodes, Chooser: &f.chooser, Locate: locator.Locate,
		Room:        func(ctx context.Context, room string) []geo.Members { return f.rooms.get(ctx, roomPrefix+room) },
		Credentials: f.guests.mint, Ready: n.notReady,
		Client:  func(r *http.Request) netip.Addr { return transport.ClientAddress(r, n.callers.Load().Proxies) },
		Origins: func() []string { return n.callers.Load().Origins },
		Watch:   n.watch,
	})
	now := callers(n.cfg)
	n.callers.Store(&now)
	n.changeable(func(c *config.Config) {
		now := callers(c)
		n.callers.Store(&now)
	}, "janus.allowed_origins", "janus.trusted_proxies")
	for kind, value := range map[string]func() uint64{
		"list": func() uint64 { return f.nearest.Stats().Lists }, "probe": func() uint64 { return f.nearest.Stats().Probes },
		"refused": func() uint64 { return f.nearest.Stats().Refused },
	} {
		n.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "cardea_nearest_requests_total", ConstLabels: prometheus.Labels{"kind": kind},
			Help: "Requests of clients that look for their node: lists given, probes answered, and requests refused since they were too many.",
		}, func() float64 { return float64(value()) }))
	}
	n.finder = f
	n.services = append(n.services,
		service{"locations", locator.Run},
		service{"geo", f.run},
	)
}

// beside is what is served beside the Janus API, on its ports, for clients that look for their node.
func (f *finder) beside() map[string]http.Handler {
	return map[string]http.Handler{geo.NearestPath: f.nearest, geo.ModulePath: f.nearest, geo.ProbePath: f.nearest, geo.WatchPath: f.nearest}
}

// with adds the same to the console.
func (f *finder) with(console http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", console)
	for path, h := range f.beside() {
		mux.Handle(path, h)
	}
	return mux
}

// lookInterval is how often is looked whether something has changed that nobody tells of: addresses, places, keys.
const lookInterval = 10 * time.Second

// run keeps what others know of this node's doors, and what its TURN server knows of theirs, up to date.
func (f *finder) run(ctx context.Context) error {
	f.n.cluster.Watch(func() {
		select {
		case f.changed <- struct{}{}:
		default:
		}
	})
	clock := time.NewTicker(lookInterval)
	defer clock.Stop()
	for {
		f.look(time.Now())
		select {
		case <-ctx.Done():
			return nil
		case <-clock.C:
		case <-f.changed:
		}
	}
}

func (f *finder) look(now time.Time) {
	self := f.n.cluster.Self()
	doors, place, capacity := f.n.doors(self.Links), f.place(self), capacityOf(f.n.cfg)
	if !doors.Equal(self.Doors) || self.Latitude != place.Latitude || self.Longitude != place.Longitude || self.Capacity != capacity {
		f.n.cluster.Update(func(m *member.Node) {
			m.Doors, m.Latitude, m.Longitude, m.Capacity = doors, place.Latitude, place.Longitude, capacity
		})
	}
	secrets, err := f.n.cluster.Secrets("TURN guests")
	if err != nil {
		f.n.log.Warn("no TURN credentials for other nodes", "error", err)
	}
	f.guests.set(secrets, now)
	if f.n.media == nil || f.n.media.TURN() == nil {
		return
	}
	f.n.media.TURN().SetGuestSecrets(f.guests.valid())
	reach := slices.Clone(f.n.ownMedia)
	for _, n := range f.nodes() {
		if n.Media && n.ID != string(self.ID) {
			for _, a := range n.Doors.Addresses {
				reach = append(reach, netip.AddrPortFrom(a, n.Doors.Media))
			}
		}
	}
	f.n.media.TURN().SetMeshAddresses(reach)
}

// clientsPerCore is how many clients a core is meant for when nothing is configured. It only has to be of the right order: what nodes
// measure of their load corrects it.
const clientsPerCore = 250

func capacityOf(cfg *config.Config) int {
	if cfg.Geo.Capacity > 0 {
		return cfg.Geo.Capacity
	}
	return max(clientsPerCore*runtime.GOMAXPROCS(0), 1)
}

// place is where this node stands.
func (f *finder) place(self member.Node) geo.Place {
	if p := geo.Place(f.n.cfg.Geo.Place); p.Known() {
		return p
	}
	for _, a := range publicAddresses(self) {
		if at, ok := f.locator.Locate(a); ok {
			return at.Place
		}
	}
	return geo.Place{}
}

// nodes are all nodes that are known to live, this one among them.
func (f *finder) nodes() []geo.Node {
	all := f.n.cluster.Nodes()
	self := f.n.cluster.Self().ID
	nodes := make([]geo.Node, 0, len(all))
	for i := range all {
		n := placed(&all[i])
		if all[i].ID == self { // what is known here is newer than what was told
			n.Load, n.Draining = f.n.load.Load().told(), n.Draining || !f.n.ready.Load()
		}
		nodes = append(nodes, n)
	}
	return nodes
}

// placed is a node of the mesh as clients see it.
func placed(m *member.Node) geo.Node {
	n := geo.Node{
		ID: string(m.ID), Name: m.Name, Region: m.Region, Place: geo.Place{Latitude: m.Latitude, Longitude: m.Longitude},
		Coordinate: m.Coordinate, Load: m.Load, Capacity: m.Capacity, Draining: m.State != member.Ready,
		Signaling: m.Planes&member.Signaling != 0, Media: m.Planes&member.Media != 0, TURN: m.Planes&member.TURN != 0,
		Doors: geo.Doors(m.Doors),
	}
	n.Doors.Addresses = publicAddresses(*m)
	return n
}

// locate tells where an address is.
func (f *finder) locate(a netip.Addr) (geo.Location, bool) { return f.locator.Locate(a) }

// where asks the mesh where a room's participants are.
func (f *finder) where(ctx context.Context, room string) ([]geo.Members, error) {
	at, err := f.n.mesh.Rooms().Where(ctx, room)
	if err != nil {
		return nil, err
	}
	all := make([]geo.Members, 0, len(at))
	for _, a := range at {
		all = append(all, geo.Members{Node: string(a.Node), Count: a.Count})
	}
	return all, nil
}
