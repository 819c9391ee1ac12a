package node

import (
	"context"
	"hash/fnv"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"cardea/geo"
	"cardea/geo/dns"
	"cardea/node/config"
)

// nameServer answers for the zone that is delegated to nodes.
type nameServer struct {
	n       *Node
	server  *dns.Server
	packets []*net.UDPConn // until they are served
	rooms   chan string    // to ask the mesh about

	sights atomic.Pointer[sight]
	seeing sync.Mutex // held by who makes a new one
}

// sight is what the mesh looks like.
type sight struct {
	at      time.Time
	nodes   []geo.Node
	byID    map[string]dns.Node
	byLabel map[string]dns.Node // made of their names
}

const (
	// sightAge is how old what answers are made from may be: it costs too much to be gathered for each of them.
	sightAge = 200 * time.Millisecond
	// askers ask the mesh about rooms, askRate times a second at most, and at most maxAsked rooms wait for them: whoever asks the name
	// server may name rooms as he likes.
	askers   = 4
	askRate  = 100
	maxAsked = 64
	askTime  = 2 * time.Second
	// asGood is how much worse than the best node another may be that is named beside it, for clients whose first one does not answer.
	asGood = 5 * time.Millisecond
)

// openDNS opens the name server's ports if there is a zone for it.
func (n *Node) openDNS(ctx context.Context) error {
	c := n.cfg.DNS
	if c.Zone == "" {
		return nil
	}
	d := &nameServer{n: n, rooms: make(chan string, maxAsked)}
	servers := c.Nameservers
	if len(servers) == 0 {
		servers = []string{labelOf(n.name, string(n.cluster.Self().ID))}
	}
	var err error
	if d.server, err = dns.New(zoneConfig(c, servers, c.Records, d.choose, d.find)); err != nil {
		return err
	}
	for _, l := range n.cfg.Listeners() {
		if l.Option != "dns.port" || l.Network != "udp" {
			continue
		}
		conn, err := new(net.ListenConfig).ListenPacket(ctx, "udp", l.HostPort())
		if err != nil {
			d.close()
			return portError(l, err)
		}
		d.packets = append(d.packets, conn.(*net.UDPConn)) //nolint:forcetypeassert // that is what "udp" makes
	}
	n.names = d
	n.exportDNS(d.server)
	n.services = append(n.services, service{"dns", d.run})
	return nil
}

func zoneConfig(c config.DNS, servers, records []string, choose func(dns.Query) dns.Choice, find func(string) (dns.Node, bool)) dns.Config {
	return dns.Config{
		Zone: c.Zone, NameServers: servers, TTL: c.TTL, Rate: float64(c.RateLimit), Records: records, Choose: choose, Find: find,
	}
}

// close closes the sockets of a server that is never run.
func (d *nameServer) close() {
	if d == nil {
		return
	}
	for _, conn := range d.packets {
		_ = conn.Close()
	}
}

func (d *nameServer) run(ctx context.Context) error {
	all, ctx := errgroup.WithContext(ctx)
	for _, conn := range d.packets {
		all.Go(func() error { return d.server.ServeUDP(ctx, conn) })
	}
	for _, l := range d.n.open {
		if l.Option == "dns.port" {
			all.Go(func() error { return d.server.ServeTCP(ctx, l.socket) })
		}
	}
	pace := rate.NewLimiter(askRate, askers)
	for range askers {
		all.Go(func() error { return d.askRooms(ctx, pace) })
	}
	return all.Wait()
}

// askRooms finds out where the participants of rooms are that clients are looking for, until ctx ends.
func (d *nameServer) askRooms(ctx context.Context, pace *rate.Limiter) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case room := <-d.rooms:
			if pace.Wait(ctx) != nil {
				return nil
			}
			short, cancel := context.WithTimeout(ctx, askTime)
			d.n.finder.rooms.get(short, room)
			cancel()
		}
	}
}

// sight returns what the mesh looks like now.
func (d *nameServer) sight(now time.Time) *sight {
	s := d.sights.Load()
	if s != nil && now.Sub(s.at) < sightAge {
		return s
	}
	if s == nil {
		d.seeing.Lock()
	} else if !d.seeing.TryLock() {
		return s // somebody is at it
	}
	defer d.seeing.Unlock()
	if s = d.sights.Load(); s != nil && now.Sub(s.at) < sightAge {
		return s // somebody was faster
	}
	s = see(now, d.n.finder.nodes())
	d.sights.Store(s)
	return s
}

func see(now time.Time, nodes []geo.Node) *sight {
	s := &sight{at: now, nodes: nodes, byID: make(map[string]dns.Node, len(nodes)), byLabel: make(map[string]dns.Node, len(nodes))}
	for i := range nodes {
		n := named(&nodes[i])
		if _, taken := s.byLabel[n.Label]; taken { // of several with one name the first has it
			n.Label = nodes[i].ID
		} else {
			s.byLabel[n.Label] = n
		}
		s.byID[nodes[i].ID] = n
	}
	return s
}

// labelOf is how a node is called in the zone.
func labelOf(name, id string) string {
	if l := dns.Label(name); l != "" {
		return l
	}
	return id
}

