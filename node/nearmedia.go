package node

import (
	"net/netip"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"cardea/geo"
	"cardea/relay/link"
)

// nearMedia returns what has the media of clients of a node that is far from them be at one that is near; nil if it never is.
func (n *Node) nearMedia() func(client netip.Addr, able []link.NodeID, otherwise link.NodeID) link.NodeID {
	gain := n.cfg.Geo.MediaGain
	if gain <= 0 {
		return nil
	}
	moved := prometheus.NewCounter(prometheus.CounterOpts{
		Name: "cardea_media_nearer_total",
		Help: "Choices of a node for a client's media that fell on another than otherwise, since that is much nearer to the client.",
	})
	n.registry.MustRegister(moved)
	return func(client netip.Addr, able []link.NodeID, otherwise link.NodeID) link.NodeID {
		at, _ := n.finder.locate(client)
		if !at.Place.Known() {
			return ""
		}
		now := time.Now()
		query := geo.Query{Client: at, Spread: spreadOf(netip.PrefixFrom(client, client.BitLen()))}
		ranked := n.finder.chooser.Choose(now, query, withMedia(n.finder.nodes(), able))
		if self := n.cluster.Self().ID; otherwise == self {
			believe(ranked, string(self), n.reach.roundTrip(client))
		}
		to := nearer(ranked, string(otherwise), gain+at.Doubt())
		if to == nil {
			return ""
		}
		n.finder.chooser.Sent(now, &to.Node)
		moved.Inc()
		return link.NodeID(to.ID)
	}
}

// withMedia are those of the nodes that may have a client's media, with signaling of their own or without.
func withMedia(nodes []geo.Node, able []link.NodeID) []geo.Node {
	nodes = slices.DeleteFunc(nodes, func(n geo.Node) bool { return !slices.Contains(able, link.NodeID(n.ID)) })
	for i := range nodes {
		nodes[i].Signaling = true // or it would not count
	}
	return nodes
}

// nearer returns the best of the ranked nodes, load and all, that is nearer to the client than a certain one by a gain; nil if there
// is none. Nodes whose place is not known are nobody's nearest: how far they are would be a guess.
func nearer(ranked []geo.Ranked, than string, gain time.Duration) *geo.Ranked {
	here := slices.IndexFunc(ranked, func(r geo.Ranked) bool { return r.ID == than })
	if here < 0 || !ranked[here].Place.Known() {
		return nil
	}
	for i := range ranked[:here] {
		if r := &ranked[i]; r.Place.Known() && r.Busy < 1 && ranked[here].RTT-r.RTT >= gain {
			return r
		}
	}
	return nil
}
