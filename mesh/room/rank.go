package room

import (
	"cardea/relay/link"
)

// replicas is how many nodes keep a room's record.
const replicas = 3

// hashID returns the hash of a room's or a node's id by which rooms are spread over nodes: FNV-1a, and its bits mixed. Every version of
// the program must compute the same.
func hashID(id string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(id) {
		h = (h ^ uint64(id[i])) * 1099511628211
	}
	return mix(h)
}

// mix is the finalizer of SplitMix64: each bit of x changes half of the result's.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

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
		w := mix(room ^ k[i].hash)
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
