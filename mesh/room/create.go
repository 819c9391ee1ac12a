package room

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"cardea/mesh/rendezvous"
	"cardea/relay/link"
	"cardea/relay/link/wire"
)

// creating is a room being made: at the keeper first, which says whether there is one already, then at one more node at least.
type creating struct {
	c     *core
	rec   *record
	nodes []link.NodeID // to be asked as keeper, in order
	asked int
	open  int  // questions without an answer
	made  bool // one has it
	done  func(error)
	err   error
	timer *timer // until the next one is asked
}

// create is the input of a user that makes a room.
func (c *core) create(now time.Time, id string, value []byte, permanent bool, done func(error)) {
	c.enter(now)
	defer c.settle()
	at := c.clock.next(c.now)
	rec := &record{id: id, value: value, stamp: at, born: at, node: c.self, permanent: permanent}
	if permanent {
		rec.origin = c.self
	}
	rec.seal()
	o := c.ranking.first(rec.hash, replicas)
	n := &creating{c: c, rec: rec, done: done}
	for _, id := range o.list() {
		if c.usable(id) {
			n.nodes = append(n.nodes, id)
		}
	}
	last := c.after(answerWithin, func() { n.finish(fmt.Errorf("%w: %w", ErrUnreachable, errTimeout)) })
	n.done = func(err error) {
		c.stop(last)
		done(err)
	}
	n.next(nil)
}

// finish answers the user, once.
func (n *creating) finish(err error) {
	if done := n.done; done != nil {
		n.done = nil
		n.c.stop(n.timer)
		done(err)
	}
}

// next asks the next node. One that is asked because another is slow gets the same record, so that nothing is made twice.
func (n *creating) next(err error) {
	n.c.stop(n.timer)
	if err != nil {
		n.err = err
	}
	if n.asked == len(n.nodes) {
		if n.open == 0 {
			n.finish(errors.Join(ErrUnreachable, n.err))
		}
		return
	}
	to := n.nodes[n.asked]
	n.asked++
	n.ask(to, false)
	n.timer = n.c.after(hedge, func() { n.next(nil) })
}

func (n *creating) ask(to link.NodeID, sure bool) {
	m := createMessage{Record: *n.rec.message(), Sure: sure}
	n.open++
	n.c.call(to, KindCreate, &m, answerWithin, func(reply []byte, err error) {
		var m createReply
		n.open--
		if err == nil {
			err = wire.Unmarshal(reply, &m)
		}
		switch {
		case n.done == nil || n.made:
		case err != nil:
			n.next(fmt.Errorf("%s: %w", to, err))
		case m.Result == created:
			n.made = true
			n.c.stop(n.timer)
			n.c.replicate(n.rec, to, n.finish)
		case m.Result == createdExists:
			n.finish(ErrExists)
		case m.Result == createdUnsure:
			n.c.stop(n.timer)
			n.c.fetch(n.rec.id, func(ended stamp, err error) {
				switch {
				case err == nil:
					n.finish(ErrExists)
				case n.done != nil && !n.made:
					n.bear(ended)
					n.ask(to, true)
				}
			})
		case m.Result == createdBefore && m.Ended <= stampOf(n.c.now.Add(maxAhead)):
			n.bear(m.Ended)
			n.ask(to, sure)
		default:
			n.next(errRefused)
		}
	})
}

// bear has the room be born after the end of an earlier one.
func (n *creating) bear(ended stamp) {
	if n.rec.born <= ended {
		again := *n.rec
		again.born, again.stamp = ended+1, ended+1
		n.rec = again.seal()
	}
}

