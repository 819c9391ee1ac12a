package room

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"strconv"
	"testing"
	"time"

	"cardea/relay/link"
)

// chaos is a simulation in which users do this and that while nodes and links come and go, and what must be true afterwards.
type chaos struct {
	*sim
	ids     []link.NodeID
	rooms   map[string]*chaosRoom
	n       int
	history []string
}

// chaosRoom is what users know of a room.
type chaosRoom struct {
	id        string
	exists    bool // confirmed
	destroyed bool // somebody wanted that
	unsure    bool // what was wanted last was not confirmed
	permanent bool
}

func newChaos(t *testing.T, seed uint64) *chaos {
	s := newSim(t, seed)
	c := &chaos{sim: s, ids: simIDs(3 + s.rand.IntN(8)), rooms: map[string]*chaosRoom{}}
	for _, id := range c.ids {
		s.add(id)
	}
	s.run(8 * time.Second)
	return c
}

func (c *chaos) note(format string, args ...any) {
	c.history = append(c.history, fmt.Sprintf("%8v ", c.now.Sub(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)))+fmt.Sprintf(format, args...))
}

// node returns a running one.
func (c *chaos) node() *simNode {
	for {
		if n := c.nodes[c.ids[c.rand.IntN(len(c.ids))]]; n.up {
			return n
		}
	}
}

func (c *chaos) room() *chaosRoom {
	if len(c.rooms) == 0 {
		return nil
	}
	ids := sorted(c.rooms)
	return c.rooms[ids[c.rand.IntN(len(ids))]]
}

// act is one thing that a user does.
func (c *chaos) act() {
	n := c.node()
	r := c.room()
	if r == nil || c.rand.IntN(12) == 0 {
		c.n++
		r = &chaosRoom{id: fmt.Sprintf("room/%d", c.n), permanent: c.rand.IntN(3) == 0, unsure: true}
		c.rooms[r.id] = r
		gen := n.gen
		n.create(r.id, "made", r.permanent, func(err error) {
			c.note("%s made at %s: %v", r.id, n.id, err)
			if err == nil && n.gen == gen {
				r.exists, r.unsure = true, false
			}
		})
		return
	}
	u := n.views[r.id]
	if u == nil || u.over {
		if !r.destroyed && r.exists {
			n.open(r.id)
		}
		return
	}
	switch c.rand.IntN(20) {
	case 0:
		u.close()
	case 1:
		c.note("%s destroyed at %s", r.id, n.id)
		r.destroyed, r.unsure = true, true
		delete(n.views, r.id)
		n.input(func(k *core, now time.Time) {
			k.destroy(now, u.view, r.permanent, func(err error) { r.unsure = r.unsure && err != nil })
		})
	case 2, 3:
		n.input(func(k *core, now time.Time) {
			k.edit(now, u.view, fmt.Appendf(nil, "edit %d", c.n), false, func(error) {})
		})
	case 4, 5, 6:
		for _, id := range sorted(u.put) {
			u.remove(id)
			break
		}
	case 7, 8, 9:
		name := fmt.Sprintf("chosen%d", c.rand.IntN(3))
		n.input(func(k *core, now time.Time) {
			k.claim(now, u.view, name, func(err error) {
				if err == nil && !u.over {
					c.after(0, func() { u.set(name, "chosen by "+string(n.id)) })
				}
			})
		})
	default:
		c.n++
		u.set(fmt.Sprintf("%s/%d", n.id, c.rand.IntN(4)), fmt.Sprint(c.n))
	}
}

// busy lets users act for a while.
func (c *chaos) busy(d time.Duration) {
	for end := c.now.Add(d); c.now.Before(end); {
		c.act()
		c.run(c.between(0, 200*time.Millisecond))
	}
}

