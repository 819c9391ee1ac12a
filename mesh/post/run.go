package post

import (
	"context"
	"log/slog"
	"time"

	"cardea/relay/link"
	"cardea/relay/peer"
	"cardea/relay/plane"
)

// Run carries messages until ctx ends. It is called once.
func (p *Post) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer p.shut(cancel)
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for ticks := 1; ; {
		select {
		case <-ctx.Done():
			return nil
		case <-p.todo.wake:
			p.work(ctx)
		case now := <-ticker.C:
			p.tend(now)
			if ticks++; ticks%10 == 0 {
				p.retry(now)
			}
		}
	}
}

// shut ends everything; other nodes are told.
func (p *Post) shut(cancel func()) {
	p.over.Store(true)
	p.mu.Lock()
	now := time.Now()
	for _, c := range p.correspondents {
		c.mu.Lock()
		p.follow(c, c.contact.hangUp(now), nil, now)
		c.mu.Unlock()
		for _, s := range c.subscribers {
			p.drop(c, s)
		}
	}
	for _, i := range p.intakes {
		p.withdraw(i)
	}
	p.mu.Unlock()
	cancel()
	p.lines.Wait()
}

// work does what was noted down.
func (p *Post) work(ctx context.Context) {
	t := &p.todo
	t.mu.Lock()
	demand, rooms, lines := t.demand, t.rooms, t.lines
	t.demand, t.rooms, t.lines = make(map[plane.StreamID]bool), make(map[string]bool), nil
	t.mu.Unlock()
	for _, l := range lines {
		p.opened(l)
		p.lines.Go(func() { p.closed(l, l.run(ctx)) })
	}
	for id, wanted := range demand {
		p.want(id, wanted)
	}
	if len(rooms) > 0 {
		p.rehome(func(id plane.StreamID) bool { return rooms[id.Room] })
	}
}

// opened takes a new association into use. Associations with one node are opened one after the other.
func (p *Post) opened(l *line) {
	l.say(control{Hello: &hello{Epoch: p.epoch}})
	p.mu.Lock()
	defer p.mu.Unlock()
	c := l.remote
	c.line = l
	for _, i := range c.intakes {
		l.say(control{Subscribe: []subscribe{i.subscribe(l)}})
	}
}

// closed takes an association out of use.
func (p *Post) closed(l *line, err error) {
	now, c := time.Now(), l.remote
	if err != nil {
		p.cfg.Log.Debug("association with a node ended", slog.String("node", string(c.id)), slog.Any("error", err))
	}
	c.mu.Lock()
	if c.made == l {
		p.follow(c, c.contact.hangUp(now), nil, now)
	}
	c.mu.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	if c.line == l {
		c.line = nil
	}
	for _, i := range c.intakes {
		i.detach(l)
	}
	for _, s := range c.subscribers {
		s.outlet.room.detach(s, l, now)
	}
}

// want begins or ends an intake.
func (p *Post) want(id plane.StreamID, wanted bool) {
	if !wanted {
		p.mu.Lock()
		defer p.mu.Unlock()
		if i := p.intakes[id]; i != nil {
			p.unsubscribe(i)
			p.withdraw(i)
			delete(p.intakes, id)
		}
		return
	}
	home, known := p.cfg.Home(id)
	p.mu.Lock()
	defer p.mu.Unlock()
	i := p.intakes[id]
	if i == nil {
		i = &intake{id: id, channel: peer.NewChannel()}
		p.intakes[id] = i
	}
	p.place(i, home, known)
}

// place subscribes an intake at its home. It stays where it is while the home is not known: rosters come and go faster than
// publishers. The caller holds mu.
func (p *Post) place(i *intake, home link.NodeID, known bool) {
	i.local = known && home == p.cfg.Self
	switch {
	case !known:
		return
	case i.local:
		p.unsubscribe(i)
		p.withdraw(i)
		return
	case home != i.home:
		a, err := addressOf(home)
		if err != nil {
			return // no member has such an id
		}
		p.unsubscribe(i)
		p.lastNumber++
		i.number, i.home, i.remote = p.lastNumber, home, p.acquaint(a)
		i.remote.intakes[i.number] = i
		p.subscribe(i)
	}
	// Somebody here may still publish what has moved away.
	if !i.published && p.cfg.Channels.Get(i.id) == nil {
		p.cfg.Channels.Publish(i.id, i.channel)
		i.published = true
	}
}

