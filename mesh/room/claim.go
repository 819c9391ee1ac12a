package room

import (
	"bytes"
	"maps"
	"time"

	"cardea/relay/link"
	"cardea/relay/link/wire"
)

// reservation keeps an id for a node that has claimed it and has not said yet what it is.
type reservation struct {
	home  link.NodeID
	until time.Time
}

// claim is the input of a user that wants a certain id for a participant. The keeper is asked; if it does not answer in time, what
// is known here decides, and whoever turns out to have claimed it earlier keeps it ([roster.lose]).
func (c *core) claim(now time.Time, v *view, participant string, done func(error)) {
	c.enter(now)
	defer c.settle()
	r := v.r
	switch s := r.seats[participant]; {
	case v.over:
		done(ErrNoRoom)
		return
	case s != nil && s.all.entry != nil, r.claims[participant] != 0:
		done(ErrTaken)
		return
	}
	at := c.clock.next(c.now)
	r.claims[participant] = at
	unclaim := func() {
		if r.claims[participant] == at && r.own.given[participant] == nil {
			delete(r.claims, participant)
		}
	}
	c.after(reserveFor, unclaim)
	v.put[participant] = struct{}{}
	taken := func() {
		unclaim()
		delete(v.put, participant)
		done(ErrTaken)
	}
	if r.above == "" {
		if r.reserve(c.self, participant) {
			done(nil)
		} else {
			taken()
		}
		return
	}
	m := claimMessage{Room: r.id, Participant: participant, Claim: at}
	c.call(r.above, KindClaim, &m, answerWithin, func(reply []byte, err error) {
		var m claimReply
		if err == nil && wire.Unmarshal(reply, &m) == nil && m.Taken {
			taken()
			return
		}
		if v.over {
			done(ErrNoRoom)
			return
		}
		done(nil)
	})
}

// onClaim answers a node that wants an id.
func (c *core) onClaim(from link.NodeID, payload []byte) ([]byte, error) {
	var m claimMessage
	if err := wire.Unmarshal(payload, &m); err != nil {
		return nil, err
	}
	if len(m.Participant) > MaxID {
		return nil, errRefused
	}
	r := c.rosters[m.Room]
	taken := r != nil && !r.reserve(from, m.Participant)
	return wire.Marshal(&claimReply{Taken: taken}), nil
}

// reserve keeps an id for a node; false: another has it. The own claim of the asking user does not count.
func (r *roster) reserve(home link.NodeID, participant string) bool {
	now := r.c.now
	if s := r.seats[participant]; s != nil && s.all.entry != nil && s.all.entry.home != home {
		return false
	}
	if home != r.c.self && r.claims[participant] != 0 {
		return false
	}
	if old, ok := r.reserved[participant]; ok && old.home != home && old.until.After(now) {
		return false
	}
	if len(r.reserved) >= r.c.limits.reserved {
		maps.DeleteFunc(r.reserved, func(_ string, v reservation) bool { return !v.until.After(now) })
		if len(r.reserved) >= r.c.limits.reserved {
			r.c.m.Refused.Add(1)
			return true // the merge of claims will have to do
		}
	}
	r.reserved[participant] = reservation{home, now.Add(reserveFor)}
	return true
}

// set is the input of a participant's entry.
func (c *core) set(now time.Time, v *view, participant string, payload []byte) {
	c.enter(now)
	defer c.settle()
	r := v.r
	if v.over {
		return
	}
	old := r.own.given[participant]
	if len(participant) > MaxID || len(payload) > MaxEntry || old == nil && len(r.seats) >= c.limits.seats {
		c.m.Refused.Add(1)
		delete(v.put, participant)
		v.lost(participant)
		return
	}
	if old != nil && bytes.Equal(old.payload, payload) {
		return // nobody need be told what is known
	}
	at := c.clock.next(c.now)
	e := &entry{participant: participant, home: c.self, claim: at, version: at, payload: payload}
	switch {
	case old != nil:
		e.claim = old.claim
	case r.claims[participant] != 0:
		e.claim = r.claims[participant]
	}
	delete(r.reserved, participant)
	v.put[participant] = struct{}{}
	r.give(r.own, e)
}

// remove is the input of the end of a participant.
func (c *core) remove(now time.Time, v *view, participant, why string) {
	c.enter(now)
	defer c.settle()
	if v.over {
		return
	}
	if _, ok := v.put[participant]; !ok {
		return
	}
	delete(v.put, participant)
	delete(v.r.claims, participant)
	v.r.takeBack(v.r.own, participant, why[:min(len(why), MaxID)], false)
}
