package room

import (
	"slices"
	"time"

	"cardea/relay/link"
)

// best returns whom the room is to be followed at: the first of its keepers that can be heard, and nobody if that is this node.
// It is always one that stands before this node in the order, and the order is the same for all, so that no circle forms.
func (r *roster) best() link.NodeID {
	o := r.c.ranking.first(r.hash, replicas)
	for _, id := range o.list() {
		if id == r.c.self {
			return ""
		}
		if r.c.usable(id) {
			return id
		}
	}
	return ""
}

// needed says whether anybody has a use for the roster.
func (r *roster) needed() bool {
	return len(r.views) > 0 || len(r.opens) > 0 || len(r.downs) > 0 || r.closing != nil
}

// settled says whether the roster is as complete as this node can have it.
func (r *roster) settled() bool {
	return r.above == "" || r.ups[r.above] != nil && r.ups[r.above].src.complete
}

// reroute is route for all rooms.
func (c *core) reroute() {
	for _, id := range sorted(c.rosters) {
		if r := c.rosters[id]; r != nil {
			c.route(r)
		}
	}
}

// route follows whom the room is to be followed at, after something changed that it depends on.
func (c *core) route(r *roster) {
	if c.rosters[r.id] != r {
		return
	}
	if !r.needed() {
		c.closeRoster(r)
		return
	}
	best := r.best()
	if best == r.above && (best == "" || r.ups[best] != nil) {
		return
	}
	was := r.above
	r.above = best
	if was != "" && r.ups[was] != nil {
		if c.usable(was) && c.alive(was) {
			// Others may learn later that there is a better one. Until then what they say comes from the former one.
			r.leaving[was] = c.after(overlap, func() { r.unfollow(was, stopMoved) })
		} else {
			r.unfollow(was, stopMoved)
		}
	}
	if was != "" && !c.usable(was) {
		c.m.Failovers.Add(1)
	}
	if best != "" {
		c.stop(r.leaving[best])
		delete(r.leaving, best)
		if r.ups[best] == nil {
			r.ups[best] = r.newFeed(c.peer(best), true)
		}
	}
	r.checkOpens()
}

// unfollow stops to follow a node; stop is what it is told, 0 for nothing. What came from it stays for a while.
func (r *roster) unfollow(id link.NodeID, stop uint8) {
	f := r.ups[id]
	if f == nil {
		return
	}
	delete(r.ups, id)
	c := r.c
	c.stop(r.leaving[id])
	delete(r.leaving, id)
	f.end()
	if stop != 0 {
		f.peer.say(itemMessage{Room: r.id, Up: true, Stop: stop})
	}
	for _, participant := range sorted(f.src.given) {
		r.takeBack(f.src, participant, "", true)
	}
}

// unfollowed is the end of a follower. If it said that nobody is there any more, its entries end; else they stay for a while, for
// they may come again on another way.
func (r *roster) unfollowed(p *peer, stop uint8) {
	f := r.downs[p.id]
	if f == nil {
		return
	}
	delete(r.downs, p.id)
	r.c.m.Followers.Add(-1)
	f.end()
	for _, participant := range sorted(f.src.given) {
		left := stop == stopLeft && f.src.given[participant].home == p.id
		r.takeBack(f.src, participant, "", !left)
	}
}

// closeRoster ends a roster that nobody needs.
func (c *core) closeRoster(r *roster) {
	for _, id := range sorted(r.ups) {
		r.ups[id].peer.say(itemMessage{Room: r.id, Up: true, Stop: stopLeft})
	}
	c.endRoster(r)
}

// endRoster lets go of everything that a roster has, and of the record if it was kept for it alone.
func (c *core) endRoster(r *roster) {
	delete(c.rosters, r.id)
	c.m.Open.Store(int64(len(c.rosters)))
	c.m.Followers.Add(-int64(len(r.downs)))
	for _, feeds := range []map[link.NodeID]*feed{r.ups, r.downs} {
		for _, f := range feeds {
			f.end()
			for _, e := range f.src.given {
				f.peer.given -= e.size()
			}
		}
	}
	for _, t := range r.leaving {
		c.stop(t)
	}
	c.stop(r.closing)
	c.stop(r.clearing)
	if rec := c.table.get(r.id); rec != nil && !c.mine(rec) {
		if _, orphan := c.orphans[r.id]; !orphan {
			c.drop(r.id)
		}
	}
}

