package pull

import (
	"math/bits"
	"slices"
	"strings"
	"time"

	"cardea/relay/link"
	"cardea/relay/stream"
)

const (
	// A neighbour may want so many streams at once, and so many of one room.
	maxChildren, maxRoomChildren = 8192, 4096
	// unknownTime is for how long a stream is looked for whose publisher is not known: the word of a join is on its way.
	unknownTime = int64(5 * time.Second)

	// hintTime is how often children are told what flows while that changes, and quietTime how often otherwise.
	hintTime, quietTime = int64(time.Second), int64(2 * time.Second)
	// noticeable is the change of a rate that is told.
	noticeable = 0.1
)

// child is a neighbour that wants a course's stream.
type child struct {
	course *course
	nb     *neighbour
	flow   uint64
	since  int64 // ns
	route  []link.NodeID
	layers uint8
	best   bool // and the highest layer

	told        standing
	informed    bool // it was told anything
	incarnation uint64
	outlet      outlet // nil while nothing is sent
	sent        uint64 // packets, as it was told
}

// standing is how a stream stands at this node.
type standing struct {
	path   string // node ids from the publisher's to this one, with commas; "" while there is no way
	stream *stream.Stream
}

// standing returns how the stream stands here.
func (p *Puller) standing(c *course) (standing, []link.NodeID) {
	s := p.streams.Get(c.id)
	path := c.want.path()
	if c.want.here || s != nil && s != c.stream {
		path = []link.NodeID{p.self}
	}
	return standing{path: strings.Join(texts(path), ","), stream: s}, path
}

var _ stream.Watcher[*stream.Stream] = (*course)(nil)

// Appeared implements [stream.Watcher]. A course watches its stream while it has children.
func (c *course) Appeared(*stream.Stream) { c.p.inbox.post(func() { c.p.review(c) }) }

// Vanished implements [stream.Watcher].
func (c *course) Vanished(*stream.Stream) { c.p.inbox.post(func() { c.p.review(c) }) }

// review looks at a course after its stream came or went.
func (p *Puller) review(c *course) {
	if p.courses[c.id] == c {
		p.locate(c)
		p.settled(c)
	}
}

// asked takes a want.
func (p *Puller) asked(nb *neighbour, m *wantMessage) {
	if ch := nb.children[m.Flow]; ch != nil {
		p.dismiss(ch) // it forgot to say so
	}
	room := m.Room
	if len(nb.children) >= maxChildren || nb.rooms[room] >= maxRoomChildren {
		p.refuse(nb, m.Flow, reasonOverload)
		return
	}
	c := p.course(m.id())
	peer := nb.hop.Peer()
	st, path := p.standing(c)
	route := nodeIDs(m.Route)
	if slices.Contains(route, p.self) || slices.Contains(path, peer) || c.want.home == peer && st.stream == nil {
		p.refuse(nb, m.Flow, reasonLoop)
		p.settled(c)
		return
	}
	ch := &child{course: c, nb: nb, flow: m.Flow, since: p.now(), route: route, layers: m.Layers, best: m.Best}
	nb.children[m.Flow] = ch
	nb.rooms[room]++
	nb.settle()
	c.children = append(c.children, ch)
	if len(c.children) == 1 {
		p.streams.Watch(c.id, c) // and so makes demand
	}
	p.settled(c)
}

func (p *Puller) refuse(nb *neighbour, flow uint64, why reason) {
	p.metrics.Refusals.Add(1)
	nb.say(kindRefusal, &refusalMessage{Flow: flow, Reason: why})
}

// unasked takes a want that is taken back.
func (p *Puller) unasked(nb *neighbour, m *unwantMessage) {
	if ch := nb.children[m.Flow]; ch != nil {
		p.dismiss(ch)
	}
}

// dismiss ends serving a child.
func (p *Puller) dismiss(ch *child) {
	c, nb := ch.course, ch.nb
	if ch.outlet != nil {
		ch.outlet.Close()
		ch.outlet = nil
	}
	delete(nb.children, ch.flow)
	if nb.rooms[c.id.Room]--; nb.rooms[c.id.Room] == 0 {
		delete(nb.rooms, c.id.Room)
	}
	nb.settle()
	c.children = slices.DeleteFunc(c.children, func(o *child) bool { return o == ch })
	if len(c.children) == 0 {
		p.streams.Unwatch(c.id, c)
	}
}

// layered takes which layers a child wants.
func (p *Puller) layered(nb *neighbour, m *layersMessage) {
	ch := nb.children[m.Flow]
	if ch == nil {
		return
	}
	ch.layers, ch.best = m.Layers, false
	if ch.outlet != nil {
		ch.outlet.SetLayers(m.Layers)
		ch.course.stir() // what is asked of the parent may have changed with it
	}
}

// keyframed passes a child's request on to the stream.
func (p *Puller) keyframed(nb *neighbour, m *keyframeMessage) {
	if ch := nb.children[m.Flow]; ch != nil && ch.told.stream != nil {
		ch.told.stream.RequestKeyframes(m.Layers)
	}
}

