package geo

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"cardea/geo/geotest"
)

// city is where a node stands in the simulation, and where clients live.
type city struct {
	name, country, region string
	place                 Place
}

var cities = []city{
	{"Frankfurt", "DE", "eu", frankfurt},
	{"Amsterdam", "NL", "eu", amsterdam},
	{"London", "GB", "eu", Place{51.51, -0.13}},
	{"Paris", "FR", "eu", Place{48.86, 2.35}},
	{"Madrid", "ES", "eu", madrid},
	{"Milan", "IT", "eu", Place{45.46, 9.19}},
	{"Stockholm", "SE", "eu", Place{59.33, 18.07}},
	{"Warsaw", "PL", "eu", Place{52.23, 21.01}},
	{"Istanbul", "TR", "me", Place{41.01, 28.98}},
	{"Dubai", "AE", "me", Place{25.20, 55.27}},
	{"Tel Aviv", "IL", "me", Place{32.09, 34.78}},
	{"Johannesburg", "ZA", "af", Place{-26.20, 28.05}},
	{"Lagos", "NG", "af", Place{6.52, 3.38}},
	{"Nairobi", "KE", "af", Place{-1.29, 36.82}},
	{"Mumbai", "IN", "as", Place{19.08, 72.88}},
	{"Chennai", "IN", "as", Place{13.08, 80.27}},
	{"Singapore", "SG", "as", singapore},
	{"Jakarta", "ID", "as", Place{-6.21, 106.85}},
	{"Hong Kong", "HK", "as", Place{22.32, 114.17}},
	{"Tokyo", "JP", "as", Place{35.68, 139.69}},
	{"Seoul", "KR", "as", Place{37.57, 126.98}},
	{"Sydney", "AU", "oc", Place{-33.87, 151.21}},
	{"Virginia", "US", "na", virginia},
	{"Chicago", "US", "na", Place{41.88, -87.63}},
	{"Dallas", "US", "na", Place{32.78, -96.80}},
	{"Los Angeles", "US", "na", Place{34.05, -118.24}},
	{"Seattle", "US", "na", Place{47.61, -122.33}},
	{"Montreal", "CA", "na", Place{45.50, -73.57}},
	{"Sao Paulo", "BR", "sa", Place{-23.55, -46.63}},
	{"Santiago", "CL", "sa", Place{-33.45, -70.67}},
}

// simClient is a client of the simulation: what is known of it, and what is true.
type simClient struct {
	address netip.Addr
	place   Place
	network int
}

// networks is how many kinds of networks clients are in.
const networks = 64

// ways says how much longer than it should the way takes between each network and each node, by node.
func ways(r *rand.Rand) map[string][networks]float64 {
	all := make(map[string][networks]float64)
	for _, c := range cities {
		var w [networks]float64
		for i := range w {
			w[i] = min(max(math.Exp(r.NormFloat64()*0.2), 0.67), 2)
		}
		all[c.name] = w
	}
	return all
}

var crooked = ways(rand.New(rand.NewPCG(8, 9)))

// trueRTT is what a client would measure: distance, over networks that are anything between a third better and twice as bad as they
// should be.
func trueRTT(c simClient, n *Node) time.Duration {
	return 3*time.Millisecond + time.Duration(float64(roundTrip(c.place.Distance(n.Place)))*crooked[n.ID][c.network])
}

// scenario is what is wrong in a run.
type scenario struct {
	name   string
	down   int    // nodes that are off
	region string // that refuses clients, since it has too many
}

var scenarios = []scenario{{"all is well", 0, ""}, {"1 node down", 1, ""}, {"5 nodes down", 5, ""}, {"Europe overloaded", 0, "eu"}, {"5 down, Asia overloaded", 5, "as"}}

// outcome counts clients.
type outcome struct {
	first, probed int // within 20 ms of the best by the first of the list alone, and after probing
	total         int
	late          time.Duration // by how much the worst hundredth of the probing ones is worse than the best
	most          float64       // the fullest node, of its capacity
}

func (o outcome) share(n int) float64 { return 100 * float64(n) / float64(o.total) }

// near is how much worse than the best possible node a client's may be to count as near.
const near = 20 * time.Millisecond

