package room

import (
	"cardea/mesh/rendezvous"
	"cardea/relay/link"
)

// replicas is how many nodes keep a room's record.
const replicas = 3

// member is a node that may hold records.
type member struct {
	id   link.NodeID
	hash uint64
}

// ranking is who holds rooms, among the nodes that this node knows to live.
type ranking []member

// order is the nodes of the highest weight for a room, the highest first.
type order struct {
	nodes [2 * replicas]link.NodeID
	n     int
}

// list returns them, as many as there are.
func (o *order) list() []link.NodeID { return o.nodes[:o.n] }

// index returns the place of a node in the order; -1 if it has none.
func (o *order) index(id link.NodeID) int {
	for i := range o.n {
		if o.nodes[i] == id {
			return i
		}
	}
	return -1
}

// first returns the n first nodes, at most 2*replicas, for a room of the hash: highest rendezvous hash of room and node.
func (k ranking) first(room uint64, n int) (o order) {
	var weights [2 * replicas]uint64
	for i := range k {
		w := rendezvous.Weight(room, k[i].hash)
		at := o.n
		for at > 0 && (weights[at-1] < w || weights[at-1] == w && o.nodes[at-1] > k[i].id) {
			at--
		}
		if at >= n {
			continue
		}
		if o.n < n {
			o.n++
		}
		copy(weights[at+1:o.n], weights[at:o.n-1])
		copy(o.nodes[at+1:o.n], o.nodes[at:o.n-1])
		weights[at], o.nodes[at] = w, k[i].id
	}
	return o
}
