package ice

import (
	"math"
	"slices"
	"time"
)

const (
	// never is before all times.
	never = math.MinInt64
	// maxPaths bounds what an agent remembers. A browser has some ten candidates, of which few reach us.
	maxPaths = 32
	// nominationWindow is how close two nominations of one path must be for those in between to belong to the same
	// round of checks. Browsers check a path every 2.5 s at the slowest.
	nominationWindow = 5 * time.Second
)

// pathEntry is a path on which a valid check came in.
type pathEntry struct {
	path       Path
	priority   uint32 // the client's PRIORITY
	generation uint32 // of the credentials last used on it
	first      int64  // the first valid check
	heard      int64  // the last valid check
	nominated  int64  // the last USE-CANDIDATE, or never
}

// pathTable holds the paths of an agent: a handful, so a slice is searched faster than a map and costs less.
type pathTable []pathEntry

func (t pathTable) find(p Path) *pathEntry {
	for i := range t {
		if t[i].path == p {
			return &t[i]
		}
	}
	return nil
}

// touch returns the entry of p, made if need be, with the check noted. When the table is full the path not heard for
// the longest time makes room, unless it is the selected one. The entry stays valid until the next call.
func (t *pathTable) touch(p Path, priority uint32, now int64, selected Path, chosen bool) *pathEntry {
	e := t.find(p)
	if e == nil {
		fresh := pathEntry{path: p, first: now, nominated: never}
		if len(*t) < maxPaths {
			*t = append(*t, fresh)
			e = &(*t)[len(*t)-1]
		} else {
			e = t.oldest(selected, chosen)
			*e = fresh
		}
	}
	e.priority, e.heard = priority, now
	return e
}

func (t pathTable) oldest(selected Path, chosen bool) *pathEntry {
	var oldest *pathEntry
	for i := range t {
		if e := &t[i]; (!chosen || e.path != selected) && (oldest == nil || e.heard < oldest.heard) {
			oldest = e
		}
	}
	return oldest
}

// best returns the path of the highest priority among those of the generation heard at or after since, nil if there
// is none.
func (t pathTable) best(generation uint32, since int64) *pathEntry {
	var best *pathEntry
	for i := range t {
		e := &t[i]
		if e.generation == generation && e.heard >= since && (best == nil || e.priority > best.priority) {
			best = e
		}
	}
	return best
}

// latest returns the path heard last, nil if there is none.
func (t pathTable) latest() *pathEntry {
	var latest *pathEntry
	heard := int64(never)
	for i := range t {
		if t[i].heard > heard {
			latest, heard = &t[i], t[i].heard
		}
	}
	return latest
}

func (t *pathTable) remove(p Path) {
	*t = slices.DeleteFunc(*t, func(e pathEntry) bool { return e.path == p })
}

// prune drops what belongs to former generations.
func (t *pathTable) prune(generation uint32) {
	*t = slices.DeleteFunc(*t, func(e pathEntry) bool { return e.generation != generation })
}
