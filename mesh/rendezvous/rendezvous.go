// Package rendezvous is the hash by which all nodes agree without a word which of them is first for something: who keeps a
// room, who carries a stream into a region (highest random weight, also called rendezvous hashing).
//
// Every version of the program must compute the same.
package rendezvous

// Hash returns the hash of an id, a node's or of what nodes are ranked for: 64-bit FNV-1a, and its bits mixed, so that similar
// ids do not follow each other.
func Hash(id string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(id) {
		h = (h ^ uint64(id[i])) * 1099511628211
	}
	return Mix(h)
}

// Weight returns how high a node stands for something, by the hashes of both: the highest is first.
func Weight(thing, node uint64) uint64 { return Mix(thing ^ node) }

// Mix is the finalizer of SplitMix64: each bit of x changes half of the result's.
func Mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
