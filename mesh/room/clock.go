package room

import "time"

// stamp is a time of the hybrid logical clock: milliseconds of Unix time, and 16 bits that count what happens within one. Stamps
// of different nodes are compared as they are; clocks that differ decide who wins, never whether all agree who did.
type stamp = uint64

const (
	// oldest is the stamp of rooms that the configuration file makes: anything else is newer.
	oldest stamp = 1
	// maxAhead is how far ahead of the own clock another's stamp may be. One that is further could not be outdone for good.
	maxAhead = 24 * time.Hour
)

func stampOf(t time.Time) stamp { return stamp(max(t.UnixMilli(), 1)) << 16 }

// timeOf is the time of a stamp, in milliseconds.
func timeOf(s stamp) time.Time { return time.UnixMilli(int64(s >> 16)) }

// clock gives the stamps of one node: each is later than the one before, also if the time of day is set back.
//
// It does not follow other nodes' stamps. What must come after something, comes after that one ([clock.after]): so a member with
// a wrong clock spoils what it wrote, and nothing else.
type clock struct{ last stamp }

// next returns a stamp for now.
func (c *clock) next(now time.Time) stamp {
	c.last = max(stampOf(now), c.last+1)
	return c.last
}

// after returns a stamp for now that is later than another.
func (c *clock) after(now time.Time, other stamp) stamp { return max(c.next(now), other+1) }