// changed is what follows for a room's users from a new version of its record.
func (c *core) changed(old, rec *record) {
	r := c.rosters[rec.id]
	if r == nil {
		return
	}
	if rec.dead || r.born != 0 && r.born <= rec.ended {
		c.destroyed(r, rec)
		return
	}
	r.born = rec.born
	for _, id := range sorted(r.downs) {
		r.downs[id].tellRecord()
	}
	if old != nil {
		for _, v := range r.views {
			v.edited(rec)
		}
	}
	r.checkOpens()
}

// destroyed ends a room that does not exist any more, or exists again as another.
func (c *core) destroyed(r *roster, rec *record) {
	told := rec.message()
	told.ID = ""
	for _, id := range sorted(r.downs) {
		r.downs[id].peer.say(itemMessage{Room: r.id, Record: told})
	}
	for _, id := range sorted(r.ups) {
		r.ups[id].peer.say(itemMessage{Room: r.id, Up: true, Stop: stopLeft})
	}
	for _, v := range r.views {
		v.destroyed()
	}
	opens := r.opens
	c.endRoster(r)
	for _, o := range opens {
		o.finish(ErrNoRoom)
	}
}

// opening is a user that waits for a room.
type opening struct {
	r     *roster
	view  *view
	done  func(error)
	timer *timer
	err   error // if nothing better comes
}

// finish answers the user, once.
func (o *opening) finish(err error) {
	if done := o.done; done != nil {
		o.done = nil
		o.r.c.stop(o.timer)
		done(err)
	}
}

// open is the input of a user that wants to be in a room. It is answered as soon as the record and the roster are here, and
// after [answerWithin] with what is known.
func (c *core) open(now time.Time, id string, v *view, done func(error)) (cancel func(now time.Time)) {
	c.enter(now)
	defer c.settle()
	r := c.rosters[id]
	if r == nil {
		if r = c.newRoster(id); r == nil {
			done(ErrFull)
			return func(time.Time) {}
		}
	}
	o := &opening{r: r, view: v, done: done, err: ErrUnreachable}
	r.opens = append(r.opens, o)
	c.stop(r.closing)
	r.closing = nil
	o.timer = c.after(answerWithin, func() {
		if c.table.live(id) != nil {
			r.attach(o)
		} else {
			r.refuse(o, o.err)
		}
	})
	c.route(r)
	r.checkOpens()
	if o.done != nil && c.table.live(id) == nil {
		c.fetch(id, func(_ stamp, err error) {
			if err != nil && o.done != nil && c.table.live(id) == nil {
				r.refuse(o, err)
			}
		})
	}
	return func(now time.Time) {
		c.enter(now)
		r.refuse(o, ErrUnreachable)
		c.settle()
	}
}

// refuse ends an opening without success.
func (r *roster) refuse(o *opening, err error) {
	r.opens = slices.DeleteFunc(r.opens, func(x *opening) bool { return x == o })
	o.finish(err)
	r.c.route(r)
}

// checkOpens answers those who wait for what is here now.
func (r *roster) checkOpens() {
	if len(r.opens) == 0 || !r.settled() || r.c.table.live(r.id) == nil {
		return
	}
	for len(r.opens) > 0 {
		r.attach(r.opens[0])
	}
}

// attach makes a user of one who waited.
func (r *roster) attach(o *opening) {
	r.opens = slices.DeleteFunc(r.opens, func(x *opening) bool { return x == o })
	r.born = r.c.table.live(r.id).born
	r.views = append(r.views, o.view)
	o.view.attach(r)
	o.finish(nil)
}

// close is the input of a user that leaves. What it put ends with it.
func (c *core) close(now time.Time, v *view) {
	c.enter(now)
	defer c.settle()
	r := v.r
	if v.over {
		return
	}
	v.over = true
	for _, participant := range sorted(v.put) {
		r.takeBack(r.own, participant, "", false)
		delete(r.claims, participant)
	}
	r.views = slices.DeleteFunc(r.views, func(x *view) bool { return x == v })
	if len(r.views) == 0 && r.closing == nil && c.rosters[r.id] == r {
		r.closing = c.after(closeAfter, func() {
			r.closing = nil
			c.route(r)
		})
	}
}
