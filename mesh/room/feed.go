package room

import (
	"cmp"
	"slices"

	"cardea/relay/link"
)

// feed is what one node tells another about one room: first all that the other should know, then what changes. A feed up goes
// to the node that is followed and tells of the own participants, and of those whose nodes follow here; a feed down goes to a
// follower and tells of everybody. A feed does not tell a node what it knows from there.
//
// Only who changed is kept here; what is told is the state at the moment it leaves. So a feed that waits does not grow beyond
// one line for each participant.
type feed struct {
	roster *roster
	peer   *peer
	up     bool
	src    *source // what the other says in the same conversation

	begin  bool // has to start over
	ending bool // and to say when it is complete
	record bool // the record is to be told
	want   bool // the other's record is wanted
	dirty  []string
	why    map[string]string // of those that are dirty
	queued bool
}

func (r *roster) newFeed(p *peer, up bool) *feed {
	if len(p.feeds) == 0 {
		p.heard, p.spoke = p.c.now, p.c.now // the conversation begins: until now nobody had to say anything
	}
	f := &feed{roster: r, peer: p, up: up}
	f.src = &source{peer: p.id, kind: fromBelow, given: map[string]*entry{}}
	if up {
		f.src.kind = fromAbove
	}
	p.feeds[feedKey{r.id, up}] = f
	f.restart()
	p.beat()
	return f
}

// end takes the feed out of the lane.
func (f *feed) end() {
	delete(f.peer.feeds, feedKey{f.roster.id, f.up})
	if f.queued {
		f.queued = false
		f.peer.queue = slices.DeleteFunc(f.peer.queue, func(q *feed) bool { return q == f })
	}
}

// restart makes the feed tell everything again.
func (f *feed) restart() {
	f.begin, f.ending, f.record, f.want = true, true, !f.up, false
	f.dirty, f.why = nil, map[string]string{}
	for id, s := range f.roster.seats {
		if f.visible(s) != nil {
			f.dirty = append(f.dirty, id)
			f.why[id] = ""
		}
	}
	slices.SortFunc(f.dirty, f.roster.byClaim)
	f.enqueue()
}

// byClaim orders participants as they came.
func (r *roster) byClaim(a, b string) int {
	return cmp.Or(cmp.Compare(r.seats[a].claim(), r.seats[b].claim()), cmp.Compare(a, b))
}

// visible returns what the feed is to tell of a seat; nil if nothing.
func (f *feed) visible(s *seat) *entry {
	w := s.all
	if f.up {
		w = s.up
	}
	return w.visible(f.peer.id)
}

// visible is the entry unless the node knows it, being its home or where it was learned.
func (w winner) visible(to link.NodeID) *entry {
	if w.entry == nil || w.entry.home == to || w.src.peer == to {
		return nil
	}
	return w.entry
}

// mark notes that a participant changed.
func (f *feed) mark(participant, why string) {
	if _, ok := f.why[participant]; !ok {
		f.dirty = append(f.dirty, participant)
	}
	f.why[participant] = why
	f.enqueue()
}

// tellRecord notes that the record changed.
func (f *feed) tellRecord() {
	f.record = true
	f.enqueue()
}

func (f *feed) enqueue() {
	if !f.queued {
		f.queued = true
		f.peer.queue = append(f.peer.queue, f)
	}
	f.peer.ready()
}

// due says whether there is something to tell.
func (f *feed) due() bool { return f.begin || f.ending || f.record || f.want || len(f.dirty) > 0 }

// produce returns what the feed has to tell, up to about so many bytes, and how long it is.
func (f *feed) produce(budget int) (m itemMessage, size int) {
	r := f.roster
	m = itemMessage{Room: r.id, Up: f.up, Begin: f.begin, Want: f.want}
	size = len(r.id) + 16
	rec := r.c.table.get(r.id)
	if f.begin && f.up && rec != nil {
		m.Born, m.Stamp = rec.born, rec.stamp
	}
	if f.record && rec != nil {
		m.Record = rec.message()
		m.Record.ID = ""
		size += len(rec.value) + 64
	}
	f.begin, f.record, f.want = false, false, false
	n := 0
	for n < len(f.dirty) && (size < budget || n == 0 && m.Record == nil) {
		id := f.dirty[n]
		n++
		var e *entry
		if s := r.seats[id]; s != nil {
			e = f.visible(s)
		}
		if e == nil {
			m.Gone = append(m.Gone, goneMessage{id, f.why[id]})
			size += len(id) + len(f.why[id]) + 8
		} else {
			m.Entries = append(m.Entries, e.message(r.c.self))
			size += e.size()
		}
		delete(f.why, id)
	}
	f.dirty = f.dirty[n:]
	if len(f.dirty) == 0 {
		f.dirty = nil
		m.End, f.ending = f.ending, false
	}
	return m, size
}

