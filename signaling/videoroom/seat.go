package videoroom

import (
	"context"
	"time"
)

// seatTime is how long after it began to publish somebody may still have to give way.
const seatTime = 5 * time.Second

// contend settles whose the last seat is, now that m of another node is known to publish. Nodes admit publishers by what they
// know, so two of them may admit one each for the last seat. Whoever began later, by the clocks of their nodes and then by
// the id, gives way. Who has been publishing for a while stays, also when two parts of the mesh come together and
// there are too many: the limit is one of admission.
func (r *room) contend(m *participant) {
	for _, p := range r.members {
		if p.remote || p.dummy || p.yielding || !m.seatedBefore(p) || time.Since(time.UnixMicro(p.shared.seat)) > seatTime {
			continue
		}
		before := 0
		for _, o := range r.members {
			if o != p && !o.dummy && o.seatedBefore(p) {
				before++
			}
		}
		if before >= r.cfg.Publishers {
			p.yield()
		}
	}
}

// seatedBefore tells whether p publishes and began before o, who publishes, too.
func (p *participant) seatedBefore(o *participant) bool {
	switch {
	case p.shared.seat == 0 || o.shared.seat == 0:
		return false
	case p.shared.seat != o.shared.seat:
		return p.shared.seat < o.shared.seat
	}
	return p.id.String() < o.id.String()
}

// yield has the participant publish no more, in its handle's turn. Its client gets the error that it would have got at once if
// the nodes had known of each other.
func (p *participant) yield() {
	p.yielding = true
	s, r := p.session, p.room
	s.h.Do(func(ctx context.Context) {
		r.mu.Lock()
		still := p.yielding
		full := r.full()
		r.mu.Unlock()
		if !still {
			return // it stopped by itself
		}
		s.endPublishing(ctx, p)
		s.h.Push("", refusal(full), nil)
		s.h.ClosePeer(ctx, "Close PC")
	})
}

// full is the refusal of one publisher too many.
func (r *room) full() error {
	return refuse(codePublishersFull, "Maximum number of publishers (%d) already reached", r.cfg.Publishers)
}
