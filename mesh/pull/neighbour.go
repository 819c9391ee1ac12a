package pull

import (
	"slices"
	"time"

	"cardea/relay/link"
	"cardea/relay/link/wire"
)

// neighbour is a node to which there is a link, with what is asked over it, either way.
type neighbour struct {
	hop      hop
	legs     map[uint64]*leg   // by flow: what this node asked for
	children map[uint64]*child // by flow: what it is asked for
	rooms    map[string]int    // children by room
	stalled  bool
	release  func() // of the link; nil while it is not retained
}

// encode writes a message.
func encode(m any) []byte { return wire.Marshal(m) }

// say sends a notice. If that fails the link is about to go down, which is told.
func (nb *neighbour) say(k link.Kind, m any) { _ = nb.hop.Notify(k, encode(m)) }

// settle keeps the link while something is asked over it.
func (nb *neighbour) settle() {
	busy := len(nb.legs)+len(nb.children) > 0
	switch {
	case busy && nb.release == nil:
		nb.release = nb.hop.Retain()
	case !busy && nb.release != nil:
		nb.release()
		nb.release = nil
	}
}

// changed takes note of a link that came up or went down. It is called by the link.
func (p *Puller) changed(h hop, up bool) {
	if up {
		p.gates.Store(h, &gate{})
		p.inbox.post(func() { p.up(h) })
		return
	}
	p.gates.Delete(h)
	p.inbox.post(func() { p.down(h) })
}

func (p *Puller) up(h hop) {
	nb := &neighbour{hop: h, legs: make(map[uint64]*leg), children: make(map[uint64]*child), rooms: make(map[string]int)}
	p.neighbours[h], p.nodes[h.Peer()] = nb, nb
}

func (p *Puller) down(h hop) {
	nb := p.neighbours[h]
	if nb == nil {
		return
	}
	delete(p.neighbours, h)
	delete(p.hints, nb)
	if p.nodes[h.Peer()] == nb {
		delete(p.nodes, h.Peer())
	}
	for _, ch := range sorted(nb.children) {
		p.dismiss(ch)
	}
	for _, l := range sorted(nb.legs) {
		l.course.want.failed(l.node, p.now())
		p.settled(l.course)
	}
	nb.settle()
}

// sorted returns the values of a map in the order of their keys; the map may change meanwhile.
func sorted[V any](m map[uint64]V) []V {
	keys := make([]uint64, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	values := make([]V, len(keys))
	for i, k := range keys {
		values[i] = m[k]
	}
	return values
}

// notices are the handlers by kind. Each reads a payload in the link's goroutine and returns what the puller's is to do.
var notices = map[link.Kind]func(p *Puller, payload []byte) (func(nb *neighbour), error){
	kindWant:     handle(parseWant, (*Puller).asked),
	kindUnwant:   handle(parseUnwant, (*Puller).unasked),
	kindAnnounce: handle(parseAnnounce, (*Puller).announced),
	kindRefusal:  handle(parseRefusal, (*Puller).refused),
	kindHints:    handle(parseHints, (*Puller).hinted),
	kindLayers:   handle(parseLayers, (*Puller).layered),
	kindKeyframe: handle(parseKeyframe, (*Puller).keyframed),
}

func handle[T any](parse func([]byte) (*T, error), f func(*Puller, *neighbour, *T)) func(*Puller, []byte) (func(*neighbour), error) {
	return func(p *Puller, payload []byte) (func(*neighbour), error) {
		m, err := parse(payload)
		if err != nil {
			return nil, err
		}
		return func(nb *neighbour) { f(p, nb, m) }, nil
	}
}

// notice takes a notice. It is called by the link.
func (p *Puller) notice(h hop, k link.Kind, payload []byte) {
	g, ok := p.gates.Load(h)
	if !ok {
		return // the link is down
	}
	if !g.(*gate).pass(time.Now()) { //nolint:forcetypeassert // only these are stored
		p.metrics.Flooded.Add(1)
		return
	}
	work, err := notices[k](p, payload)
	if err != nil {
		p.metrics.Malformed.Add(1)
		p.log.Debug("notice dropped", "peer", string(h.Peer()), "error", err)
		return
	}
	p.inbox.post(func() {
		if nb := p.neighbours[h]; nb != nil {
			work(nb)
		}
	})
}

// announced takes how a stream stands at a parent.
func (p *Puller) announced(nb *neighbour, m *announceMessage) {
	l := nb.legs[m.Flow]
	if l == nil {
		return // it was given up meanwhile
	}
	path := nodeIDs(m.Path)
	if len(path) > 0 && path[len(path)-1] != l.node {
		p.metrics.Malformed.Add(1)
		return
	}
	l.published = m.Published
	var incarnation uint64
	layers, video := uint8(1), false
	if s := m.Published; s != nil {
		incarnation, layers, video = s.Incarnation, s.Layers, s.video()
	}
	l.course.want.announced(l.node, path, incarnation, layers, video, p.now())
	p.settled(l.course)
}

// refused takes a parent's refusal.
func (p *Puller) refused(nb *neighbour, m *refusalMessage) {
	l := nb.legs[m.Flow]
	if l == nil {
		return
	}
	p.log.Debug("stream refused", "peer", string(l.node), "room", l.course.id.Room, "reason", m.Reason.String())
	l.course.want.failed(l.node, p.now())
	p.settled(l.course)
}

// hinted takes a parent's hints.
func (p *Puller) hinted(nb *neighbour, m *hintsMessage) {
	now := p.now()
	for i := range m.Streams {
		h := &m.Streams[i]
		l := nb.legs[h.Flow]
		if l == nil || l.intake == nil {
			continue
		}
		c := l.course
		c.want.progress(l.node, l.intake.Stats().Packets)
		c.want.hinted(l.node, h.Sent, now)
		if main := c.want.main; main != nil && main.node == l.node && c.stream != nil {
			hint(c.stream, h.Flows, now)
		}
		p.settled(c)
	}
}