// item is the input of what another node says about a room.
func (p *peer) item(m *itemMessage) {
	if m.Room == "" || len(m.Room) > MaxID {
		p.c.m.Malformed.Add(1)
		return
	}
	r := p.c.rosters[m.Room]
	if m.Up && m.Begin && m.Stop == 0 {
		r = p.follower(m)
	}
	if m.Record != nil {
		m.Record.ID = m.Room
		rec, err := m.Record.record(p.c.now)
		if err != nil {
			p.c.m.Malformed.Add(1)
			return
		}
		if r != nil && p.feeds[feedKey{m.Room, !m.Up}] != nil && p.c.apply(rec) == nil {
			r = p.c.rosters[m.Room] // which ends if that was a tombstone
		}
	}
	if r == nil {
		return
	}
	// What comes up belongs to the feed down, and the other way round.
	f := p.feeds[feedKey{m.Room, !m.Up}]
	switch {
	case f == nil: // a conversation that has ended here
		return
	case m.Stop != 0 && m.Up:
		r.unfollowed(p, m.Stop)
		r.c.route(r)
		return
	}
	f.consume(m)
}

// follower begins to feed a node that wants to follow a room here.
func (p *peer) follower(m *itemMessage) *roster {
	c := p.c
	rec := c.table.get(m.Room)
	if rec != nil && m.Born != 0 && m.Born <= rec.ended {
		// It follows a room that was destroyed, and is told what there is instead.
		told := rec.message()
		told.ID = ""
		p.say(itemMessage{Room: m.Room, Record: told})
		return nil
	}
	r := c.rosters[m.Room]
	if r == nil {
		if r = c.newRoster(m.Room); r == nil {
			return nil
		}
	}
	f := r.downs[p.id]
	if f == nil {
		if len(r.downs) >= c.limits.followers {
			c.m.Refused.Add(1)
			return r
		}
		f = r.newFeed(p, false)
		r.downs[p.id] = f
		c.m.Followers.Add(1)
	} else {
		f.restart()
	}
	if m.Stamp != 0 && (rec == nil || m.Born > rec.born || m.Born == rec.born && m.Stamp > rec.stamp) {
		f.want = true
	}
	c.route(r)
	return r
}

// say queues something that is no feed's.
func (p *peer) say(m itemMessage) {
	if len(p.control) < p.c.limits.notices {
		p.control = append(p.control, m)
	}
	p.ready()
}

// consume takes in what the other side of the conversation says.
func (f *feed) consume(m *itemMessage) {
	r, c := f.roster, f.roster.c
	if m.Want {
		f.tellRecord()
	}
	if m.Begin {
		f.src.unseen = map[string]struct{}{}
		for id := range f.src.given {
			f.src.unseen[id] = struct{}{}
		}
	}
	for i := range m.Entries {
		if e := f.accept(&m.Entries[i]); e != nil {
			delete(f.src.unseen, e.participant)
			r.give(f.src, e)
		}
	}
	for _, g := range m.Gone {
		if len(g.Participant) > MaxID || len(g.Why) > MaxID {
			c.m.Malformed.Add(1)
			continue
		}
		delete(f.src.unseen, g.Participant)
		r.takeBack(f.src, g.Participant, g.Why, false)
	}
	if !m.End {
		return
	}
	f.complete()
	if f.up && c.rosters[r.id] == r {
		f.src.complete = true
		r.checkOpens()
	}
}

// complete is the end of a snapshot: what it did not mention is gone. A node that speaks of its own participants knows that for
// sure; one that speaks of others' may not have been told yet.
func (f *feed) complete() {
	r := f.roster
	for _, id := range sorted(f.src.unseen) {
		own := !f.up && f.src.given[id].home == f.peer.id
		r.takeBack(f.src, id, "", !own)
	}
	f.src.unseen = nil
	if !f.up {
		r.forgetLost(f.peer.id, f.src)
	}
}

// accept checks an entry that the other side sent; nil if it is not taken.
func (f *feed) accept(m *entryMessage) *entry {
	r, c, from := f.roster, f.roster.c, f.peer.id
	home := from
	if m.Home != "" {
		home = link.NodeID(m.Home)
	}
	switch {
	case m.Participant == "" || len(m.Participant) > MaxID || len(m.Home) > maxNodeID || len(m.Payload) > MaxEntry || m.Claim == 0:
		c.m.Malformed.Add(1)
		return nil
	case home == c.self:
		return nil // nobody else writes those
	case !f.up && home != from && !r.mayCarry(from):
		c.m.Forged.Add(1)
		return nil
	}
	e := &entry{participant: m.Participant, home: home, claim: m.Claim, version: m.Version, payload: m.Payload}
	if p := c.peers[home]; p != nil {
		e.home = p.id
	}
	was := 0
	if old := f.src.given[e.participant]; old != nil {
		was = old.size()
	}
	if r.seats[e.participant] == nil && len(r.seats) >= c.limits.seats || f.peer.given+e.size()-was > c.limits.peerBytes {
		c.m.Refused.Add(1)
		return nil
	}
	f.peer.given += e.size() - was
	return e
}