// simulate has clients arrive, 62 in a second, at nodes that report their load each ten seconds.
func simulate(s scenario, locate func(netip.Addr) (Location, bool), clients []simClient) (o outcome) {
	r := rand.New(rand.NewPCG(7, 7))
	nodes := make([]Node, 0, len(cities))
	const capacity = 500
	for _, c := range cities {
		n := Node{ID: c.name, Region: c.region, Place: c.place, Signaling: true, Media: true, Capacity: capacity, Doors: Doors{Host: "h", WSS: 1}}
		if c.region == s.region {
			n.Load = 1
		}
		nodes = append(nodes, n)
	}
	r.Shuffle(len(nodes), func(i, j int) { nodes[i], nodes[j] = nodes[j], nodes[i] })
	nodes = nodes[s.down:]
	load := make(map[string]int)
	var chooser Chooser
	var late []time.Duration
	start := time.Unix(1_700_000_000, 0)
	for i, c := range clients {
		now := start.Add(time.Duration(i) * 16 * time.Millisecond)
		if i%625 == 0 {
			for j := range nodes {
				if nodes[j].Load < 1 {
					nodes[j].Load = min(float64(load[nodes[j].ID])/capacity, 0.99)
				}
			}
		}
		at, _ := locate(c.address)
		ranked := chooser.Choose(now, Query{Client: at, Spread: r.Uint64()}, nodes)
		chooser.Sent(now, &ranked[0].Node)
		scattered, probes := Scatter(ranked, at.Radius)
		best := time.Duration(math.MaxInt64)
		for j := range ranked {
			best = min(best, trueRTT(c, &ranked[j].Node))
		}
		taken := probeAll(c, scattered[:probes])
		load[taken.ID]++
		o.total++
		if trueRTT(c, &ranked[0].Node)-best <= near {
			o.first++
		}
		worse := trueRTT(c, &taken.Node) - best
		if worse <= near {
			o.probed++
		}
		late = append(late, worse)
	}
	slices.Sort(late)
	o.late = late[len(late)*99/100]
	for _, n := range load {
		o.most = max(o.most, float64(n)/capacity)
	}
	return o
}

// probeAll does what nearest.js does: it measures, and takes the first in the list of those that are as good as the best.
func probeAll(c simClient, nodes []Ranked) *Ranked {
	best := time.Duration(math.MaxInt64)
	for i := range nodes {
		best = min(best, trueRTT(c, &nodes[i].Node)+nodes[i].Extra)
	}
	return &nodes[slices.IndexFunc(nodes, func(r Ranked) bool { return trueRTT(c, &r.Node)+r.Extra <= best+spread })]
}

func report(t *testing.T, s scenario, o outcome) {
	t.Helper()
	t.Logf("%-24s  first of the list %5.1f %%   with nearest.js %5.1f %%   worst hundredth %3d ms off   fullest node %3.0f %%",
		s.name, o.share(o.first), o.share(o.probed), o.late.Milliseconds(), 100*o.most)
}

// TestCities is the simulation with a database that knows cities, written here.
func TestCities(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cities.mmdb")
	records := map[string]map[string]any{}
	var clients []simClient
	r := rand.New(rand.NewPCG(1, 2))
	for i, c := range cities {
		records[fmt.Sprintf("10.%d.0.0/16", i)] = geotest.City(c.country, c.place.Latitude, c.place.Longitude)
	}
	geotest.Write(t, path, records)
	for range 3000 {
		i := r.IntN(len(cities))
		clients = append(clients, simClient{netip.AddrFrom4([4]byte{10, byte(i), byte(r.Uint32()), byte(r.Uint32())}), around(r, cities[i].place, 100), r.IntN(networks)})
	}
	l, err := OpenLocator(LocatorConfig{Files: []string{path}})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range scenarios {
		o := simulate(s, l.Locate, clients)
		report(t, s, o)
		if o.share(o.first) < 88 || o.share(o.probed) < 92 {
			t.Errorf("%s: too few clients are near", s.name)
		}
	}
}

// realDatabase is where the end-to-end tests' packages have a database of countries.
const realDatabase = "../e2e/node_modules/@ip-location-db/geo-whois-asn-country-mmdb/geo-whois-asn-country.mmdb"

