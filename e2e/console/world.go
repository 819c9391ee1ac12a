package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"time"

	"cardea/node/console"
)

// world is a mesh as its operators would see it. It is the same each time, but for what changes as time passes.
type world struct {
	began time.Time
	nodes []console.OverviewNode
	links []console.LinkReport

	mu       sync.Mutex
	draining map[string]bool
	kicked   map[string]bool // room/participant
	rooms    []console.Room
}

type city struct {
	name, region string
	lat, lon     float64
}

var cities = []city{
	{"fra", "eu-central", 50.11, 8.68},
	{"ams", "eu-west", 52.37, 4.9},
	{"lon", "eu-west", 51.51, -0.13},
	{"par", "eu-west", 48.86, 2.35},
	{"mad", "eu-south", 40.42, -3.7},
	{"mil", "eu-south", 45.46, 9.19},
	{"sto", "eu-north", 59.33, 18.07},
	{"waw", "eu-central", 52.23, 21.01},
	{"ist", "me-west", 41.01, 28.98},
	{"dub", "eu-west", 53.35, -6.26},
	{"iad", "us-east", 38.94, -77.46},
	{"nyc", "us-east", 40.71, -74.01},
	{"mia", "us-east", 25.76, -80.19},
	{"ord", "us-central", 41.88, -87.63},
	{"dfw", "us-central", 32.78, -96.8},
	{"sjc", "us-west", 37.34, -121.89},
	{"lax", "us-west", 34.05, -118.24},
	{"sea", "us-west", 47.61, -122.33},
	{"yyz", "ca-east", 43.65, -79.38},
	{"mex", "latam-north", 19.43, -99.13},
	{"gru", "latam-south", -23.55, -46.63},
	{"eze", "latam-south", -34.6, -58.38},
	{"bog", "latam-north", 4.71, -74.07},
	{"jnb", "af-south", -26.2, 28.05},
	{"lag", "af-west", 6.52, 3.38},
	{"cai", "me-west", 30.04, 31.24},
	{"dxb", "me-east", 25.2, 55.27},
	{"bom", "ap-south", 19.08, 72.88},
	{"sin", "ap-southeast", 1.35, 103.82},
	{"hkg", "ap-east", 22.32, 114.17},
	{"tyo", "ap-northeast", 35.68, 139.69},
	{"icn", "ap-northeast", 37.57, 126.98},
	{"syd", "ap-southeast", -33.87, 151.21},
	{"akl", "ap-southeast", -36.85, 174.76},
}

func newWorld(nodes, rooms int, unplaced bool) *world {
	chance := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same world each time
	w := &world{began: time.Now(), draining: map[string]bool{}, kicked: map[string]bool{}}
	for i := range nodes {
		c := cities[i%len(cities)]
		n := console.OverviewNode{
			MeshNode: console.MeshNode{
				ID: fmt.Sprintf("%s%013d", c.name, i), Name: fmt.Sprintf("%s-%d.edge.example", c.name, i/len(cities)+1), Region: c.region,
				Version: "v1.4.2", State: "ready", Planes: []string{"signaling", "media", "turn"}, Self: i == 0, Linked: i != 0,
				Load: math.Pow(chance.Float64(), 2) * 0.82, Started: w.began.Add(-time.Duration(chance.IntN(40*24)) * time.Hour),
			},
			Figures: &console.Figures{Peers: chance.IntN(900), Streams: chance.IntN(2000), Rooms: chance.IntN(300)},
		}
		n.Figures.Sessions = n.Figures.Peers/2 + 3
		if !unplaced && i%33 != 32 {
			n.Place = &console.Place{Lat: c.lat, Lon: c.lon}
		}
		if i > 0 {
			ms := float64(delay(cities[0], c)) / float64(time.Millisecond)
			n.RTTMS = &ms
		}
		switch {
		case i == 17 || i == 45:
			n.State = "draining"
			n.Figures.Leaving = leaving(i)
		case i == 23:
			n.Figures = nil // it does not answer
		case i%19 == 7:
			n.Version = "v1.4.1"
		case i == 61:
			n.Load = 0.97
		}
		w.nodes = append(w.nodes, n)
	}
	for i := range nodes {
		for k := range min(6, nodes-1) {
			j := (i + 1 + k*k*7 + chance.IntN(3)) % nodes
			if j == i {
				continue
			}
			w.links = append(w.links, newLink(chance, w.nodes[i].ID, w.nodes[j].ID, delay(cities[i%len(cities)], cities[j%len(cities)])))
		}
	}
	w.rooms = newRooms(chance, rooms, w.nodes)
	return w
}