// onCreate answers a node that wants this one, as the keeper, to make a room.
func (c *core) onCreate(payload []byte) ([]byte, error) {
	var m createMessage
	if err := wire.Unmarshal(payload, &m); err != nil {
		return nil, err
	}
	rec, err := m.Record.record(c.now)
	if err != nil {
		return nil, err
	}
	old := c.table.get(rec.id)
	reply := createReply{Result: created}
	switch {
	case old != nil && old.sum == rec.sum: // asked again
	case old != nil && !old.dead:
		reply.Result = createdExists
	case old != nil && old.ended >= rec.born:
		reply.Result, reply.Ended = createdBefore, old.ended
	case !m.Sure && !c.sure(rec):
		reply.Result = createdUnsure
	default:
		if err := c.keep(rec); err != nil {
			return nil, err
		}
	}
	return wire.Marshal(&reply), nil
}

// sure says whether this node would know of the room if there were one: it has compared its records with those of the others who
// keep it.
func (c *core) sure(rec *record) bool {
	o := c.keepers(rec)
	for _, id := range o.list() {
		if p := c.peers[id]; id != c.self && p != nil && !p.synced && c.usable(id) {
			return false
		}
	}
	return true
}

// fetch asks the keepers of a room for its record: two at once, the third if these do not have it. It tells when
// earlier rooms of the id have ended, too.
func (c *core) fetch(id string, done func(ended stamp, err error)) {
	var left []link.NodeID
	o := c.ranking.first(rendezvous.Hash(id), replicas)
	for _, n := range o.list() {
		if n != c.self {
			left = append(left, n)
		}
	}
	slices.SortStableFunc(left, func(a, b link.NodeID) int { return int(flag(c.usable(b))) - int(flag(c.usable(a))) })
	if len(left) == 0 {
		done(0, ErrNoRoom)
		return
	}
	asked, denied, finished := 0, 0, false
	var ended stamp
	finish := func(err error) {
		if !finished {
			finished = true
			done(ended, err)
		}
	}
	var ask func()
	ask = func() {
		if len(left) == 0 {
			if asked == 0 && denied > 0 {
				finish(ErrNoRoom)
			} else if asked == 0 {
				finish(ErrUnreachable)
			}
			return
		}
		to := left[0]
		left = left[1:]
		asked++
		c.call(to, KindFetch, &fetchMessage{ID: id}, answerWithin, func(reply []byte, err error) {
			asked--
			var m fetchReply
			if err == nil {
				err = wire.Unmarshal(reply, &m)
			}
			if err == nil {
				denied++
			}
			if err == nil && m.Record != nil {
				m.Record.ID = id
				if rec, err := m.Record.record(c.now); err == nil {
					ended = max(ended, rec.ended)
					_ = c.apply(rec) // that it is refused says only that nobody here needs it
					if !rec.dead {
						finish(nil)
						return
					}
				}
			}
			if !finished {
				ask()
			}
		})
	}
	ask()
	if len(left) > 0 {
		ask()
	}
}

// onFetch answers it.
func (c *core) onFetch(payload []byte) ([]byte, error) {
	var m fetchMessage
	if err := wire.Unmarshal(payload, &m); err != nil {
		return nil, err
	}
	var reply fetchReply
	if rec := c.table.get(m.ID); rec != nil {
		reply.Record = rec.message()
		reply.Record.ID = ""
	}
	return wire.Marshal(&reply), nil
}

// replicating brings a record to where it belongs.
type replicating struct {
	c       *core
	rec     *record
	done    func(error)
	need    int // copies
	copies  int
	waiting int
	failed  bool // somebody does not have it who should
	here    bool // this node is one of the copies
	must    bool // and is to be, before it is done
}

// replicate has a record kept where it belongs, except at a node that has it. It is done when two nodes have it, or the one that
// there is, and the own disk if it is one of them. If the others are slow, those after them in the order are asked, too. When
// time is up, this node keeps a copy until all have it who should, and if that is the second one it is done as well.
func (c *core) replicate(rec *record, has link.NodeID, done func(error)) {
	o := c.keepers(rec)
	p := &replicating{c: c, rec: rec, done: done, need: min(2, len(c.ranking)), here: has == c.self, must: o.index(c.self) >= 0}
	if has != "" {
		p.copies++
	}
	for _, to := range o.list() {
		if to != has {
			p.store(to)
		}
	}
	p.check(false)
	if p.done == nil {
		return
	}
	c.after(hedge, func() {
		o := c.ranking.first(rec.hash, 2*replicas)
		for _, to := range o.list()[min(replicas, o.n):] {
			if p.done != nil && to != c.self && to != has && c.usable(to) {
				p.store(to)
			}
		}
	})
	c.after(answerWithin-50*time.Millisecond, func() { p.check(true) })
}

