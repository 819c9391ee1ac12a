package bwe

import (
	"cmp"
	"slices"
	"time"
)

// Paused is the level of a track that is not sent at all.
const Paused = -1

// Demand is a video track that wants a share of the bandwidth.
type Demand struct {
	// ID tells the tracks of one client apart over time, for example the SSRC.
	ID uint32
	// Bitrates of the qualities offered, lowest quality first, bits/s. 0 stands for one that does not flow just now.
	// They should be averages over a second or more.
	Bitrates []uint32
	// Ceiling is the index of the highest quality the client asked for; below 0 it wants none.
	Ceiling int
	// Priority: tracks of a higher one are raised before the others, once all have their lowest quality.
	Priority uint8
}

// Parameters of the allocation.
const (
	// upHeadroom is how much more than its cost must be there for an upgrade, so that a wavering estimate does not
	// undo it.
	upHeadroom = 1.12
	// wantedHeadroom is how much is worth probing for; with [wantedMargin] below it the upgrade must still fit.
	wantedHeadroom = 1.2
	// upHold is how long it must be there; it doubles with each upgrade that had to be taken back.
	upHold    = int64(time.Second)
	upHoldMax = int64(30 * time.Second)
	// regret is how soon a downgrade must follow an upgrade to call that one wrong, and forgive how long it must go
	// well until that is forgotten.
	regret  = int64(10 * time.Second)
	forgive = int64(60 * time.Second)
	// pauseHold is how long a track's lowest quality must not fit until it is paused.
	pauseHold = int64(500 * time.Millisecond)
	// heldBonus lets a track keep its place before another one of about the same bitrate.
	heldBonus = 0.8
)

// Allocator shares a client's bandwidth out among the video tracks it is sent. Audio is never touched: it is taken off
// first. All tracks get their lowest quality before any gets more, then whoever would have the least gets the next
// step, those of higher priority first. Downgrades are made at once and upgrades with care; only when not even the lowest
// qualities fit are tracks paused, the most expensive first. The zero value is ready to use.
type Allocator struct {
	tracks  []trackShare
	steps   []shareStep
	wanted  uint64
	hold    int64 // for upgrades
	raised  int64 // time of the last upgrade
	lowered int64 // time of the last downgrade for lack of bandwidth
}

// trackShare is what a track has.
type trackShare struct {
	id      uint32
	level   int
	settled bool  // it has had its first share
	ceiling int   // of the demand the last time
	since   int64 // more has been there for it since, or never
	pausing int64 // nothing has been there for it since, or never
	full    int   // level that fits without headroom
	careful int   // level that fits with it
}

// shareStep raises one track by one quality.
type shareStep struct {
	track, level int
	first        bool
	priority     uint8
	cost         uint64  // more than the step before
	key          float64 // bitrate, less if the track has it already
}

// Allocate appends for each demand the index of the quality it gets, or [Paused], to dst. estimate is what the client
// can take, audio what audio takes of it, both in bits/s.
func (a *Allocator) Allocate(dst []int, estimate, audio uint64, demands []Demand, now int64) []int {
	a.match(demands)
	a.plan(demands, audio)
	video := max(float64(estimate)-float64(audio), 0)
	a.fill(video/upHeadroom, func(t *trackShare) *int { return &t.careful })
	a.fill(video, func(t *trackShare) *int { return &t.full })
	if a.hold == 0 {
		a.hold, a.raised, a.lowered = upHold, never, never
	}
	if a.hold > upHold && now-a.lowered > forgive {
		a.hold = upHold
	}
	raised, lowered := false, false
	for i := range a.tracks {
		switch t := &a.tracks[i]; t.decide(&demands[i], a.hold, now) {
		case 1:
			raised = true
		case -1:
			lowered = true
		}
		dst = append(dst, a.tracks[i].level)
	}
	if lowered {
		if a.raised != never && now-a.raised < regret {
			a.hold, a.raised = min(2*a.hold, upHoldMax), never
		}
		a.lowered = now
	}
	if raised {
		a.raised = now
	}
	return dst
}

// Wanted returns what would have to be there for all tracks to have what they ask for, headroom included, as of the last
// Allocate: what [Estimator.Want] is to be told.
func (a *Allocator) Wanted() uint64 { return a.wanted }