// delay is about a round trip's: light in glass, by detours.
func delay(a, b city) time.Duration {
	const rad, earth = math.Pi / 180, 6371.0
	h := math.Pow(math.Sin((b.lat-a.lat)*rad/2), 2) + math.Cos(a.lat*rad)*math.Cos(b.lat*rad)*math.Pow(math.Sin((b.lon-a.lon)*rad/2), 2)
	km := 2 * earth * math.Asin(math.Sqrt(h))
	return time.Duration((1 + km/200*2*1.5) * float64(time.Millisecond))
}

func newLink(chance *rand.Rand, from, to string, rtt time.Duration) console.LinkReport {
	l := console.LinkReport{From: from, To: to, RTT: rtt, Loss: math.Pow(chance.Float64(), 8) * 0.004}
	if chance.IntN(3) == 0 {
		l.Sent, l.Received = chance.Float64()*40e6, chance.Float64()*40e6
	}
	switch chance.IntN(40) {
	case 0, 1:
		l.Loss = 0.012 + chance.Float64()*0.01
	case 2:
		l.Loss = 0.04 + chance.Float64()*0.05
	}
	return l
}

var topics = []string{"Standup", "Town hall", "Design review", "Support", "Lesson", "Book club", "Interview", "Webinar", "Family", "Raid"}

func newRooms(chance *rand.Rand, count int, nodes []console.OverviewNode) []console.Room {
	rooms := make([]console.Room, 0, count)
	for i := range count {
		r := console.Room{
			Plugin: "janus.plugin.videoroom", Room: strconv.Itoa(1234 + i), Description: fmt.Sprintf("%s %d", topics[i%len(topics)], i/len(topics)+1),
			CommunityID: fmt.Sprintf("community-%d", i%97), MaxPublishers: 6, Keeper: nodes[chance.IntN(len(nodes))].ID,
		}
		if chance.IntN(3) > 0 {
			r.Participants = 1 + int(math.Pow(chance.Float64(), 6)*60)
		}
		switch i {
		case 0:
			r.Description, r.Participants, r.MaxPublishers = "All hands", 137, 200
		case 1:
			r.Description = `<img src=x onerror="document.title='broken'"> & <b>bold</b>`
			r.Participants = 5
		}
		r.Publishers, r.Subscribers, r.Partial = min(r.Participants, r.MaxPublishers), 2*r.Participants, i == 2
		rooms = append(rooms, r)
	}
	return rooms
}

// list returns all rooms.
func (w *world) list() []console.Room {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]console.Room(nil), w.rooms...)
}

// overview is the mesh a moment later: loads and links change a little.
func (w *world) overview(now time.Time) console.Overview {
	w.mu.Lock()
	defer w.mu.Unlock()
	t := now.Sub(w.began).Seconds()
	nodes := append([]console.OverviewNode(nil), w.nodes...)
	for i := range nodes {
		n := &nodes[i]
		n.Load = min(max(n.Load+0.03*math.Sin(t/7+float64(i)), 0), 1)
		if d, ok := w.draining[n.ID]; ok {
			n.State = map[bool]string{true: "draining", false: "ready"}[d]
			if n.Figures != nil {
				figures := *n.Figures
				if figures.Leaving = nil; d {
					figures.Leaving = leaving(i)
				}
				n.Figures = &figures
			}
		}
	}
	links := append([]console.LinkReport(nil), w.links...)
	for i := range links {
		links[i].Loss *= 1 + 0.2*math.Sin(t/5+float64(i))
	}
	return console.NewOverview(now, nodes, links)
}

// leaving is how far a node is with draining.
func leaving(i int) *console.Leaving {
	return &console.Leaving{Until: time.Now().Add(30 * time.Minute), Waiting: console.Waiting{Clients: i, Relays: 1, Streams: i % 4}}
}

func (w *world) drain(_ context.Context, node string, undo bool) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, n := range w.nodes {
		if n.ID == node {
			w.draining[node] = !undo
			return nil
		}
	}
	return errors.New("no such node")
}

func (w *world) kick(_ context.Context, _, room, participant string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.kicked[room+"/"+participant] = true
	return nil
}

var people = []string{
	"Ada Lovelace", "Grace Hopper", "Alan Turing", "Katherine Johnson", "Edsger Dijkstra", "Barbara Liskov", "", "Radia Perlman", "Claude Shannon",
	"Hedy Lamarr", "Vint Cerf", "<i>Mallory</i>", "Somebody with quite a long name that has no end and goes on", "Лев", "李", "Leslie Lamport",
}

