package route

import (
	"time"

	"cardea/relay/link"
)

const (
	// SwitchAfter is how long another candidate must have been better, all the time, before it is worth a change.
	SwitchAfter = 5 * time.Second
	// SwitchSoon is how long if it is better by four times what it must.
	SwitchSoon = time.Second
)

// rival is the advantage of somebody else over the present parent.
type rival struct {
	over   link.NodeID // the present parent
	better time.Time   // since when it was worth a change; zero: it is not
	much   time.Time   // likewise, four times as much
}

// Keep says whether the node should go on asking current for an origin's streams. It is to be called about once a second, and at
// once when something goes up or down. If move is true, best is to be asked instead: at once, if current is out of reach; or
// because best was better for long enough. Otherwise best is current. Without any better idea, a current that is out of reach is kept.
func (t *Table) Keep(origin, current link.NodeID, now time.Time) (best link.NodeID, move bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sweep(now)
	p := t.plan(origin)
	if p == nil {
		return current, false
	}
	p.origin.asked = now
	first := t.ask(p)[0]
	if first.Node == current {
		delete(t.rivals, origin)
		return current, false
	}
	present, reached := Candidate{}, false
	if n := t.nodes[current]; n != nil && n != t.self {
		present, reached = t.candidate(p, n)
	}
	if !reached {
		delete(t.rivals, origin)
		return first.Node, true
	}
	r := t.rivals[origin]
	if r.over != current {
		r = rival{over: current}
	}
	advantage, enough := present.rank-first.rank, margin(present.Cost)
	r.better = since(r.better, advantage >= enough, now)
	r.much = since(r.much, advantage >= 4*enough, now)
	if lasts(r.better, SwitchAfter, now) || lasts(r.much, SwitchSoon, now) {
		delete(t.rivals, origin)
		return first.Node, true
	}
	if t.rivals == nil {
		t.rivals = map[link.NodeID]rival{}
	}
	t.rivals[origin] = r
	return current, false
}

// since returns from when on something has been so, given what it was before.
func since(before time.Time, so bool, now time.Time) time.Time {
	if !so {
		return time.Time{}
	}
	if before.IsZero() {
		return now
	}
	return before
}

func lasts(since time.Time, long time.Duration, now time.Time) bool {
	return !since.IsZero() && now.Sub(since) >= long
}
