package pull

import (
	"slices"
	"sync/atomic"

	"cardea/relay/link"
	"cardea/relay/plane"
	"cardea/relay/stream"
)

// course is the way of one stream through this node: from whom it comes, and to which other nodes it goes.
type course struct {
	p      *Puller
	id     plane.StreamID
	want   *want
	due    int64 // ns, when it is to be looked at
	stirs  atomic.Bool
	stream *stream.Stream // that came from elsewhere, nil while there is none
	legs   map[link.NodeID]*leg

	children []*child
	flows    []stream.Flow // as the children were told
	hintedAt int64         // ns
}

// leg is one node that was asked for the course's stream.
type leg struct {
	course      *course
	node        link.NodeID
	nb          *neighbour // nil while there is no link yet
	flow        uint64
	incarnation uint64 // that the flow is of, 0 before it was fed
	intake      intake // nil while it feeds nothing
	published   *publishedMessage
}

// course returns the one of an id, made if need be.
func (p *Puller) course(id plane.StreamID) *course {
	c := p.courses[id]
	if c == nil {
		c = &course{p: p, id: id, legs: make(map[link.NodeID]*leg)}
		c.want = newWant(p.self, routes{parents: p.parents, keep: p.keep}, p.now())
		p.courses[id] = c
		if p.rooms[id.Room] == nil {
			p.rooms[id.Room] = make(map[plane.StreamID]*course)
		}
		p.rooms[id.Room][id] = c
		p.locate(c)
	}
	return c
}

func (p *Puller) forget(c *course) {
	delete(p.courses, c.id)
	delete(p.rooms[c.id.Room], c.id)
	if len(p.rooms[c.id.Room]) == 0 {
		delete(p.rooms, c.id.Room)
	}
}

// demanded takes what the directory says of who watches.
func (p *Puller) demanded(id plane.StreamID, wanted bool) {
	if !wanted && p.courses[id] == nil {
		return
	}
	c := p.course(id)
	c.want.want(wanted, p.now())
	p.settled(c)
}

// locate finds out where the stream is published.
func (p *Puller) locate(c *course) {
	home, ok := p.home(c.id)
	if !ok {
		home = ""
	}
	s := p.streams.Get(c.id)
	c.want.locate(home, s != nil && s != c.stream, p.now())
}

// attend looks at a course whose time has come.
func (p *Puller) attend(c *course, now int64) {
	c.due = now + wantPeriod
	if len(c.children) == 0 && (c.want.here || c.want.main == nil && c.want.trial == nil) {
		c.due = now + homePeriod
	}
	p.locate(c)
	for _, l := range c.legs {
		if l.intake != nil {
			c.want.progress(l.node, l.intake.Stats().Packets)
		}
	}
	c.want.tick(now)
	p.metrics.Moves.Add(c.want.moves)
	p.metrics.Failovers.Add(c.want.failovers)
	c.want.moves, c.want.failovers = 0, 0
	p.perform(c)
	p.audience(c, now)
	p.expire(c, now)
	p.settled(c)
	p.prepare(c, now)
}

// stir has a course's audience looked at soon. It is called with its stream locked.
func (c *course) stir() {
	if !c.stirs.Swap(true) {
		c.p.inbox.post(func() {
			c.stirs.Store(false)
			c.p.audience(c, c.p.now())
			c.p.perform(c)
		})
	}
}

// audience passes on what the stream's sinks want.
func (p *Puller) audience(c *course, now int64) {
	if c.stream == nil || c.p.courses[c.id] != c {
		return
	}
	c.want.demanded(c.stream.Demanded(now), now)
	p.perform(c)
	m := c.want.main
	if m == nil || c.stream == nil {
		return
	}
	l := c.legs[m.node]
	waited := c.stream.KeyframesWanted()
	if waited == 0 || l == nil || l.nb == nil {
		return
	}
	if layers := c.want.demand.keyframes(waited, l.nb.hop.RTT(), now); layers != 0 {
		l.nb.say(kindKeyframe, &keyframeMessage{Flow: l.flow, Layers: layers})
		c.stream.KeyframesAsked(layers)
	}
}

// settled does what the want wants done, and tells the children if the stream stands otherwise now.
func (p *Puller) settled(c *course) {
	p.perform(c)
	p.show(c)
}

