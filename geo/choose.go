package geo

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/serf/coordinate"
)

// Node is what must be known of a node to send clients there.
type Node struct {
	ID     string
	Name   string
	Region string
	Place  Place // unknown: its coordinate and its region tell how far others are
	// Coordinate is where it is by measured round trips between nodes; nil if not known.
	Coordinate *coordinate.Coordinate
	// Load is the share of what it takes, 0 to 1, by its last report; at 1 it refuses new clients.
	Load float64
	// Capacity is how many clients it is meant for; 0 counts as [DefaultCapacity].
	Capacity int
	// Draining says that it takes no new clients.
	Draining bool
	// Signaling, Media and TURN are its roles. Clients are sent to nodes with signaling only.
	Signaling, Media, TURN bool
	// Doors are where clients reach it.
	Doors Doors
}

// DefaultCapacity is how many clients a node is meant for that says nothing about it.
const DefaultCapacity = 500

func (n *Node) capacity() float64 {
	if n.Capacity <= 0 {
		return DefaultCapacity
	}
	return float64(n.Capacity)
}

// takes tells whether the node takes new clients, by what it said itself.
func (n *Node) takes() bool { return n.Signaling && !n.Draining && !(n.Load >= 1) }

// Members says how many of a room's participants are at a node.
type Members struct {
	Node  string // its id
	Count int
}

// Query asks for the node that serves a client best. Everything in it may be missing.
type Query struct {
	// Client is where the client is by its address.
	Client Location
	// Hint says it better: a place (LATITUDE,LONGITUDE), a region, or the id or name of a node. What is none of these is ignored.
	Hint string
	// Room is where the others are whom the client wants to meet. The first [maxMembers] count, so the largest should be first.
	Room []Members
	// Measured are round trips that the client has measured, by node id. They are taken for true.
	Measured map[string]time.Duration
	// Asked is the id of the node that the client asks. Where nothing else says where the client is, it is taken to be near that one.
	Asked string
	// Spread tells this client from others of its place (a hash of its address): those get different nodes among the equally good
	// ones, and the same client the same node.
	Spread uint64
}

// Ranked is a node and how good it is for a client.
type Ranked struct {
	Node
	RTT   time.Duration // between client and node: measured, or estimated
	Extra time.Duration // what counts beside it: the way on to the others in the room, and load
	Busy  float64       // the load, with what is known beyond the last report; 1 and above: probably full
}

// cost is what nodes are ordered by.
func (r *Ranked) cost() time.Duration { return r.RTT + r.Extra }

const (
	// maxMembers bounds the nodes of a room that are looked at.
	maxMembers = 16
	// hop is what one more node on the way costs. It keeps the clients of one area together at one node.
	hop = 3 * time.Millisecond
	// exposed is the part of a client's own way that counts once more when others are far: what is lost there is asked for from end to
	// end, while nodes repair what is lost between them, and what crosses an ocean between nodes crosses it once for all behind them.
	// Without, everybody would be sent to the node of whoever came first.
	exposed = 0.25
	// spread is how much worse than the best a node may be to get some of the clients, all else being equal; in a room less than a
	// hop, lest it be scattered for nothing.
	spread       = 5 * time.Millisecond
	spreadInRoom = 2 * time.Millisecond
	// Where nothing is known of the way between two nodes.
	withinRegion   = 10 * time.Millisecond
	betweenRegions = 100 * time.Millisecond
	// loadUnit is what a node at half of its load costs; at four fifths it is four times as much.
	loadUnit = 6 * time.Millisecond
	// maxBusy bounds the load that is reckoned with, so that nodes beyond theirs are compared by distance again.
	maxBusy = 0.97
)

// Choose orders the nodes that take clients, the best for this one first. Nodes that are probably full come last. It is pure.
func Choose(q Query, nodes []Node) []Ranked { return choose(q, nodes, nil) }

// choose is Choose with the load that is to be added to what nodes said, by id.
func choose(q Query, nodes []Node, added map[string]float64) []Ranked {
	w := newWorld(q, nodes)
	ranked := make([]Ranked, 0, len(nodes))
	for i := range nodes {
		n := &nodes[i]
		if !n.takes() {
			continue
		}
		rtt := w.client(n)
		room, here := w.room(n, rtt)
		// Who is in the room is known sooner than what it does to the load.
		busy := max(n.Load, float64(here)/n.capacity()) + added[n.ID]
		ranked = append(ranked, Ranked{Node: *n, RTT: rtt, Extra: room + penalty(busy), Busy: busy})
	}
	return order(ranked, q)
}

// penalty is what load costs. It grows slowly at first, and without bound near the end.
func penalty(busy float64) time.Duration {
	b := min(max(busy, 0), maxBusy)
	return time.Duration(float64(loadUnit) * b / (1 - b))
}

// order sorts by cost, full nodes last, and deals the best ones out among clients in proportion to the room that they have left. What is
// sorted are pointers: name servers order hundreds of nodes for every question.
func order(ranked []Ranked, q Query) []Ranked {
	at := make([]*Ranked, len(ranked))
	for i := range ranked {
		at[i] = &ranked[i]
	}
	slices.SortFunc(at, func(a, b *Ranked) int {
		return cmp.Or(fullness(a)-fullness(b), cmp.Compare(a.cost(), b.cost()), strings.Compare(a.ID, b.ID))
	})
	within := tolerance(q)
	equal := 0
	for equal < len(at) && fullness(at[equal]) == fullness(at[0]) && at[equal].cost()-at[0].cost() <= within {
		equal++
	}
	slices.SortStableFunc(at[:equal], func(a, b *Ranked) int { return cmp.Compare(b.draw(q.Spread), a.draw(q.Spread)) })
	ordered := make([]Ranked, len(at))
	for i, r := range at {
		ordered[i] = *r
	}
	return ordered
}