// look returns a room whose participants are on a handful of nodes.
func (w *world) look(room string, p console.ParticipantRange, now time.Time) (console.RoomView, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	number, err := strconv.Atoi(room)
	if err != nil || number < 1234 || number >= 1234+len(w.rooms) {
		return console.RoomView{}, false
	}
	v := console.RoomView{Room: w.rooms[number-1234], Offset: p.Offset, Routes: []console.Route{}}
	chance := rand.New(rand.NewPCG(uint64(number), 7)) //nolint:gosec // the same room each time
	places := make([]int, 0, 6)
	for range min(6, len(w.nodes)) {
		places = append(places, chance.IntN(len(w.nodes)))
	}
	var all []console.Participant
	for i := range v.Room.Participants {
		who := w.participant(chance, i, places, now)
		if !w.kicked[room+"/"+who.ID] && (p.Search == "" || strings.Contains(strings.ToLower(who.ID+" "+who.Display), p.Search)) {
			all = append(all, who)
		}
	}
	v.Matched = len(all)
	from := min(p.Offset, len(all))
	v.Participants = all[from:min(from+p.Limit, len(all))]
	v.Routes = w.routes(all, places)
	if number == 1236 {
		v.Silent = []string{w.nodes[places[0]].ID}
	}
	return v, true
}

func (w *world) participant(chance *rand.Rand, i int, places []int, now time.Time) console.Participant {
	who := console.Participant{
		ID: strconv.FormatUint(chance.Uint64()>>11, 10), Display: people[(i+chance.IntN(3))%len(people)], Node: w.nodes[places[chance.IntN(len(places))]].ID,
		Joined: w.began.Add(-time.Duration(chance.IntN(5400)) * time.Second), Talking: i == 0,
	}
	if i%7 == 3 {
		who.Media = w.nodes[places[0]].ID
	}
	base, bad := 15+chance.Float64()*80, i%5 == 4
	if i%6 != 5 {
		who.Streams = []console.Sent{{Mid: "0", Kind: "audio", Codec: "opus", Muted: i%9 == 2}, {Mid: "1", Kind: "video", Codec: "vp8"}}
		if i%11 == 1 {
			who.Streams = append(who.Streams, console.Sent{Mid: "2", Kind: "video", Codec: "vp9", Description: "screen"})
		}
	} else if i%2 == 1 {
		return who // its node knows nothing of it
	}
	const steps, step = 30, 10
	q := &console.Quality{StepSeconds: step}
	for s := range steps {
		t := float64(now.Unix()/step + int64(s) + int64(i)*17)
		at := func(v float64) *float64 { v = math.Round(v*1e4) / 1e4; return &v }
		if i%13 == 6 && s < 12 {
			for _, line := range []*[]*float64{&q.RTTMS, &q.LossUp, &q.LossDown, &q.RateUp, &q.RateDown} {
				*line = append(*line, nil) // it was not there yet
			}
			continue
		}
		loss := 0.002 + 0.002*math.Sin(t/3)
		if bad && s > 8 && s < 22 {
			loss += 0.06 * math.Abs(math.Sin(t/2))
		}
		q.RTTMS = append(q.RTTMS, at(base*(1+0.1*math.Sin(t/2))))
		q.LossUp, q.LossDown = append(q.LossUp, at(loss)), append(q.LossDown, at(loss/2))
		q.RateUp = append(q.RateUp, at(map[bool]float64{true: 1.5e6, false: 0}[len(who.Streams) > 0]*(1-loss*6)))
		q.RateDown = append(q.RateDown, at(4.2e6*(1-loss*4)))
	}
	mos, frozen := 4.3, 0.0
	if bad {
		mos, frozen = 3.1, 0.042
	}
	q.MOS, q.Frozen = &mos, &frozen
	who.Quality = q
	return who
}

// routes has every node of a room get every stream, by way of the first where there are many.
func (w *world) routes(all []console.Participant, places []int) []console.Route {
	routes := []console.Route{}
	for _, from := range places {
		home := w.nodes[from].ID
		var streams []console.RouteStream
		for _, p := range all {
			for _, s := range p.Streams {
				if p.Node == home {
					streams = append(streams, console.RouteStream{Publisher: p.ID, Mid: s.Mid})
				}
			}
		}
		for _, to := range places {
			if to == from || len(streams) == 0 {
				continue
			}
			path := []string{home}
			if hub := w.nodes[places[0]].ID; from != places[0] && to != places[0] && from%2 == 0 {
				path = append(path, hub)
			}
			routes = append(routes, console.Route{Path: append(path, w.nodes[to].ID), Streams: streams[:min(len(streams), 20)], More: max(len(streams)-20, 0)})
		}
	}
	return routes
}
