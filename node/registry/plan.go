package registry

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// planner decides what to write when. It does no I/O.
type planner struct {
	layouts []*layout
	refresh time.Duration // how long an entry is left alone that does not change

	written map[string]note // by key
}

// note is what was written under a key.
type note struct {
	item
	at time.Time
}

// plan is what is to be done in Redis, in this order.
type plan struct {
	remove []item
	write  []item
}

// next says what is to be done for the node as it is now: whatever is new, has changed, or must be refreshed lest it expire.
// Entries that cannot be made are left out and returned as an error each.
func (p *planner) next(now time.Time, n *Node) (todo plan, errs []error) {
	wanted := map[string]item{}
	for _, l := range p.layouts {
		if n.State != Ready && !l.Draining {
			continue
		}
		it, err := l.make(n)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		wanted[it.key] = it
	}
	for key, old := range p.written {
		if _, still := wanted[key]; !still {
			todo.remove = append(todo.remove, old.item)
		}
	}
	for key, it := range wanted {
		old, known := p.written[key]
		if !known || old.value != it.value || now.Sub(old.at) >= p.refresh || now.Before(old.at) {
			todo.write = append(todo.write, it)
		}
	}
	byKey := func(a, b item) int { return cmp.Compare(a.key, b.key) }
	slices.SortFunc(todo.remove, byKey)
	slices.SortFunc(todo.write, byKey)
	return todo, errs
}

// wrote notes that an item is there.
func (p *planner) wrote(now time.Time, it item) { p.written[it.key] = note{it, now} }

// removed notes that an item is not there any more.
func (p *planner) removed(it item) { delete(p.written, it.key) }

// doubt has everything written again: what was there may be gone.
func (p *planner) doubt() {
	for key, w := range p.written {
		w.at = time.Time{}
		p.written[key] = w
	}
}

// all returns what may be there.
func (p *planner) all() []item {
	var items []item
	for _, key := range slices.Sorted(maps.Keys(p.written)) {
		items = append(items, p.written[key].item)
	}
	return items
}

// last returns what was written under a key before.
func (p *planner) last(key string) string { return p.written[key].value }
