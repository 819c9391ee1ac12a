package node

import "cardea/mesh/post"

// exportMessages exports what becomes of data channels' messages between nodes.
func (n *Node) exportMessages() {
	type S = post.Stats
	read := func() S { return n.mesh.Stats().Messages }
	n.registry.MustRegister(
		snapshot(read,
			counter("cardea_mesh_messages_said_total", "Messages of data channels taken from publishers here for other nodes.", func(s S) float64 { return float64(s.Said) }),
			counter("cardea_mesh_messages_sent_total", "Messages of data channels sent, to each node.", func(s S) float64 { return float64(s.Sent) }),
			counter("cardea_mesh_messages_received_total", "Messages of data channels received from other nodes.", func(s S) float64 { return float64(s.Received) }),
			counter("cardea_mesh_messages_over_quota_total", "Messages of data channels not taken. Rising: a room says more than is carried, or messages are too large.", func(s S) float64 { return float64(s.OverQuota) }),
			counter("cardea_mesh_messages_forgotten_total", "Messages of data channels dropped before a node had them. Rising: a node is out of reach for longer than they are kept.", func(s S) float64 { return float64(s.Forgotten) }),
			counter("cardea_mesh_messages_expired_total", "Messages of data channels that took longer than their sender wanted. Rising: ways are slow.", func(s S) float64 { return float64(s.Expired) }),
			counter("cardea_mesh_messages_missing_total", "Ordered messages of data channels that never came. Rising: chats have holes; look at forgotten ones at other nodes.", func(s S) float64 { return float64(s.Missing) }),
			counter("cardea_mesh_messages_duplicate_total", "Messages of data channels that came again, and were dropped. A few come when a node fails.", func(s S) float64 { return float64(s.Duplicates) }),
			counter("cardea_mesh_messages_stale_total", "Messages of data channels of a subscription that was over.", func(s S) float64 { return float64(s.Stale) }),
			counter("cardea_mesh_messages_malformed_total", "Messages between nodes that were none. Rising: a node of another version, with a fault, or taken over.", func(s S) float64 { return float64(s.Malformed) }),
			gauge("cardea_mesh_message_rooms", "Rooms whose messages pass between nodes here.", func(s S) float64 { return float64(s.Rooms) }),
			gauge("cardea_mesh_message_subscribers", "Subscriptions of other nodes to rooms here.", func(s S) float64 { return float64(s.Subscribers) }),
			gauge("cardea_mesh_message_intakes", "Subscriptions of this node to rooms at others.", func(s S) float64 { return float64(s.Intakes) }),
			gauge("cardea_mesh_message_nodes", "Nodes that messages are exchanged with.", func(s S) float64 { return float64(s.Nodes) }),
			gauge("cardea_mesh_message_bytes", "Bytes of messages kept for nodes that have not taken them. Rising: a node does not keep up, or is out of reach.", func(s S) float64 { return float64(s.Kept) }),
		),
		snapshot(func() post.Datagrams { return read().Datagrams },
			datagrams("here", "for this node.", func(d post.Datagrams) uint64 { return d.Here }),
			datagrams("onward", "passed on between other nodes. Rising: this node is on the way of others.", func(d post.Datagrams) uint64 { return d.Onward }),
			datagrams("lost", "without a way to go. Rising: nodes are out of reach of each other.", func(d post.Datagrams) uint64 { return d.Lost }),
			datagrams("unsent", "that a link did not take. Rising: a link is full, or is being made.", func(d post.Datagrams) uint64 { return d.Unsent }),
			datagrams("unread", "dropped because they came faster than they were read. Rising: the processor is busy.", func(d post.Datagrams) uint64 { return d.Unread }),
			datagrams("refused", "of an association that is over. A few come when nodes restart; rising: a node with a fault, or taken over.", func(d post.Datagrams) uint64 { return d.Refused }),
			datagrams("flooded", "beyond what a node may send. Rising: rooms say too much, or a node floods.", func(d post.Datagrams) uint64 { return d.Flood }),
			datagrams("strangers", "from or to what is no member. A few come when nodes go; rising: a node with a fault, or taken over.", func(d post.Datagrams) uint64 { return d.Strangers }),
			datagrams("malformed", "that make no sense. Rising: a node of another version, with a fault, or taken over.", func(d post.Datagrams) uint64 { return d.Malformed }),
		),
	)
}

func datagrams(what, help string, value func(post.Datagrams) uint64) metric[post.Datagrams] {
	return counter("cardea_mesh_datagrams_"+what+"_total", "Datagrams of data channels between nodes "+help, func(d post.Datagrams) float64 { return float64(value(d)) })
}
