package member

import (
	"math"
	"slices"
	"time"

	"github.com/hashicorp/serf/coordinate"
)

// How often this node's metadata may be told to all.
const (
	paceUrgent = 200 * time.Millisecond // state, planes, names, place, doors, gossip keys, certificate
	paceSlow   = 10 * time.Second       // load and coordinate, plus paceNode for each node, which bounds what all of them say together
	paceNode   = 400 * time.Millisecond

	noticeLoad  = 0.05
	noticeMoved = 0.003 // seconds
)

// pace decides when what a node says of itself is worth telling again.
type pace struct {
	told Node
	ring uint64
	pass int64
	at   time.Time
}

// due tells whether to tell n now.
func (p *pace) due(n Node, ring uint64, until int64, nodes int, now time.Time) bool {
	since := now.Sub(p.at)
	urgent := n.State != p.told.State || n.Planes != p.told.Planes || n.Name != p.told.Name || n.Region != p.told.Region ||
		n.Authority != p.told.Authority || n.Version != p.told.Version || ring != p.ring || until != p.pass ||
		n.Latitude != p.told.Latitude || n.Longitude != p.told.Longitude || n.Capacity != p.told.Capacity ||
		!n.Doors.Equal(p.told.Doors) || !slices.Equal(n.Links, p.told.Links)
	if urgent {
		return since >= paceUrgent
	}
	slow := math.Abs(n.Load-p.told.Load) >= noticeLoad || moved(n.Coordinate, p.told.Coordinate) >= noticeMoved
	return slow && since >= paceSlow+time.Duration(nodes)*paceNode
}

// moved returns how far apart two coordinates of one node are, in seconds.
func moved(a, b *coordinate.Coordinate) float64 {
	if a == nil || b == nil || len(a.Vec) != len(b.Vec) {
		if a == b {
			return 0
		}
		return math.Inf(1)
	}
	sum := 0.0
	for i := range a.Vec {
		sum += (a.Vec[i] - b.Vec[i]) * (a.Vec[i] - b.Vec[i])
	}
	return math.Sqrt(sum) + math.Abs(a.Height-b.Height) + math.Abs(a.Adjustment-b.Adjustment)
}