// subscribe subscribes an intake at its home, or has the home called. The caller holds mu.
func (p *Post) subscribe(i *intake) {
	i.refused = time.Time{}
	if l := i.remote.line; l != nil {
		l.say(control{Subscribe: []subscribe{i.subscribe(l)}})
		return
	}
	p.call(i.remote, time.Now())
}

// unsubscribe undoes an intake's subscription. The caller holds mu.
func (p *Post) unsubscribe(i *intake) {
	if i.remote == nil {
		return
	}
	delete(i.remote.intakes, i.number)
	if l := i.remote.line; l != nil {
		l.say(control{Unsubscribe: []uint64{i.number}})
	}
	i.home, i.remote, i.refused = "", nil, time.Time{}
	i.leave()
}

// withdraw takes an intake's channel out of the directory. The caller holds mu.
func (p *Post) withdraw(i *intake) {
	if i.published {
		p.cfg.Channels.Withdraw(i.id, i.channel)
		i.published = false
	}
}

// call begins to greet a node there is no association with.
func (p *Post) call(c *correspondent, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.contact.call(now)
	p.follow(c, c.contact.tick(now), nil, now)
}

// rehome asks anew for the homes of the lines for which which is true.
func (p *Post) rehome(which func(id plane.StreamID) bool) {
	type answer struct {
		home  link.NodeID
		known bool
	}
	answers := make(map[plane.StreamID]answer)
	p.mu.RLock()
	for id := range p.intakes {
		if which(id) {
			answers[id] = answer{}
		}
	}
	for _, r := range p.rooms {
		r.mu.Lock()
		for id := range r.outlets {
			if which(id) {
				answers[id] = answer{}
			}
		}
		r.mu.Unlock()
	}
	p.mu.RUnlock()
	for id := range answers {
		home, known := p.cfg.Home(id)
		answers[id] = answer{home, known}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for id, a := range answers {
		if a.known && a.home != p.cfg.Self {
			p.refuse(id)
		}
	}
	for id, a := range answers {
		if i := p.intakes[id]; i != nil {
			p.place(i, a.home, a.known)
		}
	}
}

// retry looks after intakes without a home or that were refused.
func (p *Post) retry(now time.Time) {
	var without map[plane.StreamID]bool
	p.mu.Lock()
	for id, i := range p.intakes {
		switch {
		case i.local:
		case i.remote == nil, !i.published:
			if without == nil {
				without = make(map[plane.StreamID]bool)
			}
			without[id] = true
		case !i.refused.IsZero() && now.Sub(i.refused) >= askAgain:
			p.subscribe(i)
		}
	}
	p.mu.Unlock()
	if without != nil {
		p.rehome(func(id plane.StreamID) bool { return without[id] })
	}
}

// tend does what is due for each node.
func (p *Post) tend(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for a, c := range p.correspondents {
		for _, s := range c.subscribers {
			if s.outlet.room.gone(s, now.Add(-keepFor)) {
				p.drop(c, s)
			}
		}
		used := len(c.intakes) > 0 || len(c.subscribers) > 0
		if used {
			c.used = now
		}
		if p.tendContact(c, now) == apart && !used && now.Sub(c.used) > idleAfter {
			delete(p.correspondents, a)
		}
	}
}

// tendContact does what is due for the association with a node. The caller holds mu.
func (p *Post) tendContact(c *correspondent, now time.Time) state {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.intakes) > 0 && p.cfg.Member(c.id) {
		c.contact.call(now)
	}
	p.follow(c, c.contact.tick(now), nil, now)
	if c.made != nil {
		silence := c.made.silence(now)
		switch {
		case silence > stuckAfter, now.Sub(c.used) > idleAfter:
			p.follow(c, c.contact.hangUp(now), nil, now)
		case len(c.intakes) > 0 && silence > askAfter && now.Sub(c.asked) > askAfter:
			c.asked = now
			c.made.ask()
		}
	}
	return c.contact.state
}