// store asks one node to keep the record.
func (p *replicating) store(to link.NodeID) {
	c := p.c
	p.waiting++
	c.call(to, KindStore, &storeMessage{Records: []recordMessage{*p.rec.message()}}, answerWithin, func(_ []byte, err error) {
		p.waiting--
		switch {
		case err == nil:
			p.copies++
			p.here = p.here || to == c.self
		case to == c.self:
			p.finish(err)
		default:
			p.failed = true
		}
		p.check(false)
	})
}

func (p *replicating) finish(err error) {
	if done := p.done; done != nil {
		p.done = nil
		done(err)
	}
}

// check ends it if there is enough, or nothing more to wait for.
func (p *replicating) check(late bool) {
	switch {
	case p.done == nil:
	case p.copies >= p.need && (p.here || !p.must):
		p.finish(nil)
	case p.waiting == 0 || late:
		if !p.here && !p.must {
			p.copies++ // the one that is kept here now
		}
		p.c.keepHere(p.rec)
		if p.copies >= p.need && (p.here || !p.must) {
			p.finish(nil)
		} else {
			p.finish(ErrUnreachable)
		}
	}
	if p.failed && p.waiting == 0 {
		p.c.keepHere(p.rec)
	}
}

// keepHere keeps a record until all who are to keep it have it.
func (c *core) keepHere(rec *record) {
	old := c.table.get(rec.id)
	if r := merge(old, rec); r != old && (old != nil || c.table.n < c.limits.records) {
		c.put(old, r)
		c.changed(old, r)
	}
	if r := c.table.get(rec.id); r != nil && !c.mine(r) {
		c.orphan(rec.id)
		if r.permanent {
			c.saves[rec.id] = struct{}{}
		}
	}
}

// onStore takes in records.
func (c *core) onStore(payload []byte) ([]byte, error) {
	var m storeMessage
	if err := wire.Unmarshal(payload, &m); err != nil {
		return nil, err
	}
	var errs error
	for i := range m.Records {
		rec, err := m.Records[i].record(c.now)
		if err == nil {
			err = c.keep(rec)
		}
		if err != nil && errs == nil {
			errs = err
		}
	}
	return nil, errs
}

// edit is the input of a user that changes a room's record.
func (c *core) edit(now time.Time, v *view, value []byte, permanent bool, done func(error)) {
	c.enter(now)
	defer c.settle()
	old := c.table.live(v.idOf())
	if v.over || old == nil {
		done(ErrNoRoom)
		return
	}
	rec := *old
	rec.value, rec.node, rec.stamp = value, c.self, c.clock.after(c.now, old.stamp)
	if permanent && !rec.permanent {
		rec.permanent = true
		if rec.origin == "" {
			rec.origin = c.self
		}
	}
	rec.seal()
	v.told = &rec
	if err := c.apply(&rec); err != nil {
		done(err)
		return
	}
	c.replicate(&rec, "", done)
}

// destroy is the input of a user that ends a room. A permanent room that is not destroyed for good comes back when all nodes that
// know better have stopped.
func (c *core) destroy(now time.Time, v *view, permanent bool, done func(error)) {
	c.enter(now)
	defer c.settle()
	old := c.table.live(v.idOf())
	if v.over || old == nil {
		done(ErrNoRoom)
		return
	}
	rec := old.grave(c.clock.after(c.now, max(old.stamp, old.born, old.ended)), c.self, permanent)
	v.over = true // it is not told what it did itself
	_ = c.apply(rec)
	c.replicate(rec, "", done)
}

// idOf is the room that the user is in.
func (v *view) idOf() string { return v.r.id }