// named is a node as the zone shows it.
func named(n *geo.Node) dns.Node {
	d := dns.Node{Label: labelOf(n.Name, n.ID), Addresses: n.Doors.Addresses}
	add := func(port uint16, web bool, names ...string) {
		for _, name := range names {
			if port != 0 {
				d.Services = append(d.Services, dns.Service{Name: name, Port: port, Web: web})
			}
		}
	}
	if n.Signaling {
		add(n.Doors.WS, false, "_janus._tcp")
		add(n.Doors.WSS, true, "_janus-wss._tcp")
		add(n.Doors.HTTP, false, "_janus-http._tcp")
		add(n.Doors.HTTPS, true, "_janus-https._tcp", dns.MainWeb)
	}
	if n.TURN {
		add(n.Doors.Media, false, "_stun._udp", "_turn._udp")
		if n.Doors.MediaTCP {
			add(n.Doors.Media, false, "_stun._tcp", "_turn._tcp")
		}
		add(n.Doors.TURNS, false, "_stuns._tcp", "_turns._tcp")
	}
	return d
}

// find returns the node with a label: made of its name, or its id.
func (d *nameServer) find(label string) (dns.Node, bool) {
	s := d.sight(time.Now())
	n, ok := s.byLabel[label]
	if !ok {
		n, ok = s.byID[label]
	}
	return n, ok
}

// choose ranks nodes for who asks. Questions are not counted as clients that were sent somewhere: they can be forged, and one answer
// may serve nobody or thousands. Clients are spread by their networks instead.
func (d *nameServer) choose(q dns.Query) dns.Choice {
	now := time.Now()
	s := d.sight(now)
	location, _ := d.n.finder.locate(q.Client.Addr())
	// Of a client that may be anywhere, resolvers say something after all: they ask the name server that is near to them.
	query := geo.Query{Client: location, Asked: string(d.n.cluster.Self().ID), Spread: spreadOf(q.Client)}
	brief := false
	if q.Room != "" {
		room, fresh := d.n.finder.rooms.remembered(roomPrefix + q.Room)
		query.Room, brief = room, !fresh && len(room) == 0
		if !fresh {
			select {
			case d.rooms <- roomPrefix + q.Room:
			default: // others are asked about; the room's next client finds it
			}
		}
	}
	ranked := d.n.finder.chooser.Choose(now, query, candidates(s.nodes, q.Service))
	c := dns.Choice{Scope: scopeOf(q.Client, location.Network), Brief: brief}
	if len(s.nodes) == 1 {
		c.Scope = 0
	}
	for i := range ranked {
		r := &ranked[i]
		c.Nodes = append(c.Nodes, s.byID[r.ID])
		best := &ranked[0]
		if i == 1 && r.Busy < 1 && r.RTT+r.Extra <= best.RTT+best.Extra+asGood {
			c.Equal = 2
		}
	}
	return c
}

// candidates are the nodes for a service: STUN and TURN are at nodes without signaling, too.
func candidates(nodes []geo.Node, service string) []geo.Node {
	switch service {
	case "_stun._udp", "_stun._tcp", "_stuns._tcp", "_turn._udp", "_turn._tcp", "_turns._tcp":
	default:
		return nodes
	}
	relays := make([]geo.Node, 0, len(nodes))
	for _, n := range nodes {
		if n.TURN {
			n.Signaling = true // or it would not count
			relays = append(relays, n)
		}
	}
	return relays
}

// The networks that clients are spread by: what one answer is for at most.
const (
	spreadBits4 = 24
	spreadBits6 = 48
)

func spreadBits(p netip.Prefix) int {
	if p.Addr().Is4() {
		return min(p.Bits(), spreadBits4)
	}
	return min(p.Bits(), spreadBits6)
}

// spreadOf tells clients of different networks apart, and is the same at all nodes.
func spreadOf(client netip.Prefix) uint64 {
	p, err := client.Addr().Prefix(spreadBits(client))
	if err != nil {
		return 0
	}
	h := fnv.New64a()
	b, _ := p.MarshalBinary() // it cannot fail
	_, _ = h.Write(b)
	return h.Sum64()
}

// scopeOf is the length of the prefix for which an answer holds: for the network that is spread as one, or for less if the place of
// less was known.
func scopeOf(client, located netip.Prefix) int {
	bits := spreadBits(client)
	if located.IsValid() && located.Addr().Is4() == client.Addr().Is4() {
		bits = max(bits, located.Bits())
	}
	return bits
}

// exportDNS exports what the name server counts.
func (n *Node) exportDNS(s *dns.Server) {
	type S = dns.Stats
	n.registry.MustRegister(snapshot(s.Stats,
		counter("cardea_dns_questions_udp_total", "Questions to the name server over UDP, forged ones included.", func(s S) float64 { return float64(s.UDP) }),
		counter("cardea_dns_questions_tcp_total", "Questions to the name server over TCP.", func(s S) float64 { return float64(s.TCP) }),
		counter("cardea_dns_answers_total", "Answers about names that exist.", func(s S) float64 { return float64(s.NoError) }),
		counter("cardea_dns_nxdomain_total", "Answers about names that do not exist. Rising fast: somebody guesses names.", func(s S) float64 { return float64(s.NXDomain) }),
		counter("cardea_dns_refused_total", "Questions refused: about other zones, or for the whole of this one.", func(s S) float64 { return float64(s.Refused) }),
		counter("cardea_dns_servfail_total", "Questions for which there was no node. Rising: all nodes drain or are full.", func(s S) float64 { return float64(s.ServFail) }),
		counter("cardea_dns_malformed_total", "Questions that were none.", func(s S) float64 { return float64(s.Malformed) }),
		counter("cardea_dns_referred_total", "Questions above dns.rate_limit that were sent to TCP.", func(s S) float64 { return float64(s.Referred) }),
		counter("cardea_dns_dropped_total", "Questions above dns.rate_limit that got no answer. Rising: a flood, or the limit is too low for a large resolver.", func(s S) float64 { return float64(s.Dropped) }),
		counter("cardea_dns_refused_connections_total", "TCP connections closed at once, since there were too many.", func(s S) float64 { return float64(s.RefusedConnections) }),
	))
}
