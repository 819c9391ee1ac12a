package post

import "time"

const (
	// firstGreet and lastGreet are the least and the greatest wait between greetings that are not answered.
	firstGreet = 300 * time.Millisecond
	lastGreet  = 2 * time.Second
	// patience is how long an answered greeting is remembered that is not answered in turn.
	patience = 5 * time.Second
	// respite is the least time between two associations with the same node, and between two challenges.
	respite = 200 * time.Millisecond
	// maxParameters bounds the SCTP parameters in a greeting; they take some 50 bytes.
	maxParameters = 512
)

// contact agrees with one other node on an association. Each end makes up a tag and SCTP's parameters and tells the other
// in a greeting; a greeting that names the receiver's own tag proves that its sender is there now, and both ends then have
// an association at once, without SCTP's own handshake:
//
//	A                                                   B
//	greet(a, -)  ------------------------------------>      B takes a tag, b
//	             <------------------------------------  greet(b, a)
//	A is up; greet(a, b) ---------------------------->      B is up
//
// Both may begin at the same time. Who is up and hears of a tag it does not know cannot tell a node that has restarted from
// an old datagram, so it challenges with a tag that it has not used: only a node that is there answers it, and then takes
// the place of the earlier one. Who is told a tag that it does not have (any more) answers with leave, so that the other
// end of an association that is gone learns it at once.
//
// contact is pure: what it wants done is returned as a step.
type contact struct {
	fresh func() (tag uint32, parameters []byte) // makes up a tag, never 0

	state  state
	now    ends
	rival  ends      // challenged; dest is 0 if there is none
	rivals time.Time // when it was challenged
	due    time.Time // calling: the next greeting. answering: when to forget
	wait   time.Duration
	ended  time.Time
}

// ends are the two ends of an association, ours first.
type ends struct {
	source, dest       uint32
	parameters, theirs []byte
}

type state uint8

const (
	apart     state = iota
	calling         // we have greeted
	answering       // they have, and have our answer
	up
)

// step is what is to be done: first what is to be sent, then end, begin and deliver in this order.
type step struct {
	send    []greeting
	end     bool  // the association is over
	begin   *ends // there is one
	deliver bool  // the datagram's payload is for it
	refused bool  // the datagram is old or wrong
}

// greeting is a datagram without payload but a greeting's.
type greeting struct {
	kind         kind
	source, dest uint32
	parameters   []byte
}

func (e ends) greeting() greeting { return greeting{greet, e.source, e.dest, e.parameters} }

// call begins to greet the other node unless there is an association or one in the making.
func (c *contact) call(now time.Time) {
	if c.state == apart {
		c.now = ends{}
		c.now.source, c.now.parameters = c.fresh()
		c.state, c.wait, c.due = calling, firstGreet, now
		if at := c.ended.Add(respite); at.After(now) {
			c.due = at
		}
	}
}

// tick does what is due.
func (c *contact) tick(now time.Time) (s step) {
	if c.rival.dest != 0 && now.Sub(c.rivals) > patience {
		c.rival = ends{}
	}
	if now.Before(c.due) {
		return s
	}
	switch c.state {
	case calling:
		s.send = append(s.send, c.now.greeting())
		c.due = now.Add(c.wait)
		c.wait = min(2*c.wait, lastGreet)
	case answering:
		c.forget(now)
	case apart, up:
	}
	return s
}

// hangUp ends the association, or the attempt, from here.
func (c *contact) hangUp(now time.Time) (s step) {
	if c.state == up {
		s.send = append(s.send, greeting{kind: leave, source: c.now.source, dest: c.now.dest})
		s.end = true
	}
	c.forget(now)
	return s
}

func (c *contact) forget(now time.Time) {
	c.state, c.now, c.rival, c.ended = apart, ends{}, ends{}, now
}

// receive takes a datagram of the other node's.
func (c *contact) receive(h header, payload []byte, now time.Time) step {
	switch {
	case h.source == 0:
		return step{refused: true}
	case h.kind == leave:
		return c.left(h, now)
	case h.kind == greet && len(payload) > maxParameters:
		return step{refused: true}
	case h.kind == greet && h.dest == 0:
		return c.greeted(h, payload, now)
	case h.kind != greet && h.kind != carry:
		return step{refused: true}
	case h.dest == 0 || c.state == apart:
	case h.dest == c.now.source:
		return c.known(h, payload)
	case h.dest == c.rival.source && h.source == c.rival.dest:
		// The challenge is met: the earlier association's other end is no more.
		s := step{end: c.state == up}
		c.now, c.rival = c.rival, ends{}
		c.state = answering
		return c.proven(s, h, payload)
	}
	// Meant for an end that is not here.
	return step{refused: true, send: []greeting{{kind: leave, source: h.dest, dest: h.source}}}
}

// greeted takes a greeting from a node that does not know our tag.
func (c *contact) greeted(h header, parameters []byte, now time.Time) (s step) {
	switch {
	case c.state == up && h.source != c.now.dest:
		if now.Sub(c.rivals) < respite {
			return step{refused: true}
		}
		if c.rival.dest != h.source {
			c.rival = ends{dest: h.source, theirs: clone(parameters)}
			c.rival.source, c.rival.parameters = c.fresh()
		}
		c.rivals = now
		s.send = append(s.send, c.rival.greeting())
		return s
	case c.state == apart:
		if now.Sub(c.ended) < respite {
			return step{refused: true}
		}
		c.now = ends{}
		c.now.source, c.now.parameters = c.fresh()
		fallthrough
	case c.state == answering:
		c.state, c.due = answering, now.Add(patience)
		fallthrough
	case c.state == calling:
		c.now.dest, c.now.theirs = h.source, clone(parameters)
	}
	s.send = append(s.send, c.now.greeting())
	return s
}

// known takes a datagram that names our tag.
func (c *contact) known(h header, payload []byte) step {
	switch {
	case c.state == up && h.source != c.now.dest:
		return step{refused: true}
	case c.state == up:
		return step{deliver: h.kind == carry}
	case h.source != c.now.dest && h.kind == carry:
		return step{refused: true} // an SCTP packet that overtook its greeting
	}
	var s step
	if h.kind == greet && (c.state == calling || h.source != c.now.dest) {
		// They know us but may not know it of us: what they heard may have named another tag than theirs, or none.
		c.now.dest, c.now.theirs = h.source, clone(payload)
		s.send = append(s.send, c.now.greeting())
	}
	return c.proven(s, h, payload)
}

// proven makes the association: the other end has named our tag.
func (c *contact) proven(s step, h header, payload []byte) step {
	if h.kind == greet {
		c.now.theirs = clone(payload)
	}
	c.state = up
	begun := c.now
	s.begin, s.deliver = &begun, h.kind == carry
	return s
}

// left takes notice that the other end is gone, or was never there.
func (c *contact) left(h header, now time.Time) step {
	switch {
	case c.state == apart || h.dest != c.now.source || h.source != c.now.dest:
		return step{refused: true}
	case c.state == calling:
		// They have forgotten a tag that we answered; we go on with ours.
		c.now.dest, c.now.theirs = 0, nil
		return step{}
	}
	s := step{end: c.state == up}
	c.forget(now)
	return s
}

func clone(b []byte) []byte { return append([]byte(nil), b...) }
