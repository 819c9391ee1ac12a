package room

import (
	"slices"
	"time"

	"cardea/mesh/rendezvous"
	"cardea/relay/link"
)

// entry is what a participant's home says of it. Once made it does not change.
type entry struct {
	participant string
	home        link.NodeID
	claim       stamp // since when home has the id for it
	version     stamp
	payload     []byte
}

// size is about what the entry takes on the wire.
func (e *entry) size() int { return len(e.participant) + len(e.home) + len(e.payload) + 32 }

func (e *entry) message(self link.NodeID) entryMessage {
	m := entryMessage{Participant: e.participant, Home: string(e.home), Claim: e.claim, Version: e.version, Payload: e.payload}
	if e.home == self {
		m.Home = ""
	}
	return m
}

// origin says from which side a source is. What is nearer is believed first.
type origin uint8

const (
	fromSelf  origin = iota // this node is the home
	fromBelow               // from a node that follows here
	fromAbove               // from a node that is followed
	fromLimbo               // the way is lost
)

// source is where entries come from.
type source struct {
	peer     link.NodeID // "" for own entries and those in limbo
	kind     origin
	given    map[string]*entry
	unseen   map[string]struct{} // during a snapshot: what it has not mentioned
	complete bool                // a snapshot has ended
}

// offer is what one source says about a participant.
type offer struct {
	entry *entry
	src   *source
	below bool      // in limbo: it came from below
	until time.Time // in limbo
}

// winner is the entry that counts.
type winner struct {
	entry *entry
	src   *source
}

// seat is a participant's place in a room: what the sources say, usually one, and what follows from that.
type seat struct {
	offers []offer
	all    winner // of everything
	up     winner // of what this node and those that follow it have
}

func (s *seat) claim() stamp {
	switch {
	case s == nil:
		return 0
	case s.all.entry != nil:
		return s.all.entry.claim
	case s.up.entry != nil:
		return s.up.entry.claim
	}
	return 0
}

// roster is what a node knows of who is in a room. The nodes that need it stand in a tree: each follows the one that is to be the
// keeper as far as it can see and reach, and usually that is the same for all. One that is followed without being the keeper
// itself follows the keeper: so also those that cannot reach each other are in one room.
type roster struct {
	c     *core
	id    string
	hash  uint64
	born  stamp // of the record when it was first seen here; 0: not seen yet
	seats map[string]*seat
	own   *source
	limbo *source
	downs map[link.NodeID]*feed // who follows here
	ups   map[link.NodeID]*feed // who is followed: usually one, and the former one for a while
	above link.NodeID           // the one of them that counts; "": this node is the root

	views    []*view
	opens    []*opening
	claims   map[string]stamp // ids that own participants may take
	reserved map[string]reservation
	closing  *timer
	clearing *timer
	leaving  map[link.NodeID]*timer
}

func (c *core) newRoster(id string) *roster {
	if len(c.rosters) >= c.limits.rosters {
		c.m.Refused.Add(1)
		return nil
	}
	r := &roster{
		c: c, id: id, hash: rendezvous.Hash(id), seats: map[string]*seat{}, downs: map[link.NodeID]*feed{}, ups: map[link.NodeID]*feed{},
		own: &source{kind: fromSelf, given: map[string]*entry{}}, limbo: &source{kind: fromLimbo, given: map[string]*entry{}},
		claims: map[string]stamp{}, reserved: map[string]reservation{}, leaving: map[link.NodeID]*timer{},
	}
	if rec := c.table.live(id); rec != nil {
		r.born = rec.born
	}
	c.rosters[id] = r
	c.m.Open.Store(int64(len(c.rosters)))
	return r
}

// mayCarry says whether a node may speak for others in this room: one that is, or by another's view of who lives would be, one
// of its keepers.
func (r *roster) mayCarry(id link.NodeID) bool {
	o := r.c.ranking.first(r.hash, 2*replicas)
	return o.index(id) >= 0
}

// give takes in an entry.
func (r *roster) give(src *source, e *entry) {
	s := r.seats[e.participant]
	if s == nil {
		s = &seat{}
		r.seats[e.participant] = s
	}
	for i := range s.offers {
		if o := s.offers[i].entry; o.home == e.home && o.version == e.version {
			e = o // the same on another way
		}
	}
	// What was in limbo from the same home has found its way again.
	s.offers = slices.DeleteFunc(s.offers, func(o offer) bool {
		return o.src == src || o.src == r.limbo && o.entry.home == e.home
	})
	s.offers = append(s.offers, offer{entry: e, src: src})
	src.given[e.participant] = e
	r.decide(e.participant, s, "")
}

// takeBack removes what a source said of a participant. With keep it stays for a while: not its end is known, but its way is lost.
func (r *roster) takeBack(src *source, participant, why string, keep bool) {
	s, e := r.seats[participant], src.given[participant]
	if s == nil || e == nil {
		return
	}
	delete(src.given, participant)
	if p := r.c.peers[src.peer]; p != nil {
		p.given -= e.size()
	}
	s.offers = slices.DeleteFunc(s.offers, func(o offer) bool {
		return o.src == src || !keep && o.src == r.limbo && o.entry.home == e.home
	})
	known := slices.ContainsFunc(s.offers, func(o offer) bool { return o.entry.home == e.home })
	if keep && !known && e.home != r.c.self {
		s.offers = append(s.offers, offer{entry: e, src: r.limbo, below: src.kind == fromBelow, until: r.c.now.Add(linger)})
		r.clearLater(linger)
	}
	r.decide(participant, s, why)
}

