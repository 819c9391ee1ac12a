package link

import "time"

// offset is the time from another node's NTP clock to this one's, as a publisher's sender reports show it.
//
// Each report arrives later than its clock says by the delay of its way; the least of late is nearest to the truth. All streams of a
// publisher use one offset, so that what is said of sound and picture stays true of both together.
type offset struct {
	now, before int64 // the least of this span and of the one before, units of 2^-32 s
	began       int64 // when this span began, ns
	known       bool
}

// offsetSpan is how long a report counts, twice at most: clocks drift apart by 0.1 ms or so in it.
const offsetSpan = int64(10 * time.Second)

// add takes a report that says ntp and arrived at here, both NTP times, and returns ntp on this node's clock. now is in ns.
func (o *offset) add(ntp, here uint64, now int64) uint64 {
	sample := int64(here - ntp) //nolint:gosec // modular
	switch {
	case !o.known || now-o.began > 2*offsetSpan:
		*o = offset{now: sample, before: sample, began: now, known: true}
	case now-o.began > offsetSpan:
		o.before, o.now, o.began = o.now, sample, now
	default:
		o.now = min(o.now, sample)
	}
	return ntp + uint64(min(o.now, o.before)) //nolint:gosec // modular
}
