package measure

import (
	"math/bits"
	"time"
)

// A histogram's buckets: values below 2^linearBits units each have their own, above that every power of two is cut into
// 2^(linearBits-1) parts, so a bucket is at most 1.6 % wide.
const (
	unit       = time.Microsecond
	linearBits = 7
	half       = 1 << (linearBits - 1)
	topBits    = 27 // values from 2^27 us, 134 s, share the last bucket
	buckets    = (topBits - linearBits + 2) * half
)

// Histogram counts durations, from a microsecond to two minutes, at a relative error below 1 %. The zero value is ready. Not
// safe for concurrent use.
type Histogram struct {
	counts   [buckets]uint64
	total    uint64
	min, max time.Duration
}

// Add counts a duration; negative ones count as zero.
func (h *Histogram) Add(d time.Duration) {
	d = max(d, 0)
	if h.total == 0 || d < h.min {
		h.min = d
	}
	h.max = max(h.max, d)
	h.total++
	h.counts[bucket(uint64(d/unit))]++
}

// Merge adds everything counted in o.
func (h *Histogram) Merge(o *Histogram) {
	if o.total == 0 {
		return
	}
	if h.total == 0 || o.min < h.min {
		h.min = o.min
	}
	h.max = max(h.max, o.max)
	h.total += o.total
	for i, n := range o.counts {
		h.counts[i] += n
	}
}

// Count returns how many durations were counted.
func (h *Histogram) Count() uint64 { return h.total }

// Max returns the longest duration, exactly.
func (h *Histogram) Max() time.Duration { return h.max }

// Quantile returns the duration that the share q (0 to 1) of all counted ones does not exceed; 0 when there are none.
func (h *Histogram) Quantile(q float64) time.Duration {
	if h.total == 0 {
		return 0
	}
	rank := min(uint64(q*float64(h.total)), h.total-1)
	var seen uint64
	for i, n := range h.counts {
		if seen += n; seen > rank {
			return min(max(middle(i), h.min), h.max)
		}
	}
	return h.max
}

// bucket returns the bucket of a value in units.
func bucket(v uint64) int {
	if v < 1<<linearBits {
		return int(v)
	}
	if v >= 1<<topBits {
		return buckets - 1
	}
	shift := bits.Len64(v) - linearBits
	return shift*half + int(v>>shift)
}

// middle returns the middle of a bucket.
func middle(i int) time.Duration {
	if i < 1<<linearBits {
		return time.Duration(i)*unit + unit/2
	}
	shift := i/half - 1
	low := uint64(i-shift*half) << shift
	return time.Duration(low)*unit + time.Duration(1<<shift)*unit/2
}
