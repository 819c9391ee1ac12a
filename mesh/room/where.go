package room

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"cardea/relay/link"
	"cardea/relay/link/wire"
)

// maxWhere bounds how many nodes [Rooms.Where] tells of: those with most participants.
const maxWhere = 32

// At says how many of a room's participants are clients of a node.
type At struct {
	Node  link.NodeID
	Count int
}

// whereMessage asks the keeper where a room's participants are.
type whereMessage struct {
	Room string `pb:"1"`
}

// whereReply answers it.
type whereReply struct {
	Nodes []whereNode `pb:"1"`
}

type whereNode struct {
	Node  string `pb:"1"`
	Count uint64 `pb:"2"`
}

// onWhere answers with what this node's roster says, nothing if it has none.
func (c *core) onWhere(payload []byte) ([]byte, error) {
	var m whereMessage
	if err := wire.Unmarshal(payload, &m); err != nil {
		return nil, err
	}
	var reply whereReply
	for _, a := range c.rosters[m.Room].where() {
		reply.Nodes = append(reply.Nodes, whereNode{string(a.Node), uint64(a.Count)}) //nolint:gosec // not negative
	}
	return wire.Marshal(&reply), nil
}

// where counts the participants by node, most first.
func (r *roster) where() (all []At) {
	if r == nil {
		return nil
	}
	counts := map[link.NodeID]int{}
	for _, s := range r.seats {
		if s.all.entry != nil {
			counts[s.all.entry.home]++
		}
	}
	for id, n := range counts {
		all = append(all, At{id, n})
	}
	slices.SortFunc(all, func(a, b At) int {
		return cmp.Or(b.Count-a.Count, strings.Compare(string(a.Node), string(b.Node)))
	})
	return all[:min(len(all), maxWhere)]
}

// Where tells where the participants of a room are, the node with most of them first: by what is known here if the room is open on
// this node, else by what its keeper knows. Of a room that nobody is in, it is nothing. What the keeper says is believed as far as
// anything of rosters is: it is a hint where to send clients.
func (r *Rooms) Where(ctx context.Context, room string) ([]At, error) {
	if room == "" || len(room) > MaxID {
		return nil, fmt.Errorf("where is a room: %w", ErrTooLong)
	}
	r.mu.Lock()
	own := r.core.rosters[room]
	at, keeper := own.where(), r.core.keeper(room)
	r.mu.Unlock()
	if own != nil || keeper == r.cfg.Self || keeper == "" {
		return at, nil
	}
	b, err := r.cfg.Call(ctx, keeper, KindWhere, wire.Marshal(&whereMessage{Room: room}))
	if err != nil {
		return nil, fmt.Errorf("where is room %q: %s: %w", room, keeper, err)
	}
	var reply whereReply
	if err := wire.Unmarshal(b, &reply); err != nil {
		return nil, fmt.Errorf("where is room %q: %s: %w", room, keeper, err)
	}
	for _, n := range reply.Nodes[:min(len(reply.Nodes), maxWhere)] {
		if len(n.Node) <= maxNodeID {
			at = append(at, At{link.NodeID(n.Node), int(min(n.Count, 1<<30))}) //nolint:gosec // bounded
		}
	}
	return at, nil
}
