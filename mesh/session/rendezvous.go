package session

import (
	"cmp"
	"slices"

	"cardea/mesh/rendezvous"
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

// score is how high a node stands for a session: the highest keeps its record.
func score(session uint64, node link.NodeID) uint64 {
	return rendezvous.Weight(rendezvous.Mix(session), rendezvous.Hash(string(node)))
}

// ownerBits are the bits of an epoch that come from its owner's name.
const ownerBits = 16

// nextEpoch is the epoch of an owner that follows one with the given epoch, 0 for the first.
func nextEpoch(before uint64, owner link.NodeID) uint64 {
	return (before>>ownerBits+1)<<ownerBits | rendezvous.Hash(string(owner))&(1<<ownerBits-1)
}
