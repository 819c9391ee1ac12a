package route

import (
	"math"
	"time"

	"github.com/hashicorp/serf/coordinate"

	"cardea/mesh/rendezvous"
)

// NearRTT is the round trip below which nodes without a region's name count as one region.
const NearRTT = 15 * time.Millisecond

// usable returns the coordinate if it says anything: finite, and of a node that has found its place. A node that has just
// started has an error of 1.5 and lies at the origin, near to everybody who also does.
func usable(c *coordinate.Coordinate) *coordinate.Coordinate {
	if c == nil || !c.IsValid() || c.Error >= 1 {
		return nil
	}
	return c
}

// distance returns the round trip between two nodes by their coordinates. It computes what [coordinate.Coordinate.DistanceTo]
// does without allocating: to group 1,000 nodes takes up to half a million of them.
func distance(na, nb *node) (time.Duration, bool) {
	a, b := na.Coordinate, nb.Coordinate
	if a == nil || b == nil || !a.IsCompatibleWith(b) {
		return 0, false
	}
	squares := 0.0
	for i := range a.Vec {
		squares += (a.Vec[i] - b.Vec[i]) * (a.Vec[i] - b.Vec[i])
	}
	seconds := math.Sqrt(squares) + a.Height + b.Height
	if adjusted := seconds + a.Adjustment + b.Adjustment; adjusted > 0 {
		seconds = adjusted
	}
	return time.Duration(min(max(seconds, 100e-6), 2) * float64(time.Second)), true
}

// guess returns an edge that nobody has measured.
func guess(a, b *node) Edge {
	rtt, known := distance(a, b)
	if !known {
		rtt = unknownRTT
		if a.area == b.area {
			rtt = nearUnknownRTT
		}
	}
	return Edge{To: b.ID, RTT: rtt, Queue: GuessPrice}
}

// areas gives each of the nodes, which are sorted, the region that it counts to (see the package's documentation), and
// returns the nodes of each, sorted as they were. Groups without a name are called by the id of their first, after a NUL.
func areas(nodes []*node) map[string][]*node {
	var named, leaders []*node
	for _, n := range nodes {
		if n.area = n.Region; n.area != "" {
			named = append(named, n)
		}
	}
	all := map[string][]*node{}
	for _, n := range nodes {
		if n.area == "" {
			if near := nearest(n, named); near != nil {
				n.area = near.area
			} else if first := firstNear(n, leaders); first != nil {
				n.area = first.area
			} else {
				n.area = "\x00" + string(n.ID)
				leaders = append(leaders, n)
			}
		}
		all[n.area] = append(all[n.area], n)
	}
	return all
}

func nearest(n *node, among []*node) (best *node) {
	least := NearRTT
	for _, o := range among {
		if d, known := distance(n, o); known && d < least {
			best, least = o, d
		}
	}
	return best
}

func firstNear(n *node, among []*node) *node {
	for _, o := range among {
		if d, known := distance(n, o); known && d < NearRTT {
			return o
		}
	}
	return nil
}

// places is how many nodes of a region have a place of their own in its order.
const places = 3

// burdens is what share of a crossing's price is due for a crossing by the first nodes of the order. All others pay it
// in full. The steps are large enough for all to gather at the second and then at the third if the first are bad.
var burdens = [places]float64{0, 0.6, 0.9}

// order is the nodes of one region in the order in which they are to carry an origin's streams into it. The region's name
// needs no part in the hash: a node is in one region.
type order struct {
	nodes   [places]*node
	weights [places]uint64
	n       int
}

// add puts a node where it belongs, if suits says that it may be there; it is asked only if the node has the hash for it.
func (o *order) add(n *node, origin uint64, suits func(*node) bool) {
	w := rendezvous.Weight(origin, n.hash)
	at := o.n
	for at > 0 && (o.weights[at-1] < w || o.weights[at-1] == w && o.nodes[at-1].ID > n.ID) {
		at--
	}
	if at == places || !suits(n) {
		return
	}
	o.n = min(o.n+1, places)
	copy(o.nodes[at+1:o.n], o.nodes[at:])
	copy(o.weights[at+1:o.n], o.weights[at:])
	o.nodes[at], o.weights[at] = n, w
}

// burden returns the share of a crossing's price that is due if the node carries the stream.
func (o *order) burden(n *node) float64 {
	for i, m := range o.nodes[:o.n] {
		if m == n {
			return burdens[i]
		}
	}
	return 1
}
