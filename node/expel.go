package node

import (
	"context"
	"errors"
	"time"

	"cardea/mesh/member"
	"cardea/node/console"
	"cardea/relay/link"
)

// expelTime is how long an operator waits for all nodes to have the gossip key that the expelled does not get.
const expelTime = 20 * time.Second

// consoleExpel ends another node's membership for an operator.
func (n *Node) consoleExpel(ctx context.Context, r console.ExpelRequest) (console.Expulsion, error) {
	if r.Node == "" {
		return console.Expulsion{}, errors.New("no node is named")
	}
	all := meshNodes(n.mesh.Nodes())
	m, err := findNode(all, r.Node)
	e := console.Expulsion{Node: m.Name, Label: m.Label, ID: m.ID, There: err == nil, Authority: m.Authority}
	if member.IsID(r.Node) && m.ID != r.Node { // stolen machines may be switched off, and come back; another may call itself by their ids
		e, err = console.Expulsion{ID: r.Node, Label: r.Node}, nil
	}
	if err != nil {
		return e, err
	}
	ctx, cancel := context.WithTimeout(ctx, expelTime)
	defer cancel()
	behind, err := n.cluster.Expel(ctx, link.NodeID(e.ID))
	for _, id := range behind {
		label := string(id)
		if b, err := findNode(all, label); err == nil {
			label = b.Label
		}
		e.Behind = append(e.Behind, label)
	}
	return e, err
}

// heedExpulsion has the node take no new clients once it is no member of its mesh any more.
func (n *Node) heedExpulsion() {
	n.cluster.Watch(func() {
		if n.cluster.Expelled() {
			n.load.refuse("expelled from the mesh")
		}
	})
}
