package geo

import (
	"math"
	"slices"
	"time"
)

// maxProbes bounds how many nodes a client is asked to probe that may be anywhere.
const maxProbes = 8

// defaultProbes is how many nodes a client probes when it is known well enough where it is.
const defaultProbes = 3

// apart is how far two nodes must be from each other for a client to learn something by probing both.
const apart = 10 * time.Millisecond

// Scatter reorders ranked nodes for a client that can measure, and that may be so many km away from where it is taken to be: the best
// stays first, and those come next of which each might be the best, as far from each other as they can be. probes is how many of the
// first are worth measuring.
func Scatter(ranked []Ranked, radius float64) (scattered []Ranked, probes int) {
	if len(ranked) == 0 {
		return nil, 0
	}
	doubt := doubt(radius)
	rest := slices.Clone(ranked)
	scattered = append(make([]Ranked, 0, len(ranked)), rest[0])
	rest = rest[1:]
	for len(rest) > 0 && len(scattered) < maxProbes {
		i := farthest(scattered, rest, doubt)
		if i < 0 {
			break
		}
		scattered = append(scattered, rest[i])
		rest = slices.Delete(rest, i, i+1)
	}
	probes = min(max(len(scattered), defaultProbes), len(ranked))
	return append(scattered, rest...), probes
}

// farthest returns which of the rest is farthest from those chosen, among those that may be better than the first for all one
// knows; -1 if there is none that is far enough.
func farthest(chosen, rest []Ranked, doubt time.Duration) int {
	best, far := -1, apart
	for i := range rest {
		r := &rest[i]
		if fullness(r) > 0 || r.cost()-chosen[0].cost() > doubt {
			continue
		}
		nearest := time.Duration(math.MaxInt64)
		for j := range chosen {
			nearest = min(nearest, between(&chosen[j].Node, &r.Node))
		}
		if nearest > far {
			best, far = i, nearest
		}
	}
	return best
}
