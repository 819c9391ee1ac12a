package node

import (
	"context"
	"strings"

	"cardea/mesh"
	"cardea/relay/link"
	"cardea/signaling/videoroom"
)

// roomUse is who uses rooms on all nodes, by their ids in the mesh.
type roomUse struct {
	publishers, subscribers map[string]int
	partial                 bool // not all nodes have told
}

// sumRoomUse adds up what nodes have reported. silent says that some have not.
func sumRoomUse(reports map[link.NodeID]mesh.Report, silent bool) roomUse {
	u := roomUse{publishers: make(map[string]int), subscribers: make(map[string]int), partial: silent}
	for _, r := range reports {
		if r.Counts == nil {
			u.partial = true
			continue
		}
		u.partial = u.partial || r.Counts.More
		for _, c := range r.Counts.Rooms {
			u.publishers[c.Room] += int(min(c.Publishers, maxTold))
			u.subscribers[c.Room] += int(min(c.Subscribers, maxTold))
		}
	}
	return u
}

// maxTold is the most that a node is believed to have of anything in one room.
const maxTold = 1 << 20

// roomsUsed asks all nodes who uses their rooms. The answers grow with what there is to tell: some twenty bytes for each room and
// node where somebody uses it.
func (n *Node) roomsUsed(ctx context.Context) roomUse {
	var ids []link.NodeID
	for _, m := range n.cluster.Nodes() {
		ids = append(ids, m.ID)
	}
	reports := n.mesh.Reports(ctx, ids, mesh.ReportQuery{Rooms: true})
	return sumRoomUse(reports, len(reports) < len(ids))
}

// roomCounts is what this node's part of that is: of a room, or of all if room is "".
func roomCounts(rooms *videoroom.Plugin, room string) (counts []mesh.RoomCount) {
	add := func(i videoroom.RoomInfo) {
		if i.PublishersHere+i.Subscribers > 0 {
			counts = append(counts, mesh.RoomCount{
				Room: roomPrefix + i.ID, Publishers: uint64(i.PublishersHere), Subscribers: uint64(i.Subscribers), //nolint:gosec // counts
			})
		}
	}
	if room == "" {
		for _, i := range rooms.Overview() {
			add(i)
		}
		return counts
	}
	if id, ok := strings.CutPrefix(room, roomPrefix); ok {
		if i, ok := rooms.Known(id); ok {
			add(i)
		}
	}
	return counts
}
