package load

import (
	"math"
	"sync/atomic"
)

// interval is the measured time: packets first sent within it count. Both loops read it; it is set once, and a little before
// it begins, so that they agree on every packet.
type interval struct{ from, until atomic.Int64 }

func newInterval() *interval {
	var i interval
	i.from.Store(math.MaxInt64)
	i.until.Store(math.MaxInt64)
	return &i
}

func (i *interval) set(from, until int64) {
	i.until.Store(until)
	i.from.Store(from)
}

func (i *interval) contains(t int64) bool { return t >= i.from.Load() && t < i.until.Load() }