// clearLater has limbo looked through.
func (r *roster) clearLater(d time.Duration) {
	if r.clearing == nil {
		r.clearing = r.c.after(d, r.clearLimbo)
	}
}

// adrift says whether this node stands alone because those that should keep the room live, as far as is known, and cannot be heard:
// after a part of the mesh was cut off, until that is known. Others may be in the same position, and have no way to tell what they have.
func (r *roster) adrift() bool {
	o := r.c.ranking.first(r.hash, replicas)
	silent := false
	for _, id := range o.list() {
		switch {
		case id == r.c.self:
			return silent
		case r.c.usable(id):
			return false
		}
		silent = true
	}
	return silent
}

// clearLimbo drops those whose time is over. While the node is adrift nobody's time is, but for those whose node is gone.
func (r *roster) clearLimbo() {
	r.clearing = nil
	var next time.Time
	adrift := r.adrift()
	for _, id := range sorted(r.seats) {
		s := r.seats[id]
		if s == nil {
			continue
		}
		for i := range s.offers {
			if o := &s.offers[i]; adrift && o.src == r.limbo && r.c.alive(o.entry.home) {
				o.until = r.c.now.Add(linger)
			}
		}
		n := len(s.offers)
		s.offers = slices.DeleteFunc(s.offers, func(o offer) bool {
			if o.src != r.limbo {
				return false
			}
			if o.until.After(r.c.now) {
				if next.IsZero() || o.until.Before(next) {
					next = o.until
				}
				return false
			}
			return true
		})
		if len(s.offers) != n {
			r.decide(id, s, "")
		}
	}
	if !next.IsZero() {
		r.clearLater(next.Sub(r.c.now))
	}
	if len(r.seats) == 0 {
		r.c.route(r) // it may be that nothing is left
	}
}

// forgetLost drops from limbo what a home has not confirmed: it has just told all that it has.
func (r *roster) forgetLost(home link.NodeID, told *source) {
	for _, id := range sorted(r.seats) {
		s := r.seats[id]
		if s == nil || told.given[id] != nil {
			continue
		}
		n := len(s.offers)
		s.offers = slices.DeleteFunc(s.offers, func(o offer) bool { return o.src == r.limbo && o.entry.home == home })
		if len(s.offers) != n {
			r.decide(id, s, "")
		}
	}
}

// older says whether a has an id rather than b, which another node says it has: the older claim, then the node's id. Of the same
// node's entries the later version counts.
func (e *entry) older(b *entry) bool {
	switch {
	case e.home == b.home:
		return e.version > b.version
	case e.claim != b.claim:
		return e.claim < b.claim
	}
	return e.home < b.home
}

// choose returns who has the seat, of the offers that count.
func (s *seat) choose(counts func(*offer) bool) (w winner) {
	for i := range s.offers {
		o := &s.offers[i]
		if !counts(o) {
			continue
		}
		// Only the latest version of each home takes part.
		outdated := slices.ContainsFunc(s.offers, func(b offer) bool {
			return b.entry.home == o.entry.home && b.entry.version > o.entry.version && counts(&b)
		})
		if outdated {
			continue
		}
		same := w.entry != nil && w.entry.home == o.entry.home && w.entry.version == o.entry.version
		switch {
		case w.entry == nil, !same && o.entry.older(w.entry), same && o.src.nearer(w.src, o.entry.home):
			w = winner{o.entry, o.src}
		}
	}
	return w
}

// nearer says which of two sources of the same entry is believed: the one with less between it and the home.
func (a *source) nearer(b *source, home link.NodeID) bool {
	switch {
	case a.kind != b.kind:
		return a.kind < b.kind
	case (a.peer == home) != (b.peer == home):
		return a.peer == home
	}
	return a.peer < b.peer
}

// decide finds out who has a seat after something changed, and has everybody told.
func (r *roster) decide(participant string, s *seat, why string) {
	was, wasUp := s.all, s.up
	s.all = s.choose(func(o *offer) bool { return r.c.alive(o.entry.home) })
	if mine := r.own.given[participant]; mine != nil && s.all.entry != nil && s.all.entry.home != r.c.self {
		r.lose(participant, s)
	}
	s.up = s.choose(func(o *offer) bool {
		return (o.src.kind < fromAbove || o.below) && r.c.alive(o.entry.home)
	})
	if len(s.offers) == 0 {
		delete(r.seats, participant)
	}
	if was != s.all {
		for _, id := range sorted(r.downs) {
			if was.visible(id) != nil || s.all.visible(id) != nil {
				r.downs[id].mark(participant, why)
			}
		}
		if was.entry != s.all.entry {
			for _, v := range r.views {
				v.mark(participant, why)
			}
		}
	}
	if wasUp != s.up {
		for _, id := range sorted(r.ups) {
			if wasUp.visible(id) != nil || s.up.visible(id) != nil {
				r.ups[id].mark(participant, why)
			}
		}
	}
}

// lose gives up an own participant's id: another has the older claim.
func (r *roster) lose(participant string, s *seat) {
	delete(r.own.given, participant)
	delete(r.claims, participant)
	s.offers = slices.DeleteFunc(s.offers, func(o offer) bool { return o.src == r.own })
	r.c.m.Lost.Add(1)
	for _, v := range r.views {
		if _, ok := v.put[participant]; ok {
			v.lost(participant)
		}
	}
}

// members is the input of nodes that came or went.
func (r *roster) members(changed map[link.NodeID]bool) {
	for _, id := range sorted(r.seats) {
		s := r.seats[id]
		if s != nil && slices.ContainsFunc(s.offers, func(o offer) bool { return changed[o.entry.home] }) {
			r.decide(id, s, "")
		}
	}
}
