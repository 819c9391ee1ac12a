package session

import (
	"cmp"
	"slices"

	"cardea/relay/link"
)

// keepers is the number of nodes that keep a session's record.
const keepers = 2

// nodes are the live nodes, sorted, and what all nodes make of them alike.
type nodes []link.NodeID

// keepers returns the nodes that keep a session's record, the first in charge first.
func (n nodes) keepers(session uint64) []link.NodeID {
	best := make([]link.NodeID, 0, keepers+1)
	for _, id := range n {
		i, _ := slices.BinarySearchFunc(best, id, func(a, b link.NodeID) int {
			return cmp.Or(cmp.Compare(score(session, b), score(session, a)), cmp.Compare(a, b))
		})
		best = slices.Insert(best, i, id)
		best = best[:min(len(best), keepers)]
	}
	return best
}

// score is the rendezvous hash of a session and a node: FNV-1a of both, stirred so that nodes with similar names do not
// follow each other. Every version of the program must compute the same.
func score(session uint64, node link.NodeID) uint64 {
	h := uint64(14695981039346656037)
	for i := range 8 {
		h = (h ^ session>>(8*i)&0xff) * 1099511628211
	}
	for i := range len(node) {
		h = (h ^ uint64(node[i])) * 1099511628211
	}
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}

// ownerBits are the bits of an epoch that come from its owner's name.
const ownerBits = 16

// nextEpoch is the epoch of an owner that follows one with the given epoch, 0 for the first.
func nextEpoch(before uint64, owner link.NodeID) uint64 {
	return (before>>ownerBits+1)<<ownerBits | score(0, owner)&(1<<ownerBits-1)
}