// tolerance is how much worse than the best a node may be to be as good.
func tolerance(q Query) time.Duration {
	if len(q.Room) > 0 {
		return spreadInRoom
	}
	return spread
}

func fullness(r *Ranked) int {
	if r.Busy >= 1 {
		return 1
	}
	return 0
}

// draw is a node's lot in a client's draw: the highest wins, each node as often as its weight (weighted rendezvous hashing).
func (r *Ranked) draw(client uint64) float64 {
	h := client ^ 0x9e3779b97f4a7c15
	for i := range len(r.ID) {
		h = (h ^ uint64(r.ID[i])) * 0x100000001b3
	}
	h ^= h >> 32 // mixed well, as in splitmix64
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	h ^= h >> 31
	u := (float64(h>>11) + 0.5) / (1 << 53) // 0 to 1, neither of them
	weight := max(1-r.Busy, 0.01) * r.capacity()
	return weight / -math.Log(u)
}

// world is what a query's distances are measured in.
type world struct {
	measured map[string]time.Duration
	place    Place   // of the client
	beside   []*Node // nodes that the client is taken to be near, when its place is not known
	members  []member
	total    int // participants of the room
}

// member is a node with participants of the room.
type member struct {
	node  *Node
	count int
}

func newWorld(q Query, nodes []Node) *world {
	w := &world{measured: q.Measured}
	w.place, w.beside = q.where(nodes)
	for _, m := range q.Room[:min(len(q.Room), maxMembers)] {
		i := slices.IndexFunc(nodes, func(n Node) bool { return n.ID == m.Node })
		if i < 0 || m.Count <= 0 {
			continue
		}
		w.members = append(w.members, member{&nodes[i], m.Count})
		w.total += m.Count
	}
	return w
}

// where returns the client's place or, if that is not known, the nodes that it is taken to be near.
func (q *Query) where(nodes []Node) (p Place, beside []*Node) {
	if p, beside = q.hinted(nodes); p.Known() || len(beside) > 0 {
		return p, beside
	}
	if q.Client.Place.Known() || q.Asked == "" {
		return q.Client.Place, nil
	}
	return Place{}, find(nodes, func(n *Node) bool { return n.ID == q.Asked })
}

// hinted returns where the hint says that the client is, if that is anywhere.
func (q *Query) hinted(nodes []Node) (p Place, beside []*Node) {
	if q.Hint == "" {
		return Place{}, nil
	}
	if p, err := ParsePlace(q.Hint); err == nil {
		return p, nil
	}
	if beside = find(nodes, func(n *Node) bool { return n.ID == q.Hint || n.Name == q.Hint }); len(beside) > 0 {
		return Place{}, beside
	}
	return Place{}, find(nodes, func(n *Node) bool { return n.Region != "" && strings.EqualFold(n.Region, q.Hint) })
}

func find(nodes []Node, is func(n *Node) bool) (found []*Node) {
	for i := range nodes {
		if is(&nodes[i]) {
			found = append(found, &nodes[i])
		}
	}
	return found
}

// client returns the round trip between the client and a node.
func (w *world) client(n *Node) time.Duration {
	if d, ok := w.measured[n.ID]; ok && d >= 0 {
		return d
	}
	if w.place.Known() && n.Place.Known() {
		return access + roundTrip(w.place.Distance(n.Place))
	}
	if len(w.beside) > 0 {
		least := time.Duration(math.MaxInt64)
		for _, b := range w.beside {
			least = min(least, between(b, n))
		}
		return access + least
	}
	return access + betweenRegions
}

// room returns what the room adds to a client's round trip to a node: the one from there on to the other participants, on average,
// mainly. here is how many of them are at the node itself.
func (w *world) room(n *Node, client time.Duration) (way time.Duration, here int) {
	if w.total == 0 {
		return 0, 0
	}
	sum := exposed * float64(client) * float64(w.total)
	for _, m := range w.members {
		if m.node.ID == n.ID {
			here = m.count
			continue
		}
		sum += float64(m.count) * float64(between(m.node, n)+hop)
	}
	return time.Duration(sum / float64(w.total)), here
}

// believable is how wrong a coordinate may think itself to be (0 not at all; new ones begin at 1.5).
const believable = 0.5

// between returns the round trip between two nodes: by what they have measured, else by where they are.
func between(a, b *Node) time.Duration {
	switch {
	case a.ID == b.ID:
		return 0
	case measured(a.Coordinate) && measured(b.Coordinate) && a.Coordinate.IsCompatibleWith(b.Coordinate):
		return a.Coordinate.DistanceTo(b.Coordinate)
	case a.Place.Known() && b.Place.Known():
		return roundTrip(a.Place.Distance(b.Place))
	case a.Region == b.Region:
		return withinRegion
	default:
		return betweenRegions
	}
}

func measured(c *coordinate.Coordinate) bool { return c != nil && c.Error < believable }