// expire refuses the children of a stream whose publisher stays unknown.
func (p *Puller) expire(c *course, now int64) {
	if c.want.home != "" || c.want.here || c.want.path() != nil {
		return
	}
	for _, ch := range slices.Clone(c.children) {
		if now-ch.since >= unknownTime {
			p.refuse(ch.nb, ch.flow, reasonUnknown)
			p.dismiss(ch)
		}
	}
}

// show tells the children how the stream stands, if that is news, and has it sent to them.
func (p *Puller) show(c *course) {
	if len(c.children) == 0 {
		return
	}
	st, path := p.standing(c)
	for _, ch := range c.children {
		if ch.informed && ch.told == st {
			continue
		}
		was := ch.told.stream
		ch.told, ch.informed = st, true
		m := &announceMessage{Flow: ch.flow, Path: texts(path[:min(len(path), maxPath)])}
		if st.stream != nil {
			m.Published = describe(st.stream, p.now())
		}
		ch.nb.say(kindAnnounce, m)
		if was != st.stream {
			p.send(ch)
		}
	}
}

// send sends a child the stream it was told of. A flow is for one incarnation: another one waits until the child asks for it anew.
func (p *Puller) send(ch *child) {
	if ch.outlet != nil {
		ch.outlet.Close()
		ch.outlet = nil
	}
	s := ch.told.stream
	if s == nil {
		return
	}
	incarnation := s.Config().Incarnation
	if ch.incarnation != 0 && ch.incarnation != incarnation {
		return
	}
	ch.incarnation = incarnation
	layers := ch.layers
	if ch.best {
		s.Lock()
		layers |= 1 << s.Best(p.now())
		s.Unlock()
	}
	ch.outlet = ch.nb.hop.Export(ch.flow, s, layers)
}

// prepare puts what flows of a stream into the next hints, if it is time.
func (p *Puller) prepare(c *course, now int64) {
	if len(c.children) == 0 {
		return
	}
	s := c.children[0].told.stream
	if s == nil {
		c.flows = c.flows[:0]
		return
	}
	var room [stream.MaxLayers]stream.Flow
	flows := s.Flows(room[:0], now)
	age := now - c.hintedAt
	lasting := slices.EqualFunc(flows, c.flows, func(a, b stream.Flow) bool { return (a.Bits == 0) == (b.Bits == 0) })
	same := slices.EqualFunc(flows, c.flows, func(a, b stream.Flow) bool { return alike(a.Bits, b.Bits) })
	if lasting && age < hintTime {
		return
	}
	told := false
	for _, ch := range c.children {
		if ch.outlet == nil {
			continue
		}
		sent := ch.outlet.Stats().Packets
		if lasting && same && sent == ch.sent && age < quietTime {
			continue
		}
		ch.sent, told = sent, true
		m := p.hints[ch.nb]
		if m == nil {
			m = &hintsMessage{}
			p.hints[ch.nb] = m
		}
		m.Streams = append(m.Streams, hintMessage{Flow: ch.flow, Sent: sent, Flows: flowMessages(flows)})
		if len(m.Streams) == maxHinted {
			ch.nb.say(kindHints, m)
			m.Streams = m.Streams[:0]
		}
	}
	if told {
		c.hintedAt = now
		c.flows = append(c.flows[:0], flows...)
	}
}

// alike tells whether two rates are about the same.
func alike(a, b uint64) bool {
	low, high := min(a, b), max(a, b)
	return float64(high-low) <= noticeable*float64(high)
}

// tell sends the hints.
func (p *Puller) tell() {
	for nb, m := range p.hints {
		if len(m.Streams) > 0 {
			nb.say(kindHints, m)
		}
		delete(p.hints, nb)
	}
}

// Row is what a puller knows of one stream.
type Row struct {
	Room, Publisher, Mid string
	Here                 bool          // it is published on this node, or would be
	Path                 []link.NodeID // from the publisher's node to this one; nil while there is none
	Open                 bool          // it comes from another node now
	Layers               []int         // asked of that
	Children             []link.NodeID // who gets it from here
}

// Rows returns what is known of the streams that somebody here wants; nil once Run has ended.
func (p *Puller) Rows() []Row {
	got := make(chan []Row, 1)
	p.inbox.post(func() {
		rows := make([]Row, 0, len(p.courses))
		for _, c := range p.courses {
			rows = append(rows, c.row())
		}
		got <- rows
	})
	select {
	case rows := <-got:
		return rows
	case <-p.done:
		return nil
	}
}

func (c *course) row() Row {
	r := Row{
		Room: c.id.Room, Publisher: c.id.Publisher, Mid: c.id.Mid,
		Here: c.want.here, Path: c.want.path(), Open: c.stream != nil,
	}
	for layers := c.want.demand.layers; layers != 0; layers &= layers - 1 {
		r.Layers = append(r.Layers, bits.TrailingZeros8(layers))
	}
	for _, ch := range c.children {
		r.Children = append(r.Children, ch.nb.hop.Peer())
	}
	slices.Sort(r.Children)
	return r
}