// disturb does something bad, and undoes it.
func (c *chaos) disturb() {
	switch c.rand.IntN(6) {
	case 0:
		n := c.node()
		if len(c.up()) < 3 {
			return
		}
		c.note("kill %s", n.id)
		c.kill(n.id)
		c.busy(c.between(0, 8*time.Second))
		c.note("restart %s", n.id)
		c.add(n.id)
	case 1:
		cut := 1 + c.rand.IntN(len(c.ids)-1)
		sides := map[link.NodeID]int{}
		for i, at := range c.rand.Perm(len(c.ids)) {
			sides[c.ids[at]] = int(flag(i < cut))
		}
		c.note("split %v", sides)
		c.split(func(id link.NodeID) int { return sides[id] })
		c.busy(c.between(0, 20*time.Second))
	case 2:
		for range 1 + c.rand.IntN(4) {
			a, b := c.node().id, c.node().id
			if a != b {
				c.note("cut %s %s", a, b)
				c.cut[pair(a, b)] = true
				c.breakLink(pair(a, b), c.link(a, b), c.between(200*time.Millisecond, 3*time.Second))
			}
		}
		c.busy(c.between(0, 10*time.Second))
	case 3:
		k := sortedPairs(c.links)
		for range 5 {
			a := k[c.rand.IntN(len(k))]
			c.note("break %v", a)
			c.breakLink(a, c.links[a], 0)
		}
		c.busy(c.between(0, 2*time.Second))
	case 4: // one dies while others cannot see each other
		if len(c.up()) < 4 {
			return
		}
		second := c.ids[1] // a node on its own can keep nothing twice
		c.split(func(id link.NodeID) int { return int(flag(id > second)) })
		c.busy(c.between(0, 8*time.Second))
		n := c.node()
		c.note("split off two, kill %s", n.id)
		c.kill(n.id)
		c.busy(c.between(0, 8*time.Second))
		c.add(n.id)
		c.busy(c.between(0, 3*time.Second))
	case 5: // another node comes
		id := link.NodeID(fmt.Sprintf("node%012d", len(c.ids)+100))
		c.note("join %s", id)
		c.ids = append(c.ids, id)
		c.add(id)
		c.busy(c.between(0, 3*time.Second))
	}
	c.note("heal")
	c.heal()
}

func (c *chaos) up() (up []*simNode) {
	for _, id := range c.ids {
		if c.nodes[id].up {
			up = append(up, c.nodes[id])
		}
	}
	return up
}

// check says what is not as it must be.
func (c *chaos) check() (errs error) {
	fault := func(format string, args ...any) { errs = errors.Join(errs, fmt.Errorf(format, args...)) }
	for _, id := range sorted(c.rooms) {
		r := c.rooms[id]
		if !r.exists || r.unsure {
			continue
		}
		for _, k := range c.up()[0].keepers(id) {
			rec := c.nodes[k].core.table.get(id)
			switch {
			case rec == nil && !r.destroyed:
				fault("%s is not at %s", id, k)
			case r.destroyed && rec != nil && !rec.dead:
				fault("%s lives at %s", id, k)
			case !r.destroyed && rec.dead:
				fault("%s is dead at %s", id, k)
			case !r.destroyed && r.permanent && c.nodes[k].disk[id] == nil:
				fault("%s is not on the disk of %s", id, k)
			}
		}
		if r.destroyed {
			continue
		}
		// Everybody sees what the others have put, each id once.
		want, home := map[string]string{}, map[string]link.NodeID{}
		record := ""
		for _, n := range c.up() {
			ro := n.core.rosters[id]
			if ro == nil {
				continue
			}
			for p, e := range ro.own.given {
				if home[p] != "" {
					fault("%s: %s is at %s and %s", id, p, home[p], n.id)
				}
				want[p], home[p] = string(e.payload), n.id
			}
			value := string(n.core.table.get(id).value)
			if record == "" {
				record = value
			}
			if value != record {
				fault("%s: records differ: %q, %q", id, record, value)
			}
		}
		for _, n := range c.up() {
			u := n.views[id]
			if u == nil || u.over {
				continue
			}
			if u.edited != "" && u.edited != record && string(u.told.value) != record {
				fault("%s: %s was told %q, it is %q", id, n.id, u.edited, record)
			}
			sees := maps.Clone(u.there)
			for p := range u.put {
				if e := n.core.rosters[id].own.given[p]; e != nil {
					sees[p] = string(e.payload)
				}
			}
			if !maps.Equal(sees, want) {
				fault("%s: %s sees %v, of %v", id, n.id, sees, want)
			}
		}
	}
	return errs
}

// TestChaos checks after each disturbance and repair that everybody agrees with everybody. CHAOS is the number of its seeds, for a long
// search.
func TestChaos(t *testing.T) {
	seeds := uint64(100)
	if more, err := strconv.ParseUint(os.Getenv("CHAOS"), 10, 64); err == nil {
		seeds = more
	} else if testing.Short() {
		seeds = 20
	}
	var disturbances int
	for seed := range seeds {
		c := newChaos(t, seed)
		c.busy(5 * time.Second)
		for range 4 {
			c.disturb()
			disturbances++
			c.run(5 * time.Second)
			if err := c.check(); err != nil {
				for _, line := range c.history {
					t.Log(line)
				}
				c.dumpFault(err)
				t.Fatalf("seed %d: %v", seed, err)
			}
			// The next node to die must not be the only one that has something: records have found their places by now.
			c.run(5 * time.Second)
			c.busy(2 * time.Second)
			c.run(2 * time.Second)
		}
	}
	t.Logf("%d disturbances", disturbances)
}