// perform does what the want wants done.
func (p *Puller) perform(c *course) {
	for actions := c.want.take(); len(actions) > 0; actions = c.want.take() {
		for _, a := range actions {
			p.act(c, a)
		}
	}
}

func (p *Puller) act(c *course, a action) {
	l := c.legs[a.node]
	switch a.verb {
	case ask:
		l = &leg{course: c, node: a.node}
		c.legs[a.node] = l
		if nb := p.nodes[a.node]; nb != nil {
			p.ask(l, nb)
		} else {
			p.reach(a.node, l)
		}
	case leave:
		if l != nil {
			p.leave(l)
			delete(c.legs, a.node)
		}
	case open:
		p.open(c, l)
	case feed:
		p.feed(c, l)
	case shut:
		p.shut(c)
	case adjust:
		if l != nil && l.nb != nil {
			l.nb.say(kindLayers, &layersMessage{Flow: l.flow, Layers: a.layers})
		}
	case warm:
		if p.nodes[a.node] == nil {
			p.reach(a.node, nil)
		}
	case forget:
		if len(c.children) == 0 {
			p.forget(c)
		}
	}
}

// ask asks over a link that is there.
func (p *Puller) ask(l *leg, nb *neighbour) {
	l.nb = nb
	p.begin(l)
	l.course.want.stalled(l.node, nb.stalled, p.now())
}

// begin asks for the stream under a new flow.
func (p *Puller) begin(l *leg) {
	c := l.course
	l.flow, l.incarnation = l.nb.hop.NewFlow(), 0
	l.nb.legs[l.flow] = l
	l.nb.settle()
	p.metrics.Asked.Add(1)
	l.nb.say(kindWant, &wantMessage{
		Flow: l.flow, Room: c.id.Room, Publisher: c.id.Publisher, Mid: c.id.Mid,
		Layers: c.want.demand.layers, Best: c.want.incarnation == 0, Route: texts(c.route()),
	})
}

// route returns who waits for the stream: this node and those behind it, as many as may be told.
func (c *course) route() []link.NodeID {
	route := []link.NodeID{c.p.self}
	for _, ch := range c.children {
		for _, id := range ch.route {
			if len(route) < maxRoute && !slices.Contains(route, id) {
				route = append(route, id)
			}
		}
	}
	return route
}

// end gives a leg's flow up.
func (p *Puller) end(l *leg) {
	if l.intake != nil {
		l.intake.Close()
		l.intake = nil
	} else {
		l.nb.hop.Cancel(l.flow)
	}
	delete(l.nb.legs, l.flow)
	l.nb.say(kindUnwant, &unwantMessage{Flow: l.flow})
}

// leave ends a leg.
func (p *Puller) leave(l *leg) {
	if l.nb == nil {
		return
	}
	p.end(l)
	l.nb.settle()
}

// open makes the stream that a node offers.
func (p *Puller) open(c *course, l *leg) {
	now := p.now()
	if s := p.streams.Get(c.id); s != nil && s != c.stream {
		c.want.locate(c.want.home, true, now) // somebody here was faster
		return
	}
	cfg := l.published.config(c.id)
	cfg.RequestKeyframe = func(int) { c.stir() }
	cfg.Audience = c.stir
	cfg.Fault = p.fault
	old := c.stream
	c.stream = stream.New(cfg)
	hint(c.stream, l.published.Flows, now)
	c.unfeed()
	p.feed(c, l)
	p.streams.Publish(c.id, c.stream)
	if old != nil {
		old.Close()
	}
	p.metrics.Opened.Add(1)
	c.stir()
}

// feed feeds the open stream from a leg.
func (p *Puller) feed(c *course, l *leg) {
	if c.stream == nil {
		return // it could not be opened
	}
	incarnation := c.stream.Config().Incarnation
	if l.incarnation != 0 && l.incarnation != incarnation { // packets of the last one may still be under way
		p.end(l)
		p.begin(l)
	}
	l.incarnation = incarnation
	l.intake = l.nb.hop.Import(l.flow, c.stream)
}

// unfeed stops all legs.
func (c *course) unfeed() {
	for _, l := range c.legs {
		if l.intake != nil {
			l.intake.Close()
			l.intake = nil
		}
	}
}

// shut withdraws the stream.
func (p *Puller) shut(c *course) {
	c.unfeed()
	if c.stream != nil {
		p.streams.Withdraw(c.id, c.stream)
		c.stream.Close()
		c.stream = nil
	}
}