// TestCountriesOfTheWorld is the simulation with a real database, which knows countries alone. Clients have addresses from all of
// it. Those of a country with nodes live in its cities, the others somewhere in theirs.
func TestCountriesOfTheWorld(t *testing.T) {
	if _, err := os.Stat(realDatabase); err != nil {
		t.Skip("no real database of locations: e2e/setup.sh npm installs it")
	}
	l, err := OpenLocator(LocatorConfig{Files: []string{realDatabase}})
	if err != nil {
		t.Fatal(err)
	}
	byCountry := map[string][]city{}
	for _, c := range cities {
		byCountry[c.country] = append(byCountry[c.country], c)
	}
	r := rand.New(rand.NewPCG(3, 4))
	var clients []simClient
	for len(clients) < 3600 {
		a := netip.AddrFrom4([4]byte{byte(1 + r.IntN(223)), byte(r.Uint32()), byte(r.Uint32()), byte(r.Uint32())})
		if len(clients)%5 == 4 {
			a = netip.AddrFrom16([16]byte{0x20 | byte(r.IntN(16)), byte(r.Uint32()), byte(r.Uint32()), byte(r.Uint32()), byte(r.Uint32()), 15: 1})
		}
		at, ok := l.Locate(a)
		if !ok || !at.Place.Known() {
			continue
		}
		c := simClient{a, around(r, at.Place, at.Radius/2), r.IntN(networks)}
		if own := byCountry[at.Country]; len(own) > 0 {
			c.place = around(r, own[r.IntN(len(own))].place, 200)
		}
		clients = append(clients, c)
	}
	for _, s := range scenarios {
		o := simulate(s, l.Locate, clients)
		report(t, s, o)
		if o.share(o.first) < 65 || o.share(o.probed) < 95 {
			t.Errorf("%s: too few clients are near", s.name)
		}
	}
}

// around is somewhere within so many km.
func around(r *rand.Rand, p Place, km float64) Place {
	d, angle := km*math.Sqrt(r.Float64())/111, r.Float64()*2*math.Pi
	p.Latitude += d * math.Cos(angle)
	p.Longitude += d * math.Sin(angle) / math.Cos(radians(p.Latitude))
	return p
}

// TestRoomsOfTheWorld has rooms meet: the node for each who comes is to be the one with the shortest way to all who are there.
func TestRoomsOfTheWorld(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	nodes := make([]Node, 0, len(cities))
	for _, c := range cities {
		nodes = append(nodes, Node{ID: c.name, Region: c.region, Place: c.place, Signaling: true, Media: true})
	}
	byID := func(id string) *Node { return &nodes[slices.IndexFunc(nodes, func(n Node) bool { return n.ID == id })] }
	total, fine, elsewhere := 0, 0, 0
	for range 500 {
		counts := map[string]int{}
		for who := range 6 {
			client := Query{Client: Location{Place: around(r, cities[r.IntN(len(cities))].place, 300)}, Spread: r.Uint64()}
			nearest := Choose(client, nodes)[0].ID
			for id, n := range counts {
				client.Room = append(client.Room, Members{id, n})
			}
			slices.SortFunc(client.Room, func(a, b Members) int { return b.Count - a.Count })
			got := Choose(client, nodes)[0].Node
			counts[got.ID]++
			if who == 0 {
				continue
			}
			path := func(n *Node) (sum time.Duration) {
				for _, m := range client.Room {
					sum += time.Duration(m.Count) * (roundTrip(client.Client.Place.Distance(n.Place)) + roundTrip(n.Place.Distance(byID(m.Node).Place)))
				}
				return sum / time.Duration(who)
			}
			best := time.Duration(math.MaxInt64)
			for i := range nodes {
				best = min(best, path(&nodes[i]))
			}
			total++
			if path(&got)-best <= 10*time.Millisecond {
				fine++
			}
			if got.ID != nearest {
				elsewhere++
			}
		}
	}
	t.Logf("%d joins: %.1f %% within 10 ms of the shortest way to the others, %.1f %% not at the nearest node", total, 100*float64(fine)/float64(total), 100*float64(elsewhere)/float64(total))
	if float64(fine) < 0.95*float64(total) || elsewhere == 0 {
		t.Error("rooms are scattered")
	}
}