// match brings a.tracks into the order of the demands, keeping what is known of them.
func (a *Allocator) match(demands []Demand) {
	for i, d := range demands {
		j := i
		for j < len(a.tracks) && a.tracks[j].id != d.ID {
			j++
		}
		if j >= len(a.tracks) {
			a.tracks = append(a.tracks, trackShare{id: d.ID, level: Paused, since: never, pausing: never})
			j = len(a.tracks) - 1
		}
		a.tracks[i], a.tracks[j] = a.tracks[j], a.tracks[i]
	}
	a.tracks = a.tracks[:len(demands)]
}

// plan puts all steps there are into the order in which they are to be taken. That order does not depend on how much
// there is, so that more bandwidth never takes something away from anybody.
func (a *Allocator) plan(demands []Demand, audio uint64) {
	a.steps = a.steps[:0]
	total := uint64(0)
	for i := range demands {
		d, key, cost, first := &demands[i], 0.0, uint64(0), true
		for level := 0; level <= d.Ceiling && level < len(d.Bitrates); level++ {
			rate := uint64(d.Bitrates[level])
			if rate == 0 {
				continue
			}
			own := float64(rate)
			if level <= a.tracks[i].level {
				own *= heldBonus
			}
			key = max(key, own)
			s := shareStep{track: i, level: level, first: first, priority: d.Priority, key: key}
			if rate > cost {
				s.cost, cost = rate-cost, rate
			}
			a.steps = append(a.steps, s)
			first = false
		}
		total += cost
	}
	a.wanted = audio + uint64(float64(total)*wantedHeadroom)
	slices.SortFunc(a.steps, func(x, y shareStep) int {
		switch {
		case x.first && y.first:
			return cmp.Or(cmp.Compare(x.key, y.key), cmp.Compare(y.priority, x.priority), cmp.Compare(x.track, y.track))
		case x.first:
			return -1
		case y.first:
			return 1
		}
		return cmp.Or(cmp.Compare(y.priority, x.priority), cmp.Compare(x.key, y.key), cmp.Compare(x.track, y.track), cmp.Compare(x.level, y.level))
	})
}

// fill takes steps as long as they fit and notes the levels reached.
func (a *Allocator) fill(budget float64, level func(*trackShare) *int) {
	for i := range a.tracks {
		*level(&a.tracks[i]) = Paused
	}
	used := uint64(0)
	for _, s := range a.steps {
		if used += s.cost; float64(used) > budget {
			return
		}
		*level(&a.tracks[s.track]) = s.level
	}
}

// decide moves a track from what it has to what it gets and tells which way: 1 up, -1 down, for the bandwidth's sake.
func (t *trackShare) decide(d *Demand, hold, now int64) int {
	lowest, highest := d.offered(t.level)
	asked := d.Ceiling > t.ceiling // for more, or more began to flow: no wavering estimate, so nothing to wait for
	t.ceiling = d.Ceiling
	switch {
	case d.Ceiling < 0:
		t.level, t.settled, t.since, t.pausing = Paused, false, never, never
		return 0
	case lowest == Paused:
		if !t.settled { // nothing is known yet, and the lowest is there first
			t.level = 0
		}
		return 0
	case !t.settled:
		t.settled = true
		t.level = max(t.careful, min(t.full, lowest))
		return 0
	case t.level > d.Ceiling:
		t.level = min(d.Ceiling, max(t.full, lowest))
		return 0
	case highest > t.full: // not t.level: what does not flow costs nothing
		t.since = never
		return t.lower(lowest, now)
	}
	t.pausing = never
	switch {
	case t.careful <= t.level:
		t.since = never
	case asked:
		t.level, t.since = t.careful, never
	case t.since == never:
		t.since = now
	case now-t.since >= hold:
		t.level, t.since = t.careful, never
		return 1
	}
	return 0
}

// lower takes a track down at once, but pauses it only after a while.
func (t *trackShare) lower(lowest int, now int64) int {
	before := t.level
	switch {
	case t.full != Paused:
		t.level, t.pausing = t.full, never
	case t.pausing == never:
		t.level, t.pausing = min(t.level, lowest), now
	case now-t.pausing >= pauseHold:
		t.level, t.pausing = Paused, never
	default:
		t.level = min(t.level, lowest)
	}
	if t.level < before {
		return -1
	}
	return 0
}

// offered returns the lowest quality that flows and the highest one up to level, Paused if there is none.
func (d *Demand) offered(level int) (lowest, highest int) {
	lowest, highest = Paused, Paused
	for i := 0; i <= d.Ceiling && i < len(d.Bitrates); i++ {
		if d.Bitrates[i] == 0 {
			continue
		}
		if lowest == Paused {
			lowest = i
		}
		if i <= level {
			highest = i
		}
	}
	return lowest, highest
}
