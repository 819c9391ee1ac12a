package post

import (
	"time"

	"cardea/relay/data"
	"cardea/relay/peer"
	"cardea/relay/plane"
	"cardea/relay/stream"
)

// watch finds the channel of an outlet. Its methods are called by the directory, one at a time.
type watch struct {
	outlet *outlet
	stop   func() // ends listening; nil while there is nothing to listen to
}

var _ stream.Watcher[*peer.Channel] = (*watch)(nil)

// Appeared implements [stream.Watcher]. What other nodes publish is not sent on: everybody hears it from there.
func (w *watch) Appeared(c *peer.Channel) {
	w.Vanished(c)
	if !c.Elsewhere() {
		w.stop = c.Listen(func(m data.Message) { w.outlet.room.say(w.outlet, m, time.Now()) })
	}
}

// Vanished implements [stream.Watcher].
func (w *watch) Vanished(*peer.Channel) {
	if w.stop != nil {
		w.stop()
		w.stop = nil
	}
}

// heard does what a control message says.
func (p *Post) heard(l *line, c *control) {
	if c.Hello != nil {
		p.met(l.remote, c.Hello.Epoch)
	}
	for i := range c.Subscribe {
		if !p.admit(l, &c.Subscribe[i]) {
			l.say(control{Refused: []uint64{c.Subscribe[i].Number}})
		}
	}
	if len(c.Unsubscribe) > 0 || len(c.Refused) > 0 {
		p.end(l.remote, c)
	}
	p.mu.RLock()
	defer p.mu.RUnlock()
	for i := range c.Acks {
		if s := l.remote.subscribers[c.Acks[i].Subscription]; s != nil {
			s.outlet.room.acknowledge(s, c.Acks[i].State)
		}
	}
}

// met takes notice of a node's process: what an earlier one subscribed to is over.
func (p *Post) met(c *correspondent, epoch uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c.epoch == epoch {
		return
	}
	c.epoch = epoch
	for _, s := range c.subscribers {
		p.drop(c, s)
	}
}

// admit enters a subscription; false if it is refused.
func (p *Post) admit(l *line, ask *subscribe) bool {
	id := ask.stream()
	if home, known := p.cfg.Home(id); known && home != p.cfg.Self {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	c := l.remote
	if c.line != l {
		return true // it is over, and will be said again
	}
	if s := c.subscribers[ask.Number]; s != nil {
		s.outlet.room.attach(s, ask.State, l)
		return true
	}
	if len(c.subscribers) >= maxSubscriptions {
		return false
	}
	r := p.rooms[id.Room]
	if r == nil {
		r = newRoom(p.quota)
		p.rooms[id.Room] = r
	}
	o := r.outlets[id] // changed only with p.mu held
	if o == nil {
		p.incarnation++
		o = &outlet{id: id, room: r, incarnation: p.incarnation}
		o.watch = &watch{outlet: o}
		r.enter(o)
		p.cfg.Channels.Watch(id, o.watch)
	}
	c.subscribers[ask.Number] = r.subscribe(o, c.address, ask.Number, l)
	return true
}

// end ends subscriptions, as the message says: the other node's and those it does not serve.
func (p *Post) end(c *correspondent, say *control) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, n := range say.Unsubscribe {
		if s := c.subscribers[n]; s != nil {
			p.drop(c, s)
		}
	}
	now := time.Now()
	for _, n := range say.Refused {
		if i := c.intakes[n]; i != nil {
			i.refused = now
		}
	}
}

// refuse ends all subscriptions to a line that is not published here. The caller holds mu.
func (p *Post) refuse(id plane.StreamID) {
	r := p.rooms[id.Room]
	if r == nil || r.outlets[id] == nil {
		return
	}
	for _, s := range r.subscribersOf(id) {
		c := p.acquaint(s.address)
		if c.line != nil {
			c.line.say(control{Refused: []uint64{s.number}})
		}
		p.drop(c, s)
	}
}

// drop forgets a subscriber, and the outlet and the room with the last of theirs. The caller holds mu.
func (p *Post) drop(c *correspondent, s *subscriber) {
	delete(c.subscribers, s.number)
	o, r := s.outlet, s.outlet.room
	if r.unsubscribe(s) {
		return
	}
	p.cfg.Channels.Unwatch(o.id, o.watch)
	if r.remove(o) {
		delete(p.rooms, o.id.Room)
	}
}

// delivered takes a publisher's message that came over the line.
func (p *Post) delivered(l *line, f *frame) {
	p.mu.RLock()
	i := l.remote.intakes[f.Subscription]
	p.mu.RUnlock()
	if i == nil {
		p.counts.stale.Add(1)
		return
	}
	i.take(l, f, &p.counts)
}
